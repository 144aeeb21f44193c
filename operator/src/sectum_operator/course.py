"""What the Jobs of an accepted run have come to -> the run's next step. Pure; the order of a run is the order below.

Everything is derived from what is there: from Jobs under names that are the same whenever they are made again. So it
does not matter when the operator was killed, or which of its steps it repeats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sectum.scenario import Scenario

from sectum_operator.messages import Assembled, assembled
from sectum_operator.observe import JobSeen, Observed, State
from sectum_operator.reasons import Why
from sectum_operator.stages import PROBING, Stage, Work
from sectum_operator.standing import RETRY, Stand, Standing, begun_after, cleaning, jobs_of, standing
from sectum_operator.statuses import Phase

CLEAN_DEADLINE = timedelta(minutes=30)
"""A run that is being deleted is held up for no longer than this: by cleaning, by an assemble that has begun."""
LOOK = timedelta(seconds=60)
"""How often a run with Jobs under way is looked at although nothing happened: to say what they wait for."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends."""

    reason: str
    """A Why, where there is no pack."""
    message: str = ""
    evidence: Assembled | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next."""

    phase: Phase
    start: tuple[Work, ...] = ()
    delete: tuple[JobSeen, ...] = ()
    wake: datetime | None = None
    """When to look again although nothing happened."""
    end: Ending | None = None
    waits: tuple[Standing, ...] = ()
    """What is under way, or to be tried again."""


@dataclass(frozen=True, slots=True)
class Course:
    """An accepted run at a moment."""

    seen: Observed
    scenario: Scenario
    now: datetime

    @property
    def started(self) -> datetime:
        """When it was accepted."""
        return self.seen.status.started_at or self.seen.created

    @property
    def timeout(self) -> datetime:
        """When probing has to have ended."""
        given = self.seen.spec.timeout
        return self.started + timedelta(**{_UNITS[given[-1]]: int(given[:-1])})

    @property
    def stop(self) -> Why | None:
        """Why nothing is planted or probed any more; once there is a reason, there always is."""
        if self.seen.deleted:
            return Why.DELETED
        if self.seen.spec.cancel:
            return Why.CANCELLED
        if any(each.type == "Replaced" for each in self.seen.status.conditions):
            return Why.REPLACED
        return Why.TIMED_OUT if self.now >= self.timeout else None

    @property
    def surfaces(self) -> tuple[str, ...]:
        """Those that have trials, as prepare said; else all that the run asks for."""
        subset = self.seen.spec.subset
        wanted = subset.surfaces if subset and subset.surfaces else None
        known = [each.name for each in self.scenario.spec.surfaces if wanted is None or each.name in wanted]
        prepared = [job.message.surfaces for job in jobs_of(self.seen, Stage.PREPARE) if job.message]
        said = next((each for each in prepared if each is not None), None)
        if said is None:
            said = tuple(each.name for each in self.seen.status.surfaces) or tuple(known)
        return tuple(name for name in known if name in said)

    def of(self, stage: Stage, surface: str = "") -> Standing:
        """How a stage stands."""
        return standing(self.seen, stage, surface)

    def closed(self, stage: Stage) -> bool:
        """Has a later stage begun? Then nothing of this one is begun any more, were its Jobs deleted by somebody."""
        if self.seen.planted and stage in (Stage.PREPARE, Stage.OPEN, Stage.BASELINE):
            return True
        later = [each for each in list(Stage)[list(Stage).index(stage) + 1 :] if each != Stage.CLEAN]
        return any(work.stage in later for work in self.seen.jobs) or any(map(self._last_clean, self.surfaces))

    def _last_clean(self, surface: str) -> bool:
        """Has a clean of it begun which is not one between two plantings?"""
        plants = jobs_of(self.seen, Stage.PLANT, surface)
        planted = plants[-1].work.attempt if plants else 0
        again = bool(plants) and self.of(Stage.PLANT, surface).stand == Stand.AGAIN
        return begun_after(self.seen, surface, times=planted if again else max(planted - 1, 0))

    def cleans(self, surface: str) -> int:
        """How often the surface has to have been cleaned by the end: once after each time that planting began."""
        plants = jobs_of(self.seen, Stage.PLANT, surface)
        begun = plants[-1].work.attempt if plants else 0
        if not self.seen.planted or jobs_of(self.seen, Stage.ASSEMBLE):
            return begun
        return begun + 1 if self._hidden(surface, plants) else begun

    def _hidden(self, surface: str, plants: list[JobSeen]) -> bool:
        """May there have been one more planting, whose Job was deleted, by a stop or by somebody?"""
        retry = RETRY[Stage.PLANT]
        if plants:
            return bool(self.stop) and plants[-1].cause in retry.causes and len(plants) < retry.attempts
        baseline = self.of(Stage.BASELINE, surface).stand
        return baseline == Stand.ABSENT or (bool(self.stop) and looked_at(self, surface))

    def cleaned(self) -> tuple[Standing, ...]:
        """How cleaning stands, of every surface whose planting began."""
        needed = [(name, self.cleans(name)) for name in self.surfaces]
        return tuple(cleaning(self.seen, name, times=times) for name, times in needed if times)


def next_step(course: Course) -> Step:
    """The first step that is not behind us."""
    for step in (_prepare, _open, _stop, _baseline, _plant, _probe, _clean, _assemble):
        made = step(course)
        if made is not None:
            return made
    raise AssertionError("a run ends by being assembled")


def _prepare(course: Course) -> Step | None:
    """The manifest; without it there is nothing to do, and nothing was done."""
    return _alone(course, Stage.PREPARE, Phase.PREPARING, Why.PREPARE_FAILED)


def _open(course: Course) -> Step | None:
    """The Open record, before the first write. A stop lets it end: what it stored has to be closed."""
    return _alone(course, Stage.OPEN, Phase.OPENING, Why.OPEN_FAILED)


def _alone(course: Course, stage: Stage, phase: Phase, failed: Why) -> Step | None:
    stands = course.of(stage)
    if stands.stand == Stand.DONE or course.closed(stage):
        return None
    if stands.stand == Stand.RUNNING and course.stop and stage == Stage.PREPARE:
        return _halt(course, phase, [stands])
    if stands.stand == Stand.RUNNING:
        return _pursue(course, phase, [stands])
    if stands.stand == Stand.FAILED:
        return Step(phase, end=Ending(failed, _why(stands)))
    if course.stop:
        tried = f" ({stage}: {_why(stands)})" if stands.job else ""
        return Step(phase, end=Ending(course.stop, f"before anything was planted{tried}"))
    return _pursue(course, phase, [stands])


def _stop(course: Course) -> Step | None:
    """After a cancel or the timeout: no probing any more, and nothing goes on before the last of it is gone."""
    if not course.stop:
        return None
    stages = [course.of(stage, name) for stage in PROBING for name in course.surfaces]
    running = [each for each in stages if each.stand == Stand.RUNNING]
    return _halt(course, Phase.CLEANING, running) if running else None


def _baseline(course: Course) -> Step | None:
    """Every surface is looked at before anything is planted anywhere."""
    return _wave(course, Stage.BASELINE, Phase.BASELINE, course.surfaces)


def _plant(course: Course) -> Step | None:
    """Everything is planted before anything is probed, so that a marker that wanders between surfaces is seen."""
    return _wave(course, Stage.PLANT, Phase.PLANTING, [name for name in course.surfaces if looked_at(course, name)])


def looked_at(course: Course, surface: str) -> bool:
    """Did its baseline find a surface that can be planted in?"""
    stands = course.of(Stage.BASELINE, surface)
    fault = stands.job.message.reason if stands.job and stands.job.message else None
    return stands.stand == Stand.DONE and fault is None


def _probe(course: Course) -> Step | None:
    """The trials, of every surface that was planted in."""
    planted = [name for name in course.surfaces if course.of(Stage.PLANT, name).stand == Stand.DONE]
    return _wave(course, Stage.PROBE, Phase.PROBING, planted)


def _wave(course: Course, stage: Stage, phase: Phase, surfaces: Iterable[str]) -> Step | None:
    """One stage on all surfaces; over when all its Jobs have ended, either way."""
    if course.stop:
        return None
    stands = [_cleaned_first(course, course.of(stage, name)) for name in surfaces]
    if course.closed(stage):
        stands = [each for each in stands if each.stand == Stand.RUNNING]
    going = [each for each in stands if not each.over]
    return _pursue(course, phase, going) if going else None


def _cleaned_first(course: Course, stands: Standing) -> Standing:
    """Planting that is to be tried again -> cleaning up after the last time, where that is not done yet."""
    if stands.next.stage != Stage.PLANT or stands.stand != Stand.AGAIN:
        return stands
    cleans = cleaning(course.seen, stands.next.surface, times=stands.next.attempt - 1)
    return stands if cleans.stand == Stand.DONE else cleans


def _clean(course: Course) -> Step | None:
    """Whatever happened: every surface whose planting began."""
    going = [each for each in course.cleaned() if not each.over]
    if course.seen.deleted:
        late = course.now >= course.seen.deleted + CLEAN_DEADLINE
        stored = course.of(Stage.ASSEMBLE)
        storing = stored.job is not None and (stored.over or not late)  # what has begun is let end, and its pack named
        if late or not going:
            why = Why.CLEAN_DEADLINE if late and going else Why.DELETED
            return None if storing else Step(Phase.CLEANING, end=Ending(why, "the run was deleted"))
    return _pursue(course, Phase.CLEANING, going) if going else None


def _assemble(course: Course) -> Step | None:
    """Whatever happened: the pack, and the record that closes the run."""
    stands = course.of(Stage.ASSEMBLE)
    if stands.stand == Stand.FAILED:
        return Step(Phase.ASSEMBLING, end=Ending(Why.ASSEMBLE_FAILED, _why(stands)))
    evidence = assembled(stands.job.message) if stands.job else None
    if stands.stand == Stand.DONE and evidence:
        return Step(Phase.ASSEMBLING, end=Ending(evidence.verdict, _told_of(course), evidence))
    return _pursue(course, Phase.ASSEMBLING, [stands])


def _told_of(course: Course) -> str:
    """Of a run with a pack, what kept it from being a whole one."""
    probed = all(course.of(Stage.PROBE, name).stand == Stand.DONE for name in course.surfaces)
    return "" if probed or not course.stop else f"{course.stop} before all was probed"


def _pursue(course: Course, phase: Phase, stands: list[Standing]) -> Step:
    """Begin what is due; wait for what is not."""
    due = [each for each in stands if each.stand == Stand.ABSENT or (each.again and each.again <= course.now)]
    later = [each.again for each in stands if each.again and each.again > course.now]
    looks = [course.now + LOOK for each in stands if each.stand == Stand.RUNNING or each in due]
    overdue = [each.job.overdue for each in stands if each.job and each.stand == Stand.RUNNING]
    until = [] if course.stop else [course.timeout]
    if course.seen.deleted:
        until.append(course.seen.deleted + CLEAN_DEADLINE)
    held = course.seen.spec.suspend and not course.stop
    start = () if held else tuple(each.next for each in due)
    return Step(phase, start, wake=min([*later, *looks, *overdue, *until], default=None), waits=tuple(stands))


def _halt(course: Course, phase: Phase, running: list[Standing]) -> Step:
    """Delete what runs, and wait until it is gone with its pods."""
    jobs = [each.job for each in running if each.job and not each.job.deleting and each.job.state == State.RUNNING]
    return Step(phase, delete=tuple(jobs), wake=course.now + LOOK, waits=tuple(running))


def _why(stands: Standing) -> str:
    text = stands.job.message.text if stands.job and stands.job.message else ""
    return ": ".join(filter(None, (stands.reason, text)))
