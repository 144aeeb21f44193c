"""In the files of a real etcd below a real API server every text is found, with the object that it is in."""

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.hunt.belonging import belongs
from tests.hunt.etcd import Etcd, holder_of, spans
from tests.hunt.hunting import hunt
from tests.hunt.planting import GROUP, PLURAL, definition
from tests.hunt.search import Hit, Search
from tests.hunt.texts import Text, gather
from tests.operator.control_plane import running

OWN = Text("credential", "own", b"token-in-its-own-secret-81", frozenset({"secrets/runs/sectum-surface-api"}))
STRAY = Text("marker", "in a ConfigMap", b"kestrel-in-a-configmap-17")
PACKED = Text("marker", "in gzip", b"kestrel-in-gzip-29")
CUSTOM = Text("marker", "in a custom resource", b"kestrel-in-a-resource-33")
DELETED = Text("marker", "in what is deleted", b"kestrel-in-what-is-gone-41")
PRETENDS = Text("credential", "in a ConfigMap that pretends", b"token-that-is-elsewhere-55", OWN.homes)
SEARCH = Search(gather([OWN, STRAY, PACKED, CUSTOM, DELETED, PRETENDS]))


@dataclass(frozen=True)
class Database:
    files: dict[str, bytes]


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("plane")
    with running(folder) as client:
        _create(client, "/api/v1/namespaces", "runs")
        core = "/api/v1/namespaces/runs"
        own = {"data": {"acme.alice": _b64(OWN.value)}, "type": "Opaque"}
        _create(client, f"{core}/secrets", "sectum-surface-api", **own)
        _create(client, f"{core}/configmaps", "stray", data={"a": f"x {STRAY.value.decode()} y"})
        _create(client, f"{core}/configmaps", "packed", binaryData={"a": _b64(gzip.compress(PACKED.value * 3))})
        pretended = b"\x0a\x2a/registry/secrets/runs/sectum-surface-api\x12\x7f" + b"k8s\0" + PRETENDS.value
        _create(client, f"{core}/configmaps", "pretends", binaryData={"a": _b64(pretended)})
        _create(client, f"{core}/configmaps", "deleted", data={"a": DELETED.value.decode()})
        assert client.delete(f"{core}/configmaps/deleted").status_code == httpx.codes.OK
        client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition()).raise_for_status()
        path = f"/apis/{GROUP}/v1/namespaces/runs/{PLURAL}"
        for _ in range(100):
            if client.get(path).status_code == httpx.codes.OK:
                break
        _create(client, path, "custom", kind="Plant", apiVersion=f"{GROUP}/v1", spec={"a": CUSTOM.value.decode()})
        yield Database(_files(folder / "etcd"))


def _create(client: httpx.Client, path: str, name: str, **rest: object) -> None:
    answer = client.post(path, json={"metadata": {"name": name}, **rest})
    assert answer.status_code == httpx.codes.CREATED, answer.text


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _found(etcd: Etcd, files: dict[str, bytes]) -> list[Hit]:
    return [hit for piece in etcd.pieces(files) for hit in SEARCH.piece(piece)]


def test_every_text_is_found_with_the_object_that_it_is_in(database: Database) -> None:
    holders: dict[str, set[str]] = {}
    for hit in _found(Etcd(), database.files):
        holders.setdefault(hit.text.name, set()).add(hit.piece.holder)
    assert holders == {
        OWN.name: {"secrets/runs/sectum-surface-api"},
        STRAY.name: {"configmaps/runs/stray"},
        PACKED.name: {"configmaps/runs/packed"},
        CUSTOM.name: {f"{PLURAL}/runs/custom"},
        DELETED.name: {"configmaps/runs/deleted"},
        PRETENDS.name: {"configmaps/runs/pretends"},
    }


def test_only_what_is_in_its_own_secret_belongs_there(database: Database) -> None:
    misplaced = {hit.text.name for hit in _found(Etcd(), database.files) if not belongs(hit, systems=())}
    assert misplaced == {STRAY.name, PACKED.name, CUSTOM.name, DELETED.name, PRETENDS.name}


def test_no_byte_is_left_out_but_zeros(database: Database) -> None:
    etcd = Etcd()
    for name, data in database.files.items():
        pieces = list(etcd.pieces({name: data}))
        # Each copy of a value is one piece; all else is in a gap.
        kept = sum(span.stop - span.start for span in spans(data))
        kept += sum(len(piece.data) for piece in pieces if not piece.holder)
        assert len(data) - kept <= data.count(0)
    assert any(piece.holder for piece in Etcd().pieces(database.files))


def test_a_torn_old_copy_of_its_own_secret_belongs_to_it_and_another_stray_copy_does_not(database: Database) -> None:
    etcd = Etcd()
    assert _found(etcd, database.files)
    [value, *_] = etcd.values["secrets/runs/sectum-surface-api"]
    at = value.index(OWN.value)
    torn = value[at - 20 :]  # what a newer page left of it
    encoded = value.replace(OWN.value, base64.b64encode(b"?" + OWN.value))  # as in an annotation by kubectl
    etcd.values["secrets/runs/sectum-surface-api"].append(encoded)
    for data, belonging in (
        (torn, True),
        (encoded[at - 20 :], True),
        (b"x" * 40 + OWN.value + b"y" * 40, False),
        (b"x" * 40 + base64.b64encode(b"?" + OWN.value) + b"y" * 40, False),
        (gzip.compress(OWN.value), False),
        (OWN.value, False),
    ):
        rows = hunt(SEARCH, [("etcd", lambda data=data: etcd.pieces({"torn": data}))], systems=(), torn=etcd.torn)
        [row] = [row for row in rows if row.place == "etcd"]
        assert (bool(row.torn), bool(row.hits)) == (belonging, not belonging)


def test_a_newer_page_in_the_midst_of_an_old_value_is_no_part_of_it() -> None:
    size, key = 4096, b"/registry/secrets/runs/sectum-surface-api"
    value = b"k8s\0" + b"v" * 6000
    pages = bytearray(size * 4)
    pages[16:28] = (0xED0CDAED).to_bytes(4, "little") + b"\0" * 4 + size.to_bytes(4, "little")
    record = b"\x0a" + bytes((len(key),)) + key + b"\x10\x05\x18\x05\x20\x01\x2a\xf4\x2e" + value
    pages[size + 16 : size + 16 + len(record)] = record
    pages[size : size + 10] = (1).to_bytes(8, "little") + (2).to_bytes(2, "little")
    assert [span.stop - span.start for span in spans(bytes(pages))] == [6004]
    newer = (2).to_bytes(8, "little") + (2).to_bytes(2, "little") + b"\0" * 6 + OWN.value
    pages[2 * size : 2 * size + len(newer)] = newer
    [hit] = [hit for hit in _found(Etcd(), {"db": bytes(pages)}) if hit.form == "plain"]
    assert not belongs(hit, systems=())


def test_keys_name_their_objects() -> None:
    for key, holder in {
        "/registry/secrets/runs/a": "secrets/runs/a",
        "/registry/sectum.ai/verificationruns/runs/a": "verificationruns/runs/a",
        "/registry/services/specs/runs/a": "specs/runs/a",
        "/registry/namespaces/runs": "namespaces//runs",
    }.items():
        assert holder_of(key) == holder


def test_recorded_custom_resources_are_json(database: Database) -> None:
    """What `spans` takes for a value is one: a custom resource's parses."""
    values = [
        data[span.start : span.stop]
        for data in database.files.values()
        for span in spans(data)
        if holder_of(span.key) == f"{PLURAL}/runs/custom"
    ]
    assert values
    assert all(json.loads(value)["spec"] == {"a": CUSTOM.value.decode()} for value in values)
