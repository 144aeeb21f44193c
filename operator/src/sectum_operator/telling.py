"""A run's course and next step -> its status: phase, conditions, surfaces. For display only. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from sectum.finding import Outcome

from sectum_operator.course import Course, Step, looked_at
from sectum_operator.matrix import of_surface
from sectum_operator.reasons import Cause, Why
from sectum_operator.stages import PROBING, Stage
from sectum_operator.standing import Stand, Standing, jobs_of
from sectum_operator.statuses import Condition, Conditions, Counts, Phase, RunStatus, StoredPack, SurfaceResult

_WAITS = frozenset({Cause.NO_POD, Cause.UNSCHEDULABLE, Cause.SECRET_MISSING, Cause.IMAGE_PULL})
_LONGEST = 2048


def condition(
    before: Conditions, kind: str, status: Literal["True", "False", "Unknown"], reason: str, message: str = "", *,
    now: datetime, generation: int,
) -> Conditions:  # fmt: skip
    """The conditions with this one set; its time changes with its status only."""
    old = next((each for each in before if each.type == kind), None)
    since = old.last_transition_time if old and old.status == status else now
    made = Condition(
        type=kind, status=status, reason=reason, message=message[:_LONGEST], observed_generation=generation,
        last_transition_time=since,
    )  # fmt: skip
    if old is None:
        return (*before, made)
    return tuple(made if each is old else each for each in before)


def tell(course: Course, step: Step) -> RunStatus:
    """What is to be said of the run before the step is done."""
    seen, old, end = course.seen, course.seen.status, step.end
    ended = end is not None
    evidence = end.evidence if end else None
    surfaces = tuple(_surface(course, step, name) for name in course.surfaces)
    counts = evidence.counts if evidence and evidence.counts else _sum(course, surfaces)
    return old.model_copy(
        update={
            "observed_generation": seen.generation,
            "phase": (Phase.COMPLETE if evidence else Phase.FAILED) if ended else step.phase,
            "started_at": course.started,
            "finished_at": course.now if ended else None,
            "verdict": evidence.verdict if evidence else None,
            "counts": counts,
            "surfaces": surfaces,
            "score": evidence.score if evidence else None,
            "matrix": evidence.matrix if evidence else None,
            "pack": StoredPack(name=seen.run.name, uri=evidence.uri, sha256=evidence.digests.pack)
            if evidence
            else None,
            "conditions": _conditions(course, step),
        }
    )


def _conditions(course: Course, step: Step) -> Conditions:
    made, end = course.seen.status.conditions, step.end

    def put(kind: str, status: Literal["True", "False", "Unknown"], reason: str, message: str = "") -> None:
        nonlocal made
        made = condition(made, kind, status, reason, message, now=course.now, generation=course.seen.generation)

    if end:
        put("Progressing", "False", Why.ENDED)
        put("Complete", "True", end.reason, end.message)
        stored = "in the store, read back and verified" if end.evidence else end.message
        put("EvidenceStored", "True" if end.evidence else "False", Why.STORED if end.evidence else Why.NO_PACK, stored)
    elif course.seen.spec.suspend and not course.stop:
        put("Progressing", "False", Why.SUSPENDED, "spec.suspend is true; the timeout goes on")
        put("Complete", "False", Why.SUSPENDED)
    else:
        reason, message = _progress(step.waits)
        put("Progressing", "True", reason, message)
        put("Complete", "False", Why.RUNNING)
    if cleaned := _cleaned(course, ended=end is not None):
        put("CleanedUp", *cleaned)
    return made


def _progress(waits: Iterable[Standing]) -> tuple[str, str]:
    """What is under way; what it waits for comes first."""
    held = [each for each in waits if each.stand in (Stand.RUNNING, Stand.AGAIN) and each.reason]
    told = []
    for each in held:
        name = str(each.job.work) if each.job else str(each.next)
        again = f", again at {each.again:%H:%M:%S} UTC" if each.again else ""
        told.append(f"{name}: {each.reason}{again}")
    if held:
        return str(held[0].reason), "; ".join(told)
    return Why.RUNNING, ", ".join(str(each.job.work if each.job else each.next) for each in waits)


def _cleaned(course: Course, *, ended: bool) -> tuple[Literal["True", "False"], str, str] | None:
    """Is what was planted gone? None while nothing was planted, or when it has been said."""
    stands = course.cleaned()
    if not stands:
        return None
    failed = [each for each in stands if each.stand == Stand.FAILED]
    going = [each for each in stands if not each.over]
    left = sum(each.job.message.number("notRemoved") for each in stands if each.job and each.job.message)
    if going and not ended:
        return "False", Why.RUNNING, "what was planted is still there"
    if going:
        return "False", Why.CLEAN_DEADLINE, _names(going)
    if failed:
        return "False", Why.CLEAN_FAILED, _names(failed)
    if left:
        return "False", Why.NOT_REMOVED, f"{left} documents; the pack lists them"
    return "True", Why.REMOVED, ""


def _names(stands: Iterable[Standing]) -> str:
    return "; ".join(f"{each.next.surface}: {each.reason or each.stand}" for each in stands)


def _surface(course: Course, step: Step, name: str) -> SurfaceResult:
    seen = course.seen
    attempts = [job.work.attempt for stage in PROBING for job in jobs_of(seen, stage, name)]
    probe = course.of(Stage.PROBE, name)
    message = probe.job.message if probe.job and probe.stand == Stand.DONE else None
    verdict, reason = _outcome(course, step, name)
    matrix = step.end.evidence.matrix if step.end and step.end.evidence else None
    packed, why = of_surface(matrix, course.scenario, name) if matrix else (None, None)
    if packed and packed != verdict:  # what an attempt that was lost had seen, or what of it was not there any more
        verdict, reason = packed, why
    if verdict == Outcome.PASS and not (step.end and step.end.evidence):
        verdict = None  # nothing passes before the pack says what passed
    return SurfaceResult(
        name=name,
        verdict=verdict,
        reason=reason,
        attempts=min(max(attempts, default=0), 16),
        counts=message.counts if message else None,
    )


def _outcome(course: Course, step: Step, name: str) -> tuple[Outcome | None, str | None]:
    """What a surface came to, and why; first match wins."""
    probe = course.of(Stage.PROBE, name)
    said = probe.job.message if probe.job and probe.stand == Stand.DONE else None
    if said and said.verdict:
        return said.verdict, said.reason if said.verdict == Outcome.INCONCLUSIVE else None
    stands = [course.of(stage, name) for stage in PROBING]
    failed = next((each for each in stands if each.stand == Stand.FAILED), None)
    if failed:
        return Outcome.INCONCLUSIVE, _carried(course, name, failed)
    baseline = stands[0]
    if baseline.stand == Stand.DONE and not looked_at(course, name):
        return Outcome.INCONCLUSIVE, baseline.job.message.reason if baseline.job and baseline.job.message else None
    if step.end or step.phase in (Phase.CLEANING, Phase.ASSEMBLING):
        before = next((each for each in course.seen.status.surfaces if each.name == name), None)
        if before and before.verdict and before.reason:  # of what was denied nothing is left but what was said of it
            return before.verdict, before.reason
        lost = Cause.RESULT_LOST if probe.stand == Stand.DONE else Cause.VANISHED
        return Outcome.INCONCLUSIVE, course.stop or lost
    waits = next((each for each in stands if each.reason and each.stand in (Stand.RUNNING, Stand.AGAIN)), None)
    return None, waits.reason if waits else None


def _carried(course: Course, name: str, failed: Standing) -> str | None:
    """The reason of a failure; of one that only its deadline ended, what it had been seen waiting for."""
    before = next((each.reason for each in course.seen.status.surfaces if each.name == name), None)
    return before if failed.cause == Cause.DEADLINE and before in _WAITS else failed.reason


def _sum(course: Course, surfaces: Iterable[SurfaceResult]) -> Counts | None:
    """Trials so far, as the probes say."""
    prepared = [job.message for job in jobs_of(course.seen, Stage.PREPARE) if job.message]
    if not prepared:
        return course.seen.status.counts
    known = [each.counts for each in surfaces if each.counts]
    return Counts(
        planned=prepared[-1].number("trials"),
        leak=min(sum(each.leak for each in known), 10_000_000),
        passed=min(sum(each.passed for each in known), 10_000_000),
        inconclusive=min(sum(each.inconclusive for each in known), 10_000_000),
    )
