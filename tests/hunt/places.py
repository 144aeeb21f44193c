"""A cluster and its stores -> pieces: every place that something could have been left in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx
import obstore
from obstore.store import ObjectStore

from tests.hunt.kube import Kube, Refused, node_files, node_journal
from tests.hunt.search import Piece

EVENTS = frozenset({"events", "events.events.k8s.io"})


def objects(kube: Kube) -> Iterator[Piece]:
    """Every object of every kind that can be listed, in all namespaces; events are a place of their own.

    Raises Refused at the end, where some could not be.
    """
    unread = []
    for resource in kube.resources():
        try:
            items = kube.items(resource)
        except Refused as refused:
            unread.append(str(refused))
            continue
        yield from of_objects(resource, items)
    if unread:
        raise Refused("; ".join(unread))


def of_objects(resource: str, items: Iterable[Mapping[str, Any]]) -> Iterator[Piece]:
    """One piece each, as JSON that nothing is escaped in for the sake of HTML."""
    for item in items:
        about = item["metadata"]
        holder = f"{resource.split('.')[0]}/{about.get('namespace', '')}/{about['name']}"
        data = json.dumps(item, ensure_ascii=False).encode("utf-8", "surrogatepass")
        yield Piece("events" if resource in EVENTS else "objects", holder, data, holder)


def logs(kube: Kube, namespaces: Iterable[str]) -> Iterator[Piece]:
    """What every container of every pod says, and said before it was started again."""
    for namespace in namespaces:
        for pod in kube.items("pods", namespace):
            name = pod["metadata"]["name"]
            status = pod.get("status", {})
            for each in containers(status):
                words = ("logs", "-n", namespace, name, "-c", each["name"], "--tail=-1", "--limit-bytes=1000000000")
                where = f"{namespace}/{name}/{each['name']}"
                yield Piece("logs", where, kube.run(*words, may_fail=True))
                if each.get("restartCount", 0):
                    yield Piece("logs", f"{where} (previous)", kube.run(*words, "--previous", may_fail=True))


def containers(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The statuses of all of a pod's containers."""
    kinds = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return [each for kind in kinds for each in status.get(kind) or ()]


def node_logs(node: str, namespaces: Iterable[str]) -> Iterator[Piece]:
    """The node's files of containers' logs, turned over ones too, and what kubelet and containerd said."""
    ours = tuple(f"{namespace}_" for namespace in namespaces)
    for name, data in node_files(node, "/var/log/pods").items():
        if name.startswith(ours):
            yield Piece("node logs", name, data)
    yield Piece("node logs", "journal", node_journal(node))


def metrics(kube: Kube, namespaces: Iterable[str]) -> Iterator[Piece]:
    """What every port of every container answers at /metrics, be it that there are none."""
    for namespace in namespaces:
        for pod in kube.items("pods", namespace):
            if pod.get("status", {}).get("phase") != "Running":
                continue
            ports = [port for each in pod["spec"]["containers"] for port in each.get("ports") or ()]
            for port in ports:
                name = pod["metadata"]["name"]
                with kube.forwarded(f"pod/{name}", namespace, port["containerPort"]) as here:
                    answer = httpx.get(f"http://127.0.0.1:{here}/metrics", timeout=30, trust_env=False)
                yield Piece("metrics", f"{namespace}/{name}:{port['containerPort']}", answer.content)


def bucket(name: str, store: ObjectStore) -> Iterator[Piece]:
    """Every object of a store with its name and attributes; packs are a place of their own."""
    for batch in obstore.list(store):
        for each in batch:
            path = each["path"]
            got = obstore.get(store, path)
            about = json.dumps({str(key): str(value) for key, value in got.attributes.items()}).encode()
            kind = "packs" if path.endswith(".zip") else "store"
            yield Piece("store", f"{name}/{path} (its attributes)", about)
            yield Piece(kind, f"{name}/{path}", bytes(got.bytes()))
