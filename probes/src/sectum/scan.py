"""Turns an answer, as it streams in, into sightings: which markers it carries a part of, in whatever form.

A part of 48 bits is a sighting; parts from 24 bits on count together (split), and as sent. Why no sighting is chance: a
marker's units are drawn uniformly and apart from the text, so a part of b bits stands at any one place of any text with
probability 2^-b, whoever wrote the text. A sighting of one part is left 48 bits less the logarithm of the places read.
Split parts would pay that once each, so they are held to it: when each has paid log2(places), 24 bits must be left.
For two parts in up to 2^20 places, and three of 25 bits in 2^17, that asks for nothing beyond the 64 bits.

Nothing of a text outlives its block but the places in markers (numbers of units) that were seen in it.
"""

import codecs
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import floor, log2
from typing import Any, Final

import ahocorasick

from sectum import forms
from sectum.markers import Kind, units

SIGHTING: Final = 48.0
"""Bits of one contiguous part that make a sighting."""
PART: Final = 24.0
"""Bits of the least part that counts with others, and as sent."""
SPLIT: Final = 64.0
"""Bits that disjoint parts need together."""
LEFT: Final = 24.0
"""Bits that split parts must have left when each has paid for the places where it could have stood by chance."""
BLOCK: Final = 65536
"""Characters scanned at a time."""
OVERLAP: Final = 4096
"""Characters scanned again with the next block: more than the longest form of a whole marker (JSON-escaped twice)."""

_WINDOW: Final = {Kind.HARD: 5, Kind.ENTITY: 2, Kind.SECRET: 8}  # units: the fewest that carry PART bits
_COMMON_FIRST: Final = str.maketrans(
    "e1tas0nrhdcmpufgywbvkxjqz", "".join(map(chr, range(25)))
)  # children are tried in turn
_FORWARD, _BACKWARD = 1, -1
_WORD: Final = -1  # stands for a marker in the entry of a word, which several markers may share

Part = tuple[int, int]  # units, from and to
_Entry = tuple[
    int, int, int
]  # marker, its first unit of the window, direction; or _WORD, number of the word, direction
Form = tuple[str, ...]
Seen = dict[int, dict[Part, Form]]  # by marker


@dataclass(frozen=True, slots=True)
class Sighting:
    """A marker, by its id, of which an answer carries enough."""

    marker: str
    bits: int
    """Bits that were seen, rounded down."""
    form: Form
    """Names of the encodings undone to see it, outermost first; case, width and other spellings are not told apart."""
    split: bool
    """Whether it took several parts, perhaps of two answers."""


class Index:
    """All the markers and decoys of a run, made ready to be looked for; it never changes, and threads may share it.

    Raises ValueError, which names a marker's id and not its text, for a plaintext that is not of its kind.
    """

    __slots__ = ("_bits", "_digits", "_ids", "_lengths", "_letters", "_pairs", "_widths")

    def __init__(self, markers: Mapping[str, tuple[Kind, str]]) -> None:
        self._ids = tuple(markers)
        self._bits: list[list[float]] = []  # by marker: of the units before the first, the second, …
        self._widths = [_WINDOW[kind] for kind, _ in markers.values()]
        numbers: dict[str, int] = {}  # of words
        self._pairs: dict[Part, list[Part]] = defaultdict(list)  # numbers of two words -> markers with first unit
        letters: dict[str, list[_Entry]] = defaultdict(list)
        digits: dict[str, list[_Entry]] = defaultdict(list)
        for number, (marker, (kind, plaintext)) in enumerate(markers.items()):
            spelt = self._units(marker, kind, plaintext)
            if kind is Kind.ENTITY:
                words = [numbers.setdefault(word, len(numbers)) for word in spelt]
                for unit, pair in enumerate(pairwise(words)):
                    self._pairs[pair].append((number, unit))
            else:
                _add_windows(digits if kind is Kind.SECRET else letters, number, spelt, _WINDOW[kind])
        self._lengths = [len(word) for word in numbers]
        for word, number in numbers.items():
            letters[word].append((_WORD, number, _FORWARD))
            letters[word[::-1]].append((_WORD, number, _BACKWARD))
        self._letters, self._digits = _automaton(letters), _automaton(digits)

    def __repr__(self) -> str:
        return f"Index({len(self._ids)} markers)"

    def reader(self) -> "Reader":
        """Begin to read the answers of one arm."""
        return Reader(self)

    def sent(self, text: str) -> dict[str, frozenset[Part]]:
        """Tell which parts of 24 bits or more `text` carries of which markers: what its receiver may know."""
        seen: Seen = {}
        folded = forms.fold(text)
        for start in range(0, max(1, len(folded) - OVERLAP), BLOCK - OVERLAP):
            self.scan(folded[start : start + BLOCK], seen)
        return {self._ids[marker]: frozenset(parts) for marker, parts in seen.items()}

    def weigh(self, marker: str, parts: Iterable[Part]) -> float:
        """The bits of a marker that these parts cover together."""
        bits = self._bits[self._ids.index(marker)]
        units = {unit for start, stop in parts for unit in range(start, stop)}
        return sum(bits[unit + 1] - bits[unit] for unit in units)

    def _units(self, marker: str, kind: Kind, plaintext: str) -> list[str]:
        try:
            drawn = [unit for unit in units(kind, plaintext) if unit.bits]
        except ValueError:
            raise ValueError(f"the plaintext of marker {marker} is not of its kind") from None
        self._bits.append([0.0, *accumulate(unit.bits for unit in drawn)])
        return [forms.skeleton(forms.fold(unit.text)).decode() for unit in drawn]

    def scan(self, block: bytes, seen: Seen) -> int:
        """Add the parts that a folded text carries to `seen`; return how many characters that took."""
        places = 0
        for form, reading in _readings(block):
            places += len(reading)
            for (marker, direction, _), found in self._chains(forms.skeleton(reading)).items():
                here = seen.setdefault(marker, {})
                for part in _joined(sorted(found), self._widths[marker]):
                    here.setdefault(part, form if direction == _FORWARD else (*form, "reversal"))
        return places

    def _chains(self, letters: bytes) -> dict[_Entry, list[int]]:
        """Find windows, and put those together that stand in the text as they stand in a marker (or backwards)."""
        chains: dict[_Entry, list[int]] = defaultdict(list)
        words: list[_Entry] = []
        runs = forms.digit_runs(letters, _WINDOW[Kind.SECRET])
        for automaton, text in ((self._letters, letters), (self._digits, b" ".join(runs))):
            for end, entries in automaton.iter(text.decode("ascii")) if automaton else ():
                for marker, unit, direction in entries:
                    if marker == _WORD:
                        words.append((end, unit, direction))
                    else:
                        chains[marker, direction, end - direction * unit].append(unit)
        if words:
            self._chain_words(words, chains)
        return chains

    def _chain_words(self, words: list[_Entry], chains: dict[_Entry, list[int]]) -> None:
        """Number the words so that two in touch have consecutive numbers, and look up each such pair."""
        last: dict[Part, Part] = {}  # direction and where a word ends -> which it was, and its place
        for number, (end, word, direction) in enumerate(words):
            before, place = last.get((direction, end - self._lengths[word]), (_WORD, 2 * number))
            last[direction, end] = word, place + 1
            pair = (before, word) if direction == _FORWARD else (word, before)
            for marker, unit in self._pairs.get(pair, ()):
                chains[marker, direction, place - direction * unit].append(unit)

    def judge(self, marker: int, now: Mapping[Part, Form], before: Iterable[Part], *, places: int) -> Sighting | None:
        """Weigh the parts of a marker seen in this answer, and in the one before, in so many places."""
        bits = self._bits[marker]
        most, form = max((bits[stop] - bits[start], form) for (start, stop), form in now.items())
        if most >= SIGHTING:
            return Sighting(self._ids[marker], floor(most), form, split=False)
        price = log2(max(2, places))
        together = _together(bits, {*now, *before}, price)
        if together <= _together(bits, {*before}, price):
            return None
        return Sighting(self._ids[marker], floor(together), form, split=True)


class Reader:
    """Reads the answers of one arm, one after the other; it remembers which parts the answer before this one held."""

    __slots__ = ("_before", "_carried", "_decoder", "_index", "_now", "_pending", "_places", "_places_before")

    def __init__(self, index: Index) -> None:
        self._index = index
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = bytearray()
        self._carried = 0  # characters of `_pending` that were scanned before
        self._now: Seen = {}
        self._before: Seen = {}
        self._places = self._places_before = 0

    def __repr__(self) -> str:
        return f"Reader({self._index!r})"

    @property
    def places(self) -> int:
        """Characters scanned for the answer so far, those of each reading of it counted: a measure of the work."""
        return self._places

    def feed(self, chunk: bytes | str) -> None:
        """Take the next piece of the answer, cut anywhere; bytes are UTF-8, and what is not is passed over."""
        text = (
            self._decoder.decode(chunk) if isinstance(chunk, bytes) else self._decoder.decode(b"", final=True) + chunk
        )
        self._pending += forms.fold(text)
        while len(self._pending) >= BLOCK:
            self._places += self._index.scan(bytes(self._pending[:BLOCK]), self._now)
            del self._pending[: BLOCK - OVERLAP]
            self._carried = OVERLAP

    def end_answer(self) -> tuple[Sighting, ...]:
        """Close the answer; tell what it carried, alone or with the one before. The next `feed` begins another."""
        self.feed("")
        if len(self._pending) > self._carried:
            self._places += self._index.scan(bytes(self._pending), self._now)
        places = self._places + self._places_before
        judged = (self._index.judge(m, now, self._before.get(m, ()), places=places) for m, now in self._now.items())
        sightings = tuple(sighting for sighting in judged if sighting)
        self._before, self._now = self._now, {}
        self._places_before, self._places = self._places, 0
        self._pending.clear()
        self._carried = 0
        return sightings


def _readings(folded: bytes) -> Iterator[tuple[Form, bytes]]:
    """Read a text as it is, and as one encoding, or one within another, of something: at most 50 times its length."""
    yield (), folded
    runs = forms.base64_runs(folded)
    for outer, decoded in forms.undo(folded, runs):
        yield (outer,), decoded
        for inner, twice in forms.undo(decoded, inner=True):
            yield (outer, inner), twice
    for inner, decoded in forms.undo(folded[::-1], runs[::-1], inner=True):
        yield ("reversal", inner), decoded
    if restored := forms.undo_cased_base64(runs):
        yield ("case", "base64"), restored


def _add_windows(table: dict[str, list[_Entry]], marker: int, spelt: list[str], width: int) -> None:
    for unit in range(len(spelt) - width + 1):
        window = "".join(spelt[unit : unit + width])
        table[window].append((marker, unit, _FORWARD))
        table[window[::-1]].append((marker, unit, _BACKWARD))


def _automaton(table: Mapping[str, list[_Entry]]) -> Any:
    automaton = ahocorasick.Automaton()
    for text in sorted(table, key=lambda text: text.translate(_COMMON_FIRST)):
        automaton.add_word(text, tuple(table[text]))
    automaton.make_automaton()
    return automaton


def _joined(found: list[int], width: int) -> Iterator[Part]:
    """Join windows, sorted by their first units, where they overlap or are next to one another by one unit."""
    start = 0
    for at in range(1, len(found) + 1):
        if at == len(found) or found[at] > found[at - 1] + 1:
            yield found[start], found[at - 1] + width
            start = at


def _together(bits: list[float], parts: set[Part], price: float) -> float:
    """Find the most bits of disjoint parts, each of PART or more and within one that was seen; 0 if they do not do."""
    if sum(bits[stop] - bits[start] for start, stop in parts) < SPLIT:
        return 0
    most: list[dict[int, float]] = [{} for _ in bits]  # by unit, by number of parts that end before it
    most[0][0] = 0.0
    for start in range(len(bits) - 1):
        reach = max((stop for first, stop in parts if first <= start), default=0)
        for count, total in most[start].items():
            for stop in range(start, reach):
                if (gain := bits[stop + 1] - bits[start]) >= PART:
                    most[stop + 1][count + 1] = max(total + gain, most[stop + 1].get(count + 1, 0.0))
            most[start + 1][count] = max(total, most[start + 1].get(count, 0.0))
    ends = most[-1].items()
    return max((total for count, total in ends if total >= SPLIT and total - count * price >= LEFT), default=0)
