"""The Jobs, NetworkPolicies and Secrets that the fences let through: one of each stage, as the operator makes them."""

from __future__ import annotations

import base64
import copy
import hashlib
from typing import Any

import yaml

from tests.chart.helm import RUNS, VALUES

Document = dict[str, Any]
_IMAGES = yaml.safe_load(VALUES.read_text())["images"]
OPERATOR_IMAGE, PROBES_IMAGE = ("{repository}@{digest}".format(**_IMAGES[name]) for name in ("operator", "probes"))
UID, OTHER_UID = "0192f3a4-0000-7000-8000-000000000001", "0192f3a4-0000-7000-8000-000000000002"
RUN = "nightly.2026-11-24-of-the-whole-of-it"
SURFACE_STAGES = ("baseline", "plant", "probe", "clean")
STAGES = ("prepare", "open", *SURFACE_STAGES, "assemble")
_ACCOUNTS = {"prepare": "sectum-prepare", "open": "sectum-sign", "assemble": "sectum-sign"}
_SECRETS = {
    "prepare": ["sectum-kms-encrypt-main"],
    "open": ["sectum-signer-main", "sectum-store-evidence-main", "sectum-store-records-main"],
    "assemble": ["sectum-signer-main", "sectum-store-evidence-main", "sectum-store-records-main"],
}


def owner(run: str = RUN, uid: str = UID) -> Document:
    """The reference to a run that owns an object."""
    return {"apiVersion": "sectum.ai/v1alpha1", "kind": "VerificationRun", "name": run, "uid": uid, "controller": True,
            "blockOwnerDeletion": False}  # fmt: skip


def job(stage: str, *, surface: str = "api", run: str = RUN, uid: str = UID) -> Document:
    """The Job of one stage."""
    touching = stage in SURFACE_STAGES
    labels = {
        "app.kubernetes.io/name": "sectum", "app.kubernetes.io/component": stage,
        "app.kubernetes.io/managed-by": "sectum-operator", "sectum.ai/run": run, "sectum.ai/run-uid": uid,
        "sectum.ai/stage": stage, "sectum.ai/attempt": "1", **({"sectum.ai/surface": surface} if touching else {}),
    }  # fmt: skip
    digest = hashlib.sha256(f"{uid}/{stage}/{surface if touching else ''}/1".encode()).hexdigest()[:8]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{run[:32].rstrip('-.')}-{stage}-{digest}", "namespace": RUNS, "labels": labels,
            "ownerReferences": [owner(run, uid)],
        },
        "spec": {
            "backoffLimit": 0, "activeDeadlineSeconds": 600, "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]}]},
            "template": {"metadata": {"labels": copy.deepcopy(labels)}, "spec": _pod(stage, surface, run, uid)},
        },
    }  # fmt: skip


def _pod(stage: str, surface: str, run: str, uid: str) -> Document:
    named = _SECRETS.get(
        stage, [f"sectum-surface-{surface}-tokens", "sectum-kms-decrypt-main", "sectum-store-records-main"]
    )
    secrets = {f"secret-{number}": name for number, name in enumerate(named)}
    mounts = [
        {"name": name, "mountPath": f"/var/run/sectum/secrets/{of}", "readOnly": True} for name, of in secrets.items()
    ]
    volumes = [{"name": name, "secret": {"secretName": of, "defaultMode": 0o440}} for name, of in secrets.items()]
    if stage != "prepare":
        mounts.append({"name": "manifest", "mountPath": "/var/run/sectum/manifest", "readOnly": True})
        volumes.append({"name": "manifest", "secret": {"secretName": f"sectum-manifest-{uid}", "defaultMode": 0o440}})
    return {
        "restartPolicy": "Never", "serviceAccountName": _ACCOUNTS.get(stage, "sectum-probe"),
        "automountServiceAccountToken": stage == "prepare", "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 60,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(stage, surface, run, uid) | {
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *mounts],
        }],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}, *volumes],
    }  # fmt: skip


def _container(stage: str, surface: str, run: str, uid: str) -> Document:
    image = OPERATOR_IMAGE if stage == "prepare" else PROBES_IMAGE
    args = [stage, "--run", uid]
    if stage == "prepare":
        args = [stage, "--run", run, "--uid", uid, "--generation", "3"]
    elif stage in SURFACE_STAGES:
        args += ["--surface", surface, "--attempt", "1"]
    env: list[Document] = [
        {"name": "SECTUM_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "SECTUM_IMAGE", "value": image},
    ]
    if stage == "prepare":
        env.append({"name": "SECTUM_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}})
    return {
        "name": "stage", "image": image, "imagePullPolicy": "IfNotPresent", "args": args, "env": env,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
    }  # fmt: skip


def network_policy(*, surface: str = "api", stage: str = "") -> Document:
    """The policy of one surface, or of a stage that touches none."""
    part = {"sectum.ai/stage": stage} if stage else {"sectum.ai/surface": surface}
    pods = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "demo"}},
            "podSelector": {"matchLabels": {"app": "assistant"}}}  # fmt: skip
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"run-{stage or surface}", "namespace": RUNS, "ownerReferences": [owner()]},
        "spec": {
            "podSelector": {"matchLabels": {"sectum.ai/run-uid": UID, **part}},
            "policyTypes": ["Egress"],
            "egress": [
                {"to": [{"ipBlock": {"cidr": "10.20.3.0/24"}}], "ports": [{"protocol": "TCP", "port": 443}]},
                {"to": [pods], "ports": [{"protocol": "TCP", "port": 8080}, {"protocol": "TCP", "port": 8081}]},
            ],
        },
    }


def manifest_secret(*, uid: str = UID, size: int = 1000) -> Document:
    """The Secret that prepare makes."""
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "sectum.ai/manifest", "immutable": True,
        "metadata": {"name": f"sectum-manifest-{uid}", "namespace": RUNS, "ownerReferences": [owner(uid=uid)]},
        "data": {"sealed.json": base64.b64encode(b"x" * size).decode()},
    }  # fmt: skip


TRIGGERED = "quickstart-0123abcd"
"""The name of a scenario's CronJob."""


def cron_job() -> Document:
    """The CronJob of a scenario's schedule."""
    labels = {
        "app.kubernetes.io/name": "sectum", "app.kubernetes.io/component": "trigger",
        "app.kubernetes.io/managed-by": "sectum-operator", "sectum.ai/scenario": "quickstart",
        "sectum.ai/stage": "trigger",
    }  # fmt: skip

    def field(name: str, path: str) -> Document:
        return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}

    pod = _pod("prepare", "", "", "")
    container = pod["containers"][0] | {
        "name": "trigger", "args": ["trigger", "--scenario", "quickstart"],
        "env": [field("SECTUM_NAMESPACE", "metadata.namespace"),
                field("SECTUM_JOB", "metadata.labels['batch.kubernetes.io/job-name']")],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }  # fmt: skip
    pod |= {
        "serviceAccountName": "sectum-trigger", "terminationGracePeriodSeconds": 30, "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }  # fmt: skip
    return {
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {
            "name": TRIGGERED, "namespace": RUNS, "labels": labels, "annotations": {"sectum.ai/spec": "ab" * 32},
            "ownerReferences": [owner("quickstart") | {"kind": "IsolationScenario"}],
        },
        "spec": {
            "schedule": "0 3 1 * *", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 3600,
            "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"metadata": {"labels": copy.deepcopy(labels)}, "spec": {
                "backoffLimit": 6, "activeDeadlineSeconds": 900, "ttlSecondsAfterFinished": 3600, "completions": 1,
                "parallelism": 1, "template": {"metadata": {"labels": copy.deepcopy(labels)}, "spec": pod},
            }},
        },
    }  # fmt: skip


def triggered() -> Document:
    """The run that a trigger asks for."""
    return {
        "apiVersion": "sectum.ai/v1alpha1", "kind": "VerificationRun",
        "metadata": {"name": f"{TRIGGERED}-29939700", "namespace": RUNS},
        "spec": {"scenarioRef": {"name": "quickstart"}, "slot": "2026-12-04T11:00:00Z"},
    }  # fmt: skip


def scenario() -> Document:
    """The quickstart's scenario in the namespace of runs."""
    from tests.operator.samples import quickstart

    document = quickstart()
    return {**document, "metadata": {**document["metadata"], "namespace": RUNS}}


def run(namespace: str = RUNS) -> Document:
    """A run of it."""
    return {
        "apiVersion": "sectum.ai/v1alpha1",
        "kind": "VerificationRun",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"scenarioRef": {"name": "quickstart"}},
    }
