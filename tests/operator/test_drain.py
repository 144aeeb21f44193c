"""What `drain` does where the API server fails, and what an operator makes later of the runs that it let go."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sectum.errors import UsageError
from sectum_operator import drain
from sectum_operator.api import RUNS, TryAgain
from sectum_operator.apply import Writer
from sectum_operator.stages import FINALIZER, LET_GO, Stage

from tests.operator import cluster
from tests.operator.fake_api import Cluster, the_run, why, world
from tests.operator.test_operator_runs import begun, driven


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "PAUSE", timedelta(seconds=0.01))
    monkeypatch.setattr(drain, "LAST", timedelta(seconds=0.1))


def drained(there: Cluster, said: list[str]) -> None:
    asyncio.run(drain.drain(there.api, [cluster.NAMESPACE], seconds=0, say=said.append))


@pytest.mark.parametrize(("timeout", "seconds"), [("0", 0), ("90s", 90), ("4m", 240)])
def test_a_timeout_is_read(timeout: str, seconds: int) -> None:
    assert drain.seconds_of(timeout) == seconds


@pytest.mark.parametrize("timeout", ["", "4", "0s", "2h", "-1m", "4 m"])
def test_a_timeout_that_is_none_is_refused(timeout: str) -> None:
    with pytest.raises(UsageError, match="--timeout"):
        drain.seconds_of(timeout)


def test_a_failure_that_passes_is_outlived_and_one_that_stays_is_told() -> None:
    there, said = world(), list[str]()
    failures = iter([True, True])
    there.api.fail = lambda: next(failures, False)
    drained(there, said)
    assert sum(each.startswith("again in") for each in said) == 2
    there.api.fail = lambda: True
    with pytest.raises(TryAgain):
        drained(there, said)


def until_begun(there: Cluster, stage: str) -> None:
    """Let operator and cluster go on until a Job of the stage runs."""
    writer = Writer(there.api, cluster.IMAGES, there.api.clock)
    while not begun(there, stage):
        asyncio.run(writer.run(cluster.NAMESPACE, cluster.RUN.name))
        for job in there.jobs():
            there.advance(job)


@pytest.mark.parametrize("stage", ["plant", "probe", "clean"])
def test_a_run_that_was_let_go_is_cleaned_up_and_assembled_by_an_operator_that_comes_later(stage: str) -> None:
    there, said = world(), list[str]()
    until_begun(there, stage)
    drained(there, said)
    run: Any = the_run(there.api)
    assert FINALIZER not in run["metadata"]["finalizers"]
    assert LET_GO in run["metadata"]["annotations"]
    assert any(each.startswith("LEFT runs/nightly-1") and "api, search" in each for each in said)
    before = [work for work in there.began if work.stage == Stage.CLEAN]
    ended = driven(there)
    assert {work.surface for work in there.began if work.stage == Stage.CLEAN} == {"api", "search"}, before
    assert why(ended, "CleanedUp") == ("True", "Removed")
    assert why(ended, "EvidenceStored") == ("True", "Stored")
    assert ended["metadata"]["finalizers"] == []


def test_the_operator_that_is_still_there_does_not_hold_again_what_was_let_go() -> None:
    there = world(ends={("clean", "api"): "hangs"})
    until_begun(there, "clean")
    drained(there, [])
    there.api.remove(RUNS, cluster.RUN.name)
    assert the_run(there.api) is None


def test_a_run_that_ends_at_the_last_moment_is_not_among_those_left() -> None:
    there, said = world(), list[str]()
    until_begun(there, "clean")

    def end_it() -> bool:
        run: Any = the_run(there.api)
        if LET_GO in run["metadata"].get("annotations", ()) and not run["metadata"]["finalizers"]:
            run["status"]["conditions"] = [{"type": "Complete", "status": "True"}]
        return False

    there.api.fail = end_it
    drained(there, said)
    assert said[-1] == "no run is in flight"


def test_where_nothing_is_in_flight_nothing_is_written() -> None:
    there, said = world(), list[str]()
    driven(there)
    before = list(there.api.writes)
    drained(there, said)
    assert there.api.writes == before
    assert said == ["no run is in flight"]
