"""Observed -> Decision: what the operator does about a run now. Pure: asked again, it says the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sectum.codec import canonical, sha256
from sectum.scenario import Scenario

from sectum_operator.acceptance import Refused, accept
from sectum_operator.course import LOOK, Course, Step, next_step
from sectum_operator.messages import Assembled
from sectum_operator.observe import Observed, State
from sectum_operator.reasons import Refusal, Why
from sectum_operator.stages import PROBING, Stage, Work
from sectum_operator.statuses import Conditions, Phase, ResolvedScenario, RunStatus
from sectum_operator.telling import condition, tell

SCENARIO_PATIENCE = timedelta(minutes=2)
"""For a scenario that is applied after its run."""
OLDER_PATIENCE = timedelta(minutes=10)
"""How long an older run that is not decided yet goes first."""
SOON = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that changed and that people are told of."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, in this order; all of it can be done again."""

    start: tuple[Work, ...] = ()
    delete: tuple[str, ...] = ()
    """Names of Jobs."""
    finalizer: bool | None = None
    """Must it stand (before anything is started), or go (after the status is written)? None: leave it."""
    evidence: Assembled | None = None
    """The pack that was stored, for an EvidencePack."""
    status: RunStatus | None = None
    events: tuple[Event, ...] = ()
    wake: datetime | None = None
    """When to look again although nothing happened."""
    scenario: Scenario | None = None
    """What `start` is done by."""
    surfaces: tuple[str, ...] = ()
    """What `start` may need a NetworkPolicy for."""


def decide(seen: Observed, now: datetime) -> Decision:
    """First rule that applies."""
    now = now.replace(microsecond=0)
    made = next(made for rule in (_over, _deleted, _undecided, _accepted) if (made := rule(seen, now)))
    return replace(made, events=tuple(events(seen.status, made.status)))


def _status(conditions: Conditions, kind: str) -> str | None:
    return next((each.status for each in conditions if each.type == kind), None)


def _over(seen: Observed, now: datetime) -> Decision | None:
    """A run that has ended stays as it is."""
    if _status(seen.status.conditions, "Complete") != "True":
        return None
    return Decision(finalizer=False if seen.finalizer else None)


def _deleted(seen: Observed, now: datetime) -> Decision | None:
    """A deleted run waits only for cleaning and for a pack under way; where its namespace goes, not even for that."""
    if seen.terminating:
        return Decision(finalizer=False if seen.finalizer else None)
    return Decision() if seen.deleted and not seen.finalizer else None


def _undecided(seen: Observed, now: datetime) -> Decision | None:
    """Accept the run, refuse it, or wait for what has a deadline."""
    if _status(seen.status.conditions, "Accepted") == "True":
        return None
    if seen.spec.cancel:
        return _refuse(seen, now, Why.CANCELLED, "before it was accepted")
    if seen.spec.suspend:
        return _wait(seen, now, Why.SUSPENDED, "spec.suspend is true", until=None)
    if seen.scenario is None:
        until = seen.created + SCENARIO_PATIENCE
        told = f"there is no IsolationScenario {seen.spec.scenario_ref.name!r} in this namespace"
        if now >= until:
            return _refuse(seen, now, Refusal.SCENARIO_NOT_FOUND, told)
        return _wait(seen, now, Refusal.SCENARIO_NOT_FOUND, told, until=min(until, now + SOON))
    scenario = accept(seen.scenario, seen.spec.subset)
    if isinstance(scenario, Refused):
        return _refuse(seen, now, scenario.reason, scenario.message)
    if active := [each.name for each in seen.others if each.accepted]:
        return _while_active(seen, now, active[0], scenario)
    older = [
        each for each in seen.others if (each.created, each.uid) < _age(seen) and now < each.created + OLDER_PATIENCE
    ]
    if older:
        return _wait(seen, now, Why.WAITING, f"{older[0].name} is older and goes first", until=now + SOON)
    return _accept(seen, now, seen.scenario["metadata"], scenario)


def _while_active(seen: Observed, now: datetime, active: str, scenario: Scenario) -> Decision:
    """One run at a time: refuse this one, or let it wait until the other has stopped for it."""
    if scenario.spec.concurrency_policy == "Forbid":
        told = f"{active} verifies this scenario and has not ended"
        return _refuse(seen, now, Refusal.CONCURRENCY_FORBIDDEN, told)
    if newer := [each.name for each in seen.others if each.replaces and (each.created, each.uid) > _age(seen)]:
        return _refuse(seen, now, Refusal.CONCURRENCY_FORBIDDEN, f"{newer[0]} is newer and replaces {active}")
    return _wait(seen, now, Why.REPLACES, f"{active} is made to stop and cleaned up after first", until=now + SOON)


def _accept(seen: Observed, now: datetime, meta: dict[str, str | int], scenario: Scenario) -> Decision:
    """Nothing is begun before this is written: from here on the run has its own copy of the scenario."""
    snapshot = scenario.snapshot()
    resolved = ResolvedScenario(
        uid=str(meta["uid"]),
        generation=int(meta.get("generation", 0)),
        sha256=sha256(canonical(snapshot)),
        snapshot=snapshot,
    )
    told = f"generation {resolved.generation} of {scenario.metadata.name}"
    status = _told(seen, now, "True", Why.ACCEPTED, told)
    return Decision(
        status=status.model_copy(
            update={"phase": Phase.PENDING, "started_at": now, "scenario": resolved, "refused": seen.refused}
        ),
        wake=now,
    )


def _wait(seen: Observed, now: datetime, reason: str, told: str, *, until: datetime | None) -> Decision:
    status = _told(seen, now, "Unknown", reason, told)
    return Decision(status=status.model_copy(update={"phase": Phase.PENDING}), wake=until)


def _refuse(seen: Observed, now: datetime, reason: str, told: str) -> Decision:
    status = _told(seen, now, "False", reason, told)
    conditions = condition(
        status.conditions, "Complete", "True", reason, told, now=now, generation=seen.generation,
    )  # fmt: skip
    ended = {"phase": Phase.FAILED, "finished_at": now, "conditions": conditions}
    never = {"started_at": None, "scenario": None, "refused": ()}  # of one that was accepted for a moment
    return Decision(
        status=status.model_copy(update=ended | never),
        finalizer=False if seen.finalizer else None,
    )


def _told(
    seen: Observed, now: datetime, status: Literal["True", "False", "Unknown"], reason: str, told: str
) -> RunStatus:
    conditions = condition(
        seen.status.conditions, "Accepted", status, reason, told, now=now, generation=seen.generation
    )
    return seen.status.model_copy(update={"observed_generation": seen.generation, "conditions": conditions})


def _accepted(seen: Observed, now: datetime) -> Decision:
    """The next step of a run's course."""
    resolved = seen.status.scenario
    scenario = accept(resolved.snapshot) if resolved else None
    if not isinstance(scenario, Scenario):
        return _unreadable(seen, now)
    if not seen.jobs and any(each.accepted and (each.created, each.uid) < _age(seen) for each in seen.others):
        return _refuse(seen, now, Refusal.CONCURRENCY_FORBIDDEN, "accepted at the same moment as an older run")
    course = Course(seen, scenario, now)
    waiting = [(each.created, each.uid, each.name) for each in seen.others if each.replaces]
    if waiting and not course.stop:
        return _replaced(seen, now, max(waiting)[2])  # the newest: the others are refused for it
    step = next_step(course)
    status = tell(course, step)
    return Decision(
        start=step.start,
        delete=tuple(job.name for job in step.delete),
        finalizer=_finalizer(seen, step),
        evidence=step.end.evidence if step.end else None,
        status=_unopened(seen, status, now) if step.end and not _may_be_open(seen) else status,
        wake=step.wake,
        scenario=scenario,
        surfaces=course.surfaces,
    )


def _may_be_open(seen: Observed) -> bool:
    """May there be an Open record of it? Only a Job makes one; a Job that was denied has made none."""
    return seen.planted or any(work.stage != Stage.PREPARE for work in seen.jobs)


def _unopened(seen: Observed, status: RunStatus, now: datetime) -> RunStatus:
    """Its tick came to nothing, as a refused run's: `history` reads this and has a later Open record say so."""
    told = "it ended before anything of it could be stored"
    conditions = condition(
        status.conditions, "EvidenceStored", "False", Why.NOT_OPENED, told, now=now, generation=seen.generation
    )
    return status.model_copy(update={"conditions": conditions})


def _replaced(seen: Observed, now: datetime, newer: str) -> Decision:
    """Written before anything is stopped: the run stays stopped, whatever becomes of the one that wants its place."""
    conditions = condition(
        seen.status.conditions, "Replaced", "True", Why.REPLACED, f"by {newer}", now=now, generation=seen.generation
    )
    return Decision(status=seen.status.model_copy(update={"conditions": conditions}), wake=now)


def _age(seen: Observed) -> tuple[datetime, str]:
    return seen.created, seen.run.uid


def _finalizer(seen: Observed, step: Step) -> bool | None:
    """It stands from before the first plant, or from when assemble has begun, to the end.

    Not from before assemble: a finalizer without such a Job is what tells `course` of a plant that left no other trace.
    """
    if step.end:
        return False if seen.finalizer else None
    wanted = any(work.stage == Stage.PLANT for work in step.start) or any(w.stage == Stage.ASSEMBLE for w in seen.jobs)
    free = not (seen.finalizer or seen.deleted or seen.let_go)
    return True if wanted and free else None


def _unreadable(seen: Observed, now: datetime) -> Decision:
    """Another version accepted it, and this one cannot read its scenario: it cannot make any Job for it either.

    What probes is deleted; what cleans up or stores evidence may do so to its end. The run ends when no Job of it runs.
    """
    running = [job for job in seen.jobs.values() if job.state == State.RUNNING]
    if running:
        stops = [job.name for job in running if job.work.stage in (Stage.PREPARE, *PROBING) and not job.deleting]
        return Decision(delete=tuple(stops), wake=min([now + LOOK, *(job.overdue for job in running)]))
    told = f"this version cannot read its status, or the snapshot in status.scenario; {_left(seen)}start the run again"
    conditions = seen.status.conditions
    for kind, status, reason in (
        ("Progressing", "False", Why.ENDED),
        ("Complete", "True", Why.SNAPSHOT_UNREADABLE),
        ("EvidenceStored", "False", Why.NO_PACK),
    ):
        put: Literal["True", "False"] = "True" if status == "True" else "False"
        conditions = condition(conditions, kind, put, reason, told, now=now, generation=seen.generation)
    ended = {"phase": Phase.FAILED, "finished_at": now, "conditions": conditions}
    return Decision(status=seen.status.model_copy(update=ended), finalizer=False if seen.finalizer else None)


def _left(seen: Observed) -> str:
    """What becomes of what was planted, if anything was: nobody cleans it up any more."""
    if not seen.planted or _status(seen.status.conditions, "CleanedUp") == "True":
        return ""
    names = ", ".join(each.name for each in seen.status.surfaces) or "its surfaces"
    return f"what it planted may still be on {names}: clean it up by hand (docs/chart.md, Uninstalling), then "


_WARNS = frozenset({"Inconclusive", "Leak"})


def events(old: RunStatus, new: RunStatus | None) -> Iterator[Event]:
    """What of a status has changed, as far as people want to be told."""
    if new is None:
        return
    before = {each.type: (each.status, each.reason) for each in old.conditions}
    for each in new.conditions:
        if before.get(each.type) == (each.status, each.reason) or each.status == "Unknown":
            continue
        if each.type in ("Accepted", "Complete") and each.reason not in (Why.RUNNING, Why.SUSPENDED):
            good = each.reason in ("Pass", Why.ACCEPTED)
            yield Event("Normal" if good else "Warning", each.reason, f"{each.type}: {each.message or each.reason}")
        if each.type == "CleanedUp" and each.reason != Why.RUNNING:
            yield Event("Normal" if each.status == "True" else "Warning", each.reason, f"CleanedUp: {each.message}")
    if new.phase != old.phase and new.phase not in (None, Phase.PENDING, Phase.COMPLETE, Phase.FAILED):
        yield Event("Normal", new.phase.value, "the run goes on with this stage")
    known = {each.name: (each.verdict, each.reason) for each in old.surfaces}
    for surface in new.surfaces:
        now = (surface.verdict, surface.reason)
        if now != known.get(surface.name, (None, None)) and (surface.verdict in _WARNS or surface.reason):
            why = surface.reason or str(surface.verdict)
            yield Event("Warning", why, f"surface {surface.name}: {why}")
