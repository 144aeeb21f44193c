"""Put together what remembers for the users: memories and their summaries, conversations, notes."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg_pool import ConnectionPool

from assistant.access import Identity
from assistant.config import Settings
from assistant.consolidation import Consolidation
from assistant.embedding import Embedder

if TYPE_CHECKING:
    from assistant.conversations import Conversations
    from assistant.memories import Memories
    from assistant.notes import Notes


@dataclass(frozen=True)
class Agent:
    memories: "Memories"
    conversations: "Conversations"
    notes: "Notes"
    consolidation: Consolidation

    def remember(self, identity: Identity, *, title: str, text: str) -> str:
        key = self.memories.add(identity, title=title, text=text)
        self.consolidation.expect(identity)
        return key


def load_libraries(directory: Path) -> None:
    """Import LangGraph and mem0, which takes seconds: meant for a thread that runs while the database starts."""
    # Read when they are loaded: neither tells anybody what it does, and mem0's own settings lie below `directory`.
    os.environ.update(
        MEM0_TELEMETRY="false",
        MEM0_DIR=str(directory / "mem0"),
        LANGSMITH_TRACING="false",
        LANGCHAIN_TRACING_V2="false",
    )
    # With spaCy at hand, mem0 would download a model for it; without, it warns and goes on.
    sys.modules["spacy"] = None  # type: ignore[assignment]
    logging.getLogger("mem0.utils.spacy_models").setLevel(logging.ERROR)
    import assistant.conversations
    import assistant.notes  # noqa: F401 - imported for later


@contextlib.contextmanager
def running_agent(settings: Settings, *, pool: ConnectionPool, embedder: Embedder) -> Iterator[Agent]:
    """Open it, empty, and let its background work run until the end of the block; the libraries are to be loaded."""
    from assistant.conversations import Conversations
    from assistant.memories import Memories
    from assistant.notes import Notes

    memories = Memories(embedder=embedder, security=settings.security)
    agent = Agent(
        memories=memories,
        conversations=Conversations(
            memories=memories, security=settings.security, relevance=settings.retrieval.relevance
        ),
        notes=Notes(pool, embedder=embedder, security=settings.security),
        consolidation=Consolidation(memories.summarise, after_seconds=settings.memory.consolidate_seconds),
    )
    with agent.consolidation.running():
        yield agent
