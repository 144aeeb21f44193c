"""The score: nothing unknown, undecided or lost raises it, a leak that is not tried again neither."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sectum import catalog
from sectum.score import score, score_of

from tests import runs

Cell = dict[str, str]
GROUPS = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from(["boundary-fetch", "tool-hijack"]),
    st.sampled_from(["other-tenant", "same-tenant"]),
)
OUTCOMES = st.sampled_from(["Pass", "Pass", "Pass", "Leak", "Inconclusive", "NotCovered"])
TABLES = st.dictionaries(GROUPS, OUTCOMES, min_size=1)
SQUARES = 6


def cells(table: dict[tuple[str, str, str], str]) -> list[Cell]:
    return [
        {"surface": surface, "attack": attack, "askerKind": kind, "outcome": outcome}
        for (surface, attack, kind), outcome in table.items()
    ]


@given(TABLES, st.data())
def test_no_cell_that_gets_worse_or_is_lost_raises_it(table: dict[Any, str], data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(sorted(table)))
    now = score_of(cells(table), squares=SQUARES)

    def with_it(outcome: str) -> int:
        return score_of(cells({**table, place: outcome}), squares=SQUARES)

    assert 0 <= now <= 100
    assert with_it("Pass") > with_it("Inconclusive") == with_it("NotCovered") == with_it("Leak")
    lost = {name: outcome for name, outcome in table.items() if name != place}
    assert score_of(cells(lost), squares=SQUARES) <= now


@given(TABLES, st.integers(0, 5))
def test_squares_without_a_cell_and_cells_that_are_not_covered_never_raise_it(table: dict[Any, str], more: int) -> None:
    now = score_of(cells(table), squares=SQUARES)
    left_out = [
        {"surface": "z", "attack": f"a{each}", "askerKind": "any", "outcome": "NotCovered"} for each in range(more)
    ]
    assert score_of([*cells(table), *left_out], squares=SQUARES + more) <= now


def test_everything_is_a_hundred_and_less_is_less() -> None:
    everything = {(s, a, k): "Pass" for s in "abc" for a in ("x", "y") for k in ("other-tenant", "same-tenant")}
    assert score_of(cells(everything), squares=SQUARES) == 100
    between_tenants = {name: each for name, each in everything.items() if name[2] == "other-tenant"}
    assert score_of(cells(between_tenants), squares=SQUARES) == 75
    assert score_of([], squares=SQUARES) == score_of([], squares=0) == 0


ABOUT = [
    ({}, 2),
    ({"exclusions": [{"surface": "api", "attack": "boundary-fetch", "reason": "-"}]}, 1),
    ({"tenants": {"acme": ["alice"], "globex": ["bob"]}}, 2),
]


@pytest.mark.parametrize(("spec", "cells_left"), ABOUT)
def test_of_a_run_it_counts_what_was_excluded_or_not_planned_too(spec: dict[str, Any], cells_left: int) -> None:
    whole = runs.sample().run
    run = runs.sample(runs.scenario(**spec)).run
    surfaces, attacks = 2, {skip["attack"] for skip in run["skips"]} | {row["attack"] for row in run["rows"]}
    assert len({(each["surface"], each["attack"]) for each in run["cells"]}) == cells_left
    assert len(attacks) == len(catalog.attacks())
    points = sum({"other-tenant": 3, "same-tenant": 1}[each["askerKind"]] for each in run["cells"])
    assert score(run) == 100 * points // (4 * surfaces * len(attacks))
    assert score(run) <= score(whole) < 100


@pytest.mark.parametrize("attacks", [["boundary-fetch"], ["semantic-cache"]])
def test_asking_for_less_never_raises_it(attacks: list[str]) -> None:
    surfaces = runs.document()["spec"]["surfaces"]
    surfaces[1]["attacks"] = attacks
    assert score(runs.sample(runs.scenario(surfaces=surfaces)).run) <= score(runs.sample().run)
