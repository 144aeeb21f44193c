"""Run, scenario and work -> the Job that does it, and the NetworkPolicies that let its pods out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sectum.fields import Egress
from sectum.scenario import Scenario

from sectum_operator import needs
from sectum_operator.stages import (
    API_VERSION,
    RUN_UID,
    STAGE,
    SURFACE,
    RunId,
    Stage,
    Work,
    child_name,
    job_labels,
    job_name,
    owned_labels,
)

Manifest = dict[str, Any]
"""A Kubernetes object, as JSON."""
NOBODY = 65532
READ_ONLY = 0o440
TMP: Manifest = {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}
TMP_MOUNT: Manifest = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108  (the pod's own)
GRACE_SECONDS = 60
"""For a stage that is told to stop: it signs what it saw."""
_ALONE = (Stage.PREPARE, Stage.OPEN, Stage.ASSEMBLE)
RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


@dataclass(frozen=True, slots=True)
class Images:
    """The release's two images, by digest."""

    operator: str
    probes: str


def owner_of(run: RunId) -> Manifest:
    """The reference by which a child is deleted with its run."""
    return {
        "apiVersion": API_VERSION,
        "kind": "VerificationRun",
        "name": run.name,
        "uid": run.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def job(run: RunId, scenario: Scenario, work: Work, *, images: Images, generation: int) -> Manifest:
    """The Job; it fails on the first failure of its pod, for the operator to say what comes next."""
    labels = job_labels(run, work)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(run, job_name(run, work), labels),
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": needs.seconds(scenario, work),
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(run, scenario, work, images=images, generation=generation),
            },
        },
    }


def _pod(run: RunId, scenario: Scenario, work: Work, *, images: Images, generation: int) -> Manifest:
    prepares = work.stage == Stage.PREPARE
    image = images.operator if prepares else images.probes
    mounts, volumes = _volumes(run, needs.secrets(scenario, work), manifest=not prepares)
    container = {
        "name": "stage",
        "image": image,
        "args": _args(run, work, generation),
        "env": _env(image, prepares=prepares),
        "resources": RESOURCES,
        "volumeMounts": mounts,
    }
    return pod(container, volumes, account=work.stage.account, token=prepares, grace=GRACE_SECONDS)


def pod(container: Manifest, volumes: list[Manifest], *, account: str, token: bool, grace: int) -> Manifest:
    """A pod of one container, under restricted pod security, with no more rights than it needs.

    Args:
        token: does it talk to the API server?
        grace: seconds from being told to stop to being killed.
    """
    return {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        "automountServiceAccountToken": token,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                **container,
                "imagePullPolicy": "IfNotPresent",
                "terminationMessagePolicy": "File",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "volumes": volumes,
    }


def _args(run: RunId, work: Work, generation: int) -> list[str]:
    if work.stage == Stage.PREPARE:
        return ["prepare", "--run", run.name, "--uid", run.uid, "--generation", str(generation)]
    of_surface = ["--surface", work.surface, "--attempt", str(work.attempt)] if work.surface else []
    return [work.stage.value, "--run", run.uid, *of_surface]


def of_pod(name: str, field: str) -> Manifest:
    """An environment variable that holds a field of the pod itself."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": field}}}


def _env(image: str, *, prepares: bool) -> list[Manifest]:
    namespace = [of_pod("SECTUM_NAMESPACE", "metadata.namespace")] if prepares else []
    return [of_pod("SECTUM_POD_UID", "metadata.uid"), {"name": "SECTUM_IMAGE", "value": image}, *namespace]


def _volumes(run: RunId, names: Iterable[str], *, manifest: bool) -> tuple[list[Manifest], list[Manifest]]:
    """Mounts, and the volumes that they mount."""
    mounts, volumes = [TMP_MOUNT], [TMP]
    if manifest:
        mounts.append({"name": "manifest", "mountPath": "/var/run/sectum/manifest", "readOnly": True})
        volumes.append({"name": "manifest", "secret": {"secretName": f"sectum-manifest-{run.uid}"}})
    for number, name in enumerate(names):
        volume = f"secret-{number}"
        mounts.append({"name": volume, "mountPath": f"/var/run/sectum/secrets/{name}", "readOnly": True})
        volumes.append({"name": volume, "secret": {"secretName": name, "defaultMode": READ_ONLY}})
    return mounts, volumes


def policies(run: RunId, scenario: Scenario, surfaces: Iterable[str]) -> list[Manifest]:
    """What each stage, and each surface's stages, may connect to; the chart's policies deny everything else."""
    alone = [_policy(run, {STAGE: stage.value}, needs.destinations(scenario, stage)) for stage in _ALONE]
    return alone + [_policy(run, {SURFACE: name}, needs.destinations(scenario, Stage.PROBE, name)) for name in surfaces]


def _policy(run: RunId, whose: dict[str, str], destinations: Iterable[Egress]) -> Manifest:
    [(label, value)] = whose.items()
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(run, child_name(run, "egress", label, value), owned_labels(run)),
        "spec": {
            "podSelector": {"matchLabels": {RUN_UID: run.uid, **whose}},
            "policyTypes": ["Egress"],
            "egress": [_rule(each) for each in destinations],
        },
    }


def _rule(destination: Egress) -> Manifest:
    pods = destination.pods
    peer: Manifest = {"ipBlock": {"cidr": destination.cidr}}
    if pods is not None:
        peer = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": pods.namespace}},
            "podSelector": {"matchLabels": dict(pods.labels)},
        }
    return {"to": [peer], "ports": [{"protocol": "TCP", "port": port} for port in destination.ports]}


def _metadata(run: RunId, name: str, labels: dict[str, str]) -> Manifest:
    return {"name": name, "namespace": run.namespace, "labels": labels, "ownerReferences": [owner_of(run)]}
