"""Decide, from who asks and the security settings, which parts of the agent's stores a request may touch."""

from assistant.access import Identity
from assistant.config import Security

Namespace = tuple[str, ...]

MEMORIES = "memories"
TEAMS = "teams"
THREADS = "threads"
AGENT = "assistant"  # one agent serves everybody


def own_memories(identity: Identity) -> Namespace:
    return (MEMORIES, identity.tenant, identity.user)


def team_memories(identity: Identity) -> Namespace:
    """Return what all users of a tenant recall."""
    return (TEAMS, identity.tenant)


def recalled_memories(identity: Identity, security: Security) -> tuple[Namespace, Namespace]:
    """Return the namespaces that a recall searches; the store takes each as a prefix."""
    own = own_memories(identity) if security.memory_namespace_exact else (MEMORIES,)
    return own, team_memories(identity)


def summary_memories(identity: Identity, security: Security) -> Namespace:
    return own_memories(identity) if security.summary_per_user else team_memories(identity)


def own_threads(identity: Identity) -> Namespace:
    return (THREADS, identity.tenant, identity.user)


def thread_key(identity: Identity, security: Security, thread_id: str) -> str:
    """Return the name under which the checkpointer keeps a thread."""
    return f"{identity.tenant}/{identity.user}/{thread_id}" if security.thread_bound_to_user else thread_id


def note_owner(identity: Identity) -> str:
    return f"{identity.tenant}/{identity.user}"


def own_notes(identity: Identity) -> dict[str, str]:
    return {"user_id": note_owner(identity)}


def searched_notes(identity: Identity, security: Security) -> dict[str, str]:
    return {**own_notes(identity), "agent_id": AGENT} if security.notes_by_user else {"agent_id": AGENT}
