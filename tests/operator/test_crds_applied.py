"""A real API server takes the CRDs and every good object, and refuses what is wrong with the field's name."""

import copy
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sectum.scenario import parse
from sectum_operator.definitions import GROUP, KINDS, VERSION

from tests.operator import samples
from tests.operator.bad_objects import Bad, changed, generated
from tests.operator.control_plane import assets, running
from tests.operator.senseless import senseless
from tests.operator.test_crds import nodes

ROOT = Path(__file__).parents[2]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = f"/apis/{GROUP}/{VERSION}/namespaces/default"
STRICT = {"fieldValidation": "Strict"}
pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An API server that knows our kinds."""
    with running(tmp_path_factory.mktemp("control-plane")) as client:
        for path in sorted((ROOT / "crds").iterdir()):
            answer = client.post(CRDS, params=STRICT, json=yaml.safe_load(path.read_text()))
            assert answer.status_code == httpx.codes.CREATED, f"{path.name}: {answer.text[:4000]}"
            assert "warning" not in answer.headers
        for kind in KINDS:
            _await_established(client, kind.plural)
        yield client


def _await_established(client: httpx.Client, plural: str) -> None:
    for _ in range(200):
        conditions = {
            each["type"]: each
            for each in client.get(f"{CRDS}/{plural}.{GROUP}").json().get("status", {}).get("conditions") or ()
        }
        assert conditions.get("NonStructuralSchema", {}).get("status") != "True"
        served = client.get(f"{OBJECTS}/{plural}").status_code == httpx.codes.OK
        if served and conditions.get("Established", {}).get("status") == "True":
            return
        time.sleep(0.05)
    raise AssertionError(f"{plural} was not established")


def created(client: httpx.Client, document: dict[str, Any], *, dry: bool = False) -> httpx.Response:
    [plural] = [kind.plural for kind in KINDS if kind.kind == document["kind"]]
    return client.post(f"{OBJECTS}/{plural}", params=STRICT | ({"dryRun": "All"} if dry else {}), json=document)


def schema(kind: str) -> dict[str, Any]:
    [plural] = [each.plural for each in KINDS if each.kind == kind]
    document = yaml.safe_load((ROOT / "crds" / f"{GROUP}_{plural}.yaml").read_text())
    made: dict[str, Any] = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return made


SCENARIOS = {"the example": samples.quickstart(), "a full one": samples.scenario(), "a sparse one": samples.sparse(),
             "one with a local key": samples.with_local_key()}  # fmt: skip
GOOD = {**SCENARIOS, "a run": samples.run(), "a pack": samples.pack()}


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD)
def test_a_good_object_is_taken(server: httpx.Client, document: dict[str, Any]) -> None:
    answer = created(server, document, dry=True)
    assert answer.status_code == httpx.codes.CREATED, answer.text


@pytest.mark.parametrize("document", SCENARIOS.values(), ids=SCENARIOS)
def test_what_the_server_stores_with_its_defaults_is_the_scenario_that_a_local_run_reads(
    server: httpx.Client, document: dict[str, Any]
) -> None:
    stored = created(server, document, dry=True).json()
    assert parse({**document, "spec": stored["spec"]}) == parse(document)


def test_the_smallest_run_gets_its_defaults(server: httpx.Client) -> None:
    smallest = {**samples.run(), "spec": {"scenarioRef": {"name": "quickstart"}}}
    stored = created(server, smallest, dry=True).json()
    assert stored["spec"] == {
        "scenarioRef": {"name": "quickstart"}, "timeout": "6h", "cancel": False, "suspend": False,
    }  # fmt: skip


def rules() -> Iterator[dict[str, str]]:
    """Every CEL rule of every kind."""
    for kind in KINDS:
        for _, node in nodes(schema(kind.kind)):
            yield from node.get("x-kubernetes-validations", ())


def refused(answer: httpx.Response, bad: Bad) -> str | None:
    """None for a refusal that names the field; else what came instead."""
    if answer.status_code not in (httpx.codes.UNPROCESSABLE_ENTITY, httpx.codes.BAD_REQUEST):
        return f"{bad.why} at {bad.field}: {answer.status_code}"
    named = answer.json()["message"]
    # Not a longer field of which it is the beginning.
    return None if re.search(rf"{re.escape(bad.field)}(?!\w)", named) else f"{bad.why} at {bad.field}: {named[:300]}"


def test_hundreds_of_bad_objects_are_refused_with_the_field_that_is_wrong(server: httpx.Client) -> None:
    bad = list(senseless())
    for document in (samples.scenario(), samples.run(), samples.pack()):
        without_status = {key: value for key, value in document.items() if key != "status"}
        bad += generated(without_status, schema(document["kind"]))
    local = generated(samples.with_local_key(), schema("IsolationScenario"))
    bad += [each for each in local if each.field.startswith("spec.manifest")]
    answers = [(created(server, each.document, dry=True), each) for each in bad]
    assert [fault for fault in (refused(answer, each) for answer, each in answers) if fault] == []
    messages = "\n".join(answer.json()["message"] for answer, _ in answers)
    said = [rule["message"] for rule in rules() if rule["message"] in messages]
    assert {rule["message"] for rule in rules() if "oldSelf" not in rule["rule"]} - set(said) == set()
    assert len(bad) >= 500


def test_a_good_object_is_not_taken_for_a_refusal(server: httpx.Client) -> None:
    assert refused(created(server, samples.run(), dry=True), Bad("nothing", "spec", samples.run()))


@pytest.fixture
def stored(server: httpx.Client) -> Iterator[dict[str, dict[str, Any]]]:
    """One object of each kind in the server, by its kind."""
    made = {
        answer["kind"]: answer
        for answer in (created(server, each).json() for each in (samples.scenario(), samples.run(), samples.pack()))
    }
    yield made
    for kind in KINDS:
        server.delete(f"{OBJECTS}/{kind.plural}")


def put(client: httpx.Client, document: dict[str, Any], *, status: bool = False) -> httpx.Response:
    [plural] = [kind.plural for kind in KINDS if kind.kind == document["kind"]]
    path = f"{OBJECTS}/{plural}/{document['metadata']['name']}" + ("/status" if status else "")
    return client.put(path, params=STRICT, json=document)


CHANGES: list[tuple[str, str, Any]] = [
    ("VerificationRun", "scenarioRef", {"name": "another"}),
    ("VerificationRun", "subset", {"surfaces": ["vectors"]}),
    ("VerificationRun", "timeout", "91m"),
    ("EvidencePack", "runRef", {"name": "another", "uid": samples.UID}),
    ("EvidencePack", "scenarioRef", {"name": "another", "uid": samples.OTHER_UID, "generation": 3}),
    ("EvidencePack", "digests", {"pack": "00" * 32, "run": "cd" * 32}),
    ("EvidencePack", "uri", "s3://elsewhere/1.zip"),
]


@pytest.mark.parametrize(("kind", "field", "value"), CHANGES)
def test_what_may_not_change_does_not(
    server: httpx.Client, stored: dict[str, dict[str, Any]], kind: str, field: str, value: Any
) -> None:
    document = changed(stored[kind], ("spec", field), value)
    bad = Bad("changed", f"spec.{field}", document)
    assert refused(put(server, document), bad) is None
    assert refused(put(server, stored[kind]), replace(bad, why="unchanged"))


def test_a_subset_is_neither_taken_away_nor_added(server: httpx.Client, stored: dict[str, dict[str, Any]]) -> None:
    whole = copy.deepcopy(stored["VerificationRun"])
    subset = whole["spec"].pop("subset")
    assert refused(put(server, whole), Bad("taken away", "spec.subset", whole)) is None
    server.delete(f"{OBJECTS}/verificationruns/{whole['metadata']['name']}")
    fresh = {**samples.run(), "spec": {"scenarioRef": {"name": "quickstart"}}}
    narrowed = changed(created(server, fresh).json(), ("spec", "subset"), subset)
    assert refused(put(server, narrowed), Bad("added", "spec.subset", narrowed)) is None


def test_a_run_is_suspended_and_resumed_and_cancelled_for_good(
    server: httpx.Client, stored: dict[str, dict[str, Any]]
) -> None:
    document = stored["VerificationRun"]
    for field, value in (("suspend", True), ("suspend", False), ("cancel", True)):
        answer = put(server, changed(document, ("spec", field), value))
        assert answer.status_code == httpx.codes.OK, answer.text
        document = answer.json()
    again = changed(document, ("spec", "cancel"), False)
    assert refused(put(server, again), Bad("taken back", "spec.cancel", again)) is None


def test_a_status_is_written_apart_from_the_spec_and_held_to_its_schema(
    server: httpx.Client, stored: dict[str, dict[str, Any]]
) -> None:
    statuses = {"IsolationScenario": samples.scenario_status(), "VerificationRun": samples.run()["status"],
                "EvidencePack": samples.pack()["status"]}  # fmt: skip
    count = 0
    for kind, document in stored.items():
        assert "status" not in document
        answer = put(server, {**document, "status": statuses[kind]}, status=True)
        assert answer.json().get("status") == statuses[kind], answer.text
        bad = [each for each in generated(answer.json(), schema(kind)) if each.field.startswith("status")]
        count += len(bad)
        assert [each for each in (refused(put(server, bad_.document, status=True), bad_) for bad_ in bad) if each] == []
    assert count >= 150


def test_objects_are_found_by_the_fields_that_are_selectable(
    server: httpx.Client, stored: dict[str, dict[str, Any]]
) -> None:
    for plural, selector in (("verificationruns", "spec.scenarioRef.name"), ("evidencepacks", "spec.runRef.name")):
        sizes = []
        for value in ("quickstart" if plural == "verificationruns" else "nightly-1", "another"):
            answer = server.get(f"{OBJECTS}/{plural}", params={"fieldSelector": f"{selector}={value}"})
            sizes.append(len(answer.json()["items"]))
        assert sizes == [1, 0]


def test_a_listing_shows_the_verdict_first(server: httpx.Client, stored: dict[str, dict[str, Any]]) -> None:
    put(server, {**stored["VerificationRun"], "status": samples.run()["status"]}, status=True)
    table = server.get(
        f"{OBJECTS}/verificationruns", headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    ).json()
    names = [column["name"] for column in table["columnDefinitions"]]
    assert (names[:3], names[-1]) == (["Name", "Verdict", "Phase"], "Age")
    assert table["rows"][0]["cells"][1:4] == ["Leak", "Complete", "quickstart"]


def test_kubectl_explains_every_field(server: httpx.Client, tmp_path: Path) -> None:
    kubectl = str(assets() / "kubectl") if (assets() / "kubectl").exists() else shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl beside the API server's binary and none on PATH")
    token = server.headers["Authorization"].removeprefix("Bearer ")
    access = ["--server", str(server.base_url), "--token", token, "--insecure-skip-tls-verify"]
    for kind in KINDS:
        shown = subprocess.run(
            [kubectl, *access, "explain", kind.plural, "--recursive"],
            env={"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=30, check=True,
        ).stdout  # fmt: skip
        assert "<empty>" not in shown
        assert "  spec\t<Object> -required-" in shown
