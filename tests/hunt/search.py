"""Pieces of what a cluster holds, and texts that must not be there -> hits, each with its place and never its value."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import ahocorasick
from sectum.scan import Index

from tests.hunt import spellings
from tests.hunt.texts import SHORTEST, Text, Texts
from tests.hunt.unpack import MOST, TEXTUAL, NotSearched, inside

DEEPEST = 8
_CHUNK = 4 * 2**20
_BLANKS = b" \t\n\r\x0b\x0c"


@dataclass(frozen=True)
class Piece:
    """Some bytes that are searched, and where they are."""

    place: str
    """The kind of place: `etcd`, `objects`, `logs` …"""
    where: str
    data: bytes = field(repr=False)
    holder: str = ""
    """The object that the bytes are of, as resource/namespace/name, if they are of one."""

    @property
    def namespace(self) -> str:
        """Namespace of the holder."""
        return self.holder.split("/")[1] if self.holder.count("/") == 2 else ""


@dataclass(frozen=True)
class Hit:
    """A text that stands somewhere."""

    place: str
    where: str
    """The piece, and with `!` before each step how what it holds was packed."""
    text: Text
    form: str
    at: tuple[int, int] | None
    """Where in the piece it begins and ends, unless something had to be undone."""
    piece: Piece = field(repr=False, compare=False)

    @property
    def decoded(self) -> bool:
        """Did it have to be decoded, and nothing inflated?"""
        steps = self.where.removeprefix(self.piece.where).split("!")[1:]
        return bool(steps) and TEXTUAL.issuperset(steps)


class Search:
    """Looks for all texts at once: in spellings of its own, and markers by Sectum's own scan too, which knows parts."""

    def __init__(self, texts: Texts, *, with_parts: bool = True) -> None:
        self._folded, self._exact = ahocorasick.Automaton(), ahocorasick.Automaton()
        self._longest = 1
        for text in texts.all:
            self._add(self._folded, text, spellings.folded, bytes.lower)
            self._add(self._exact, text, spellings.exact, bytes)
        for automaton in (self._folded, self._exact):
            if automaton:
                automaton.make_automaton()
        self._markers = {text.name: text for text in texts.all if text.marker is not None}
        self._index = None
        if with_parts and self._markers:
            kinds = {name: text.marker for name, text in self._markers.items()}
            self._index = Index({n: (k, self._markers[n].value.decode()) for n, k in kinds.items() if k is not None})
        self.unpacked = 0
        """Bytes searched so far, those of every step counted."""

    def _add(
        self,
        automaton: ahocorasick.Automaton,
        text: Text,
        spelt: Callable[[bytes], Iterator[tuple[str, bytes]]],
        fold: Callable[[bytes], bytes],
    ) -> None:
        words: set[str] = set()
        for form, spelling in spelt(text.value):
            word = fold(spelling).decode("latin-1")
            self._longest = max(self._longest, len(word))
            if len(word) >= SHORTEST and word not in words:  # most texts have nothing to escape
                words.add(word)
                automaton.add_word(word, (*automaton.get(word, ()), (text, form, len(word))))

    def piece(self, piece: Piece) -> list[Hit]:
        """Everything in a piece; raises NotSearched where something in it is too large to look into."""
        found = [Hit(piece.place, f"{piece.where} (its name)", *each, None, piece) for each in self.named(piece.where)]
        seen: set[bytes] = set()
        steps: list[tuple[tuple[str, ...], bytes, bool]] = [((), piece.data, True)]
        size = 0
        while steps:
            trail, data, streams = steps.pop()
            digest = hashlib.sha256(data).digest()
            if digest in seen:
                continue
            seen.add(digest)
            size += len(data)
            if size > len(piece.data) * 64 + MOST:
                raise NotSearched(f"{piece.place} {piece.where}: holds too much once it is unpacked")
            where = "!".join((piece.where, *trail))
            # Sectum's scan undoes what letters are packed in by itself, twice over.
            scanned = () if trail and trail[-1] in TEXTUAL else self._parts(data)
            for text, form, at in (*self._data(data), *scanned):
                found.append(Hit(piece.place, where, text, form, None if trail else at, piece))
            if len(trail) < DEEPEST:
                # What looks like a stream and breaks off is random most often, and so is what it seems to hold.
                deeper = inside(data, streams=streams)
                steps += [((*trail, x.step), x.data, streams and x.whole) for x in deeper if len(x.data) >= SHORTEST]
        self.unpacked += size
        return _each_once(found)

    def named(self, name: str) -> list[tuple[Text, str]]:
        """Which texts a name holds; such a name is not shown."""
        return [(text, form) for text, form, _ in self._data(name.encode())]

    def _data(self, data: bytes) -> Iterator[tuple[Text, str, tuple[int, int] | None]]:
        for start in range(0, max(1, len(data)), _CHUNK):
            chunk = data[start : start + _CHUNK + self._longest]
            for view, places in ((chunk, None), (chunk.translate(None, _BLANKS), chunk)):
                if places is not None and len(view) == len(chunk):
                    continue  # no blanks: it was looked at
                for words, text in ((self._folded, view.lower()), (self._exact, view)):
                    for end, entries in words.iter(text.decode("latin-1")) if words else ():
                        for each, form, length in entries:
                            first, last = (_unblanked(at, places) for at in (end - length + 1, end))
                            yield each, form, (start + first, start + last + 1)

    def _parts(self, data: bytes) -> Iterator[tuple[Text, str, tuple[int, int] | None]]:
        reader = self._index.reader() if self._index else None
        if reader is not None:
            reader.feed(data)
            for sighting in reader.end_answer():
                yield self._markers[sighting.marker], f"{sighting.bits} bits by scan: {'+'.join(sighting.form)}", None


def _unblanked(at: int, chunk: bytes | None) -> int:
    """Where in a chunk a character stands that is at this place of it without blanks; None: it has them still."""
    if chunk is None:
        return at
    return bisect_left(range(len(chunk)), at + 1, key=lambda place: len(chunk[: place + 1].translate(None, _BLANKS)))


def _each_once(hits: Iterable[Hit]) -> list[Hit]:
    """A text once for each place in a piece and form."""
    found: dict[tuple[object, ...], Hit] = {}
    for hit in hits:
        found.setdefault((hit.where, hit.text.kind, hit.text.name, hit.form, hit.at), hit)
    return list(found.values())
