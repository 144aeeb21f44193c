"""Records that the store's owner takes away, at any moment of a run: nothing of the surface passes then."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sectum.actions import Action, Principal, Reply, Sink, Verb
from sectum.testing import Audience, MemorySurface, memory_scenario, memory_secrets

from tests import pods
from tests.pods import Pods

VERBS = frozenset({Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.LIST, Verb.DELETE})
FEW = {"acme": ("ann",), "globex": ("cat",)}
LATE = 34
"""Of the 36 requests of a probe, or of some 50 where every trial leaks."""
NO_ONE, EVERYBODY = Audience.OWNER, Audience.EVERYBODY


class Surface(MemorySurface):
    """After so many further requests the pod is told to stop."""

    countdown = 0

    async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
        self.countdown -= 1
        if self.countdown == 0:
            signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)  # a signal is heard between two requests
        return await super().answer(asker, action, sink)


@pytest.fixture
def surface() -> Surface:
    return Surface(verbs=VERBS)


@pytest.fixture
def run(surface: Surface, tmp_path: Path) -> Iterator[Pods]:
    """Planted, and neither probed nor cleaned up."""
    scenario = memory_scenario(
        surface, tenants=FEW, surface_fields={"budget": {"inFlight": 1}}, evidence=dict(pods.EVIDENCE)
    )
    with pods.pods(scenario, memory_secrets(), tmp_path) as made:
        made.play("open")
        made.wave("baseline")
        made.wave("plant")
        yield made


Payload = dict[str, Any]
Which = Callable[[Payload], bool]
WHAT: dict[str, Which] = {
    "all": lambda _record: True,
    "the start": lambda record: record["kind"] == "start",
    "the leaks": lambda record: record["kind"] == "leak",
    "a leak": lambda record: record["kind"] == "leak" and record["number"] == 1,
    "the result": lambda record: record["kind"] == "result",
    "what follows the start": lambda record: record["number"] > 0,
    "what follows a leak": lambda record: record["number"] > 1,
}


def take_away(run: Pods, which: Which, *stages: str) -> int:
    """Delete records of these stages; how many there were."""
    gone = [
        name
        for name, data in run.work.objects.items()
        if pods.is_record(data) and (not stages or pods.payload(data)["stage"] in stages) and which(pods.payload(data))
    ]
    for name in gone:
        del run.work.objects[name]
    return len(gone)


def assert_nothing_passes(run: Pods) -> None:
    told = run.assembled()
    assert {row["outcome"] for row in told["rows"]} <= {"Leak", "Inconclusive"}
    assert told["verdict"] != "Pass"
    seen = {each.body["slot"] for each in run.recorded("probe", "memory") if each.kind == "leak"}
    assert seen <= {row["slot"] for row in told["rows"] if row["outcome"] == "Leak"}, "and what is there stands"


def leak(run: Pods, surface: Surface, how: str, attempt: int = 1) -> None:
    """A probe that sees leaks, and how it ends; then the surface leaks no more."""
    surface.leaky_fetch = EVERYBODY
    surface.countdown = LATE if how == "was told to stop" else 0
    assert run.play("probe", "memory", attempt).status == (75 if how == "was told to stop" else 0)
    surface.leaky_fetch = NO_ONE
    kinds = [each.kind for each in run.recorded("probe", "memory") if each.attempt == attempt]
    assert kinds[:2] == ["start", "leak"]
    assert kinds[-1] == "result"


@pytest.mark.parametrize("how", ["came to its end", "was told to stop"])
@pytest.mark.parametrize("when", ["the next attempt", "cleaning", "assembling"])
@pytest.mark.parametrize("what", WHAT)
def test_records_of_a_leaking_probe_taken_away_before(
    what: str, when: str, how: str, run: Pods, surface: Surface
) -> None:
    leak(run, surface, how)
    for then in ("the next attempt", "cleaning", "assembling"):
        if then == when:
            assert take_away(run, WHAT[what], "probe") > 0
        if then == "the next attempt" and (how == "was told to stop" or when == then):
            assert run.play("probe", "memory", attempt=2).status == 0
        if then == "cleaning":
            run.wave("clean")
    assert_nothing_passes(run)


@pytest.mark.parametrize("when", ["cleaning", "assembling", "assembling, with all of cleaning"])
@pytest.mark.parametrize("what", WHAT)
def test_records_of_the_last_probe_taken_away_where_one_before_it_saw_nothing(
    what: str, when: str, run: Pods, surface: Surface
) -> None:
    surface.countdown = LATE
    assert run.play("probe", "memory").status == 75
    leak(run, surface, "came to its end", attempt=2)
    if when == "cleaning":
        assert take_away(run, lambda record: record["attempt"] == 2 and WHAT[what](record), "probe") > 0
    run.wave("clean")
    if when != "cleaning":
        assert take_away(run, lambda record: record["attempt"] == 2 and WHAT[what](record), "probe") > 0
    if when.endswith("cleaning") and when != "cleaning":
        assert take_away(run, WHAT["all"], "clean") == 2
    assert_nothing_passes(run)


THERE = {
    "probing": ("baseline", "plant"),
    "cleaning": ("baseline", "plant", "probe"),
    "assembling": pods.SURFACE_STAGES,
}
MOMENTS = [(when, stages) for when, there in THERE.items() for stages in [*([each] for each in there), list(there)]]


@pytest.mark.parametrize(("when", "stages"), [*MOMENTS, ("assembling", ["probe", "clean"])])
@pytest.mark.parametrize("what", ["all", "the start", "the result"])
def test_records_of_stages_taken_away_before(when: str, stages: list[str], what: str, run: Pods) -> None:
    for then in THERE:
        if then == when:
            assert take_away(run, WHAT[what], *stages) >= len(stages)
        if then != "assembling":
            run.wave({"probing": "probe", "cleaning": "clean"}[then])
    assert_nothing_passes(run)


def test_with_all_records_there_it_passes(run: Pods, surface: Surface) -> None:
    surface.countdown = LATE
    assert run.play("probe", "memory").status == 75
    run.wave("probe", attempt=2)
    run.wave("clean")
    assert run.assembled()["verdict"] == "Pass"


def test_of_a_cleaning_after_one_that_ended_nothing_is_missed_but_what_it_removed(run: Pods, surface: Surface) -> None:
    """What is last of all nobody names; without it the pack says that more is left than is."""
    run.wave("probe")
    surface.keeps_deleted = True
    run.wave("clean")
    surface.keeps_deleted = False
    assert run.play("clean", "memory", attempt=2).message["notRemoved"] == 0
    assert take_away(run, lambda record: record["attempt"] == 2, "clean") == 2
    told = run.assembled()
    assert (told["verdict"], told["surfaces"][0]["notRemoved"]) == ("Pass", told["surfaces"][0]["planted"])
