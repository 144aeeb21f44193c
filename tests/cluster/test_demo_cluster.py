"""What `make demo-cluster` leaves on a cluster: the story that kubectl tells, and who may do and reach what there."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.demo import RELEASE, RUNS, Demo, demo_cluster
from tests.cluster.outside import the_metadata, the_world

pytestmark = pytest.mark.timeout(300)
LEAKY, HARDENED = ("assistant.demo-leaky", 8080), ("assistant.demo-hardened", 8080)
KMS, S3 = ("moto.sectum-servers", 5000), ("s3.sectum-servers", 9000)
METADATA = ("169.254.169.254", 80)
MANAGED = {"app.kubernetes.io/managed-by": "sectum-operator"}


@pytest.fixture(scope="module")
def demo() -> Demo:
    return demo_cluster()


@pytest.fixture(scope="module")
def world(demo: Demo) -> Iterator[tuple[str, int]]:
    """Somebody beyond the cluster, on the surface's own port; meanwhile the metadata address answers, too."""
    with the_world(demo, LEAKY[1]) as address, the_metadata(demo):
        yield address, LEAKY[1]


def the_run(demo: Demo, scenario: str) -> dict[str, Any]:
    return demo.one("verificationrun", f"{scenario}-demo", "-n", RUNS)


def labels(demo: Demo, **own: str) -> dict[str, str]:
    """Those of a pod of the leaky run, which its NetworkPolicies select."""
    uid = the_run(demo, "leaky")["metadata"]["uid"]
    return {**MANAGED, "sectum.ai/run-uid": uid, **{f"sectum.ai/{name}": value for name, value in own.items()}}


def api_servers(demo: Demo) -> list[tuple[str, int]]:
    """The API server by its Service, and where it really is; and the node's kubelet."""
    [node] = demo.objects("nodes")
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    return [("kubernetes.default", 443), (address, 6443), (address, 10250)]


def reached(said: dict[str, bool]) -> set[str]:
    return {address for address, connected in said.items() if connected}


def named(*addresses: tuple[str, int]) -> set[str]:
    return {f"{host}:{port}" for host, port in addresses}


@pytest.mark.parametrize(("scenario", "verdict"), [("leaky", "Leak"), ("hardened", "Pass")])
def test_a_run_ends_with_its_verdict_and_one_verified_pack(demo: Demo, scenario: str, verdict: str) -> None:
    run = the_run(demo, scenario)
    assert (run["status"]["verdict"], run["status"]["phase"]) == (verdict, "Complete")
    told = {each["type"]: (each["status"], each["reason"]) for each in run["status"]["conditions"]}
    assert told["Complete"] == ("True", verdict)
    assert told["EvidenceStored"][0] == told["CleanedUp"][0] == "True"
    mine = [
        each
        for each in demo.objects("evidencepacks", "-n", RUNS)
        if each["spec"]["runRef"]["uid"] == run["metadata"]["uid"]
    ]
    assert [each["status"]["verdict"] for each in mine] == [verdict]
    assert {each["type"]: each["status"] for each in mine[0]["status"]["conditions"]}["Verified"] == "True"
    assert "finalizers" not in run["metadata"]


def test_kubectl_get_sectum_tells_the_story(demo: Demo) -> None:
    told = demo.kubectl("get", "sectum", "-A").stdout
    for word in ("VERDICT", "PHASE", "leaky-demo", "hardened-demo", "Leak", "Pass", "Complete", "VERIFIED"):
        assert word in told


def test_a_probe_reaches_its_surface_the_key_and_its_records_and_nothing_else(
    demo: Demo, world: tuple[str, int]
) -> None:
    servers = api_servers(demo)
    allowed, denied = [LEAKY, KMS, S3], [HARDENED, world, METADATA, *servers]
    said = demo.connections(labels(demo, stage="probe", surface="api"), allowed=allowed, denied=denied)
    assert reached(said) == named(*allowed)
    # Those that it did not reach are there: a pod that is none of ours reaches them, on the same ports.
    free = demo.connections({}, allowed=denied, denied=[])
    assert reached(free) == named(*denied)


def test_signing_stages_reach_the_stores_and_no_surface(demo: Demo, world: tuple[str, int]) -> None:
    denied = [LEAKY, HARDENED, KMS, world, METADATA, *api_servers(demo)]
    said = demo.connections(labels(demo, stage="assemble"), allowed=[S3], denied=denied)
    assert reached(said) == named(S3)


def test_prepare_reaches_the_key_and_the_api_server_and_nothing_else(demo: Demo, world: tuple[str, int]) -> None:
    service, server, kubelet = api_servers(demo)
    denied = [LEAKY, HARDENED, S3, world, METADATA, kubelet]
    said = demo.connections(labels(demo, stage="prepare"), allowed=[KMS, service], denied=denied)
    assert reached(said) - named(server) == named(KMS, service)


def test_a_pod_of_ours_of_no_run_reaches_nothing(demo: Demo, world: tuple[str, int]) -> None:
    denied = [LEAKY, HARDENED, KMS, S3, world, METADATA, *api_servers(demo)]
    assert reached(demo.connections(MANAGED, allowed=[], denied=denied)) == set()


@pytest.mark.parametrize(
    "words",
    [
        ("get", "secrets", "-n", RUNS),
        ("get", "secret", "sectum-signer-demo", "-n", RUNS),
        ("get", "secrets", "-n", RELEASE),
        ("create", "secret", "generic", "x", "-n", RUNS),
        ("create", "token", "sectum-sign", "-n", RUNS),
        ("get", "configmaps", "-A"),
        ("auth", "can-i", "create", "pods/exec", "-n", RUNS),
        ("auth", "can-i", "create", "jobs", "-n", "default"),
    ],
    ids=" ".join,
)
def test_the_operator_is_refused(demo: Demo, words: tuple[str, ...]) -> None:
    done = demo.as_operator(*words)
    assert done.returncode != 0
    assert "orbidden" in done.stderr or done.stdout.strip() == "no"


def a_job(demo: Demo) -> dict[str, Any]:
    """One that the operator made and that is still there, as it could be made again."""
    job = next(
        each
        for each in demo.objects("jobs", "-n", RUNS)
        if each["metadata"]["labels"].get("sectum.ai/stage") == "probe"
    )
    spec, meta = job["spec"], job["metadata"]
    for key in ("selector", "suspend", "completionMode", "manualSelector"):
        spec.pop(key, None)
    generated = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
    for key in generated:
        meta["labels"].pop(key, None)
        spec["template"]["metadata"]["labels"].pop(key, None)
    for key in ("creationTimestamp", "schedulerName", "dnsPolicy", "serviceAccount"):
        spec["template"]["metadata"].pop(key, None)
        spec["template"]["spec"].pop(key, None)
    spec["template"]["spec"]["containers"][0].pop("terminationMessagePath", None)
    kept = {key: meta[key] for key in ("name", "namespace", "labels", "ownerReferences")}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": kept, "spec": spec}


def with_sidecar(job: dict[str, Any], pod: dict[str, Any]) -> None:
    pod["containers"].append({**pod["containers"][0], "name": "beside"})


ESCAPES = {
    "a foreign digest": lambda job, pod: pod["containers"][0].update(image="sectum.local/probes@sha256:" + "0" * 64),
    "the signer's account": lambda job, pod: pod.update(serviceAccountName="sectum-sign"),
    "a sidecar": with_sidecar,
    "a command": lambda job, pod: pod["containers"][0].update(command=["sh"]),
    "one more argument": lambda job, pod: pod["containers"][0]["args"].append("--help"),
    "an environment of its own": lambda job, pod: pod["containers"][0]["env"].append({"name": "X", "value": "y"}),
    "another surface's Secret": lambda job, pod: pod["volumes"][2]["secret"].update(secretName="sectum-surface-x-y"),
    "the signer's Secret": lambda job, pod: pod["volumes"][2]["secret"].update(secretName="sectum-signer-demo"),
    "a token": lambda job, pod: pod.update(automountServiceAccountToken=True),
    "the node's network": lambda job, pod: pod.update(hostNetwork=True),
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_the_fence_refuses_the_operator_a_job_with(demo: Demo, escape: str) -> None:
    job = a_job(demo)
    name = job["metadata"]["name"]
    job["metadata"]["name"] = name[:-1] + ("0" if name[-1] != "0" else "1")
    ESCAPES[escape](job, job["spec"]["template"]["spec"])
    done = demo.as_operator("create", "--dry-run=server", "-f", "-", text=json.dumps(job))
    assert done.returncode != 0
    assert "ValidatingAdmissionPolicy" in done.stderr
    assert "jobs/name" not in done.stderr  # not for what every one of these has in common


def test_the_fence_lets_the_operator_make_the_same_job_unchanged(demo: Demo) -> None:
    job = a_job(demo)
    name = job["metadata"]["name"]
    job["metadata"]["name"] = name[:-1] + ("0" if name[-1] != "0" else "1")
    done = demo.as_operator("create", "--dry-run=server", "-f", "-", text=json.dumps(job))
    assert done.returncode == 0, done.stderr


def test_the_operator_makes_no_cronjob_of_a_stage(demo: Demo) -> None:
    job = a_job(demo)
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "x", "namespace": RUNS, "labels": job["metadata"]["labels"]},
        "spec": {"schedule": "0 0 1 * *", "jobTemplate": {"spec": job["spec"]}},
    }
    done = demo.as_operator("create", "--dry-run=server", "-f", "-", text=json.dumps(cron))
    assert "ValidatingAdmissionPolicy" in done.stderr
