"""Why something is so -> the closed list of reasons that conditions, surfaces and Events use.

A stage's own reasons (`sectum.reasons`, or those of its termination message) stand beside these.
"""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why a Job did not do its work, or does not get on with it."""

    DISRUPTED = "Disrupted"  # its pod was evicted, preempted, or its node was lost
    TEMPORARY = "Temporary"  # exit status 75: store, KMS or API server failed
    SCENARIO_WRONG = "ScenarioWrong"  # exit status 3: scenario or configuration
    NOT_VERIFIED = "NotVerified"  # exit status 12: a seal or evidence does not verify
    CRASHED = "Crashed"  # any other exit status
    OOM_KILLED = "OOMKilled"  # the container's memory limit
    DEADLINE = "DeadlineExceeded"  # the Job's own deadline
    UNSCHEDULABLE = "Unschedulable"  # no node takes its pod
    SECRET_MISSING = "SecretMissing"  # noqa: S105  (no password: a Secret that it mounts is not there)
    IMAGE_PULL = "ImagePullFailed"
    NO_POD = "PodNotCreated"  # quota, pod security or a webhook keeps the Job controller from it
    DENIED = "JobDenied"  # the API server refused the Job itself: the fence, a quota
    NAME_TAKEN = "NameTaken"  # there is an object of that name which is not this run's
    VANISHED = "Vanished"  # the pod, or the Job, was deleted before its end could be read
    RESULT_LOST = "ResultLost"  # it ended well, and its result cannot be read any more


class Refusal(StrEnum):
    """Why a run is not accepted; it gets no Jobs and no pack."""

    SCENARIO_NOT_FOUND = "ScenarioNotFound"
    SCENARIO_INVALID = "ScenarioInvalid"  # the message names the field
    NOT_FOR_CLUSTER = "NotForCluster"  # fine locally; the message names the field
    SUBSET_UNKNOWN = "SubsetUnknown"  # it names a surface or attack that the scenario does not have
    CONCURRENCY_FORBIDDEN = "ConcurrencyForbidden"  # another run of the scenario was under way


class Why(StrEnum):
    """Other reasons of conditions."""

    ACCEPTED = "Accepted"
    AS_ASKED = "AsAsked"
    SUSPENDED = "Suspended"
    SCHEDULED = "Scheduled"
    NO_SCHEDULE = "NoSchedule"
    TRIGGER_FAILED = "TriggerFailed"  # the newest tick's CronJob pod has made no run
    WAITING = "Waiting"  # for something that has a deadline; the message says for what
    RUNNING = "Running"
    ENDED = "Ended"
    CANCELLED = "Cancelled"
    TIMED_OUT = "TimedOut"
    REPLACES = "Replaces"  # it waits for the run under way, which is made to stop for it
    REPLACED = "Replaced"  # made to stop for another run of the scenario
    DELETED = "Deleted"
    PREPARE_FAILED = "PrepareFailed"
    OPEN_FAILED = "OpenFailed"
    ASSEMBLE_FAILED = "AssembleFailed"
    SNAPSHOT_UNREADABLE = "SnapshotUnreadable"  # accepted by another version of the operator
    STORED = "Stored"
    NO_PACK = "NoPack"
    NOT_OPENED = "NotOpened"  # no pack, and surely no Open record: its tick is named as a refused one is
    REMOVED = "Removed"
    NOT_REMOVED = "NotRemoved"  # something could not be removed; the pack lists it
    CLEAN_FAILED = "CleanFailed"
    CLEAN_DEADLINE = "CleanDeadline"
    NOT_RUN = "NotRun"  # no run of all of the scenario has ended
    SCENARIO_CHANGED = "ScenarioChanged"  # it verifies something else now than the run that passed
    STALE = "Stale"  # the run that passed is too long ago
    SIGNED = "Signed"
    VERIFIED = "Verified"
    NOT_VERIFIED = "NotVerified"
