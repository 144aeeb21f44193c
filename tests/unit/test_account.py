"""What a surface's records lead to: every Leak stands, and nothing passes where a record is missing or too many."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sectum.account import Account, account
from sectum.finding import Outcome, judge, principal
from sectum.plan import PLANNED_FIELDS
from sectum.records import RecordKind, Signed, Stage, sign_record
from sectum.rows import Row
from sectum.verdict import sharing_of

from tests import runs

QUIET = settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
NOTHING = {"requests": 0, "writes": 0, "tokens": 0}


@cache
def sample() -> runs.Sample:
    evidence = {**runs.document()["spec"]["evidence"], "formats": []}
    people = {"acme": ["alice"], "globex": ["bob"]}
    return runs.sample(runs.scenario(tenants=people, kinds=["api"], evidence=evidence))


@cache
def trials() -> tuple[runs.Trial, ...]:
    return sample().plan.trials


SHARED = sharing_of({"spec": {}})
CLEAN, LEAK, FAULT, UNPROVEN = "clean", "leak", "fault", "unproven leak"


@dataclass(frozen=True)
class Played:
    """An attempt at probing: what each trial comes to, and how many records are there before it is lost, if it is."""

    trials: tuple[str, ...]
    lost_after: int | None = None


def row(trial: runs.Trial, what: str, attempt: int) -> Row:
    made = runs.fault_row(trial, "Budget") if what == FAULT else runs.clean_row(trial)
    if what in (LEAK, UNPROVEN):
        made = runs.leak_row(trial)
    if what == UNPROVEN:
        for arm in made["arms"]:
            arm["identity"] = "unproven"
    return {**made, "attempt": attempt}


def chain(stage: Stage, bodies: runs.Bodies, attempt: int, before: list[Signed]) -> list[Signed]:
    """An attempt after those that are there."""
    return runs.signed_chain(sample().manifest, "api", bodies, stage=stage, attempt=attempt, before=before)


def records(attempts: list[Played]) -> list[Signed]:
    """Everything that a run leaves whose probe took these attempts: all but the last were told to stop, or lost."""
    made = probed(attempts)
    return made + cleaning(made)


def cleaning(before: list[Signed]) -> list[Signed]:
    return chain(Stage.CLEAN, runs.bodies_of(sample().run, sample().run["surfaces"][0])[Stage.CLEAN], 1, before)


def probed(attempts: list[Played]) -> list[Signed]:
    """The same before it is cleaned up."""
    bodies = runs.bodies_of(sample().run, sample().run["surfaces"][0])
    made = chain(Stage.BASELINE, bodies[Stage.BASELINE], 1, [])
    made += chain(Stage.PLANT, bodies[Stage.PLANT], 1, made)
    for number, played in enumerate(attempts, 1):
        rows = [row(trial, what, number) for trial, what in zip(trials(), played.trials, strict=True)]
        result = runs.ended(rows=rows, fault=None if number == len(attempts) else "Cancelled", **NOTHING)
        told = [*runs.begun(trials=len(rows)), *runs.leaks_of(rows), result]
        kept = told if played.lost_after is None else told[: max(1, min(played.lost_after, len(told) - 1))]
        made += chain(Stage.PROBE, kept, number, made)
    return made


PLANNED = tuple({name: each[name] for name in PLANNED_FIELDS} for each in sample().run["rows"])


def told(signed: list[Signed], *, broken: bool = False) -> Account:
    return account("api", PLANNED, signed, shared=SHARED, broken=broken)


def outcomes(found: Account) -> dict[str, tuple[str, str | None]]:
    owners = {each["id"]: principal(each["owner"]) for each in (*sample().run["markers"], *sample().run["decoys"])}
    judged = {each["slot"]: judge(each, owners, SHARED) for each in found.rows}
    return {slot: (str(outcome), reason) for slot, (outcome, reason) in judged.items()}


def leaking(signed: list[Signed]) -> set[str]:
    """Slots of which a Leak record tells that counts."""
    bodies = [each.record.body for each in signed if each.record.kind == RecordKind.LEAK]
    return {body["slot"] for body in bodies if all(arm["identity"] == "proven" for arm in body["row"]["arms"])}


plays = st.builds(
    Played,
    st.tuples(*(st.sampled_from([CLEAN, CLEAN, LEAK, FAULT, UNPROVEN]) for _ in trials())),
    st.none() | st.integers(1, 4),
)
some = st.lists(plays, min_size=1, max_size=3)


# --- whole sets


@QUIET
@given(some)
def test_a_whole_set_gives_the_last_probe_s_rows_and_beside_them_what_others_saw(attempts: list[Played]) -> None:
    signed = records(attempts)
    found, last = told(signed), attempts[-1]
    assert found.broken == ()
    outcome = outcomes(found)
    for slot in leaking(signed):
        assert outcome[slot] == (Outcome.LEAK, None)
    assert {slot for slot, (each, _) in outcome.items() if each == Outcome.LEAK} == leaking(signed)
    if any(each.lost_after is not None for each in attempts):
        assert passed(found) == set()
        assert found.figures["fault"] == "Unfinished"
        return
    assert found.figures["fault"] is None
    mine = {trial.slot: row(trial, what, len(attempts)) for trial, what in zip(trials(), last.trials, strict=True)}
    seen = {each.record.body["slot"] for each in signed if each.record.kind == RecordKind.LEAK}
    for each in found.rows:
        if each["slot"] not in seen or len(attempts) == 1:
            assert each == mine[each["slot"]]


@QUIET
@given(some, st.randoms(use_true_random=False))
def test_the_order_in_which_records_are_read_does_not_matter(attempts: list[Played], chance: Any) -> None:
    signed = records(attempts)
    shuffled = list(signed)
    chance.shuffle(shuffled)
    assert told(shuffled) == told(signed)


# --- sets that are not whole


@QUIET
@given(some, st.data())
def test_where_a_record_is_missing_nothing_passes_and_every_leak_that_is_told_stands(
    attempts: list[Played], data: st.DataObject
) -> None:
    signed = records(attempts)
    gone = data.draw(st.lists(st.sampled_from(signed), min_size=1, unique_by=id))
    left = [each for each in signed if each not in gone]
    found = told(left)
    assert passed(found) == set()
    assert leaking(left) <= leaks(found)
    assert found.figures["fault"] in ("Unfinished", "RecordsBroken")


@QUIET
@given(some, st.data())
def test_where_a_record_is_there_twice_or_changed_nothing_passes(attempts: list[Played], data: st.DataObject) -> None:
    signed = records(attempts)
    one = data.draw(st.sampled_from(signed))
    parts = data.draw(
        st.sampled_from(
            [
                {},
                {"number": one.record.number + 1},
                {"number": 7},
                {"previous": "0" * 64},
                {"attempt": one.record.attempt + 1},
                {"attempt": 9},
            ]
        )
    )
    added = resigned(one, **parts)
    found = told([*signed, added])
    assert found.broken != ()
    assert passed(found) == set()
    assert leaking(signed) <= leaks(found)
    assert found.figures["fault"] == "RecordsBroken"


@QUIET
@given(some)
def test_where_foreign_records_were_met_nothing_passes_and_leaks_stand(attempts: list[Played]) -> None:
    signed = records(attempts)
    found = told(signed, broken=True)
    assert passed(found) == set()
    assert leaks(found) == leaking(signed)
    assert (found.broken, found.figures["fault"]) == ((), "RecordsBroken")


@QUIET
@given(some)
def test_records_of_other_surfaces_do_not_matter(attempts: list[Played]) -> None:
    signed = records(attempts)
    assert told([*signed, *(resigned(each, surface="other") for each in signed)]) == told(signed)


def passed(found: Account) -> set[str]:
    return {slot for slot, (outcome, _) in outcomes(found).items() if outcome == Outcome.PASS}


def leaks(found: Account) -> set[str]:
    return {slot for slot, (outcome, _) in outcomes(found).items() if outcome == Outcome.LEAK}


def resigned(one: Signed, **parts: Any) -> Signed:
    record = replace(one.record, **parts)
    return Signed(record, sign_record(record, sample().manifest.run_key))


# --- tables

ALL_CLEAN = Played((CLEAN,) * len(trials()))


def lost(*first: str, after: int) -> Played:
    return Played((*first, *ALL_CLEAN.trials[len(first) :]), after)


def first_of(attempts: list[Played]) -> tuple[str, str | None]:
    return outcomes(told(records(attempts)))[trials()[0].slot]


FIRST: dict[str, tuple[list[Played], tuple[str, str | None]]] = {
    "a leak, then lost": ([lost(LEAK, after=2)], ("Leak", None)),
    "a leak in a lost one, then clean": ([lost(LEAK, after=2), ALL_CLEAN], ("Leak", None)),
    "a leak in one that ended, then clean": ([Played((LEAK, *ALL_CLEAN.trials[1:])), ALL_CLEAN], ("Leak", None)),
    "clean, then a leak": ([ALL_CLEAN, Played((LEAK, *ALL_CLEAN.trials[1:]))], ("Leak", None)),
    "a leak, then one of nobody's": ([lost(LEAK, after=2), lost(UNPROVEN, after=2)], ("Leak", None)),
    "one of nobody's, then a leak": ([lost(UNPROVEN, after=2), lost(LEAK, after=2)], ("Leak", None)),
    "one of nobody's in a lost one, then clean": (
        [lost(UNPROVEN, after=2), ALL_CLEAN],
        ("Inconclusive", "Cancelled"),
    ),
    "lost, then clean": ([lost(after=1), ALL_CLEAN], ("Inconclusive", "Unfinished")),
    "told to stop, then clean": ([ALL_CLEAN, ALL_CLEAN], ("Pass", None)),
    "clean, then lost": ([ALL_CLEAN, lost(after=1)], ("Inconclusive", "Unfinished")),
    "a fault and told to stop, then clean": ([Played((FAULT, *ALL_CLEAN.trials[1:])), ALL_CLEAN], ("Pass", None)),
    "lost twice": ([lost(after=1), lost(after=1)], ("Inconclusive", "Unfinished")),
}


@pytest.mark.parametrize("case", FIRST)
def test_what_attempts_told_of_a_trial_comes_to(case: str) -> None:
    attempts, outcome = FIRST[case]
    assert first_of(attempts) == outcome


def test_a_leak_that_one_attempt_saw_and_its_row_does_not_show_leaves_nothing_of_the_attack_clean() -> None:
    """Two attempts saw two things in one trial; the row shows the later, and what else was seen is not forgotten."""
    third = next(each.id for each in sample().plan.markers if each.owner == trials()[0].owner and each.number == 2)
    other = runs.copied(row(trials()[0], LEAK, 1))
    other["arms"][1]["seen"][0]["marker"] = third
    made = probed([])
    for number, first in enumerate((other, row(trials()[0], LEAK, 2), row(trials()[0], CLEAN, 3)), 1):
        rows = [first, *(row(trial, CLEAN, number) for trial in trials()[1:])]
        result = runs.ended(rows=rows, fault=None if number == 3 else "Cancelled", **NOTHING)
        made += chain(Stage.PROBE, [*runs.begun(trials=len(rows)), *runs.leaks_of(rows), result], number, made)
    found = told(made + cleaning(made))
    assert (found.broken, found.figures["fault"]) == ((), None)
    of_attack = [each for each in found.rows if each["attack"] == trials()[0].attack]
    assert {outcomes(found)[each["slot"]][0] for each in of_attack} == {"Leak", "Inconclusive"}


def instead(stage: Stage, change: Callable[[list[Signed]], list[Signed]]) -> Account:
    """The account where a stage's records are others from its end on: what follows names those."""
    bodies = runs.bodies_of(sample().run, sample().run["surfaces"][0])
    made: list[Signed] = []
    for each in Stage:
        mine = chain(each, bodies[each], 1, made)
        made += change(mine) if each == stage else mine
    return told(made)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("left", [0, 1])
def test_a_stage_that_never_began_or_never_ended_is_unfinished(stage: Stage, left: int) -> None:
    found = instead(stage, lambda mine: mine[:left])
    assert found.broken == ()
    assert {reason for _, reason in outcomes(found).values()} == {"Unfinished"}
    assert found.figures["fault"] == "Unfinished"


@pytest.mark.parametrize("stage", [Stage.BASELINE, Stage.PLANT])
def test_where_an_earlier_stage_had_a_fault_nothing_is_clean(stage: Stage) -> None:
    def with_fault(mine: list[Signed]) -> list[Signed]:
        return [mine[0], resigned(mine[1], body={**mine[1].record.body, "fault": "Unreachable"})]

    found = instead(stage, with_fault)
    assert {reason for _, reason in outcomes(found).values()} == {"Unreachable"}
    assert found.figures["fault"] == "Unreachable"


def test_without_trials_and_records_there_is_nothing_wrong() -> None:
    found = account("api", (), [], shared=SHARED)
    assert (found.rows, found.broken, found.figures["fault"], found.figures["notRemoved"]) == ((), (), None, 0)


LOST = None
Step = tuple[Stage, int | None] | tuple[Stage, int, int | None]
"""Planting and how many documents it says that it left; cleaning, how many it removed and did not."""


def cleaned(steps: list[Step]) -> tuple[int, int]:
    """`removed` and `notRemoved` after these attempts, of which some were LOST."""
    signed = [each for each in probed([ALL_CLEAN]) if each.record.stage == Stage.BASELINE]
    ids = sorted(each.id for each in sample().plan.markers)
    for stage, count, *rest in steps:
        bodies = runs.begun(**{"markers" if stage == Stage.PLANT else "documents": len(ids)})
        if stage == Stage.PLANT and count is not None:
            bodies.append(runs.ended(planted=ids[:count], unattributed=[], faults={}, fault=None, **NOTHING))
        elif rest and rest[0] is not None:
            bodies.append(runs.ended(removed=count, notRemoved=rest[0], requests=1, writes=1))
        number = 1 + len({each.record.attempt for each in signed if each.record.stage == stage})
        signed += chain(stage, bodies, number, signed)
    found = told(signed)
    assert found.broken == ()
    return found.figures["removed"], found.figures["notRemoved"]


MANY = len(sample().plan.markers)
P, C = Stage.PLANT, Stage.CLEAN
LEFT: dict[str, tuple[list[Step], tuple[int, int]]] = {
    "all removed": ([(P, 3), (C, 3, 0)], (3, 0)),
    "one not": ([(P, 3), (C, 2, 1)], (2, 1)),
    "one not, then it was": ([(P, 3), (C, 2, 1), (C, 1, 0)], (3, 0)),
    "never cleaned": ([(P, 3)], (0, 3)),
    "cleaning was lost": ([(P, 3), (C, 0, LOST)], (0, 3)),
    "cleaning was lost the second time": ([(P, 3), (C, 2, 1), (C, 0, LOST)], (2, 1)),
    "planting was lost and nothing cleaned": ([(P, LOST)], (0, MANY)),
    "planting was lost and cleaned": ([(P, LOST), (C, 2, 0)], (2, 0)),
    "planted again after cleaning, and cleaned": ([(P, LOST), (C, 2, 0), (P, 3), (C, 3, 0)], (5, 0)),
    "planted again after cleaning, and not cleaned": ([(P, 3), (C, 3, 0), (P, 3)], (3, 3)),
    "planted again and its cleaning lost": ([(P, 3), (C, 3, 0), (P, 3), (C, 0, LOST)], (3, 3)),
    "planted again after two times of cleaning": ([(P, 3), (C, 2, 1), (C, 1, 0), (P, 3)], (3, 3)),
    "planted again with fewer times of cleaning": ([(P, 3), (P, 3), (C, 6, 0)], (6, 0)),
    "nothing planted": ([(C, 0, 0)], (0, 0)),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_is_left_is_never_said_to_be_less_than_it_may_be(case: str) -> None:
    steps, should = LEFT[case]
    assert cleaned(steps) == should


def measured(*boundaries: dict[str, bool] | None) -> str | None:
    """The boundary where the records of the probe and of cleaning say these."""
    signed = records([ALL_CLEAN])
    mine = [each for each in signed if each.record.stage in (Stage.PROBE, Stage.CLEAN)]
    bodies = [{**each.record.body, "boundary": told_} for each, told_ in zip(mine, boundaries, strict=True)]
    changed = [resigned(each, body=body) for each, body in zip(mine, bodies, strict=True)]
    boundary: str | None = account("api", (), changed, shared=SHARED).figures["boundary"]
    return boundary


SHUT = {"allowed": True, "metadata": False, "apiServer": False}


def test_the_boundary_is_enforced_only_where_every_record_says_so() -> None:
    assert measured(None, None, None, None) is None
    assert measured(SHUT, SHUT, SHUT, SHUT) == "enforced"
    assert measured(SHUT, SHUT, None, SHUT) == "unproven"
    assert measured(SHUT, {**SHUT, "allowed": False}, SHUT, SHUT) == "unproven"
    assert measured(SHUT, SHUT, SHUT, {**SHUT, "metadata": True}) == "open"
    assert measured(None, None, None, {**SHUT, "apiServer": True}) == "open"


Change = Callable[[dict[str, Any]], dict[str, Any]]


def _first_row(**parts: Any) -> Change:
    return lambda body: {**body, "rows": [{**body["rows"][0], **parts}, *body["rows"][1:]]}


def _baseline_arm(body: dict[str, Any]) -> dict[str, Any]:
    """An arm before planting of which no record of then tells."""
    first = body["rows"][0]
    arm = {**first["arms"][1], "arm": "baseline"}
    return _first_row(arms=[arm, *first["arms"]])(body)


OTHERS: dict[str, tuple[Stage, RecordKind, Change]] = {
    "begun with other trials": (Stage.PROBE, RecordKind.START, lambda body: {**body, "trials": 99}),
    "a baseline of trials that have none": (Stage.BASELINE, RecordKind.START, lambda body: {**body, "trials": 1}),
    "a row less": (Stage.PROBE, RecordKind.RESULT, lambda body: {**body, "rows": body["rows"][1:]}),
    "a row twice": (Stage.PROBE, RecordKind.RESULT, lambda body: {**body, "rows": [*body["rows"], body["rows"][0]]}),
    "rows in another order": (Stage.PROBE, RecordKind.RESULT, lambda body: {**body, "rows": body["rows"][::-1]}),
    "a row of a strange slot": (Stage.PROBE, RecordKind.RESULT, _first_row(slot="0" * 32)),
    "a row with another asker": (Stage.PROBE, RecordKind.RESULT, _first_row(asker={"tenant": "acme", "user": "eve"})),
    "a row without findings": (Stage.PROBE, RecordKind.RESULT, _first_row(contentFindings=False)),
    "a row of another attempt": (Stage.PROBE, RecordKind.RESULT, _first_row(attempt=2)),
    "an arm before planting": (Stage.PROBE, RecordKind.RESULT, _baseline_arm),
    "a leak of another slot": (Stage.PROBE, RecordKind.LEAK, lambda body: {**body, "slot": trials()[1].slot}),
}


@pytest.mark.parametrize("case", OTHERS)
def test_records_of_other_trials_than_the_planned_ones_are_broken(case: str) -> None:
    stage, kind, change = OTHERS[case]
    signed = records([Played((LEAK, *ALL_CLEAN.trials[1:]))])
    mine = [each for each in signed if each.record.stage == stage]
    bodies = [(each.record.kind, dict(each.record.body)) for each in mine]
    other = [(each, change(body) if each == kind else body) for each, body in bodies]
    found = told([each for each in signed if each not in mine] + chain(stage, other, 1, []))
    assert found.broken != ()
    assert passed(found) == set()
    planned = [{name: each[name] for name in PLANNED_FIELDS} for each in found.rows]
    assert planned == list(PLANNED), "what is planned is the plan's to say"
