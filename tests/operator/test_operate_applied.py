"""The operator's process and its writer against a real API server; Jobs and pods end as the test says."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sectum.codec import canonical, sha256
from sectum_operator.api import JOBS, PACKS, RUNS, SCENARIOS, AlreadyThere, Denied, Resource, TryAgain, connect
from sectum_operator.apply import Writer
from sectum_operator.definitions import GROUP, KINDS
from sectum_operator.stages import FINALIZER, work_of

from tests.operator import cluster
from tests.operator.control_plane import _free_ports, running
from tests.operator.fake_api import world

ROOT = Path(__file__).parents[2]
SECONDS = 60
pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Server:
    """An API server with our kinds, and the file by which others find it."""

    client: httpx.Client
    kubeconfig: Path

    def path(self, kind: Resource, namespace: str, name: str = "", part: str = "") -> str:
        return kind.path(namespace, name, part)

    def put(self, kind: Resource, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        body = copy.deepcopy(body)
        body["metadata"] = {
            key: body["metadata"][key] for key in ("name", "labels", "ownerReferences") if key in body["metadata"]
        }
        answer = self.client.post(kind.path(namespace), params={"fieldValidation": "Strict"}, json=body)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def all(self, kind: Resource, namespace: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get(kind.path(namespace)).json()["items"]
        return found

    def get(self, kind: Resource, namespace: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(kind.path(namespace, name)).json()
        return found

    def patch(self, kind: Resource, namespace: str, name: str, body: Any, part: str = "") -> None:
        answer = self.client.patch(
            kind.path(namespace, name, part), json=body, headers={"Content-Type": "application/merge-patch+json"}
        )
        assert answer.is_success, answer.text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("control-plane")
    with running(folder) as client:
        for path in sorted((ROOT / "crds").iterdir()):
            crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            assert client.post(crds, json=yaml.safe_load(path.read_text())).status_code == httpx.codes.CREATED
        until(lambda: all(client.get(f"/apis/{GROUP}/v1alpha1/{each.plural}").is_success for each in KINDS))
        config = {
            "current-context": "test", "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {
                "server": str(client.base_url).rstrip("/"),
                "certificate-authority": str(folder / "certificates" / "apiserver.crt"),
            }}],
            "users": [{"name": "test", "user": {"token": client.headers["Authorization"].removeprefix("Bearer ")}}],
        }  # fmt: skip
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        yield Server(client, folder / "kubeconfig")


def until(done: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


@pytest.fixture
def namespace(server: Server) -> str:
    name = f"runs-{time.monotonic_ns()}"
    server.client.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
    return name


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


PODS = Resource("", "v1", "pods")
stages = world()


def end_jobs(server: Server, namespace: str) -> None:
    """What a cluster would have done to every Job meanwhile: a pod of it has ended well."""
    for job in server.all(JOBS, namespace):
        meta, work = job["metadata"], work_of(job["metadata"]["labels"])
        assert work
        if "deletionTimestamp" in meta:
            server.patch(JOBS, namespace, meta["name"], {"metadata": {"finalizers": None}})
            continue
        if job.get("status", {}).get("conditions"):
            continue
        spec = job["spec"]["template"]["spec"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True}
        pod = {"metadata": {"name": meta["name"], "labels": meta["labels"], "ownerReferences": [owner]}, "spec": spec}
        server.put(PODS, namespace, pod)
        stages.did.add((work.stage, work.surface))
        ended = {"exitCode": 0, "reason": "Completed", "message": json.dumps(stages.message(work))}
        container = {"name": "stage", "image": "i", "imageID": "i", "ready": False, "restartCount": 0}
        status = {"phase": "Succeeded", "containerStatuses": [{**container, "state": {"terminated": ended}}]}
        server.patch(PODS, namespace, meta["name"], {"status": status}, "status")
        conditions = [
            {"type": kind, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now()}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        done = {"conditions": conditions, "startTime": now(), "completionTime": now(), "succeeded": 1}
        server.patch(JOBS, namespace, meta["name"], {"status": done}, "status")


def condition(found: dict[str, Any], kind: str) -> str | None:
    conditions = found.get("status", {}).get("conditions", ())
    return next((each["reason"] for each in conditions if each["type"] == kind and each["status"] == "True"), None)


def applied(server: Server, namespace: str, **spec: Any) -> None:
    scenario = cluster.scenario()
    write = scenario["spec"]["surfaces"][0]["adapter"]["http"]["write"]
    write["request"]["json"]["folder"] = None  # means something to the surface, and is kept
    server.put(SCENARIOS, namespace, scenario)
    server.put(RUNS, namespace, cluster.run(**spec))


@pytest.fixture
def process(server: Server, namespace: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """`sectum-operator operate`, as its container starts it; its health endpoint, its log."""
    port, metrics = _free_ports(2)
    health, log = f"http://127.0.0.1:{port}/healthz", tmp_path / "log"
    (tmp_path / "metrics").write_text(f"http://127.0.0.1:{metrics}/metrics")
    environment = {
        **os.environ, "KUBECONFIG": str(server.kubeconfig), "SECTUM_NAMESPACES": namespace, "SECTUM_HEALTH": health,
        "SECTUM_OPERATOR_IMAGE": cluster.IMAGES.operator, "SECTUM_PROBES_IMAGE": cluster.IMAGES.probes,
        "SECTUM_METRICS_PORT": str(metrics),
    }  # fmt: skip
    with log.open("wb") as output:
        started = subprocess.Popen(
            [str(Path(sys.executable).parent / "sectum-operator"), "operate"], env=environment, stderr=output
        )
    try:
        yield started, health, log
    finally:
        started.kill()
        started.wait()


def test_the_operator_takes_a_run_to_its_pack_and_ends_on_sigterm(
    server: Server, namespace: str, process: tuple[subprocess.Popen[bytes], str, Path]
) -> None:
    operator, health, log = process
    applied(server, namespace)

    def ended() -> bool:
        assert operator.poll() is None, log.read_text()
        end_jobs(server, namespace)
        return condition(server.get(RUNS, namespace, "nightly-1"), "Complete") is not None

    until(ended)
    run = server.get(RUNS, namespace, "nightly-1")
    assert (run["status"]["verdict"], run["status"]["phase"]) == ("Pass", "Complete")
    assert run["metadata"].get("finalizers", []) == []
    kept = run["status"]["scenario"]
    assert kept["sha256"] == sha256(canonical(kept["snapshot"]))
    assert len(server.all(JOBS, namespace)) == 11
    [pack] = server.all(PACKS, namespace)
    assert condition(pack, "Verified") == "Verified"
    until(lambda: "lastRun" in server.get(SCENARIOS, namespace, "minimal").get("status", {}))
    scenario = server.get(SCENARIOS, namespace, "minimal")
    assert condition(scenario, "Ready") == "Accepted"
    assert scenario["status"]["lastRun"]["pack"]["name"] == pack["metadata"]["name"]
    assert httpx.get(health, trust_env=False).json() == {"counted": "lately"}
    told = httpx.get((log.parent / "metrics").read_text(), trust_env=False).text
    mine = f'{{namespace="{namespace}",scenario="minimal"}}'
    for sample in (
        f'sectum_runs_ended_total{{namespace="{namespace}",reason="Pass",verdict="Pass"}} 1.0',
        f"sectum_runs_active{mine} 0.0", f"sectum_runs_not_cleaned{mine} 0.0", f"sectum_scenario_leak{mine} 0.0",
        f'sectum_scenario_last_verdict{{namespace="{namespace}",scenario="minimal",verdict="Pass"}} 1.0',
        f'sectum_leader{{namespace="{namespace}"}} 1.0', 'sectum_objects{kind="VerificationRun"} 1.0',
        'sectum_watch_unannounced_objects{kind="VerificationRun"} 0.0',
    ):  # fmt: skip
        assert f"\n{sample}\n" in told, sample
    assert f"sectum_scenario_last_success_timestamp_seconds{mine} " in told
    assert 'sectum_api_requests_total{code="201",method="POST"}' in told
    operator.send_signal(signal.SIGTERM)
    assert operator.wait(15) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line.get("surface") == "api" and line["run"] == f"{namespace}/nightly-1" for line in lines)
    assert not [line for line in lines if line["level"] in ("error", "critical")], lines


def written(server: Server, do: Callable[[Writer], Awaitable[Any]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a writer do something against the server."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))

    async def go() -> Any:
        api = connect()
        try:
            return await do(Writer(api, cluster.IMAGES, lambda: datetime.now(UTC)))
        finally:
            await api.close()

    return asyncio.run(go())


def test_cancelled_while_planting_a_run_cleans_up_and_the_server_takes_every_status(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(server, namespace)

    async def do(writer: Writer) -> None:
        for _ in range(60):
            await writer.run(namespace, "nightly-1")
            jobs = [work_of(each["metadata"]["labels"]) for each in server.all(JOBS, namespace)]
            if any(work and work.stage == "plant" for work in jobs):
                assert FINALIZER in server.get(RUNS, namespace, "nightly-1")["metadata"]["finalizers"] or cancelled
                if not cancelled:
                    cancelled.append(True)
                    server.patch(RUNS, namespace, "nightly-1", {"spec": {"cancel": True}})
                    continue
            end_jobs(server, namespace)
            if condition(server.get(RUNS, namespace, "nightly-1"), "Complete"):
                return

    cancelled: list[bool] = []
    stages.did.clear()
    written(server, do, monkeypatch)
    run = server.get(RUNS, namespace, "nightly-1")
    assert condition(run, "Complete") == "Inconclusive"
    assert condition(run, "CleanedUp") == "Removed"
    assert {each["reason"] for each in run["status"]["surfaces"]} == {"Cancelled"}


def test_of_two_runs_of_a_scenario_the_younger_is_forbidden(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(server, namespace)
    second = cluster.run()
    second["metadata"]["name"] = "nightly-2"
    server.put(RUNS, namespace, second)

    async def do(writer: Writer) -> None:
        await asyncio.gather(*(writer.run(namespace, name) for name in ("nightly-1", "nightly-2") for _ in range(4)))
        for name in ("nightly-1", "nightly-2"):  # whoever came first and waited for the older one is looked at again
            await writer.run(namespace, name)

    written(server, do, monkeypatch)
    runs = server.all(RUNS, namespace)
    ends = sorted(str(condition(each, "Complete")) for each in runs)
    assert ends == ["ConcurrencyForbidden", "None"]
    assert {each["metadata"]["labels"]["sectum.ai/run"] for each in server.all(JOBS, namespace)} == {
        each["metadata"]["name"] for each in runs if condition(each, "Accepted")
    }


def test_the_server_s_refusals_are_told_apart(server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    applied(server, namespace)

    async def do(writer: Writer) -> None:
        api, run = writer.api, cluster.run()
        body = {**run, "metadata": {"name": "nightly-1", "namespace": namespace}}
        with pytest.raises(AlreadyThere):
            await api.create(RUNS, namespace, body)
        with pytest.raises(Denied):
            await api.create(RUNS, namespace, {**body, "spec": {"timeout": "never"}, "metadata": {"name": "x"}})
        with pytest.raises(TryAgain):
            await api.replace(RUNS, namespace, "nightly-1", version="1", pointer="/status", value={"phase": "Probing"})
        assert await api.get(RUNS, namespace, "none") is None
        with pytest.raises(Denied, match="no kind nothings"):
            await api.list(Resource("sectum.ai", "v1alpha1", "nothings"), namespace)
        await api.delete(JOBS, namespace, "none")
        found = await api.list(RUNS, namespace, fields="spec.scenarioRef.name=minimal")
        assert [each["metadata"]["name"] for each in found] == ["nightly-1"]
        server.client.delete(f"/api/v1/namespaces/{namespace}").raise_for_status()
        with pytest.raises(Denied) as caught:
            await api.create(RUNS, namespace, {**body, "metadata": {"name": "y"}})
        assert caught.value.terminating

    written(server, do, monkeypatch)
