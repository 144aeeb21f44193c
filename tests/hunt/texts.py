"""What must not be found: a text, what kind of thing it is, and the few objects that it belongs into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sectum.markers import Kind

SHORTEST = 8
"""Bytes. What is shorter stands in too much by chance; the report says how many texts that left out."""


@dataclass(frozen=True)
class Text:
    """A text, and where it belongs."""

    kind: str
    """`marker`, `location`, `credential`, `sown` …"""
    name: str
    """What reports may call it; never its value."""
    value: bytes = field(repr=False)
    homes: frozenset[str] = frozenset()
    """Objects that it belongs into, as resource/namespace/name; nothing else may hold it."""
    marker: Kind | None = None
    """Of a marker or decoy: its kind, by which parts of it count too."""


@dataclass(frozen=True)
class Texts:
    """Everything that is looked for, each value once."""

    all: tuple[Text, ...]
    too_short: tuple[str, ...] = ()
    """Kind and name of what is not looked for."""

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return dict(sorted(Counter(each.kind for each in self.all).items()))


def gather(texts: Iterable[Text]) -> Texts:
    """The same value, given twice, belongs wherever one of the two does."""
    found: dict[bytes, Text] = {}
    short = []
    for each in texts:
        if len(each.value.strip()) < SHORTEST:
            short.append(f"{each.kind} {each.name}")
            continue
        known = found.get(each.value)
        found[each.value] = replace(known, homes=known.homes | each.homes) if known else each
    return Texts(tuple(found.values()), tuple(dict.fromkeys(short)))
