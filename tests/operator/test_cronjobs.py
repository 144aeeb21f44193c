"""A scenario with a schedule owns one CronJob, and a tick asks for one run, however often it is fired."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from sectum import cron
from sectum.errors import UsageError
from sectum.scenario import Scenario, parse
from sectum_operator.acceptance import accept
from sectum_operator.api import CRONJOBS, SCENARIOS
from sectum_operator.cronjobs import SPEC, cron_job, cron_job_name
from sectum_operator.scenarios import Scenarios
from sectum_operator.trigger import slot_of, trigger

from tests.operator import cluster
from tests.operator.fake_api import FakeApi, spelt, why
from tests.operator.samples import ROOT

NAME = cron_job_name("minimal", cluster.SCENARIO_UID)


def parsed(**spec: Any) -> Scenario:
    document = cluster.scenario()
    return parse({**document, "metadata": {"name": "minimal"}, "spec": {**document["spec"], **spec}})


def made(**spec: Any) -> dict[str, Any]:
    about = parsed(schedule="0 3 1 * *", **spec)
    return cron_job(about, cluster.SCENARIO_UID, namespace="runs", image=cluster.IMAGES.operator)


class World:
    """A scenario and the API server that has it."""

    def __init__(self, **spec: Any) -> None:
        self.api = FakeApi()
        self.about = self.api.put(SCENARIOS, cluster.scenario())
        self.change(**spec)

    def change(self, **spec: Any) -> None:
        self.about["spec"] |= spec
        self.about["metadata"]["generation"] += 1
        self.api._touch(self.about)

    def look(self, *, images: Any = cluster.IMAGES) -> float | None:
        return asyncio.run(Scenarios(self.api, images, self.api.clock).look(cluster.NAMESPACE, "minimal"))

    def cron_job(self) -> dict[str, Any] | None:
        found = self.api.all(CRONJOBS)
        assert len(found) <= 1
        return found[0] if found else None

    def scheduled(self) -> tuple[str, str] | None:
        return why(self.about, "Scheduled")


def test_a_scenario_with_a_schedule_owns_one_cron_job_and_nothing_is_written_again() -> None:
    world = World(schedule="0 3 1 * *", timeZone="Europe/Berlin", startingDeadlineSeconds=600)
    assert world.look() is None
    found = world.cron_job()
    assert found is not None
    [owner] = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("IsolationScenario", cluster.SCENARIO_UID, True)
    kept = {name: found["spec"][name] for name in ("schedule", "timeZone", "startingDeadlineSeconds")}
    assert kept == {"schedule": "0 3 1 * *", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 600}
    assert world.scheduled() == ("True", "Scheduled")
    before = list(world.api.writes)
    world.look()
    assert world.api.writes == before


def test_by_hand_there_is_none() -> None:
    world = World()
    world.look()
    assert world.cron_job() is None
    assert world.scheduled() == ("False", "NoSchedule")


@pytest.mark.parametrize(("spec", "reason"), [({"suspend": True}, "Suspended"), ({"schedule": None}, "NoSchedule")])
def test_at_rest_there_is_none_so_that_no_tick_is_made_up_for(spec: dict[str, Any], reason: str) -> None:
    world = World(schedule="* * * * *")
    world.look()
    world.change(**spec)
    world.look()
    assert world.cron_job() is None
    assert world.scheduled() == ("False", reason)
    world.change(schedule="* * * * *", suspend=False)
    world.look()
    assert world.scheduled() == ("True", "Scheduled")
    assert world.cron_job()


def test_a_scenario_that_cannot_be_run_gets_none_and_keeps_the_one_that_it_has() -> None:
    world = World(schedule="0 3 1 * *")
    store = world.about["spec"]["evidence"].pop("store")
    world.look()
    assert world.cron_job() is None
    assert world.scheduled() == ("False", "NotForCluster")
    world.about["spec"]["evidence"]["store"] = store
    world.look()
    before = world.cron_job()
    del world.about["spec"]["evidence"]["store"]
    world.change(schedule="0 4 1 * *")
    world.look()
    assert world.cron_job() == before
    assert world.scheduled() == ("False", "NotForCluster")


def replaced(world: World, **about: Any) -> bool:
    """Is it replaced by what the scenario wants now, within a few looks?"""
    before = world.cron_job()
    assert before
    for _ in range(3):
        world.look(**about)
    now = world.cron_job()
    assert now
    return bool(now["metadata"]["uid"] != before["metadata"]["uid"])


def test_what_changes_the_cron_job_replaces_it_and_what_does_not_leaves_it() -> None:
    world = World(schedule="0 3 1 * *")
    world.look()
    world.change(successfulRunsHistoryLimit=7, concurrencyPolicy="Replace")
    assert not replaced(world)
    for change in ({"schedule": "0 4 1 * *"}, {"timeZone": "Asia/Tokyo"}, {"startingDeadlineSeconds": 60}):
        world.change(**change)
        assert replaced(world), change
    assert replaced(world, images=type(cluster.IMAGES)("registry.example/o@sha256:" + "cc" * 32, "any"))
    assert replaced(world)
    found = world.cron_job()
    assert found
    assert found["spec"]["schedule"] == "0 4 1 * *"
    found["metadata"]["generation"] = 2  # somebody has changed it
    assert replaced(world)
    assert world.scheduled() == ("True", "Scheduled")


def test_a_tick_that_is_due_is_left_to_the_one_that_is_there() -> None:
    world = World(schedule="0 13 * * *")
    world.look()
    found = world.cron_job()
    assert found
    world.change(schedule="0 14 * * *")
    world.api.now = datetime(2026, 11, 24, 12, 59, 45, tzinfo=UTC)
    assert not replaced(world), "a tick is about to come"
    world.api.now = datetime(2026, 11, 24, 13, 40, 0, tzinfo=UTC)
    assert not replaced(world), "the cluster was away, and its controller has not seen to it yet"
    assert world.scheduled() == ("True", "Waiting")
    found["status"] = {"lastScheduleTime": "2026-11-24T13:00:00Z", "active": [{"name": "x"}]}
    world.api.now = datetime(2026, 11, 24, 13, 1, 0, tzinfo=UTC)
    assert not replaced(world), "its trigger is at work"
    world.api.now += timedelta(minutes=2)
    assert replaced(world)


TICK, DONE = "2026-11-24T13:00:00Z", "2026-11-24T13:00:09Z"


@pytest.mark.parametrize(
    ("status", "minutes", "says"),
    [
        ({}, 60, "Scheduled"),
        ({"lastScheduleTime": TICK}, 14, "Scheduled"),
        ({"lastScheduleTime": TICK, "active": [{"name": "x"}]}, 60, "Scheduled"),
        ({"lastScheduleTime": TICK, "lastSuccessfulTime": DONE}, 60, "Scheduled"),
        ({"lastScheduleTime": TICK, "lastSuccessfulTime": "2026-11-23T13:00:09Z"}, 15, "TriggerFailed"),
        ({"lastScheduleTime": TICK}, 15, "TriggerFailed"),
    ],
    ids=["no tick yet", "may succeed yet", "at work, late", "succeeded", "failed", "always failed"],
)
def test_a_trigger_that_failed_is_said_until_one_succeeds(status: dict[str, Any], minutes: int, says: str) -> None:
    world = World(schedule="0 13 * * *")
    world.look()
    found = world.cron_job()
    assert found
    found["status"] = status
    world.api.now = datetime(2026, 11, 24, 13, minutes % 60, 0, tzinfo=UTC) + timedelta(hours=minutes // 60)
    world.look()
    assert world.scheduled() == ("True" if says == "Scheduled" else "Unknown", says)
    found["status"] = {"lastScheduleTime": TICK, "lastSuccessfulTime": DONE}
    world.look()
    assert world.scheduled() == ("True", "Scheduled")


def test_a_tick_that_came_too_late_to_be_started_holds_nothing_up() -> None:
    world = World(schedule="0 13 * * *", startingDeadlineSeconds=600)
    world.look()
    world.change(schedule="0 14 * * *")
    world.api.now = datetime(2026, 11, 24, 13, 10, 1, tzinfo=UTC)
    assert replaced(world)


def test_somebody_s_cron_job_of_that_name_is_left_alone() -> None:
    world = World(schedule="0 3 1 * *")
    world.api.put(CRONJOBS, {"metadata": {"name": NAME, "ownerReferences": []}, "spec": {}})
    assert world.look() == timedelta(minutes=1).total_seconds()
    assert world.scheduled() == ("False", "NameTaken")
    world.change(schedule=None)
    world.look()
    assert world.cron_job()


def test_a_refusal_of_the_fence_is_said_and_asked_again() -> None:
    world = World(schedule="0 3 1 * *")
    world.api.refuse = lambda kind, _: kind == CRONJOBS
    assert world.look() == 60
    assert world.scheduled() == ("False", "JobDenied")


def test_names_have_room_for_a_tick_and_are_those_of_one_scenario() -> None:
    longest = cron_job_name("a" * 40, cluster.SCENARIO_UID)
    assert len(longest) <= 52
    assert len(f"{longest}-{2**31 // 60}") <= 63
    assert cron_job_name("minimal", cluster.RUN_UID) != NAME


def test_the_digest_is_that_of_what_was_asked_for() -> None:
    assert made()["metadata"]["annotations"] == made()["metadata"]["annotations"]
    assert made()["metadata"]["annotations"][SPEC] != made(timeZone="Asia/Tokyo")["metadata"]["annotations"][SPEC]


def test_a_cron_job_that_somebody_deleted_is_made_again() -> None:
    world = World(schedule="0 3 1 * *")
    world.look()
    world.api.remove(CRONJOBS, NAME)
    world.look()
    assert world.cron_job()


def test_the_example_for_production_is_taken_by_a_cluster_and_has_a_tick_a_month() -> None:
    example = yaml.safe_load((ROOT / "examples" / "production" / "scenario.yaml").read_text())
    found = accept(example)
    assert isinstance(found, Scenario), found
    spec = cron_job(found, cluster.SCENARIO_UID, namespace="runs", image=cluster.IMAGES.operator)["spec"]
    year = {"after": datetime(2026, 1, 1, tzinfo=UTC), "until": datetime(2027, 1, 1, tzinfo=UTC)}
    assert len(list(cron.ticks(spec["schedule"], spec["timeZone"], **year))) == 12


TICK = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
JOB = f"minimal-0123abcd-{int(TICK.timestamp()) // 60}"


def test_a_job_s_name_says_the_tick() -> None:
    assert slot_of(JOB, scenario="minimal", now=TICK) == "2026-12-01T03:00:00Z"


@pytest.mark.parametrize(
    ("job", "now"),
    [("by-hand", TICK), ("minimal-0123abcd-29000000x", TICK), (JOB.replace("minimal", "other"), TICK),
     (JOB.replace("-0123abcd", ""), TICK), (JOB, TICK - timedelta(minutes=3)), (JOB, TICK + timedelta(days=9))],
)  # fmt: skip
def test_what_no_schedule_started_is_no_tick(job: str, now: datetime) -> None:
    with pytest.raises(UsageError, match="by hand create a VerificationRun"):
        slot_of(job, scenario="minimal", now=now)


@contextlib.contextmanager
def answering(status: int, folder: Path) -> Iterator[list[tuple[str, Any]]]:
    """An API server that says the same to everybody; what it was asked. SECTUM_KUBECONFIG is its."""
    asked: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body))
            refusal = {"kind": "Status", "apiVersion": "v1", "code": status, "message": "sk-secret"}
            told = json.dumps(body if status == 201 else refusal).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(told)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: Any) -> None:
            """Be silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "x", "user": {}}],
        }  # fmt: skip
        (folder / "kubeconfig").write_text(json.dumps(config))
        yield asked
        server.shutdown()


@pytest.mark.parametrize(("answer", "status"), [(201, 0), (409, 0), (403, 3), (422, 3), (429, 75), (503, 75)])
def test_a_run_that_is_there_is_success_and_a_refusal_is_told_by_the_exit_status(
    answer: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    job = f"minimal-0123abcd-{int(now.timestamp()) // 60}"
    given = {
        "JOB": job,
        "NAMESPACE": "runs",
        "TERMINATION_LOG": tmp_path / "said",
        "KUBECONFIG": tmp_path / "kubeconfig",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"SECTUM_{name}", str(value))
    with answering(answer, tmp_path) as asked:
        assert trigger(scenario="minimal") == status
    [(path, body)] = asked
    assert path.partition("?")[0] == "/apis/sectum.ai/v1alpha1/namespaces/runs/verificationruns"
    assert body["metadata"] == {"name": job, "namespace": "runs"}
    assert body["spec"] == {"scenarioRef": {"name": "minimal"}, "slot": spelt(now)}
    message = (tmp_path / "said").read_text()
    assert json.loads(message)["ok"] is (status == 0)
    assert json.loads(message).get("made") == {201: True, 409: False}.get(answer)
    assert "sk-secret" not in message
