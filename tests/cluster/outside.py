"""Addresses that pods of runs must not reach, made to answer: one beyond the cluster, and the clouds' own."""

import contextlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator

from tests.cluster.demo import SECONDS, Demo
from tests.cluster.faults import node

METADATA = "169.254.169.254"
SERVE = ["python3", "-m", "http.server"]
IMAGE = os.environ.get("BASE", "python:3.11-slim-bookworm")


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextlib.contextmanager
def the_world(demo: Demo, port: int) -> Iterator[str]:
    """The address of a container beside the cluster's node that listens there, which is what the demo is built from."""
    [network] = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", node(demo))).keys()
    name = f"sectum-world-{uuid.uuid4().hex[:6]}"
    docker("run", "--detach", "--rm", "--network", network, "--name", name, IMAGE, *SERVE, str(port))
    try:
        address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        yield docker("inspect", "--format", address, name)
    finally:
        docker("rm", "--force", name)


@contextlib.contextmanager
def the_metadata(demo: Demo) -> Iterator[None]:
    """The node answers at that address, as clouds do, whatever is there otherwise."""
    name = f"metadata-{uuid.uuid4().hex[:6]}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "hostNetwork": True,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "serve",
                    "image": "sectum.local/demo:kind",
                    "imagePullPolicy": "IfNotPresent",
                    "command": [*SERVE, "80", "--bind", METADATA],
                    "securityContext": {"runAsUser": 0},
                }
            ],
        },
    }
    docker("exec", node(demo), "ip", "address", "add", f"{METADATA}/32", "dev", "lo")
    try:
        demo.kubectl("apply", "-f", "-", text=json.dumps(pod))
        until = time.monotonic() + SECONDS
        while demo.one("pod", name, "-n", "default")["status"].get("phase") != "Running":
            assert time.monotonic() < until, "the pod that answers at the metadata address does not start"
            time.sleep(0.5)
        yield
    finally:
        demo.kubectl("delete", "pod", name, "-n", "default", "--ignore-not-found", ok=False)
        docker("exec", node(demo), "ip", "address", "del", f"{METADATA}/32", "dev", "lo")
