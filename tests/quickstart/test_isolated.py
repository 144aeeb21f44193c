"""Three thousand distinct trials against the hardened stack, between all users of all tenants: no finding."""

import itertools
from collections import Counter
from typing import Any

import pytest

from tests.quickstart.quick import all_four_tenants, prepare
from tests.stack.running import running_stack

MARKERS_PER_USER = 7
SURFACES = {
    *("api", "vectors", "chroma", "tools", "assistant", "cache"),
    *("memory", "threads", "notes", "ingestion"),
}
BUDGET = {"requests": 50_000, "writes": 5_000, "tokens": 10_000_000, "minutes": 30, "inFlight": 4}


def many_trials(scenario: dict[str, Any]) -> None:
    all_four_tenants(scenario)
    scenario["spec"]["trials"] = {"markersPerUser": MARKERS_PER_USER}
    for surface in scenario["spec"]["surfaces"]:
        surface["budget"] = BUDGET


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with running_stack() as stack:
        return prepare(tmp_path_factory.mktemp("isolated"), stack, change=many_trials).run()


def test_nothing_is_found_and_the_run_passes(result: dict[str, Any]) -> None:
    assert result["verdict"] == "Pass"
    assert result["findings"] == []
    assert {each["outcome"] for each in result["cells"]} == {"Pass"}
    assert {row["outcome"] for row in result["rows"]} == {"Pass"}
    assert not result["cancelled"]


def test_the_trials_are_three_thousand_distinct_ones_and_a_hundred_on_each_surface(result: dict[str, Any]) -> None:
    slots = {row["slot"]: row["surface"] for row in result["rows"]}
    assert len(slots) == len(result["rows"]) >= 3000
    each = Counter(slots.values())
    assert set(each) == SURFACES
    assert min(each.values()) >= 100
    # Distinct in what is asked, too, and not by their name alone.
    parts = ("surface", "attack", "phrasing", "marker")
    asked = {(*(row[part] for part in parts), who(row["asker"]), who(row["owner"])) for row in result["rows"]}
    assert len(asked) == len(slots)


def test_two_hundred_markers_are_planted_and_found_where_they_belong(result: dict[str, Any]) -> None:
    planted = [marker for marker in result["markers"] if marker["planted"]]
    assert len({marker["commitment"] for marker in planted}) == len(planted) == len(result["markers"]) >= 200
    assert {marker["kind"] for marker in planted} == {"hard", "entity", "secret"}


def test_every_user_asks_for_every_others_on_every_surface(result: dict[str, Any]) -> None:
    people = {who(row["asker"]) for row in result["rows"]}
    assert len(people) == 8
    pairs = set(itertools.permutations(people, 2))
    for surface in SURFACES:
        tried = {(who(row["asker"]), who(row["owner"])) for row in result["rows"] if row["surface"] == surface}
        assert tried == pairs, surface


def test_the_owner_saw_the_marker_before_and_after_and_nobody_else_did(result: dict[str, Any]) -> None:
    for row in result["rows"]:
        arms = {arm["arm"]: arm for arm in row["arms"]}
        before = {"baseline"} if row["attack"] == "corpus-poisoning" else set()
        assert set(arms) == {"owner-before", "foreign", "decoy", "owner-after"} | before
        seen = {name: {each["marker"] for each in arm["seen"]} for name, arm in arms.items()}
        assert row["marker"] in seen["owner-before"] & seen["owner-after"], row["slot"]
        assert row["marker"] not in seen["foreign"] | seen["decoy"], row["slot"]
        for name, arm in arms.items():
            assert who(arm["asker"]) == who(row["owner" if name.startswith("owner") else "asker"])
            assert arm["answers"]
            assert arm["identity"] == "proven"


def who(principal: dict[str, str]) -> tuple[str, str]:
    return principal["tenant"], principal["user"]
