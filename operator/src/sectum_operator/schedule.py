"""A scenario, and the CronJob that there is -> the CronJob that there is to be. Pure.

It is replaced, not changed: the operator need not have the right to change one, and a new one fires no tick from before
it was made, so a new schedule does not count for the past.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sectum import cron
from sectum.scenario import Scenario

from sectum_operator.acceptance import Refused
from sectum_operator.cronjobs import DEADLINE_SECONDS, SPEC, cron_job
from sectum_operator.jobs import Images, Manifest
from sectum_operator.observe import Object, moment, owned
from sectum_operator.reasons import Cause, Why

SOON = timedelta(seconds=20)
"""So long before a tick, nothing is replaced: the CronJob might be away when it comes."""
PATIENCE = timedelta(minutes=2)
"""For a trigger that is at work."""
TRIGGERED = timedelta(seconds=DEADLINE_SECONDS)
"""A trigger's deadline."""
LOOK = timedelta(seconds=5)
AGAIN = timedelta(minutes=1)
"""For what somebody else has to put right, and no watch tells of."""


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What is to be done about a scenario's CronJob, and the condition Scheduled."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    create: Manifest | None = None
    delete: str | None = None
    """Name of the CronJob."""
    wake: datetime | None = None


def scheduling(
    live: Object, found: Scenario | Refused, cron_job_seen: Object | None, *, images: Images, now: datetime
) -> Scheduling:
    """First rule that applies; `found` is what acceptance makes of it, `cron_job_seen` what has its CronJob's name."""
    seen = cron_job_seen
    uid, spec = str(live["metadata"]["uid"]), live["spec"]
    if seen and not owned(seen["metadata"], uid):
        told = f"CronJob {seen['metadata']['name']} is not this scenario's"
        return Scheduling("False", Cause.NAME_TAKEN, told, wake=now + AGAIN)
    name = seen["metadata"]["name"] if seen else None
    if spec.get("schedule") is None:
        return Scheduling("False", Why.NO_SCHEDULE, "runs of it are made by hand", delete=name)
    if spec.get("suspend"):
        told = "spec.suspend is true; ticks until it is false are not made up for"
        return Scheduling("False", Why.SUSPENDED, told, delete=name)
    if isinstance(found, Refused):
        # A CronJob that is there stays: runs that are refused show in the series, ticks without a run are gaps.
        told = "its ticks' runs are refused until it is Ready" if seen else "once it is Ready"
        return Scheduling("False", found.reason, told)
    wanted = cron_job(found, uid, namespace=live["metadata"]["namespace"], image=images.operator)
    told = f"{found.spec.schedule} ({found.spec.time_zone})"
    if seen is None:
        return Scheduling("True", Why.SCHEDULED, told, create=wanted)
    if "deletionTimestamp" in seen["metadata"]:
        return Scheduling("Unknown", Why.WAITING, "the CronJob from before is going", wake=now + LOOK)
    if _as_wanted(seen, wanted):
        if failed := _failed(seen, now):
            return Scheduling("Unknown", Why.TRIGGER_FAILED, f"no run was made for the tick of {failed}; {told}")
        return Scheduling("True", Why.SCHEDULED, told)
    if busy := _busy(seen, now):
        return Scheduling("True", Why.WAITING, f"{busy}; then {told}", wake=now + LOOK)
    return Scheduling("Unknown", Why.WAITING, "the CronJob from before is going", delete=name, wake=now + LOOK)


def _as_wanted(seen: Object, wanted: Manifest) -> bool:
    """Was it made of this, and has nobody changed it since?"""
    meta = seen["metadata"]
    same = meta.get("annotations", {}).get(SPEC) == wanted["metadata"]["annotations"][SPEC]
    return same and bool(meta.get("generation", 1) == 1)


def _failed(seen: Object, now: datetime) -> str | None:
    """The newest tick, if its trigger has ended and not succeeded; runs do not tell, for they may have been deleted.

    A trigger that is at work is in `active`; that it succeeded, the CronJob controller says a moment after it ended.
    """
    status = seen.get("status", {})
    last, succeeded = moment(status.get("lastScheduleTime")), moment(status.get("lastSuccessfulTime"))
    if last is None or status.get("active") or now < last + TRIGGERED or (succeeded and succeeded >= last):
        return None
    return f"{last:%Y-%m-%d %H:%M} UTC"


def _busy(seen: Object, now: datetime) -> str | None:
    """What would be lost if it were deleted now."""
    spec, status = seen["spec"], seen.get("status", {})
    last = moment(status.get("lastScheduleTime")) or moment(seen["metadata"].get("creationTimestamp")) or now
    if status.get("active") and now < last + PATIENCE:
        return "a run is being asked for"
    if spec.get("suspend"):  # by somebody
        return None
    late = timedelta(seconds=spec.get("startingDeadlineSeconds", 0))
    try:
        due = list(cron.ticks(spec["schedule"], spec["timeZone"], after=max(last, now - late), until=now + SOON))
    except (cron.BadSchedule, KeyError):  # somebody's
        return None
    return "a tick is due" if due else None
