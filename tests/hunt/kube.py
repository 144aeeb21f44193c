"""A cluster, by the commands that any admin has: kubectl, and `docker exec` into a node of kind."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_FORWARDED = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
_SECONDS = 120


class Refused(Exception):
    """A command failed; the message has what it was asked, and what it said."""


@dataclass(frozen=True)
class Kube:
    """kubectl with a context, or a kubeconfig, of its own."""

    context: str | None = None
    kubeconfig: str | None = None

    def run(self, *words: str, given: bytes | None = None, may_fail: bool = False) -> bytes:
        """What kubectl prints."""
        done = subprocess.run(self._command(*words), input=given, capture_output=True, check=False, timeout=_SECONDS)
        if done.returncode and not may_fail:
            raise Refused(f"kubectl {' '.join(words[:4])} …: {done.stderr.decode(errors='replace').strip()[:400]}")
        return done.stdout

    def json(self, *words: str) -> Any:
        """The same, parsed."""
        return json.loads(self.run(*words, "-o", "json"))

    def items(self, resource: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """Every object of a resource, whole."""
        where = ("-n", namespace) if namespace else ("-A",)
        found: list[dict[str, Any]] = self.json("get", resource, *where, "--show-managed-fields", "--chunk-size=200")[
            "items"
        ]
        return found

    def resources(self) -> list[str]:
        """Every resource that can be listed."""
        return self.run("api-resources", "--verbs=list", "-o", "name").decode().split()

    def secret(self, namespace: str, name: str) -> dict[str, bytes]:
        """The data of a Secret."""
        data = self.json("get", "secret", name, "-n", namespace).get("data") or {}
        return {key: base64.b64decode(value) for key, value in data.items()}

    @contextlib.contextmanager
    def forwarded(self, target: str, namespace: str, port: int | str) -> Iterator[int]:
        """A port of this machine that leads to one of a pod or Service, as long as the block takes."""
        command = self._command("port-forward", "-n", namespace, target, f":{port}", "--address=127.0.0.1")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if (found := _FORWARDED.search(line)) is None:
                raise Refused(f"kubectl port-forward {target}: {line.strip()[:400]}")
            yield int(found[1])
        finally:
            process.terminate()
            process.communicate()

    def _command(self, *words: str) -> list[str]:
        chosen = {"--context": self.context, "--kubeconfig": self.kubeconfig}
        return ["kubectl", *(word for each in chosen.items() if each[1] for word in each), *words]


@contextlib.contextmanager
def reachable(kube: Kube, endpoint: str | None) -> Iterator[str | None]:
    """An endpoint as this machine reaches it: that of a Service of the cluster is forwarded."""
    parts = urlsplit(endpoint or "")
    name = (parts.hostname or "").removesuffix(".cluster.local").split(".")
    if len(name) not in (2, 3) or name[2:] not in ([], ["svc"]) or parts.scheme != "http":
        yield endpoint
        return
    with kube.forwarded(f"service/{name[0]}", name[1], parts.port or 80) as port:
        yield f"http://127.0.0.1:{port}"


def node_files(node: str, folder: str) -> dict[str, bytes]:
    """All files below a folder of a kind node, links not followed. They may be written to meanwhile."""
    command = ["docker", "exec", node, "tar", "-C", folder, "--warning=no-file-changed", "-cf", "-", "."]
    done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
    if done.returncode not in (0, 1):  # 1: a file changed as it was read
        raise Refused(f"tar of {folder} on the node: {done.stderr.decode(errors='replace').strip()[:400]}")
    return files_of(done.stdout)


def files_of(archive: bytes) -> dict[str, bytes]:
    """A tar's files by their names."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            if member.isfile() and (content := members.extractfile(member)) is not None:
                found[member.name.removeprefix("./")] = content.read()
    return found


def node_journal(node: str) -> bytes:
    """What the node's own services said: kubelet and containerd."""
    command = ["docker", "exec", node, "journalctl", "--no-pager", "-o", "cat"]
    return subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS).stdout
