"""Notes of users, and a search by words: BM25 without its constants, which is enough for a few hundred notes."""

from __future__ import annotations

import math
import re
import uuid
from collections import Counter
from dataclasses import dataclass

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Account:
    tenant: str
    user: str


@dataclass(frozen=True)
class Note:
    id: str
    owner: Account
    title: str
    text: str

    @property
    def words(self) -> frozenset[str]:
        return words(f"{self.title} {self.text}")


def words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text))


class Notes:
    """All notes of all users. Who may have what is asked of every method but `relevant`, whose caller decides."""

    def __init__(self) -> None:
        self._notes: dict[str, Note] = {}

    def add(self, owner: Account, *, title: str, text: str) -> Note:
        note = Note(str(uuid.uuid4()), owner, title, text)
        self._notes[note.id] = note
        return note

    def of(self, owner: Account) -> list[Note]:
        return [note for note in self._notes.values() if note.owner == owner]

    def get(self, owner: Account, note_id: str) -> Note | None:
        note = self._notes.get(note_id)
        return note if note is not None and note.owner == owner else None

    def delete(self, owner: Account, note_id: str) -> bool:
        return self.get(owner, note_id) is not None and self._notes.pop(note_id) is not None

    def relevant(self, question: str, *, owner: Account | None, most: int) -> list[Note]:
        """The notes that share the question's rarest words; of everybody where no owner is given."""
        notes = [note for note in self._notes.values() if owner is None or note.owner == owner]
        spread = Counter(word for note in notes for word in note.words)
        asked = words(question)
        scores = {note: sum(math.log(1 + len(notes) / spread[word]) for word in asked & note.words) for note in notes}
        best = max(scores.values(), default=0.0)
        chosen = sorted((note for note in notes if scores[note] > best * 0.9), key=lambda note: -scores[note])
        return chosen[:most] if len(asked & (chosen[0].words if chosen else frozenset())) > len(asked) / 3 else []
