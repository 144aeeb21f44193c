"""Runs beside each other: one at a time, ticks that came to nothing are told of, and what need not be kept goes."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
from sectum_operator import history
from sectum_operator.api import JOBS, PACKS, RUNS, SCENARIOS
from sectum_operator.stages import FINALIZER, RUN

from tests.operator.fake_api import why
from tests.operator.scheduled_runs import Runs, spelt_slot


def refused(runs: Runs, name: str) -> list[tuple[str, str]]:
    return [(each["slot"], each["reason"]) for each in runs[name]["status"].get("refused", ())]


def test_a_tick_during_a_run_is_refused_and_the_next_accepted_run_says_so() -> None:
    runs = Runs()
    first = runs.tick()
    runs.begin(first, "probe")
    during = [runs.tick(), runs.tick()]
    runs.api.put(RUNS, {**runs[during[0]], "metadata": {"name": "hand"}, "spec": {"scenarioRef": {"name": "minimal"}}})
    runs.to_the_end()
    assert [why(runs[each], "Accepted") for each in (*during, "hand")] == [("False", "ConcurrencyForbidden")] * 3
    assert refused(runs, first) == []
    third = runs.by_hand()
    runs.to_the_end()
    assert refused(runs, third) == [(spelt_slot(2), "ConcurrencyForbidden"), (spelt_slot(3), "ConcurrencyForbidden")]
    fourth = runs.tick()
    runs.to_the_end()
    assert refused(runs, fourth) == []


def test_a_tick_that_was_cancelled_before_it_was_accepted_is_told_of_too() -> None:
    runs = Runs()
    first = runs.tick()
    runs[first]["spec"]["cancel"] = True
    runs.to_the_end()
    second = runs.tick()
    runs.to_the_end()
    assert refused(runs, second) == [(spelt_slot(1), "Cancelled")]


def test_what_a_run_without_evidence_was_to_tell_the_next_one_tells() -> None:
    runs = Runs()
    first = runs.tick()
    runs.begin(first, "probe")
    runs.tick()
    runs.to_the_end()
    runs.there.ends["prepare", ""] = "exit 3"
    second = runs.tick()
    runs.to_the_end()
    assert why(runs[second], "Complete") == ("True", "PrepareFailed")
    runs.there.ends.clear()
    third = runs.tick()
    runs.to_the_end()
    told = [(spelt_slot(2), "ConcurrencyForbidden")]
    assert refused(runs, second) == told
    assert refused(runs, third) == [*told, (spelt_slot(3), "PrepareFailed")]


def halted(runs: Runs, name: str, how: str) -> None:
    if how == "Cancelled":
        runs[name]["spec"]["cancel"] = True
    elif how == "TimedOut":
        runs[name]["spec"]["timeout"] = "1s"
        runs.api.now += timedelta(seconds=2)
    else:
        runs.by_hand()


@pytest.mark.parametrize("how", ["Cancelled", "TimedOut", "Replaced"])
@pytest.mark.parametrize("stage", ["prepare", "open"])
def test_a_tick_that_was_stopped_before_it_was_opened_is_told_of(stage: str, how: str) -> None:
    runs = Runs("Replace")
    first = runs.tick()
    runs.begin(first, stage)
    halted(runs, first, how)
    runs.to_the_end()
    assert why(runs[first], "EvidenceStored") == (("False", "NotOpened") if stage == "prepare" else ("True", "Stored"))
    second = runs.by_hand()
    runs.to_the_end()
    names = runs.names()[1:]
    assert second in names
    told = [each for name in names for each in refused(runs, name)]
    assert told == ([(spelt_slot(1), how)] if stage == "prepare" else [])


@pytest.mark.parametrize("denied", [True, False])
def test_a_tick_whose_open_failed_is_told_of_only_if_it_had_no_job(denied: bool) -> None:
    runs = Runs()
    first = runs.tick()
    runs.there.ends["open", ""] = "exit 3"
    if denied:
        runs.api.refuse = lambda _, body: body["metadata"]["labels"].get("sectum.ai/stage") == "open"
    runs.to_the_end()
    assert why(runs[first], "Complete") == ("True", "OpenFailed")
    runs.there.ends.clear()
    runs.api.refuse = lambda *_: False
    second = runs.tick()
    runs.to_the_end()
    assert refused(runs, second) == ([(spelt_slot(1), "OpenFailed")] if denied else [])


def test_a_run_that_was_accepted_beside_an_older_one_is_as_if_it_never_had_been() -> None:
    runs = Runs()
    first = runs.tick()
    runs.begin(first, "probe")
    second = runs.tick()
    accepted = copy.deepcopy(runs[first]["status"])
    runs[second]["status"] = {
        "conditions": [each for each in accepted["conditions"] if each["type"] == "Accepted"],
        "phase": "Pending", "startedAt": accepted["startedAt"], "scenario": accepted["scenario"],
        "refused": [{"slot": spelt_slot(9), "reason": "Cancelled"}],
    }  # fmt: skip
    runs.to_the_end()
    assert why(runs[second], "Accepted") == ("False", "ConcurrencyForbidden")
    assert not {"startedAt", "scenario"} & runs[second]["status"].keys()
    assert refused(runs, second) == []
    about = runs.api.all(SCENARIOS)[0]
    assert about["status"]["lastRun"]["name"] == first


def test_a_hundred_are_told_of_at_once_and_the_others_by_the_next() -> None:
    runs = Runs()
    for _ in range(120):
        runs[runs.tick()]["spec"]["cancel"] = True
    runs.to_the_end()
    told = []
    for _ in range(2):
        name = runs.by_hand()
        runs.to_the_end()
        told.append([slot for slot, _ in refused(runs, name)])
    assert told == [[spelt_slot(each) for each in range(1, 101)], [spelt_slot(each) for each in range(101, 121)]]


STAGES = ["prepare", "open", "baseline", "plant", "probe", "clean", "assemble"]


@pytest.mark.parametrize("by", ["tick", "by_hand"])
@pytest.mark.parametrize("stage", STAGES)
def test_replaced_a_run_stops_cleans_up_and_is_closed_before_the_next_begins(stage: str, by: str) -> None:
    runs = Runs("Replace")
    hangs = {(stage, "api"): "hangs"} if stage in ("baseline", "plant", "probe") else {}
    runs.there.ends |= hangs
    first = runs.tick()
    runs.begin(first, stage)
    second = getattr(runs, by)()
    runs.look(second)
    while not runs.ended(runs[first]):
        runs.round()
        assert runs.working() <= {first} or runs.ended(runs[first])
        assert len(runs.active()) <= 1
    opened, whole = stage != "prepare", stage in ("clean", "assemble")
    assert why(runs[first], "Complete") == ("True", "Pass" if whole else "Inconclusive" if opened else "Replaced")
    if opened and not whole:
        [surface] = runs[first]["status"]["surfaces"]
        assert (surface["verdict"], surface["reason"]) == ("Inconclusive", "Replaced")
    assert not runs[first]["spec"]["cancel"]
    assert FINALIZER not in runs[first]["metadata"].get("finalizers", ())
    runs.there.ends.clear()
    runs.to_the_end()
    assert why(runs[second], "Complete") == ("True", "Pass")


def test_of_several_that_would_replace_it_the_newest_does_and_the_others_are_told_of() -> None:
    runs = Runs("Replace")
    first = runs.tick()
    runs.begin(first, "probe")
    second = runs.tick()
    runs.look(second)
    third = runs.tick()
    runs.look(third)
    runs.look(first)
    [told] = [each["message"] for each in runs[first]["status"]["conditions"] if each["type"] == "Replaced"]
    assert told == f"by {third}"
    runs.to_the_end()
    assert why(runs[second], "Accepted") == ("False", "ConcurrencyForbidden")
    assert why(runs[third], "Complete") == ("True", "Pass")
    assert refused(runs, third) == [(spelt_slot(2), "ConcurrencyForbidden")]


def test_a_run_that_cannot_be_accepted_replaces_nothing() -> None:
    runs = Runs("Replace")
    first = runs.tick()
    runs.begin(first, "probe")
    runs.make("wrong", subset={"surfaces": ["none"]})
    runs.to_the_end()
    assert why(runs["wrong"], "Accepted") == ("False", "SubsetUnknown")
    assert why(runs[first], "Complete") == ("True", "Pass")


def test_once_it_stops_a_run_stays_stopped_though_the_other_is_gone() -> None:
    runs = Runs("Replace")
    first = runs.tick()
    runs.begin(first, "probe")
    second = runs.tick()
    runs.look(second)
    runs.look(first)
    runs.api.remove(RUNS, second)
    runs.to_the_end()
    assert why(runs[first], "Complete") == ("True", "Inconclusive")
    assert why(runs[first], "Replaced") == ("True", "Replaced")


def test_a_scenario_deleted_during_a_run_takes_nothing_with_it() -> None:
    runs = Runs("Replace", schedule="* * * * *")
    first = runs.tick()
    runs.begin(first, "probe")
    runs.look_at_scenario()
    runs.api.remove(SCENARIOS, "minimal")
    second = runs.tick()
    runs.to_the_end()
    assert why(runs[first], "Complete") == ("True", "Pass")
    assert why(runs[first], "CleanedUp") == ("True", "Removed")
    assert why(runs[second], "Complete") == ("True", "ScenarioNotFound")


def played(runs: Runs, *ends: str) -> list[str]:
    names = []
    for end in ends:
        runs.there.ends = {} if end == "Pass" else {("prepare", ""): "exit 3"}
        names.append(runs.tick())
        runs.to_the_end()
    runs.look_at_scenario()
    return names


def test_ended_scheduled_runs_beyond_the_limits_go_and_their_packs_stay() -> None:
    runs = Runs(successfulRunsHistoryLimit=2, failedRunsHistoryLimit=1)
    by_hand = [runs.by_hand()]
    runs.to_the_end()
    names = played(runs, "Pass", "not", "Pass", "Pass", "not", "Pass")
    assert runs.names() == [*by_hand, *[names[each] for each in (3, 4, 5)]]
    assert {each["metadata"]["labels"][RUN] for each in runs.api.all(JOBS)} == set(runs.names())
    assert len(runs.api.all(PACKS)) == 5


def test_a_refused_run_stays_until_it_was_told_of_and_so_does_the_one_that_tells() -> None:
    runs = Runs(successfulRunsHistoryLimit=0, failedRunsHistoryLimit=0)
    first = runs.tick()
    runs.begin(first, "probe")
    second = runs.tick()
    runs.to_the_end()
    runs.round()
    assert runs.names() == [second]
    third = runs.tick()
    runs.look(third)
    runs.look_at_scenario()
    assert runs.names() == [second, third]
    while not runs.ended(runs[third]):
        runs.look(third)
        for job in runs.there.jobs():
            runs.there.advance(job)
    assert refused(runs, third) == [(spelt_slot(2), "ConcurrencyForbidden")]
    runs.look_at_scenario()
    assert runs.names() == [third], "while the refused one is there, so is the one that names it"
    runs.look_at_scenario()
    assert runs.names() == []


def test_refused_runs_that_nobody_tells_of_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "UNTOLD", 3)
    runs = Runs()
    for _ in range(5):
        runs[runs.tick()]["spec"]["cancel"] = True
        runs.round()
    runs.look_at_scenario()
    assert runs.names() == ["tick-003", "tick-004", "tick-005"]


def test_of_packs_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PACKS", 2)
    runs = Runs()
    names = []
    for _ in range(4):
        names.append(runs.by_hand())
        runs.to_the_end()
    assert [each["metadata"]["name"] for each in runs.api.all(PACKS)] == names[2:]
    assert runs.names() == names
