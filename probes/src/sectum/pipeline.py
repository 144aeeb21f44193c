"""A Scenario -> a signed pack: all stages in order. The local run calls them one after another, a Job calls one."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import uuid_utils

from sectum import series
from sectum.assembly import Ended, assemble, open_run
from sectum.gate import Clock
from sectum.job import Job, Observe, open_clock
from sectum.manifest import Manifest, draw_manifest, seal, unseal
from sectum.plan import Subset, binding, make_plan
from sectum.ports import KeyWrapper, Signer, Store
from sectum.probe import timestamp
from sectum.reach import secret_faults
from sectum.run import Run, read_run
from sectum.scenario import Scenario
from sectum.secrets_dir import ReadSecret
from sectum.stages import (
    ask_before,
    check_places,
    clean_and_record,
    conclude_baseline,
    conclude_planting,
    conclude_probes,
    connect,
    open_world,
    plant_all,
    probe_all,
)


async def run(
    scenario: Scenario, *, secret: ReadSecret, store: Store, observe: Observe, clock: Clock | None = None
) -> Ended:
    """All stages; cancelled once, it cleans up and still writes a pack. Raises SectumError."""
    job = await prepare(scenario, secret=secret, store=store, observe=observe, clock=clock)
    signer = scenario.spec.evidence.spec.signer(secret)
    await open_run(job.about, signer)
    async with AsyncExitStack() as stack:
        try:
            await connect(job, stack)
            await check_places(job)
            world = open_world(job)
            await ask_before(job, world)
            await conclude_baseline(job)
            await plant_all(job, world)
            await conclude_planting(job)
            await probe_all(job, world)
        except asyncio.CancelledError:
            _go_on_after_cancel(job)
        except BaseExceptionGroup as group:
            raise first_of(group) from None
        finally:
            await _in_spite_of_a_cancel(job, _leave(job))
    return await _in_spite_of_a_cancel(job, conclude(job.about, signer))


async def _leave(job: Job) -> None:
    try:
        await conclude_baseline(job)
        await conclude_planting(job)
        await conclude_probes(job)
    finally:
        await clean_and_record(job)


async def conclude(about: Run, signer: Signer) -> Ended:
    """Assemble the pack and close the run in its series."""
    ended = await assemble(about, signer)
    outcome = str(ended.outcome)
    await series.close(
        about.store, signer, about.series, run=about.id, at=timestamp(), outcome=outcome, pack=ended.digest
    )
    return ended


def _go_on_after_cancel(job: Job) -> None:
    """The first cancel ends the probing only; a second one, while cleaning up, is let through."""
    job.cancelled = True
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


Ending = TypeVar("Ending")


async def _in_spite_of_a_cancel(job: Job, last_things: Coroutine[Any, Any, Ending]) -> Ending:
    """Do them to their end if the run is cancelled meanwhile, unless it had been cancelled before."""
    task = asyncio.ensure_future(last_things)
    if not job.cancelled:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            _go_on_after_cancel(job)
    return await task


def first_of(error: BaseException) -> BaseException:
    """What a task group wraps: the first error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def draw(
    scenario: Scenario,
    key: KeyWrapper,
    *,
    run_id: str,
    subset: Subset = Subset(),  # noqa: B008  (frozen)
    occasion: dict[str, Any] | None = None,
) -> tuple[Manifest, bytes, bytes]:
    """The manifest of a run, its data key, and the sealed manifest; `occasion` as `series.occasion` makes it.

    Raises ScenarioError, KeyUnavailable.
    """
    plan = make_plan(scenario, subset)
    manifest = draw_manifest(plan, run=run_id, below=secrets.randbelow)
    data_key = os.urandom(32)
    clear = {
        "scenario": scenario.snapshot(),
        "subset": subset.row(),
        "occasion": occasion or series.occasion(),
        "plan": binding(plan.rows(), [skip.row() for skip in plan.skips]),
    }
    return manifest, data_key, seal(manifest, data_key=data_key, key=key, header=clear)


async def prepare(
    scenario: Scenario, *, secret: ReadSecret, store: Store, observe: Observe, clock: Clock | None = None
) -> Job:
    """Look whether every secret is there, then draw, seal and store the manifest before anything else happens."""
    for fault in secret_faults(scenario, secret):
        raise fault
    key: KeyWrapper = scenario.spec.manifest.spec.wrapper(secret)
    manifest, data_key, sealed = draw(scenario, key, run_id=str(uuid_utils.uuid7()))
    about = read_run(sealed, store=store, work=store)
    await store.create(f"manifests/{about.id}.sealed.json", sealed)
    return Job(
        about=about,
        secret=secret,
        observe=observe,
        clock=clock or open_clock(),
        manifest=manifest,
        data_key=data_key,
        surfaces=scenario.spec.surfaces,
    )


def unsealed(about: Run, *, secret: ReadSecret, observe: Observe, surfaces: tuple[str, ...] = ()) -> Job:
    """A run whose manifest was sealed elsewhere or before, for some of its surfaces; none: all. Raises SealBroken."""
    scenario = about.scenario
    manifest, data_key = unseal(about.sealed, scenario.spec.manifest.spec.wrapper(secret))
    return Job(
        about=about,
        secret=secret,
        observe=observe,
        clock=open_clock(),
        manifest=manifest,
        data_key=data_key,
        surfaces=tuple(each for each in scenario.spec.surfaces if not surfaces or each.name in surfaces),
    )
