"""etcd's files -> pieces: the value of every object in them, live or overwritten, and all that lies between.

Kubernetes keeps custom resources as JSON and its own kinds as protobuf. etcd writes each change first into its
write-ahead log, as a PutRequest, and then into its bbolt database, as a KeyValue; a page that is free again keeps what
was on it. So nothing is asked of etcd: its files are read as bytes. Each is in one piece, but for runs of zeros.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.hunt.search import Hit, Piece

PLACE = "etcd"
_KEY = re.compile(rb"\x0a([\x00-\xff])(?:([\x00-\x7f]))?(/registry/[\x20-\x7e]+)", re.DOTALL)
_ZEROS = re.compile(rb"\0{256,}")
_META, _PAGES = 0xED0CDAED, {1, 2, 4, 16}
_CONTEXT = 48


@dataclass(frozen=True)
class Span:
    """A value of an object: where it lies in a file."""

    key: str
    start: int
    stop: int


@dataclass
class Etcd:
    """What was read, for questions about hits between objects."""

    values: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    """By holder, every value that it ever had here."""

    def pieces(self, files: Mapping[str, bytes]) -> Iterator[Piece]:
        """Every value once, however many copies of it there are, and every gap."""
        seen: set[tuple[str, bytes]] = set()
        for name, data in files.items():
            behind = 0
            for span in spans(data):
                yield from _gap(name, data, behind, span.start)
                behind = span.stop
                value = data[span.start : span.stop]
                digest = hashlib.sha256(value).digest()
                if (span.key, digest) not in seen:
                    seen.add((span.key, digest))
                    holder = holder_of(span.key)
                    self.values[holder].append(value)
                    yield Piece(PLACE, f"{name} at {span.start}: {span.key}", value, holder)
            yield from _gap(name, data, behind, len(data))

    def torn(self, hit: Hit) -> bool:
        """Is a hit between objects part of an old copy of a value that the text belongs into, cut by a newer page?

        It is where the bytes around it are those around the text in such a value, as far as this one goes.
        """
        if hit.piece.holder or hit.at is None:
            return False
        data, (start, stop) = hit.piece.data, hit.at
        for home in hit.text.homes:
            for value in self.values.get(home, ()):
                for found in re.finditer(re.escape(data[start:stop]), value):
                    before = _alike(data[:start][::-1], value[: found.start()][::-1])
                    after = _alike(data[stop:], value[found.end() :])
                    if before + after >= 16:
                        return True
        return False


def _alike(one: bytes, other: bytes) -> int:
    pairs = zip(one[:_CONTEXT], other[:_CONTEXT], strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other), _CONTEXT))


def _gap(name: str, data: bytes, start: int, stop: int) -> Iterator[Piece]:
    for zeros in [*_ZEROS.finditer(data, start, stop), None]:
        end = zeros.start() if zeros else stop
        if end > start:
            yield Piece(PLACE, f"{name} at {start}: between objects", data[start:end])
        start = zeros.end() if zeros else stop


def spans(data: bytes) -> Iterator[Span]:
    """The values in a file, in order; one within another counts as a part of it."""
    pages, behind = list(_page_starts(data)), 0
    page = 0
    for found in _KEY.finditer(data):
        if found.start() < behind:
            continue
        for key_at in {found.start(1) + 1, found.start(3)}:
            span = _value(data, found.start() + 1, key_at)
            if span is None or span.start < behind:
                continue
            while page < len(pages) and pages[page] <= span.start:
                page += 1
            # Where a newer page begins within it, it is an old copy of which the rest is overwritten.
            stop = min(span.stop, pages[page] if page < len(pages) else len(data))
            yield Span(span.key, span.start, stop)
            behind = stop
            break


def _value(data: bytes, length_at: int, key_at: int) -> Span | None:
    """Of a PutRequest (key 1, value 2) or a KeyValue (key 1, revisions and version 2 to 4, value 5)."""
    length, at = _varint(data, length_at)
    key = data[at : at + length]
    if at != key_at or not re.fullmatch(rb"/registry/[\x20-\x7e]+", key):
        return None
    at += length
    for _ in range(4):
        tag, at = data[at : at + 1], at + 1
        number, at = _varint(data, at)
        if tag in (b"\x12", b"\x2a"):
            return Span(key.decode(), at, at + number) if 0 < number <= len(data) - at + 2**20 else None
        if tag not in (b"\x10", b"\x18", b"\x20"):
            return None
    return None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            break
    return number, at


def _page_starts(data: bytes) -> Iterator[int]:
    """Where pages of a bbolt database begin, those that only go on from another left out; none in another file."""
    if len(data) < 32 or struct.unpack_from("<I", data, 16)[0] != _META:
        return
    size = struct.unpack_from("<I", data, 24)[0]
    for number in range(len(data) // size):
        page, flags = struct.unpack_from("<QH", data, number * size)
        if page == number and flags in _PAGES:
            yield number * size


def holder_of(key: str) -> str:
    """`/registry/…` -> resource/namespace/name."""
    parts = key.split("/")[2:]
    if "." in parts[0] or parts[0] == "services":
        parts = parts[1:]  # a custom resource's group; specs and endpoints of services
    return "/".join(parts) if len(parts) != 2 else f"{parts[0]}//{parts[1]}"
