"""The scenario's coverage matrix: what the pack said of each surface × attack, by whom, and how old that is."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sectum import coverage
from sectum.score import score
from sectum.wording import ATTACKS
from sectum_operator.acceptance import accept
from sectum_operator.matrix import renewed
from sectum_operator.messages import assembled, read_message
from sectum_operator.readiness import stands
from sectum_operator.statuses import Cell, Matrix, ScenarioStatus

from tests import runs
from tests.operator import cluster
from tests.operator.fake_api import START, spelt

SCENARIO = runs.scenario()


def mixed(number: int, trial: runs.Trial) -> runs.Row:
    if trial.surface != "api":
        return runs.fault_row(trial, "Budget")
    return runs.leak_row(trial) if number % 3 == 0 else runs.clean_row(trial)


def matrix(run: dict[str, Any]) -> Matrix:
    told = coverage.brief(run)
    return Matrix(letters=told["matrix"], worst=told["worst"])


@pytest.mark.parametrize("play", [runs.every(), mixed, lambda _n, trial: runs.fault_row(trial, "Deadline")])
def test_what_the_letters_say_is_what_the_pack_says(play: Any) -> None:
    run = runs.sample(play=play).run
    cells = renewed((), matrix(run), SCENARIO, at=START)
    told = coverage.coverage(run)
    assert [(each.surface, each.attack, each.verdict, each.reason) for each in cells] == [
        (each["surface"], each["attack"], each["outcome"], each["reason"]) for each in told
    ]
    assert [each.worst.model_dump() if each.worst else None for each in cells] == [each["worst"] for each in told]
    assert [each.verified_at == START for each in cells] == [each["at"] is not None for each in told]


def cell(verdict: str, *, attack: str = "boundary-fetch", surface: str = "api") -> Cell:
    return Cell.model_validate(
        {"surface": surface, "attack": attack, "verdict": verdict, "verifiedAt": spelt(START - timedelta(days=30))}
    )


def letters(first: str) -> Matrix:
    return Matrix(letters=f"{first}xxxxxxxxxx/xxxPxxxxxxx")


@pytest.mark.parametrize(
    ("was", "letter", "is_", "days"),
    [
        ("Pass", "I", "Inconclusive", 30),
        ("Leak", "I", "Inconclusive", 30),
        ("Leak", "P", "Pass", 0),
        ("Pass", "L", "Leak", 0),
        ("Pass", "N", "NotCovered", 30),
        ("Leak", "-", "Leak", 30),
        ("Pass", "x", None, None),
    ],
)
def test_a_cell_that_is_not_decided_anew_keeps_its_age(
    was: str, letter: str, is_: str | None, days: int | None
) -> None:
    cells = renewed([cell(was)], letters(letter), SCENARIO, at=START)
    found = [
        (str(each.verdict), (START - each.verified_at).days)
        for each in cells
        if each.surface == "api" and each.verified_at
    ]
    assert found == ([(is_, days)] if is_ else [])


def test_a_matrix_of_another_shape_changes_nothing() -> None:
    before = (cell("Leak"),)
    assert renewed(before, None, SCENARIO, at=START) == before
    assert renewed(before, Matrix(letters="PPPPPPPPPPP"), SCENARIO, at=START) == before


def test_numbers_that_name_nobody_are_left_out() -> None:
    told = Matrix(letters="Lxxxxxxxxxx/xxxPxxxxxxx", worst=("0.0.127.", "285.0.1.", "0.1.."))
    [api, _cache] = renewed((), told, SCENARIO, at=START)
    assert (api.verdict, api.worst) == ("Leak", None)


def test_a_message_without_a_whole_matrix_has_none_and_is_believed_in_the_rest() -> None:
    good = {"stage": "assemble", "ok": True, "verified": True, "verdict": "Pass", "uri": "s3://b/p.zip",
            "pack": "ab" * 32, "run": "cd" * 32}  # fmt: skip

    def told(**more: Any) -> Any:
        return assembled(read_message(json.dumps({**good, **more}), "assemble"))

    assert told().matrix is None
    assert told(matrix="Pxxxxxxxxxx", worst=["0.1.2."] * 300, score=9).score == 9
    for wrong in ({"matrix": 3}, {"matrix": "PP"}, {"matrix": "Pxxxxxxxxxx", "worst": ["0.1.2.no words"]}):
        assert told(**wrong).matrix is None
        assert told(**wrong).verdict == "Pass"
    for score_ in (-1, 101, True, "9", None):
        assert told(score=score_).score is None


def ended(name: str, hours: int, *, run: dict[str, Any] | None, **spec: Any) -> dict[str, Any]:
    made = cluster.run()
    made["metadata"]["name"] = name
    made["spec"] = {**made["spec"], "subset": None, **spec}
    told = coverage.brief(run) if run else {}
    made["status"] = {
        "startedAt": spelt(START), "finishedAt": spelt(START + timedelta(hours=hours)),
        "conditions": [{"type": "Complete", "status": "True", "reason": "X", "lastTransitionTime": spelt(START)}],
        "scenario": {"uid": cluster.SCENARIO_UID, "generation": 3, "sha256": "ab" * 32,
                     "snapshot": SCENARIO.snapshot()},
        **({"verdict": run["verdict"], "score": score(run)} if run else {}),
        **({"matrix": {"letters": told["matrix"], "worst": told["worst"]}} if run else {}),
    }  # fmt: skip
    return made


def status(scenario: dict[str, Any], *ended_runs: dict[str, Any]) -> ScenarioStatus:
    found = stands(scenario, accept(scenario), ended_runs, now=START)
    scenario["status"] = found.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found


def test_run_after_run_the_scenario_keeps_score_trend_and_cells_and_looking_again_changes_nothing() -> None:
    good, bad = runs.sample().run, runs.sample(play=mixed).run
    scenario = cluster.scenario()
    first, second = ended("first", 1, run=good), ended("second", 2, run=bad)
    assert status(scenario, first).trend is None
    found = status(scenario, first, second)
    assert (found.score, found.trend, [each.verdict for each in found.cells]) == (0, "Worse", ["Leak", "Inconclusive"])
    assert found.cells[1].verified_at == START + timedelta(hours=1)
    assert status(scenario, second, first) == found
    assert status(scenario) == found
    third = ended("third", 3, run=good)
    assert (status(scenario, first, third, second).trend, status(scenario, third).score) == ("Better", score(good))


def test_two_runs_that_ended_between_two_looks_both_count_in_their_order() -> None:
    good, bad = runs.sample().run, runs.sample(play=mixed).run
    found = status(cluster.scenario(), ended("b", 2, run=bad), ended("a", 1, run=good))
    assert (found.last_run and found.last_run.name, found.trend) == ("b", "Worse")
    assert found.cells[1].verified_at == START + timedelta(hours=1)


def test_a_run_without_a_pack_takes_the_score_away_and_leaves_the_cells() -> None:
    scenario = cluster.scenario()
    before = status(scenario, ended("first", 1, run=runs.sample().run))
    after = status(scenario, ended("second", 2, run=None))
    assert (after.score, after.trend, after.cells) == (None, None, before.cells)


def test_a_run_of_a_part_says_nothing_of_the_score() -> None:
    scenario = cluster.scenario()
    before = status(scenario, ended("first", 1, run=runs.sample().run))
    after = status(scenario, ended("second", 2, run=runs.sample(play=mixed).run, subset={"surfaces": ["api"]}))
    assert (after.score, after.last_run and after.last_run.name) == (before.score, "second")


def test_a_snapshot_of_another_version_leaves_the_cells() -> None:
    scenario = cluster.scenario()
    before = status(scenario, ended("first", 1, run=runs.sample().run))
    strange = ended("second", 2, run=runs.sample(play=mixed).run)
    strange["status"]["scenario"]["snapshot"] = {"spec": {"of": "the future"}}
    assert status(scenario, strange).cells == before.cells


def test_the_eleven_attack_classes_are_the_letters_order() -> None:
    assert list(ATTACKS) == list(range(1, 12)), "docs/stages.md: by their numbers"
