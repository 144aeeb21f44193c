"""A scenario and its drawn manifest -> one run on its way through the stages: all that they share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sectum.clean import Cleaned
from sectum.codec import sha256
from sectum.gate import Clock
from sectum.manifest import Manifest, Marker, Sealer, header
from sectum.plan import Plan
from sectum.plant import Planted
from sectum.ports import Store
from sectum.probe import Row, timestamp
from sectum.reach import Reach
from sectum.records import Record, RecordKind, Stage, sign_record
from sectum.scan import Index
from sectum.scenario import Scenario
from sectum.secrets_dir import ReadSecret

ATTEMPT = 1
"""The local run tries each stage once."""


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


@dataclass(slots=True)
class Job:
    """One run on its way through the stages."""

    scenario: Scenario
    secret: ReadSecret
    store: Store
    observe: Observe
    clock: Clock
    run: str
    plan: Plan
    manifest: Manifest = field(repr=False)
    data_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    clear: dict[str, Any] = field(init=False)
    """The sealed manifest's clear header."""
    started: str = field(default_factory=timestamp)
    reaches: list[Reach] = field(default_factory=list)
    planted: dict[str, Planted] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    cleaned: dict[str, Cleaned] = field(default_factory=dict)
    chains: dict[tuple[str, str], tuple[int, str | None]] = field(default_factory=dict)
    """Stage and surface -> number of records so far, digest of the last."""
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.clear = header(self.sealed)

    def sealer(self, surface: str) -> Sealer:
        """What seals a surface's intents and receipts."""
        return Sealer(self.data_key, run=self.run, surface=surface, attempt=ATTEMPT)

    def sealed_under(self, surface: str) -> str:
        """Where a surface's intents and receipts are stored."""
        return f"work/{self.run}/sealed/{surface}/{ATTEMPT}/"

    def markers(self) -> dict[str, Marker]:
        """Markers and decoys by id."""
        return {marker.id: marker for marker in self.manifest.markers + self.manifest.decoys}

    def index(self) -> Index:
        """What answers are scanned for."""
        return Index({each.id: (each.spec.kind, each.plaintext) for each in self.markers().values()})

    async def record(self, stage: Stage, surface: str, kind: RecordKind, body: dict[str, Any]) -> None:
        """Sign and store a stage's next record on a surface; the chain is extended before anything is awaited."""
        number, previous = self.chains.get((stage, surface), (0, None))
        record = Record(
            run=self.run,
            manifest=self.clear["hash"],
            stage=str(stage),
            surface=surface,
            attempt=ATTEMPT,
            kind=kind,
            number=number,
            previous=previous,
            body=body,
        )
        data = sign_record(record, self.manifest.run_key)
        self.chains[stage, surface] = (number + 1, sha256(data))
        await self.store.create(f"work/{self.run}/{stage}/{surface}/{ATTEMPT}/{sha256(data)}", data)


def open_clock() -> Clock:
    """The real one."""
    return Clock(now=asyncio.get_running_loop().time, busy=time.thread_time, sleep=asyncio.sleep)
