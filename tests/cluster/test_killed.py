"""The operator is killed at eight moments of a run that a seed picks: the run ends as if nothing had been."""

import os
import random
import time

import pytest

from tests.cluster.demo import RELEASE, Demo, demo_cluster
from tests.cluster.leavings import ended_well, gone_with
from tests.cluster.scenarios import small
from tests.cluster.verification import begin

pytestmark = pytest.mark.timeout(600)
KILLS, JOBS = 8, 11
"""Two surfaces make eleven Jobs."""
SEED = int(os.environ.get("SECTUM_KILL_SEED") or random.randrange(1 << 32))
"""Another one each time; it stands in the test's name."""
LATEST = 3.0
"""Seconds after the Job was there."""
OPERATOR = ("-n", RELEASE, "-l", "app.kubernetes.io/name=sectum-operator")


@pytest.fixture(scope="module")
def demo() -> Demo:
    return demo_cluster()


@pytest.mark.parametrize("seed", [SEED])
def test_killed_eight_times_a_run_still_passes_with_one_pack_and_leaves_nothing(demo: Demo, seed: int) -> None:
    drawn = random.Random(seed)
    moments = sorted(drawn.sample(range(1, JOBS + 1), KILLS))
    run = begin(demo, small("test-killed", "hardened", "api", "memory"))
    for number in moments:
        run.until(lambda least=number: len(run.jobs()) >= least, f"{number} Jobs")
        time.sleep(drawn.uniform(0, LATEST))
        kill(demo)
    ended = ended_well(run, "hardened", verdict="Pass")
    assert [(each["name"], each["verdict"]) for each in ended["status"]["surfaces"]] == [
        ("api", "Pass"),
        ("memory", "Pass"),
    ]
    names = [(each["metadata"]["labels"]["sectum.ai/stage"], surface_of(each)) for each in run.jobs()]
    assert len(names) == len(set(names)) == JOBS
    gone_with(run)


def kill(demo: Demo) -> None:
    """End all processes of the operator at once, as soon as one runs: who acts, and who would take over."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pods = [each for each in demo.objects("pods", *OPERATOR) if "deletionTimestamp" not in each["metadata"]]
        if any(each["status"].get("phase") == "Running" for each in pods):
            names = [each["metadata"]["name"] for each in pods]
            demo.kubectl("delete", "pods", *names, "-n", RELEASE, "--grace-period=0", "--force", "--ignore-not-found")
            return
        time.sleep(0.2)
    raise AssertionError("the operator did not come back within 60 s")


def surface_of(job: dict[str, dict[str, dict[str, str]]]) -> str:
    return job["metadata"]["labels"].get("sectum.ai/surface", "")
