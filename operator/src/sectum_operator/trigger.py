"""A Job of a CronJob -> the VerificationRun of its tick: what the CronJob's pod does, and all that its account may.

The run is named as the Job, so a tick that is fired again, or a pod that is started again, finds it there.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import httpx2
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from sectum import termination
from sectum.errors import UsageError

from sectum_operator.pod_client import RunKind, connected, known

_LOG = logging.getLogger(__name__)
_LATE = timedelta(days=8)
"""No trigger is later: a starting deadline is a week at most."""


def trigger(*, scenario: str) -> int:
    """Create the run; the exit status, with a termination message."""
    termination.log_as_json({"scenario": scenario, "stage": "trigger"})
    try:
        job = os.environ["SECTUM_JOB"]
        slot = slot_of(job, scenario=scenario, now=datetime.now(UTC))
        made = _create(connected(), os.environ["SECTUM_NAMESPACE"], job, scenario, slot)
        status, message = 0, {"run": job, "slot": slot, "made": made}
    except Exception as error:  # noqa: BLE001  (the last resort: a status and a message)
        status, message = termination.of_failure(known(error))
    termination.leave({"stage": "trigger", "ok": status == 0, **message})
    return status


def slot_of(job: str, *, scenario: str, now: datetime) -> str:
    """The tick that a Job's name ends with, in minutes since 1970, RFC 3339 in UTC; raises UsageError.

    https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ says that a CronJob's Jobs are named so. Their
    annotation with the same does not reach the pod.
    """
    found = re.fullmatch(re.escape(scenario) + r"-[0-9a-f]{8}-([0-9]{8,9})", job)
    tick = datetime.fromtimestamp(int(found[1]) * 60, UTC) if found else None
    if tick is None or not now - _LATE < tick < now + timedelta(minutes=2):
        told = "is no Job that the schedule has started; for a run by hand create a VerificationRun (docs/resources.md)"
        raise UsageError(f"Job {job}: {told}")
    return f"{tick:%Y-%m-%dT%H:%M:00Z}"


def _create(client: Client, namespace: str, name: str, scenario: str, slot: str) -> bool:
    """Was it made now? It has no owner: a run ends as it should when its scenario is deleted meanwhile."""
    spec: dict[str, Any] = {"scenarioRef": {"name": scenario}, "slot": slot}
    try:
        client.create(RunKind(metadata=ObjectMeta(name=name, namespace=namespace), spec=spec))
    except ApiError as error:
        if error.status.code != httpx2.codes.CONFLICT:
            raise
        _LOG.info("the run is there already")
        return False
    return True


@click.command("trigger")
@click.option("--scenario", required=True, metavar="NAME", help="The scenario whose schedule has a tick.")
def command(*, scenario: str) -> None:
    """Ask for the run of a tick, as the CronJob's pod does."""
    sys.exit(trigger(scenario=scenario))
