"""Ways round the fences on CronJobs and on what their pods ask for."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from tests.chart.cluster import TRIGGER
from tests.chart.escapes import GONE, Escape, also, but
from tests.chart.job_escapes import FOREIGN
from tests.chart.samples import PROBES_IMAGE, Document, cron_job, job, owner, triggered

CRON, RUN = cron_job(), triggered()
JOB: tuple[Any, ...] = ("spec", "jobTemplate", "spec")
TEMPLATE: tuple[Any, ...] = (*JOB, "template")
POD: tuple[Any, ...] = (*TEMPLATE, "spec")
BOX: tuple[Any, ...] = (*POD, "containers", 0)
LABELS: tuple[tuple[Any, ...], ...] = (
    ("metadata", "labels"), ("spec", "jobTemplate", "metadata", "labels"), (*TEMPLATE, "metadata", "labels"),
)  # fmt: skip


def at(fence: str, why: str, document: Document) -> Escape:
    """One that this validation has to refuse."""
    return Escape(f"cronjobs/{fence}", why, document)


def labelled(name: str, value: Any) -> Document:
    """With another label in all three places."""
    made = CRON
    for path in LABELS:
        made = but(made, *path, name, to=value)
    return made


def of_another_name(scenario: str) -> Document:
    """A good one of a scenario of that name, in all places."""
    made = labelled("sectum.ai/scenario", scenario)
    made = but(made, "metadata", "ownerReferences", 0, "name", to=scenario)
    made = but(made, "metadata", "name", to=f"{scenario}-0123abcd")
    return but(made, *BOX, "args", 2, to=scenario)


def whole() -> Iterator[Escape]:
    """Around the Jobs."""
    yield Escape(
        "cronjobs/update", "changed", CRON, "patch", {"metadata": {"annotations": {"sectum.ai/spec": "0" * 64}}}
    )
    yield at("namespace", "elsewhere", but(CRON, "metadata", "namespace", to="default"))
    for why, scenario in (("too long", "a" * 41), ("a number", "1a"), ("with a dot", "a.b")):
        yield at("scenario", why, of_another_name(scenario))
    for number, where in enumerate(("CronJob", "Job", "pod")):
        for why, name, value in (
            ("a stage's", "sectum.ai/stage", "probe"), ("a run's", "sectum.ai/run", "one"),
            ("out of the network policy", "app.kubernetes.io/managed-by", "x"),
        ):  # fmt: skip
            yield at("labels", f"{why}, on the {where}", but(CRON, *LABELS[number], name, to=value))
    yield at("labels", "a stage's, everywhere", labelled("sectum.ai/stage", "prepare"))
    yield at("metadata", "another annotation", but(CRON, "metadata", "annotations", "a", to="b"))
    yield at("metadata", "a digest that is none", but(CRON, "metadata", "annotations", "sectum.ai/spec", to="x"))
    yield at("metadata", "a finalizer", but(CRON, "metadata", "finalizers", to=["a.example/b"]))
    for why, path in (("Job", LABELS[1]), ("pod", LABELS[2])):
        yield at("metadata", f"an annotation of the {why}", but(CRON, *path[:-1], "annotations", to={"a": "b"}))
    mine = owner("quickstart") | {"kind": "IsolationScenario"}
    references: dict[str, list[Document]] = {
        "nobody": [], "a run": [mine | {"kind": "VerificationRun"}], "another scenario": [mine | {"name": "other"}],
        "not as controller": [mine | {"controller": False}], "blocking": [mine | {"blockOwnerDeletion": True}],
        "two": [mine, owner() | {"controller": False}], "another group": [mine | {"apiVersion": "example.com/v1"}],
    }  # fmt: skip
    for why, value in references.items():
        yield at("owner", why, but(CRON, "metadata", "ownerReferences", to=value))
    for name in ("nightly", "quickstart-0123abc", "quickstart-0123abcd-x", "other-0123abcd"):
        yield at("name", name, but(CRON, "metadata", "name", to=name))
    fields: dict[str, Any] = {
        "concurrencyPolicy": "Replace", "suspend": True, "successfulJobsHistoryLimit": 10, "failedJobsHistoryLimit": 10,
        "startingDeadlineSeconds": 5, "timeZone": GONE,
    }  # fmt: skip
    for name, value in fields.items():
        yield at("schedule", f"{name}: {value if value is not GONE else 'none'}", but(CRON, "spec", name, to=value))
    yield at("schedule", "no deadline", but(CRON, "spec", "startingDeadlineSeconds", to=GONE))
    jobs: dict[str, Any] = {
        "parallelism": 50, "completions": 50, "backoffLimit": 1000, "activeDeadlineSeconds": 604800,
        "ttlSecondsAfterFinished": 0, "suspend": True, "completionMode": "Indexed", "podReplacementPolicy": "Failed",
        "managedBy": "a.example/b",
    }  # fmt: skip
    for name, value in jobs.items():
        yield at("job", f"{name}: {value}", but(CRON, *JOB, name, to=value))
    yield at("job", "no time to live", but(CRON, *JOB, "ttlSecondsAfterFinished", to=GONE))


def pods() -> Iterator[Escape]:
    """Around the container."""
    sidecar = copy.deepcopy(CRON["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]) | {
        "name": "second"
    }
    stage = job("probe")["spec"]["template"]["spec"]
    yield at("pod", "a good stage's", but(CRON, *POD, to=stage))
    yield at("pod", "the account of a good stage", but(CRON, *POD, "serviceAccountName", to="sectum-probe"))
    for name in ("sectum-sign", "sectum-prepare", "sectum-operator", "default"):
        yield at("pod", f"as {name}", but(CRON, *POD, "serviceAccountName", to=name))
    older = but(CRON, *POD, "serviceAccount", to="sectum-sign")
    yield at("pod", "an account by the older field", but(older, *POD, "serviceAccountName", to=GONE))
    fields: dict[str, Any] = {
        "hostNetwork": True, "hostPID": True, "hostIPC": True, "hostUsers": True, "shareProcessNamespace": True,
        "nodeName": "control-plane", "hostAliases": [{"ip": "10.20.0.9", "hostnames": ["api"]}], "hostname": "api",
        "runtimeClassName": "unconfined", "dnsPolicy": "Default", "schedulerName": "another",
        "dnsConfig": {"nameservers": ["203.0.113.1"]}, "initContainers": [sidecar], "restartPolicy": "OnFailure",
        "priorityClassName": "system-node-critical", "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
        "tolerations": [{"operator": "Exists"}], "enableServiceLinks": True, "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 3600, "imagePullSecrets": [{"name": "registry"}],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
    }  # fmt: skip
    for name, value in fields.items():
        yield at("pod", f"{name}: {str(value)[:20]}", but(CRON, *POD, name, to=value))
    native = [sidecar | {"restartPolicy": "Always"}]
    yield at("pod", "a sidecar as init container", but(CRON, *POD, "initContainers", to=native))
    security: dict[str, Any] = {
        "runAsUser": 0, "runAsNonRoot": False, "fsGroup": 0, "supplementalGroups": [0],
        "seccompProfile": {"type": "Unconfined"}, "seLinuxOptions": {"level": "s0"},
    }  # fmt: skip
    for name, value in security.items():
        yield at("pod", f"security: {name}", but(CRON, *POD, "securityContext", name, to=value))
    yield at("pod", "no security", but(CRON, *POD, "securityContext", to=GONE))
    sources: dict[str, Document] = {
        "hostPath": {"hostPath": {"path": "/"}},
        "a Secret": {"secret": {"secretName": "sectum-signer-main"}},
        "a ConfigMap": {"configMap": {"name": "any"}},
        "a token": {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        "a larger tmp": {"emptyDir": {"sizeLimit": "64Gi"}},
    }
    for why, source in sources.items():
        yield at("pod", f"{why} for tmp", but(CRON, *POD, "volumes", 0, to={"name": "tmp", **source}))
    unseen = {"name": "more", "secret": {"secretName": "sectum-signer-main"}}
    yield at("pod", "one more volume", also(CRON, *POD, "volumes", item=unseen))
    yield at("container", "one more", also(CRON, *POD, "containers", item=sidecar))


def containers() -> Iterator[Escape]:
    """Inside the container."""
    shell = {"exec": {"command": ["sh", "-c", "id"]}}
    fields: dict[str, Any] = {
        "name": "shell", "command": ["sh"], "envFrom": [{"secretRef": {"name": "sectum-signer-main"}}],
        "lifecycle": {"postStart": shell}, "ports": [{"containerPort": 22}], "stdin": True, "workingDir": "/tmp",
        "imagePullPolicy": "Always", "terminationMessagePolicy": "FallbackToLogsOnError",
        "terminationMessagePath": "/tmp/message", "resources": {"limits": {"nvidia.com/gpu": 1}},
        "image": FOREIGN,
    }  # fmt: skip
    for name, value in fields.items():
        yield at("container", f"{name}: {str(value)[:20]}", but(CRON, *BOX, name, to=value))
    yield at("container", "the probes' image", but(CRON, *BOX, "image", to=PROBES_IMAGE))
    yield at("container", "without resources", but(CRON, *BOX, "resources", to=GONE))
    args: dict[str, list[str]] = {
        "none": [], "one more": ["trigger", "--scenario", "quickstart", "--x"], "the operator": ["operate"],
        "prepare": ["prepare", "--run", "one", "--uid", "x", "--generation", "3"],
        "another scenario": ["trigger", "--scenario", "other"],
    }  # fmt: skip
    for why, value in args.items():
        yield at("container", f"arguments: {why}", but(CRON, *BOX, "args", to=value))
    more = {"name": "PYTHONPATH", "value": "/tmp"}
    yield at("container", "environment: one more", also(CRON, *BOX, "env", item=more))
    secret = {"secretKeyRef": {"name": "sectum-signer-main", "key": "private.pem"}}
    yield at("container", "environment: a Secret", but(CRON, *BOX, "env", 1, "valueFrom", to=secret))
    yield at(
        "container", "environment: a Job made up", but(CRON, *BOX, "env", 1, to={"name": "SECTUM_JOB", "value": "x"})
    )
    yield at("container", "environment: none", but(CRON, *BOX, "env", to=GONE))
    security: dict[str, Any] = {
        "privileged": True, "allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False, "runAsUser": 0,
        "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}, "seccompProfile": {"type": "Unconfined"},
    }  # fmt: skip
    for name, value in security.items():
        made = but(CRON, *BOX, "securityContext", name, to=value)
        if name == "privileged":  # the server itself refuses it beside no escalation
            made = but(CRON, *BOX, "securityContext", to={"privileged": True})
        yield at("container", f"security: {name}", made)
    over = {"name": "tmp", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    yield at("container", "tmp twice", also(CRON, *BOX, "volumeMounts", item=over))
    yield at("container", "tmp elsewhere", but(CRON, *BOX, "volumeMounts", 0, "mountPath", to="/usr/local/bin"))


def triggers() -> Iterator[Escape]:
    """What a trigger could ask for but a tick's run."""

    def wrong(fence: str, why: str, document: Document) -> Escape:
        return Escape(f"triggers/{fence}", why, document, account=TRIGGER)

    yield Escape("triggers/update", "cancelled not", RUN, "patch", {"spec": {"cancel": False}}, TRIGGER)
    metadata: dict[str, Any] = {
        "labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["sectum.ai/clean"],
        "ownerReferences": [owner("quickstart") | {"kind": "IsolationScenario"}],
    }  # fmt: skip
    for name, value in metadata.items():
        yield wrong("metadata", name, but(RUN, "metadata", name, to=value))
    spec: dict[str, Any] = {
        "subset": {"surfaces": ["api"]}, "timeout": "1m", "cancel": True, "suspend": True,
    }  # fmt: skip
    for name, value in spec.items():
        yield wrong("whole", name, but(RUN, "spec", name, to=value))
    no_slot = but(but(RUN, "spec", "slot", to=GONE), "metadata", "name", to="quickstart-0123abcd-00000000")
    yield wrong("whole", "no slot", no_slot)
    yield wrong("name", "another tick", but(RUN, "spec", "slot", to="2026-12-04T11:01:00Z"))
    for name in ("any", "other-0123abcd-29939700", "quickstart-0123abcd-x-29939700", "quickstart-29939700"):
        yield wrong("name", name, but(RUN, "metadata", "name", to=name))
    yield wrong("name", "another scenario", but(RUN, "spec", "scenarioRef", "name", to="other"))


CRON_JOB_ESCAPES = [*whole(), *pods(), *containers(), *triggers()]
