"""A plan is the same each time, asks everybody for everybody's, says what it leaves out, and counts what it costs."""

import asyncio
import hashlib
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sectum import topics
from sectum.actions import Impact, Principal, Verb
from sectum.errors import ScenarioError
from sectum.plan import DECOY, PLANNED_FIELDS, MarkerSpec, Plan, SkipReason, Trial, make_plan, planned_root, shared
from sectum.testing import API_VERBS, Audience, MemorySurface, memory_scenario, try_out

ANN, BEN, CAT, DAN = (
    Principal(*names) for names in (("acme", "ann"), ("acme", "ben"), ("globex", "cat"), ("globex", "dan"))
)
EVERYBODY = (ANN, BEN, CAT, DAN)


def plan_of(surface: MemorySurface | None = None, **spec: Any) -> Plan:
    return make_plan(memory_scenario(surface or MemorySurface(), **spec))


def a_trial(**changes: Any) -> Trial:
    return replace(next(each for each in plan_of().trials if each.attack == "boundary-fetch"), **changes)


PLAIN = frozenset({"boundary-fetch", "entity-bleed", "semantic-cache"})
"""What is tried on a MemorySurface as it comes, without further consent."""


def skips_of(plan: Plan) -> set[tuple[str, SkipReason, bool]]:
    return {(skip.attack, skip.reason, skip.requested) for skip in plan.skips if skip.attack in PLAIN}


def test_the_same_scenario_gives_the_same_plan() -> None:
    assert plan_of() == plan_of()
    assert plan_of().rows() == plan_of().rows()


def test_a_slot_is_made_of_the_scenario_s_names_alone() -> None:
    trial = a_trial(asker=ANN, owner=CAT, phrasing="by-id", index=1)
    names = ["memory", "boundary-fetch", "acme", "ann", "globex", "cat", str(trial.kind), "by-id", 1]
    written = json.dumps(names, separators=(",", ":")).encode()
    assert trial.slot == hashlib.sha256(written).hexdigest()[:32]


def test_slots_stay_what_they_were() -> None:
    # Written down once: runs of different versions are compared by them.
    first, *_, last = plan_of().trials
    assert (first.slot, last.slot) == ("d708353abbaadd7f12b8413267046dda", "62254e693b491e9362316bdb35fb0f39")


@settings(deadline=None, max_examples=40)
@given(
    users=st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda users: sum(users) > 1),
    markers=st.integers(3, 7),
    data=st.data(),
)
def test_every_pair_is_asked_in_every_way_and_every_marker_has_its_turn(
    users: list[int], markers: int, data: st.DataObject
) -> None:
    per_pair = data.draw(st.integers(1, markers))
    tenants = {f"t{number}": tuple(f"u{each}" for each in range(count)) for number, count in enumerate(users)}
    scenario = memory_scenario(
        MemorySurface(), tenants=tenants, trials={"markersPerUser": markers, "perPair": per_pair}
    )
    plan = make_plan(scenario)
    everybody = scenario.principals
    assert len({trial.slot for trial in plan.trials}) == len(plan.trials)
    asked = Counter((trial.attack, trial.asker, trial.owner, trial.phrasing) for trial in plan.trials)
    ways = {(trial.attack, trial.phrasing) for trial in plan.trials}
    assert asked == {
        (attack, asker, owner, phrasing): per_pair
        for attack, phrasing in ways
        for asker in everybody
        for owner in everybody
        if asker != owner
    }
    for owner in everybody:
        for attack in {attack for attack, _ in ways}:
            mine = [trial.marker for trial in plan.trials if (trial.owner, trial.attack) == (owner, attack)]
            turns = (len(everybody) - 1) + len({way for each, way in ways if each == attack}) - 1 + per_pair - 1
            assert len(set(mine)) == min(markers, turns)


def test_every_marker_of_every_user_is_looked_for_even_in_one_way() -> None:
    # With four users and three markers each, the third marker was never looked for.
    plan = plan_of(MemorySurface(verbs=frozenset({Verb.WRITE, Verb.FETCH, Verb.WHOAMI})))
    for phrasing in ("by-id", "by-id+tenant-header"):
        looked_for = {trial.marker for trial in plan.trials if trial.phrasing == phrasing}
        assert looked_for == set(plan.markers)


def test_every_kind_of_marker_is_looked_for_between_two_users_and_one_attack() -> None:
    plan = plan_of(tenants={"acme": ("ann",), "globex": ("cat",)}, surface_fields={"attacks": ["boundary-fetch"]})
    assert {trial.kind for trial in plan.trials} == {"hard", "entity", "secret"}
    assert {trial.group[2] for trial in plan.trials} == {"other-tenant"}


def test_markers_and_decoys_have_names_that_no_tenant_can_have() -> None:
    plan = plan_of()
    assert len({each.id for each in plan.markers + plan.decoys}) == len(plan.markers + plan.decoys) == 15
    assert {each.owner for each in plan.markers} == set(EVERYBODY)
    assert {each.owner for each in plan.decoys} == {DECOY}
    assert {trial.decoy for trial in plan.trials} == set(plan.decoys)
    assert [spec.number for spec in plan.decoys] == [0, 1, 2]


def test_declared_sharing_is_not_tried_and_nothing_else_is_left_out() -> None:
    declared = {"surface": "memory", "owner": {"tenant": "acme"}, "with": {"tenant": "globex", "user": "cat"}}
    scenario = memory_scenario(MemorySurface(), sharing=[{**declared, "reason": "one team"}])
    plan = make_plan(scenario)
    assert {(trial.asker, trial.owner) for trial in plan.trials} == {
        (asker, owner) for asker in EVERYBODY for owner in EVERYBODY if asker != owner
    } - {(CAT, ANN), (CAT, BEN)}
    assert {(skip.reason, skip.pairs) for skip in plan.skips if skip.attack in PLAIN} == {
        (SkipReason.DECLARED_SHARING, 2)
    }
    assert shared(scenario, "memory", asker=CAT, owner=ANN)
    assert not shared(scenario, "memory", asker=ANN, owner=CAT)
    assert not shared(scenario, "elsewhere", asker=CAT, owner=ANN)
    rest = {trial.slot for trial in plan_of().trials if (trial.asker, trial.owner) not in {(CAT, ANN), (CAT, BEN)}}
    assert {trial.slot for trial in plan.trials} == rest


ALL = API_VERBS
SKIPPED: dict[str, tuple[dict[str, Any], set[tuple[str, SkipReason, bool]]]] = {
    "nothing": ({}, set()),
    "excluded by name": (
        {"exclusions": [{"surface": "memory", "attack": "entity-bleed", "reason": "no"}]},
        {("entity-bleed", SkipReason.EXCLUDED, False)},
    ),
    "not requested": (
        {"surface_fields": {"attacks": ["boundary-fetch"]}},
        {("entity-bleed", SkipReason.NOT_REQUESTED, False), ("semantic-cache", SkipReason.NOT_REQUESTED, False)},
    ),
    "requested, and the surface cannot": (
        {"surface": MemorySurface(verbs=ALL - {Verb.ASK_CACHED}), "surface_fields": {"attacks": ["semantic-cache"]}},
        {
            ("semantic-cache", SkipReason.VERB_MISSING, True),
            ("boundary-fetch", SkipReason.NOT_REQUESTED, False),
            ("entity-bleed", SkipReason.NOT_REQUESTED, False),
        },
    ),
    "a surface that cannot be written to": (
        {"surface": MemorySurface(verbs=ALL - {Verb.WRITE})},
        {(attack, SkipReason.VERB_MISSING, True) for attack in PLAIN},
    ),
    "impact not allowed": (
        {"allowImpact": ["write-own"]},
        {("boundary-fetch", SkipReason.IMPACT, False), ("entity-bleed", SkipReason.IMPACT, False)},
    ),
    "planting not allowed": (
        {"allowImpact": ["read"]},
        {(attack, SkipReason.IMPACT, True) for attack in PLAIN},
    ),
    "one tenant": (
        {"tenants": {"acme": ("ann", "ben")}},
        {(attack, SkipReason.NO_OTHER_TENANT, True) for attack in PLAIN},
    ),
    "one user each": (
        {"tenants": {"acme": ("ann",), "globex": ("cat",)}},
        {(attack, SkipReason.NO_OTHER_USER, False) for attack in PLAIN},
    ),
}


@pytest.mark.parametrize(("spec", "expected"), SKIPPED.values(), ids=SKIPPED)
def test_what_is_not_tried_is_said_with_its_reason(spec: dict[str, Any], expected: Any) -> None:
    plan = plan_of(**spec)
    assert skips_of(plan) == expected
    whole = {attack for attack, reason, _ in expected if "NoOther" not in reason}
    assert {trial.attack for trial in plan.trials} == PLAIN - whole
    assert bool(plan.markers) == bool(plan.trials), "planted where nothing is tried"


def test_what_cannot_be_removed_is_said_beforehand() -> None:
    surface = MemorySurface(verbs=ALL - {Verb.DELETE})
    [totals] = plan_of(surface, surface_fields={"residue": ["the audit log"]}).totals
    assert totals.residue[0] == "the audit log"
    assert "no delete" in totals.residue[1]
    assert "cached answers" in totals.residue[2]
    assert totals.impact == (Impact.READ, Impact.WRITE_OWN)


def test_more_documents_than_topics_is_an_error_of_the_scenario() -> None:
    many = {f"s{number:02d}": MemorySurface() for number in range(26)}
    with pytest.raises(ScenarioError) as caught:
        make_plan(memory_scenario(many, trials={"markersPerUser": 48}))
    assert caught.value.field == "spec.trials.markersPerUser"
    assert str(topics.MOST) in str(caught.value)


def test_topics_are_shared_but_where_an_answer_cache_is_attacked() -> None:
    spec = MarkerSpec("memory", ANN, plan_of().markers[0].kind, 0)
    others = replace(spec, owner=CAT)
    without = plan_of(MemorySurface(verbs=ALL - {Verb.ASK_CACHED}))
    assert without.topic_key(spec) == without.topic_key(others)
    assert without.topic_key(spec) != without.topic_key(replace(spec, owner=DECOY))
    assert plan_of().topic_key(spec) != plan_of().topic_key(others)


@pytest.mark.parametrize("field", PLANNED_FIELDS)
def test_the_root_covers_every_planned_field_of_every_row(field: str) -> None:
    rows = plan_of().rows()
    root = planned_root(rows)
    assert planned_root([{**row, "outcome": "Pass"} for row in rows]) == root
    changed = [*rows[:3], {**rows[3], field: "x"}, *rows[4:]]
    assert planned_root(changed) != root
    assert planned_root(rows[1:]) != root
    assert planned_root([rows[0], *rows]) != root


COSTS: dict[str, MemorySurface] = {
    "all verbs": MemorySurface(),
    "where the client chooses the location": MemorySurface(client_chooses=True),
    "no list": MemorySurface(verbs=ALL - {Verb.LIST}),
    "no fetch": MemorySurface(verbs=ALL - {Verb.FETCH, Verb.BATCH}),
    "no delete": MemorySurface(verbs=ALL - {Verb.DELETE}),
    "answers only": MemorySurface(verbs=frozenset({Verb.WHOAMI, Verb.WRITE, Verb.ASK, Verb.DELETE})),
    "no identity": MemorySurface(verbs=ALL - {Verb.WHOAMI}),
    "nothing to try": MemorySurface(verbs=ALL - {Verb.WRITE}),
}


@pytest.mark.parametrize("surface", COSTS.values(), ids=COSTS)
def test_the_planned_totals_are_what_a_run_sends(surface: MemorySurface) -> None:
    scenario = memory_scenario(surface)
    [totals] = make_plan(scenario).totals
    [row] = asyncio.run(try_out(scenario)).run["surfaces"]
    assert (row["requests"], row["writes"]) == (totals.requests, totals.writes)
    assert len(surface.received) == totals.requests


def test_a_leak_costs_two_checks_of_identity_more_for_each_marker_seen() -> None:
    """The asker's and the owner's, who had asked before him: what the Leak record says stands by itself."""
    scenario = memory_scenario(MemorySurface(leaky_fetch=Audience.EVERYBODY))
    [totals] = make_plan(scenario).totals
    ended = asyncio.run(try_out(scenario))
    assert ended.run["surfaces"][0]["requests"] == totals.requests + 2 * len(ended.run["findings"])
