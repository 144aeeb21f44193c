"""What was searched, for what, and what was found -> a table for people. It never shows a value."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.hunt.search import Hit, Search
from tests.hunt.texts import Texts


@dataclass
class Row:
    """One place."""

    place: str
    pieces: int = 0
    size: int = 0
    unpacked: int = 0
    at_home: int = 0
    seen: set[bytes] = field(default_factory=set, repr=False)
    """Values that were found where they belong."""
    torn: int = 0
    hits: list[Hit] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Why something could not be searched."""
    seconds: float = 0.0


def say(line: str) -> None:
    """A line for people."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def shown(search: Search, where: str) -> str:
    """A place, unless its name itself holds what must not be shown."""
    if not search.named(where):
        return where
    return f"a name that holds it itself (SHA-256 {hashlib.sha256(where.encode()).hexdigest()[:16]})"


def table(rows: Sequence[Row]) -> str:
    """A line for each place."""
    lines = [f"{'place':<10} {'pieces':>8} {'bytes':>13} {'unpacked':>13} {'at home':>8} {'hits':>6} {'s':>6}"]
    for row in rows:
        lines.append(
            f"{row.place:<10} {row.pieces:>8} {row.size:>13,} {row.unpacked:>13,} {row.at_home:>8} "
            f"{len(row.hits):>6} {row.seconds:>6.1f}" + (f"  ({row.torn} in torn old copies)" if row.torn else "")
        )
    return "\n".join(lines)


def looked_for(texts: Texts) -> str:
    """Counts by kind."""
    counts = ", ".join(f"{count} of {kind}" for kind, count in texts.counts().items())
    short = f"; {len(texts.too_short)} shorter than 8 bytes left out: {', '.join(texts.too_short)}"
    return f"looked for {len(texts.all)} texts: {counts}" + (short if texts.too_short else "")


def findings(search: Search, rows: Sequence[Row], *, most: int = 200) -> str:
    """A line for each hit: which text by its name, where, in what form."""
    lines = []
    for row in rows:
        for hit in row.hits:
            name = shown(search, hit.text.name)
            lines.append(f"FOUND {hit.text.kind} [{name}] in {row.place}: {shown(search, hit.where)} as {hit.form}")
        lines += [f"NOT SEARCHED in {row.place}: {fault}" for fault in row.faults]
    left = len(lines) - most
    return "\n".join(lines[:most] + ([f"… and {left} more"] if left > 0 else []))
