"""The cluster of `make demo-cluster` as its tests see it: kubectl, and pods that try what they can connect to."""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hunt.kube import Kube

ROOT = Path(__file__).parents[2]
KUBECONFIG = ROOT / "demo-out" / "kind" / "kubeconfig"
RUNS, RELEASE = "sectum-runs", "sectum-system"
SECONDS = 90
"""For a pod to start, and for the network plug-in to open its way."""

# Connects to each address until those that must be open are, and those that must not be are not, or patience is over;
# says what the last time brought.
_CONNECT = """
import json, socket, sys, time
allowed, denied, patience = json.loads(sys.argv[1])
def connects(address):
    try:
        socket.create_connection(tuple(address), 3).close()
        return True
    except OSError:
        return False
until = time.monotonic() + patience
# kube-router lets a new pod out to everywhere, and then closes (THREAT_MODEL.md, "The network"). Where nothing has to
# be open, a network that is not there yet looks like one that is closed.
time.sleep(0 if allowed else 20)
while True:
    said = {f"{host}:{port}": connects((host, port)) for host, port in allowed + denied}
    if list(said.values()) == [True] * len(allowed) + [False] * len(denied) or time.monotonic() > until:
        break
    time.sleep(1)
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Demo:
    """Talks to the cluster with the demo's kubeconfig."""

    @property
    def kube(self) -> Kube:
        """Secrets, and ports that are forwarded."""
        return Kube(kubeconfig=str(KUBECONFIG))

    def kubectl(self, *words: str, text: str | None = None, ok: bool = True) -> "subprocess.CompletedProcess[str]":
        command = ["kubectl", "--kubeconfig", str(KUBECONFIG), *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS + 60, check=False)
        assert done.returncode == 0 or not ok, done.stderr
        return done

    def objects(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *words, "-o", "json").stdout)["items"]
        return found

    def one(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "-o", "json").stdout)
        return found

    def as_operator(self, *words: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """The same as the operator's account, which may be refused."""
        return self.as_account("sectum-operator", RELEASE, *words, text=text)

    def as_account(
        self, name: str, namespace: str, *words: str, text: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """As that account, which may be refused."""
        account = f"system:serviceaccount:{namespace}:{name}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        return self.kubectl(f"--as={account}", *(f"--as-group={each}" for each in groups), *words, text=text, ok=False)

    def probes_image(self) -> str:
        """By digest, as the operator was told."""
        [operator] = self.objects("deployments", "-n", RELEASE)
        [container] = operator["spec"]["template"]["spec"]["containers"]
        return next(each["value"] for each in container["env"] if each["name"] == "SECTUM_PROBES_IMAGE")

    def connections(
        self,
        labels: Mapping[str, str],
        *,
        allowed: list[tuple[str, int]],
        denied: list[tuple[str, int]],
    ) -> dict[str, bool]:
        """What a pod with these labels connects to, `host:port` -> did it?"""
        name = f"try-{uuid.uuid4().hex[:8]}"
        self.kubectl("apply", "-f", "-", text=json.dumps(self._pod(name, labels, allowed, denied)))
        try:
            return self._said(name)
        finally:
            self.kubectl("delete", "pod", name, "-n", RUNS, "--wait=false", ok=False)

    def _pod(
        self,
        name: str,
        labels: Mapping[str, str],
        allowed: list[tuple[str, int]],
        denied: list[tuple[str, int]],
    ) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": RUNS, "labels": dict(labels)},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "try",
                        "image": self.probes_image(),
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["python", "-c", _CONNECT, json.dumps([allowed, denied, SECONDS // 2])],
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        }

    def _said(self, name: str) -> dict[str, bool]:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            phase = self.one("pod", name, "-n", RUNS)["status"].get("phase")
            if phase in ("Succeeded", "Failed"):
                said: dict[str, bool] = json.loads(self.kubectl("logs", name, "-n", RUNS).stdout)
                return said
            time.sleep(1)
        raise AssertionError(f"the pod {name} did not end within {SECONDS} s")


def demo_cluster() -> Demo:
    """The cluster; skips the tests, with what to do, where the demo does not stand on one."""
    stands = KUBECONFIG.exists() and shutil.which("kubectl") is not None
    if stands:
        command = ["kubectl", "--kubeconfig", str(KUBECONFIG), "get", "verificationruns", "-n", RUNS]
        stands = subprocess.run(command, capture_output=True, timeout=60, check=False, env=os.environ).returncode == 0
    if not stands:
        pytest.skip(
            "NOT TESTED on a cluster: `make test-cluster` brings one up with kind, Docker and helm, and tests it"
        )
    return Demo()
