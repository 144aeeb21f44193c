"""What THREAT_MODEL.md's table says that somebody may not, tried on a real cluster, beside what he may."""

import json
from collections.abc import Callable
from typing import Any

import obstore
import pytest

from tests.cluster.demo import RUNS, Demo, demo_cluster
from tests.cluster.leavings import ended_well, gone_with, opened
from tests.cluster.scenarios import small
from tests.cluster.verification import begin

pytestmark = pytest.mark.timeout(600)
Object = dict[str, Any]


@pytest.fixture(scope="module")
def demo() -> Demo:
    return demo_cluster()


# --- accounts of the stages at the API server ------------------------------------------------------------------------

ACCOUNTS = ("sectum-prepare", "sectum-probe", "sectum-sign", "sectum-trigger")
REFUSED = [
    ("get", "secrets", "-n", RUNS),
    ("get", "secret", "sectum-signer-demo", "-n", RUNS),
    ("create", "token", "sectum-sign", "-n", RUNS),
    ("get", "pods", "-n", RUNS),
    ("delete", "jobs", "--all", "-n", RUNS, "--dry-run=server"),
    ("get", "evidencepacks", "-n", RUNS),
    ("get", "verificationruns", "-A"),
]


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_a_stage_s_account_is_refused(demo: Demo, account: str, words: tuple[str, ...]) -> None:
    done = demo.as_account(account, RUNS, *words)
    assert done.returncode != 0
    assert "orbidden" in done.stderr


@pytest.mark.parametrize("account", ["sectum-probe", "sectum-sign"])
def test_who_touches_surfaces_or_signs_is_not_even_told_of_runs(demo: Demo, account: str) -> None:
    assert "orbidden" in demo.as_account(account, RUNS, "get", "verificationrun", "leaky-demo", "-n", RUNS).stderr
    assert demo.as_account("sectum-prepare", RUNS, "get", "verificationrun", "leaky-demo", "-n", RUNS).returncode == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda secret: secret.update(type="Opaque"),
        lambda secret: secret.update(immutable=False),
        lambda secret: secret["metadata"].update(name="sectum-signer-demo-2"),
        lambda secret: secret["metadata"].pop("ownerReferences"),
        lambda secret: secret["data"].update(more="eA=="),
    ],
    ids=["type", "changeable", "name", "nobody's", "one more key"],
)
def test_prepare_makes_no_other_secret_than_a_run_s_manifest(demo: Demo, change: Callable[[Object], Any]) -> None:
    uid = "00000000-0000-4000-8000-000000000001"
    owner = {"apiVersion": "sectum.ai/v1alpha1", "kind": "VerificationRun", "name": "x", "uid": uid,
             "controller": True, "blockOwnerDeletion": False}  # fmt: skip
    secret = {
        "apiVersion": "v1", "kind": "Secret", "type": "sectum.ai/manifest", "immutable": True,
        "metadata": {"name": f"sectum-manifest-{uid}", "namespace": RUNS, "ownerReferences": [owner]},
        "data": {"sealed.json": "e30="},
    }  # fmt: skip

    def create() -> str:
        words = ("create", "--dry-run=server", "-f", "-")
        return demo.as_account("sectum-prepare", RUNS, *words, text=json.dumps(secret)).stderr

    assert create() == ""
    change(secret)
    assert "ValidatingAdmissionPolicy" in create()


def test_a_trigger_asks_for_the_whole_run_of_a_tick_and_nothing_else(demo: Demo) -> None:
    spec: Object = {"scenarioRef": {"name": "leaky"}}
    run = {"apiVersion": "sectum.ai/v1alpha1", "kind": "VerificationRun",
           "metadata": {"name": "by-hand", "namespace": RUNS}, "spec": spec}  # fmt: skip
    words = ("create", "--dry-run=server", "-f", "-")
    done = demo.as_account("sectum-trigger", RUNS, *words, text=json.dumps(run))
    assert "ValidatingAdmissionPolicy" in done.stderr
    assert demo.kubectl(*words, text=json.dumps(run)).returncode == 0


# --- the operator and the network ------------------------------------------------------------------------------------


def to_the_world(policy: Object) -> None:
    policy["spec"]["egress"][0]["to"] = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]


POLICIES: dict[str, Callable[[Object], Any]] = {
    "the world": to_the_world,
    "any destination": lambda policy: policy["spec"]["egress"][0].pop("to"),
    "every port": lambda policy: policy["spec"]["egress"][0].pop("ports"),
    "link-local": lambda policy: policy["spec"]["egress"][0].update(to=[{"ipBlock": {"cidr": "169.254.169.254/32"}}]),
    "other pods": lambda policy: policy["spec"].update(podSelector={}),
    "a way in": lambda policy: policy["spec"].update(ingress=[{}], policyTypes=["Ingress", "Egress"]),
    "another namespace": lambda policy: policy["metadata"].update(namespace="demo-leaky"),
}


@pytest.mark.parametrize("escape", POLICIES)
def test_the_operator_opens_no_way_to(demo: Demo, escape: str) -> None:
    uid = demo.one("verificationrun", "leaky-demo", "-n", RUNS)["metadata"]["uid"]
    [found, *_] = [
        each
        for each in demo.objects("networkpolicies", "-n", RUNS, "-l", f"sectum.ai/run-uid={uid}")
        if each["spec"].get("egress")
    ]
    kept = {key: found["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": kept, "spec": found["spec"]}

    def create() -> str:
        return demo.as_operator("create", "--dry-run=server", "-f", "-", text=json.dumps(policy)).stderr

    assert "AlreadyExists" in create()  # nothing is wrong with it but that it is there
    POLICIES[escape](policy)
    told = create()
    assert "ValidatingAdmissionPolicy" in told or "orbidden" in told
    assert "AlreadyExists" not in told


# --- the record store's owner ----------------------------------------------------------------------------------------


def test_records_that_are_taken_away_or_replayed_never_pass(demo: Demo) -> None:
    run = begin(demo, small("test-tampered", "hardened", "api", "memory"))
    run.reached("probe")
    run.suspend(held=True)
    run.done("probe")
    with opened(demo, "records", run.prefix) as store:
        names = [each["path"] for batch in obstore.list(store) for each in batch]
        probed = [each for each in names if f"{run.uid}/probe/api/" in each]
        assert len(probed) >= 2
        whole = obstore.get(store, probed[0]).bytes().to_bytes()
        for name in probed:
            obstore.delete(store, name)
        # A record of one surface, signed by the run's own key, under another's name.
        obstore.put(store, probed[0].replace("/probe/api/", "/probe/memory/"), whole)
    run.suspend(held=False)
    ended_well(run, "hardened", verdict="Inconclusive")
    assert [run.surface(name)[0] for name in ("api", "memory")] == ["Inconclusive", "Inconclusive"]
    assert run.surface("memory")[1] == "RecordsBroken"
    gone_with(run)


# --- ends that the hunt looks at, too: these runs stay ---------------------------------------------------------------


def test_a_cancelled_run_cleans_up_and_closes_with_what_it_saw(demo: Demo) -> None:
    run = begin(demo, small("test-cancelled", "leaky", "memory"))
    run.pod("probe", "memory")
    run.cancel()
    ended = run.ended()
    assert ended["status"]["phase"] == "Complete"
    assert ended["status"]["verdict"] in ("Leak", "Inconclusive")
    assert run.conditions()["CleanedUp"] == ("True", "Removed")
    assert len(run.packs()) == 1


def test_a_run_whose_key_is_not_there_fails_and_has_begun_nothing(demo: Demo) -> None:
    scenario = small("test-failed", "hardened", "memory")
    scenario["spec"]["manifest"]["key"]["awsKms"]["keyId"] = "alias/nobody"
    run = begin(demo, scenario)
    ended = run.ended()
    assert ended["status"]["phase"] == "Failed"
    assert run.conditions()["Complete"] == ("True", "PrepareFailed")
    assert run.packs() == []
    assert {each["metadata"]["labels"]["sectum.ai/stage"] for each in run.jobs()} == {"prepare"}
