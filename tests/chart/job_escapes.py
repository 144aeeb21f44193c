"""Every way round the fence on Jobs that we thought of."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from tests.chart.escapes import GONE, Escape, also, but
from tests.chart.samples import (
    OPERATOR_IMAGE,
    OTHER_UID,
    PROBES_IMAGE,
    RUN,
    STAGES,
    UID,
    Document,
    job,
    owner,
)

META: tuple[Any, ...] = ("metadata",)
SPEC: tuple[Any, ...] = ("spec",)
TEMPLATE: tuple[Any, ...] = ("spec", "template")
POD: tuple[Any, ...] = (*TEMPLATE, "spec")
BOX: tuple[Any, ...] = (*POD, "containers", 0)
PROBE, PREPARE, OPEN = job("probe"), job("prepare"), job("open")
FOREIGN = "registry.example/evil/miner@sha256:" + "3" * 64


def pod(document: Document) -> Document:
    """The pod's spec in a Job."""
    found: Document = document["spec"]["template"]["spec"]
    return found


def running(document: Document, image: str) -> Document:
    """With another image, and the environment that agrees."""
    made = copy.deepcopy(document)
    box = pod(made)["containers"][0]
    box["image"] = image
    for each in box["env"]:
        if each["name"] == "SECTUM_IMAGE":
            each["value"] = image
    return made


def mounting(document: Document, secret: str, *, volume: str = "secret-0") -> Document:
    """With another Secret where one of its own was."""
    made = copy.deepcopy(document)
    for each in pod(made)["volumes"]:
        if each["name"] == volume:
            each["secret"]["secretName"] = secret
    for each in pod(made)["containers"][0]["volumeMounts"]:
        if each["name"] == volume and volume != "manifest":
            each["mountPath"] = f"/var/run/sectum/secrets/{secret}"
    return made


def with_volume(document: Document, volume: Document, mount: Document) -> Document:
    """With one more volume, mounted."""
    return also(also(document, *POD, "volumes", item=volume), *BOX, "volumeMounts", item=mount)


def volume_instead(source: Document) -> Document:
    """A probe whose first Secret is something else."""
    return but(PROBE, *POD, "volumes", 1, to={"name": "secret-0", **source})


def labelled(document: Document, name: str, value: Any) -> Document:
    """With another label on the Job and on its pod."""
    return but(but(document, *META, "labels", name, to=value), *TEMPLATE, "metadata", "labels", name, to=value)


def _attempted(number: str) -> Document:
    """Of another attempt, in every place that names it."""
    made = labelled(PROBE, "sectum.ai/attempt", number)
    pod(made)["containers"][0]["args"][-1] = number
    return made


def of_no_stage() -> Document:
    """A Job whose parts agree with each other on a stage that is none of ours."""
    made = job("erase")
    del made["spec"]["template"]["spec"]["serviceAccountName"]
    pod(made)["volumes"] = [each for each in pod(made)["volumes"] if not each["name"].startswith("secret-")]
    box = pod(made)["containers"][0]
    box["volumeMounts"] = [each for each in box["volumeMounts"] if not each["name"].startswith("secret-")]
    return made


def whole_jobs() -> Iterator[Escape]:
    """Around the pod: name, labels, owner, counts."""
    for why, patch in {"more of them": {"parallelism": 5}, "held back": {"suspend": True},
                       "for longer": {"activeDeadlineSeconds": 500}}.items():  # fmt: skip
        yield Escape("jobs/update", f"a Job changed: {why}", PROBE, "patch", {"spec": patch})
    yield Escape("jobs/namespace", "in another namespace", but(PROBE, *META, "namespace", to="default"))
    yield Escape("jobs/stage", "a stage that is none", of_no_stage())
    yield Escape("jobs/stage", "no stage", labelled(PROBE, "sectum.ai/stage", ""))
    yield Escape("jobs/values", "a UID that is none", job("probe", uid="nonsense"))
    yield Escape("jobs/values", "a surface that is none", job("probe", surface="API"))
    yield Escape("jobs/values", "a run that is none", job("probe", run="a" * 33 + "_B"))
    yield Escape("jobs/values", "attempt 0", _attempted("0"))
    yield Escape("jobs/values", "no attempt", labelled(PROBE, "sectum.ai/attempt", "first"))
    yield Escape("jobs/labels", "one more label", but(PROBE, *META, "labels", "app", to="assistant"))
    yield Escape("jobs/labels", "one label less", but(PROBE, *META, "labels", "app.kubernetes.io/managed-by", to=GONE))
    yield Escape("jobs/labels", "a signer with a surface", labelled(OPEN, "sectum.ai/surface", "api"))
    pods = (*TEMPLATE, "metadata", "labels")
    named = {"one more": ("app", "assistant"), "outside default-deny": ("app.kubernetes.io/managed-by", GONE),
             "another surface's": ("sectum.ai/surface", "vectors"), "of prepare": ("sectum.ai/stage", "prepare"),
             "another run's": ("sectum.ai/run-uid", OTHER_UID)}  # fmt: skip
    for why, (name, value) in named.items():
        yield Escape("jobs/template-labels", f"the pod's labels: {why}", but(PROBE, *pods, name, to=value))
    injected = {"vault.hashicorp.com/agent-inject": "true"}
    yield Escape("jobs/metadata", "a pod that asks for a sidecar",
                 but(PROBE, *TEMPLATE, "metadata", "annotations", to=injected))  # fmt: skip
    yield Escape("jobs/metadata", "annotations", but(PROBE, *META, "annotations", to={"a.example/b": "c"}))
    yield Escape("jobs/metadata", "a finalizer", but(PROBE, *META, "finalizers", to=["a.example/b"]))
    yield Escape("jobs/metadata", "a generated name too", but(PROBE, *META, "generateName", to="any-"))
    references: dict[str, list[Document]] = {
        "nobody": [], "another UID": [owner(uid=OTHER_UID)], "another run": [owner(run="another")],
        "another group": [owner() | {"apiVersion": "example.com/v1"}],
        "a scenario": [owner() | {"kind": "IsolationScenario"}], "not as controller": [owner() | {"controller": False}],
        "blocking": [owner() | {"blockOwnerDeletion": True}],
        "two": [owner(), owner(run="another", uid=OTHER_UID) | {"controller": False}],
    }  # fmt: skip
    for why, value in references.items():
        yield Escape("jobs/owner", why, but(PROBE, *META, "ownerReferences", to=value))
    ours = PROBE["metadata"]["name"]
    for name in ("another", f"{ours}0", ours.replace("probe", "plant"), f"{ours[:-8]}notahash", f"x{ours}"):
        yield Escape("jobs/name", name, but(PROBE, *META, "name", to=name))
    yield Escape("jobs/job-fields", "gone before it is read", but(PROBE, *SPEC, "ttlSecondsAfterFinished", to=0))
    yield Escape("jobs/job-fields", "another controller", but(PROBE, *SPEC, "managedBy", to="a.example/b"))
    counts: dict[str, Any] = {
        "backoffLimit": 6, "parallelism": 5, "completions": 5, "suspend": True, "completionMode": "Indexed",
        "activeDeadlineSeconds": 10**7,
    }  # fmt: skip
    for name, value in counts.items():
        base = but(job("probe", run="one"), *SPEC, "completions", to=1) if name == "completionMode" else PROBE
        yield Escape("jobs/once", f"{name}: {value}", but(base, *SPEC, name, to=value))
    yield Escape("jobs/once", "no deadline", but(PROBE, *SPEC, "activeDeadlineSeconds", to=GONE))
    adopting = but(PROBE, *SPEC, "selector", to={"matchLabels": {"sectum.ai/run-uid": UID}})
    yield Escape("jobs/once", "adopting other pods", but(adopting, *SPEC, "manualSelector", to=True))
    disrupted = [{"type": "DisruptionTarget"}]
    policies: dict[str, list[Document]] = {
        "ignored": [{"action": "Ignore", "onPodConditions": disrupted}],
        "by exit status": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}],
        "one more rule": [{"action": "FailJob", "onPodConditions": disrupted},
                          {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3]}}],
    }  # fmt: skip
    yield Escape("jobs/failure-policy", "none", but(PROBE, *SPEC, "podFailurePolicy", to=GONE))
    for why, rules in policies.items():
        yield Escape("jobs/failure-policy", why, but(PROBE, *SPEC, "podFailurePolicy", "rules", to=rules))


def pods() -> Iterator[Escape]:
    """Around the container: the host, the account, the user."""
    sidecar = copy.deepcopy(pod(PROBE)["containers"][0]) | {"name": "second"}
    fields: dict[str, Any] = {
        "hostNetwork": True, "hostPID": True, "hostIPC": True, "hostUsers": True, "shareProcessNamespace": True,
        "nodeName": "control-plane", "hostAliases": [{"ip": "10.20.0.9", "hostnames": ["api"]}], "hostname": "api",
        "subdomain": "sub", "setHostnameAsFQDN": True, "runtimeClassName": "unconfined", "os": {"name": "linux"},
        "dnsConfig": {"nameservers": ["203.0.113.1"]}, "readinessGates": [{"conditionType": "a.example/b"}],
        "activeDeadlineSeconds": 5, "initContainers": [sidecar], "preemptionPolicy": "Never",
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
        "schedulingGates": [{"name": "a.example/b"}], "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
    }  # fmt: skip
    for name, value in fields.items():
        yield Escape("jobs/pod-fields", name, but(PROBE, *POD, name, to=value))
    native = [sidecar | {"restartPolicy": "Always"}]
    yield Escape("jobs/pod-fields", "a sidecar as init container", but(PROBE, *POD, "initContainers", to=native))
    others: dict[str, Any] = {
        "dnsPolicy": "Default", "schedulerName": "another", "terminationGracePeriodSeconds": 3600,
        "enableServiceLinks": True,
    }  # fmt: skip
    for name, value in others.items():
        yield Escape("jobs/pod", f"{name}: {value}", but(PROBE, *POD, name, to=value))
    accounts = {"probe": ("sectum-sign", "sectum-prepare", "sectum-operator", "default", ""), "open": ("sectum-probe",),
                "prepare": ("sectum-sign", "sectum-probe", "sectum-trigger"), "clean": ("sectum-sign",)}  # fmt: skip
    for stage, names in accounts.items():
        for name in names:
            yield Escape("jobs/account", f"{stage} as {name}", but(job(stage), *POD, "serviceAccountName", to=name))
    older = but(PROBE, *POD, "serviceAccount", to="sectum-sign")
    yield Escape("jobs/account", "by the older field", but(older, *POD, "serviceAccountName", to=GONE))
    for stage in STAGES:
        yield Escape("jobs/token", stage, but(job(stage), *POD, "automountServiceAccountToken", to=stage != "prepare"))
    yield Escape("jobs/token", "by default", but(PROBE, *POD, "automountServiceAccountToken", to=GONE))
    security: dict[str, Any] = {
        "runAsUser": 0, "runAsNonRoot": False, "runAsGroup": 0, "fsGroup": 0, "supplementalGroups": [0],
        "seccompProfile": {"type": "Unconfined"}, "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}],
        "fsGroupChangePolicy": "OnRootMismatch", "seLinuxOptions": {"level": "s0"},
        "appArmorProfile": {"type": "Unconfined"},
    }  # fmt: skip
    for name, value in security.items():
        yield Escape("jobs/pod-security", f"{name}: {value}", but(PROBE, *POD, "securityContext", name, to=value))
    yield Escape("jobs/pod-security", "none", but(PROBE, *POD, "securityContext", to=GONE))
    yield Escape("jobs/priority", "the nodes' own", but(PROBE, *POD, "priorityClassName", to="system-node-critical"))
    yield Escape("jobs/container", "one more", also(PROBE, *POD, "containers", item=sidecar))
    yield Escape("jobs/container", "of another name", but(PROBE, *BOX, "name", to="shell"))


def containers() -> Iterator[Escape]:
    """Inside the container: image, program, environment."""
    shell = {"exec": {"command": ["sh", "-c", "id"]}}
    fields: dict[str, Any] = {
        "command": ["sh", "-c", "cat /var/run/sectum/secrets/*/*"],
        "envFrom": [{"secretRef": {"name": "sectum-signer-main"}}],
        "lifecycle": {"postStart": shell},
        "livenessProbe": shell,
        "readinessProbe": shell,
        "startupProbe": shell,
        "ports": [{"containerPort": 22, "hostPort": 22}],
        "stdin": True,
        "tty": True,
        "workingDir": "/tmp",
        "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
    }
    for name, value in fields.items():
        yield Escape("jobs/container-fields", name, but(PROBE, *BOX, name, to=value))
    repository, digest = PROBES_IMAGE.split("@")
    images = {
        "a foreign one": FOREIGN,
        "the release's by tag": f"{repository}:latest",
        "of the operator": OPERATOR_IMAGE,
        "the digest elsewhere": f"registry.example/evil/probes@{digest}",
        "with a tag too": f"{repository}:1@{digest}",
        "another digest": f"{repository}@sha256:{'4' * 64}",
    }
    for why, image in images.items():
        yield Escape("jobs/image", why, running(PROBE, image))
    yield Escape("jobs/image", "prepare of the probes", running(PREPARE, PROBES_IMAGE))
    others = {
        "imagePullPolicy": "Always",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "terminationMessagePath": "/tmp/message",
    }
    for name, value in others.items():
        yield Escape("jobs/messages", f"{name}: {value}", but(PROBE, *BOX, name, to=value))
    yield from _arguments()
    yield from _environment()
    security: dict[str, Any] = {
        "allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False, "runAsUser": 0, "runAsNonRoot": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}, "seccompProfile": {"type": "Unconfined"},
        "seLinuxOptions": {"level": "s0"},
    }  # fmt: skip
    for name, value in security.items():
        yield Escape("jobs/security", f"{name}: {value}", but(PROBE, *BOX, "securityContext", name, to=value))
    yield Escape("jobs/security", "privileged", but(PROBE, *BOX, "securityContext", to={"privileged": True}))
    yield Escape("jobs/security", "none", but(PROBE, *BOX, "securityContext", to=GONE))
    devices = {"a GPU": "nvidia.com/gpu", "the host's FUSE": "devices.example/fuse", "huge pages": "hugepages-2Mi"}
    for why, name in devices.items():
        asked = {"limits": {name: "2Mi" if "huge" in name else 1, "cpu": 1, "memory": "1Gi"}}
        yield Escape("jobs/resources", why, but(PROBE, *BOX, "resources", to=asked))


def _arguments() -> Iterator[Escape]:
    probe = ["probe", "--run", UID, "--surface", "api", "--attempt", "1"]
    prepare = ["prepare", "--run", RUN, "--uid", UID, "--generation", "3"]
    wrong: list[tuple[str, Document, list[str]]] = [
        ("one more", PROBE, [*probe, "--verbose"]), ("one less", PROBE, probe[:-2]),
        ("another stage", PROBE, ["clean", *probe[1:]]), ("another run", PROBE, [*probe[:2], OTHER_UID, *probe[3:]]),
        ("another surface", PROBE, [*probe[:4], "vectors", *probe[5:]]), ("another attempt", PROBE, [*probe[:-1], "2"]),
        ("in another order", PROBE, ["probe", "--surface", "api", "--run", UID, "--attempt", "1"]),
        ("in one", PROBE, ["probe", f"--run={UID}", "--surface=api", "--attempt=1"]),
        ("assemble as open", OPEN, ["assemble", "--run", UID]), ("open with a surface", OPEN, ["open", *probe[1:]]),
        ("prepare another run", PREPARE, [*prepare[:2], "another", *prepare[3:]]),
        ("prepare for another UID", PREPARE, [*prepare[:4], OTHER_UID, *prepare[5:]]),
        ("prepare no generation", PREPARE, [*prepare[:-1], "$(SECTUM_IMAGE)"]), ("the operator", PREPARE, ["operate"]),
    ]  # fmt: skip
    for why, document, value in wrong:
        yield Escape("jobs/args", why, but(document, *BOX, "args", to=value))
    yield Escape("jobs/args", "none", but(PROBE, *BOX, "args", to=GONE))


def _environment() -> Iterator[Escape]:
    env = (*BOX, "env")
    more: dict[str, Document] = {
        "code of its own": {"name": "PYTHONPATH", "value": "/tmp"}, "a proxy": {"name": "HTTPS_PROXY", "value": "http://h"},
        "a preload": {"name": "LD_PRELOAD", "value": "/tmp/x.so"},
        "another image": {"name": "SECTUM_IMAGE", "value": PROBES_IMAGE},
        "where it is, for a probe": pod(PREPARE)["containers"][0]["env"][2],
    }  # fmt: skip
    for why, item in more.items():
        yield Escape("jobs/env", f"one more: {why}", also(PROBE, *env, item=item))
    sources: dict[str, Document] = {
        "a Secret": {"secretKeyRef": {"name": "sectum-signer-main", "key": "private.pem"}},
        "a ConfigMap": {"configMapKeyRef": {"name": "any", "key": "any"}},
        "the node": {"fieldRef": {"fieldPath": "spec.nodeName"}},
        "the limit": {"resourceFieldRef": {"resource": "limits.cpu"}},
        "the account": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}},
    }
    for why, source in sources.items():
        yield Escape("jobs/env", f"out of {why}", but(PROBE, *env, 0, "valueFrom", to=source))
    twice = {"name": "SECTUM_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    yield Escape("jobs/env", "a name twice", but(PROBE, *env, 1, to=twice))
    yield Escape("jobs/env", "another image named", but(PROBE, *env, 1, "value", to=FOREIGN))
    yield Escape("jobs/env", "no image named", but(PROBE, *env, 1, "value", to=GONE))
    yield Escape("jobs/env", "another name", but(PROBE, *env, 0, "name", to="PYTHONSTARTUP"))
    yield Escape("jobs/env", "none", but(PROBE, *env, to=GONE))
    yield Escape("jobs/env", "a plain UID", but(PROBE, *env, 0, to={"name": "SECTUM_POD_UID", "value": UID}))


def volumes() -> Iterator[Escape]:
    """What is mounted, and where."""
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    own = {"secretName": "sectum-surface-api-tokens", "defaultMode": 0o440}
    sources: dict[str, Document] = {
        "hostPath": {"hostPath": {"path": "/"}},
        "a projected token": {"projected": {"sources": [token]}},
        "a projected Secret": {"projected": {"sources": [{"secret": {"name": "sectum-signer-main"}}]}},
        "a ConfigMap": {"configMap": {"name": "any"}},
        "nfs": {"nfs": {"server": "203.0.113.1", "path": "/"}},
        "csi": {"csi": {"driver": "a.example"}},
        "a claim": {"persistentVolumeClaim": {"claimName": "any"}},
        "an ephemeral claim": {"ephemeral": {"volumeClaimTemplate": claim}},
        "an image": {"image": {"reference": FOREIGN}},
        "the downward API": {"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        "an emptyDir": {"emptyDir": {}},
        "one key": {"secret": own | {"items": [{"key": "a", "path": "../b"[3:]}]}},
        "may be missing": {"secret": own | {"optional": True}},
        "executable": {"secret": own | {"defaultMode": 0o777}},
    }
    for why, source in sources.items():
        yield Escape("jobs/volumes", f"{why} for a Secret", volume_instead(source))
    for why, source in {
        "in memory": {"medium": "Memory", "sizeLimit": "64Mi"},
        "larger": {"sizeLimit": "64Gi"},
        "any": {},
    }.items():
        yield Escape("jobs/volumes", f"tmp {why}", but(PROBE, *POD, "volumes", 0, "emptyDir", to=source))
    extra = {"name": "extra", "secret": {"secretName": "sectum-surface-vectors-passwords", "defaultMode": 0o440}}
    unseen = {"name": "extra", "readOnly": True,
              "mountPath": "/var/run/sectum/secrets/sectum-surface-vectors-passwords"}  # fmt: skip
    yield Escape("jobs/volumes", "another surface's, under another name", with_volume(PROBE, extra, unseen))
    no_tmp = but(but(PROBE, *POD, "volumes", 0, to=GONE), *BOX, "volumeMounts", 0, to=GONE)
    yield Escape("jobs/volumes", "no tmp", no_tmp)
    manifest = {"secretName": f"sectum-manifest-{UID}", "defaultMode": 0o440}
    mount = {"name": "manifest", "mountPath": "/var/run/sectum/manifest", "readOnly": True}
    yield Escape("jobs/manifest", "another run's", mounting(PROBE, f"sectum-manifest-{OTHER_UID}", volume="manifest"))
    yield Escape("jobs/manifest", "the signer's key", mounting(PROBE, "sectum-signer-main", volume="manifest"))
    yield Escape("jobs/manifest", "for prepare", with_volume(PREPARE, {"name": "manifest", "secret": manifest}, mount))
    others = {
        "probe": (
            "sectum-surface-vectors-passwords",
            "sectum-surface-apis-x",
            "sectum-signer-main",
            "sectum-kms-encrypt-main",
            "sectum-store-evidence-main",
            f"sectum-manifest-{OTHER_UID}",
            "anybody-s",
            "xsectum-surface-api-tokens",
        ),
        "open": ("sectum-surface-api-tokens", "sectum-kms-decrypt-main", "sectum-kms-encrypt-main"),
        "assemble": ("sectum-surface-api-tokens", "sectum-kms-decrypt-main"),
        "prepare": (
            "sectum-kms-decrypt-main",
            "sectum-surface-api-tokens",
            "sectum-signer-main",
            "sectum-store-records-main",
        ),
        "clean": ("sectum-signer-main",),
        "plant": ("sectum-surface-vectors-passwords",),
        "baseline": ("sectum-signer-main",),
    }
    for stage, names in others.items():
        for name in names:
            yield Escape("jobs/secrets", f"{stage} mounts {name}", mounting(job(stage), name))
    mounts = (*BOX, "volumeMounts")
    changes: dict[str, tuple[int, str, Any]] = {
        "one file of it": (1, "subPath", "tokens"),
        "by the environment": (1, "subPathExpr", "$(SECTUM_POD_UID)"),
        "for writing": (1, "readOnly", False),
        "over the program": (1, "mountPath", "/usr/local/bin"),
        "as another Secret": (1, "mountPath", "/var/run/sectum/secrets/sectum-surface-api-other"),
        "out to the host": (0, "mountPropagation", "HostToContainer"),
        "tmp over the trust": (0, "mountPath", "/etc/ssl"),
        "tmp in part": (0, "subPath", "x"),
        "the manifest elsewhere": (4, "mountPath", "/manifest"),
    }
    for why, (number, name, value) in changes.items():
        yield Escape("jobs/mounts", why, but(PROBE, *mounts, number, name, to=value))
    yield Escape("jobs/mounts", "not at all", but(PROBE, *mounts, 1, to=GONE))
    twice = {"name": "tmp", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    yield Escape("jobs/mounts", "tmp twice", also(PROBE, *mounts, item=twice))


JOB_ESCAPES = [*whole_jobs(), *pods(), *containers(), *volumes()]
