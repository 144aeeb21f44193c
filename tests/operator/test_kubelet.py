"""The test kubelet runs Jobs' pods as processes and tells the API server of them what a real one would."""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tests.operator.control_plane import ControlPlane, control_plane, controllers
from tests.operator.kubelet import Fault, Kubelet, PodRun
from tests.operator.pod_process import Unsupported, container, environment, secrets_of

IMAGE = "registry.test/python@sha256:" + "0" * 64
SAY = "import os, pathlib, signal, sys, time\ntell = pathlib.Path(os.environ['SECTUM_TERMINATION_LOG']).write_text\n"
UP = "print('up', flush=True)\ntime.sleep(99)"
SLEEP = SAY + "signal.signal(signal.SIGTERM, lambda *_: (tell('asked to stop'), sys.exit(7)))\n" + UP
DEAF = SAY + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + UP
NUMBERS = itertools.count()
T = TypeVar("T")
pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True)
class Cluster:
    """A namespace of its own for each test."""

    plane: ControlPlane
    node: Kubelet
    namespace: str

    def path(self, kind: str, name: str = "") -> str:
        group = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
        return f"{group}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def get(self, kind: str, name: str = "") -> Any:
        answer = self.plane.client.get(self.path(kind, name))
        return answer.json() if answer.is_success else None

    def create(self, kind: str, document: dict[str, Any]) -> Any:
        answer = self.plane.client.post(self.path(kind), json=document)
        assert answer.is_success, answer.text
        return answer.json()

    def delete(self, kind: str, name: str, *, policy: str = "Background", **options: Any) -> None:
        body = {"propagationPolicy": policy, **options}
        self.plane.client.request("DELETE", self.path(kind, name), json=body).raise_for_status()

    def pods(self) -> list[dict[str, Any]]:
        return list(self.get("pods")["items"])

    def runs(self) -> list[PodRun]:
        return [run for run in self.node.runs if run.pod["metadata"]["namespace"] == self.namespace]

    def up(self) -> PodRun:
        """The only pod's process, once it has said so."""
        return until(lambda: next((run for run in self.runs() if run.log == "up\n"), None), "the process is up")

    def ended(self, name: str = "it") -> tuple[str, str]:
        """How the Job ended: Complete or Failed, and why."""

        def condition() -> tuple[str, str] | None:
            found = (self.get("jobs", name) or {}).get("status", {}).get("conditions") or ()
            at_last = [each for each in found if each["type"] in ("Complete", "Failed") and each["status"] == "True"]
            return (at_last[0]["type"], at_last[0].get("reason", "")) if at_last else None

        return until(condition, f"{name} has ended\n{self.node.logs()}")

    def terminated(self) -> dict[str, Any]:
        """The only pod's container's end."""
        [pod] = self.pods()
        return dict(pod["status"]["containerStatuses"][0]["state"]["terminated"])


def until(found: Callable[[], T | None], what: str, *, seconds: float = 30) -> T:
    """The first true value, waited for."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        time.sleep(0.05)
    return value


def job(code: str, *, name: str = "it", pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A Job like the operator's whose container runs this Python."""
    policy = {"rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    one = {"name": "stage", "image": IMAGE, "args": ["-c", code], "terminationMessagePolicy": "File"}
    template = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [one], **(pod or {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": policy,
            "template": {"metadata": {"labels": {"app": name}}, "spec": template},
            **spec,
        },
    }


def mounting(code: str, secret: str) -> dict[str, Any]:
    """The same with a Secret where the operator mounts them."""
    document = job(code)
    spec = document["spec"]["template"]["spec"]
    spec["volumes"] = [{"name": "secret-0", "secret": {"secretName": secret, "defaultMode": 0o440}}]
    spec["containers"][0]["volumeMounts"] = [
        {"name": "secret-0", "mountPath": f"/var/run/sectum/secrets/{secret}", "readOnly": True}
    ]
    return document


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    folder = tmp_path_factory.mktemp("cluster")
    with control_plane(folder) as plane, controllers(plane):
        with Kubelet(plane, folder / "node", images={IMAGE: [sys.executable]}) as kubelet:
            yield kubelet
        assert not kubelet.alive(), "it left a process behind"


@pytest.fixture
def cluster(node: Kubelet) -> Cluster:
    name = f"t{next(NUMBERS)}"
    node.plane.client.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
    here = Cluster(node.plane, node, name)
    until(lambda: here.get("serviceaccounts", "default"), "the namespace has its account")
    return here


def test_a_process_that_exits_0_completes_its_job_and_its_words_are_the_pods(cluster: Cluster) -> None:
    cluster.create("jobs", job(SAY + "tell('all is well')"))
    assert cluster.ended()[0] == "Complete"
    [pod], end = cluster.pods(), cluster.terminated()
    assert (pod["status"]["phase"], end["exitCode"], end["reason"]) == ("Succeeded", 0, "Completed")
    assert end["message"] == "all is well"
    assert end["startedAt"] <= end["finishedAt"]
    assert pod["spec"]["nodeName"]
    assert not pod["metadata"].get("finalizers"), "the Job has not counted it"


def test_a_process_gets_the_environment_that_its_pod_says_and_no_more(cluster: Cluster) -> None:
    document = job(SAY + "import json; tell(json.dumps(dict(os.environ)))")
    field = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    document["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "SECTUM_POD_UID", **field},
        {"name": "SECTUM_IMAGE", "value": IMAGE},
    ]
    cluster.create("jobs", document)
    cluster.ended()
    [pod], seen = cluster.pods(), json.loads(cluster.terminated()["message"])
    given = {
        "SECTUM_POD_UID",
        "SECTUM_IMAGE",
        "SECTUM_MOUNTS",
        "SECTUM_CLOSED_WITHIN",
        "SECTUM_TERMINATION_LOG",
        "PATH",
        "TMPDIR",
    }
    assert seen.keys() - {"LC_CTYPE"} == given
    assert seen["SECTUM_POD_UID"] == pod["metadata"]["uid"]
    assert seen["SECTUM_IMAGE"] == IMAGE


def test_a_process_that_exits_3_fails_its_job_without_another_try(cluster: Cluster) -> None:
    cluster.create("jobs", job("raise SystemExit(3)"))
    assert cluster.ended() == ("Failed", "BackoffLimitExceeded")
    assert (cluster.terminated()["exitCode"], cluster.terminated()["reason"]) == (3, "Error")
    assert len(cluster.runs()) == 1


def test_the_last_4_kib_of_a_long_message_are_kept(cluster: Cluster) -> None:
    cluster.create("jobs", job(SAY + "tell('x' * 5000 + 'end')"))
    cluster.ended()
    assert cluster.terminated()["message"] == "x" * 4093 + "end"


def test_a_process_killed_for_memory_says_so(cluster: Cluster) -> None:
    cluster.node.inject(Fault.OOM_KILLED, labels={"app": "it"}, times=1, when=lambda run: run.log == "up\n")
    cluster.create("jobs", job(SLEEP))
    assert cluster.ended() == ("Failed", "BackoffLimitExceeded")
    assert (cluster.terminated()["exitCode"], cluster.terminated()["reason"]) == (137, "OOMKilled")


def test_an_evicted_pod_fails_its_job_by_its_policy(cluster: Cluster) -> None:
    cluster.node.inject(Fault.EVICTED, labels={"app": "it"}, times=1, when=lambda run: run.log == "up\n")
    cluster.create("jobs", job(SLEEP, backoffLimit=3))
    assert cluster.ended() == ("Failed", "PodFailurePolicy")
    [pod] = cluster.pods()
    [condition] = [each for each in pod["status"]["conditions"] if each["type"] == "DisruptionTarget"]
    assert (condition["status"], pod["status"]["reason"]) == ("True", "Evicted")
    assert len(cluster.runs()) == 1


def test_a_job_past_its_deadline_has_its_process_asked_to_stop(cluster: Cluster) -> None:
    cluster.create("jobs", job(SLEEP, activeDeadlineSeconds=2))
    assert cluster.ended() == ("Failed", "DeadlineExceeded")
    [run] = cluster.runs()
    assert run.exit_code == 7, "SIGTERM did not reach it"


def test_a_pod_waits_for_its_secret_and_runs_when_it_is_there(cluster: Cluster) -> None:
    code = SAY + "tell(pathlib.Path(os.environ['SECTUM_MOUNTS'], 'secrets/sectum-surface-a/key').read_text())"
    cluster.create("jobs", mounting(code, "sectum-surface-a"))

    def held() -> Any:
        told = [each for each in cluster.get("events")["items"] if each["reason"] == "FailedMount"]
        state = [each["status"]["containerStatuses"][0]["state"] for each in cluster.pods() if told]
        return state and state[0]["waiting"]["reason"]

    assert until(held, "the pod waits") == "ContainerCreating"
    assert cluster.pods()[0]["status"]["phase"] == "Pending"
    secret = {"metadata": {"name": "sectum-surface-a"}, "stringData": {"key": "of alice"}}
    cluster.create("secrets", secret)
    assert cluster.ended()[0] == "Complete"
    assert cluster.terminated()["message"] == "of alice"
    assert not list(cluster.runs()[0].folder.rglob("key")), "the Secret lies about after the pod's end"


def test_a_pod_waits_for_its_image(cluster: Cluster, node: Kubelet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "images", {})
    cluster.create("jobs", job("print(1)"))
    status = until(lambda: [p["status"] for p in cluster.pods() if "containerStatuses" in p["status"]], "told")
    assert status[0]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff"
    monkeypatch.undo()
    assert cluster.ended()[0] == "Complete"


@pytest.mark.parametrize("fault", [Fault.UNSCHEDULABLE, Fault.HELD_MOUNT])
def test_a_pod_is_held_for_as_long_as_the_test_wants(cluster: Cluster, fault: Fault) -> None:
    held = cluster.node.inject(fault, labels={"app": "it"})
    cluster.create("jobs", job("print(1)"))
    until(lambda: held.met, "it is held")
    time.sleep(0.5)
    [pod] = cluster.pods()
    scheduled = {each["type"]: each for each in pod["status"]["conditions"]}["PodScheduled"]
    assert scheduled["status"] == ("False" if fault is Fault.UNSCHEDULABLE else "True")
    assert pod["status"]["phase"] == "Pending"
    assert not cluster.node.alive()
    held.lift()
    assert cluster.ended()[0] == "Complete"


@pytest.mark.parametrize("fault", [Fault.UNSCHEDULABLE, Fault.HELD_MOUNT])
def test_the_deadline_ends_what_never_ran(cluster: Cluster, fault: Fault) -> None:
    held = cluster.node.inject(fault, labels={"app": "it"})
    cluster.create("jobs", job("print(1)", activeDeadlineSeconds=1))
    assert cluster.ended() == ("Failed", "DeadlineExceeded")
    held.lift()
    assert cluster.runs()[0].started is None


def test_a_deleted_pods_process_is_asked_to_stop_and_its_end_is_told(cluster: Cluster) -> None:
    cluster.create("jobs", job(SLEEP))
    run = cluster.up()
    cluster.delete("pods", run.pod["metadata"]["name"])
    assert cluster.ended()[0] == "Failed"
    assert run.exit_code == 7
    until(lambda: not cluster.pods(), "the pod is gone")


def test_a_process_that_does_not_listen_is_killed_after_its_grace(cluster: Cluster) -> None:
    cluster.create("jobs", job(DEAF, pod={"terminationGracePeriodSeconds": 1}))
    run, began = cluster.up(), time.monotonic()
    cluster.delete("pods", run.pod["metadata"]["name"])
    assert cluster.ended()[0] == "Failed"
    assert run.exit_code == 137
    assert time.monotonic() - began >= 1


def test_a_vanished_pod_is_not_counted_and_the_job_makes_another(cluster: Cluster) -> None:
    cluster.node.inject(Fault.VANISHED, labels={"app": "it"}, times=1, when=lambda run: run.log == "up\n")
    cluster.create("jobs", job(SAY + "print('up', flush=True)\ntime.sleep(2)"))
    assert cluster.ended()[0] == "Complete"
    first, second = cluster.runs()
    assert (first.exit_code, second.exit_code) == (137, 0)
    assert [pod["metadata"]["uid"] for pod in cluster.pods()] == [second.pod["metadata"]["uid"]]


def test_what_an_owner_leaves_is_collected(cluster: Cluster) -> None:
    owner = cluster.create("configmaps", {"metadata": {"name": "owner"}})
    document = job(SLEEP)
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    document["metadata"]["ownerReferences"] = [{**reference, "controller": True, "blockOwnerDeletion": False}]
    cluster.create("jobs", document)
    run = cluster.up()
    cluster.delete("configmaps", "owner")
    until(lambda: cluster.get("jobs", "it") is None, "the Job is collected")
    until(lambda: not cluster.pods(), "its pod is")
    assert run.exit_code == 7


def test_a_namespace_can_go_with_all_that_runs_in_it(cluster: Cluster) -> None:
    cluster.create("jobs", job(SLEEP))
    run = cluster.up()
    path = f"/api/v1/namespaces/{cluster.namespace}"
    cluster.plane.client.delete(path).raise_for_status()
    gone = httpx.codes.NOT_FOUND
    until(lambda: cluster.plane.client.get(path).status_code == gone, "the namespace is gone", seconds=60)
    assert run.exit_code == 7


def test_a_pod_that_mounts_its_accounts_token_is_that_account(cluster: Cluster) -> None:
    code = SAY + (
        "import json, ssl, urllib.request as web\n"
        "config = json.load(open(os.environ['SECTUM_KUBECONFIG']))\n"
        "to, token = config['clusters'][0]['cluster'], config['users'][0]['user']['token']\n"
        "url = to['server'] + '/apis/authentication.k8s.io/v1/selfsubjectreviews'\n"
        'body = b\'{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}\'\n'
        "head = {'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json'}\n"
        "asked = web.Request(url, body, head)\n"
        "context = ssl.create_default_context(cafile=to['certificate-authority'])\n"
        "tell(json.load(web.urlopen(asked, context=context))['status']['userInfo']['username'])\n"
    )
    cluster.create("serviceaccounts", {"metadata": {"name": "sectum-prepare"}})
    mine = {"automountServiceAccountToken": True, "serviceAccountName": "sectum-prepare"}
    cluster.create("jobs", job(code, pod=mine))
    assert cluster.ended()[0] == "Complete", cluster.runs()[0].log
    assert cluster.terminated()["message"] == f"system:serviceaccount:{cluster.namespace}:sectum-prepare"


def test_nothing_outlives_the_kubelet(cluster: Cluster, tmp_path: Path) -> None:
    # A child of the process's own: it is in the session that is killed.
    child = "import subprocess; at = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])\n"
    document = job(SAY + child + "print(at.pid, flush=True); time.sleep(99)")
    document["spec"]["template"]["spec"]["nodeName"] = "other"
    with Kubelet(cluster.plane, tmp_path / "node", images={IMAGE: [sys.executable]}, name="other") as other:
        cluster.create("jobs", document)
        run = until(lambda: next((run for run in other.runs if run.log), None), "it is up")
        pid = int(run.log)
        assert Path(f"/proc/{pid}").exists()
    assert run.exit_code == 137
    until(
        lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text(), "its child is gone"
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"command": ["sh"]}, "command"),
        ({"envFrom": [{"secretRef": {"name": "a"}}]}, "envFrom"),
        ({"volumeMounts": [{"name": "host", "mountPath": "/var/run/sectum/x"}]}, "the volume host"),
        ({"volumeMounts": [{"name": "sealed", "mountPath": "/elsewhere"}]}, "the volume sealed"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}, "env from"),
    ],
)
def test_what_it_cannot_do_it_refuses(change: dict[str, Any], named: str) -> None:
    volumes = [{"name": "host", "hostPath": {"path": "/"}}, {"name": "sealed", "secret": {"secretName": "s"}}]
    one = {"name": "stage", "image": IMAGE, **change}
    pod = {"metadata": {}, "spec": {"restartPolicy": "Never", "volumes": volumes, "containers": [one]}}
    with pytest.raises(Unsupported, match=named):
        _ = container(pod), secrets_of(pod), environment(pod, Path(os.devnull), {})
