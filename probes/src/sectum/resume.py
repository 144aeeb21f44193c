"""What earlier stages stored -> a Job that goes on from there, in another process than theirs."""

from __future__ import annotations

from operator import itemgetter

from sectum.attempts import Attempt, Attempts, attempts_of
from sectum.errors import SealBroken
from sectum.gate import Spent
from sectum.job import Chain, Found, Job
from sectum.plant import Planted
from sectum.ports import Store
from sectum.probe import World
from sectum.reasons import CUT_OFF, Reason
from sectum.records import Stage
from sectum.run import stored_records
from sectum.store import read_all

_NEEDED = {Stage.PLANT: (Stage.BASELINE,), Stage.PROBE: (Stage.BASELINE, Stage.PLANT)}
"""What must have gone well before; cleaning up is tried whatever happened."""


async def resume(job: Job, stage: Stage, surface: str) -> None:
    """Take over what earlier stages of the surface found and spent, and which records are there.

    Where an attempt before this one had come to its end, its chain is taken over: there is nothing left to do.
    """
    stored = await stored_records(job.about, surface)
    attempts = attempts_of(stored.signed, surface)
    if (ended := _ended(attempts, stage)) is not None:
        job.chains[stage, surface] = Chain(len(ended.signed), ended.end, ended.result)
    job.before = {(each, surface): end for each in Stage if (end := attempts.end(each)) is not None}
    baseline = attempts.concluded(Stage.BASELINE)
    job.found[surface] = Found(
        fault=_hindrance(attempts, stage),
        spent=_spent(attempts),
        baseline=tuple(baseline["rows"]) if stage == Stage.PROBE and baseline is not None else (),
        emptied=attempts.emptied,
    )


def _ended(attempts: Attempts, stage: Stage) -> Attempt | None:
    """The last attempt at a stage that is over: one more could be taken away, and this one would stand."""
    last = attempts.finished(stage) if attempts.concluded(stage) is not None else None
    if last is None or last.result is None or stage == Stage.CLEAN or last.result["fault"] in CUT_OFF:
        return None
    return None if stage == Stage.PLANT and attempts.cleaning_began else last


def _hindrance(attempts: Attempts, stage: Stage) -> str | None:
    """Why a stage cannot use the surface."""
    plants = attempts.of[Stage.PLANT]
    if stage == Stage.PLANT and plants and attempts.emptied < plants[-1].number:
        return str(Reason.NOT_EMPTY)  # another planting would hide where the documents of the earlier one are
    if stage == Stage.PROBE and attempts.cleaning_began:
        return str(Reason.UNFINISHED)
    return attempts.hindrance(_NEEDED.get(stage, ()))


def _spent(attempts: Attempts) -> Spent:
    """What planting and probing cost so far; what a lost attempt cost nobody knows."""
    results = [
        each.result
        for stage in (Stage.BASELINE, Stage.PLANT, Stage.PROBE)
        for each in attempts.of[stage]
        if each.result
    ]
    return Spent(*(sum(each[name] for each in results) for name in ("requests", "writes", "tokens")))


async def add_planted(job: Job, world: World) -> None:
    """Tell a world what was planted on all surfaces, and what of it cannot be looked for."""
    for surface in job.scenario.spec.surfaces:
        planted = await receipts(job, surface.name)
        world.add_planted(surface.name, planted.locations)
        last = attempts_of((await stored_records(job.about, surface.name, (Stage.PLANT,))).signed, surface.name)
        told = last.concluded(Stage.PLANT)
        for marker in job.markers_of(surface.name):
            if told is None:
                world.faults[marker.id] = Reason.UNFINISHED
            elif (fault := told["faults"].get(marker.id)) is not None:
                world.faults[marker.id] = Reason(fault)


async def receipts(job: Job, surface: str, *, after: int = 0, strict: bool = False) -> Planted:
    """What the stored intents and receipts of all attempts on a surface say, from the one `after` on.

    What does not open is passed over: somebody else put it there, and it must not keep the rest from being removed. Its
    marker stays doubtful by its intent. If `strict`, it raises SealBroken: for who can be asked what to do.
    """
    attempts = await numbered(job.work, job.sealed_under(surface))  # later ones win
    planted = Planted(newest=max(attempts.values(), default=0))
    intended: dict[str, str] = {}
    for (name, attempt), data in zip(attempts.items(), await read_all(job.work, list(attempts)), strict=True):
        if attempt <= after:
            continue
        try:
            value = job.sealer(surface, attempt).unseal(data)
        except SealBroken:
            if strict:
                raise
            continue
        planted.began = True
        if name.rpartition("/")[2].startswith("receipt-"):
            planted.earlier |= {(value[0], planted.locations.get(value[0], value[1]))} - {tuple(value)}
            planted.locations[value[0]] = value[1]
        else:
            intended |= dict(value)
    planted.doubtful = {marker: wanted for marker, wanted in intended.items() if marker not in planted.locations}
    return planted


async def numbered(store: Store, folder: str) -> dict[str, int]:
    """The objects whose names go on with a number after `folder`, and that number; in its order."""
    found = {name: name.removeprefix(folder).partition("/")[0] for name in await store.names(folder)}
    return dict(sorted(((name, int(each)) for name, each in found.items() if each.isdecimal()), key=itemgetter(1)))
