"""Objects of the API server -> a frozen Observed: the run, its scenario, what its Jobs have come to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from sectum_operator.messages import Message, read_message
from sectum_operator.reasons import Cause, Why
from sectum_operator.resources import RunSpec
from sectum_operator.stages import FINALIZER, LET_GO, RUN_UID, RunId, Work, job_name, work_of
from sectum_operator.statuses import RefusedSlot, RunStatus, salvaged

Object = Mapping[str, Any]
"""A Kubernetes object, as JSON."""

PATIENCE = {
    Cause.NO_POD: timedelta(seconds=60),
    Cause.UNSCHEDULABLE: timedelta(seconds=15),
    Cause.SECRET_MISSING: timedelta(seconds=90),
}
"""How long a pod may be in a state before it is called by its name; pods' events, which would tell, are not read."""
LOST = timedelta(minutes=5)
"""After its grace, a pod that is still there is on a node that nobody hears of."""
OVERDUE = timedelta(minutes=10)
"""After its deadline, a Job that is still there is one that nobody ends."""
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
_EXITS = {75: Cause.TEMPORARY, 3: Cause.SCENARIO_WRONG, 12: Cause.NOT_VERIFIED}


class State(StrEnum):
    """What a Job has come to."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobSeen:
    """A Job of the run."""

    work: Work
    name: str
    state: State
    created: datetime
    overdue: datetime
    """When it counts as ended, whatever it says."""
    ended: datetime | None = None
    cause: Cause | None = None
    """Why it failed; of a running one, what it waits for."""
    message: Message | None = None
    deleting: bool = False
    """Is it being deleted, or gone while its pod still runs?"""

    @property
    def reason(self) -> str | None:
        """Its own reason where it gave one, else the cause."""
        own = self.message.reason if self.message and self.state == State.FAILED else None
        return own or (self.cause.value if self.cause else None)


@dataclass(frozen=True, slots=True)
class OtherRun:
    """Another run of the same scenario that has not ended."""

    name: str
    created: datetime
    uid: str
    accepted: bool
    replaces: bool = False
    """Does it wait for the one under way to stop for it?"""


@dataclass(frozen=True, slots=True)
class Observed:
    """All that `decide` may know."""

    run: RunId
    generation: int
    created: datetime
    spec: RunSpec
    status: RunStatus
    scenario: Object | None = None
    """The IsolationScenario as it is now; matters until the run is accepted."""
    jobs: Mapping[Work, JobSeen] = field(default_factory=dict)
    others: tuple[OtherRun, ...] = ()
    deleted: datetime | None = None
    """When its deletion was asked for."""
    finalizer: bool = False
    let_go: bool = False
    """Was the finalizer taken off before its time?"""
    terminating: bool = False
    """Is the namespace being deleted?"""
    refused: tuple[RefusedSlot, ...] = ()
    """Ticks that its Open record has to name; matters until the run is accepted."""
    denied: Mapping[Work, Cause] = field(default_factory=dict)
    """Jobs that the API server has just refused to create."""

    @property
    def planted(self) -> bool:
        """May it have begun to plant, whatever its Jobs say?"""
        return self.finalizer or self.let_go


def moment(value: object) -> datetime | None:
    """A Kubernetes timestamp."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def observe(
    run: Object, *, scenario: Object | None, jobs: Iterable[Object], pods: Iterable[Object], runs: Iterable[Object],
    now: datetime,
) -> Observed:  # fmt: skip
    """What there is; `jobs`, `pods` and `runs` may hold others' objects, which are passed over."""
    meta = run["metadata"]
    mine = RunId(meta["namespace"], meta["name"], meta["uid"])
    spec = RunSpec.model_validate(run["spec"])
    return Observed(
        run=mine,
        generation=meta.get("generation", 0),
        created=moment(meta.get("creationTimestamp")) or now,
        spec=spec,
        status=_status(run.get("status") or {}),
        scenario=scenario,
        jobs=_jobs(mine, jobs, list(pods), now),
        others=tuple(_others(mine, spec, runs, now)),
        deleted=moment(meta.get("deletionTimestamp")),
        finalizer=FINALIZER in meta.get("finalizers", ()),
        let_go=LET_GO in meta.get("annotations", {}),
    )


def _status(status: Object) -> RunStatus:
    """One that this version cannot read is without its scenario: such a run is ended as one whose snapshot is not read.

    It is not an error: then its finalizer would stay, and a namespace that is deleted would wait for it.
    """
    try:
        return RunStatus.model_validate(status)
    except ValidationError:
        return salvaged(RunStatus, status).model_copy(update={"scenario": None})


def run_ended(run: Object) -> bool:
    """Has the run come to its end?"""
    return condition_of(run, "Complete").get("status") == "True"


def _others(mine: RunId, spec: RunSpec, runs: Iterable[Object], now: datetime) -> Iterator[OtherRun]:
    for each in runs:
        meta = each["metadata"]
        same = each.get("spec", {}).get("scenarioRef", {}).get("name") == spec.scenario_ref.name
        waits = each.get("spec", {}).get("suspend") is True
        if not same or meta["uid"] == mine.uid or run_ended(each):
            continue
        decided = condition_of(each, "Accepted")
        accepted = decided.get("status") == "True"
        if accepted or not (waits or meta.get("deletionTimestamp")):
            created = moment(meta.get("creationTimestamp")) or now
            replaces = not accepted and decided.get("reason") == Why.REPLACES
            yield OtherRun(meta["name"], created, meta["uid"], accepted, replaces)


def _jobs(run: RunId, jobs: Iterable[Object], pods: list[Object], now: datetime) -> dict[Work, JobSeen]:
    found: dict[Work, JobSeen] = {}
    pods = [each for each in pods if each["metadata"].get("labels", {}).get(RUN_UID) == run.uid]
    for each in jobs:
        meta = each["metadata"]
        work = work_of(meta.get("labels", {}))
        if work and meta["name"] == job_name(run, work) and owned(meta, run.uid):
            mine = [pod for pod in pods if owned(pod["metadata"], meta["uid"])]
            found[work] = _seen(work, each, _newest(mine), now)
    for pod in pods:  # its Job is gone, and it still runs
        work = work_of(pod["metadata"].get("labels", {}))
        if work and work not in found and _alive(pod, now):
            created = moment(pod["metadata"].get("creationTimestamp")) or now
            found[work] = JobSeen(
                work, "", State.RUNNING, created, now + LOST, cause=Cause.VANISHED, deleting=True,
            )  # fmt: skip
    return found


def owned(meta: Object, uid: str) -> bool:
    """Does the object of that UID own the one with this metadata?"""
    return any(each.get("uid") == uid for each in meta.get("ownerReferences", ()))


def _newest(pods: list[Object]) -> Object | None:
    return max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)


def _alive(pod: Object, now: datetime) -> bool:
    gone = moment(pod["metadata"].get("deletionTimestamp"))
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and (gone is None or gone + LOST > now)


def _seen(work: Work, job: Object, pod: Object | None, now: datetime) -> JobSeen:
    meta, status = job["metadata"], job.get("status", {})
    created = moment(meta.get("creationTimestamp")) or now
    seconds = job.get("spec", {}).get("activeDeadlineSeconds", 0)
    overdue = created + timedelta(seconds=seconds) + OVERDUE
    complete, failed = condition_of(job, "Complete"), condition_of(job, "Failed")
    terminated = _terminated(pod)
    message = read_message(terminated.get("message"), work.stage)

    def seen(state: State, cause: Cause | None = None, ended: datetime | None = None) -> JobSeen:
        deleting = "deletionTimestamp" in meta
        return JobSeen(work, meta["name"], state, created, overdue, ended, cause, message, deleting)

    if complete.get("status") == "True":
        return seen(State.DONE, None, moment(status.get("completionTime")) or _at(complete, created))
    if failed.get("status") == "True":
        return seen(State.FAILED, _failure(failed, pod, terminated), _at(failed, created))
    gone = moment(pod["metadata"].get("deletionTimestamp")) if pod else None
    if pod and gone and not _alive(pod, now) and not terminated:
        return seen(State.FAILED, Cause.DISRUPTED, gone + LOST)
    if now >= overdue:
        return seen(State.FAILED, Cause.DEADLINE, overdue)
    return seen(State.RUNNING, _waiting(pod, created, now))


def condition_of(found: Object, kind: str) -> Object:
    """A condition in the status of an object or pod; empty where there is none."""
    for each in (found.get("status") or {}).get("conditions") or ():
        if each.get("type") == kind:
            condition: Object = each
            return condition
    return {}


def _at(condition: Object, otherwise: datetime) -> datetime:
    return moment(condition.get("lastTransitionTime")) or otherwise


def _container(pod: Object | None) -> Object:
    statuses: list[Object] = (pod or {}).get("status", {}).get("containerStatuses") or [{}]
    return statuses[0]


def _terminated(pod: Object | None) -> Object:
    found = _container(pod)
    ended: Object = found.get("state", {}).get("terminated") or found.get("lastState", {}).get("terminated") or {}
    return ended


def _failure(failed: Object, pod: Object | None, terminated: Object) -> Cause:
    """Why a Job failed; first match wins."""
    if failed.get("reason") == "PodFailurePolicy":  # ours has one rule, on disruption
        return Cause.DISRUPTED
    if pod and _disrupted(pod):
        return Cause.DISRUPTED
    if failed.get("reason") == "DeadlineExceeded":
        return Cause.DEADLINE
    if pod is None:
        return Cause.VANISHED
    if terminated.get("reason") == "OOMKilled":
        return Cause.OOM_KILLED
    if "exitCode" in terminated:
        return _EXITS.get(terminated["exitCode"], Cause.CRASHED)
    return Cause.VANISHED if pod["metadata"].get("deletionTimestamp") else Cause.CRASHED


def _disrupted(pod: Object) -> bool:
    evicted = pod.get("status", {}).get("reason") in ("Evicted", "NodeLost", "Shutdown", "Terminated", "Preempting")
    return evicted or condition_of(pod, "DisruptionTarget").get("status") == "True"


def _waiting(pod: Object | None, created: datetime, now: datetime) -> Cause | None:
    """What a Job that has not begun its work waits for, once that takes longer than it should."""
    if pod is None:
        return Cause.NO_POD if now - created > PATIENCE[Cause.NO_POD] else None
    if pod.get("status", {}).get("phase") != "Pending":
        return None
    age = now - (moment(pod["metadata"].get("creationTimestamp")) or created)
    if condition_of(pod, "PodScheduled").get("reason") == "Unschedulable":
        return Cause.UNSCHEDULABLE if age > PATIENCE[Cause.UNSCHEDULABLE] else None
    reason = _container(pod).get("state", {}).get("waiting", {}).get("reason")
    if reason in _PULLING:
        return Cause.IMAGE_PULL
    if reason == "CreateContainerConfigError":
        return Cause.SECRET_MISSING
    # Volumes are mounted before the sandbox is made, images are pulled after it.
    # https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-has-network
    if reason == "ContainerCreating" and condition_of(pod, "PodReadyToStartContainers").get("status") != "True":
        return Cause.SECRET_MISSING if age > PATIENCE[Cause.SECRET_MISSING] else None
    return None
