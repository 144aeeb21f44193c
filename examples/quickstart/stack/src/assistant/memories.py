"""Keep what an agent remembers for its users in a LangGraph store, recall it by meaning, and sum it up."""

import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from langgraph.store.base import Item, SearchItem
from langgraph.store.memory import InMemoryStore

from assistant import spaces, titled
from assistant.access import Identity
from assistant.config import Security
from assistant.embedding import DIMENSIONS, Embedder, Vector
from assistant.spaces import Namespace

EVERY = 1_000_000  # the store wants a limit
SUMMARY = "summary"
NOTE = "note"
QUOTED_CHARACTERS = 1_000


@dataclass(frozen=True)
class Memory:
    id: str
    title: str
    text: str


class Memories:
    """Notes of each user in a namespace of his own, and one summary of them; safe to use from several threads."""

    def __init__(self, *, embedder: Embedder, security: Security) -> None:
        def embed(texts: Iterable[str]) -> list[Vector]:
            return titled.vectors(embedder, list(texts))

        # Each part of a memory has a vector of its own: a summary is found by any of the notes that it quotes.
        self._store = InMemoryStore(index={"dims": DIMENSIONS, "embed": embed, "fields": ["parts[*]"]})
        self._security = security
        # The store does not expect to be changed while it searches.
        self._lock = threading.RLock()

    def add(self, identity: Identity, *, title: str, text: str) -> str:
        key = str(uuid.uuid4())
        value = {"kind": NOTE, "title": title, "text": text, "parts": [titled.join(title, text)]}
        with self._lock:
            self._store.put(spaces.own_memories(identity), key, value)
        return key

    def get(self, identity: Identity, key: str) -> Memory | None:
        with self._lock:
            item = self._store.get(spaces.own_memories(identity), key)
        return None if item is None else _memory(item)

    def newest(self, identity: Identity, *, limit: int) -> list[Memory]:
        return [_memory(item) for item in self._newest(spaces.own_memories(identity))[:limit]]

    def delete(self, identity: Identity, key: str) -> bool:
        """Delete a memory of one's own; what the summary quoted of it goes at once. False where there is none."""
        own = spaces.own_memories(identity)
        with self._lock:
            item = self._store.get(own, key)
            if item is None:
                return False
            self._store.delete(own, key)
            if item.value["kind"] == NOTE and self._summary(identity) is not None:
                self.summarise(identity)
        return True

    def recall(self, identity: Identity, cue: str, *, limit: int) -> list[Memory]:
        """Return the memories nearest to a cue, of all that the settings let a recall search."""
        with self._lock:
            found = [
                item
                for prefix in spaces.recalled_memories(identity, self._security)
                for item in self._store.search(prefix, query=cue, limit=limit + 1)
            ]
        # A summary is as near as the nearest note in it; the note itself comes first.
        found.sort(key=lambda item: (-round(item.score or 0.0, 6), item.value["kind"] == SUMMARY, item.key))
        return [_memory(item) for item in found[:limit]]

    def nearest_note(self, identity: Identity, cue: str, *, relevance: float) -> Memory | None:
        """Return the user's own note that is nearest to a cue, or None where none is near enough."""
        with self._lock:
            found = self._store.search(spaces.own_memories(identity), query=cue, limit=2)
        notes = [item for item in found if item.value["kind"] == NOTE and (item.score or 0.0) >= relevance]
        return _memory(notes[0]) if notes else None

    def summarise(self, identity: Identity) -> None:
        """Write the user's summary anew from the notes that there are; without notes there is none."""
        place = spaces.summary_memories(identity, self._security)
        with self._lock:
            old = self._summary(identity)
            if old is not None:
                # The store keeps the vectors of parts that are no more when a memory is only overwritten.
                self._store.delete(place, old.key)
            notes = [item for item in self._newest(spaces.own_memories(identity)) if item.value["kind"] == NOTE]
            if notes:
                value = _summary_of(notes, identity)
                self._store.put(place, str(uuid.uuid4()) if old is None else old.key, value)

    def _summary(self, identity: Identity) -> Item | None:
        place = spaces.summary_memories(identity, self._security)
        wanted = {"kind": SUMMARY, "user": identity.user}
        return next(iter(self._store.search(place, filter=wanted, limit=1)), None)

    def _newest(self, namespace: Namespace) -> list[SearchItem]:
        with self._lock:
            found = self._store.search(namespace, limit=EVERY)
        return sorted(found, key=lambda item: item.created_at, reverse=True)


def _summary_of(notes: list[SearchItem], identity: Identity) -> dict[str, object]:
    """Quote every note under its title, the newest first; of a long one its beginning."""
    quotes = [(note.value["title"], note.value["text"][:QUOTED_CHARACTERS]) for note in notes]
    return {
        "kind": SUMMARY,
        "user": identity.user,
        "title": f"Summary of the notes of {identity.user}",
        "text": "\n\n".join(f"{title}: {text}" for title, text in quotes),
        "parts": [titled.join(title, text) for title, text in quotes],
    }


def _memory(item: Item) -> Memory:
    return Memory(item.key, item.value["title"], item.value["text"])
