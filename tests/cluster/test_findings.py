"""What the operator found in the demo's leaky stack is what `sectum run` finds there, row by row."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.demo import KUBECONFIG, RUNS, Demo, demo_cluster
from tests.cluster.scenarios import whole

pytestmark = pytest.mark.timeout(600)
IN_CLUSTER = "http://assistant.demo-leaky:8080"
LEAK = 10
MAY_DIFFER = {
    "entity-bleed": "what a search finds of another's document hangs on the names that markers happen to have",
    "semantic-cache": "which question hits another's cached answer hangs on what was asked before it, in random order",
    "memory-contamination": "what is recalled by a cue hangs on the ranking of all memories",
    "tool-hijack by crosstalk": "two requests have to meet in the server, which a busy machine may keep from them",
    "tool-hijack by same-id": "likewise",
}
"""Attacks, or ways of them, of which single rows may differ between two runs of the same system, and why."""


@pytest.fixture(scope="module")
def demo() -> Demo:
    return demo_cluster()


@pytest.fixture(scope="module")
def of_operator(demo: Demo) -> dict[str, Any]:
    """run.json of the pack that `make demo-cluster` has fetched."""
    packs = (KUBECONFIG.parent / "packs").glob("leaky-demo*.zip")  # with its UID where an EvidencePack had the name
    return run_json(max(packs, key=lambda each: each.stat().st_mtime))


@pytest.fixture(scope="module")
def of_sectum(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """That of `sectum run` on this machine, against the same stack by a forwarded port."""
    folder = tmp_path_factory.mktemp("local")
    with demo.kube.forwarded("service/assistant", "demo-leaky", 8080) as port:
        scenario = folder / "scenario.yaml"
        scenario.write_text(local(f"http://127.0.0.1:{port}"))
        keep_secrets(demo, yaml.safe_load(scenario.read_text()), folder / "secrets")
        sectum = [sys.executable, "-m", "sectum"]
        subprocess.run([*sectum, "keygen", "-f", str(scenario)], check=True, capture_output=True, timeout=60)
        command = [*sectum, "run", "-f", str(scenario), "--out", str(folder / "out"), "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == LEAK, done.stderr
    [pack] = (folder / "out" / "packs").glob("*.zip")
    return run_json(pack)


def local(origin: str) -> str:
    """The demo's scenario with the stack where this machine reaches it, and without what is only for clusters."""
    scenario = whole("leaky")
    spec = scenario["spec"]
    for surface in spec["surfaces"]:
        del surface["egress"]
    spec["manifest"] = {"key": {"unsafeLocalKey": {"secretRef": {"name": "sectum-key-manifest", "key": "key"}}}}
    spec["evidence"] = {key: spec["evidence"][key] for key in ("signer", "formats")}
    return yaml.safe_dump(scenario).replace(IN_CLUSTER, origin)


def keep_secrets(demo: Demo, scenario: dict[str, Any], folder: Path) -> None:
    """Those that the surfaces name, as `sectum run` reads them."""
    names = [surface["credentials"]["secretRef"]["name"] for surface in scenario["spec"]["surfaces"]]
    for name in [*names, "sectum-surface-tools-issuer-leaky"]:
        (folder / name).mkdir(parents=True, mode=0o700)
        for key, value in demo.kube.secret(RUNS, name).items():
            path = folder / name / key
            path.touch(mode=0o600)
            path.write_bytes(value)


def run_json(pack: Path) -> dict[str, Any]:
    with zipfile.ZipFile(pack) as archive:
        found: dict[str, Any] = json.loads(archive.read("run.json"))
    return found


def outcomes(run: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Slot id -> surface, attack, phrasing, outcome and why."""
    told = ("surface", "attack", "phrasing", "outcome", "reason")
    return {row["slot"]: tuple(str(row[name]) for name in told) for row in run["rows"]}


def ways(row: tuple[str, ...]) -> set[str]:
    """What MAY_DIFFER may call it."""
    return {row[1], f"{row[1]} by {row[2]}"}


def test_the_same_slots_are_tried_and_what_must_not_differ_does_not(
    of_operator: dict[str, Any], of_sectum: dict[str, Any]
) -> None:
    mine, theirs = outcomes(of_operator), outcomes(of_sectum)
    assert mine.keys() == theirs.keys()
    differ = {slot: (mine[slot], theirs[slot]) for slot in mine if mine[slot] != theirs[slot]}
    assert {slot: each for slot, each in differ.items() if MAY_DIFFER.keys().isdisjoint(ways(each[0]))} == {}
    assert len(differ) <= len(mine) // 20, differ


def test_the_same_surfaces_leak_by_the_same_attacks(of_operator: dict[str, Any], of_sectum: dict[str, Any]) -> None:
    assert leaking(of_operator) == leaking(of_sectum) != set()


def leaking(run: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Surface, attack and between whom."""
    return {(each["surface"], each["attack"], each["askerKind"]) for each in run["findings"]}
