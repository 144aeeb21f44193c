"""A scenario with a schedule -> the CronJob whose pods ask for a run at each tick. Pure.

A Job of it is named `<CronJob>-<the tick, in minutes since 1970>` by Kubernetes, and the run is named as the Job: so
however often a tick is fired, it has one run.
"""

from __future__ import annotations

import hashlib

from sectum.codec import canonical, sha256
from sectum.scenario import Scenario

from sectum_operator.jobs import TMP, TMP_MOUNT, Manifest, of_pod, pod
from sectum_operator.stages import API_VERSION, GROUP

SCENARIO, SPEC = f"{GROUP}/scenario", f"{GROUP}/spec"
"""Label: whose it is. Annotation: digest of what was asked for, beside which the server puts its defaults."""
TRIGGER = "trigger"
DEADLINE_SECONDS = 900
_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
_JOB = {
    # Asking again is harmless: the run is there by then.
    "backoffLimit": 6,
    "activeDeadlineSeconds": DEADLINE_SECONDS,
    "ttlSecondsAfterFinished": 3600,
    "completions": 1,
    "parallelism": 1,
}


def cron_job_name(scenario: str, uid: str) -> str:
    """At most 49 characters: a CronJob's name has 52 at most, and 63 with a tick."""
    return f"{scenario}-{hashlib.sha256(uid.encode()).hexdigest()[:8]}"


def cron_job(scenario: Scenario, uid: str, *, namespace: str, image: str) -> Manifest:
    """The CronJob of a scenario that has a schedule.

    Args:
        uid: of the IsolationScenario, its owner.
        image: the operator's, by digest.
    """
    name, about = scenario.metadata.name, scenario.spec
    labels = {
        "app.kubernetes.io/name": "sectum",
        "app.kubernetes.io/component": TRIGGER,
        "app.kubernetes.io/managed-by": "sectum-operator",
        SCENARIO: name,
        f"{GROUP}/stage": TRIGGER,
    }
    spec = {
        "schedule": about.schedule,
        "timeZone": about.time_zone,
        "startingDeadlineSeconds": about.starting_deadline_seconds,
        # Among runs the operator sees to it; among triggers there is nothing to see to.
        "concurrencyPolicy": "Allow",
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {
            "metadata": {"labels": labels},
            "spec": {**_JOB, "template": {"metadata": {"labels": labels}, "spec": _pod(name, image)}},
        },
    }
    owner = {
        "apiVersion": API_VERSION, "kind": "IsolationScenario", "name": name, "uid": uid, "controller": True,
        "blockOwnerDeletion": False,
    }  # fmt: skip
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": cron_job_name(name, uid),
            "namespace": namespace,
            "labels": labels,
            "annotations": {SPEC: sha256(canonical(spec))},
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def _pod(scenario: str, image: str) -> Manifest:
    container = {
        "name": TRIGGER,
        "image": image,
        "args": [TRIGGER, "--scenario", scenario],
        "env": [
            of_pod("SECTUM_NAMESPACE", "metadata.namespace"),
            of_pod("SECTUM_JOB", "metadata.labels['batch.kubernetes.io/job-name']"),
        ],
        "resources": _RESOURCES,
        "volumeMounts": [TMP_MOUNT],
    }
    return pod(container, [TMP], account="sectum-trigger", token=True, grace=30)
