"""A Job -> documents planted, trials played, records signed, documents removed: the stages that touch surfaces.

Each works on the surfaces of this process: locally on all, in a cluster on one. A stage's result is recorded whether it
ended or was cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

import uuid_utils

from sectum.clean import Cleaned, clean
from sectum.errors import AlreadyStored
from sectum.gate import Gate
from sectum.job import Chain, Found, Job, Progress
from sectum.plan import Trial
from sectum.plant import Planted, plant
from sectum.probe import AFTER_PLANTING, BEFORE_PLANTING, Row, World, empty_row, probe, prove
from sectum.reach import Reach, check_empty, named_items, open_clients
from sectum.reasons import Reason
from sectum.records import RecordKind, Stage
from sectum.verdict import sharing_of

CLEAN_SECONDS = 300
"""What cleaning up may take at most."""


async def connect(job: Job, stack: AsyncExitStack) -> None:
    """Open every surface as every principal, unless an earlier stage found that it cannot be used."""
    for surface in job.surfaces:
        found = job.found.get(surface.name, Found())
        job.reaches.append(Reach(surface, Gate(surface.budget, job.clock, found.spent), surface.spec.verbs()))
        job.reaches[-1].fault = Reason(found.fault) if found.fault else None
        job.counted[surface.name] = found.spent
        job.rows |= {row["slot"]: {**row, "attempt": job.attempt} for row in found.baseline}
    usable = [reach for reach in job.reaches if reach.fault is None]
    await asyncio.gather(*(open_clients(reach, job.scenario, secret=job.secret, stack=stack) for reach in usable))
    _tell_faults(job)


async def check_places(job: Job) -> None:
    """Find out which places are empty, before anything is planted anywhere: surfaces may share a store."""
    await asyncio.gather(*(check_empty(reach, job.scenario) for reach in job.reaches))
    _tell_faults(job)


def _tell_faults(job: Job) -> None:
    for reach in job.reaches:
        fault = reach.fault or (None if any(reach.identified.values()) else Reason.IDENTITY_UNPROVEN)
        if fault:
            job.observe(Progress(reach.name, "check", 0, 1, note=f"{fault} {reach.hint}".strip()))


def open_world(job: Job) -> World:
    """What the run knows of all surfaces together, before anything is planted."""
    world = World(markers=job.markers(), index=job.index(), shared=sharing_of(job.scenario.snapshot()))
    world.attempt = job.attempt
    for surface in job.surfaces:
        for principal in job.scenario.principals:
            world.named[surface.name, principal] = named_items(job.scenario, surface, principal)
    return world


async def _side_by_side(job: Job, one: Callable[[Reach], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for reach in job.reaches:
            group.create_task(one(reach))


async def ask_before(job: Job, world: World) -> None:
    """Play the baseline arms, for which nothing may be planted yet."""
    world.arms, world.on_leak = BEFORE_PLANTING, _leak_recorder(job, Stage.BASELINE)

    async def one(reach: Reach) -> None:
        trials = _before(job, reach)
        count = 0

        def done(_row: Row) -> None:
            nonlocal count
            count += 1
            job.observe(Progress(reach.name, "baseline", count, len(trials)))

        await _start(job, Stage.BASELINE, reach, {"trials": len(trials)})
        await probe(world, reach, trials, rows=job.rows, done=done)

    await _side_by_side(job, one)


async def conclude_baseline(job: Job) -> None:
    """Read identities again where there was a baseline, and sign what was found before planting."""

    async def one(reach: Reach) -> None:
        trials = _before(job, reach)
        rows = [_played(job, reach, trial) for trial in trials]
        await prove(reach, rows, BEFORE_PLANTING)
        body = {"rows": rows, "fault": _cut_off(job, reach), **job.spent(reach)}
        await _conclude(job, Stage.BASELINE, reach, {"trials": len(trials)}, body)

    await _each_unconcluded(job, Stage.BASELINE, one)


def _before(job: Job, reach: Reach) -> tuple[Trial, ...]:
    return tuple(trial for trial in job.trials(reach.name) if trial.baseline)


async def plant_all(job: Job, world: World) -> None:
    """Plant in every surface before anything is probed, so that a marker that wanders between surfaces is seen."""

    async def one(reach: Reach) -> None:
        mine = job.markers_of(reach.name)
        count = 0

        def done() -> None:
            nonlocal count
            count += 1
            job.observe(Progress(reach.name, "plant", max(0, count - len(planted.faults)), len(mine)))

        sealer = job.sealer(reach.name, job.attempt)

        async def save(kind: str, value: Any) -> None:
            name = f"{job.sealed_under(reach.name, job.attempt)}{kind}-{uuid_utils.uuid7()}"
            await job.work.create(name, sealer.seal(value))

        planted = job.planted[reach.name] = Planted(newest=job.attempt)
        await _start(job, Stage.PLANT, reach, {"markers": len(mine)})
        await plant(reach, mine, planted=planted, index=world.index, save=save, done=done)
        world.add_planted(reach.name, planted.locations)
        world.faults |= planted.faults

    await _side_by_side(job, one)


async def conclude_planting(job: Job) -> None:
    """Sign what was planted, and whose it is known to be."""

    async def one(reach: Reach) -> None:
        planted = job.planted.setdefault(reach.name, Planted())
        body = {
            "planted": sorted(planted.locations),
            "unattributed": sorted(planted.locations.keys() - planted.attributed),
            "faults": {marker: str(fault) for marker, fault in sorted(planted.faults.items())},
            "fault": _cut_off(job, reach),
            **job.spent(reach),
        }
        await _conclude(job, Stage.PLANT, reach, {"markers": len(job.markers_of(reach.name))}, body)

    await _each_unconcluded(job, Stage.PLANT, one)


async def probe_all(job: Job, world: World) -> None:
    """Play every trial; surfaces side by side, each within its own limits."""
    world.arms, world.on_leak = AFTER_PLANTING, _leak_recorder(job, Stage.PROBE)

    async def one(reach: Reach) -> None:
        trials = job.trials(reach.name)
        leaks = count = 0

        def done(row: Row) -> None:
            nonlocal leaks, count
            count += 1
            foreign = [arm for arm in row["arms"] if arm["arm"] == "foreign"]
            leaks += any(seen["marker"] == row["marker"] for arm in foreign for seen in arm["seen"])
            job.observe(Progress(reach.name, row["attack"], count, len(trials), leaks))

        await _start(job, Stage.PROBE, reach, {"trials": len(trials)})
        await probe(world, reach, trials, rows=job.rows, done=done)

    await _side_by_side(job, one)


async def conclude_probes(job: Job) -> None:
    """Read identities once more and sign what each surface's probe did."""

    async def one(reach: Reach) -> None:
        trials = job.trials(reach.name)
        rows = [_played(job, reach, trial) for trial in trials]
        await prove(reach, rows, AFTER_PLANTING)
        # Another attempt may see what this one did not, and get lost: then this one is not what is known of the rest.
        fault = _cut_off(job, reach) if job.tried_again else _fault(reach)
        body = {"rows": rows, "fault": fault, **job.spent(reach)}
        await _conclude(job, Stage.PROBE, reach, {"trials": len(trials)}, body)

    await _each_unconcluded(job, Stage.PROBE, one)


def _played(job: Job, reach: Reach, trial: Trial) -> Row:
    return job.rows.get(trial.slot) or empty_row(trial, reach.fault or Reason.CANCELLED, job.attempt)


def _fault(reach: Reach) -> str | None:
    return str(reach.fault or reach.gate.stopped or "") or None


def _cut_off(job: Job, reach: Reach) -> str | None:
    """Why nothing can be tried after this stage: a part of it that was cut off looks like the whole to the next one."""
    if job.crashed:
        return str(Reason.UNFINISHED)
    return str(Reason.CANCELLED) if job.cancelled else _fault(reach)


def _leak_recorder(job: Job, stage: Stage) -> Callable[[str, Row], Coroutine[Any, Any, None]]:
    async def on_leak(surface: str, row: Row) -> None:
        await job.record(stage, surface, RecordKind.LEAK, {"slot": row["slot"], "row": row})

    return on_leak


async def _start(job: Job, stage: Stage, reach: Reach, counts: dict[str, int]) -> None:
    """A stage's start record on a surface, before its first request; nothing if it is there."""
    if (stage, reach.name) not in job.chains:
        await job.record(stage, reach.name, RecordKind.START, counts)


async def _conclude(job: Job, stage: Stage, reach: Reach, counts: dict[str, int], body: dict[str, Any]) -> None:
    await _start(job, stage, reach, counts)
    await job.record(stage, reach.name, RecordKind.RESULT, body)


async def _each_unconcluded(job: Job, stage: Stage, one: Callable[[Reach], Coroutine[Any, Any, None]]) -> None:
    todo = [reach for reach in job.reaches if job.chains.get((stage, reach.name), Chain()).result is None]
    await asyncio.gather(*map(one, todo))


def _documents(job: Job, reach: Reach) -> int:
    """How many documents may be there."""
    planted = job.planted.get(reach.name, Planted())
    return len({*planted.locations, *planted.doubtful}) + len(planted.earlier)


async def clean_and_record(job: Job) -> None:
    """Remove what was planted, and sign what came of it."""
    counts = {reach.name: {"documents": _documents(job, reach)} for reach in job.reaches}
    await asyncio.gather(*(_start(job, Stage.CLEAN, reach, counts[reach.name]) for reach in job.reaches))
    before = {reach.name: job.spent(reach) for reach in job.reaches}  # by opening clients; what cleans has its own gate
    try:
        await clean_all(job)
    finally:
        for reach in job.reaches:
            cleaned, gate, opened = job.cleaned[reach.name], reach.gate, before[reach.name]
            body = {"removed": cleaned.removed, "notRemoved": cleaned.not_removed}
            spent = {"requests": gate.requests + opened["requests"], "writes": gate.writes + opened["writes"]}
            await _conclude(job, Stage.CLEAN, reach, counts[reach.name], {**body, **spent})


async def clean_all(job: Job) -> None:
    """Remove what was planted, within a limit of its own: a spent budget must not leave documents behind."""
    markers, index = job.markers(), job.index()

    async def one(reach: Reach) -> None:
        planted = job.planted.get(reach.name, Planted())
        written = {*planted.locations.items(), *planted.earlier}
        job.cleaned[reach.name] = await clean(
            reach, doubtful=planted.doubtful, receipts=written, markers=markers, index=index
        )
        some = int(bool(_documents(job, reach)))
        job.observe(Progress(reach.name, "clean", some, some))

    for reach in job.reaches:
        reach.gate = Gate(reach.surface.budget, job.clock)
        # Until it ends, nothing counts as removed.
        job.cleaned[reach.name] = Cleaned(0, _documents(job, reach))
    ends: list[BaseException | None] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(CLEAN_SECONDS):
            ends = await asyncio.gather(*(one(reach) for reach in job.reaches), return_exceptions=True)
    for error in filter(None, ends):
        raise error
    for reach in job.reaches:
        if job.cleaned[reach.name].not_removed == 0:
            await mark_cleaned(job, reach.name)


async def mark_cleaned(job: Job, surface: str) -> None:
    """Say in the store that nothing is left in a surface of any planting known here: a newer one may follow."""
    newest = job.planted.get(surface, Planted()).newest
    with suppress(AlreadyStored):
        await job.work.create(f"work/{job.run}/cleaned/{surface}/{newest}", b"{}")
