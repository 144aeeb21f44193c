"""Turns randomness into marker plaintexts, and a plaintext into the units that its kind's grammar counts.

A marker has to be found in whatever form a model gives it back, and to be found by nobody by chance. So each kind has
a grammar: units drawn independently and uniformly, each of a known number of bits. What a part of a marker proves is
the sum of the bits of its units, whatever the text it is found in.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from math import log2
from typing import Final

Below = Callable[[int], int]
"""Draws a uniform integer of [0, n)."""

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case, without o, i and l (read as 0, 1 and 1) and u: folding loses nothing."""

_FRONTS = """
    Thorn Ash Bram Cald Dray Elm Fern Garn Hazel Ivel Jarro Kest Lang Marl Nether Oak Pem Quarn Red Sel Tam Ulver
    Vern Wex Yar Bex Crom Dun Ever Fal Glen Hart Ken Lud Mid Nor Orm Pres Rav Stan Tarr Under Wal Welling Alder Birch
    Cran Den Eccle Farn Gram Hask Kirk Lin Mans Nun Otter Pads Roth Skel Tring Wim Wren Yelver
"""
_BACKS = """
    bury combe wick well ford stead hurst field dale worth gate bridge stow leigh marsh croft thwaite beck holme
    firth shaw grave minster haven cliffe bourne wold garth pool cote lock cross bank crest rick mouth hythe vale mead
    heath port stoke barrow sett ridge glade watch brook toft keld stone reach wyke fold sands quay tarn stall keep
    march grange lodge park chapel
"""
WORDS: Final = tuple(front + back for front in _FRONTS.split() for back in _BACKS.split())
"""4096 words: none within another, and none to be read across the boundary of two others (a test checks it)."""

LETTERS: Final = ALPHABET[16:]
"""What every fifth character of a HARD marker is drawn from: no part of 24 bits can be in a UUID or a digest by chance,
and be taken for sent by whoever sends one."""

HARD_LENGTH: Final = 16
ENTITY_WORDS: Final = 6
SECRET_DIGITS: Final = 22
SECRET_PREFIX: Final = "ZZ00"  # noqa: S105  (public)
"""An IBAN (ISO 13616-1) of country ZZ, which ISO 3166-1 leaves to users and gives to no country, with check digits 00,
which ISO 7064 MOD 97-10 never yields (they run from 02 to 98): it belongs to nobody, and no bank takes it."""

_HARD_BITS = 77 / 16  # 13 draws of 32 characters, 3 of 16: five in a row carry 24 bits, ten 48
_WORD = re.compile("[A-Z][a-z]+")


class Kind(StrEnum):
    """What a marker looks like; each kind carries at least 64 bits."""

    HARD = "hard"
    """A unique token: 16 characters, 77 bits."""
    ENTITY = "entity"
    """A made-up name that reads as business data: 6 words of 4096, 72 bits."""
    SECRET = "secret"  # noqa: S105  (a kind, not a password)
    """Formatted like an account number that belongs to nobody: 22 random digits, 73 bits."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One draw of a grammar: its spelling (not shown) and the bits that it carries."""

    text: str = field(repr=False)
    bits: float


def draw(kind: Kind, *, below: Below) -> str:
    """Draw the plaintext of one marker; `below` is a CSPRNG's, such as `secrets.randbelow`."""
    match kind:
        case Kind.HARD:
            sources = (LETTERS if place % 5 == 4 else ALPHABET for place in range(HARD_LENGTH))
            return "".join(source[below(len(source))] for source in sources)
        case Kind.ENTITY:
            return " ".join(WORDS[below(len(WORDS))] for _ in range(ENTITY_WORDS))
        case Kind.SECRET:
            return SECRET_PREFIX + "".join(str(below(10)) for _ in range(SECRET_DIGITS))


def units(kind: Kind, plaintext: str) -> tuple[Unit, ...]:
    """Split a marker, or a contiguous part of one, into its units; a prefix that is the same in all carries 0 bits.

    Raises ValueError, which does not repeat the text, for what the kind's grammar cannot have drawn.
    """
    match kind:
        case Kind.HARD:
            found = [Unit(letter, _HARD_BITS) for letter in plaintext if letter in ALPHABET]
            separator = ""
        case Kind.ENTITY:
            found = [Unit(word, 12.0) for word in _WORD.findall(plaintext) if word in _KNOWN]
            separator = " "
        case Kind.SECRET:
            digits = plaintext.removeprefix(SECRET_PREFIX)
            found = [Unit(digit, log2(10)) for digit in digits if digit in "0123456789"]
            found[:0] = [Unit(SECRET_PREFIX, 0.0)] * (digits != plaintext)
            separator = ""
    if separator.join(unit.text for unit in found) != plaintext:
        raise ValueError(f"not a text of the grammar of a {kind} marker")
    return tuple(found)


_KNOWN = frozenset(WORDS)
