"""A scenario and its drawn manifest -> one run on its way through the stages: all that they share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sectum.clean import Cleaned
from sectum.codec import sha256
from sectum.gate import Clock, Spent
from sectum.manifest import Manifest, Marker, Sealer
from sectum.plan import Plan, Trial
from sectum.plant import Planted
from sectum.ports import Store
from sectum.probe import Row
from sectum.reach import Reach
from sectum.records import Record, RecordKind, Runner, Stage, place, sign_record
from sectum.run import Run
from sectum.scan import Index
from sectum.scenario import Scenario, Surface
from sectum.secrets_dir import ReadSecret


@dataclass(frozen=True, slots=True)
class Progress:
    """One step forward, for whoever watches."""

    surface: str
    stage: str
    done: int
    total: int
    leaks: int = 0
    note: str = ""


Observe = Callable[[Progress], None]
Measure = Callable[[], Awaitable[dict[str, bool] | None]]
"""What this process can connect to that it must not, see `boundary`; None where there is no boundary, as locally."""


async def no_boundary() -> None:
    """A local run is one process that reaches whatever the machine does."""


@dataclass(slots=True)
class Job:
    """The stages of one run that one process plays: locally all of them on all surfaces, in a cluster one on one."""

    about: Run
    secret: ReadSecret
    observe: Observe
    clock: Clock
    manifest: Manifest = field(repr=False)
    data_key: bytes = field(repr=False)
    surfaces: tuple[Surface, ...]
    """Those that this process touches."""
    attempt: int = 1
    runner: Runner = field(default_factory=Runner)
    measure: Measure = no_boundary
    before: dict[tuple[Stage, str], str] = field(default_factory=dict)
    """Stage and surface -> digest of the last record that was there of it when this process began."""
    reaches: list[Reach] = field(default_factory=list)
    found: dict[str, Found] = field(default_factory=dict)
    """Surface -> what stages before this process left; locally nothing."""
    planted: dict[str, Planted] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    cleaned: dict[str, Cleaned] = field(default_factory=dict)
    counted: dict[str, Spent] = field(default_factory=dict)
    """Surface -> what its gate had spent when a stage's result was last recorded."""
    chains: dict[tuple[Stage, str], Chain] = field(default_factory=dict)
    cancelled: bool = False
    crashed: bool = False
    """Did the stage that is being concluded end in an error?"""

    @property
    def tried_again(self) -> bool:
        """May another process try again what this one was cut off from? Locally there is but one."""
        return self.runner.pod is not None

    @property
    def run(self) -> str:
        """Id of the run."""
        return self.about.id

    @property
    def scenario(self) -> Scenario:
        """What is verified."""
        return self.about.scenario

    @property
    def plan(self) -> Plan:
        """All trials."""
        return self.about.plan

    @property
    def work(self) -> Store:
        """Where records, intents and receipts go."""
        return self.about.work

    def trials(self, surface: str) -> tuple[Trial, ...]:
        """A surface's trials."""
        return tuple(trial for trial in self.plan.trials if trial.surface == surface)

    def markers_of(self, surface: str) -> tuple[Marker, ...]:
        """What is to be planted in a surface."""
        return tuple(marker for marker in self.manifest.markers if marker.spec.surface == surface)

    def sealer(self, surface: str, attempt: int) -> Sealer:
        """What seals a surface's intents and receipts."""
        return Sealer(self.data_key, run=self.run, surface=surface, attempt=attempt)

    def sealed_under(self, surface: str, attempt: int | None = None) -> str:
        """Where a surface's intents and receipts are stored, of an attempt or of all."""
        return f"work/{self.run}/sealed/{surface}/" + (f"{attempt}/" if attempt is not None else "")

    def markers(self) -> dict[str, Marker]:
        """Markers and decoys by id."""
        return {marker.id: marker for marker in self.manifest.markers + self.manifest.decoys}

    def index(self) -> Index:
        """What answers are scanned for."""
        return Index({each.id: (each.spec.kind, each.plaintext) for each in self.markers().values()})

    def spent(self, reach: Reach) -> dict[str, int]:
        """What a surface's requests cost since this was last asked."""
        now = reach.gate.spent
        new = now.since(self.counted.get(reach.name, Spent()))
        self.counted[reach.name] = now
        return {"requests": new.requests, "writes": new.writes, "tokens": new.tokens}

    async def record(self, stage: Stage, surface: str, kind: RecordKind, body: dict[str, Any]) -> None:
        """Sign and store a stage's next record on a surface; the chain is extended before it is stored."""
        if kind == RecordKind.START:
            body = {**body, "after": {str(each): self._last(each, surface) for each in Stage}}
        if kind != RecordKind.LEAK:
            body = {**body, "boundary": await self.measure()}
        chain = self.chains.get((stage, surface), Chain())
        record = Record(
            run=self.run,
            manifest=self.about.clear["hash"],
            stage=str(stage),
            surface=surface,
            attempt=self.attempt,
            kind=kind,
            number=chain.length,
            previous=chain.last,
            pod=self.runner.pod,
            image=self.runner.image,
            body=body,
        )
        data = sign_record(record, self.manifest.run_key)
        self.chains[stage, surface] = Chain(chain.length + 1, sha256(data), body if kind == RecordKind.RESULT else None)
        name = place(self.run, stage, surface, self.attempt) + sha256(data)
        stored = asyncio.ensure_future(self.work.create(name, data))
        try:
            await asyncio.shield(stored)
        except asyncio.CancelledError:
            await stored  # the chain goes on from it: it must be there
            raise

    def _last(self, stage: Stage, surface: str) -> str | None:
        chain = self.chains.get((stage, surface))
        return chain.last if chain else self.before.get((stage, surface))


@dataclass(frozen=True, slots=True)
class Chain:
    """How far the records of a stage on a surface are."""

    length: int = 0
    last: str | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What earlier stages of a surface left behind, as their records and receipts say."""

    fault: str | None = None
    spent: Spent = field(default_factory=Spent)
    baseline: tuple[Row, ...] = ()
    emptied: int = 0
    """Number of the attempt at planting up to which nothing is left."""


def open_clock() -> Clock:
    """The real one."""
    return Clock(now=asyncio.get_running_loop().time, busy=time.thread_time, sleep=asyncio.sleep)
