"""The operator's settings, logs, watch and relisting, without a cluster."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import pytest
from click.testing import CliRunner
from sectum.errors import UsageError
from sectum_operator import handlers
from sectum_operator.api import RUNS, SCENARIOS, Denied
from sectum_operator.children import as_json
from sectum_operator.handlers import Key, Kind, Known
from sectum_operator.logs import JsonLines
from sectum_operator.main import cli
from sectum_operator.settings import read_settings
from sectum_operator.statuses import RunStatus
from sectum_operator.workqueue import WorkQueue

from tests.operator import cluster, samples
from tests.operator.fake_api import FakeApi

ENVIRONMENT = {
    "SECTUM_NAMESPACES": "runs, more-runs", "SECTUM_OPERATOR_IMAGE": cluster.IMAGES.operator,
    "SECTUM_PROBES_IMAGE": cluster.IMAGES.probes,
}  # fmt: skip


def test_settings_come_from_the_environment() -> None:
    made = read_settings(ENVIRONMENT)
    assert made.namespaces == ("runs", "more-runs")
    assert made.images == cluster.IMAGES


@pytest.mark.parametrize(
    ("name", "value"),
    [("SECTUM_NAMESPACES", ""), ("SECTUM_NAMESPACES", "a,B"), ("SECTUM_NAMESPACES", "*"),
     ("SECTUM_OPERATOR_IMAGE", "repo:latest"), ("SECTUM_PROBES_IMAGE", ""), ("SECTUM_METRICS_PORT", "0"),
     ("SECTUM_METRICS_PORT", "metrics")],
)  # fmt: skip
def test_a_setting_that_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        read_settings(ENVIRONMENT | {name: value})


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("drain", "SECTUM_NAMESPACES"),
        ("operate", "SECTUM_NAMESPACES"),
        ("prepare", "--generation"),
        ("trigger", "--scenario"),
    ],
)
def test_help_says_what_a_verb_needs(verb: str, said: str) -> None:
    assert said in CliRunner().invoke(cli, [verb, "--help"]).output


def test_a_crash_is_logged_by_its_place_and_without_its_words() -> None:
    try:
        raise ValueError("sk-secret")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    line = JsonLines().format(record)
    assert "ValueError at test_operate.py:" in line
    assert "sk-secret" not in line


def test_a_log_line_is_json_with_what_it_is_about() -> None:
    record = logging.LogRecord("sectum_operator.apply", logging.INFO, "", 0, "%s was started", ("probe",), None)
    record.run, record.surface = "runs/nightly-1", "api"
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["run"], line["surface"]) == ("probe was started", "runs/nightly-1", "api")
    assert "\n" not in JsonLines().format(record)


def test_relisting_looks_at_everything_and_once_more_at_what_went_without_notice() -> None:
    async def go() -> None:
        api, looked = FakeApi(), []
        api.put(RUNS, cluster.run())
        api.put(SCENARIOS, cluster.scenario())
        now = [0.0]

        async def look(key: Key) -> None:
            looked.append(key)

        queue: WorkQueue[Key] = WorkQueue(look)
        known = Known(queue, lambda: now[0])
        ghost = Key(Kind.RUN, cluster.NAMESPACE, "gone")
        known.keys.add(ghost)
        await known.relist(api, [cluster.NAMESPACE])
        run, scenario = Key(Kind.RUN, "runs", "nightly-1"), Key(Kind.SCENARIO, "runs", "minimal")
        assert known.keys == {run, scenario}
        task = asyncio.create_task(queue.run())
        async with asyncio.timeout(5):
            while len(queue):  # noqa: ASYNC110  (the queue has nothing that tells)
                await asyncio.sleep(0.001)
        task.cancel()
        assert set(looked) == {run, scenario, ghost}
        assert known.fresh()
        now[0] = 3 * handlers.RELIST.total_seconds()
        assert not known.fresh()

    asyncio.run(go())


def test_relisting_looks_at_what_it_may_list_and_does_not_count_that_as_all() -> None:
    async def go() -> None:
        api = FakeApi(rights_gone=True)
        api.put(RUNS, cluster.run())
        queue: WorkQueue[Key] = WorkQueue(lambda _: asyncio.sleep(0))
        known = Known(queue, lambda: 3 * handlers.RELIST.total_seconds())
        scenario = Key(Kind.SCENARIO, cluster.NAMESPACE, "minimal")
        known.keys.add(scenario)
        with pytest.raises(Denied):
            await known.relist(api, [cluster.NAMESPACE])
        assert known.keys == {Key(Kind.RUN, "runs", "nightly-1"), scenario}
        assert len(queue) == 2
        assert not known.fresh()

    asyncio.run(go())


def test_kopf_watches_and_does_nothing_else() -> None:
    settings = handlers.watch_settings()
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    assert settings.watching.chunk_size == 500
    made = handlers.registry(Known(WorkQueue(lambda _: asyncio.sleep(0)), lambda: 0.0))
    registries: list[Any] = [made._changing, made._spawning, made._indexing, made._webhooks]
    assert all(list(each.get_all_handlers()) == [] for each in registries)
    assert sorted(each.id for each in made._watching.get_all_handlers()) == ["job", "pod", "run", "scenario"]


def test_a_status_is_written_as_the_server_keeps_it() -> None:
    status = samples.run()["status"]
    assert as_json(RunStatus.model_validate(status)) == status
