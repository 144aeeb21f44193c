"""Commands of this machine -> a kind cluster with images in it; every call is bounded and says what failed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TOOLS = {
    "docker": "https://docs.docker.com/engine/install",
    "kind": "https://kind.sigs.k8s.io",
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
    "helm": "https://helm.sh/docs/intro/install",
}


class DemoError(Exception):
    """Something on the way did not work; the message says what, and what to do."""


def missing_tools() -> str | None:
    """What has to be installed first, or None."""
    missing = [f"{tool} ({where})" for tool, where in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        return "not installed: " + ", ".join(missing)
    if subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=60).returncode:
        return "no Docker engine answers; start it first"
    return None


def run(
    *command: str,
    text: str | None = None,
    seconds: float = 120,
    env: dict[str, str] | None = None,
) -> str:
    """The command's standard output; raises DemoError with the end of what it said."""
    shown = " ".join(command[:6])
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=seconds, env=env
        )
    except subprocess.TimeoutExpired:
        raise DemoError(f"`{shown} …` did not end within {seconds:.0f} s") from None
    if done.returncode:
        raise DemoError(f"`{shown} …` failed (exit {done.returncode}):\n{(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


@dataclass(frozen=True)
class Cluster:
    """A kind cluster, reached with a kubeconfig of the demo's own: the user's is left as it is."""

    name: str
    folder: Path
    """Where the demo writes what is about this cluster."""

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def exists(self) -> bool:
        return self.name in run("kind", "get", "clusters").split()

    def create(self) -> None:
        """With the node image that KIND_NODE_IMAGE names, else kind's own."""
        image = os.environ.get("KIND_NODE_IMAGE")
        chosen = ["--image", image] if image else []
        self.folder.mkdir(parents=True, exist_ok=True)
        ours = ("--name", self.name, "--kubeconfig", str(self.kubeconfig))
        run("kind", "create", "cluster", *ours, *chosen, "--wait", "120s", seconds=600)

    def delete(self) -> None:
        run("kind", "delete", "cluster", "--name", self.name, "--kubeconfig", str(self.kubeconfig))

    def connect(self) -> None:
        """Write the kubeconfig; raises DemoError where the API server does not answer."""
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(run("kind", "get", "kubeconfig", "--name", self.name))
        try:
            self.kubectl("get", "--raw", "/readyz", seconds=20)
        except DemoError:
            again = f"`kind delete cluster --name {self.name}`, then again"
            raise DemoError(f"the API server of the kind cluster {self.name} does not answer; {again}") from None

    def kubectl(self, *arguments: str, text: str | None = None, seconds: float = 120) -> str:
        return run("kubectl", *arguments, text=text, seconds=seconds, env=self.environment)

    def helm(self, *arguments: str, seconds: float = 300) -> str:
        return run("helm", *arguments, seconds=seconds, env=self.environment)

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return found

    def secrets(self, namespace: str) -> dict[str, dict[str, bytes]]:
        """Name -> key -> value; none where there is no such namespace."""
        return {
            each["metadata"]["name"]: {key: base64.b64decode(value) for key, value in each.get("data", {}).items()}
            for each in self.objects("secrets", "--namespace", namespace)
        }

    def apply(self, *manifests: Path) -> None:
        self.kubectl("apply", *(word for each in manifests for word in ("-f", str(each))))

    def apply_namespaces(self, *manifests: Path) -> None:
        """What the files' other objects, and Secrets before them, are put into."""
        documents = [each for path in manifests for each in yaml.safe_load_all(path.read_text())]
        namespaces = [each for each in documents if each["kind"] == "Namespace"]
        self.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": namespaces}))

    def nodes(self) -> list[str]:
        return run("kind", "get", "nodes", "--name", self.name).split()

    def load(self, references: Sequence[str]) -> None:
        """Put images on all nodes, those that are not there yet."""
        new = [ref for ref in references if any(ref not in _images(node) for node in self.nodes())]
        if new:
            # Layers that the images share are sent once.
            run("kind", "load", "docker-image", *new, "--name", self.name, seconds=600)

    def digest(self, reference: str) -> str:
        """The digest under which pods can ask for a loaded image: containerd is told that name, as kind does not."""
        for node in self.nodes():
            digest = _images(node)[reference]
            _ctr(node, "images", "tag", "--force", reference, f"{reference.rpartition(':')[0]}@{digest}")
        return digest

    def tag(self, reference: str, name: str) -> None:
        for node in self.nodes():
            _ctr(node, "images", "tag", "--force", reference, name)

    @contextlib.contextmanager
    def forwarded(self, namespace: str, service: str, port: int) -> Iterator[int]:
        """A port of this machine that leads to the Service."""
        command = ["kubectl", "port-forward", "--namespace", namespace, f"service/{service}", f":{port}"]
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, env=self.environment)
            try:
                yield _forwarded_port(process, said)
            finally:
                process.terminate()
                process.wait(timeout=10)


def _forwarded_port(process: subprocess.Popen[bytes], said: Any) -> int:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        said.seek(0)
        if found := re.search(r"127\.0\.0\.1:(\d+) ->", said.read()):
            return int(found[1])
        time.sleep(0.05)
    said.seek(0)
    raise DemoError(f"kubectl port-forward did not come up: {said.read().strip()[-500:]}")


def _ctr(node: str, *arguments: str) -> str:
    return run("docker", "exec", node, "ctr", "--namespace", "k8s.io", *arguments)


def _images(node: str) -> dict[str, str]:
    """Names of the node's images -> their digests."""
    rows = (line.split() for line in _ctr(node, "images", "ls").splitlines()[1:])
    return {row[0]: row[2] for row in rows if len(row) > 2}
