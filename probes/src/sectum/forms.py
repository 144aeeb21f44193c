"""Turns a text into each form in which it may come back, and a text that came back into what it may have been.

A form is t2(t1(f)): f is a contiguous part of a marker, t1 and t2 are of the numbered list `TRANSFORMATIONS`. Looking
for a form goes the other way. `fold` and `skeleton` undo what changes letters one by one (case, width, zero-width
characters, homoglyphs); `undo` decodes what could be an encoding. Reversal needs no undoing of its own: whoever looks
for a text looks for the reversed text too.

All of it is linear in the text: every function passes over it a constant number of times, in C wherever a pass touches
each character, and yields at most three bytes for each byte that it reads.
"""

import base64
import json
import re
import unicodedata
from binascii import a2b_base64, unhexlify
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from sectum.markers import Below

ZERO_WIDTH: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
HOMOGLYPHS: Final = {
    **{"a": "аɑα", "b": "Ь", "c": "сϲ", "d": "ԁ", "e": "еҽ", "g": "ɡ", "h": "һ", "i": "іι", "j": "јϳ", "k": "кκ"},
    **{"l": "ӏ", "m": "м", "n": "ո", "o": "оοօ", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ", "t": "тτ", "u": "ս"},
    **{"v": "ѵ", "w": "ԝ", "x": "хχ", "y": "у", "A": "АΑ", "B": "ВΒ", "C": "СϹ", "E": "ЕΕ", "H": "НΗ", "I": "ІΙ"},
    **{"J": "ЈͿ", "K": "КΚ", "M": "МΜ", "O": "ОΟ", "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "V": "Ѵ", "W": "Ԝ", "X": "ХΧ"},
    **{"Y": "УҮ", "Z": "Ζ"},
}
"""Letters beyond ASCII that look like one of ASCII (of UTS 39's confusables.txt), none standing for two."""


@dataclass(frozen=True, slots=True)
class Transformation:
    """One row of the list: a number and a name that findings cite, and what is done to a text."""

    number: int
    name: str
    apply: Callable[[str, Below], str]


def _case(text: str, below: Below) -> str:
    change = (str.upper, str.lower, str.swapcase)
    whole = below(4)
    return change[whole](text) if whole < 3 else "".join(change[below(3)](letter) for letter in text)


def _width(text: str, below: Below) -> str:
    wide = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
    return text.translate(wide)


def _zero_width(text: str, below: Below) -> str:
    return "".join(letter + ZERO_WIDTH[below(len(ZERO_WIDTH))] * below(3) for letter in text)


def _homoglyphs(text: str, below: Below) -> str:
    return "".join((letter + HOMOGLYPHS.get(letter, ""))[below(1 + len(HOMOGLYPHS.get(letter, "")))] for letter in text)


def _base64(text: str, below: Below) -> str:
    around = " \"':;,./(=-"
    before, after = ("".join(around[below(len(around))] for _ in range(below(3))) for _ in range(2))
    encode = (base64.b64encode, base64.urlsafe_b64encode)[below(2)]
    return encode((before + text + after).encode()).decode().rstrip("=" * below(2))


def _hex(text: str, below: Below) -> str:
    return (text.encode().hex(), text.encode().hex().upper())[below(2)]


def _url_escape(text: str, below: Below) -> str:
    share = below(3)  # 0: only what must be escaped, 1: half of the rest too, 2: everything
    return "".join("".join(f"%{b:02X}" for b in c.encode()) if below(2) < share else quote(c, safe="") for c in text)


def _json_escape(text: str, below: Below) -> str:
    share = below(3)
    return "".join(f"\\u{ord(c):04x}" if below(2) < share else json.dumps(c)[1:-1] for c in text)


TRANSFORMATIONS: Final = tuple(
    Transformation(number, name, apply)
    for number, (name, apply) in enumerate(
        (
            ("identity", lambda text, below: text),
            ("case", _case),
            ("width", _width),
            ("zero-width", _zero_width),
            ("homoglyphs", _homoglyphs),
            ("base64", _base64),
            ("hex", _hex),
            ("url-escape", _url_escape),
            ("json-escape", _json_escape),
            ("reversal", lambda text, below: text[::-1]),
        ),
        start=1,
    )
)
"""The numbered list. base64 comes in both alphabets, padded or not, at the three offsets (within something longer)."""

# --- letters one by one -----------------------------------------------------------------------------------------------


class _Fold(dict[int, str | None]):
    """Characters beyond ASCII -> the ASCII that they stand for; nothing for all others."""

    def __missing__(self, code: int) -> None:
        return None


def _compatible() -> Iterator[tuple[int, str]]:
    blocks = ((0x80, 0x3400), (0xA640, 0xAC00), (0xF900, 0x10000), (0x1D400, 0x1D800), (0x1F100, 0x1F200))
    for code in chain.from_iterable(range(*block) for block in blocks):
        yield code, unicodedata.normalize("NFKD", chr(code)).encode("ascii", "ignore").decode()


_TWINS = [(letter, twin) for letter, twins in HOMOGLYPHS.items() for twin in twins]
_FOLD: Final = _Fold(
    {code: letters for code, letters in _compatible() if letters}
    | {ord(cased(twin)): cased(letter) for letter, twin in _TWINS for cased in (str.upper, str.lower)}
    | {ord(twin): letter for letter, twin in _TWINS}
    | {ord("Ν"): "N", ord("ν"): "v", ord("Υ"): "Y", ord("υ"): "u"}  # as they look, not as they change case
)
_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")


def fold(text: str) -> bytes:
    """Read a text as ASCII, case kept: wide letters and homoglyphs as what they look like, anything else left out.

    Character by character, so that it does not matter where a stream is cut, and no run of combining marks costs the
    quadratic time of a canonical ordering (UAX 15).
    """
    if not text.isascii():
        text = _BEYOND_ASCII.sub(lambda found: found[0].translate(_FOLD), text)
    return text.encode("ascii")


_KEPT: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BARRIER: Final = b"\x1d"  # between pieces that did not stand next to one another; ASCII's group separator
_LEFT_OUT: Final = bytes(set(range(256)) - set(_KEPT + _BARRIER))
_PLAIN: Final = bytes(range(256)).lower().translate(bytes.maketrans(b"oil", b"011"))


def skeleton(folded: bytes) -> bytes:
    """Leave of a folded text what no re-spelling changes: digits and small letters, with o, i, l as 0, 1, 1."""
    return folded.translate(_PLAIN, _LEFT_OUT)


# --- encodings --------------------------------------------------------------------------------------------------------

SHORTEST: Final = 5
"""Characters of the shortest part that counts (a HARD marker's 25 bits): the least that an encoding has to hold."""
REACH: Final = 128
"""Characters around an escape that are read with it: more than a whole marker, or its base64, has without one."""


def undo(folded: bytes, runs: bytes | None = None, *, inner: bool = False) -> Iterator[tuple[str, bytes]]:
    """Read a folded text as each encoding: the encoding's name, and what of the decoded could be text, folded again.

    `runs` are the `base64_runs` of the text, for who has them already. `inner` says that something else was undone
    before: then the decoded is the part of a marker itself, which is ASCII and has no line ends, and less can be text.
    """
    if decoded := _unescape_url(folded):
        yield "url-escape", decoded
    if decoded := _unescape_json(folded, _JSON_CODES if inner else _JSON):
        yield "json-escape", decoded
    if decoded := _unhex(folded, inner=inner):
        yield "hex", decoded
    if decoded := _unbase64(base64_runs(folded) if runs is None else runs, inner=inner):
        yield "base64", decoded


def _around(found: Iterable[re.Match[bytes]], text: bytes) -> bytes:
    spans: list[list[int]] = []
    for match in found:
        if spans and match.start() - REACH <= spans[-1][1]:
            spans[-1][1] = match.end() + REACH
        else:
            spans.append([max(0, match.start() - REACH), match.end() + REACH])
    return _BARRIER.join(text[start:stop] for start, stop in spans)


_URL = re.compile(rb"%[0-9A-Fa-f]{2}")


def _unescape_url(folded: bytes) -> bytes:
    if b"%" not in folded:
        return b""
    return fold(unquote_to_bytes(_around(_URL.finditer(folded), folded)).decode("utf-8", "ignore"))


_JSON = re.compile(rb"\\(?:[uU][0-9A-Fa-f]{4}|[xX][0-9A-Fa-f]{2}|[nrtbfNRTBF\\])")
_JSON_CODES = re.compile(rb"\\(?:[uU][0-9A-Fa-f]{4}|[xX][0-9A-Fa-f]{2})")
_JSON_TEXT = re.compile(_JSON.pattern.decode())


def _unescape_json(folded: bytes, escape: re.Pattern[bytes]) -> bytes:
    if b"\\" not in folded:
        return b""
    text = _around(escape.finditer(folded), folded).decode("ascii")
    return fold(_JSON_TEXT.sub(lambda found: _unescaped(found[0]), text))


def _unescaped(escape: str) -> str:
    if len(escape) > 2:
        return chr(int(escape[2:], 16))
    return "\\" if escape == "\\\\" else "\n"


def _members(*members: bytes) -> bytes:
    """Make a table that turns each byte into the number of the class that it belongs to, 0 for none."""
    table = bytearray(256)
    for number, those in enumerate(members, start=1):
        for member in those:
            table[member] = number
    return bytes(table)


def _runs(classes: bytes, least: int) -> Iterator[tuple[int, int]]:
    """Find the runs of class 1 that are at least that long."""
    start = classes.find(b"\1" * least)
    while start >= 0:
        stop = classes.find(b"\0", start)
        if stop < 0:
            stop = len(classes)
        yield start, stop
        start = classes.find(b"\1" * least, stop)


_DIGIT: Final = _members(b"0123456789")


def digit_runs(letters: bytes, least: int) -> list[bytes]:
    """Find the runs of digits that are at least that long."""
    return [letters[start:stop] for start, stop in _runs(letters.translate(_DIGIT), least)]


_HEX: Final = _members(b"0123456789abcdefABCDEF")


def _unhex(folded: bytes, *, inner: bool) -> bytes:
    runs = [folded[start:stop] for start, stop in _runs(folded.translate(_HEX), 2 * SHORTEST)]
    if not runs:
        return b""
    even = (run[: len(run) & ~1] for run in runs)
    odd = (run[1 : len(run) - 1 + len(run) % 2] for run in runs)
    return _legible(unhexlify(b"00".join(chain(even, odd))), inner=inner)


_SIGNS: Final = _KEPT + b" %\\+/=_-,.&'\n"
_ASCII_TEXT: Final = _members(_SIGNS)
_TEXT: Final = _members(
    _SIGNS,
    bytes((0xC2, 0xC9, *range(0xCD, 0xD7))),  # first bytes of two: soft hyphen, homoglyphs
    b"\xe2\xe3\xef",  # first bytes of three: zero-width, wide
    bytes(range(0x80, 0xC0)),
)
_ONLY_TEXT: Final = bytes((0, 1, 0, 0, 0)) + bytes(251)


def _legible(decoded: bytes, *, inner: bool) -> bytes:
    """Keep the runs that could be text of a form, which leaves next to nothing of what was no encoding."""
    if inner:
        classes = decoded.translate(_ASCII_TEXT)
    else:
        classes = decoded.translate(_TEXT).replace(b"\2\4", b"\1\1").replace(b"\3\4\4", b"\1\1\1")
        classes = classes.translate(_ONLY_TEXT)
    kept = _BARRIER.join(decoded[start:stop] for start, stop in _runs(classes, SHORTEST))
    return fold(kept.decode("utf-8", "ignore"))


_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_BASE64_RUN = re.compile(rb"[0-9A-Za-z+/_-]{7,}")  # 7: the base64 of SHORTEST


def base64_runs(folded: bytes) -> bytes:
    """Keep of a text the runs of letters of base64, of either alphabet, that are long enough to matter."""
    return b"=".join(_BASE64_RUN.findall(folded))


def _unbase64(runs: bytes, *, inner: bool) -> bytes:
    if not runs:
        return b""
    letters = runs.translate(_STANDARD, b"=") + b"AAA"
    decoded = (a2b_base64(letters[skip : len(letters) - (len(letters) - skip) % 4]) for skip in range(4))
    return _legible(b"\0".join(decoded), inner=inner)


# base64 whose case was changed cannot be decoded in general. Where it holds letters, digits, spaces and punctuation of
# ASCII it can: of each two letters that differ in case alone, one only can stand at that place of a group of four.
# Two things stay open: the last letter before padding (it is marked first), and a capital as third of three bytes.

_CASELESS: Final = bytes(_STANDARD[b : b + 1].lower()[0] if b in _BASE64 + b"-_" else ord("=") for b in range(256))
_LOWER: Final = _members(b"0123456789abcdefghijklmnopqrstuvwxyz")
_MARKED: Final = {b"g": b"\x80", b"w": b"\x81"}


def _cased(values: Iterable[int], *, marked: bool = False) -> bytes:
    """Make the table that gives a letter, whose case is lost, that of the values; any other becomes `A`."""
    table = bytearray(b"A" * 256)
    for value in values:
        table[_BASE64[value : value + 1].lower()[0]] = _BASE64[value]
    for letter, mark in _MARKED.items():
        table[mark[0]] = letter[0] if marked else table[letter[0]]
    return bytes(table)


_QUARTERS: Final = (
    _cased(range(8, 32)),
    _cased((16 * low + high for high in (0, *range(2, 8)) for low in range(4)), marked=True),
    _cased(4 * low + high for low in range(16) for high in range(2)),
    _cased(range(26, 64)),
)
_TO_CAPITAL: Final = 26


def undo_cased_base64(runs: bytes) -> bytes:
    """Read the `base64_runs` of a text as base64 of a part of a marker, the case of which was changed afterwards."""
    letters = runs.translate(_CASELESS) + b"==="
    for letter, mark in _MARKED.items():
        letters = letters.replace(letter + b"=", mark + b"=")
    as_lower: list[bytes] = []
    as_capital: list[bytes] = []
    for skip in range(4):
        quads = letters[skip : len(letters) - (len(letters) - skip) % 4]
        restored = bytearray(len(quads))
        for place, table in enumerate(_QUARTERS):
            restored[place::4] = quads[place::4].translate(table)
        decoded = a2b_base64(restored)
        for start, stop in _runs(decoded.translate(_LOWER), SHORTEST):
            first = start - 1 if start and 0x40 < decoded[start - 1] <= 0x60 else start
            as_lower.append(decoded[first:stop])
            capital = bytes((decoded[first] - _TO_CAPITAL,)) if first % 3 == 2 else decoded[first : first + 1]
            as_capital.append(capital + decoded[first + 1 : stop])
        as_lower.append(_BARRIER)
        as_capital.append(_BARRIER)
    return b" ".join(chain(as_lower, as_capital))
