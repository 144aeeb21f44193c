"""Arguments and mounted files of a pod -> one stage of a run, an exit status and a termination message.

`sectum-stage` is what the operator's Jobs start; docs/stages.md is the contract between them.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sectum import termination, verify
from sectum.assembly import open_run
from sectum.boundary import closed, measure, opened
from sectum.codec import canonical, sha256
from sectum.coverage import brief
from sectum.errors import NotVerified, ScenarioError, SectumError
from sectum.finding import Outcome, judge
from sectum.job import Job, Progress
from sectum.manifest import header
from sectum.pipeline import conclude, first_of, unsealed
from sectum.ports import Store
from sectum.records import Runner, Stage
from sectum.resume import add_planted, receipts, resume
from sectum.run import Run, read_run
from sectum.scenario import parse
from sectum.score import score
from sectum.secrets_dir import ReadSecret, secrets_in
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
from sectum.verdict import sharing_of

_PROGRESS_SECONDS = 5.0
_LOG = logging.getLogger("sectum.pod")

Message = dict[str, Any]
Result = Mapping[str, Any]
"""Body of a stage's result record."""


class Stopped(SectumError):
    """The pod was told to go: its node is drained, or its Job was deleted."""

    exit_status = termination.TEMPORARY


CLOSED_WITHIN = 15.0
"""Seconds after which a pod goes on although it reaches what it must not: nothing seems to enforce the boundary."""


class NotCleaned(SectumError):
    """The surface could not be used for cleaning up; it may be in a while."""

    exit_status = termination.TEMPORARY


@dataclass(frozen=True, slots=True)
class Pod:
    """What this process was started with."""

    stage: str
    run: str
    surface: str
    attempt: int
    mounts: Path
    runner: Runner

    @property
    def secret(self) -> ReadSecret:
        """Reads the mounted Secrets."""
        return secrets_in(self.mounts / "secrets")

    def about(self) -> Run:
        """The run that this pod is of; raises ScenarioError, SealBroken."""
        try:
            sealed = (self.mounts / "manifest" / "sealed.json").read_bytes()
        except OSError:
            raise ScenarioError("the manifest's Secret", "is not mounted") from None
        clear = header(sealed)
        if clear["run"] != self.run:
            raise NotVerified("the mounted manifest is of another run")
        evidence = parse(clear["scenario"]).spec.evidence
        if evidence.store_spec is None or evidence.records_spec is None:
            raise ScenarioError("spec.evidence", "names no store and records", "a cluster's runs need both")
        work = evidence.records_spec.open(self.secret)
        # Who touches surfaces has no way to the store of packs, nor credentials for it.
        store: Store = evidence.store_spec.open(self.secret) if self.stage in _SIGNED else work
        return read_run(sealed, store=store, work=work, origin="cluster")


async def _reached(pod: Pod) -> Run:
    """The run, once the network lets this pod reach what stages of its kind need, and nothing that it must not."""
    about = pod.about()
    spec = about.scenario.spec
    stores = [spec.evidence.records_spec, spec.evidence.store_spec if pod.stage in _SIGNED else None]
    addresses = [store.address() for store in stores if store is not None]
    key = spec.manifest.spec.address() if pod.stage not in _SIGNED else None
    await opened([*addresses, *([key] if key else [])])
    await closed(seconds=float(os.environ.get("SECTUM_CLOSED_WITHIN", CLOSED_WITHIN)))
    return about


async def _open(pod: Pod) -> Message:
    about = await _reached(pod)
    name = await open_run(about, about.scenario.spec.evidence.spec.signer(pod.secret))
    return {"sequence": int(name.rsplit("/", 1)[1].removesuffix(".json"))}


async def _assemble(pod: Pod) -> Message:
    about = await _reached(pod)
    evidence = about.scenario.spec.evidence
    signer = evidence.spec.signer(pod.secret)
    ended = await conclude(about, signer)
    await _check_stored(about, ended.pack, ended.open_record, signer.public_pem)
    counts = Counter(row["outcome"] for row in ended.run["rows"])
    return {
        "verdict": str(ended.outcome),
        "score": score(ended.run),
        "counts": _counts(counts),
        "uri": evidence.store_spec.uri(ended.pack) if evidence.store_spec else "",
        "pack": ended.digest,
        "run": sha256(canonical(ended.run)),
        "sequence": ended.run["open"]["sequence"],
        "verified": True,
        **brief(ended.run),
    }


async def _check_stored(about: Run, pack: str, open_record: str, key: bytes) -> None:
    """Verify the pack as the store gives it back; raises NotVerified with the step."""
    data, opened = await about.store.read(pack), await about.store.read(open_record)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pack.zip"
        path.write_bytes(data)
        told = verify.verify(path, key=key, open_record=opened, allow_unanchored=True)
    if not told.verified:
        raise NotVerified(f"the stored pack does not verify: {told.summary}")


async def _touch(pod: Pod, stage: Stage) -> Message:
    job = unsealed(await _reached(pod), secret=pod.secret, observe=_Log(), surfaces=(pod.surface,))
    if not job.surfaces:
        raise ScenarioError("--surface", "names no surface of the run's scenario")
    job.attempt, job.runner = pod.attempt, pod.runner
    records = job.scenario.spec.evidence.records_spec
    if records is not None:
        job.measure = partial(measure, records.address())
    await resume(job, stage, pod.surface)
    if (stage, pod.surface) not in job.chains:
        await _play(job, stage)
    if job.cancelled:
        raise Stopped("SIGTERM came before the stage had ended; what it did is recorded")
    if stage == Stage.CLEAN and job.cleaned[pod.surface].not_removed and (fault := _fault(job)):
        raise NotCleaned(f"{job.cleaned[pod.surface].not_removed} documents may still be there: {fault}")
    return _TOLD[stage](job, pod.surface, job.chains[stage, pod.surface].result or {})


async def _play(job: Job, stage: Stage) -> None:
    """The stage on the job's surface, with its result recorded however it ends."""
    async with AsyncExitStack() as stack:
        try:
            await connect(job, stack)
            await _PLAYED[stage](job)
        except asyncio.CancelledError:
            job.cancelled = True
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        except BaseException as error:  # noqa: BLE001  (raised on)
            job.crashed = True
            raise first_of(error) from None
        finally:
            await _CONCLUDED[stage](job)


async def _before(job: Job) -> None:
    await check_places(job)
    await ask_before(job, open_world(job))


async def _plant(job: Job) -> None:
    await plant_all(job, open_world(job))


async def _probe(job: Job) -> None:
    world = open_world(job)
    await add_planted(job, world)
    for reach in job.reaches:  # planting ended in another process, no later than now: what waits, waits long enough
        reach.planted_at = reach.gate.now()
    await probe_all(job, world)


async def _clean(job: Job) -> None:
    for surface in job.surfaces:
        after = job.found[surface.name].emptied
        job.planted[surface.name] = await receipts(job, surface.name, after=after)
    await clean_and_record(job)


async def _nothing(_job: Job) -> None:
    return None


_PLAYED: dict[Stage, Callable[[Job], Awaitable[None]]] = {
    Stage.BASELINE: _before,
    Stage.PLANT: _plant,
    Stage.PROBE: _probe,
    Stage.CLEAN: _clean,
}
_CONCLUDED: dict[Stage, Callable[[Job], Awaitable[None]]] = {
    Stage.BASELINE: conclude_baseline,
    Stage.PLANT: conclude_planting,
    Stage.PROBE: conclude_probes,
    Stage.CLEAN: _nothing,
}


def _fault(job: Job) -> str | None:
    return next((str(fault) for reach in job.reaches if (fault := reach.fault or reach.gate.stopped)), None)


def _told_planting(job: Job, surface: str, result: Result) -> Message:
    return {"planted": len(result["planted"]), "markers": len(job.markers_of(surface)), "fault": result["fault"]}


def _told_probe(job: Job, _surface: str, result: Result) -> Message:
    owners = {name: marker.spec.owner for name, marker in job.markers().items()}
    shared = sharing_of(job.scenario.snapshot())
    counts = Counter(judge(row, owners, shared)[0] for row in result["rows"])
    worst = next((each for each in (Outcome.LEAK, Outcome.INCONCLUSIVE) if counts[each]), Outcome.PASS)
    return {"verdict": str(worst), "counts": _counts(counts), "fault": result["fault"]}


_TOLD: dict[Stage, Callable[[Job, str, Result], Message]] = {
    Stage.BASELINE: lambda _job, _surface, result: {"fault": result["fault"]},
    Stage.PLANT: _told_planting,
    Stage.PROBE: _told_probe,
    Stage.CLEAN: lambda _job, _surface, result: {name: result[name] for name in ("removed", "notRemoved")},
}


def _counts(outcomes: Counter[Any]) -> dict[str, int]:
    named = (("leak", Outcome.LEAK), ("pass", Outcome.PASS), ("inconclusive", Outcome.INCONCLUSIVE))
    return {"planned": outcomes.total(), **{name: outcomes[outcome] for name, outcome in named}}


_SIGNED: dict[str, Callable[[Pod], Awaitable[Message]]] = {"open": _open, "assemble": _assemble}
"""The stages that hold the signer and touch no surface."""


def main(argv: Sequence[str] | None = None) -> int:
    """Play one stage; the termination message says for display what came of it."""
    pod = _started_with(argv)
    termination.log_as_json({"run": pod.run, "stage": pod.stage, **({"surface": pod.surface} if pod.surface else {})})
    status, message = _played(pod)
    termination.leave({"stage": pod.stage, "ok": status == 0, **message})
    return status


def _started_with(argv: Sequence[str] | None) -> Pod:
    parser = argparse.ArgumentParser(prog="sectum-stage", description="Play one stage of a run, as a Job's pod does.")
    parser.add_argument("stage", choices=[*_SIGNED, *(str(stage) for stage in Stage)])
    parser.add_argument("--run", required=True, metavar="UID", help="UID of the VerificationRun")
    parser.add_argument("--surface", default="", metavar="NAME", help="the surface, for stages that touch one")
    parser.add_argument("--attempt", type=int, default=1, metavar="N", help="number of the attempt, from 1")
    given = parser.parse_args(argv)
    if (given.stage in _SIGNED) == bool(given.surface):
        parser.error("--surface is for baseline, plant, probe and clean, and needed there")
    return Pod(
        stage=given.stage,
        run=given.run,
        surface=given.surface,
        attempt=given.attempt,
        mounts=Path(os.environ.get("SECTUM_MOUNTS", "/var/run/sectum")),
        runner=Runner(os.environ.get("SECTUM_POD_UID"), os.environ.get("SECTUM_IMAGE")),
    )


def _played(pod: Pod) -> tuple[int, Message]:
    """Exit status and what to say; of an exception only what is known to hold no content."""
    play = _SIGNED[pod.stage] if pod.stage in _SIGNED else partial(_touch, stage=Stage(pod.stage))
    try:
        return 0, asyncio.run(_until_told(play(pod)))
    except asyncio.CancelledError:
        return termination.of_failure(Stopped("SIGTERM came before the stage had begun, or while it concluded"))
    except Exception as error:  # noqa: BLE001  (the last resort: a status and a message)
        return termination.of_failure(first_of(error))


async def _until_told(work: Awaitable[Message]) -> Message:
    """SIGTERM stops the stage, which still records what it did."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


class _Log:
    """Progress as log lines, a few of them."""

    def __init__(self) -> None:
        self._said: tuple[str, float] = ("", 0.0)

    def __call__(self, step: Progress) -> None:
        """One step forward."""
        stage, at = self._said
        if step.note or step.stage != stage or step.done == step.total or time.monotonic() - at > _PROGRESS_SECONDS:
            self._said = (step.stage, time.monotonic())
            _LOG.info("%s %d/%d %s", step.stage, step.done, step.total, step.note)
