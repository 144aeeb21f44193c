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
from sectum.plant import Planted, plant
from sectum.probe import Row, World, empty_row, probe, prove
from sectum.reach import Reach, check_empty, named_items, open_clients
from sectum.reasons import Reason
from sectum.records import RecordKind
from sectum.scan import Index
from sectum.verdict import sharing_of

CLEAN_SECONDS = 300
"""What cleaning up may take at most."""


async def connect(job: Job, stack: AsyncExitStack) -> None:
    """Open every surface as every principal; find out which places are empty before anything is planted."""
    job.reaches = [Reach(each, Gate(each.budget, job.clock), each.spec.verbs()) for each in job.scenario.spec.surfaces]
    await asyncio.gather(*(open_clients(reach, job.scenario, secret=job.secret, stack=stack) for reach in job.reaches))
    await asyncio.gather(*(check_empty(reach, job.scenario) for reach in job.reaches))
    for reach in job.reaches:
        if reach.fault:
            job.observe(Progress(reach.name, "check", 0, 1, note=f"{reach.fault} {reach.hint}".strip()))


async def plant_all(job: Job) -> World:
    """Plant in every surface before anything is probed, so that a marker that wanders between surfaces is seen."""
    index = job.index()

    async def one(reach: Reach) -> None:
        mine = tuple(marker for marker in job.manifest.markers if marker.spec.surface == reach.name)
        count = 0

        def done() -> None:
            nonlocal count
            count += 1
            job.observe(Progress(reach.name, "plant", count, len(mine)))

        sealer = job.sealer(reach.name)

        async def save(kind: str, value: Any) -> None:
            name = f"{job.sealed_under(reach.name)}{kind}-{uuid_utils.uuid7()}"
            await job.store.create(name, sealer.seal(value))

        job.planted[reach.name] = Planted()
        await plant(reach, mine, planted=job.planted[reach.name], index=index, save=save, done=done)

    async with asyncio.TaskGroup() as group:
        for reach in job.reaches:
            group.create_task(one(reach))
    return _world(job, index)


def _world(job: Job, index: Index) -> World:
    markers = job.markers()
    world = World(markers=markers, index=index, shared=sharing_of(job.scenario.snapshot()))
    for reach in job.reaches:
        planted = job.planted[reach.name]
        world.locations |= planted.locations
        world.faults |= planted.faults
        world.planted |= {location: marker for marker, location in planted.locations.items()}
        for principal in job.scenario.principals:
            world.named[reach.name, principal] = named_items(job.scenario, reach.surface, principal)
    return world


async def probe_all(job: Job, world: World) -> None:
    """Play every trial; surfaces side by side, each within its own limits."""

    async def on_leak(surface: str, row: Row) -> None:
        await job.record(surface, RecordKind.LEAK, {"slot": row["slot"], "row": row})

    world.on_leak = on_leak

    async def one(reach: Reach) -> None:
        trials = tuple(trial for trial in job.plan.trials if trial.surface == reach.name)
        leaks = count = 0

        def done(row: Row) -> None:
            nonlocal leaks, count
            count += 1
            foreign = [arm for arm in row["arms"] if arm["arm"] == "foreign"]
            leaks += any(seen["marker"] == row["marker"] for arm in foreign for seen in arm["seen"])
            job.observe(Progress(reach.name, row["attack"], count, len(trials), leaks))

        await job.record(reach.name, RecordKind.START, {"trials": len(trials)})
        await probe(world, reach, trials, rows=job.rows, done=done)

    async with asyncio.TaskGroup() as group:
        for reach in job.reaches:
            group.create_task(one(reach))


async def conclude_probes(job: Job) -> None:
    """Read identities once more and sign what each surface's probe saw, cancelled or not."""

    async def one(reach: Reach) -> None:
        trials = [trial for trial in job.plan.trials if trial.surface == reach.name]
        rows = [job.rows.get(trial.slot) or empty_row(trial, reach.fault or Reason.CANCELLED) for trial in trials]
        await prove(reach, rows)
        if reach.name not in job.chains:
            await job.record(reach.name, RecordKind.START, {"trials": len(trials)})
        gate = job.spent[reach.name] = reach.gate
        spent = {"requests": gate.requests, "writes": gate.writes, "tokens": gate.tokens}
        fault = str(reach.fault or gate.stopped or "") or None
        await job.record(reach.name, RecordKind.RESULT, {"rows": rows, "fault": fault, **spent})

    await asyncio.gather(*(one(reach) for reach in job.reaches))


async def clean_all(job: Job) -> None:
    """Remove what was planted, within a limit of its own: a spent budget must not leave documents behind."""
    markers, index = job.markers(), job.index()

    async def one(reach: Reach) -> None:
        reach.gate = Gate(reach.surface.budget, job.clock)
        planted = job.planted.get(reach.name, Planted())
        # Until it ends, nothing counts as removed.
        job.cleaned[reach.name] = Cleaned(0, len({*planted.locations, *planted.doubtful}))
        job.cleaned[reach.name] = await clean(
            reach, doubtful=planted.doubtful, receipts=planted.locations, markers=markers, index=index
        )
        job.observe(Progress(reach.name, "clean", 1, 1))

    ends: list[BaseException | None] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(CLEAN_SECONDS):
            ends = await asyncio.gather(*(one(reach) for reach in job.reaches), return_exceptions=True)
    for error in filter(None, ends):
        raise error
    if all(cleaned.not_removed == 0 for cleaned in job.cleaned.values()):
        with suppress(AlreadyStored):
            await job.store.create(f"work/{job.run}/cleaned", b"{}")
