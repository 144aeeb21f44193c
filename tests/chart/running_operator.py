"""An API server with Kubernetes' controllers, the chart on it, and the operator as a process with its own rights."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from sectum_operator.stages import FINALIZER

from tests.chart import samples
from tests.chart.cluster import collection, publish_api_server
from tests.chart.helm import CHART, NAMESPACE, RELEASE, RUNS, VALUES, helm
from tests.operator import cluster as documents
from tests.operator.control_plane import ControlPlane, _free_ports, control_plane, controllers
from tests.operator.samples import ROOT

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/{}"
BOUND = '[{"cidr":"10.20.0.0/16"},{"cidr":"10.30.0.0/16"},{"namespace":"demo"}]'
"""What the scenario of `tests.operator.cluster` connects to."""
MERGE = {"Content-Type": "application/merge-patch+json"}


@dataclass(frozen=True)
class Release:
    """The chart, on a cluster without nodes."""

    plane: ControlPlane
    kubeconfig: Path

    def helm(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One call of Helm about this release."""
        return helm(verb, RELEASE, *arguments, "--namespace", NAMESPACE, kubeconfig=self.kubeconfig)

    def install(self, *arguments: str) -> None:
        """As a user would; waits until the fences are at work."""
        given = ("--create-namespace", "--values", str(VALUES), "--set-json", f"egress.bound={BOUND}", *arguments)
        result = self.helm("install", str(CHART), *given)
        assert result.returncode == 0, result.stderr
        until(lambda: self.get("/api/v1/namespaces/" + RUNS + "/serviceaccounts/sectum-probe") is not None)

    def get(self, path: str) -> dict[str, Any] | None:
        """The object; None if there is none."""
        answer = self.plane.client.get(path)
        found: dict[str, Any] | None = answer.json() if answer.is_success else None
        return found

    def run(self, name: str) -> dict[str, Any] | None:
        """A VerificationRun."""
        return self.get(f"{collection('VerificationRun')}/{name}")

    def create(self, document: dict[str, Any]) -> None:
        """Create it, with all rights."""
        meta = {key: each for key, each in document["metadata"].items() if key in ("name", "finalizers")}
        answer = self.plane.client.post(collection(document["kind"]), json={**document, "metadata": meta})
        assert answer.is_success, answer.text

    def in_flight(self, name: str, *, planted: bool = True, **spec: Any) -> None:
        """A run of a scenario of its own; where `planted`, with the finalizer, as one that has begun to plant."""
        scenario = documents.scenario()
        scenario["metadata"]["name"] = name
        self.create(scenario)
        run = documents.run(scenarioRef={"name": name}, **spec)
        run["metadata"] = {"name": name, **({"finalizers": [FINALIZER]} if planted else {})}
        self.create(run)

    def patch(self, name: str, body: dict[str, Any], part: str = "") -> None:
        """Merge it into a run, or its status."""
        path = f"{collection('VerificationRun')}/{name}" + (f"/{part}" if part else "")
        answer = self.plane.client.patch(path, json=body, headers=MERGE)
        assert answer.is_success, answer.text

    def jobs(self, name: str) -> list[dict[str, Any]]:
        """The Jobs of a run."""
        asked = {"labelSelector": f"sectum.ai/run={name}"}
        found: list[dict[str, Any]] = self.plane.client.get(collection("Job"), params=asked).json()["items"]
        return found

    def delete(self, path: str) -> None:
        """Ask for its deletion."""
        assert self.plane.client.delete(path).is_success, path

    def drain(self, folder: Path, timeout: str) -> subprocess.CompletedProcess[str]:
        """`sectum-operator drain` with the rights that the hook's pod has; its account is made where it is missing."""
        accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        self.plane.client.post(accounts, json={"metadata": {"name": "sectum-drain"}})
        config = folder / f"drain-{time.monotonic_ns()}.kubeconfig"
        self.plane.kubeconfig(config, token=self.plane.token_of(NAMESPACE, "sectum-drain"))
        environment = {**os.environ, "SECTUM_NAMESPACES": RUNS, "KUBECONFIG": str(config)}
        command = [str(Path(sys.executable).parent / "sectum-operator"), "drain", "--timeout", timeout]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    @contextlib.contextmanager
    def operator(self, folder: Path) -> Iterator[Path]:
        """Running for as long as the block, with the rights of its account and no others; its log."""
        folder.mkdir(parents=True, exist_ok=True)
        token, log = self.plane.token_of(NAMESPACE, "sectum-operator"), folder / f"operator-{time.monotonic_ns()}.log"
        images = {"OPERATOR": samples.OPERATOR_IMAGE, "PROBES": samples.PROBES_IMAGE}
        environment = {
            **os.environ, "SECTUM_NAMESPACES": RUNS, "SECTUM_HEALTH": f"http://127.0.0.1:{_free_ports(1)[0]}/healthz",
            "KUBECONFIG": str(self.plane.kubeconfig(log.with_suffix(".kubeconfig"), token=token)),
            **{f"SECTUM_{name}_IMAGE": image for name, image in images.items()},
        }  # fmt: skip
        command = [str(Path(sys.executable).parent / "sectum-operator"), "operate"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stderr=output)
        try:
            yield log
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def release(folder: Path) -> Iterator[Release]:
    """A cluster with our kinds, on which the chart is not installed yet."""
    helm("version")  # skips before a control plane is started
    with control_plane(folder) as plane:
        for path in sorted((ROOT / "crds").iterdir()):
            document = yaml.safe_load(path.read_text())
            document["metadata"] |= {
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {"meta.helm.sh/release-name": RELEASE, "meta.helm.sh/release-namespace": NAMESPACE},
            }
            plane.client.post(CRDS, json=document).raise_for_status()
        until(lambda: plane.client.get(collection("VerificationRun", "default")).status_code == httpx.codes.OK)
        with controllers(plane):
            publish_api_server(plane.client)
            yield Release(plane, plane.kubeconfig(folder / "kubeconfig"))


def until(done: Any, seconds: float = 60, said: Any = lambda: "") -> float:
    """Seconds until it was so."""
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {said()}"
        time.sleep(0.1)
    return time.monotonic() - begun
