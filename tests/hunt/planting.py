"""Fake markers -> one in each place that the hunt searches, to see that it finds them, and gone again afterwards."""

from __future__ import annotations

import base64
import gzip
import io
import json
import secrets
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import obstore
import zstandard
from obstore.store import ObjectStore
from reportlab.pdfgen.canvas import Canvas
from sectum.markers import Kind, draw

from tests.hunt.kube import Kube, Refused
from tests.hunt.places import containers
from tests.hunt.report import Row
from tests.hunt.texts import Text

NAMESPACE = "hunt-self-test"
GROUP, PLURAL = "hunt.example.test", "plants"
_FOLDER = "hunt-self-test"
_WAIT_SECONDS = 90


@dataclass(frozen=True)
class Planted:
    """A fake marker, and the places in which the hunt must find it."""

    name: str
    text: Text
    places: tuple[str, ...]


@dataclass
class Planting:
    """What is planted; `objects` are for kubectl."""

    planted: list[Planted] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)

    def marker(self, name: str, *places: str, kind: Kind = Kind.HARD) -> str:
        """A new fake marker."""
        value = draw(kind, below=secrets.randbelow)
        text = Text("marker", f"self-test {name}", value.encode(), marker=kind)
        self.planted.append(Planted(name, text, places))
        return value

    def missed(self, rows: list[Row]) -> list[str]:
        """Which plant was not found in which place."""
        found = {(row.place, hit.text.name) for row in rows for hit in row.hits}
        return [
            f"{each.name}, planted in {place}"
            for each in self.planted
            for place in each.places
            if (place, each.text.name) not in found
        ]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def in_objects(planting: Planting) -> None:
    """Each part of an object once, each time spelt or packed in another way."""
    new, both = planting.marker, ("objects", "etcd")
    maps: dict[str, dict[str, Any]] = {
        "configmap": {"data": {"notes": f"the reference is {new('ConfigMap', *both, kind=Kind.ENTITY)}."}},
        "annotation": {"metadata": {"annotations": {"note": quote(new("annotation, URL", *both, kind=Kind.ENTITY))}}},
        "label": {"metadata": {"labels": {"note": new("label", *both)}}},
        "reversed": {"data": {"note": new("ConfigMap, reversed", *both)[::-1]}},
        "escaped": {"data": {"note": json.dumps("".join(f"\\u{ord(c):04x}" for c in new("JSON in JSON", *both)))}},
        "gzip": {"binaryData": {"blob": _b64(gzip.compress(new("gzip", *both, kind=Kind.ENTITY).encode() * 3))}},
        "zlib": {"binaryData": {"blob": _b64(b"head" + zlib.compress(new("zlib", *both).encode() * 9) + b"tail")}},
        "zstd": {"binaryData": {"blob": _b64(zstandard.compress(new("zstd", *both, kind=Kind.SECRET).encode() * 3))}},
        "helm": {
            "data": {"release": _b64(_b64(gzip.compress(new("base64 of base64 of gzip", *both).encode())).encode())}
        },
        new("name", *both): {},
    }
    for name, rest in maps.items():
        about = {"name": name, "namespace": NAMESPACE, **rest.pop("metadata", {})}
        planting.objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, **rest})
    hidden = _b64(f"x{new('Secret', *both, kind=Kind.ENTITY)}".encode())
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret", "namespace": NAMESPACE}}
    planting.objects.append({**secret, "data": {"key": hidden}})
    planting.objects.append(
        {
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "event", "namespace": NAMESPACE},
            "involvedObject": {"kind": "ConfigMap", "name": "label", "namespace": NAMESPACE},
            "message": f"it said {new('event', 'events', 'etcd', kind=Kind.SECRET)}", "reason": "Tested",
        }
    )  # fmt: skip
    spec = {"note": new("custom resource", *both, kind=Kind.ENTITY)}
    planting.objects.append(_plant("spec", spec))


def _plant(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    about = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": f"{GROUP}/v1", "kind": "Plant", "metadata": about, "spec": spec}


def definition() -> dict[str, Any]:
    """A kind of our own, with a status."""
    whatever = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": whatever, "status": whatever}}},
    }  # fmt: skip
    names = {"plural": PLURAL, "singular": "plant", "kind": "Plant"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }  # fmt: skip


_SERVES = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(bytes(b ^ 85 for b in bytes.fromhex(sys.argv[1])))
http.server.HTTPServer(("", 8000), Handler).serve_forever()
"""
_SAYS = """
import sys, time, pathlib
flag = pathlib.Path("/tmp/said")
texts = [bytes(b ^ 85 for b in bytes.fromhex(text)).decode() for text in sys.argv[1:]]
print("about", texts[flag.exists()], flush=True)
if not flag.exists():
    flag.write_text("")
    pathlib.Path("/dev/termination-log").write_text("it ended with " + texts[2])
    sys.exit(1)
time.sleep(3600)
"""


def _hidden(text: str) -> str:
    """So that what is to be found in a log or a status is not in the pod's spec already."""
    return bytes(byte ^ 85 for byte in text.encode()).hex()


def in_pods(planting: Planting, image: str) -> None:
    """A pod that says a marker, is started again and says another; one that serves metrics. No spec shows them."""
    current, previous = planting.marker("log", "logs", "node logs"), planting.marker("previous log", "logs")
    ended = planting.marker("termination message in a status", "objects", "etcd")
    served = f'sectum_runs_total{{run="{planting.marker("metrics", "metrics")}"}} 1\n'
    for name, code, texts in (("says", _SAYS, (previous, current, ended)), ("serves", _SERVES, (served,))):
        container = {
            "name": name, "image": image, "command": ["python", "-c", code, *map(_hidden, texts)],
            "imagePullPolicy": "IfNotPresent", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            "ports": [{"name": "metrics", "containerPort": 8000}] if name == "serves" else [],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }  # fmt: skip
        spec = {
            "containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}], "restartPolicy": "OnFailure",
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}
            },
        }  # fmt: skip
        about = {"name": name, "namespace": NAMESPACE}
        planting.objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec})


def in_store(planting: Planting, name: str, store: ObjectStore) -> Iterator[str]:
    """An object, one with attributes, and a pack with a PDF; their names."""
    new = planting.marker
    run = secrets.token_hex(4)
    plain = f"{_FOLDER}/{run}.json"
    obstore.put(store, plain, json.dumps({"body": _b64(new(f"object of {name}", "store").encode())}).encode())
    yield plain
    named = f"{_FOLDER}/{run}-{new(f'name in {name}', 'store')}"
    obstore.put(store, named, b"nothing")
    yield named
    pack = io.BytesIO()
    with zipfile.ZipFile(pack, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("run.json", json.dumps({"rows": [{"detail": new(f"pack's member in {name}", "packs")}]}))
        members.writestr("report.pdf", pdf(new(f"pack's PDF in {name}", "packs", kind=Kind.ENTITY)))
    zipped = f"{_FOLDER}/{run}.zip"
    obstore.put(store, zipped, pack.getvalue())
    yield zipped


def pdf(text: str) -> bytes:
    """A page that says it, in lines of forty letters."""
    data = io.BytesIO()
    page = Canvas(data, pageCompression=1)
    for number, start in enumerate(range(0, len(text), 40)):
        page.drawString(40, 800 - 14 * number, text[start : start + 40])
    page.save()
    return data.getvalue()


def plant(kube: Kube, planting: Planting, *, image: str | None) -> None:
    """Make the namespace and everything in it; raises Refused."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for each in (namespace, definition()):
        kube.run("apply", "-f", "-", given=json.dumps(each).encode())
    kube.run("wait", "--for=condition=Established", f"crd/{PLURAL}.{GROUP}", "--timeout=30s")
    in_objects(planting)
    if image:
        in_pods(planting, image)
    listed = {"apiVersion": "v1", "kind": "List", "items": planting.objects}
    _again(lambda: kube.run("create", "-f", "-", given=json.dumps(listed).encode()))
    status = {"status": {"message": planting.marker("status", "objects", "etcd", kind=Kind.ENTITY)}}
    words = ("patch", f"{PLURAL}.{GROUP}", "spec", "-n", NAMESPACE, "--type=merge", "--subresource=status")
    kube.run(*words, "-p", json.dumps(status))
    if image:
        _until_said(kube)
    time.sleep(2)  # etcd's database takes over what its log has every 100 ms


def _again(act: Callable[[], object]) -> None:
    """The service account of a new namespace takes a moment, and so does a new kind."""
    for left in range(20, -1, -1):
        try:
            act()
            return
        except Refused:
            if not left:
                raise
            time.sleep(0.5)


def _until_said(kube: Kube) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        pods = kube.items("pods", NAMESPACE)
        if all(each["status"].get("phase") == "Running" for each in pods):
            said = [status for pod in pods for status in containers(pod["status"]) if status["name"] == "says"]
            if said and said[0]["restartCount"] and "running" in said[0]["state"]:
                return
        time.sleep(1)
    raise Refused(f"the self-test's pods did not come up within {_WAIT_SECONDS} s")


def remove(kube: Kube) -> None:
    """The namespace, and the kind."""
    for words in (("namespace", NAMESPACE), ("crd", f"{PLURAL}.{GROUP}")):
        kube.run("delete", *words, "--ignore-not-found", "--timeout=90s", may_fail=True)
