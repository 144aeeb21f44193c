"""A compromised operator or prepare gets nothing past the fences of a real API server, and each of them is needed."""

import copy
import os
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sectum.scenario import parse
from sectum_operator.cronjobs import cron_job
from sectum_operator.jobs import Images, job, policies
from sectum_operator.stages import ON_SURFACES, RunId, Stage, Work

from tests.chart import samples
from tests.chart.cluster import (
    DRY,
    OPERATOR,
    POLICIES,
    PREPARE,
    TRIGGER,
    Cluster,
    by_right,
    collection,
    path_of,
    wait_until,
    with_all_rights,
)
from tests.chart.cron_job_escapes import CRON_JOB_ESCAPES
from tests.chart.escapes import GONE, Escape, but
from tests.chart.helm import RUNS
from tests.chart.job_escapes import BOX, JOB_ESCAPES, POD
from tests.chart.other_escapes import OTHER_ESCAPES, THEIRS, to_cidr
from tests.operator import cluster as cluster_samples
from tests.operator.control_plane import assets

pytestmark = pytest.mark.timeout(180)
ESCAPES = [*JOB_ESCAPES, *CRON_JOB_ESCAPES, *OTHER_ESCAPES]
BINDINGS = POLICIES.removesuffix("ies") + "ybindings"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def stored(cluster: Cluster) -> Iterator[Cluster]:
    """With an object of each kind that an escape changes or deletes."""
    theirs = [samples.job("probe") for _ in range(len(THEIRS) + 1)]
    for document, (name, reference) in zip(theirs, THEIRS.items(), strict=False):
        document["metadata"] |= {"name": name, "ownerReferences": [reference]}
    theirs[-1]["metadata"] |= {"name": "somebody-s", "ownerReferences": []}
    ours = [samples.job("probe"), samples.network_policy(), samples.manifest_secret(), samples.scenario()]
    made = [*ours, samples.run(), samples.run("default"), samples.cron_job(), samples.triggered(), *theirs]
    for document in made:
        answer = cluster.create(document, dry=False)
        assert answer.status_code == httpx.codes.CREATED, answer.text
    yield cluster
    for document in made:
        cluster.client.delete(path_of(document), params={"propagationPolicy": "Background"})


def attempt(cluster: Cluster, escape: Escape, account: str = "") -> httpx.Response:
    """Try it, past RBAC and without effect."""
    headers = with_all_rights(account or escape.account)
    path = path_of(escape.document)
    if escape.verb == "delete":
        return cluster.client.delete(path, params={"dryRun": "All"}, headers=headers)
    if escape.verb == "patch":
        return cluster.client.patch(path, params=DRY, json=escape.patch, headers=headers | MERGE)
    namespace = escape.document["metadata"]["namespace"]
    return cluster.client.post(
        collection(escape.document["kind"], namespace), params=DRY, json=escape.document, headers=headers
    )


def let_through(answer: httpx.Response) -> bool:
    """The fences said yes: it was done, or its name was found taken, which the server looks at last."""
    return answer.is_success or answer.status_code == httpx.codes.CONFLICT


@pytest.mark.parametrize("escape", ESCAPES, ids=str)
def test_an_escape_is_refused_by_the_fence_that_is_there_for_it(stored: Cluster, escape: Escape) -> None:
    answer = attempt(stored, escape)
    assert not let_through(answer), "it was let through"
    assert f"denied request: {escape.fence}: " in answer.json()["message"]


def mutant(policy: dict[str, Any], number: int) -> tuple[str, list[dict[str, Any]]]:
    """An account, and a fence around it alone that has lost one validation."""
    account = f"mutant-{policy['metadata']['name'].split('.')[0]}-{number}"
    spec = copy.deepcopy(policy["spec"])
    spec["matchConditions"] = [{"name": "by-the-mutant", "expression": f"request.userInfo.username == '{account}'"}]
    spec["validations"][number] = {"expression": "true"}
    binding = {"metadata": {"name": account}, "spec": {"policyName": account, "validationActions": ["Deny"]}}
    return account, [{"metadata": {"name": account}, "spec": spec}, binding]


def test_every_validation_stops_something_that_no_other_stops(stored: Cluster) -> None:
    by_fence = defaultdict(list)
    for escape in ESCAPES:
        by_fence[escape.fence].append(escape)
    mutants: dict[str, str] = {}
    for policy in stored.client.get(POLICIES).json()["items"]:
        for number, validation in enumerate(policy["spec"]["validations"]):
            fence = validation["message"].partition(":")[0]
            assert by_fence[fence], f"no escape is aimed at {fence}"
            mutants[fence], made = mutant(policy, number)
            for path, document in zip((POLICIES, BINDINGS), made, strict=True):
                answer = stored.client.post(path, json=document)
                assert answer.status_code == httpx.codes.CREATED, answer.text
    for fence, account in mutants.items():
        whole = [each for each in ESCAPES if each.fence.split("/")[0] == fence.split("/")[0] and each.fence != fence]
        for witness in whole[:1]:
            wait_until(lambda: not let_through(attempt(stored, witness, account)), f"{account} is fenced")  # noqa: B023
    idle = [
        fence
        for fence, account in mutants.items()
        if not any(let_through(attempt(stored, escape, account)) for escape in by_fence[fence])
    ]
    for account in mutants.values():
        for path in (POLICIES, BINDINGS):
            stored.client.delete(f"{path}/{account}").raise_for_status()
    assert idle == []
    assert len(mutants) >= 50


def good() -> dict[str, tuple[dict[str, Any], str]]:
    """What the operator and prepare are there to make."""
    jobs = {f"the Job of {stage}": (samples.job(stage), OPERATOR) for stage in samples.STAGES}
    runs = ("a", "a" * 63, "a" * 31 + ".b", "1.2.3", "a" * 30 + "-----b")
    jobs |= {f"of the run {run}": (samples.job("probe", run=run), OPERATOR) for run in runs}
    template = {
        "nodeSelector": {"pool": "probes"}, "priorityClassName": "low", "imagePullSecrets": [{"name": "registry"}],
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "pool", "operator": "Exists"}]}]}}},
    }  # fmt: skip
    for name, value in template.items():
        jobs[f"a Job with {name}"] = (but(samples.job("probe"), *POD, name, to=value), OPERATOR)
    jobs["a Job without resources"] = (but(samples.job("probe"), *BOX, "resources", to={}), OPERATOR)
    policies = {
        f"the policy of {stage}": samples.network_policy(stage=stage) for stage in ("prepare", "open", "assemble")
    }
    policies |= {"the policy of a surface": samples.network_policy()}
    policies |= {f"a policy to {cidr}": to_cidr(cidr) for cidr in ("10.20.0.0/16", "10.20.0.1/32", "fd00:20::1/128")}
    policies |= {"a policy to the agent": to_cidr("169.254.170.23/32", port=80)}
    policies |= {"a policy to nothing": but(samples.network_policy(), "spec", "egress", to=GONE)}
    secrets = {"a manifest": samples.manifest_secret(), "a large one": samples.manifest_secret(size=900 * 1024 - 3)}
    jobs["a scenario's CronJob"] = (samples.cron_job(), OPERATOR)
    jobs["the run of a tick"] = (samples.triggered(), TRIGGER)
    return jobs | {why: (each, OPERATOR) for why, each in policies.items()} | {
        why: (each, PREPARE) for why, each in secrets.items()
    }  # fmt: skip


@pytest.mark.parametrize(("document", "account"), good().values(), ids=good())
def test_what_they_are_there_to_make_is_taken(cluster: Cluster, document: dict[str, Any], account: str) -> None:
    answer = cluster.create(document, account)
    assert let_through(answer), answer.json()["message"]


def built() -> dict[str, dict[str, Any]]:
    """What the operator's own code makes for a run."""
    document = cluster_samples.scenario()
    scenario = parse({**document, "metadata": {"name": document["metadata"]["name"]}})
    run = RunId(RUNS, samples.RUN, samples.UID)
    images = Images(operator=samples.OPERATOR_IMAGE, probes=samples.PROBES_IMAGE)
    works = [Work(stage, "api" if stage in ON_SURFACES else "", 2) for stage in Stage]
    made = {str(work): job(run, scenario, work, images=images, generation=3) for work in works}
    about = scenario.model_copy(update={"spec": scenario.spec.model_copy(update={"schedule": "0 3 1 * *"})})
    made["CronJob"] = cron_job(about, samples.UID, namespace=RUNS, image=images.operator)
    return made | {each["metadata"]["name"]: each for each in policies(run, scenario, ["api", "search"])}


@pytest.mark.parametrize("document", built().values(), ids=built())
def test_what_the_operator_builds_is_taken_by_its_own_rights(cluster: Cluster, document: dict[str, Any]) -> None:
    path = collection(document["kind"], document["metadata"]["namespace"])
    answer = cluster.client.post(path, params=DRY, json=document, headers=by_right(OPERATOR))
    assert answer.status_code == httpx.codes.CREATED, answer.json()["message"]


def test_the_operator_deletes_what_a_run_owns_and_changes_finalizers_and_statuses(stored: Cluster) -> None:
    for document in (samples.job("probe"), samples.network_policy()):
        assert stored.delete(document, OPERATOR).is_success
    finalizer, status = {"metadata": {"finalizers": ["sectum.ai/clean"]}}, {"status": {"phase": "Pending"}}
    for suffix, patch in (("", finalizer), ("/status", status)):
        path = path_of(samples.run()) + suffix
        answer = stored.client.patch(path, params=DRY, json=patch, headers=with_all_rights(OPERATOR) | MERGE)
        assert answer.is_success, answer.text


def test_others_are_not_fenced(stored: Cluster) -> None:
    for escape in (JOB_ESCAPES[0], *(each for each in ESCAPES if each.why in ("a good stage's", "default-deny"))):
        assert let_through(attempt(stored, escape, "somebody-else"))


def test_the_server_finds_no_type_error_in_a_fence(cluster: Cluster) -> None:
    """Only the controller manager looks; a field that Kubernetes does not have would make a fence refuse everything."""
    binary = assets() / "kube-controller-manager"
    if not os.access(binary, os.X_OK):
        pytest.skip(f"NOT TESTED: no kube-controller-manager in {binary.parent}, so the fences' types were not checked")
    only = "--controllers=validatingadmissionpolicy-status-controller"
    command = [str(binary), f"--kubeconfig={cluster.kubeconfig}", only, "--leader-elect=false", "--secure-port=0"]

    def checked() -> list[dict[str, Any]]:
        found = [each.get("status", {}) for each in cluster.client.get(POLICIES).json()["items"]]
        return [each["typeChecking"] for each in found if "typeChecking" in each]

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(checked()) == len(cluster.client.get(POLICIES).json()["items"]), "types are checked")
    finally:
        process.terminate()
        process.wait(10)
    assert [each for each in checked() if each] == []
