"""A killed run's sealed manifest, intents and receipts -> nothing of it left in the surfaces."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from sectum.actions import Verb
from sectum.clean import Cleaned
from sectum.job import Observe, Progress
from sectum.manifest import header
from sectum.pipeline import unsealed
from sectum.ports import Store
from sectum.reach import Reach, open_reach
from sectum.reasons import Reason
from sectum.resume import numbered, receipts
from sectum.run import read_run
from sectum.secrets_dir import ReadSecret
from sectum.stages import clean_all, mark_cleaned


async def orphans(store: Store) -> list[str]:
    """Ids of the runs after whose last planting no cleaning up ended that left nothing."""
    runs = [name.removeprefix("manifests/").removesuffix(".sealed.json") for name in await store.names("manifests/")]
    return [each for each in runs if not await _is_cleaned(store, each)]


async def _is_cleaned(store: Store, run_id: str) -> bool:
    sealed = header(await store.read(f"manifests/{run_id}.sealed.json"))
    for surface in sealed["scenario"]["spec"]["surfaces"]:
        cleaned = await numbered(store, f"work/{run_id}/cleaned/{surface['name']}/")
        planted = await numbered(store, f"work/{run_id}/sealed/{surface['name']}/")
        if max(cleaned.values(), default=-1) < max(planted.values(), default=0):
            return False
    return True


async def sweep(run_id: str, *, secret: ReadSecret, store: Store, observe: Observe) -> dict[str, Cleaned]:
    """Clean up after a run that was killed, from its sealed manifest, intents and receipts alone."""
    about = read_run(await store.read(f"manifests/{run_id}.sealed.json"), store=store, work=store)
    job = unsealed(about, secret=secret, observe=observe)
    for surface in job.surfaces:
        job.planted[surface.name] = await receipts(job, surface.name, strict=True)
    async with AsyncExitStack() as stack:
        used = [each for each in job.surfaces if job.planted[each.name].began]
        job.reaches = list(
            await asyncio.gather(
                *(open_reach(job.scenario, each, secret=secret, clock=job.clock, stack=stack) for each in used)
            )
        )
        await clean_all(job)
        for surface in job.surfaces:
            if surface not in used:
                await mark_cleaned(job, surface.name)
        for reach in job.reaches:
            if job.cleaned[reach.name].not_removed and (trouble := _trouble(reach)):
                observe(Progress(reach.name, "check", 0, 1, note=trouble))
    return job.cleaned


def _trouble(reach: Reach) -> str:
    """Why documents may be left there: what kept the surface from being used, or users as whom nothing is removed."""
    if reach.fault not in (None, Reason.DENIED):
        return f"{reach.fault} {reach.hint}".strip()
    unproven = sorted(str(who) for who, named in reach.identified.items() if not named)
    if reach.fault is None and (Verb.WHOAMI not in reach.verbs or not unproven):
        return ""
    who, secret = ", ".join(unproven) or "a user", reach.surface.credentials.secret_ref
    return f"{who} could not be reached or was refused: check the Secret {secret.name}, key {secret.key}"
