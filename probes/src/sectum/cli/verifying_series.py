"""`sectum verify --series`: a store and what its verifier holds -> the numbered checklist of a whole series."""

from __future__ import annotations

import asyncio
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from multiprocessing import get_context

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sectum.archive import PACKS_AT_ONCE, Shelf, gather, series_in
from sectum.checks.history import History
from sectum.chronicle import Chronicle, Line, chronicle
from sectum.cli import show
from sectum.cli.settings import Settings
from sectum.cli.stored import shelf_of
from sectum.errors import UsageError
from sectum.verify import Mark

_STYLES = {Mark.DONE: "green", Mark.FAILED: "bold red", Mark.OPEN: "yellow"}
_LARGE = 1 << 20
"""Bytes from which on a pack is worth a process of its own, which takes a second to start."""
_SHOWN = 12
"""Faults or notes of a line, unless `-o wide`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    uri: str
    since: str | None
    until: str | None
    scenario: str | None
    first: int
    endpoint: str | None


def verify_series(settings: Settings, asked: Asked, *, key: bytes, allow_unanchored: bool, output: str) -> bool:
    """Check the series and show what came of it: is it verified? Raises UsageError, SectumError."""
    told = chronicle(asyncio.run(_history(asked, key, now=datetime.now(UTC))), allow_unanchored=allow_unanchored)
    show.emit(
        output,
        settings=settings,
        document={**told.as_json(), "store": asked.uri},
        names=[each.run for each in told.history.runs] if told.verified else [],
        draw=lambda console, wide: _draw(console, told, shown=None if wide else _SHOWN),
    )
    return told.verified


async def _history(asked: Asked, key: bytes, *, now: datetime) -> History:
    since, until = moment(asked.since, option="--from", last=False), moment(asked.until, option="--to", last=True)
    if until is not None:
        until = min(until, now)  # what is to come is no gap
    if since is not None and since > (until or now):
        raise UsageError("--from is later than --to, or than now; give the earlier date first")
    shelf = shelf_of(asked.uri, endpoint=asked.endpoint)
    folder = await _folder(shelf, asked)
    with ProcessPoolExecutor(PACKS_AT_ONCE, mp_context=get_context("spawn")) as workers:
        period = {"since": since, "until": until}
        return await gather(shelf, folder, key=key, **period, first=asked.first, workers=workers, large=_LARGE)


async def _folder(shelf: Shelf, asked: Asked) -> str:
    """The one series in the store, or the one that --scenario names."""
    there = await series_in(shelf)
    if not there:
        raise UsageError(f"{asked.uri}: there are no records under series/ in it; give the store's bucket and prefix")
    named = {each.removeprefix("series/").strip("/"): each for each in there}
    if asked.scenario is None and len(named) == 1:
        return there[0]
    if asked.scenario not in named or not asked.scenario:
        listed = ", ".join(filter(None, named)) or "a local one, without --scenario"
        raise UsageError(f"--scenario NAMESPACE/NAME says which series; in the store are: {listed}")
    return named[asked.scenario]


def moment(text: str | None, *, option: str, last: bool) -> datetime | None:
    """A date (UTC; its last moment, if `last`) or a time with an offset; raises UsageError."""
    if text is None:
        return None
    try:
        if len(text) == len("2026-01-31"):
            begin = datetime.combine(date.fromisoformat(text), time(tzinfo=UTC))
            return begin + timedelta(days=1, microseconds=-1) if last else begin
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        found = None
    if found is None or found.tzinfo is None:
        raise UsageError(f"{option}: give a date as 2026-01-31 (UTC), or a time as 2026-01-31T03:00:00Z")
    return found.astimezone(UTC)


def _draw(console: Console, told: Chronicle, *, shown: int | None) -> None:
    lines = Table.grid(padding=(0, 1, 0, 0))
    for each in told.lines:
        mark = (str(each.mark), _STYLES[each.mark])
        lines.add_row(f"{each.number:2}.", Text.assemble(f"{each.title}: ", mark, f" {each.text}"))
        for style, more in _more(each, shown):
            lines.add_row("", Text(f"  {more}", style=style))
    console.print(lines)
    console.print()
    style = "bold green" if told.verified else "bold red"
    console.print(Text(f"{told.summary}{_outcomes(told) if told.verified else ''}", style=style), soft_wrap=True)


def _more(line: Line, shown: int | None) -> list[tuple[str, str]]:
    faults = line.faults if len(line.faults) > 1 else ()  # a single one is the line's text
    found = [("red", each) for each in faults] + [("dim", each) for each in line.notes]
    hidden = 0 if shown is None else max(0, len(found) - shown)
    return [*found[: len(found) - hidden], *([("dim", f"{hidden} more: -o wide, -o json")] if hidden else [])]


def _outcomes(told: Chronicle) -> str:
    """Beside `verified`, which says nothing of isolation."""
    outcomes = [each.outcome for each in told.history.runs]
    counts = [f"{outcomes.count(word)} {word}" for word in ("Pass", "Leak", "Inconclusive") if word in outcomes]
    return f"; {len(outcomes)} runs: {', '.join(counts)}"
