"""A run in the cluster -> what it does, told live until it has ended, whatever becomes of the connection."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

from rich.console import Console

from sectum.cli.cluster_ending import ending
from sectum.cli.cluster_faults import ClusterFault, NotAllowed, NotThere
from sectum.cli.cluster_objects import Run, SurfaceResult
from sectum.cli.watch import Lines, LiveTable
from sectum.errors import SectumError
from sectum.job import Progress

POLL = 2.0
"""Seconds between two looks. A look costs one GET, and survives what a watch would not."""
UNSEEN_NOTICE, UNSEEN_END = 15.0, 300.0
LOST = 300.0
"""Seconds without an answer, after which nobody waits any more."""
SILENCE = 300.0
"""Between two plain lines where nothing changes: some CI systems end a job that says nothing."""
AFTER_TIMEOUT = 3600.0
"""For a run to clean up and write its pack when its time for probing is over."""

_WORDS = {"Cleaning": "cleaning up", "Assembling": "writing the pack"}
_LAST = ("Complete", "Failed")
"""What the end says better."""
Read = Callable[[], Run]


class RunGone(SectumError):
    """The run was deleted."""


class Endless(SectumError):
    """Nobody acts on the run, or not to its end."""


def follow(read: Read, told: Told, *, uid: str, now: Callable[[], float], sleep: Callable[[float], None]) -> Run:
    """Look at the run of that UID until it has ended; raises RunGone, Endless, NotAllowed, ClusterFault."""
    began = answered = now()
    while True:
        try:
            run = read()
        except NotThere:
            raise RunGone("the run was deleted while it was followed; what it stored is still in the store") from None
        except NotAllowed:
            raise
        except ClusterFault:
            if now() - answered >= LOST:
                raise
            told.notice("no answer from the cluster; the run goes on there, trying again")
        else:
            answered = now()
            if run.metadata.uid != uid:
                raise RunGone("the run was deleted, and another has its name now")
            told(run)
            if ending(run) is not None:
                return run
            _patience(run, told, waited=now() - began)
        sleep(POLL)


def _patience(run: Run, told: Told, *, waited: float) -> None:
    """Say it when nobody acts on the run, and wait no longer than a run may take; raises Endless."""
    if waited >= _seconds(run.spec.timeout) + AFTER_TIMEOUT:
        raise Endless("the run has not ended an hour after its time was over; `kubectl describe vrun` it")
    if run.status.observed_generation is not None or run.status.conditions:
        return
    if waited >= UNSEEN_END:
        raise Endless(
            f"nobody has taken the run up for {UNSEEN_END / 60:.0f} minutes; does the operator run, and does it watch "
            "this namespace? `kubectl get deployments -A -l app.kubernetes.io/name=sectum-operator`"
        )
    if waited >= UNSEEN_NOTICE:
        told.notice("nobody has taken the run up yet; does the operator run?")


def _seconds(timeout: str) -> float:
    return int(timeout[:-1]) * {"s": 1.0, "m": 60.0, "h": 3600.0}[timeout[-1]]


class Told:
    """Tells each look: a line for each surface on a terminal, else a plain line for each change."""

    def __init__(
        self, console: Console, *, surfaces: Sequence[str], quiet: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now, self._quiet = now, quiet
        live = not quiet and console.is_terminal
        self._table = LiveTable(console, surfaces=surfaces, now=now) if live else None
        self._lines = Lines(console, quiet=quiet, now=now)
        self._surfaces = surfaces
        self._before: Run | None = None
        self._began = self._said = now()
        self._notice = ""

    def __enter__(self) -> Told:
        if self._table:
            self._table.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._table:
            self._table.__exit__(kind, error, trace)

    def __call__(self, run: Run) -> None:
        """One look."""
        if self._table:
            for step in steps(run, self._surfaces):
                self._table(step)
            over = bool(run.status.surfaces) and all(surface.verdict for surface in run.status.surfaces)
            self._table.notice(doing(run) if over else "")
        else:
            self._tell(list(changes(self._before, run)), run)
        self._before = run

    def notice(self, text: str) -> None:
        """Something about the looking; as a plain line once, until the run has something to say."""
        if self._table:
            self._table.notice(text)
        elif text != self._notice and not self._quiet:
            self._lines.notice(text)
        self._notice = text

    def _tell(self, lines: list[str], run: Run) -> None:
        if not lines and self._now() - self._said >= SILENCE:
            minutes = int(self._now() - self._began) // 60
            lines = [f"{doing(run)}, {minutes} minutes so far"]
        if lines:
            self._said, self._notice = self._now(), ""
        for line in [] if self._quiet else lines:
            self._lines.notice(line)


def doing(run: Run) -> str:
    """What the run as a whole does, in words."""
    phase = run.status.phase
    if phase == "Pending":
        return "waiting to begin"
    return _WORDS.get(phase, phase.lower())


def steps(run: Run, surfaces: Sequence[str]) -> Iterator[Progress]:
    """One for each surface of the table."""
    known = {surface.name: surface for surface in run.status.surfaces}
    for name in surfaces:
        surface = known.get(name, SurfaceResult(name=name))
        stage = str(surface.verdict) if surface.verdict else doing(run)
        counts = surface.counts
        yield Progress(name, stage, counts.ended, counts.planned, leaks=counts.leak)


def changes(before: Run | None, after: Run) -> Iterator[str]:
    """Plain lines about what one look shows that the one before did not."""
    if (before is None or before.status.phase != after.status.phase) and after.status.phase not in _LAST:
        yield doing(after)
    known = {surface.name: surface for surface in before.status.surfaces} if before else {}
    for surface in after.status.surfaces:
        old = known.get(surface.name)
        if surface.verdict and (old is None or old.verdict != surface.verdict):
            yield f"{surface.name}: {_result(surface)}"
        elif old is not None and surface.attempts > max(old.attempts, 1):
            yield f"{surface.name}: attempt {surface.attempts}"


def _result(surface: SurfaceResult) -> str:
    counts = surface.counts
    reason = f" ({surface.reason})" if surface.reason else ""
    trials = f", {counts.ended}/{counts.planned} trials" if counts.planned else ""
    leaks = f", {counts.leak} leaking" if counts.leak else ""
    return f"{surface.verdict}{reason}{trials}{leaks}"


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM as Ctrl-C, so that the terminal is left as it was."""

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = None
    with suppress(ValueError):  # not the main thread: signals go elsewhere
        before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
