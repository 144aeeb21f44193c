"""Of all that a run writes, nothing holds a marker, a location, a credential or a key, in whatever form."""

import base64
import io
import json
import random
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from reportlab.pdfgen.canvas import Canvas
from sectum.manifest import unseal

from tests.quickstart.quick import COMMAND, Quick, cells, prepare, runs, start, surroundings, unsealed
from tests.quickstart.search import Found, Search, Secret
from tests.stack.running import Stack, running_stack

INFO = ("--log-level", "INFO")


@dataclass(frozen=True)
class Lab:
    """A scenario, and a folder of all that any command wrote: evidence, output, and what went anywhere else."""

    quick: Quick

    @property
    def wrote(self) -> Path:
        return self.quick.folder / "wrote"

    @property
    def out(self) -> Path:
        return self.wrote / "out"

    def command(self, *words: str, code: str | None = None) -> "subprocess.CompletedProcess[str]":
        """A command at the most talkative safe level; what it says is kept beside what it writes."""
        elsewhere = self.wrote / "elsewhere"
        options = {"env": surroundings(elsewhere), "cwd": elsewhere, "capture_output": True, "text": True}
        command = [*COMMAND, *INFO, *words] if code is None else [COMMAND[0], "-c", code, *INFO, *words]
        done = subprocess.run(command, check=False, timeout=300, **options)
        self.keep(done.stdout, done.stderr)
        return done

    def keep(self, *texts: str) -> None:
        said = self.wrote / "said"
        said.mkdir(parents=True, exist_ok=True)
        for text in texts:
            (said / f"{len(list(said.iterdir()))}.txt").write_text(text)

    def run(self, *words: str, code: str | None = None) -> "subprocess.CompletedProcess[str]":
        return self.command(*self.quick.run_words(self.out), *words, code=code)

    def secrets(self) -> list[Secret]:
        """Everything that must not be in what it wrote."""
        return [*credentials(self.quick), *(each for run in runs(self.out) for each in of_a_run(self, run))]

    def found(self) -> list[Found]:
        return Search(self.secrets()).folder(self.wrote)


def credentials(quick: Quick) -> Iterator[Secret]:
    for user in quick.stack.users:
        yield Secret("token", user.role, user.token.encode())
        yield Secret("password", user.role, user.password.encode())
    for path in quick.secrets.glob("sectum-surface-*/*"):
        yield Secret("credential", f"{path.parent.name}/{path.name}", path.read_bytes())
    yield Secret("manifest key", "", (quick.secrets / "sectum-key-manifest" / "key").read_bytes())
    yield from private_key((quick.secrets / "sectum-signer-quickstart" / "private.pem").read_bytes())


def private_key(pem: bytes) -> Iterator[Secret]:
    """Its PEM is the base64 of its DER, which holds the number that is the key."""
    key = load_pem_private_key(pem, None)
    yield Secret("private key", "DER", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    yield Secret("private key", "number", key.private_numbers().private_value.to_bytes(32, "big"))


def of_a_run(lab: Lab, run: str) -> Iterator[Secret]:
    manifest, locations = unsealed(lab.quick, lab.out, run)
    for kind, drawn in (("marker", manifest.markers), ("decoy", manifest.decoys)):
        for marker in drawn:
            yield Secret(kind, marker.id, marker.plaintext.encode())
            yield Secret("location", f"asked for: {marker.id}", marker.wanted.encode())
            yield Secret("salt", marker.id, marker.salt)
    for marker_id, location in locations.items():
        yield Secret("location", marker_id, location.encode())
    yield Secret("salt", "manifest", manifest.salt)
    yield Secret("run key", run, manifest.run_key.private_bytes_raw())
    sealed = (lab.out / "manifests" / f"{run}.sealed.json").read_bytes()
    yield Secret("data key", run, unseal(sealed, lab.quick.key)[1])


@pytest.mark.parametrize(("build", "status", "outcome"), [("leaky", 10, "Leak"), ("hardened", 0, "Pass")])
def test_nothing_sensitive_is_in_what_a_run_writes(build: str, status: int, outcome: str, tmp_path: Path) -> None:
    with running_stack(config=build) as stack:
        lab = Lab(prepare(tmp_path, stack))
        done = lab.run()
        assert done.returncode == status, done.stderr
        [run] = runs(lab.out)
        lab.run("-o", "json")
        pack, key = lab.out / "packs" / f"{run}.zip", str(lab.quick.public_key)
        assert lab.command("verify", str(pack), "--key", key, "--allow-unanchored").returncode == 0
    document = json.loads((lab.out / "packs" / run / "run.json").read_text())
    assert set(cells(document).values()) == {outcome}
    secrets = lab.secrets()
    count = {kind: sum(secret.kind == kind for secret in secrets) for kind in {secret.kind for secret in secrets}}
    assert count["marker"] == 2 * 180
    assert count["decoy"] == 2 * 30
    assert count["location"] == 2 * (180 + 180 + 30)
    assert count["token"] == count["password"] == 8
    assert {"private key", "manifest key", "run key", "data key", "salt"} < set(count)
    assert {path.suffix for path in lab.out.rglob("*") if path.is_file()} > {".zip", ".pdf", ".json", ".txt"}
    assert any("planting" in path.read_text() for path in (lab.wrote / "said").iterdir())
    assert lab.found() == []


# What goes wrong while a run is under way, or before it begins; each leaves what it wrote to be searched.


def wrong_credentials(lab: Lab) -> None:
    for path in lab.quick.secrets.glob("sectum-surface-*/globex.bob"):
        path.write_text("wrong-" + path.read_text()[::-1])
    assert lab.run().returncode == 11
    assert lab.command(*lab.quick.sweep_words(lab.out)).returncode in (0, 1)


def a_server_that_dies(lab: Lab) -> None:
    elsewhere = lab.wrote / "elsewhere"
    log = lab.quick.folder / "stderr"
    with log.open("w") as stderr:
        process = start(*INFO, *lab.quick.run_words(lab.out), stderr=stderr, env=surroundings(elsewhere), cwd=elsewhere)
        while process.poll() is None and not any((lab.out / "work").glob("*/probe/*/1/*")):
            time.sleep(0.01)
        psutil.Process(lab.quick.stack.pid).send_signal(signal.SIGKILL)
        assert process.wait(timeout=120) in (1, 11)
    lab.keep(log.read_text())
    assert lab.command(*lab.quick.sweep_words(lab.out)).returncode == 1
    assert lab.command("check", "-f", str(lab.quick.file), "--secrets", str(lab.quick.secrets)).returncode != 0


def a_signer_that_is_no_key(lab: Lab) -> None:
    path = lab.quick.secrets / "sectum-signer-quickstart" / "private.pem"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert lab.run().returncode in (1, 2, 3)
    path.write_bytes(whole)


def a_manifest_key_of_the_wrong_length(lab: Lab) -> None:
    path = lab.quick.secrets / "sectum-key-manifest" / "key"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert lab.run().returncode in (1, 2, 3)
    path.write_bytes(whole)


def a_place_where_nothing_can_be_written(lab: Lab) -> None:
    lab.out.mkdir(parents=True, mode=0o700)
    (lab.out / "work").write_text("")
    assert lab.run().returncode == 1


CRASHING = """
import importlib, random, sys
draw = random.Random(7)
for name, kind in list(vars(importlib.import_module("sectum.{module}")).items()):
    if isinstance(kind, type) and "perform" in vars(kind):
        def perform(self, action, sink, real=kind.perform):
            if type(action).__name__ in {actions} and draw.random() < {share}:
                raise {error}(repr(vars(self) if hasattr(self, "__dict__") else self) + repr(action))
            return real(self, action, sink)
        kind.perform = perform
from sectum.cli.app import app
app(prog_name="sectum")
"""


def crashing(module: str, actions: str, share: float, error: str) -> Callable[[Lab], None]:
    """An adapter that puts all it knows into the exceptions that it raises."""
    code = CRASHING.format(module=module, actions=set(actions.split()), share=share, error=error)

    def fails(lab: Lab) -> None:
        assert lab.run(code=code).returncode in (0, 1, 11)
        said = "".join(path.read_text() for path in (lab.wrote / "said").iterdir())
        assert f"an adapter crashed with {error}" in said

    return fails


FAILURES: dict[str, Callable[[Lab], None]] = {
    "wrong credentials": wrong_credentials,
    "a server that dies": a_server_that_dies,
    "a signer that is no key": a_signer_that_is_no_key,
    "a manifest key of the wrong length": a_manifest_key_of_the_wrong_length,
    "a place where nothing can be written": a_place_where_nothing_can_be_written,
    "http crashes when it writes": crashing("web.client", "Write", 0.5, "RuntimeError"),
    "http crashes when it reads": crashing("web.client", "Fetch List Ask AskCached", 0.1, "ValueError"),
    "pgvector crashes when it searches": crashing("surfaces.pgvector", "Search Fetch", 0.5, "KeyError"),
    "http crashes when it deletes": crashing("web.client", "Delete", 0.5, "OSError"),
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as running:
        yield running


@pytest.mark.parametrize("name", FAILURES)
def test_nothing_sensitive_is_said_of_a_failure(
    name: str, stack: Stack, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if FAILURES[name] is a_server_that_dies:
        own = running_stack()
        stack = own.__enter__()
        request.addfinalizer(lambda: own.__exit__(None, None, None))
    lab = Lab(prepare(tmp_path, stack))
    (lab.wrote / "elsewhere").mkdir(parents=True)
    try:
        FAILURES[name](lab)
    finally:
        if FAILURES[name] is not a_server_that_dies:
            with psycopg.connect(stack.admin_dsn) as admin:
                admin.execute("DELETE FROM documents")
    said = "".join(path.read_text() for path in (lab.wrote / "said").iterdir())
    assert said
    assert "Traceback" not in said
    assert lab.found() == []


# The search itself: whatever is planted on purpose is found.

DRAW = random.Random(20261124)
SECRETS = {
    "marker": b"Brindleford Kestrel Harbour Lantern",
    "decoy": b"sk-test-9b1F/Qz+7a==",
    "location": b"0b6f2c1e-6a4e-4d55-9f0a-3f1f3a4b5c6d",
    "token": b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl",
    "password": b"p4ss w\xc3\xb6rd/with?signs&more",
    "private key": DRAW.randbytes(138),
    "manifest key": DRAW.randbytes(32),
}
SHORT = Secret("location", "short", b"4711")
ALL = [Secret(kind, "planted", value) for kind, value in SECRETS.items()]

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda value: value,
    "other case": bytes.swapcase,
    "hex": lambda value: value.hex().encode(),
    "HEX": lambda value: value.hex().upper().encode(),
    "URL": lambda value: quote(value, safe="").encode(),
    "url, every character": lambda value: "".join(f"%{byte:02x}" for byte in value).encode(),
    "URL, every character": lambda value: "".join(f"%{byte:02X}" for byte in value).encode(),
    "base64": lambda value: base64.b64encode(value),
    "base64 after one": lambda value: base64.b64encode(b"x" + value + b"y"),
    "base64 after two": lambda value: base64.b64encode(b"xy" + value + b"z"),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(b"xyz" + value),
}


def pdf(text: str, *, title: str = "") -> bytes:
    data = io.BytesIO()
    page = Canvas(data)
    page.setTitle(title)
    for number, start_at in enumerate(range(0, len(text), 60)):
        page.drawString(40, 800 - 14 * number, text[start_at : start_at + 60])
    page.save()
    return data.getvalue()


def zipped(name: str, data: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("README.txt", "x" * 1000)
        members.writestr(name, data)
    return archive.getvalue()


def payload(text: str) -> bytes:
    return json.dumps({"payload": base64.b64encode(json.dumps({"a": ["b", f"at {text}."]}).encode()).decode()}).encode()


Plant = Callable[[Path, str], object]
PLACES: dict[str, Plant] = {
    "log": lambda folder, text: (folder / "stderr.txt").write_text(f"info: sectum: about {text}, done\n"),
    "table": lambda folder, text: (folder / "stdout.txt").write_text(f"row  {text[:7]}\n     {text[7:]}\n"),
    "JSON": lambda folder, text: (folder / "run.json").write_text(json.dumps({"rows": [{"x": text}]})),
    "key of JSON": lambda folder, text: (folder / "run.json").write_text(json.dumps({"rows": [{text: 1}]})),
    "lines of JSON": lambda folder, text: (folder / "a.jsonl").write_text('{"a":1}\n' + json.dumps([text]) + "\n"),
    "file without a suffix": lambda folder, text: (folder / "ab12").write_bytes(b"\x00\xff" + text.encode("latin-1")),
    "envelope": lambda folder, text: (folder / "000001.json").write_bytes(payload(text)),
    "zip": lambda folder, text: (folder / "a.zip").write_bytes(zipped("run.json", text.encode("latin-1"))),
    "envelope in a zip": lambda folder, text: (folder / "a.zip").write_bytes(zipped("a.json", payload(text))),
    "PDF": lambda folder, text: (folder / "report.pdf").write_bytes(pdf(text)),
    "PDF in a zip": lambda folder, text: (folder / "a.zip").write_bytes(zipped("report.pdf", pdf(text))),
    "title of a PDF": lambda folder, text: (folder / "report.pdf").write_bytes(pdf("nothing", title=text)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_the_search_finds_every_secret_that_is_planted_on_purpose(place: str, form: str, tmp_path: Path) -> None:
    search = Search([*ALL, SHORT])
    for kind, value in SECRETS.items():
        text = FORMS[form](value).decode("latin-1")
        if not text.isascii() and place not in ("file without a suffix", "zip"):
            continue  # raw bytes do not stand in texts as they are
        folder = tmp_path / kind
        (folder / "deep").mkdir(parents=True)
        assert search.folder(folder) == []
        PLACES[place](folder / "deep", text)
        assert {found.kind for found in search.folder(folder)} == {kind}, (kind, place, form)


@pytest.mark.parametrize("form", ["plain", "hex", "URL", "base64 for URLs"])
@pytest.mark.parametrize("kind", ["marker", "location", "token"])
def test_the_search_looks_at_names_too(kind: str, form: str, tmp_path: Path) -> None:
    name = FORMS[form](SECRETS[kind]).decode()
    (tmp_path / name).write_text("nothing")
    (tmp_path / "a.zip").write_bytes(zipped(name, b"nothing"))
    places = {found.place for found in Search(ALL).folder(tmp_path)}
    assert any(place.startswith(name) for place in places)
    assert any(place.startswith("a.zip!") for place in places)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"id": "4711"}', True),
        ('{"ids": ["a", 4711]}', True),
        ('{"a": 1}\n{"id": "4711"}\n', True),
        ("GET /v1/documents/4711 404", True),
        ("GET /v1/documents/4711?x=1", True),
        ("GET /v1/documents/47110", False),
        ('{"digest": "ab4711cd"}', False),
        ("done in 4711 ms", False),
    ],
)
def test_a_short_location_counts_as_a_whole_value_or_in_its_path(text: str, found: bool) -> None:
    assert bool(Search([SHORT]).data("a", text.encode())) is found
