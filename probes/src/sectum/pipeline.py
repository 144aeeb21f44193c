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
from sectum.assembly import Ended, assemble
from sectum.codec import digest
from sectum.gate import Clock
from sectum.job import Job, Observe, open_clock
from sectum.manifest import draw_manifest, seal
from sectum.plan import binding, make_plan
from sectum.ports import KeyWrapper, Signer, Store
from sectum.probe import timestamp
from sectum.reach import secret_faults
from sectum.scenario import Scenario
from sectum.secrets_dir import ReadSecret
from sectum.stages import ask_before, clean_and_record, conclude_probes, connect, open_world, plant_all, probe_all


async def run(
    scenario: Scenario, *, secret: ReadSecret, store: Store, observe: Observe, clock: Clock | None = None
) -> Ended:
    """All stages; cancelled once, it cleans up and still writes a pack. Raises SectumError."""
    job = await prepare(scenario, secret=secret, store=store, observe=observe, clock=clock)
    signer = scenario.spec.evidence.spec.signer(secret)
    opened = await open_run(job, signer)
    async with AsyncExitStack() as stack:
        try:
            await connect(job, stack)
            world = open_world(job)
            await ask_before(job, world)
            await plant_all(job, world)
            await probe_all(job, world)
        except asyncio.CancelledError:
            _go_on_after_cancel(job)
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            await _in_spite_of_a_cancel(job, _leave(job))
    return await _in_spite_of_a_cancel(job, _conclude(job, signer, opened))


async def _leave(job: Job) -> None:
    try:
        await conclude_probes(job)
    finally:
        await clean_and_record(job)


async def _conclude(job: Job, signer: Signer, opened: str) -> Ended:
    ended, pack_digest = await assemble(job, signer, opened)
    await series.close(job.store, signer, run=job.run, at=timestamp(), outcome=str(ended.outcome), pack=pack_digest)
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


def _first(error: BaseException) -> BaseException:
    """What a task group wraps: the first error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def prepare(
    scenario: Scenario, *, secret: ReadSecret, store: Store, observe: Observe, clock: Clock | None = None
) -> Job:
    """Look whether every secret is there, then draw, seal and store the manifest before anything else happens."""
    for fault in secret_faults(scenario, secret):
        raise fault
    plan = make_plan(scenario)
    run_id = str(uuid_utils.uuid7())
    manifest = draw_manifest(plan, run=run_id, below=secrets.randbelow)
    key: KeyWrapper = scenario.spec.manifest.spec.wrapper(secret)
    data_key = os.urandom(32)
    clear = {"scenario": scenario.snapshot(), "plan": binding(plan.rows(), [skip.row() for skip in plan.skips])}
    sealed = seal(manifest, data_key=data_key, key=key, header=clear)
    await store.create(f"manifests/{run_id}.sealed.json", sealed)
    return Job(
        scenario=scenario,
        secret=secret,
        store=store,
        observe=observe,
        clock=clock or open_clock(),
        run=run_id,
        plan=plan,
        manifest=manifest,
        data_key=data_key,
        sealed=sealed,
    )


async def open_run(job: Job, signer: Signer) -> str:
    """Store the Open record before the first write; returns its name in the store."""
    clear = job.clear
    snapshot = job.scenario.snapshot()

    def record(sequence: int, previous: str | None) -> bytes:
        return series.open_record(
            signer=signer,
            run=job.run,
            at=timestamp(),
            scenario={"name": job.scenario.metadata.name, "digest": digest(snapshot)},
            plan=clear["plan"],
            manifest={name: clear[name] for name in ("root", "hash", "key", "publicKey")},
            sequence=sequence,
            previous=previous,
        )

    await series.close_abandoned(job.store, signer, at=timestamp())
    return await series.append(job.store, record)
