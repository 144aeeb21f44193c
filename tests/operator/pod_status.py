"""What became of a pod -> the status that a kubelet writes of it. Pure; patches are strategic merges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """How a container ended; `exit_code` None: it never started."""

    exit_code: int | None
    message: str = ""
    started: datetime | None = None
    oom: bool = False
    evicted: bool = False

    @property
    def phase(self) -> str:
        """As the kubelet's: of a pod whose containers never restart."""
        return "Succeeded" if self.exit_code == 0 and not self.evicted else "Failed"

    @property
    def reason(self) -> str:
        """The terminated container's."""
        if self.oom:
            return "OOMKilled"
        return "Completed" if self.exit_code == 0 else "Error"


def unschedulable() -> Json:
    """No node takes the pod."""
    told = {"reason": "Unschedulable", "message": "0/1 nodes are available: the test wants it so."}
    return {"phase": "Pending", "conditions": [condition("PodScheduled", "False", **told)]}


def waiting(container: Json, reason: str, message: str = "") -> Json:
    """Bound to the node, not started."""
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {
        "phase": "Pending",
        "conditions": [condition("Initialized", "True"), *_ready("False", reason="ContainersNotReady")],
        "containerStatuses": [_container(container, state, ready=False)],
    }


def running(container: Json, started: datetime) -> Json:
    """The process is there."""
    return {
        "phase": "Running",
        "startTime": at(started),
        "conditions": [condition("Initialized", "True"), *_ready("True")],
        "containerStatuses": [_container(container, {"running": {"startedAt": at(started)}}, ready=True)],
    }


def ended(container: Json, end: End) -> Json:
    """The last status that the pod gets."""
    reason = "PodCompleted" if end.phase == "Succeeded" else "PodFailed"
    status: Json = {
        "phase": end.phase,
        "conditions": [condition("Initialized", "True"), *_ready("False", reason=reason)],
    }
    if end.evicted:
        told = {"reason": "TerminationByKubelet", "message": "The node was low on resource: memory."}
        status["conditions"].append(condition("DisruptionTarget", "True", **told))
        status |= {"reason": "Evicted", "message": told["message"]}
    if end.exit_code is not None:
        state: Json = {"exitCode": end.exit_code, "reason": end.reason, "finishedAt": at(datetime.now(UTC))}
        state |= {"message": end.message} if end.message else {}
        state |= {"startedAt": at(end.started)} if end.started else {}
        status["containerStatuses"] = [_container(container, {"terminated": state}, ready=False)]
    return status


def condition(kind: str, status: str, **told: str) -> Json:
    """A pod's condition that changes now."""
    return {"type": kind, "status": status, "lastTransitionTime": at(datetime.now(UTC)), **told}


def at(when: datetime) -> str:
    """Kubernetes' timestamps have whole seconds."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _ready(status: str, **told: str) -> list[Json]:
    return [condition(kind, status, **told) for kind in ("Ready", "ContainersReady")]


def _container(container: Json, state: Json, *, ready: bool) -> Json:
    image = container["image"]
    begun = "waiting" not in state
    return {
        "name": container["name"], "image": image, "imageID": image if begun else "", "restartCount": 0,
        "ready": ready, "started": ready, "state": state,
    }  # fmt: skip
