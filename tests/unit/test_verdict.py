"""Rows -> outcomes, findings, cells, verdict: every rule in its order, and leaks that never help."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sectum.finding import Outcome, Reason, judge, owners
from sectum.verdict import derive, sharing_of

from tests import runs

Change = Callable[[runs.Row], None]
SCENARIO = runs.scenario()


@cache
def sample() -> runs.Sample:
    return runs.sample(SCENARIO)


def _trial() -> runs.Trial:
    """bob of globex asks for what is alice's of acme."""
    return next(each for each in sample().plan.trials if str(each.asker) == "globex/bob")


def _marker(owner: str) -> str:
    return next(each.id for each in sample().plan.markers if str(each.owner) == owner and each.surface == "api")


def _arm(place: int, **parts: Any) -> Change:
    return lambda row: row["arms"][place].update(parts)


def _sees(place: int, *markers: str, **parts: Any) -> Change:
    def change(row: runs.Row) -> None:
        seen = [{"marker": each, "bits": 64, "form": "", "split": False} for each in markers]
        row["arms"][place].update(seen=[*row["arms"][place]["seen"], *seen], **parts)

    return change


def _together(*changes: Change) -> Change:
    def change(row: runs.Row) -> None:
        for each in changes:
            each(row)

    return change


def _fault(reason: str) -> Change:
    return lambda row: row.update(fault=reason)


MINE, THEIRS, THIRD = _marker("globex/bob"), _trial().marker.id, _marker("acme/amir")
DECOY = _trial().decoy.id
LEAKS, ECHO = _sees(1, THEIRS), _sees(1, THEIRS, sent=[THEIRS])
MUTE = "unauthenticated throttled server-error timeout unreachable redirected too-large too-deep malformed"

RULES: list[tuple[str, Change, Outcome | Reason]] = [
    ("nothing but working controls", lambda _row: None, Outcome.PASS),
    ("an identity that was not proven", _arm(2, identity="unproven"), Reason.IDENTITY_UNPROVEN),
    ("… even with a leak", _together(LEAKS, _arm(1, identity="unproven")), Reason.IDENTITY_UNPROVEN),
    ("… before an echo", _together(ECHO, _arm(0, identity="unproven")), Reason.IDENTITY_UNPROVEN),
    ("an echo", ECHO, Reason.ECHO),
    ("an echo beside a leak", _together(LEAKS, _sees(2, THIRD, sent=[THIRD])), Reason.ECHO),
    ("an echo before a decoy", _together(ECHO, _sees(2, DECOY)), Reason.ECHO),
    ("a decoy seen", _sees(2, DECOY), Reason.DECOY_SEEN),
    ("a decoy seen beside a leak", _together(LEAKS, _sees(2, DECOY)), Reason.DECOY_SEEN),
    ("a void trial names its fault first", _together(_sees(2, DECOY), _fault("Budget")), Reason.BUDGET),
    ("the owner's marker seen by the asker", LEAKS, Outcome.LEAK),
    ("… in the decoy arm", _sees(2, THEIRS), Outcome.LEAK),
    ("… before a fault", _together(LEAKS, _fault("Budget")), Outcome.LEAK),
    ("… and fewer arms", _together(LEAKS, lambda row: row.update(arms=row["arms"][:2])), Outcome.LEAK),
    ("… and an answer that failed", _together(LEAKS, _arm(3, answers=["timeout"])), Outcome.LEAK),
    ("… and unknown items", _together(LEAKS, _arm(1, unknown=3)), Outcome.LEAK),
    ("… and a control that failed", _together(LEAKS, _arm(3, seen=[])), Outcome.LEAK),
    ("a fault", _fault("SurfaceSuffers"), Reason.SURFACE_SUFFERS),
    ("a fault before missing arms", lambda row: row.update(fault="Cancelled", arms=[]), Reason.CANCELLED),
    ("no arms", lambda row: row.update(arms=[]), Reason.NOT_RUN),
    ("an arm missing", lambda row: row.update(arms=row["arms"][:3]), Reason.NOT_RUN),
    ("arms in another order", lambda row: row.update(arms=row["arms"][::-1]), Reason.NOT_RUN),
    ("an arm twice", lambda row: row.update(arms=[*row["arms"], row["arms"][3]]), Reason.NOT_RUN),
    *[
        (f"an answer that says nothing: {kind}", _arm(1, answers=["items", kind]), Reason.ANSWER_FAULT)
        for kind in MUTE.split()
    ],
    *[
        (f"a clean refusal: {kind}", _arm(1, answers=[kind]), Outcome.PASS)
        for kind in ("empty", "denied", "not-found", "rejected", "items")
    ],
    ("no answer at all", _arm(2, answers=[]), Reason.ANSWER_FAULT),
    ("unknown items", _arm(1, unknown=1), Reason.FOREIGN_UNKNOWN),
    ("an answer's fault before unknown items", _arm(1, unknown=1, answers=["timeout"]), Reason.ANSWER_FAULT),
    ("unknown items before a control", _together(_arm(1, unknown=1), _arm(0, seen=[])), Reason.FOREIGN_UNKNOWN),
    ("the owner did not see it before", _arm(0, seen=[]), Reason.CONTROL_FAILED),
    ("the owner did not see it after", _arm(3, seen=[]), Reason.CONTROL_FAILED),
    ("the owner saw another of the asker's", _together(_arm(3, seen=[]), _sees(3, MINE)), Reason.CONTROL_FAILED),
    ("the asker saw his own", _sees(1, MINE), Outcome.PASS),
    ("content findings off", _together(LEAKS, lambda row: row.update(contentFindings=False)), Outcome.PASS),
]  # fmt: skip


@pytest.mark.parametrize(("change", "comes_to"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_a_trial_comes_to(change: Change, comes_to: Outcome | Reason) -> None:
    row = runs.clean_row(_trial())
    change(row)
    expected = (Outcome.INCONCLUSIVE, comes_to) if isinstance(comes_to, Reason) else (comes_to, None)
    assert judge(row, owners(sample().run), sharing_of(SCENARIO.snapshot())) == expected


def _run(change: Change, *, about: Any = SCENARIO) -> dict[str, Any]:
    """The sample's run with its first trial of bob's changed."""

    def play(_number: int, trial: runs.Trial) -> runs.Row:
        row = runs.clean_row(trial)
        if trial.slot == _trial().slot:
            change(row)
        return row

    return runs.sample(about, play=play).run


def test_a_leak_is_a_finding_that_says_who_saw_whose() -> None:
    [finding] = _run(LEAKS)["findings"]
    assert finding["asker"] == {"tenant": "globex", "user": "bob"}
    assert finding["owner"] == {"tenant": "acme", "user": "alice"}
    assert finding["marker"] == THEIRS
    assert finding["slot"] == _trial().slot
    assert finding["askerKind"] == "other-tenant"
    assert finding["arm"] == "foreign"


def test_one_marker_seen_twice_is_one_finding_and_two_are_two() -> None:
    assert len(_run(_together(LEAKS, _sees(2, THEIRS)))["findings"]) == 1
    assert len(_run(_together(LEAKS, _sees(1, THIRD)))["findings"]) == 2


def test_a_third_partys_marker_is_a_finding_for_the_pair_it_belongs_to() -> None:
    run = _run(_sees(1, THIRD))
    [finding] = run["findings"]
    assert finding["owner"] == {"tenant": "acme", "user": "amir"}
    assert {row["outcome"] for row in run["rows"]} == {"Pass"}
    assert run["verdict"] == "Leak"


def test_what_an_owner_sees_of_others_while_he_controls_is_a_finding_too() -> None:
    run = _run(_sees(0, MINE))
    [finding] = run["findings"]
    assert finding["asker"] == {"tenant": "acme", "user": "alice"}
    assert run["verdict"] == "Leak"


@pytest.mark.parametrize("change", [_sees(1, THEIRS, sent=[THEIRS]), _together(LEAKS, _sees(2, DECOY))])
def test_a_void_trial_gives_no_finding(change: Change) -> None:
    run = _run(change)
    assert run["findings"] == []
    assert run["verdict"] == "Inconclusive"


def test_what_is_shared_is_no_leak() -> None:
    sharing = [
        {"surface": "api", "owner": {"tenant": "acme", "user": "amir"}, "with": {"tenant": "globex"}, "reason": "so"}
    ]
    run = _run(_sees(1, THIRD), about=runs.scenario(sharing=sharing))
    assert run["findings"] == []
    assert run["verdict"] == "Pass"


ROLL_UP: list[tuple[str, runs.Play, str]] = [
    ("all pass", runs.every(), "Pass"),
    ("one leak", runs.every(leak=lambda number, _trial: number == 0), "Leak"),
    ("one fault", lambda n, t: runs.fault_row(t, "Budget") if n == 0 else runs.clean_row(t), "Inconclusive"),
    ("a leak and faults", lambda n, t: runs.leak_row(t) if n == 0 else runs.fault_row(t, "Budget"), "Leak"),
    ("nothing ran", lambda _n, t: runs.fault_row(t, "Unreachable"), "Inconclusive"),
]


@pytest.mark.parametrize(("play", "verdict"), [each[1:] for each in ROLL_UP], ids=[each[0] for each in ROLL_UP])
def test_a_run_comes_to(play: runs.Play, verdict: str) -> None:
    assert runs.sample(play=play).run["verdict"] == verdict


def test_a_run_without_trials_never_passes() -> None:
    exclusions = [{"surface": name, "attack": name_of, "reason": "-"} for name, name_of in _all_pairs()]
    run = runs.sample(runs.scenario(exclusions=exclusions)).run
    assert run["rows"] == []
    assert run["verdict"] == "Inconclusive"


def _all_pairs() -> list[tuple[str, str]]:
    return [("api", "boundary-fetch"), ("semantic-cache", "semantic-cache"), ("semantic-cache", "boundary-fetch")]


def test_what_was_requested_and_could_not_be_tried_is_not_covered_and_no_pass() -> None:
    surfaces = runs.document()["spec"]["surfaces"]
    surfaces[0]["attacks"] = ["boundary-fetch", "semantic-cache"]
    run = runs.sample(runs.scenario(surfaces=surfaces)).run
    cells = {(cell["surface"], cell["attack"]): cell["outcome"] for cell in run["cells"]}
    assert cells["api", "semantic-cache"] == "NotCovered"
    assert run["verdict"] == "Inconclusive"


def test_an_exclusion_by_name_leaves_a_pass() -> None:
    exclusions = [{"surface": "api", "attack": "boundary-fetch", "reason": "tested elsewhere"}]
    assert runs.sample(runs.scenario(exclusions=exclusions)).run["verdict"] == "Pass"


def test_a_cell_counts_trials_and_bounds_by_asker_and_marker() -> None:
    cell = next(each for each in sample().run["cells"] if each["askerKind"] == "other-tenant")
    rows = [row for row in sample().run["rows"] if row["surface"] == cell["surface"]]
    members = [row for row in rows if row["asker"]["tenant"] != row["owner"]["tenant"]]
    assert cell["trials"] == cell["passes"] == len(members)
    assert cell["independent"] == len({(*row["asker"].values(), row["marker"]) for row in members})
    assert cell["upper95"] == pytest.approx(1 - 0.05 ** (1 / cell["independent"]), abs=1e-6)


STATES: dict[str, Change] = {
    "clean": lambda _row: None,
    "fault": _fault("Budget"),
    "unproven": _arm(1, identity="unproven"),
    "decoy": lambda row: _sees(2, row["decoy"])(row),
    "unknown": _arm(1, unknown=1),
    "no control": _arm(3, seen=[]),
    "timeout": _arm(1, answers=["timeout"]),
    "leak": lambda row: _sees(1, row["marker"])(row),
}
RANK = [Outcome.LEAK, Outcome.INCONCLUSIVE, Outcome.PASS]


@settings(deadline=None, max_examples=120)
@given(
    states=st.lists(st.sampled_from(sorted(STATES)), min_size=24, max_size=24),
    where=st.integers(0, 23),
    arm=st.integers(0, 3),
    whose=st.integers(0, 17),
)
def test_adding_a_leak_never_improves_a_verdict(states: list[str], where: int, arm: int, whose: int) -> None:
    run = runs.copied(sample().run)
    assert len(run["rows"]) == len(states)
    for row, state in zip(run["rows"], states, strict=True):
        STATES[state](row)
    before = derive(run)
    marker = run["markers"][whose % len(run["markers"])]
    assume(marker["owner"] != run["rows"][where]["arms"][arm]["asker"])  # to see one's own is no leak
    _sees(arm, marker["id"])(run["rows"][where])
    after = derive(run)
    assert RANK.index(Outcome(after["verdict"])) <= RANK.index(Outcome(before["verdict"]))
    for was, is_now in zip(before["outcomes"], after["outcomes"], strict=True):
        assert RANK.index(Outcome(is_now["outcome"])) <= RANK.index(Outcome(was["outcome"]))
    was_found = {(each["slot"], each["marker"]) for each in before["findings"]}
    assert len(after["findings"]) >= len(was_found)


@given(st.integers(0, 23))
def test_adding_a_leaking_row_makes_any_run_a_leak(where: int) -> None:
    run = runs.copied(sample().run)
    run["rows"][where] = runs.leak_row(sample().plan.trials[where])
    assert derive(run)["verdict"] == "Leak"
