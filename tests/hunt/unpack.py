"""Bytes -> what is packed in them: compressed streams, archives, PDFs, and texts in base64, hex or escapes."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import pypdf
import zstandard

MOST = 512 * 2**20
"""Bytes that one stream may grow to. Beyond that the hunt says that it could not search, and fails."""
TEXTUAL = frozenset({"base64", "base64 in lines", "hex", "escapes", "URL"})
"""Steps from letters to what they stand for."""
_LEAST = 8
"""Bytes of a text that is looked for, at least: what yields less holds none."""


class NotSearched(Exception):
    """Something could not be searched; the message names where."""


@dataclass(frozen=True)
class Inner:
    """What was found inside of something: how it was packed, and its bytes."""

    step: str
    data: bytes
    whole: bool = True
    """Did a compressed stream come to its proper end? What did not was most often none."""


def inside(data: bytes, *, streams: bool = True) -> Iterator[Inner]:
    """Everything that is packed in it, one layer deep; without `streams` only what letters stand for."""
    if not streams:
        yield from _runs(data)
        return
    if data.startswith(b"PK\x03\x04") and zipfile.is_zipfile(io.BytesIO(data)):
        yield from _zip(data)
        return
    if data.startswith(b"%PDF"):
        yield from _pdf(data)
        return
    if data[257:262] == b"ustar":
        yield from _tar(data)
        return
    yield from _streams(data)
    yield from _runs(data)


def _zip(data: bytes) -> Iterator[Inner]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        yield Inner("comment", archive.comment)
        for member in archive.infolist():
            about = b"\n".join((member.filename.encode(), member.comment, member.extra))
            yield Inner(f"{member.filename} (its name)", about)
            if member.file_size > MOST:
                raise NotSearched("a zip's member is too large to search")
            yield Inner(member.filename, archive.read(member))


def _tar(data: bytes) -> Iterator[Inner]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            yield Inner(f"{member.name} (its name)", f"{member.name}\n{member.linkname}".encode())
            if (content := archive.extractfile(member) if member.isfile() else None) is not None:
                yield Inner(member.name, content.read())


def _pdf(data: bytes) -> Iterator[Inner]:
    reader = pypdf.PdfReader(io.BytesIO(data))
    about = {str(key): str(value) for key, value in (reader.metadata or {}).items()}
    yield Inner("metadata", json.dumps(about, ensure_ascii=False).encode())
    for number, page in enumerate(reader.pages, start=1):
        yield Inner(f"page {number}", page.extract_text().encode())
        if (content := page.get_contents()) is not None:
            yield Inner(f"stream of page {number}", content.get_data())
    yield from _streams(data)  # attachments, metadata streams, whatever no page shows


# --- compressed streams, wherever they begin --------------------------------------------------------------------------

_GZIP = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")
_ZLIB = re.compile(rb"[\x08\x18\x28\x38\x48\x58\x68\x78](?=.)", re.DOTALL)  # ahead: the next may begin one later
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd")
_ZIP = re.compile(rb"PK\x03\x04")
_TRY = 4096


def _streams(data: bytes) -> Iterator[Inner]:
    """Inflate what begins like gzip, zlib, zstd or a zip's member; what breaks counts as far as it went."""
    for name, pattern, bits in (("gzip", _GZIP, 31), ("zlib", _ZLIB, 15)):
        for found in pattern.finditer(data):
            at = found.start()
            if name == "zlib" and (data[at] << 8 | data[at + 1]) % 31:
                continue  # RFC 1950: the two bytes of a header are a multiple of 31
            yield from _inflated(name, data, at, bits)
    for found in _ZSTD.finditer(data):
        yield from _unzstd(data, found.start())
    for found in _ZIP.finditer(data):
        # A zip's member within something else, by its local header.
        header = data[found.start() : found.start() + 30]
        if len(header) == 30 and header[8:10] == b"\x08\x00":
            begin = (
                found.start() + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            )
            yield from _inflated("member of a zip", data, begin, -15)


def _inflated(name: str, data: bytes, at: int, bits: int) -> Iterator[Inner]:
    stream, taken, size = zlib.decompressobj(bits), at, 0
    parts = []
    while not stream.eof and taken < len(data):
        step = _TRY if taken == at else 1 << 20  # most that look like a stream are none: find out cheaply
        fed = data[taken : taken + step]
        taken += len(fed)
        try:
            parts.append(stream.decompress(fed, MOST - size + 1))
        except zlib.error:
            # A flipped byte or a cut spoils the end only.
            parts = [_as_far(data[at:taken], bits)]
            break
        size += len(parts[-1])
        if size > MOST:
            raise NotSearched("a compressed stream is too large to search")
    inflated = b"".join(parts)
    if len(inflated) >= _LEAST:
        yield Inner(name, inflated, whole=stream.eof)


def _as_far(packed: bytes, bits: int) -> bytes:
    """Fed in small bites, for what goes wrong costs all of its bite."""
    stream = zlib.decompressobj(bits)
    out = bytearray()
    with contextlib.suppress(zlib.error):
        for place in range(0, len(packed), 16):
            out += stream.decompress(packed[place : place + 16])
    return bytes(out)


def _unzstd(data: bytes, at: int) -> Iterator[Inner]:
    out = bytearray()
    stream = zstandard.ZstdDecompressor().decompressobj()
    with contextlib.suppress(zstandard.ZstdError):
        for place in range(at, len(data), 1 << 16):
            out += stream.decompress(data[place : place + (1 << 16)])
            if len(out) > MOST:
                raise NotSearched("a compressed stream is too large to search")
            if stream.eof:
                break
    if len(out) >= _LEAST:
        yield Inner("zstd", bytes(out), whole=stream.eof)


# --- texts ------------------------------------------------------------------------------------------------------------

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_LINE = re.compile(rb"[A-Za-z0-9+/]{60}")
_LINE_END = re.compile(rb"(?:\\n|\r?\n[ \t]*)(?=[A-Za-z0-9+/])")
_HEX = re.compile(rb"[0-9A-Fa-f]{16,}")
_PRINTED = re.compile(rb"[\x09\x0a\x0d\x20-\x7e\x80-\xff]{8,}")
_ESCAPE = re.compile(rb'\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[0-7]{3}|[nrtbf"/\\])')
_URL = re.compile(rb"%[0-9A-Fa-f]{2}")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_APART = b"\n\0\n"
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def _runs(data: bytes) -> Iterator[Inner]:
    """All runs of a kind together: each is short, and there are many."""
    runs = _BASE64.findall(data)
    for start in range(4) if runs else ():
        yield Inner("base64", _APART.join(_unbase64(run, start) for run in runs))
    if (joined := _LINE_END.sub(_between_lines, data)) != data:
        broken = [found[0] for found in _BASE64.finditer(joined) if len(found[0]) > 120]
        yield Inner("base64 in lines", _APART.join(_unbase64(run, 0) for run in broken))
    runs = [found[0] for found in _HEX.finditer(data)]
    for start in (0, 1) if runs else ():
        even = (run[start : start + (len(run) - start) // 2 * 2] for run in runs)
        yield Inner("hex", _APART.join(map(binascii.unhexlify, even)))
    for step, sign, escape, undone in (("escapes", b"\\", _ESCAPE, _unescape), ("URL", b"%", _URL, unquote_to_bytes)):
        if sign in data and (marked := [run for run in _PRINTED.findall(data) if sign in run and escape.search(run)]):
            yield Inner(step, _APART.join(map(undone, marked)))


def _between_lines(found: re.Match[bytes]) -> bytes:
    """Nothing, where a line of base64 ends; looked at from its end, for there are far fewer ends than letters."""
    before = found.string[max(0, found.start() - 60) : found.start()]
    return b"" if _LINE.fullmatch(before) else found[0]


def _unbase64(run: bytes, start: int) -> bytes:
    """What a run of letters stands for, if its first group of four begins there."""
    here = run[start:].translate(_STANDARD)
    here = here[:-1] if len(here) % 4 == 1 else here
    return base64.b64decode(here + b"=" * (-len(here) % 4))


def _unescape(run: bytes) -> bytes:
    """As text; and where it differs, bytes that were written down as if they were characters, too."""
    text = _ESCAPE.sub(lambda found: _unescaped(found[0]), run)
    raw = _ESCAPE.sub(lambda found: _unescaped(found[0], latin=True), run)
    return text if text == raw else text + _APART + raw


def _unescaped(escape: bytes, *, latin: bool = False) -> bytes:
    kind = escape[1:2]
    if kind == b"u":
        code = int(escape[2:], 16)
        return bytes((code,)) if latin and code < 256 else chr(code).encode("utf-8", "surrogatepass")
    if kind == b"x":
        return bytes((int(escape[2:], 16),))
    if kind.isdigit():
        return bytes((int(escape[1:], 8) & 255,))
    return _PLAIN.get(kind, kind)
