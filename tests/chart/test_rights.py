"""What RBAC grants each account is exactly the trust table, and what it may not do is refused when it tries."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.chart import samples
from tests.chart.cluster import (
    DRAIN,
    DRY,
    OPERATOR,
    PREPARE,
    PROBE,
    SIGN,
    TRIGGER,
    Cluster,
    by_right,
    collection,
)
from tests.chart.helm import NAMESPACE, RUNS

pytestmark = pytest.mark.timeout(120)
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
OURS = ("isolationscenarios", "verificationruns", "evidencepacks")
Right = tuple[str, str, str]
"""A verb, a resource with its API group, and the one name that it is limited to."""


def rights(verbs: str, *resources: str, group: str = "", name: str = "") -> set[Right]:
    return {(verb, f"{each}.{group}".rstrip("."), name) for verb in verbs.split() for each in resources}


OUTLIVING = rights("get list watch patch", "verificationruns", group="sectum.ai") | rights(
    "get", "namespaces", name=RUNS
)
"""In every namespace: what the operator lets runs go by when their namespace is deleted, and its Roles first."""
OPERATOR_RIGHTS = (
    OUTLIVING
    | rights("get list watch patch", "isolationscenarios", "evidencepacks", group="sectum.ai")
    | rights("get patch", *(f"{each}/status" for each in OURS), group="sectum.ai")
    | rights("update patch", *(f"{each}/finalizers" for each in OURS), group="sectum.ai")
    | rights("create delete", "evidencepacks", group="sectum.ai")
    | rights("delete", "verificationruns", group="sectum.ai")
    | rights("get list watch create delete", "jobs", "cronjobs", group="batch")
    | rights("get list watch create delete", "networkpolicies", group="networking.k8s.io")
    | rights("get list watch", "pods")
    | rights("create", "events", group="events.k8s.io")
)
LEASE = rights("create", "leases", group="coordination.k8s.io") | rights(
    "get update patch", "leases", group="coordination.k8s.io", name="sectum-operator"
)
TABLE: dict[tuple[str, str], set[Right]] = {
    (OPERATOR, RUNS): OPERATOR_RIGHTS,
    (OPERATOR, NAMESPACE): LEASE | OUTLIVING,
    (OPERATOR, "kube-system"): OUTLIVING,
    (OPERATOR, "default"): OUTLIVING,
    (PREPARE, RUNS): rights("get", "isolationscenarios", "verificationruns", group="sectum.ai")
    | rights("create", "secrets"),
    (DRAIN, RUNS): rights("list patch", "verificationruns", group="sectum.ai"),
    (TRIGGER, RUNS): rights("create", "verificationruns", group="sectum.ai"),
}
ACCOUNTS = (OPERATOR, PREPARE, PROBE, SIGN, TRIGGER, DRAIN)


def granted(cluster: Cluster, account: str, namespace: str) -> set[Right]:
    """Everything that the account may do in the namespace, by the server's own account of it."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    answer = cluster.client.post(REVIEWS, json=body, headers=by_right(account))
    assert answer.status_code == httpx.codes.CREATED, answer.text
    status = answer.json()["status"]
    assert not status["incomplete"]
    return {
        (verb, f"{resource}.{group}".rstrip("."), name)
        for rule in status["resourceRules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for group in rule.get("apiGroups", [""])
        for name in rule.get("resourceNames", [""])
    }


@pytest.mark.parametrize("namespace", [RUNS, NAMESPACE, "kube-system", "default"])
@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_may_do_what_the_table_says_and_nothing_else(cluster: Cluster, account: str, namespace: str) -> None:
    of_anybody = granted(cluster, "system:serviceaccount:default:nobody", namespace)
    assert granted(cluster, account, namespace) - of_anybody == TABLE.get((account, namespace), set())


def forbidden() -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """Account, what it tries, method, path, body."""
    account = f"{collection('ServiceAccount')}/sectum-sign"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    secret, pod = samples.manifest_secret(), f"{collection('Pod')}/any"
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    for who in ACCOUNTS:
        yield who, "read a Secret", "GET", f"{collection('Secret')}/sectum-signer-main", {}
        yield who, "list Secrets", "GET", collection("Secret"), {}
        yield who, "list all Secrets", "GET", "/api/v1/secrets", {}
        yield who, "change a Secret", "PATCH", f"{collection('Secret')}/sectum-signer-main", {"data": {}}
        yield who, "delete a Secret", "DELETE", f"{collection('Secret')}/sectum-signer-main", {}
        yield who, "make a token", "POST", f"{account}/token", review
        yield (
            who,
            "make a token of its own",
            "POST",
            f"{collection('ServiceAccount')}/{who.split(':')[-1]}/token",
            review,
        )
        yield who, "exec", "POST", f"{pod}/exec?command=id", {}
        yield who, "attach", "POST", f"{pod}/attach", {}
        yield who, "forward a port", "POST", f"{pod}/portforward", {}
        yield who, "read a log", "GET", f"{pod}/log", {}
        yield who, "add a container", "PATCH", f"{pod}/ephemeralcontainers", {}
        yield who, "make a pod", "POST", collection("Pod"), {"metadata": {"name": "x"}, "spec": {}}
        yield who, "give itself rights", "POST", f"{rbac}/namespaces/{RUNS}/rolebindings", {"metadata": {"name": "x"}}
        yield who, "open the fence", "DELETE", (
            f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/sectum-jobs.{RUNS}"
        ), {}  # fmt: skip
        yield who, "change its kinds", "PATCH", (
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/verificationruns.sectum.ai"
        ), {}  # fmt: skip
        yield who, "label the namespace", "PATCH", f"/api/v1/namespaces/{RUNS}", {}
        yield who, "make a Job elsewhere", "POST", collection("Job", "default"), samples.job("probe")
        yield who, "delete all Jobs", "DELETE", collection("Job"), {}
        yield who, "make a ConfigMap", "POST", f"/api/v1/namespaces/{RUNS}/configmaps", {"metadata": {"name": "x"}}
        yield who, "make a Deployment", "POST", f"/apis/apps/v1/namespaces/{RUNS}/deployments", {}
        yield who, "make a scenario", "POST", collection("IsolationScenario"), samples.scenario()
        if who != PREPARE:
            yield who, "make a Secret", "POST", collection("Secret"), secret
        if who != OPERATOR:
            yield who, "make a Job", "POST", collection("Job"), samples.job("probe")
            yield who, "make a pack", "POST", collection("EvidencePack"), {}
            yield who, "write a status", "PATCH", f"{collection('VerificationRun')}/one/status", {}
    yield OPERATOR, "change a Job", "PATCH", f"{collection('Job')}/any", {}
    yield OPERATOR, "change a NetworkPolicy", "PATCH", f"{collection('NetworkPolicy')}/sectum-default-deny", {}
    yield OPERATOR, "take another's lease", "PATCH", f"{collection('Lease', NAMESPACE)}/another", {}
    yield OPERATOR, "take a lease elsewhere", "POST", collection("Lease", "kube-system"), {}
    yield OPERATOR, "see another namespace", "GET", "/api/v1/namespaces/default", {}
    yield OPERATOR, "list namespaces", "GET", "/api/v1/namespaces", {}
    yield OPERATOR, "read pods elsewhere", "GET", collection("Pod", "default"), {}
    yield OPERATOR, "read Jobs elsewhere", "GET", collection("Job", "default"), {}
    yield OPERATOR, "write a status elsewhere", "PATCH", f"{collection('VerificationRun', 'default')}/one/status", {}
    yield OPERATOR, "make a run elsewhere", "POST", collection("VerificationRun", "default"), samples.run("default")
    yield OPERATOR, "delete a run elsewhere", "DELETE", f"{collection('VerificationRun', 'default')}/one", {}
    yield OPERATOR, "make a Secret of its release", "POST", collection("Secret", NAMESPACE), secret


@pytest.mark.parametrize(
    ("account", "method", "path", "body"),
    [(who, method, path, body) for who, _, method, path, body in forbidden()],
    ids=[f"{who.split(':')[-1]}: {what}" for who, what, *_ in forbidden()],
)
def test_what_it_may_not_do_is_refused_when_it_tries(
    cluster: Cluster, account: str, method: str, path: str, body: dict[str, Any]
) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = cluster.client.request(
        method, path, json=None if method == "GET" else body, headers={**by_right(account), "Content-Type": kind}
    )
    assert answer.status_code == httpx.codes.FORBIDDEN, answer.text
    assert f'User "{account}" cannot' in answer.json()["message"]


def test_the_same_requests_are_not_refused_to_everybody(cluster: Cluster) -> None:
    paths = [path for _, _, method, path, _ in forbidden() if method == "GET" and "any" not in path]
    assert {cluster.client.get(path).status_code for path in paths} <= {httpx.codes.OK, httpx.codes.NOT_FOUND}


def test_prepare_makes_its_manifest_and_reads_its_run(cluster: Cluster) -> None:
    answer = cluster.client.post(
        collection("Secret"), params=DRY, json=samples.manifest_secret(), headers=by_right(PREPARE)
    )
    assert answer.status_code == httpx.codes.CREATED, answer.text
    missing = cluster.client.get(f"{collection('VerificationRun')}/none", headers=by_right(PREPARE))
    assert missing.status_code == httpx.codes.NOT_FOUND


def test_the_operator_makes_a_stages_job_by_its_own_rights(cluster: Cluster) -> None:
    answer = cluster.client.post(collection("Job"), params=DRY, json=samples.job("probe"), headers=by_right(OPERATOR))
    assert answer.status_code == httpx.codes.CREATED, answer.text
    away = cluster.client.post(
        collection("Job"), params=DRY, json=samples.job("probe", uid="nonsense"), headers=by_right(OPERATOR)
    )
    assert "denied request: jobs/values" in away.json()["message"]
