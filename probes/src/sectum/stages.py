"""A Job -> documents planted, trials played, records signed, documents removed: the stages that touch surfaces."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

import uuid_utils

from sectum.clean import Cleaned, clean
from sectum.errors import AlreadyStored
from sectum.gate import Gate
from sectum.job import Job, Progress
from sectum.manifest import Marker
from sectum.plan import Trial
from sectum.plant import Planted, plant
from sectum.probe import BEFORE_PLANTING, Row, World, empty_row, probe, prove
from sectum.reach import Reach, check_empty, named_items, open_clients
from sectum.reasons import Reason
from sectum.records import RecordKind, Stage
from sectum.verdict import sharing_of

CLEAN_SECONDS = 300
"""What cleaning up may take at most."""


async def connect(job: Job, stack: AsyncExitStack) -> None:
    """Open every surface as every principal; find out which places are empty before anything is planted."""
    job.reaches = [Reach(each, Gate(each.budget, job.clock), each.spec.verbs()) for each in job.scenario.spec.surfaces]
    await asyncio.gather(*(open_clients(reach, job.scenario, secret=job.secret, stack=stack) for reach in job.reaches))
    await asyncio.gather(*(check_empty(reach, job.scenario) for reach in job.reaches))
    for reach in job.reaches:
        fault = reach.fault or (None if any(reach.identified.values()) else Reason.IDENTITY_UNPROVEN)
        if fault:
            job.observe(Progress(reach.name, "check", 0, 1, note=f"{fault} {reach.hint}".strip()))


def open_world(job: Job) -> World:
    """What the run knows of all surfaces together, before anything is planted."""
    world = World(markers=job.markers(), index=job.index(), shared=sharing_of(job.scenario.snapshot()))
    for reach in job.reaches:
        for principal in job.scenario.principals:
            world.named[reach.name, principal] = named_items(job.scenario, reach.surface, principal)

    async def on_leak(surface: str, row: Row) -> None:
        await job.record(Stage.PROBE, surface, RecordKind.LEAK, {"slot": row["slot"], "row": row})

    world.on_leak = on_leak
    return world


async def ask_before(job: Job, world: World) -> None:
    """Begin every surface's probe; play the baseline arms, for which nothing may be planted yet."""

    async def one(reach: Reach) -> None:
        trials = tuple(trial for trial in _trials(job, reach) if trial.baseline)
        count = 0

        def done(_row: Row) -> None:
            nonlocal count
            count += 1
            job.observe(Progress(reach.name, "baseline", count, len(trials)))

        await _start(job, Stage.PROBE, reach)
        await probe(world, reach, trials, rows=job.rows, done=done, arms=BEFORE_PLANTING)

    async with asyncio.TaskGroup() as group:
        for reach in job.reaches:
            group.create_task(one(reach))


async def plant_all(job: Job, world: World) -> None:
    """Plant in every surface before anything is probed, so that a marker that wanders between surfaces is seen."""

    async def one(reach: Reach) -> None:
        mine = _markers(job, reach)
        count = 0

        def done() -> None:
            nonlocal count
            count += 1
            job.observe(Progress(reach.name, "plant", max(0, count - len(planted.faults)), len(mine)))

        sealer = job.sealer(reach.name)

        async def save(kind: str, value: Any) -> None:
            name = f"{job.sealed_under(reach.name)}{kind}-{uuid_utils.uuid7()}"
            await job.store.create(name, sealer.seal(value))

        planted = job.planted[reach.name] = Planted()
        await _start(job, Stage.PLANT, reach)
        await plant(reach, mine, planted=planted, index=world.index, save=save, done=done)
        world.add_planted(reach.name, planted.locations)
        world.faults |= planted.faults

    async with asyncio.TaskGroup() as group:
        for reach in job.reaches:
            group.create_task(one(reach))


async def probe_all(job: Job, world: World) -> None:
    """Play every trial; surfaces side by side, each within its own limits."""

    async def one(reach: Reach) -> None:
        trials = _trials(job, reach)
        leaks = count = 0

        def done(row: Row) -> None:
            nonlocal leaks, count
            count += 1
            foreign = [arm for arm in row["arms"] if arm["arm"] == "foreign"]
            leaks += any(seen["marker"] == row["marker"] for arm in foreign for seen in arm["seen"])
            job.observe(Progress(reach.name, row["attack"], count, len(trials), leaks))

        await probe(world, reach, trials, rows=job.rows, done=done)

    async with asyncio.TaskGroup() as group:
        for reach in job.reaches:
            group.create_task(one(reach))


def _trials(job: Job, reach: Reach) -> tuple[Trial, ...]:
    return tuple(trial for trial in job.plan.trials if trial.surface == reach.name)


def _markers(job: Job, reach: Reach) -> tuple[Marker, ...]:
    return tuple(marker for marker in job.manifest.markers if marker.spec.surface == reach.name)


async def _start(job: Job, stage: Stage, reach: Reach) -> None:
    """A stage's start record on a surface, before its first request; nothing if it is there."""
    counts = {
        Stage.PLANT: {"markers": len(_markers(job, reach))},
        Stage.PROBE: {"trials": len(_trials(job, reach))},
        Stage.CLEAN: {"documents": len(_documents(job, reach))},
    }
    if (stage, reach.name) not in job.chains:
        await job.record(stage, reach.name, RecordKind.START, counts[stage])


async def conclude_probes(job: Job) -> None:
    """Read identities once more and sign what each surface's planting and probe did, cancelled or not."""

    async def one(reach: Reach) -> None:
        rows = [
            job.rows.get(each.slot) or empty_row(each, reach.fault or Reason.CANCELLED) for each in _trials(job, reach)
        ]
        await prove(reach, rows)
        planted = job.planted.setdefault(reach.name, Planted())
        written = {
            "planted": sorted(planted.locations),
            "unattributed": sorted(planted.locations.keys() - planted.attributed),
        }
        await _start(job, Stage.PLANT, reach)
        await job.record(Stage.PLANT, reach.name, RecordKind.RESULT, written)
        gate = reach.gate
        spent = {"requests": gate.requests, "writes": gate.writes, "tokens": gate.tokens}
        fault = str(reach.fault or gate.stopped or "") or None
        await _start(job, Stage.PROBE, reach)
        await job.record(Stage.PROBE, reach.name, RecordKind.RESULT, {"rows": rows, "fault": fault, **spent})

    await asyncio.gather(*(one(reach) for reach in job.reaches))


def _documents(job: Job, reach: Reach) -> set[str]:
    """Markers whose documents may be there."""
    planted = job.planted.get(reach.name, Planted())
    return {*planted.locations, *planted.doubtful}


async def clean_and_record(job: Job) -> None:
    """Remove what was planted, and sign what came of it."""
    await asyncio.gather(*(_start(job, Stage.CLEAN, reach) for reach in job.reaches))
    try:
        await clean_all(job)
    finally:
        for reach in job.reaches:
            cleaned, gate = job.cleaned[reach.name], reach.gate
            body = {"removed": cleaned.removed, "notRemoved": cleaned.not_removed}
            spent = {"requests": gate.requests, "writes": gate.writes}
            await job.record(Stage.CLEAN, reach.name, RecordKind.RESULT, {**body, **spent})


async def clean_all(job: Job) -> None:
    """Remove what was planted, within a limit of its own: a spent budget must not leave documents behind."""
    markers, index = job.markers(), job.index()

    async def one(reach: Reach) -> None:
        planted = job.planted.get(reach.name, Planted())
        job.cleaned[reach.name] = await clean(
            reach, doubtful=planted.doubtful, receipts=planted.locations, markers=markers, index=index
        )
        some = int(bool(_documents(job, reach)))
        job.observe(Progress(reach.name, "clean", some, some))

    for reach in job.reaches:
        reach.gate = Gate(reach.surface.budget, job.clock)
        # Until it ends, nothing counts as removed.
        job.cleaned[reach.name] = Cleaned(0, len(_documents(job, reach)))
    ends: list[BaseException | None] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(CLEAN_SECONDS):
            ends = await asyncio.gather(*(one(reach) for reach in job.reaches), return_exceptions=True)
    for error in filter(None, ends):
        raise error
    if all(cleaned.not_removed == 0 for cleaned in job.cleaned.values()):
        with suppress(AlreadyStored):
            await job.store.create(f"work/{job.run}/cleaned", b"{}")
