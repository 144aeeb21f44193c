"""A second release beside the demo's: `helm uninstall` and the end of its namespace, each with a run in flight."""

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.demo import KUBECONFIG, ROOT, Demo, demo_cluster
from tests.cluster.demo import RUNS as DEMO_RUNS
from tests.cluster.leavings import LISTS, ended_well, in_the_system
from tests.cluster.scenarios import USERS, small
from tests.cluster.verification import Verification, begin

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
RELEASE, NAMESPACE, RUNS = "beside", "sectum-beside", "sectum-beside-runs"
BUILD = "hardened"
CHART = ROOT / "charts" / "sectum-operator"


@dataclass(frozen=True)
class Release:
    """The second release, which comes and goes."""

    demo: Demo

    def helm(self, *words: str) -> str:
        command = ["helm", "--kubeconfig", str(KUBECONFIG), *words, "--namespace", NAMESPACE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def install(self, *values: str) -> None:
        demos = str(KUBECONFIG.parent / "values.json")
        own = f"crds.enabled=false,runs.namespace={RUNS}"
        given = [word for each in (own, *values) for word in ("--set", each)]
        words = (RELEASE, str(CHART), "--create-namespace", "--values", demos, *given, "--wait", "--timeout", "120s")
        self.helm("install", *words)

    def uninstall(self) -> str:
        """What it says."""
        return self.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")

    def probing(self) -> Verification:
        """A run in the middle of its trials."""
        run = begin(self.demo, small("test-beside", BUILD, "memory", namespace=RUNS))
        run.pod("probe", "memory")
        return run


@pytest.fixture(scope="module")
def demo() -> Demo:
    return demo_cluster()


@pytest.fixture(scope="module")
def beside(demo: Demo) -> Iterator[Release]:
    """Installed, with the demo's Secrets in its namespace of runs; everything is gone afterwards."""
    found = Release(demo)
    found.install()
    copies = [copied(each) for each in demo.objects("secrets", "-n", DEMO_RUNS) if wanted(each["metadata"]["name"])]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": copies})
    demo.kubectl("apply", "--server-side", "-f", "-", text=listed)
    yield found
    found.helm("uninstall", RELEASE, "--no-hooks", "--ignore-not-found")
    demo.kubectl("delete", "namespace", NAMESPACE, RUNS, "--ignore-not-found", "--timeout=120s", ok=False)


def wanted(name: str) -> bool:
    return name.endswith(("-demo", f"memory-{BUILD}"))


def copied(secret: dict[str, Any]) -> dict[str, Any]:
    about = {"name": secret["metadata"]["name"], "namespace": RUNS}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": about, "data": secret["data"]}


def test_uninstalled_with_a_run_in_flight_the_run_ends_with_its_pack_first(beside: Release) -> None:
    run = beside.probing()
    said = beside.uninstall()
    assert "no run is in flight" in said, said
    ended = ended_well(run, BUILD, verdict="Inconclusive")
    assert run.surface("memory") == ("Inconclusive", "Cancelled"), ended["status"]


def test_installed_again_it_leaves_what_has_ended_and_runs_what_is_new(beside: Release) -> None:
    [before] = beside.demo.objects("verificationruns", "-n", RUNS)
    beside.install("uninstall.drain.timeout=0")
    run = begin(beside.demo, small("test-after", BUILD, "memory", namespace=RUNS))
    ended_well(run, BUILD, verdict="Pass")
    assert beside.demo.one("verificationrun", before["metadata"]["name"], "-n", RUNS) == before


def test_uninstalled_without_waiting_it_says_what_is_left_and_a_later_installation_ends_the_run(
    beside: Release,
) -> None:
    run = beside.probing()
    said = beside.uninstall()
    assert re.search(rf"LEFT {RUNS}/{run.name} \(\w+\): what it planted may still be on the surfaces memory", said), (
        said
    )
    about = run.object()["metadata"]
    assert "finalizers" not in about
    assert "sectum.ai/let-go" in about["annotations"]
    beside.install()
    ended_well(run, BUILD, verdict="Inconclusive")


def test_its_namespace_goes_within_two_minutes_with_a_run_in_flight(beside: Release) -> None:
    beside.probing()
    began = time.monotonic()
    beside.demo.kubectl("delete", "namespace", RUNS, "--timeout=120s")
    assert time.monotonic() - began < 120
    emptied(beside.demo)


def emptied(demo: Demo) -> None:
    """What a run of a namespace that is gone has left, nobody knows of any more: users remove it."""
    with demo.kube.forwarded("service/assistant", f"demo-{BUILD}", 8080) as port:
        tokens = demo.kube.secret(DEMO_RUNS, f"sectum-surface-api-{BUILD}")
        for user in USERS:
            for path in LISTS.values():
                listed = json.loads(asked(port, "GET", f"{path}?limit=100", tokens[user]))
                for each in listed["items"]:
                    asked(port, "DELETE", f"{path}/{each['id']}", tokens[user])
    assert in_the_system(demo, BUILD) == {}


def asked(port: int, method: str, path: str, token: bytes) -> bytes:
    headers = {"Authorization": f"Bearer {token.decode()}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: bytes = answer.read()
    return found
