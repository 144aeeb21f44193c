"""What goes wrong in a cluster, done on purpose and undone again."""

import base64
import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from tests.cluster.demo import RUNS, Demo

SERVERS = "sectum-servers"


def node(demo: Demo) -> str:
    """The kind node, which is also the name of its container."""
    [found] = demo.objects("nodes")
    return str(found["metadata"]["name"])


@contextlib.contextmanager
def cordoned(demo: Demo) -> Iterator[None]:
    """No pod gets a node meanwhile."""
    name = node(demo)
    demo.kubectl("cordon", name)
    try:
        yield
    finally:
        demo.kubectl("uncordon", name)


@contextlib.contextmanager
def away(demo: Demo, service: str, *, port: int) -> Iterator[None]:
    """A server of the demo cannot be reached meanwhile; what it holds stays: its Service leads to nobody."""
    forget = ["docker", "exec", node(demo), "conntrack", "-D", "-p", "tcp", "--orig-port-dst", str(port)]

    def select(app: str) -> None:
        patch = json.dumps({"spec": {"selector": {"app": app}}})
        demo.kubectl("patch", "service", service, "-n", SERVERS, "-p", patch)

    select("nobody")
    try:
        subprocess.run(
            forget, check=False, capture_output=True, timeout=60
        )  # connections that are open go on otherwise
        yield
    finally:
        select(service)


def put_secret(demo: Demo, name: str, data: Mapping[str, bytes]) -> None:
    """Make the Secret among those of the runs, or change it."""
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": RUNS},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    demo.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(made))


def delete_secret(demo: Demo, name: str) -> None:
    """It may be gone already."""
    demo.kubectl("delete", "secret", name, "-n", RUNS, "--ignore-not-found")


_STARVE = """
for _ in $(seq 1200); do
    for folder in $(find /sys/fs/cgroup -path "*pod$1*" -name "cri-containerd-*"); do
        for file in memory.max memory.limit_in_bytes; do
            [ ! -e $folder/$file ] || echo $2 > $folder/$file
        done
    done 2>/dev/null
    sleep 0.05
done
"""


@contextlib.contextmanager
def starved(demo: Demo, uid: str, *, bytes_left: int) -> Iterator[None]:
    """The pod's containers get no more memory than that: as if their limit were so low. The Job states its own."""
    command = ["docker", "exec", node(demo), "sh", "-c", _STARVE, "starve", uid.replace("-", "_"), str(bytes_left)]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)
