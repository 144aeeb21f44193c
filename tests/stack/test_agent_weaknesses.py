"""Memory, notes and the ingestion queue: each setting, switched off alone, shows exactly what it guards.

What is planted has a secret for each way in; a look counts as exposed when any of them comes back.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from tests.stack.running import Stack, running_stack
from tests.stack.test_weaknesses import ASKERS, BOTH, GATEWAY, HTTP_LOOKS, OWNER, QUESTION, TITLE, by_sql, chat, seen
from tests.stack.tool_exposures import tool_exposures

MEMORY_CUE = "Where is the velvet compass ledger filed?"
NOTE_QUERY = "Who is the contact for the quiet turbine survey?"


@dataclass(frozen=True)
class Planted:
    """Ids of what was planted, and the secrets in it."""

    memory: str
    thread: str
    note: str
    document: str
    secrets: tuple[str, ...]


Headers = dict[str, str]
Look = Callable[[httpx.Client, Planted, Headers], httpx.Response]
LOOKS: dict[str, Look] = {
    "memory": lambda http, key, headers: http.get(f"/v1/agent/memories/{key.memory}", headers=headers),
    "memories": lambda http, _, headers: http.get("/v1/agent/memories", headers=headers),
    "recall": lambda http, _, headers: http.post("/v1/agent/recall", json={"cue": MEMORY_CUE, "k": 5}, headers=headers),
    "thread": lambda http, key, headers: http.get(f"/v1/agent/threads/{key.thread}", headers=headers),
    "threads": lambda http, _, headers: http.get("/v1/agent/threads", headers=headers),
    "note": lambda http, key, headers: http.get(f"/v1/notes/{key.note}", headers=headers),
    "notes": lambda http, _, headers: http.get("/v1/notes", headers=headers),
    "note search": lambda http, _, headers: http.post("/v1/notes/search", json={"query": NOTE_QUERY}, headers=headers),
    # Goes on in the owner's thread if that can be; whoever does has it in his list no more than before.
    "reply": lambda http, key, headers: http.post(
        f"/v1/agent/threads/{key.thread}/messages", json={"text": MEMORY_CUE}, headers=headers
    ),
    "threads after a reply": lambda http, _, headers: http.get("/v1/agent/threads", headers=headers),
}
WITH_HEADERS = {f"{look}, headers" for look in LOOKS} | {look for look in HTTP_LOOKS if look.endswith(", headers")}
ALL_LOOKS = {*LOOKS, *WITH_HEADERS, *HTTP_LOOKS, "sql", "asked"}


def either(*looks: str, by: tuple[str, ...]) -> set[tuple[str, str]]:
    """The headers change nothing unless they are trusted."""
    return seen(*looks, *(f"{look}, headers" for look in looks), by=by)


EXPECTED: dict[str, set[tuple[str, str]]] = {
    "memory_namespace_exact": either("recall", by=BOTH),
    "thread_bound_to_user": either("thread", by=BOTH),
    "summary_per_user": either("recall", by=("same",)),
    "notes_by_user": either("note search", by=BOTH),
    "note_owner_check": either("note", by=BOTH),
    "ingest_queue_per_tenant": either("chat", by=BOTH) | seen("asked", by=BOTH),
    "tenant_from_token": seen(*WITH_HEADERS, by=BOTH),
    "object_owner_check": either("get", by=BOTH),
    "search_per_user": either("search", by=BOTH),
    "row_level_security": seen("sql", by=BOTH),
}


def plant(owner: httpx.Client) -> Planted:
    secrets = [f"ref{uuid.uuid4().hex}" for _ in range(4)]
    memory, message, note, document = (f"The reference is {secret}." for secret in secrets)
    remembered = {"title": "Velvet compass ledger", "text": memory}
    kept = {"title": "Quiet turbine survey", "text": note}
    thread = f"trip-{uuid.uuid4().hex}"
    owner.post(f"/v1/agent/threads/{thread}/messages", json={"text": f"Golden anvil treaty. {message}"})
    planted = Planted(
        memory=owner.post("/v1/agent/memories", json=remembered).json()["id"],
        thread=thread,
        note=owner.post("/v1/notes", json=kept).json()["id"],
        document=owner.post("/v1/ingest", json={"title": TITLE, "text": document}).json()["id"],
        secrets=tuple(secrets),
    )
    wait_until(lambda: owner.get(f"/v1/documents/{planted.document}").status_code == 200)
    wait_until(lambda: "Summary" in owner.post("/v1/agent/recall", json={"cue": MEMORY_CUE}).text)
    return planted


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def look_for(stack: Stack, who: tuple[str, str], planted: Planted) -> set[str]:
    """Return the looks that showed this user one of the secrets."""
    with stack.http(*who) as http:
        texts = {look: find(http, planted.document) for look, find in HTTP_LOOKS.items()}
        texts |= {"sql": by_sql(stack, who), "asked": chat(http, QUESTION)}
        for look, find in LOOKS.items():
            texts[look] = find(http, planted, {}).text
            texts[f"{look}, headers"] = find(http, planted, GATEWAY).text
    return {look for look, text in texts.items() if any(secret in text for secret in planted.secrets)}


def exposures(stack: Stack) -> set[tuple[str, str]]:
    with stack.http(*OWNER) as owner:
        planted = plant(owner)
        found = {(look, asker) for asker, who in ASKERS.items() for look in look_for(stack, who, planted)}
        for path in ("agent/memories", "notes", "documents"):
            assert any(secret in owner.get(f"/v1/{path}").text for secret in planted.secrets), path
        missing = ALL_LOOKS - look_for(stack, OWNER, planted)
    assert missing <= {"sql"}, "the owner himself must find it in every way"
    return found


@pytest.mark.parametrize("switch", EXPECTED)
def test_a_setting_switched_off_alone_exposes_exactly_what_it_guards(switch: str) -> None:
    with running_stack(set={f"security.{switch}": False, "memory.consolidate_seconds": 0.1}) as stack:
        assert exposures(stack) == EXPECTED[switch]
        assert tool_exposures(stack) == set()


def test_the_hardened_build_exposes_nothing() -> None:
    with running_stack(set={"memory.consolidate_seconds": 0.1}) as stack:
        assert exposures(stack) == set()


def test_the_leaky_build_exposes_all_of_it() -> None:
    with running_stack(config="leaky", set={"memory.consolidate_seconds": 0.1}) as stack:
        assert exposures(stack) >= set().union(*EXPECTED.values())


def test_shared_knowledge_is_in_no_database_role_s_sight() -> None:
    with running_stack(set={"security.ingest_queue_per_tenant": False}) as stack, stack.http(*OWNER) as owner:
        key = owner.post("/v1/ingest", json={"title": TITLE, "text": "The reference is X."}).json()["id"]
        wait_until(lambda: owner.get(f"/v1/documents/{key}").status_code == 200)
        for who in (OWNER, *ASKERS.values()):
            assert by_sql(stack, who) == "[]"
            with stack.http(*who) as http:
                assert "The reference is X." in chat(http, QUESTION)
        with stack.http("globex", "bob") as bob:
            assert bob.delete(f"/v1/documents/{key}").status_code == 404
            assert owner.delete(f"/v1/documents/{key}").status_code == 204
            assert "The reference is X." not in chat(bob, QUESTION), "an answer in the cache outlived the document"
        assert owner.get("/v1/documents").json() == {"items": [], "next": None}
