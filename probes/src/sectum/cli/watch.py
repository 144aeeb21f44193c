"""Progress of a run -> one calm line per surface on a terminal, now and then a plain line without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sectum import catalog
from sectum.cli.settings import printable
from sectum.job import Progress

_PLAIN_SECONDS = 5.0
"""Between two plain lines about the same stage of a surface."""
_REFRESHES = 8
_LABELS = {"check": "connecting", "plant": "planting", "clean": "cleaned up"}
_NOTHING = "no clean-up: nothing was planted"


class Watch(Protocol):
    """Takes every step of a run, for as long as its block."""

    def __call__(self, step: Progress) -> None:
        """One step forward."""
        ...

    def notice(self, text: str) -> None:
        """Say something in between."""
        ...

    def __enter__(self) -> Watch:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and leave the terminal as it was."""
        ...


def watch(
    console: Console, *, surfaces: Iterable[str], quiet: bool, now: Callable[[], float] = time.monotonic
) -> Watch:
    """The one that fits: nothing when quiet, a live table on a terminal, else lines."""
    if not quiet and console.is_terminal:
        return LiveTable(console, surfaces=surfaces, now=now)
    return Lines(console, quiet=quiet, now=now)


def label(stage: str) -> str:
    """What a surface is doing, in words."""
    return _LABELS.get(stage, stage)


class Lines:
    """A line when a stage of a surface begins and ends, and every few seconds in between."""

    def __init__(self, console: Console, *, quiet: bool, now: Callable[[], float]) -> None:
        self._console, self._quiet, self._now = console, quiet, now
        self._said: dict[str, tuple[str, float]] = {}
        self._unusable: set[str] = set()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, step: Progress) -> None:
        """Say it, if it is time."""
        stage, at = self._said.get(step.surface, ("", 0.0))
        due = step.stage != stage or step.done == step.total or self._now() - at >= _PLAIN_SECONDS
        nothing = step.surface in self._unusable and (step.stage != "clean" or not step.total)
        if self._quiet or not due or nothing:
            return
        if step.note:
            self._unusable.add(step.surface)
        self._said[step.surface] = (step.stage, self._now())
        self.notice(_line(step))

    def notice(self, text: str) -> None:
        """A line of its own."""
        self._console.print(Text(printable(text)), soft_wrap=True)


def _line(step: Progress) -> str:
    if step.note:
        return f"{step.surface}: cannot be used: {step.note}"
    if step.stage == "clean":
        return f"{step.surface}: {label(step.stage) if step.total else _NOTHING}"
    leaks = f", {step.leaks} leaking" if step.leaks else ""
    return f"{step.surface}: {label(step.stage)} {step.done}/{step.total}{leaks}"


@dataclass(slots=True)
class _Row:
    step: Progress
    leaks: int = 0
    fault: str = ""


class LiveTable:
    """A table on stderr that is gone when the run ends: the scorecard takes its place."""

    def __init__(self, console: Console, *, surfaces: Iterable[str], now: Callable[[], float]) -> None:
        self._console, self._now = console, now
        self._began = now()
        self._rows = {name: _Row(Progress(name, "check", 0, 0)) for name in surfaces}
        self._notice = ""
        self._live = Live(
            console=console,
            get_renderable=self.render,
            refresh_per_second=_REFRESHES,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, step: Progress) -> None:
        """Note it for the next refresh."""
        row = self._rows[step.surface]
        row.step = step
        row.leaks = max(row.leaks, step.leaks)
        row.fault = step.note or row.fault

    def notice(self, text: str) -> None:
        """A line below the table, the newest one only."""
        self._notice = text

    def render(self) -> Group:
        """The table as it is now."""
        grid = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
        for name, row in self._rows.items():
            grid.add_row(Text(name), Text(_doing(row), style="dim"), _bar(row), _count(row), _found(row))
        seconds = int(self._now() - self._began)
        clock = Text(f"{seconds // 60}:{seconds % 60:02d}", style="dim")
        return Group(grid, Text.assemble(clock, "   ", Text(printable(self._notice), style="yellow")))


def _doing(row: _Row) -> str:
    stage = label(row.step.stage) if row.step.stage != "clean" or row.step.total else "nothing planted"
    return "cannot be used" if row.fault else stage.ljust(max(len(each) for each in _widest()))


def _widest() -> list[str]:
    """Every label there can be, so that the columns do not jump."""
    return [*_LABELS.values(), *catalog.attacks()]


def _bar(row: _Row) -> ProgressBar | Text:
    if row.fault:
        return Text(printable(row.fault), style="yellow")
    return ProgressBar(
        total=row.step.total or 1,
        completed=row.step.done,
        width=32,
        complete_style="cyan",
        finished_style="green" if not row.leaks else "red",
    )


def _count(row: _Row) -> Text:
    return Text(f"{row.step.done}/{row.step.total}" if row.step.total > 1 else "", style="dim", justify="right")


def _found(row: _Row) -> Text:
    return Text(f"{row.leaks} leaking", style="bold red") if row.leaks else Text("")
