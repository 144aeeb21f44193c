"""What the operator's metrics say, read as Prometheus reads them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sectum.errors import UsageError
from sectum_operator import handlers
from sectum_operator.api import RUNS, KubeApi, TryAgain
from sectum_operator.apply import Writer
from sectum_operator.handlers import Key, Kind, Known
from sectum_operator.inventory import RUN, SCENARIO, Inventory
from sectum_operator.metrics import Metrics
from sectum_operator.statuses import RunStatus
from sectum_operator.telling import condition
from sectum_operator.workqueue import WorkQueue

from tests.operator import cluster
from tests.operator.control_plane import _free_ports
from tests.operator.fake_api import FakeApi, world

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
Said = dict[tuple[str, ...], float]


def read(metrics: Metrics, name: str) -> Said:
    """The samples of that name, by their labels' values in the labels' order by name."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        for sample in family.samples
        if sample.name == name
    }


def scenario(version: int = 1, name: str = "nightly", **last: Any) -> dict[str, Any]:
    meta = {"namespace": "runs", "name": name, "resourceVersion": str(version)}
    status: dict[str, Any] = {
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Passing", "status": "Unknown"}]
    }
    if last:
        status["lastRun"] = {"name": "r", "finishedAt": "2026-11-24T11:00:00Z", **last}
    return {"metadata": {**meta, "creationTimestamp": "2026-11-01T00:00:00Z"}, "spec": {}, "status": status}


def run(version: int = 1, name: str = "one", of: str = "nightly", ended: str = "", **conditions: str) -> dict[str, Any]:
    """`conditions` are `Complete="True"` or `CleanedUp="False NotRemoved 3 documents; the pack lists them"`."""
    made = [
        dict(zip(("type", "status", "reason", "message"), (kind, *told.split(" ", 2)), strict=False))
        for kind, told in conditions.items()
    ]
    status = {"conditions": made} | ({"verdict": ended, "finishedAt": "2026-11-23T12:00:00Z"} if ended else {})
    meta = {"namespace": "runs", "name": name, "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"scenarioRef": {"name": of}}, "status": status}


def made(clock: Callable[[], float] = NOW.timestamp) -> tuple[Inventory, Metrics]:
    inventory = Inventory(clock)
    return inventory, Metrics(inventory, ["runs"])


SUCCESS = "sectum_scenario_last_success_timestamp_seconds"


def test_gauges_say_what_there_is_and_forget_what_has_gone() -> None:
    inventory, metrics = made()
    inventory.told(SCENARIO, scenario(1, verdict="Inconclusive"), gone=False)
    inventory.told(RUN, run(2, "pending"), gone=False)
    inventory.told(RUN, run(3, "active", Accepted="True", Complete="False"), gone=False)
    left = "False NotRemoved 3 documents; the pack lists them"
    inventory.told(RUN, run(4, "ended", ended="Pass", Accepted="True", Complete="True", CleanedUp=left), gone=False)
    inventory.told(RUN, run(5, "refused", Accepted="False", Complete="True"), gone=False)
    nightly = ("runs", "nightly")
    assert read(metrics, "sectum_runs_active") == read(metrics, "sectum_runs_pending") == {nightly: 1}
    assert read(metrics, "sectum_documents_not_removed") == {nightly: 3}
    assert read(metrics, "sectum_runs_not_cleaned") == {nightly: 1}
    assert read(metrics, SUCCESS) == {nightly: datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()}
    assert read(metrics, "sectum_scenario_last_run_timestamp_seconds") == {
        nightly: datetime(2026, 11, 24, 11, tzinfo=UTC).timestamp()
    }
    verdicts = read(metrics, "sectum_scenario_last_verdict")
    assert {verdict for (*_, verdict), value in verdicts.items() if value} == {"Inconclusive"}
    assert len(verdicts) == 4
    conditions = read(metrics, "sectum_scenario_condition")
    assert conditions["Passing", "runs", "nightly", "Unknown"] == conditions["Ready", "runs", "nightly", "True"] == 1
    assert conditions["Ready", "runs", "nightly", "False"] == 0
    for name in ("pending", "active", "ended", "refused"):
        inventory.told(RUN, run(6, name), gone=True)
    assert read(metrics, "sectum_runs_active") == read(metrics, "sectum_documents_not_removed") == {nightly: 0}
    assert read(metrics, SUCCESS) != {}, "a run's object may go, its success was"
    inventory.told(SCENARIO, scenario(7), gone=True)
    assert not [
        sample for family in metrics.registry.collect() for sample in family.samples if "scenario" in sample.labels
    ]


def test_only_a_run_that_has_ended_counts_as_uncleaned_whatever_it_said_last() -> None:
    inventory, metrics = made()
    inventory.told(
        RUN, run(1, "a", Accepted="True", Complete="False", CleanedUp="False NotRemoved 3 documents"), gone=False
    )
    inventory.told(RUN, run(2, "b", Accepted="True", Complete="True", CleanedUp="False Running"), gone=False)
    inventory.told(RUN, run(3, "c", Accepted="True", Complete="True", CleanedUp="False CleanDeadline"), gone=False)
    inventory.told(RUN, run(4, "d", Accepted="True", Complete="True", CleanedUp="True Removed"), gone=False)
    assert read(metrics, "sectum_runs_not_cleaned") == {("runs", "nightly"): 2}


def test_after_a_restart_a_listing_says_the_same_and_an_older_one_takes_nothing_back() -> None:
    inventory, metrics = made()
    inventory.listed(RUN, "runs", [run(3, ended="Leak", Accepted="True", Complete="True")])
    inventory.listed(SCENARIO, "runs", [scenario(4, verdict="Leak")])
    assert set(read(metrics, SUCCESS)) == {("runs", "nightly")}
    inventory.listed(RUN, "runs", [run(2, Accepted="True", Complete="False")])
    assert read(metrics, "sectum_runs_active") == {("runs", "nightly"): 0}
    inventory.listed(SCENARIO, "runs", [])
    assert read(metrics, SUCCESS) == {}


def test_a_scenario_made_anew_has_not_succeeded_by_its_namesakes_runs() -> None:
    inventory, metrics = made()
    inventory.listed(RUN, "runs", [run(1, ended="Pass", Accepted="True", Complete="True")])
    anew = scenario(2)
    anew["metadata"]["creationTimestamp"] = "2026-11-24T00:00:00Z"
    inventory.listed(SCENARIO, "runs", [anew])
    assert read(metrics, SUCCESS) == {}


def test_a_watch_that_does_not_tell_what_a_listing_shows_is_seen_and_ends_the_process() -> None:
    now = [0.0]
    inventory, metrics = made(lambda: now[0])
    known = Known(WorkQueue(lambda _: asyncio.sleep(0)), lambda: now[0], inventory=inventory)
    metrics.watch_queue(known.queue)
    name = "sectum_watch_unannounced_objects"
    inventory.told(RUN, run(1), gone=False)
    inventory.listed(RUN, "runs", [run(2)])
    assert read(metrics, name) == {(RUN,): 1, (SCENARIO,): 0}
    now[0] = 3 * handlers.RELIST.total_seconds()
    known.counted = now[0]
    inventory.listed(RUN, "runs", [run(2)])
    assert not known.fresh()
    inventory.told(RUN, run(2), gone=False)
    assert known.fresh()
    assert read(metrics, name) == {(RUN,): 0, (SCENARIO,): 0}
    assert read(metrics, "sectum_watch_last_event_timestamp_seconds") == {(RUN,): now[0], (SCENARIO,): 0}


def test_a_leak_stands_until_all_of_the_scenario_passes() -> None:
    inventory, metrics = made()
    nightly = ("runs", "nightly")

    def leaks(told: dict[str, Any], kind: str = RUN) -> float:
        inventory.told(kind, told, gone=False)
        return read(metrics, "sectum_scenario_leak")[nightly]

    def ended(version: int, verdict: str, day: int, **spec: Any) -> dict[str, Any]:
        body = run(version, f"run-{version}", ended=verdict, Accepted="True", Complete="True")
        body["status"]["finishedAt"] = f"2026-11-{day}T12:00:00Z"
        body["spec"] |= spec
        return body

    assert leaks(scenario(1), SCENARIO) == 0
    assert leaks(ended(2, "Leak", 10)) == 1
    assert leaks(ended(3, "Inconclusive", 11)) == 1
    assert leaks(ended(4, "Pass", 12, subset={"surfaces": ["api"]})) == 1
    assert leaks(scenario(5, verdict="Inconclusive"), SCENARIO) == 1
    assert read(metrics, SUCCESS)[nightly] == datetime(2026, 11, 10, 12, tzinfo=UTC).timestamp()
    assert leaks(ended(6, "Pass", 13)) == 0
    assert read(metrics, SUCCESS)[nightly] == datetime(2026, 11, 13, 12, tzinfo=UTC).timestamp()


def test_without_its_runs_a_scenario_is_what_its_status_keeps_of_them() -> None:
    inventory, metrics = made()
    for version, (condition_, whole, leak) in enumerate(
        (("False", "Inconclusive", 1), ("False", "Leak", 1), ("True", "Pass", 0), ("Unknown", "Inconclusive", 0)), 1
    ):
        told = scenario(version, verdict="Pass")
        told["status"]["lastWholeRun"] = {"name": "w", "finishedAt": "2026-11-20T12:00:00Z", "verdict": whole}
        told["status"]["conditions"] = [{"type": "Passing", "status": condition_}]
        inventory.told(SCENARIO, told, gone=False)
        assert read(metrics, "sectum_scenario_leak") == {("runs", "nightly"): leak}
        at = {("runs", "nightly"): datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()}
        assert read(metrics, SUCCESS) == (at if whole in ("Pass", "Leak") else {})


def test_without_its_runs_a_scenario_is_as_old_as_its_oldest_cell() -> None:
    inventory, metrics = made()
    told = scenario(1, verdict="Pass")
    inventory.told(SCENARIO, told, gone=False)
    assert read(metrics, SUCCESS) == {}, "the run may have been one of a part"
    days = (20, 18)
    cells = [{"surface": "api", "verdict": "Pass", "verifiedAt": f"2026-11-{day}T12:00:00Z"} for day in days]
    told = scenario(2, verdict="Pass")
    told["status"]["cells"] = cells
    inventory.told(SCENARIO, told, gone=False)
    assert read(metrics, SUCCESS) == {("runs", "nightly"): datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp()}
    told = scenario(3, verdict="Inconclusive")
    told["status"]["cells"] = [*cells, {"surface": "b", "verdict": "Inconclusive"}]
    inventory.told(SCENARIO, told, gone=False)
    assert read(metrics, SUCCESS) == {}


def status(reason: str, verdict: str | None = None, *, over: bool = True) -> RunStatus:
    conditions = condition((), "Complete", "True" if over else "False", reason, now=NOW, generation=1)
    return RunStatus.model_validate({"verdict": verdict}).model_copy(update={"conditions": conditions})


def test_a_run_is_counted_once_by_its_end_and_a_reason_out_of_a_pod_is_no_label() -> None:
    _, metrics = made()
    metrics.told("runs", RunStatus(), status("Running", over=False))
    metrics.told("runs", status("Running", over=False), status("Leak", "Leak"))
    metrics.told("runs", status("Leak", "Leak"), status("Leak", "Leak"))
    metrics.told("runs", RunStatus(), status("ConcurrencyForbidden"))
    metrics.told("runs", RunStatus(), status("AcmeAlicesDiary"))
    assert read(metrics, "sectum_runs_ended_total") == {
        ("runs", "Leak", "Leak"): 1, ("runs", "ConcurrencyForbidden", "None"): 1, ("runs", "Other", "None"): 1,
    }  # fmt: skip


def test_the_writer_counts_the_runs_that_it_ends() -> None:
    async def go() -> None:
        _, metrics = made()
        stages = world()
        writer = Writer(stages.api, cluster.IMAGES, stages.api.clock, told=metrics.told)
        for _ in range(200):
            after = await writer.run(cluster.NAMESPACE, "nightly-1")
            if not any([stages.advance(job) for job in stages.jobs()]) and after is None:
                break
        assert read(metrics, "sectum_runs_ended_total") == {("runs", "Pass", "Pass"): 1}

    asyncio.run(go())


def test_looks_are_timed_and_their_failures_counted() -> None:
    async def go() -> None:
        _, metrics = made()

        async def look(key: Key) -> None:
            if key.name == "broken":
                raise TryAgain("500")

        def looked(key: Key, /, *, lag: float, took: float, failed: bool) -> None:
            metrics.looked(key.kind, lag=lag, took=took, failed=failed)

        queue: WorkQueue[Key] = WorkQueue(look, looked=looked, first=1000)
        metrics.watch_queue(queue)
        for name in ("broken", "fine"):
            queue.add(Key(Kind.RUN, "runs", name))
        assert read(metrics, "sectum_queue_depth") == {(): 2}
        task = asyncio.create_task(queue.run())
        async with asyncio.timeout(5):
            while read(metrics, "sectum_reconcile_duration_seconds_count")[RUN,] < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        task.cancel()
        assert read(metrics, "sectum_reconcile_lag_seconds_count") == {(RUN,): 2, (SCENARIO,): 0}
        assert read(metrics, "sectum_reconcile_failures_total") == {(RUN,): 1, (SCENARIO,): 0}
        assert read(metrics, "sectum_queue_depth") == {(): 0}, "what is due later does not wait"

    asyncio.run(go())


def test_what_is_looked_at_for_long_and_what_waits_for_it_are_told_apart() -> None:
    async def go() -> None:
        _, metrics = made()
        queue: WorkQueue[str] = WorkQueue(lambda _: asyncio.sleep(1000), workers=1)
        loop = asyncio.get_running_loop()
        metrics.watch_queue(queue, lambda: loop.time() + 100)
        task = asyncio.create_task(queue.run())
        queue.add("long")
        await asyncio.sleep(0.01)
        queue.add("long")
        queue.add("other")
        assert (read(metrics, "sectum_queue_busy"), read(metrics, "sectum_queue_depth")) == ({(): 1}, {(): 1})
        for name in ("sectum_queue_longest_look_seconds", "sectum_queue_oldest_seconds"):
            assert 100 <= read(metrics, name)[()] < 110
        task.cancel()

    asyncio.run(go())


def test_requests_are_counted_by_method_and_status_and_those_without_an_answer_too() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/lost"):
            raise httpx2.ConnectError("")
        return httpx2.Response(404)

    async def go() -> None:
        _, metrics = made()
        client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://server")
        api = KubeApi(client, metrics.requested)
        assert await api.get(RUNS, "runs", "gone") is None
        with pytest.raises(TryAgain):
            await api.get(RUNS, "runs", "lost")
        await api.close()
        assert read(metrics, "sectum_api_requests_total") == {("404", "GET"): 1, ("0", "GET"): 1}

    asyncio.run(go())


def test_metrics_are_served_and_a_taken_port_is_named() -> None:
    _, metrics = made()
    [port] = _free_ports(1)
    metrics.serve(port)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert "sectum_build_info{" in text
    assert "process_resident_memory_bytes" in text
    with pytest.raises(UsageError, match="SECTUM_METRICS_PORT"):
        metrics.serve(port)


def test_relisting_and_leading_are_said() -> None:
    async def go() -> None:
        inventory, metrics = made()
        queue: WorkQueue[Key] = WorkQueue(lambda _: asyncio.sleep(0))
        metrics.watch_queue(queue)
        api = FakeApi()
        api.put(RUNS, cluster.run())
        known = Known(queue, lambda: 0.0, inventory=inventory)
        assert read(metrics, "sectum_relist_timestamp_seconds") == {(): 0}
        await known.relist(api, [cluster.NAMESPACE])
        assert read(metrics, "sectum_relist_timestamp_seconds") == {(): NOW.timestamp()}
        assert read(metrics, "sectum_objects") == {(RUN,): 1, (SCENARIO,): 0}
        assert read(metrics, "sectum_leader") == {("runs",): 0}
        metrics.leading = True
        assert read(metrics, "sectum_leader") == {("runs",): 1}

    asyncio.run(go())


def names() -> dict[str, str]:
    """What the operator exports, by sample, and the metric's type."""
    inventory, metrics = made()
    metrics.watch_queue(WorkQueue(lambda _: asyncio.sleep(0)))
    inventory.told(SCENARIO, scenario(verdict="Pass"), gone=False)
    inventory.told(RUN, run(ended="Pass"), gone=False)
    metrics.told("runs", RunStatus(), status("Pass", "Pass"))
    metrics.requested("GET", 200)
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {
        sample.name: family.type for family in families for sample in family.samples if sample.name[:7] == "sectum_"
    }


def test_no_label_is_a_surface_a_tenant_or_a_user() -> None:
    _, metrics = made()
    names()
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    about = {"namespace", "scenario", "verdict", "reason", "condition", "status"}
    assert labels <= about | {"kind", "method", "code", "le", "version", "library"}


def test_the_page_lists_every_metric_and_no_other() -> None:
    exported = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names()}
    first = re.findall(r"^\| (`sectum_[^|]*) \|", PAGE.read_text(), re.MULTILINE)
    listed = re.findall(r"`(\w+)`", " ".join(first))
    assert (sorted(listed), len(first) < len(listed)) == (sorted(exported), True)
