"""Objects, logs, metrics and stores become pieces, and what does not belong in one of them is a hit there."""

import base64
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import obstore
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from obstore.store import LocalStore, MemoryStore
from sectum.keys.unsafe_local import UnsafeLocalKey
from sectum.manifest import Sealer, unseal
from sectum.pipeline import draw
from sectum.plan import Subset
from sectum.scenario import load

from tests.hunt import known, places
from tests.hunt import planting as plants
from tests.hunt.hunting import hunt, sown, unseen
from tests.hunt.kube import Kube, Refused, reachable
from tests.hunt.search import Piece, Search
from tests.hunt.texts import Text, gather

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).parent / "recorded"
STRAY = Text("marker", "stray", b"kestrel-that-is-stray-17")
TOKEN = Text("credential", "token", b"token-of-acme-alice-4711", frozenset({"secrets/runs/sectum-surface-api"}))
CUSTOMER = sown({"customer": "northwind-harbour-7731"})[0]


@dataclass(frozen=True)
class Recorded(Kube):
    """A cluster of which the answers are given; kubectl is not called."""

    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    said: dict[tuple[str, ...], bytes] = field(default_factory=dict)

    def run(self, *words: str, given: bytes | None = None, may_fail: bool = False) -> bytes:
        return self.said.get((words[3], words[5], *words[8:]), b"")

    def items(self, resource: str, namespace: str | None = None) -> list[dict[str, Any]]:
        if resource == "forbidden":
            raise Refused("forbidden: you may not")
        return [each for each in self.objects[resource] if namespace in (None, each["metadata"].get("namespace"))]

    def resources(self) -> list[str]:
        return list(self.objects)

    def secret(self, namespace: str, name: str) -> dict[str, bytes]:
        [found] = [each for each in self.items("secrets", namespace) if each["metadata"]["name"] == name]
        return {key: base64.b64decode(value) for key, value in found["data"].items()}


def _object(name: str, namespace: str = "runs", **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, **rest.pop("metadata", {})}, **rest}


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _secret(name: str, namespace: str = "runs", **data: bytes) -> dict[str, Any]:
    return _object(name, namespace, data={key: _b64(value) for key, value in data.items()})


PLANTED = {
    "an annotation": ("configmaps", _object("a", metadata={"annotations": {"a": f"see {STRAY.value.decode()}"}})),
    "a label": ("pods", _object("a", metadata={"labels": {"a": STRAY.value.decode()}})),
    "a status": ("verificationruns.sectum.ai", _object("a", status={"message": STRAY.value.decode()[::-1]})),
    "a condition": ("jobs.batch", _object("a", status={"conditions": [{"message": f"x{STRAY.value.hex()}"}]})),
    "a Secret of the run": ("secrets", _secret("sectum-manifest-1", key=STRAY.value)),
    "a name": ("configmaps", _object(STRAY.value.decode())),
    "an event": ("events", _object("a", message=f"it said {STRAY.value.decode().upper()}")),
    "a termination message": ("pods", _object("a", status={"x": [{"message": json.dumps({"b": _b64(STRAY.value)})}]})),
}


@pytest.mark.parametrize("where", PLANTED)
def test_a_text_is_a_hit_wherever_in_an_object_it_is(where: str) -> None:
    resource, item = PLANTED[where]
    kube = Recorded(objects={"configmaps": [_object("nothing")], resource: [item]})
    [row] = [row for row in _rows(kube, [STRAY, TOKEN, CUSTOMER], systems=()) if row.hits]
    assert row.place == ("events" if where == "an event" else "objects")
    assert {hit.text for hit in row.hits} == {STRAY}


def _rows(kube: Kube, texts: list[Text], *, systems: Iterable[str]) -> list[Any]:
    return hunt(Search(gather(texts)), [("objects", lambda: places.objects(kube))], systems=tuple(systems))


@pytest.mark.parametrize(
    ("text", "resource", "item", "at_home"),
    [
        (TOKEN, "secrets", _secret("sectum-surface-api", key=TOKEN.value), True),
        (TOKEN, "secrets", _secret("sectum-surface-other", key=TOKEN.value), False),
        (TOKEN, "secrets", _secret("sectum-surface-api", "elsewhere", key=TOKEN.value), False),
        (TOKEN, "configmaps", _object("sectum-surface-api", data={"a": TOKEN.value.decode()}), False),
        (TOKEN, "secrets", _secret("assistant", "demo", key=TOKEN.value), True),
        (CUSTOMER, "deployments.apps", _object("assistant", "demo", spec={"a": CUSTOMER.value.decode()}), True),
        (CUSTOMER, "jobs.batch", _object("a", spec={"a": CUSTOMER.value.decode()}), False),
        (STRAY, "configmaps", _object("assistant", "demo", data={"a": STRAY.value.decode()}), False),
        (STRAY, "secrets", _secret("sectum-surface-api", key=STRAY.value), False),
    ],
)
def test_what_belongs_where(text: Text, resource: str, item: dict[str, Any], at_home: bool) -> None:
    rows = _rows(Recorded(objects={resource: [item]}), [text], systems=["demo"])
    assert [bool(row.at_home) for row in rows if row.place == "objects"] == [at_home]
    assert [bool(row.hits) for row in rows if row.place == "objects"] == [not at_home]


def test_what_cannot_be_listed_is_said_and_keeps_nothing_else_from_being_searched() -> None:
    stray = _object("a", data={"a": STRAY.value.decode()})
    kube = Recorded(objects={"forbidden": [], "configmaps": [stray]})
    [row] = [row for row in _rows(kube, [STRAY], systems=()) if row.place == "objects"]
    assert row.faults == ["Refused: forbidden: you may not"]
    assert {hit.text for hit in row.hits} == {STRAY}


def test_a_credential_that_is_not_even_seen_in_its_own_secret_is_a_fault() -> None:
    texts = [TOKEN, CUSTOMER, STRAY]
    for value, fault in ((TOKEN.value, None), (b"another-value", "1 of its own texts not seen")):
        kube = Recorded(objects={"secrets": [_secret("sectum-surface-api", key=value)]})
        [row] = [row for row in _rows(kube, texts, systems=()) if row.place == "objects"]
        said = unseen(row, gather(texts))
        assert said is None if fault is None else said and said.startswith(fault)


def test_logs_of_every_container_are_read_and_those_before_it_was_started_again() -> None:
    status = {
        "initContainerStatuses": [{"name": "before", "restartCount": 0}],
        "containerStatuses": [{"name": "stage", "restartCount": 2}],
    }
    said = {("a", "before"): b"one", ("a", "stage"): b"two", ("a", "stage", "--previous"): STRAY.value}
    kube = Recorded(objects={"pods": [_object("a", status=status)]}, said=said)
    pieces = list(places.logs(kube, ["runs"]))
    assert [(piece.where, piece.data) for piece in pieces] == [
        ("runs/a/before", b"one"),
        ("runs/a/stage", b"two"),
        ("runs/a/stage (previous)", STRAY.value),
    ]


def test_recorded_objects_and_events_are_searched_whole() -> None:
    """What `kubectl get … -o json` gave for a namespace of a kind cluster, with one text planted in each of it."""
    recorded = json.loads((RECORDED / "objects.json").read_text())
    search = Search(gather([STRAY]))
    assert {"pods", "events", "secrets", "configmaps"} <= set(recorded)
    for resource, items in recorded.items():
        assert items
        [clean, *_] = places.of_objects(resource, items)
        assert search.piece(clean) == []
        for way in (json.dumps(STRAY.value.decode()), json.dumps(_b64(b"?" + STRAY.value))):
            text = json.dumps(items[0])
            last = text.rindex('"')  # the end of the last text in it, wherever that is
            [changed] = places.of_objects(resource, [json.loads(text[:last] + way[1:-1] + text[last:])])
            assert {hit.text for hit in search.piece(changed)} == {STRAY}, resource


def test_names_attributes_and_bodies_in_a_store_are_searched_and_packs_apart(tmp_path: Path) -> None:
    for store in (MemoryStore(), LocalStore(tmp_path)):
        planting = plants.Planting()
        names = list(plants.in_store(planting, "evidence", store))
        obstore.put(store, "series/1.json", b"{}")
        pieces = list(places.bucket("evidence", store))
        assert {piece.where.split("/", 1)[1] for piece in pieces if "attributes" not in piece.where} == {
            *names,
            "series/1.json",
        }
        search = Search(gather([each.text for each in planting.planted]))
        rows = hunt(search, [("store", lambda pieces=pieces: pieces)], systems=())
        assert planting.missed(rows) == []
        assert {row.place for row in rows if row.hits} == {"store", "packs"}


def test_the_self_test_notices_what_it_does_not_find() -> None:
    planting = plants.Planting()
    plants.in_objects(planting)
    search = Search(gather([each.text for each in planting.planted]))
    kube = Recorded(objects={"configmaps": [each for each in planting.objects if each["kind"] == "ConfigMap"]})
    rows = hunt(search, [("objects", lambda: places.objects(kube))], systems=())
    missed = planting.missed(rows)
    assert {each for each in missed if each.endswith("objects")} == {
        f"{name}, planted in objects" for name in ("Secret", "custom resource")
    }
    assert "event, planted in events" in missed
    assert "gzip, planted in etcd" in missed


# --- what is looked for -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """A run of the minimal scenario that was prepared, and planted one thing."""

    sealed: bytes
    key: UnsafeLocalKey
    located: str
    store: MemoryStore


@pytest.fixture
def drawn() -> Drawn:
    scenario = load((ROOT / "examples" / "minimal" / "scenario.yaml").read_text())
    key = UnsafeLocalKey(os.urandom(32))
    manifest, data_key, sealed = draw(scenario, key, run_id="run-1", subset=Subset())
    store, located = MemoryStore(), secrets.token_hex(16)
    sealer = Sealer(data_key, run="run-1", surface="api", attempt=2)
    names = [[marker.id, marker.wanted] for marker in manifest.markers]
    obstore.put(store, "kind/leaky/work/run-1/sealed/api/2/intent-1", sealer.seal(names))
    obstore.put(store, "kind/leaky/work/run-1/sealed/api/2/receipt-1", sealer.seal([manifest.markers[0].id, located]))
    return Drawn(sealed, key, located, store)


def test_every_secret_of_a_manifest_is_looked_for_and_every_receipts_location(drawn: Drawn) -> None:
    manifest, data_key = unseal(drawn.sealed, drawn.key)
    receipts = known.of_receipts("run-1", data_key, known.sealed_records(drawn.store, "run-1"))
    texts = gather([*known.of_manifest(manifest, data_key), *receipts])
    values = {text.value for text in texts.all}
    every = manifest.markers + manifest.decoys
    assert values == {
        *(marker.plaintext.encode() for marker in every),
        *(marker.wanted.encode() for marker in every),
        *(marker.salt for marker in every),
        manifest.salt,
        manifest.run_key.private_bytes_raw(),
        data_key,
        drawn.located.encode(),
    }
    assert not any(text.homes for text in texts.all)
    search = Search(texts)
    assert search.piece(Piece("objects", "secrets/runs/sectum-manifest", drawn.sealed)) == []
    assert {hit.text.kind for hit in search.piece(Piece("objects", "a", manifest.plaintext()))} >= {"marker", "salt"}


def test_what_a_secret_holds_is_at_home_in_it_and_a_key_is_looked_for_as_what_it_is() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    data = {"private.pem": pem, "private.pem.pub": b"public-and-no-secret", "acme.alice": b"token-of-alice-1\n"}
    texts = list(known.credentials("runs", "sectum-signer-a", data))
    assert {text.homes for text in texts} == {frozenset({"secrets/runs/sectum-signer-a"})}
    assert {text.kind for text in texts} == {"private key", "credential"}
    assert b"token-of-alice-1" in {text.value for text in texts}
    assert not any(b"public" in text.value for text in texts)
    search = Search(gather(texts))
    number = key.private_numbers().private_value
    for form in (pem, number.to_bytes(32, "big"), f"{number:064x}".encode(), json.dumps(pem.decode()).encode()):
        assert {hit.text.kind for hit in search.piece(Piece("logs", "a", b"say " + form))} == {"private key"}


def test_nothing_is_forwarded_that_is_no_service_of_the_cluster() -> None:
    for endpoint in (None, "https://s3.example.test:9000", "http://127.0.0.1:9000", "https://store.servers.svc:9000"):
        with reachable(Kube(), endpoint) as here:
            assert here == endpoint
