"""`sectum is-ours`: what tripped an alarm is told from what did not, and the answer shows nothing that is secret."""

import asyncio
import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from click.testing import CliRunner, Result
from sectum import catalog
from sectum.alarm import About, Alarm, Answer, Judged, OpenKey, What, answer, judge
from sectum.cli.app import app
from sectum.codec import sha256
from sectum.endpoints import HOST_FIELDS, endpoints
from sectum.errors import SealBroken
from sectum.keys.unsafe_local import UnsafeLocalKey
from sectum.manifest import Manifest, unseal
from sectum.ports import KeyWrapper, Store
from sectum.records import Stage, place, sign_record
from sectum.run import Run
from sectum.scenario import load
from sectum.store import local_store

from tests import runs
from tests.notes_app import notes_scenario, running_notes_app, write_secrets


class Kept:
    """A folder with one finished local run, its secrets beside it."""

    def __init__(self, folder: Path, requests: tuple[str, ...]) -> None:
        self.folder, self.out = folder, folder / "out"
        self.requests = requests
        """What the surface was asked."""

    def __call__(self, alarm: str | bytes, *words: str, secrets: str = "secrets", out: str = "out") -> Result:
        where = ["--out", str(self.folder / out), "--secrets", str(self.folder / secrets)]
        return CliRunner().invoke(app, ["is-ours", *where, *words], input=alarm, prog_name="sectum")

    def json(self, alarm: str | bytes, *words: str, **where: str) -> dict[str, Any]:
        result = self(alarm, "-o", "json", *words, **where)
        document: dict[str, Any] = json.loads(result.stdout)
        assert result.exit_code == document["exitStatus"]
        return document

    @property
    def manifest(self) -> Manifest:
        [sealed] = (self.out / "manifests").iterdir()
        key = (self.folder / "secrets" / "sectum-key-manifest" / "key").read_bytes()
        return unseal(sealed.read_bytes(), UnsafeLocalKey(key))[0]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("alarm")
    with running_notes_app() as notes:
        scenario = notes_scenario(notes.url, attacks=("boundary-fetch",))
        (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario, sort_keys=False))
        write_secrets(folder / "secrets", notes)
        for words in (["keygen"], ["run", "--out", str(folder / "out"), "--quiet"]):
            result = CliRunner().invoke(app, [*words, "-f", str(folder / "scenario.yaml")], prog_name="sectum")
            assert result.exit_code == 0, result.output
    (folder / "no-secrets").mkdir()
    return Kept(folder, tuple(notes.requests))


def _in_a_log(text: str) -> str:
    return f'2026-11-25 rule=DLP-7 user="x" request="GET /v1/find?q={quote(text)}" status=200'


FORMS: dict[str, Callable[[str], str]] = {
    "whole": str,
    "in a log line": _in_a_log,
    "base64": lambda text: base64.b64encode(b"..." + text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "upper case": str.upper,
    "backwards": lambda text: text[::-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_marker_and_decoy_is_ours_in_every_form_and_is_not_shown(kept: Kept, form: str) -> None:
    for marker in kept.manifest.markers[:3] + kept.manifest.decoys[:3]:
        result = kept(FORMS[form](marker.plaintext))
        assert (result.exit_code, result.stderr) == (0, "")
        assert marker.id in result.stdout
        assert "ours: it holds what only a run has (1 runs looked at)" in result.stdout
        shown = kept(FORMS[form](marker.plaintext), "-o", "json").stdout
        for each in (result.stdout, shown):
            assert marker.plaintext.casefold() not in each.casefold()


def test_what_matched_is_named_by_its_marker_with_the_run_its_times_and_who_can_confirm(kept: Kept) -> None:
    marker = kept.manifest.markers[0]
    document = kept.json(base64.b64encode(marker.plaintext.encode()).decode())
    [run] = document["runs"]
    assert (document["answer"], run["answer"], run["notLookedAt"]) == ("ours", "ours", [])
    assert run["matches"] == [{"what": "marker", "id": marker.id, "sure": True, "form": ["base64"]}]
    assert (run["run"], run["scenario"], run["outcome"]) == (kept.manifest.run, "notes", "Pass")
    assert run["started"] < run["ended"]
    assert run["key"].startswith("unsafe-local-key:")
    assert kept("nothing", "-o", "name").stdout == ""
    assert kept(marker.plaintext, "-o", "name").stdout == f"{kept.manifest.run}\n"


@pytest.mark.parametrize(
    "alarm",
    [
        "2026-11-25 rule=DLP-7 request=GET /v1/documents/9f0c2b1e-1d7a-4c55-9b1f-0d6c3d0c9a11 status=403",
        "DE89370400440532013000 ZZ0012345678",
        "q7xk" * 400,
        "403 from http://127.0.0.1, the system that all alarms are about",
    ],
)
def test_what_no_run_has_is_not_ours_with_a_status_of_its_own(kept: Kept, alarm: str) -> None:
    result = kept(alarm)
    assert (result.exit_code, result.stderr) == (13, "")
    assert result.stdout == "not ours: nothing of these runs is in it (1 runs looked at)\n"


def test_a_location_that_sectum_drew_is_ours(kept: Kept) -> None:
    asked = kept.manifest.decoys[0]
    document = kept.json(f"GET /v1/documents/{asked.wanted.upper()}?x=1 404")
    assert document["answer"] == "ours"
    assert document["runs"][0]["matches"] == [{"what": "location", "id": asked.id, "sure": True, "form": []}]
    assert kept.json(asked.wanted.replace("-", ""))["answer"] == "ours"
    assert kept.json(asked.wanted + "0")["answer"] == "not-ours"
    assert kept.json("0" + asked.wanted)["answer"] == "not-ours"
    assert kept.json(asked.wanted[:-1])["answer"] == "not-ours"
    assert asked.wanted not in kept(asked.wanted).output


def test_a_location_that_the_surface_gave_fits_for_the_surface_may_say_what_it_likes(kept: Kept) -> None:
    given = next(line.rsplit("/", 1)[1] for line in kept.requests if line.startswith("DELETE "))
    document = kept.json(f"GET /v1/documents/{given} 200")
    assert document["answer"] == "unknown"
    assert [(each["what"], each["sure"]) for each in document["runs"][0]["matches"]] == [("location", False)]
    assert given not in kept(given).output


@pytest.mark.parametrize(
    ("alarm", "what"),
    [("login of acme from 10.0.0.1", "name"), ("user=ann", "name"), ("acme%2Fx to 127.0.0.1", "name")],
)
def test_names_of_the_scenario_fit_and_prove_nothing(kept: Kept, alarm: str, what: str) -> None:
    document = kept.json(alarm)
    assert document["answer"] == "unknown"
    assert {(each["what"], each["sure"]) for each in document["runs"][0]["matches"]} == {(what, False)}


def test_a_topic_fits_and_is_not_shown(kept: Kept) -> None:
    topic = kept.manifest.markers[0].topic
    result = kept(f"shared: 'Reference for the {topic.title()}'")
    assert result.exit_code == 11
    assert "topic" in result.stdout
    assert topic not in result.stdout


@pytest.mark.parametrize("account", ["acme/ann", "ANN@acme", "globex_ben", "a\nacme.ann\n"])
def test_a_synthetic_account_is_ours_however_it_is_written(kept: Kept, account: str) -> None:
    document = kept.json(account, "--as", "account")
    assert document["answer"] == "ours"
    assert {each["what"] for each in document["runs"][0]["matches"] if each["sure"]} == {"account"}


@pytest.mark.parametrize(
    ("account", "expected"), [("ann", "unknown"), ("acme/eve", "unknown"), ("eve@corp.example", "not-ours")]
)
def test_half_an_account_is_no_account(kept: Kept, account: str, expected: str) -> None:
    assert kept.json(account, "--as", "account")["answer"] == expected


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1:1234", "http://127.0.0.1/x", "[::1]:80", "::1", "nobody"])
def test_an_address_is_never_said_to_be_ours_or_not(kept: Kept, address: str) -> None:
    document = kept.json(address, "--as", "address")
    [run] = document["runs"]
    assert document["answer"] == "unknown"
    assert "not recorded" in run["notLookedAt"][0]
    assert [each["what"] for each in run["matches"]] == ["destination"] * ("127.0.0.1" in address)


def test_without_the_key_nothing_is_sure_and_nothing_is_ruled_out(kept: Kept) -> None:
    marker = kept.manifest.markers[0]
    guessed = [kept.json(text, secrets="no-secrets") for text in (marker.plaintext, marker.wanted, "nothing at all")]
    assert guessed[0] == guessed[1] == guessed[2]  # no oracle
    assert guessed[0]["answer"] == "unknown"
    for alarm, words in ((kept.manifest.run, []), ("acme/ann", ["--as", "account"])):
        [run] = kept.json(alarm, *words, secrets="no-secrets")["runs"]
        assert run["answer"] == "unknown"
        assert run["matches"]
        assert not any(each["sure"] for each in run["matches"])
        assert "does not open: secretRef sectum-key-manifest/key" in run["notLookedAt"][0]


def test_a_manifest_that_was_changed_or_is_missing_rules_nothing_out(kept: Kept) -> None:
    run = kept.manifest.run
    changes: dict[str, Callable[[Path], Any]] = {
        "renamed": lambda sealed: sealed.rename(sealed.with_name(f"{runs.RUN_ID}.sealed.json")),
        "missing": Path.unlink,
        "none": lambda sealed: sealed.write_bytes(b"[]"),
        "changed": lambda sealed: sealed.write_bytes(sealed.read_bytes().replace(b'"acme"', b'"acne"')),
    }
    for name, change in changes.items():
        out = kept.folder / f"out-{name}"
        shutil.copytree(kept.out, out)
        change(out / "manifests" / f"{run}.sealed.json")
        document = kept.json("nothing at all", out=f"out-{name}")
        assert document["answer"] == "unknown", name
        assert all(each["notLookedAt"] for each in document["runs"]), name


def test_records_that_are_gone_leave_ids_unknown_and_markers_ours(kept: Kept) -> None:
    out = kept.folder / "out-swept"
    shutil.copytree(kept.out, out)
    shutil.rmtree(out / "work")
    document = kept.json("nothing at all", out="out-swept")
    assert document["answer"] == "unknown"
    assert "api: its records are gone" in document["runs"][0]["notLookedAt"][0]
    assert kept.json(kept.manifest.markers[0].plaintext, out="out-swept")["answer"] == "ours"


def test_runs_that_are_not_there_rule_nothing_out(kept: Kept) -> None:
    (kept.folder / "empty").mkdir()
    assert kept("nothing at all", out="empty").exit_code == 11
    other = "01976f3a-5c00-7abc-8def-0123456789ab"
    document = kept.json("nothing at all", "--run", other)
    assert [(each["run"], each["answer"]) for each in document["runs"]] == [(other, "unknown")]
    assert kept.json("nothing at all", "--run", kept.manifest.run)["answer"] == "not-ours"


def test_the_text_is_never_taken_from_the_command_line_nor_repeated(kept: Kept) -> None:
    marker = kept.manifest.markers[0].plaintext
    result = kept("", marker)
    assert (result.exit_code, result.stdout) == (2, "")
    assert marker not in result.stderr
    assert kept(" \n").exit_code == 2
    assert kept("a" * (1 << 20) + "a").exit_code == 2
    file = kept.folder / "alarm.txt"
    file.write_text(marker)
    assert kept("", str(file)).exit_code == 0
    assert kept(b"\xff\xfe" + marker.encode() + b"\xff").exit_code == 0


@pytest.mark.parametrize("words", [[], ["--out", "x", "-f", "y"], ["-f", "-"]])
def test_it_wants_to_know_where_the_runs_are(words: list[str]) -> None:
    assert CliRunner().invoke(app, ["is-ours", *words], input="x", prog_name="sectum").exit_code == 2


def _sample(folder: Path, *, pod: str | None = None) -> tuple[runs.Sample, Any]:
    sample = runs.sample()
    store = local_store(folder)
    (folder / "manifests").mkdir()
    (folder / "manifests" / f"{runs.RUN_ID}.sealed.json").write_bytes(sample.sealed)
    for data in sample.records.values():
        record = replace(runs.read_record(data, sample.manifest.public_key()), previous=None, pod=pod)
        signed = sign_record(record, sample.manifest.run_key)
        path = folder / place(record.run, record.stage, record.surface, record.attempt)
        path.mkdir(parents=True, exist_ok=True)
        (path / sha256(signed)).write_bytes(signed)
    return sample, store


def look(alarm: Alarm, store: Store, open_key: OpenKey) -> list[Judged]:
    return asyncio.run(judge(alarm, store=store, work=store, open_key=open_key))


POD = "5f0c2b1e-1d7a-4c55-9b1f-0d6c3d0c9a11"


def test_the_uid_of_a_runs_pod_is_ours_and_only_as_the_runs_key_signed_it(tmp_path: Path) -> None:
    sample, store = _sample(tmp_path, pod=POD)
    [judged] = look(Alarm(f"pod {POD}", About.TEXT), store, lambda _: sample.wrapper)
    assert {(each.what, each.id) for each in judged.matches} == {(What.POD, "api"), (What.POD, "semantic-cache")}
    forged = tmp_path / place(runs.RUN_ID, str(Stage.PROBE), "api", 9)
    forged.mkdir(parents=True)
    [start] = [data for name, data in sample.records.items() if name.startswith("probe-api-1-000000-start")]
    other = runs.sample(origin_seed=8).manifest.run_key
    data = sign_record(replace(runs.read_record(start, sample.manifest.public_key()), pod=POD[::-1]), other)
    (forged / sha256(data)).write_bytes(data)
    alarm = Alarm(f"pod {POD[::-1]}", About.TEXT)
    [judged] = look(alarm, store, lambda _: sample.wrapper)
    assert judged.answer == Answer.NOT_OURS


def test_a_run_that_was_opened_and_has_no_manifest_yet_rules_nothing_out(tmp_path: Path) -> None:
    sample, store = _sample(tmp_path)
    (tmp_path / "series" / "ns" / "sample").mkdir(parents=True)
    (tmp_path / "series" / "ns" / "sample" / "000001.json").write_bytes(sample.open_record)
    (tmp_path / "series" / "notes.txt").write_bytes(b"not of the series")
    (tmp_path / "manifests" / f"{runs.RUN_ID}.sealed.json").unlink()
    judged = look(Alarm("x", About.TEXT), store, lambda _: sample.wrapper)
    assert [(each.run, each.told.started, each.answer) for each in judged] == [
        (runs.RUN_ID, runs.STARTED, Answer.UNKNOWN)
    ]


def test_a_key_that_is_refused_leaves_it_unknown(tmp_path: Path) -> None:
    _, store = _sample(tmp_path)

    def refuse(_about: Run) -> KeyWrapper:
        raise SealBroken("another key")

    judged = look(Alarm(runs.RUN_ID, About.TEXT), store, refuse)
    assert answer(judged) == Answer.UNKNOWN


def test_every_adapter_says_which_server_it_reaches() -> None:
    scenario = load((Path(__file__).parents[2] / "examples" / "quickstart" / "scenario.yaml").read_text())
    for adapter in catalog.adapters().values():
        assert set(HOST_FIELDS) & set(adapter.spec.model_fields), adapter.name
    found = list(endpoints(scenario))
    assert {(each.backend, each.host, each.port) for each in found} >= {
        ("pgvector", "127.0.0.1", 8766),
        ("http", "127.0.0.1", 8765),
        ("unsafeLocalKey", "", None),
    }
