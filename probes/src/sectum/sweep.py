"""A killed run's sealed manifest, intents and receipts -> nothing of it left in the surfaces."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from sectum.actions import Verb
from sectum.clean import Cleaned
from sectum.errors import NotStored
from sectum.job import Job, Observe, Progress, open_clock
from sectum.manifest import header, unseal
from sectum.plan import make_plan
from sectum.plant import Planted
from sectum.ports import Store
from sectum.reach import Reach, open_reach
from sectum.reasons import Reason
from sectum.scenario import parse
from sectum.secrets_dir import ReadSecret
from sectum.stages import clean_all


async def orphans(store: Store) -> list[str]:
    """Ids of the runs whose cleaning up never ended."""
    runs = [name.removeprefix("manifests/").removesuffix(".sealed.json") for name in await store.names("manifests/")]
    return [each for each in runs if not await _is_cleaned(store, each)]


async def _is_cleaned(store: Store, run_id: str) -> bool:
    try:
        await store.read(f"work/{run_id}/cleaned")
    except NotStored:
        return False
    return True


async def sweep(run_id: str, *, secret: ReadSecret, store: Store, observe: Observe) -> dict[str, Cleaned]:
    """Clean up after a run that was killed, from its sealed manifest, intents and receipts alone."""
    sealed = await store.read(f"manifests/{run_id}.sealed.json")
    scenario = parse(header(sealed)["scenario"])
    manifest, data_key = unseal(sealed, scenario.spec.manifest.spec.wrapper(secret))
    job = Job(
        scenario=scenario,
        secret=secret,
        store=store,
        observe=observe,
        clock=open_clock(),
        run=run_id,
        plan=make_plan(scenario),
        manifest=manifest,
        data_key=data_key,
        sealed=sealed,
    )
    for surface in scenario.spec.surfaces:
        job.planted[surface.name] = await _receipts(job, surface.name)
    async with AsyncExitStack() as stack:
        used = [each for each in scenario.spec.surfaces if job.planted[each.name].began]
        job.reaches = list(
            await asyncio.gather(
                *(open_reach(scenario, each, secret=secret, clock=job.clock, stack=stack) for each in used)
            )
        )
        await clean_all(job)
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


async def _receipts(job: Job, surface: str) -> Planted:
    """What the stored intents and receipts of a surface say."""
    sealer = job.sealer(surface)
    planted = Planted()
    intended: dict[str, str] = {}
    for name in await job.store.names(job.sealed_under(surface)):
        value = sealer.unseal(await job.store.read(name))
        planted.began = True
        if name.rsplit("/", 1)[1].startswith("receipt-"):
            planted.locations[value[0]] = value[1]
        else:
            intended |= dict(value)
    planted.doubtful = {marker: wanted for marker, wanted in intended.items() if marker not in planted.locations}
    return planted
