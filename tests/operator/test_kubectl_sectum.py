"""`kubectl sectum` by a real kubectl against a real API server; the statuses say what the operator would."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.operator import samples
from tests.operator.control_plane import assets, running

ROOT = Path(__file__).parents[2]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}
pytestmark = pytest.mark.timeout(180)


@dataclass
class Cluster:
    """The API server, and `kubectl sectum` as somebody types it."""

    client: httpx.Client
    folder: Path

    def __call__(self, *words: str, user: str = "tester") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", "sectum", *words], capture_output=True, text=True, env=self.environment(user), timeout=120
        )

    def environment(self, user: str = "tester") -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), str(assets()), os.environ["PATH"]])
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig(user))}

    def kubeconfig(self, user: str) -> Path:
        path = self.folder / f"{user}.kubeconfig"
        token = self.client.headers["Authorization"].split()[1]
        certificate = str(self.folder / "certificates" / "apiserver.crt")
        impersonated = {} if user == "tester" else {"as": user}
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": str(self.client.base_url).rstrip("/"),
                                                      "certificate-authority": certificate}}],
            "users": [{"name": user, "user": {"token": token, **impersonated}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": user}}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(document))
        return path

    def objects(self, plural: str) -> str:
        return f"/apis/sectum.ai/v1alpha1/namespaces/default/{plural}"

    def create(self, plural: str, document: dict[str, Any]) -> None:
        answer = self.client.post(self.objects(plural), json=document)
        assert answer.status_code == httpx.codes.CREATED, answer.text

    def write(self, plural: str, name: str, status: dict[str, Any]) -> None:
        url = f"{self.objects(plural)}/{name}/status"
        answer = self.client.patch(url, headers=MERGE, params={"fieldValidation": "Strict"}, json={"status": status})
        assert answer.status_code == httpx.codes.OK, answer.text


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Without the CRDs."""
    if not shutil.which("kubectl", path=str(assets())):
        pytest.skip("NOT TESTED with a real kubectl: KUBEBUILDER_ASSETS has none; setup-envtest brings one")
    folder = tmp_path_factory.mktemp("control-plane")
    with running(folder) as client:
        yield Cluster(client, folder)


@pytest.fixture(scope="module")
def cluster(bare: Cluster) -> Cluster:
    """With the CRDs and a scenario."""
    said = bare("status")
    assert (said.returncode, said.stdout) == (1, "")
    assert "the cluster has no resource isolationscenarios.sectum.ai" in said.stderr
    assert "install Sectum's chart" in said.stderr
    for path in sorted((ROOT / "crds").iterdir()):
        bare.client.post(CRDS, json=yaml.safe_load(path.read_text())).raise_for_status()
    for plural in ("isolationscenarios", "verificationruns", "evidencepacks"):
        for _ in range(200):
            if bare.client.get(bare.objects(plural)).status_code == httpx.codes.OK:
                break
            time.sleep(0.05)
    bare.create("isolationscenarios", samples.quickstart())
    return bare


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {**samples.CONDITION, "type": kind, "status": status, "reason": reason, "message": message}


ACCEPTED = condition("Accepted", "True", "Accepted")
GOING = [
    {"observedGeneration": 1, "phase": phase, "conditions": [ACCEPTED], "startedAt": samples.NOW,
     "surfaces": [{"name": "api", "attempts": 1}]}
    for phase in ("Preparing", "Opening", "Planting", "Probing", "Cleaning", "Assembling")
]  # fmt: skip


def verdict(name: str, counts: str) -> dict[str, Any]:
    numbers = dict(zip(("planned", "leak", "pass", "inconclusive"), map(int, counts.split()), strict=True))
    reason = {"reason": "Unreachable"} if name == "Inconclusive" else {}
    return {
        "phase": "Complete", "verdict": name, "counts": numbers, "finishedAt": samples.NOW, "pack": samples.PACK,
        "surfaces": [{"name": "api", "attempts": 1, "verdict": name, "counts": numbers, **reason}],
        "conditions": [ACCEPTED, condition("Complete", "True", name), condition("EvidenceStored", "True", "Stored")],
    }  # fmt: skip


ENDS = {
    "Pass": (verdict("Pass", "9 0 9 0"), 0, "✓ Pass"),
    "Leak": (verdict("Leak", "9 2 7 0"), 10, "✗ Leak"),
    "Inconclusive": (verdict("Inconclusive", "9 0 0 9"), 11, "there is no connection to it"),
    "failed": (
        {"phase": "Failed", "conditions": [ACCEPTED, condition("Complete", "True", "AssembleFailed", "no store")]},
        1,
        "AssembleFailed: no store",
    ),
    "not accepted": (
        {"phase": "Failed", "conditions": [condition("Accepted", "False", "ScenarioInvalid", "spec.x: is wrong")]},
        3,
        "ScenarioInvalid: spec.x: is wrong",
    ),
}


def operate(cluster: Cluster, known: set[str], last: dict[str, Any]) -> str:
    """What the operator would say of the run that turns up, a phase after another."""
    name = ""
    for _ in range(600):
        items = cluster.client.get(cluster.objects("verificationruns")).json()["items"]
        if new := {item["metadata"]["name"] for item in items} - known:
            [name] = new
            break
        time.sleep(0.05)
    for status in [*GOING, last]:
        cluster.write("verificationruns", name, status)
        time.sleep(0.4)
    return name


@pytest.mark.parametrize(("last", "status", "said"), ENDS.values(), ids=ENDS)
def test_a_run_is_made_followed_and_ends_with_its_verdict_as_exit_status(
    cluster: Cluster, last: dict[str, Any], status: int, said: str
) -> None:
    listed = cluster.client.get(cluster.objects("verificationruns")).json()["items"]
    known = {item["metadata"]["name"] for item in listed}
    with ThreadPoolExecutor() as others:
        operator = others.submit(operate, cluster, known, last)
        done = cluster("run", "quickstart", "--wait", "--surface", "api", "--timeout", "90m")
    name = operator.result()
    assert done.returncode == status, done.stderr
    assert said in done.stdout
    assert f"{name} created in namespace default" in done.stderr
    stored = cluster.client.get(f"{cluster.objects('verificationruns')}/{name}").json()
    assert stored["spec"] == {
        "scenarioRef": {"name": "quickstart"}, "subset": {"surfaces": ["api"]}, "timeout": "90m", "cancel": False,
        "suspend": False,
    }  # fmt: skip
    again = cluster("follow", name, "-o", "json")
    assert (again.returncode, json.loads(again.stdout)["exitStatus"]) == (status, status)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["run", "quickstar"], 3, "did you mean 'quickstart'?"),
        (["run", "quickstart", "-n", "nowhere"], 3, "no scenario is named 'quickstart' in namespace 'nowhere'"),
        (["run", "quickstart", "--surface", "apy"], 3, "did you mean 'api'?"),
        (["follow", "none"], 3, "no run is named 'none'"),
        (["fetch", "none"], 3, "no pack is named 'none'"),
        (["packs", "--context", "nix"], 1, "kubectl config get-contexts"),
        (["packs", "--kubeconfig", "none"], 1, "kubectl config get-contexts"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(cluster: Cluster, words: list[str], status: int, said: str) -> None:
    done = cluster(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) <= 2


def test_who_may_not_is_told_which_right_is_missing(cluster: Cluster) -> None:
    done = cluster("run", "quickstart", "-n", "default", user="bob")
    assert done.returncode == 1
    assert "you may not get isolationscenarios.sectum.ai in namespace 'default'" in done.stderr
    assert (
        "kubectl create role sectum-user --verb=get --resource=isolationscenarios.sectum.ai -n default" in done.stderr
    )
    assert "kubectl create clusterrole" in cluster("packs", "-A", user="bob").stderr


def test_a_dry_run_is_checked_by_the_server_and_makes_nothing(cluster: Cluster) -> None:
    before = cluster.client.get(cluster.objects("verificationruns")).json()["items"]
    done = cluster("run", "quickstart", "--dry-run")
    assert (done.returncode, "nothing was made" in done.stdout) == (0, True), done.stderr
    assert len(cluster.client.get(cluster.objects("verificationruns")).json()["items"]) == len(before)


def test_the_command_that_is_printed_cancels_a_run(cluster: Cluster) -> None:
    done = cluster("run", "quickstart", "-n", "default")
    [cancel] = [line.strip() for line in done.stdout.splitlines() if "cancel" in line]
    subprocess.run(cancel, shell=True, check=True, env=cluster.environment(), capture_output=True)
    name = cancel.split()[3]
    assert cluster.client.get(f"{cluster.objects('verificationruns')}/{name}").json()["spec"]["cancel"] is True


def test_packs_and_status_come_out_of_the_server_by_its_own_selectors(cluster: Cluster) -> None:
    for name, scenario in (("mine-1", "quickstart"), ("other-1", "other")):
        document = samples.pack()
        document["metadata"] = {"name": name}
        document["spec"]["scenarioRef"]["name"] = scenario
        cluster.create("evidencepacks", document)
        cluster.write("evidencepacks", name, {**document["status"], "verdict": "Leak"})
    told = json.loads(cluster("packs", "quickstart", "-o", "json").stdout)["packs"]
    assert [(each["name"], each["verdict"], each["uri"]) for each in told] == [("mine-1", "Leak", samples.PACK["uri"])]
    assert {line.split()[0] for line in cluster("packs", "-A", "-o", "name").stdout.splitlines()} == {
        "default/evidencepack.sectum.ai/mine-1", "default/evidencepack.sectum.ai/other-1",
    }  # fmt: skip
    cluster.write("isolationscenarios", "quickstart", samples.scenario_status())
    done = cluster("status", "quickstart")
    assert (done.returncode, "acme/alice → globex/bob" in done.stdout) == (0, True), done.stderr


def test_kubectls_own_completion_completes_the_plug_in(cluster: Cluster) -> None:
    words = ["kubectl", "__complete", "sectum", "run", "quick"]
    done = subprocess.run(words, capture_output=True, text=True, env=cluster.environment(), timeout=60)
    assert done.stdout.splitlines() == ["quickstart", ":4"], done.stderr
