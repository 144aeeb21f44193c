"""What Job and pod show -> what the Job has come to, and why."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sectum_operator.messages import assembled, read_message
from sectum_operator.observe import JobSeen, observe
from sectum_operator.stages import Stage, Work, job_labels, job_name

from tests.operator import cluster
from tests.operator.fake_api import START, spelt

WORK = Work(Stage.PLANT, "api", 1)
JOB_UID = "job-uid"


def job(*conditions: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": job_name(cluster.RUN, WORK), "uid": JOB_UID, "labels": job_labels(cluster.RUN, WORK),
            "creationTimestamp": spelt(START), "ownerReferences": [{"uid": cluster.RUN_UID}], **meta,
        },
        "spec": {"activeDeadlineSeconds": 600},
        "status": {
            "conditions": [{"status": "True", "lastTransitionTime": spelt(START), **each} for each in conditions],
        },
    }  # fmt: skip


def pod(phase: str, *conditions: dict[str, Any], state: Any = None, **more: Any) -> dict[str, Any]:
    meta = more.pop("meta", {})
    return {
        "metadata": {
            "name": "p", "labels": job_labels(cluster.RUN, WORK), "creationTimestamp": spelt(START),
            "ownerReferences": [{"uid": JOB_UID}], **meta,
        },
        "status": {
            "phase": phase, "conditions": list(conditions), "containerStatuses": [{"state": state or {}}], **more,
        },
    }  # fmt: skip


def seen(
    jobs: list[dict[str, Any]], pods: list[dict[str, Any]], after: timedelta = timedelta(minutes=3)
) -> JobSeen | None:
    now: datetime = START + after
    return observe(cluster.run(), scenario=None, jobs=jobs, pods=pods, runs=(), now=now).jobs.get(WORK)


FAILED = {"type": "Failed", "reason": "BackoffLimitExceeded"}
DISRUPTED = {"type": "DisruptionTarget", "status": "True"}


def ended(code: int, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, **more}}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
SANDBOX = {"type": "PodReadyToStartContainers", "status": "True"}
LONG_GONE = {"deletionTimestamp": spelt(START - timedelta(minutes=4))}
GONE = {"deletionTimestamp": spelt(START)}
CASES: dict[str, tuple[Any, Any, str, str | None]] = {
    "done": (job({"type": "Complete"}), pod("Succeeded", state=ended(0)), "done", None),
    "out of memory": (job(FAILED), pod("Failed", state=ended(137, reason="OOMKilled")), "failed", "OOMKilled"),
    "exit 75": (job(FAILED), pod("Failed", state=ended(75)), "failed", "Temporary"),
    "exit 3": (job(FAILED), pod("Failed", state=ended(3)), "failed", "ScenarioWrong"),
    "exit 12": (job(FAILED), pod("Failed", state=ended(12)), "failed", "NotVerified"),
    "exit 1": (job(FAILED), pod("Failed", state=ended(1)), "failed", "Crashed"),
    "killed": (job(FAILED), pod("Failed", state=ended(137, reason="Error")), "failed", "Crashed"),
    "evicted": (job(FAILED), pod("Failed", reason="Evicted"), "failed", "Disrupted"),
    "preempted": (job(FAILED), pod("Failed", DISRUPTED, state=ended(143)), "failed", "Disrupted"),
    "the policy fails it": (job({**FAILED, "reason": "PodFailurePolicy"}), None, "failed", "Disrupted"),
    "its deadline": (job({**FAILED, "reason": "DeadlineExceeded"}), None, "failed", "DeadlineExceeded"),
    "pod deleted": (job(FAILED), None, "failed", "Vanished"),
    "not failed yet": (job({"type": "FailureTarget"}), pod("Running"), "running", None),
    "failed once": (job({**FAILED, "status": "False"}), pod("Running"), "running", None),
    "unschedulable": (job(), pod("Pending", UNSCHEDULABLE), "running", "Unschedulable"),
    "no such image": (job(), pod("Pending", state=waiting("ImagePullBackOff")), "running", "ImagePullFailed"),
    "no such key": (job(), pod("Pending", state=waiting("CreateContainerConfigError")), "running", "SecretMissing"),
    "no such Secret": (job(), pod("Pending", state=waiting("ContainerCreating")), "running", "SecretMissing"),
    "a large image": (job(), pod("Pending", SANDBOX, state=waiting("ContainerCreating")), "running", None),
    "no pod": (job(), None, "running", "PodNotCreated"),
    "on a lost node": (job(), pod("Running", meta=LONG_GONE), "failed", "Disrupted"),
    "being stopped": (job(**GONE), pod("Running", meta=GONE), "running", None),
    "its Job is gone": (None, pod("Running"), "running", "Vanished"),
    "both are gone": (None, pod("Running", meta=LONG_GONE), None, None),
    "another's Job": (job(ownerReferences=[{"uid": "x"}]), None, None, None),
    "another name": (job(name="x"), None, None, None),
}


@pytest.mark.parametrize(("found", "its_pod", "state", "cause"), CASES.values(), ids=CASES)
def test_a_job_has_come_to(found: Any, its_pod: Any, state: str | None, cause: str | None) -> None:
    made = seen([found] if found else [], [its_pod] if its_pod else [])
    assert (made.state, made.cause) == (state, cause) if made else state is None


@pytest.mark.parametrize("case", ["no pod", "no such Secret", "unschedulable"])
def test_what_takes_a_moment_is_not_called_a_fault(case: str) -> None:
    found, its_pod, *_ = CASES[case]
    made = seen([found], [its_pod] if its_pod else [], timedelta(seconds=5))
    assert made
    assert made.cause is None


def test_a_job_that_nobody_ends_counts_as_ended_some_time_after_its_deadline() -> None:
    made = seen([job()], [pod("Running")], timedelta(minutes=21))
    assert made
    assert (made.state, made.cause) == ("failed", "DeadlineExceeded")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("stage", "ok", "reason", "fault", "message", "verdict", "counts", "surfaces", "uri", "pack", "run", "verified")


@given(st.text(max_size=300) | st.dictionaries(st.sampled_from(KEYS), json_values).map(json.dumps))
def test_any_message_is_read_without_fault_and_within_bounds(text: str) -> None:
    made = read_message(text, "probe")
    if made is None:
        return
    assert len(made.text) <= 512
    assert made.text.isprintable()
    assert made.reason is None or made.reason.isalnum()
    assert made.verdict in (None, "Leak", "Pass", "Inconclusive")
    assert made.counts is None or made.counts.leak >= 0
    assert made.surfaces is None or all(len(each) <= 40 for each in made.surfaces)
    assert assembled(made) is None


GOOD = {"stage": "assemble", "ok": True, "verdict": "Pass", "uri": "s3://b/p.zip", "pack": "ab" * 32, "run": "cd" * 32,
        "verified": True}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"verified": False}, {"verified": 1}, {"ok": False}, {"verdict": "NotCovered"}, {"pack": "x"}, {"run": None},
     {"uri": "javascript:alert"}, {"uri": "s3://b/\n"}, {"stage": "probe"}],
)  # fmt: skip
def test_a_pack_is_believed_in_only_when_all_of_it_is_said(change: dict[str, Any]) -> None:
    assert assembled(read_message(json.dumps(GOOD), "assemble")) is not None
    assert assembled(read_message(json.dumps(GOOD | change), "assemble")) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "x" * 5000, "[" * 3000, None, 7])
def test_what_is_no_message_is_none(text: object) -> None:
    assert read_message(text, "probe") is None
