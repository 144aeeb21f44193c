"""A pack's members -> one zip or folder, and back without tolerance: only bytes that `to_zip` would write are read.

The zip is written by hand (PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12, 4.3.16) so that its every byte follows from
the members; docs/pack-format.md gives the layout. What is not exactly so is refused: duplicates, another order,
compression, links, comments, gaps, bytes before, between or after.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from sectum.errors import NotVerified

MAX_MEMBERS = 60_000
MAX_BYTES = 256 << 20
"""Of all members together; a zip may be larger by its directory."""

_MAX_ZIP = MAX_BYTES + MAX_MEMBERS * 512
_NAME = re.compile(r"(?:records/)?[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_VERSION, _MADE_BY_UNIX = 20, 3 << 8
_DATE_1980 = 1 << 5 | 1
_REGULAR_FILE = (stat.S_IFREG | 0o644) << 16
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")


class BadContainer(NotVerified):
    """Not a zip or folder that a pack can be; the message says why."""


def to_zip(members: Mapping[str, bytes]) -> bytes:
    """The one zip of these members: stored, sorted by name, dated 1980-01-01, mode 0644; raises BadContainer."""
    _bounded(len(members), sum(map(len, members.values())))
    local, central = bytearray(), bytearray()
    for name in sorted(members):
        data, label = members[name], _label(name)
        # version, flags, method, time, date; CRC and both sizes; length of the name
        common = (_VERSION, 0, 0, 0, _DATE_1980, zlib.crc32(data), len(data), len(data), len(label))
        place = _CENTRAL.pack(b"PK\x01\x02", _VERSION | _MADE_BY_UNIX, *common, 0, 0, 0, 0, _REGULAR_FILE, len(local))
        central += place + label
        local += _LOCAL.pack(b"PK\x03\x04", *common, 0) + label + data
    count = len(members)
    return bytes(local + central + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(central), len(local), 0))


def from_zip(data: bytes) -> dict[str, bytes]:
    """The members of a zip that `to_zip` could have written, byte for byte; else BadContainer."""
    members: dict[str, bytes] = {}
    size = 0
    for name, content in _local_entries(data):
        if name in members:
            raise BadContainer(f"{name} is there twice")
        members[name] = content
        size += len(content)
        _bounded(len(members), size)
    if to_zip(members) != data:
        raise BadContainer("not byte for byte the zip that its members make")
    return members


def _local_entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    place = 0
    while data[place : place + 4] == b"PK\x03\x04":
        if place + _LOCAL.size > len(data):
            raise BadContainer("cut off")
        fields = _LOCAL.unpack_from(data, place)
        size, length = fields[8], fields[9]
        begin = place + _LOCAL.size + length
        label = data[place + _LOCAL.size : begin]
        place = begin + size
        if place > len(data):
            raise BadContainer("cut off")
        yield _name(label), data[begin:place]


def from_folder(folder: Path) -> dict[str, bytes]:
    """The regular files of a folder and of its `records`; anything else in it raises BadContainer."""
    members: dict[str, bytes] = {}
    size = 0
    for prefix, place in (("", folder), ("records/", folder / "records")):
        if prefix and not (place.is_dir() and not place.is_symlink()):
            continue
        for entry in sorted(os.scandir(place), key=lambda each: each.name):
            if not prefix and entry.name == "records" and entry.is_dir(follow_symlinks=False):
                continue
            if not entry.is_file(follow_symlinks=False):
                raise BadContainer("holds something that is no regular file")
            size += entry.stat(follow_symlinks=False).st_size
            _bounded(len(members) + 1, size)
            members[_name((prefix + entry.name).encode(errors="replace"))] = Path(entry.path).read_bytes()
    _bounded(len(members), sum(map(len, members.values())))
    return members


def read(path: Path) -> dict[str, bytes]:
    """A pack's members out of its zip or folder; raises BadContainer."""
    try:
        if path.is_dir():
            return from_folder(path)
        if path.stat().st_size > _MAX_ZIP:
            raise BadContainer("larger than a pack may be")
        return from_zip(path.read_bytes())
    except OSError as error:
        raise BadContainer(f"cannot be read ({type(error).__name__})") from None


def _label(name: str) -> bytes:
    if not _NAME.fullmatch(name) or len(name) > 200:
        raise BadContainer("a member's name is not one that a pack may have")
    return name.encode()


def _name(label: bytes) -> str:
    """ASCII letters, digits, `-`, `_` and single dots inside; no folder but `records/`: so no `..`, root or drive."""
    name = label.decode("ascii", errors="replace")
    _label(name)
    return name


def _bounded(count: int, size: int) -> None:
    if not 0 < count <= MAX_MEMBERS or size > MAX_BYTES:
        raise BadContainer(f"empty, or more than {MAX_MEMBERS} members or {MAX_BYTES >> 20} MiB")
