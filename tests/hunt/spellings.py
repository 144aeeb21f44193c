"""A text -> the byte strings as which it may stand somewhere. On purpose nothing here uses `sectum.forms`.

What is packed deeper (base64 of gzip, JSON in JSON, …) is undone by `unpack` before these are looked for.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import quote

_BLANK = re.compile(rb"\s+")
_RULED = re.compile(rb"[\s_-]+")


def folded(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Spellings of which upper and lower case are one."""
    yield "plain", value
    yield "without blanks", _BLANK.sub(b"", value)
    yield "without blanks and dashes", _RULED.sub(b"", value)
    yield "reversed", value[::-1]
    yield "hex", value.hex().encode()
    yield "URL, where needed", quote(value, safe="").encode()
    yield "URL, form", quote(value, safe=" ").replace(" ", "+").encode()
    yield "URL, throughout", "".join(f"%{byte:02x}" for byte in value).encode()
    try:
        text = value.decode()
    except UnicodeDecodeError:  # a key: each of its bytes as a character
        text = value.decode("latin-1")
    yield "JSON, where needed", json.dumps(text)[1:-1].encode()
    yield "JSON, throughout", "".join(f"\\u{ord(letter):04x}" for letter in text if ord(letter) < 0x10000).encode()
    yield "bytes as \\x", "".join(f"\\x{byte:02x}" for byte in value).encode()
    # Without the last zero: in one of the two orders it is somebody else's.
    yield "UTF-16", b"\0".join(value[place : place + 1] for place in range(len(value)))


def exact(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Spellings of which the case counts: base64 of it and of it reversed, in both alphabets, wherever it begins."""
    for name, each in (("base64", value), ("base64, reversed", value[::-1])):
        for offset in range(3):
            # Those characters that depend on nothing but the value, whatever stands before and after it.
            start, end = -(-offset * 8 // 6), (offset + len(each)) * 8 // 6
            text = base64.b64encode(b"\0" * offset + each)[start:end]
            yield f"{name} at {offset}", text
            yield f"{name} at {offset}, for URLs", text.replace(b"+", b"-").replace(b"/", b"_")
