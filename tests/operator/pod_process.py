"""A pod's only container -> the local process that stands for it: its arguments, environment, files and end.

What the test kubelet cannot do it refuses (Unsupported) instead of doing something else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

Json = dict[str, Any]
MOUNTS = PurePosixPath("/var/run/sectum")
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
MESSAGE_BYTES = 4096
_FIELDS = {
    "metadata.name": lambda pod: pod["metadata"]["name"],
    "metadata.namespace": lambda pod: pod["metadata"]["namespace"],
    "metadata.uid": lambda pod: pod["metadata"]["uid"],
    "metadata.labels['batch.kubernetes.io/job-name']": lambda pod: pod["metadata"]["labels"][
        "batch.kubernetes.io/job-name"
    ],
    "spec.nodeName": lambda pod: pod["spec"]["nodeName"],
    "spec.serviceAccountName": lambda pod: pod["spec"]["serviceAccountName"],
}


class Unsupported(Exception):
    """The pod asks for something that this kubelet does not do."""


def container(pod: Json) -> Json:
    """The pod's one container."""
    spec = pod["spec"]
    if len(spec["containers"]) != 1 or spec.get("initContainers") or spec.get("ephemeralContainers"):
        raise Unsupported("more than one container")
    if spec.get("restartPolicy") != "Never":
        raise Unsupported("a restartPolicy other than Never")
    found: Json = spec["containers"][0]
    refused = {"command", "envFrom", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "workingDir"}
    if wrong := sorted(refused & found.keys()):
        raise Unsupported(", ".join(wrong))
    return found


def secrets_of(pod: Json) -> list[tuple[str, Path, bool, int]]:
    """Every mounted Secret's name, folder below SECTUM_MOUNTS, whether it may be missing, and its files' mode."""
    volumes, found = {each["name"]: each for each in pod["spec"].get("volumes") or ()}, []
    for mount in container(pod).get("volumeMounts") or ():
        volume = volumes[mount["name"]]
        if mount["mountPath"] == ACCOUNT or (mount["mountPath"] == "/tmp" and "emptyDir" in volume):
            continue
        path = PurePosixPath(mount["mountPath"])
        if "secret" not in volume or "items" in volume["secret"] or not path.is_relative_to(MOUNTS):
            raise Unsupported(f"the volume {mount['name']} at {path}")
        secret = volume["secret"]
        below = Path(path.relative_to(MOUNTS))
        found.append((secret["secretName"], below, bool(secret.get("optional")), secret.get("defaultMode", 0o644)))
    return found


def audience_of(pod: Json) -> Json | None:
    """The token that the pod's account volume asks for: admission adds the volume, wherever one is to be mounted."""
    for volume in pod["spec"].get("volumes") or ():
        for source in volume.get("projected", {}).get("sources") or ():
            if "serviceAccountToken" in source:
                return dict(source["serviceAccountToken"])
    return None


def environment(pod: Json, folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """What the container's `env` says, PATH, and where the files are that a real pod has at fixed places."""
    said: dict[str, str] = {}
    for each in container(pod).get("env") or ():
        said[each["name"]] = str(each["value"]) if "value" in each else _from(pod, each.get("valueFrom") or {})
    account = {"SECTUM_KUBECONFIG": str(folder / "kubeconfig")} if audience_of(pod) else {}
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "TMPDIR": str(folder / "tmp"),
        **extra,
        **said,
        "SECTUM_MOUNTS": str(folder / "mounts"),
        "SECTUM_CLOSED_WITHIN": "0",  # no network that closes anything
        "SECTUM_TERMINATION_LOG": str(folder / "termination"),
        **account,
    }


def _from(pod: Json, source: Json) -> str:
    path = source.get("fieldRef", {}).get("fieldPath") if source.keys() == {"fieldRef"} else None
    if path not in _FIELDS:
        raise Unsupported(f"env from {source or 'nothing'}")
    return str(_FIELDS[path](pod))


def lay_out(folder: Path) -> None:
    """An empty home for a pod: what it mounts, its /tmp, its working directory and its termination message."""
    for name in ("mounts", "tmp", "work"):
        (folder / name).mkdir(parents=True)
    (folder / "termination").touch()


def write_secret(folder: Path, data: Mapping[str, bytes], mode: int) -> None:
    """One Secret's keys as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in data.items():
        path = folder / name
        path.write_bytes(value)
        path.chmod(mode)


class Process:
    """The container while it runs: a session of its own, so that whatever it started ends with it."""

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder / "work", env=dict(env), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._folder = folder

    def ended(self) -> int | None:
        """The exit code as a container's: 128 + the signal's number where one killed it; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        return status if status >= 0 else 128 - status

    def stop(self) -> None:
        """SIGTERM to the first process, as a container runtime does."""
        self._process.terminate()

    def kill(self) -> int:
        """SIGKILL to all of it; returns the exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        return self.ended() or 0

    def message(self) -> str:
        """The termination message's last 4 KiB, which is what the real one keeps."""
        return (self._folder / "termination").read_bytes()[-MESSAGE_BYTES:].decode(errors="replace")

    def clear(self) -> None:
        """Remove what a real pod loses with its end: mounted Secrets, /tmp, and the token."""
        self.kill()
        for name in ("mounts", "tmp", "work"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        (self._folder / "kubeconfig").unlink(missing_ok=True)
