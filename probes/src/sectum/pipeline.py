"""A Scenario -> a signed pack: all stages in order. The local run calls them one after another, a Job calls one."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, TypeVar

import uuid_utils

from sectum import pack as packing
from sectum import series
from sectum.clean import Cleaned, clean
from sectum.codec import digest, sha256
from sectum.container import to_zip
from sectum.errors import AlreadyStored
from sectum.finding import Outcome
from sectum.gate import Clock, Gate
from sectum.manifest import Manifest, Marker, Sealer, draw_manifest, header, seal, unseal
from sectum.plan import Plan, make_plan, planned_root
from sectum.plant import Planted, plant
from sectum.ports import KeyWrapper, Signer
from sectum.probe import Row, World, empty_row, probe, prove, timestamp
from sectum.reach import Reach, check_empty, credential, named_items, open_clients, open_reach
from sectum.reasons import Reason
from sectum.records import Record, RecordKind, read_record, sign_record
from sectum.scan import Index
from sectum.scenario import Scenario, parse
from sectum.secrets_dir import ReadSecret
from sectum.sign import sign_statement
from sectum.store import NotStored, Store
from sectum.verdict import derive, sharing_of

_ATTEMPT = 1
CLEAN_SECONDS = 300
"""What cleaning up may take at most."""


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


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run came to."""

    run: dict[str, Any]
    outcome: Outcome
    pack: str
    """Name of the zip in the store."""
    open_record: str
    manifest: str


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
    spent: dict[str, Gate] = field(default_factory=dict)
    chains: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.clear = header(self.sealed)

    def markers(self) -> dict[str, Marker]:
        """Markers and decoys by id."""
        return {marker.id: marker for marker in self.manifest.markers + self.manifest.decoys}

    def index(self) -> Index:
        """What answers are scanned for."""
        return Index({each.id: (each.spec.kind, each.plaintext) for each in self.markers().values()})


def open_clock() -> Clock:
    """The real one."""
    return Clock(now=asyncio.get_running_loop().time, busy=time.thread_time, sleep=asyncio.sleep)


async def run(
    scenario: Scenario, *, secret: ReadSecret, store: Store, observe: Observe, clock: Clock | None = None
) -> Ended:
    """All stages; cancelled once, it cleans up and still writes a pack. Raises SectumError."""
    signer = scenario.spec.evidence.spec.signer(secret)
    job = await prepare(scenario, secret=secret, store=store, observe=observe, clock=clock)
    opened = await open_run(job, signer)
    async with AsyncExitStack() as stack:
        try:
            await connect(job, stack)
            world = await plant_all(job)
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
        await clean_all(job)


async def _conclude(job: Job, signer: Signer, opened: str) -> Ended:
    ended, pack_digest = await assemble(job, signer, opened)
    await close_run(job.store, signer, run=job.run, outcome=str(ended.outcome), pack=pack_digest)
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
    for surface in scenario.spec.surfaces:
        for principal in scenario.principals:
            credential(surface, principal, secret)
    plan = make_plan(scenario)
    run_id = str(uuid_utils.uuid7())
    manifest = draw_manifest(plan, run=run_id, below=secrets.randbelow)
    key: KeyWrapper = scenario.spec.manifest.spec.wrapper(secret)
    data_key = os.urandom(32)
    rows = plan.rows()
    clear = {"scenario": scenario.snapshot(), "plan": {"root": planned_root(rows), "trials": len(rows)}}
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

    await _close_abandoned(job.store, signer)
    return await _append(job.store, record)


async def close_run(store: Store, signer: Signer, *, run: str, outcome: str, pack: str | None) -> str:
    """Store the Close record; returns its name in the store."""

    def record(sequence: int, previous: str | None) -> bytes:
        return series.close_record(
            signer=signer,
            run=run,
            at=timestamp(),
            outcome=outcome,
            pack=pack,
            sequence=sequence,
            previous=previous or "",
        )

    return await _append(store, record)


async def _close_abandoned(store: Store, signer: Signer) -> None:
    """A run that never closed is closed as Abandoned by the next one: a dropped run shows."""
    names = await store.names("series/")
    if not names:
        return
    body, _ = series.peek(await store.read(names[-1]))
    if body["schema"] == "sectum.ai/open/v1":
        await close_run(store, signer, run=body["run"], outcome="Abandoned", pack=None)


async def _append(store: Store, record: Callable[[int, str | None], bytes]) -> str:
    """Store the series' next record under its sequence number, create-only."""
    while True:
        names = await store.names("series/")
        previous = sha256(await store.read(names[-1])) if names else None
        name = f"series/{len(names) + 1:06d}.json"
        try:
            await store.create(name, record(len(names) + 1, previous))
        except AlreadyStored:
            continue
        return name


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

        sealer = Sealer(job.data_key, run=job.run, surface=reach.name, attempt=_ATTEMPT)

        async def save(kind: str, value: Any) -> None:
            name = f"work/{job.run}/sealed/{reach.name}/{_ATTEMPT}/{kind}-{uuid_utils.uuid7()}"
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
        await _record(job, surface, RecordKind.LEAK, {"slot": row["slot"], "row": row})

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

        await _record(job, reach.name, RecordKind.START, {"trials": len(trials)})
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
            await _record(job, reach.name, RecordKind.START, {"trials": len(trials)})
        gate = job.spent[reach.name] = reach.gate
        spent = {"requests": gate.requests, "writes": gate.writes, "tokens": gate.tokens}
        fault = str(reach.fault or gate.stopped or "") or None
        await _record(job, reach.name, RecordKind.RESULT, {"rows": rows, "fault": fault, **spent})

    await asyncio.gather(*(one(reach) for reach in job.reaches))


async def _record(job: Job, surface: str, kind: RecordKind, body: dict[str, Any]) -> None:
    """Sign and store the next record of this surface's probe; the chain is extended before anything is awaited."""
    number, previous = job.chains.get(surface, (0, None))
    record = Record(
        run=job.run,
        manifest=job.clear["hash"],
        stage="probe",
        surface=surface,
        attempt=_ATTEMPT,
        kind=kind,
        number=number,
        previous=previous,
        body=body,
    )
    data = sign_record(record, job.manifest.run_key)
    job.chains[surface] = (number + 1, sha256(data))
    await job.store.create(f"work/{job.run}/probe/{surface}/{_ATTEMPT}/{sha256(data)}", data)


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


async def assemble(job: Job, signer: Signer, opened: str) -> tuple[Ended, str]:
    """Read the records back from the store, derive the verdict from them alone, and store the signed pack."""
    records = await read_records(job)
    result = await _document(job, records, opened)
    members = packing.build(result, {record.name: data for record, data in records})
    signed = sign_statement(members, result, signer)
    zipped = to_zip(signed)
    name = f"packs/{job.run}.zip"
    await job.store.create(name, zipped)
    for member, data in signed.items():
        await job.store.create(f"packs/{job.run}/{member}", data)
    ended = Ended(
        run=result,
        outcome=Outcome(result["verdict"]),
        pack=name,
        open_record=opened,
        manifest=f"manifests/{job.run}.sealed.json",
    )
    return ended, sha256(zipped)


async def read_records(job: Job) -> list[tuple[Record, bytes]]:
    """Every stored record of the run, signatures checked, in the order of their chains."""
    found = []
    for name in await job.store.names(f"work/{job.run}/probe/"):
        data = await job.store.read(name)
        found.append((read_record(data, job.manifest.public_key()), data))
    return sorted(found, key=lambda each: each[0].name)


async def _document(job: Job, records: list[tuple[Record, bytes]], opened: str) -> dict[str, Any]:
    """run.json."""
    results = {record.surface: record.body for record, _ in records if record.kind == RecordKind.RESULT}
    snapshot = job.scenario.snapshot()
    clear = job.clear
    open_data = await job.store.read(opened)
    rows = [row for surface in job.scenario.spec.surfaces for row in results[surface.name]["rows"]]
    planted = {marker for each in job.planted.values() for marker in each.locations}
    document: dict[str, Any] = {
        "schema": "sectum.ai/run/v1",
        "run": job.run,
        "origin": "local",
        "scenario": {"name": job.scenario.metadata.name, "digest": digest(snapshot), "snapshot": snapshot},
        "versions": {"sectum": version("sectum"), "python": platform.python_version()},
        "started": job.started,
        "ended": timestamp(),
        "cancelled": job.cancelled,
        "open": {"sequence": series.peek(open_data)[0]["sequence"], "digest": sha256(open_data)},
        "manifest": {name: clear[name] for name in ("root", "hash", "key", "publicKey")},
        "plan": clear["plan"],
        "markers": [{**_marker_row(each), "planted": each.id in planted} for each in job.manifest.markers],
        "decoys": [_marker_row(each) for each in job.manifest.decoys],
        "skips": [skip.row() for skip in job.plan.skips],
        "surfaces": [_surface_row(job, reach, results[reach.name]) for reach in job.reaches],
    }
    derived = derive({**document, "rows": rows})
    outcomes = derived.pop("outcomes")
    judged = [{**row, **outcome} for row, outcome in zip(rows, outcomes, strict=True)]
    return {**document, "rows": judged, **derived}


def _marker_row(marker: Marker) -> dict[str, Any]:
    spec = marker.spec
    return {
        "id": marker.id,
        "surface": spec.surface,
        "owner": asdict(spec.owner),
        "kind": str(spec.kind),
        "commitment": marker.commitment(),
    }


def _surface_row(job: Job, reach: Reach, result: Any) -> dict[str, Any]:
    totals = next(each for each in job.plan.totals if each.surface == reach.name)
    cleaned = job.cleaned[reach.name]
    return {
        "name": reach.name,
        "kind": str(reach.surface.kind),
        "adapter": reach.surface.adapter_name,
        "fault": result["fault"],
        "requests": result["requests"] + reach.gate.requests,
        "writes": result["writes"] + reach.gate.writes,
        "tokens": result["tokens"],
        "planted": len(job.planted.get(reach.name, Planted()).locations),
        "removed": cleaned.removed,
        "notRemoved": cleaned.not_removed,
        "residue": list(totals.residue),
    }


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
    return job.cleaned


async def _receipts(job: Job, surface: str) -> Planted:
    """What the stored intents and receipts of a surface say."""
    sealer = Sealer(job.data_key, run=job.run, surface=surface, attempt=_ATTEMPT)
    planted = Planted()
    intended: dict[str, str] = {}
    for name in await job.store.names(f"work/{job.run}/sealed/{surface}/{_ATTEMPT}/"):
        value = sealer.unseal(await job.store.read(name))
        planted.began = True
        if name.rsplit("/", 1)[1].startswith("receipt-"):
            planted.locations[value[0]] = value[1]
        else:
            intended |= dict(value)
    planted.doubtful = {marker: wanted for marker, wanted in intended.items() if marker not in planted.locations}
    return planted
