"""Installed, upgraded, taken away and installed again on a real API server, as a user would."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.chart import samples
from tests.chart.cluster import STRICT, Cluster, collection, path_of, publish_api_server, wait_until, write_kubeconfig
from tests.chart.helm import CHART, NAMESPACE, RELEASE, RUNS, VALUES, helm
from tests.operator.control_plane import running

pytestmark = pytest.mark.timeout(180)
LOOK_UP = ("--set-json", "network.apiServer=[]")
PLACE = ("--namespace", NAMESPACE)
POLICY = f"/apis/networking.k8s.io/v1/namespaces/{RUNS}/networkpolicies/sectum-api-server"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own, with nothing in it."""
    helm("version")
    folder = tmp_path_factory.mktemp("control-plane")
    with running(folder) as client:
        yield Cluster(client, write_kubeconfig(folder, client))


def install(cluster: Cluster, *arguments: str, verb: str = "install") -> str:
    """Standard output of an installation that works."""
    given = (RELEASE, str(CHART), *PLACE, "--values", str(VALUES), *arguments)
    result = helm(verb, *given, kubeconfig=cluster.kubeconfig)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_from_nothing_to_nothing_and_back(empty: Cluster) -> None:
    """One story, in order: each step starts from what the one before left."""
    client = empty.client
    failed = helm(
        "install", RELEASE, str(CHART), *PLACE, "--values", str(VALUES), *LOOK_UP, kubeconfig=empty.kubeconfig
    )
    assert "no EndpointSlice of the service default/kubernetes could be looked up" in failed.stderr
    client.post("/api/v1/namespaces", json={"metadata": {"name": RUNS}}).raise_for_status()
    publish_api_server(client)
    bare = helm("install", RELEASE, str(CHART), *PLACE, "--values", str(VALUES), "--set", "runs.create=false",
                kubeconfig=empty.kubeconfig)  # fmt: skip
    assert f"kubectl label namespace {RUNS} pod-security.kubernetes.io/enforce=restricted" in bare.stderr
    client.delete(f"/api/v1/namespaces/{RUNS}").raise_for_status()
    finish_deleting(client, RUNS)

    notes = install(empty, "--create-namespace", *LOOK_UP)
    assert f"kubectl -n {NAMESPACE} rollout status deployment/sectum-operator" in notes
    rules = client.get(POLICY).json()["spec"]["egress"]
    peers = [(each["to"][0]["ipBlock"]["cidr"], each["ports"][0]["port"]) for each in rules]
    service = client.get("/api/v1/namespaces/default/services/kubernetes").json()["spec"]["clusterIP"]
    assert peers == [("10.20.0.1/32", 6443), (f"{service}/32", 443)]
    wait_until(lambda: client.get(collection("VerificationRun")).is_success, "the kinds are served")
    assert empty.create(samples.run(), dry=False).is_success
    install(empty, "--set", f"images.probes.digest=sha256:{'9' * 64}", verb="upgrade")

    # Nothing runs pods here; test_teardown.py drains.
    removed = helm("uninstall", RELEASE, *PLACE, "--no-hooks", kubeconfig=empty.kubeconfig)
    assert removed.returncode == 0, removed.stderr
    for left in ("verificationruns.sectum.ai", RUNS):
        assert left in removed.stdout, "Helm names what it keeps"
    assert client.get(path_of(samples.run())).json()["spec"]["scenarioRef"]["name"] == "quickstart"
    for gone in (POLICY, f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/sectum-operator",
                 f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/sectum-jobs.{RUNS}",
                 f"{collection('ServiceAccount')}/sectum-sign"):  # fmt: skip
        answer = client.get(gone)
        deleting = answer.is_success and "deletionTimestamp" in answer.json()["metadata"]  # no garbage collector here
        assert answer.status_code == httpx.codes.NOT_FOUND or deleting, gone

    install(empty)
    assert client.get(path_of(samples.run())).is_success
    released = client.delete(path_of(samples.run()), params=STRICT)
    assert released.is_success
    assert client.get(path_of(samples.run())).status_code == httpx.codes.NOT_FOUND, "nothing of the chart holds it up"


def finish_deleting(client: httpx.Client, namespace: str) -> None:
    """What the namespace controller does, which this control plane lacks."""
    path = f"/api/v1/namespaces/{namespace}"
    body = client.get(path).json()
    body["spec"]["finalizers"] = []
    client.put(f"{path}/finalize", content=json.dumps(body)).raise_for_status()
    wait_until(lambda: client.get(path).status_code == httpx.codes.NOT_FOUND, f"{namespace} is gone")
