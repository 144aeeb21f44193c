"""The Jobs of a stage -> how the stage stands: absent, running, done, to be tried again, or failed for good. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sectum_operator.messages import assembled
from sectum_operator.observe import JobSeen, Observed, State
from sectum_operator.reasons import Cause
from sectum_operator.stages import Stage, Work

BACKOFF, LONGEST = timedelta(seconds=30), timedelta(hours=2)
EVIDENCE_DEADLINE = timedelta(hours=24)
"""How long opening a run and storing its evidence are tried."""


@dataclass(frozen=True, slots=True)
class Retry:
    """What makes a stage be tried again, as a new attempt."""

    causes: frozenset[Cause]
    attempts: int = 1000
    within: timedelta | None = None
    """Since its first attempt was made."""


_PASSING = frozenset({Cause.TEMPORARY, Cause.DISRUPTED})
# What else can heal is waited for by assemble, which would lose evidence, and by clean, which would leave documents.
_HEALS = _PASSING | {
    Cause.VANISHED, Cause.UNSCHEDULABLE, Cause.SECRET_MISSING, Cause.IMAGE_PULL, Cause.NO_POD, Cause.DEADLINE,
    Cause.RESULT_LOST,
}  # fmt: skip
RETRY = {
    Stage.PREPARE: Retry(_PASSING, attempts=3),
    Stage.OPEN: Retry(_PASSING, within=EVIDENCE_DEADLINE),
    Stage.BASELINE: Retry(_PASSING, attempts=3),
    Stage.PLANT: Retry(_PASSING, attempts=3),
    Stage.PROBE: Retry(_PASSING, attempts=3),
    Stage.CLEAN: Retry(frozenset(Cause) - {Cause.DENIED, Cause.NAME_TAKEN}, attempts=4),
    Stage.ASSEMBLE: Retry(_HEALS, within=EVIDENCE_DEADLINE),
}


class Stand(StrEnum):
    """How a stage stands."""

    ABSENT = "absent"
    RUNNING = "running"
    DONE = "done"
    AGAIN = "again"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a stage stands, and its latest Job."""

    stand: Stand
    next: Work
    """What would be the next attempt."""
    job: JobSeen | None = None
    cause: Cause | None = None
    again: datetime | None = None
    """When the next attempt is due, where it stands AGAIN."""

    @property
    def reason(self) -> str | None:
        """Why it failed, or what it waits for."""
        return (self.job.reason if self.job and self.job.cause == self.cause else None) or self.cause

    @property
    def over(self) -> bool:
        """Is nothing more to come?"""
        return self.stand in (Stand.DONE, Stand.FAILED)


def jobs_of(seen: Observed, stage: Stage, surface: str = "") -> list[JobSeen]:
    """Its attempts, in order."""
    found = [job for work, job in seen.jobs.items() if (work.stage, work.surface) == (stage, surface)]
    return sorted(found, key=lambda job: job.work.attempt)


def standing(seen: Observed, stage: Stage, surface: str = "") -> Standing:
    """Of a stage that is done once."""
    return _of(seen, jobs_of(seen, stage, surface), Work(stage, surface, 1))


def cleaning(seen: Observed, surface: str, *, times: int) -> Standing:
    """Of cleaning a surface up for the `times`-th time: once after each planting."""
    found = jobs_of(seen, Stage.CLEAN, surface)
    first = Work(Stage.CLEAN, surface, found[-1].work.attempt + 1 if found else 1)
    done = [number for number, job in enumerate(found) if job.state == State.DONE]
    if len(done) >= times:
        return Standing(Stand.DONE, first, found[done[times - 1]])
    return _of(seen, found[done[-1] + 1 :] if done else found, first)


def begun_after(seen: Observed, surface: str, *, times: int) -> bool:
    """Has a clean of the surface begun after it was cleaned that often?"""
    found = jobs_of(seen, Stage.CLEAN, surface)
    done = [number for number, job in enumerate(found) if job.state == State.DONE]
    return len(done) >= times and len(found) > (done[times - 1] + 1 if times else 0)


def _of(seen: Observed, jobs: list[JobSeen], first: Work) -> Standing:
    if not jobs:
        denied = seen.denied.get(first)
        return Standing(Stand.FAILED if denied else Stand.ABSENT, first, cause=denied)
    job = jobs[-1]
    following = Work(first.stage, first.surface, job.work.attempt + 1)
    cause = job.cause
    if job.state == State.RUNNING:
        return Standing(Stand.RUNNING, following, job, cause)
    if job.state == State.DONE:
        if first.stage != Stage.ASSEMBLE or assembled(job.message):
            return Standing(Stand.DONE, following, job)
        cause = Cause.RESULT_LOST  # assemble finds the stored pack and says so again
    if following in seen.denied:
        return Standing(Stand.FAILED, following, job, seen.denied[following])
    again = (job.ended or job.created) + backoff(len(jobs))
    if _once_more(RETRY[first.stage], jobs, cause, again):
        return Standing(Stand.AGAIN, following, job, cause, again)
    return Standing(Stand.FAILED, following, job, cause)


def _once_more(retry: Retry, jobs: list[JobSeen], cause: Cause | None, again: datetime) -> bool:
    in_time = retry.within is None or again < jobs[0].created + retry.within
    return cause in retry.causes and len(jobs) < retry.attempts and in_time


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many."""
    doubled: int = 2 ** min(attempts - 1, 16)
    return min(BACKOFF * doubled, LONGEST)
