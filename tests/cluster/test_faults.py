"""What can go wrong while a run is under way, on a real cluster: the right reason, an end, everything cleaned up."""

import pytest

from tests.cluster.demo import RUNS, Demo, demo_cluster
from tests.cluster.faults import away, cordoned, delete_secret, put_secret, starved
from tests.cluster.leavings import ended_well, gone_with, in_the_store
from tests.cluster.scenarios import small
from tests.cluster.verification import Verification, begin

pytestmark = pytest.mark.timeout(600)
TOKENS, DECRYPT = "sectum-surface-memory-late", "sectum-kms-decrypt-swapped"


@pytest.fixture(scope="module")
def demo() -> Demo:
    return demo_cluster()


@pytest.fixture(scope="module")
def without_its_secret(demo: Demo) -> Verification:
    """A run on the leaky stack that waits for a Secret; begun first, since it is called by its name after 90 s."""
    delete_secret(demo, TOKENS)
    put_secret(demo, DECRYPT, demo.kube.secret(RUNS, "sectum-kms-decrypt-demo"))
    scenario = small("test-starved", "leaky", "memory")
    spec = scenario["spec"]
    spec["surfaces"][0]["credentials"]["secretRef"]["name"] = TOKENS
    spec["manifest"]["key"]["awsKms"]["decryptSecret"] = DECRYPT
    # Both Secrets stay: the hunt finds what was in them in etcd, and then has to know that they were Secrets of runs.
    return begin(demo, scenario)


def test_of_two_probes_one_deleted_and_one_out_of_memory_each_says_so(
    demo: Demo, without_its_secret: Verification
) -> None:
    run = begin(demo, small("test-lost", "hardened", "api", "memory"))
    api = run.pod("probe", "api", runs=False)
    with starved(demo, api["metadata"]["uid"], bytes_left=48 << 20):
        memory = run.pod("probe", "memory")["metadata"]["name"]
        demo.kubectl("delete", "pod", memory, "-n", RUNS, "--grace-period=0", "--force")
        run.reached("clean")
    ended_well(run, "hardened", verdict="Inconclusive")
    assert run.surface("memory") == ("Inconclusive", "Vanished")
    assert run.surface("api") == ("Inconclusive", "OOMKilled")
    gone_with(run)


def test_without_its_secret_a_run_says_so_and_goes_on_once_it_is_there(
    demo: Demo, without_its_secret: Verification
) -> None:
    run = without_its_secret
    run.says("SecretMissing")
    put_secret(demo, TOKENS, demo.kube.secret(RUNS, "sectum-surface-memory-leaky"))
    # The kubelet tries again every two minutes by now: long enough for the next test, which this run must not disturb.
    run.suspend(held=True)


def test_a_cordoned_node_and_a_store_that_goes_away_hold_a_run_up_and_no_more(demo: Demo) -> None:
    run = begin(demo, small("test-held-up", "hardened", "memory"))
    run.reached("open")
    with cordoned(demo):
        run.says("Unschedulable")
    run.until(lambda: began_probing(run), "a record that probing has begun")
    with away(demo, "s3", port=9000):  # while the probe waits for the memory to settle
        run.says("StoreFault")
    # The first attempt's end could not be recorded: what it saw may be missing, so that the second alone does not pass.
    ended_well(run, "hardened", verdict="Inconclusive")
    assert run.surface("memory") == ("Inconclusive", "Unfinished")
    assert run.attempts("probe") == [1, 2]
    gone_with(run)


def test_where_kms_denies_a_probe_it_says_so_and_cleaning_waits_for_the_right(
    demo: Demo, without_its_secret: Verification
) -> None:
    run = without_its_secret
    run.suspend(held=False)
    run.reached("plant")
    run.suspend(held=True)
    run.done("plant")
    denied = demo.kube.secret("sectum-servers", "kms")
    put_secret(demo, DECRYPT, {key: denied[f"sign.{key}"] for key in ("accessKeyId", "secretAccessKey")})
    run.suspend(held=False)
    run.reached("clean")
    put_secret(demo, DECRYPT, demo.kube.secret(RUNS, "sectum-kms-decrypt-demo"))
    ended_well(run, "leaky", verdict="Inconclusive")
    assert run.surface("memory") == ("Inconclusive", "KeyUnavailable")
    gone_with(run)


def began_probing(run: Verification) -> bool:
    return any(f"{run.uid}/probe/" in each for each in in_the_store(run.demo, "records", run.prefix))
