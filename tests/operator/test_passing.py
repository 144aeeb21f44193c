"""A scenario is Passing only while a whole, recent run of this very scope passed; a leak stays until one does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sectum.finding import Outcome
from sectum_operator.acceptance import accept
from sectum_operator.passing import Scenario, fresh_until, passing, scope_of
from sectum_operator.readiness import stands
from sectum_operator.statuses import LastRun

from tests.operator import cluster
from tests.operator.fake_api import START, spelt

ENDED = datetime(2026, 11, 1, 1, 0, tzinfo=UTC)


def scenario(**spec: Any) -> Scenario:
    found = cluster.scenario()
    found["spec"] |= spec
    accepted = accept(found)
    assert isinstance(accepted, Scenario), accepted
    return accepted


def last(verdict: Outcome | None, **more: Any) -> LastRun:
    scope = scope_of(scenario().snapshot())
    return LastRun(name="nightly-1", verdict=verdict, finished_at=ENDED, scope=scope).model_copy(update=more)  # type: ignore[arg-type]


SOON = ENDED + timedelta(days=2)


LEAK = last(Outcome.LEAK)
EARLIER = last(Outcome.LEAK, finished_at=ENDED - timedelta(days=1))
LATER = last(Outcome.LEAK, finished_at=ENDED + timedelta(days=1))


@pytest.mark.parametrize(
    ("run", "leak", "now", "told"),
    [
        (None, None, SOON, ("Unknown", "NotRun")),
        (None, LEAK, SOON, ("False", "Leak")),
        (last(Outcome.PASS), None, SOON, ("True", "Pass")),
        (last(Outcome.PASS), EARLIER, SOON, ("True", "Pass")),
        (last(Outcome.PASS), LATER, SOON, ("False", "Leak")),
        (LEAK, LEAK, SOON, ("False", "Leak")),
        (LEAK, LEAK, SOON + timedelta(days=900), ("False", "Leak")),
        (last(Outcome.INCONCLUSIVE), None, SOON, ("Unknown", "Inconclusive")),
        (last(None), None, SOON, ("Unknown", "NoPack")),
        (last(Outcome.INCONCLUSIVE), EARLIER, SOON, ("False", "Leak")),
        (last(None), EARLIER, SOON, ("False", "Leak")),
        (last(Outcome.PASS), None, ENDED + timedelta(days=36), ("Unknown", "Stale")),
        (last(Outcome.PASS, scope="ab" * 32), None, SOON, ("Unknown", "ScenarioChanged")),
        (last(Outcome.PASS, scope=None), None, SOON, ("Unknown", "ScenarioChanged")),
    ],
)
def test_it_is_passing_only_by_a_fresh_pass_of_what_there_is(
    run: LastRun | None, leak: LastRun | None, now: datetime, told: tuple[str, str]
) -> None:
    assert passing(scenario(), run, leak, now=now)[:2] == told


def test_a_scenario_that_cannot_be_run_any_more_is_not_passing() -> None:
    assert passing(None, last(Outcome.PASS), None, now=SOON)[:2] == ("Unknown", "ScenarioChanged")


def test_when_it_runs_is_no_part_of_the_scope_and_what_it_tries_is() -> None:
    before = scope_of(scenario().snapshot())
    assert scope_of(scenario(schedule="@daily", suspend=True).snapshot()) == before
    assert scope_of(scenario(trials={"perPair": 2}).snapshot()) != before


@pytest.mark.parametrize(
    ("schedule", "until"),
    [
        (None, ENDED + timedelta(days=35)),
        ("@monthly", datetime(2027, 1, 1, 6, 0, tzinfo=UTC)),
        ("*/3 * * * *", ENDED + timedelta(minutes=9)),
        ("0 0 29 2 *", datetime(2032, 2, 29, 6, 0, tzinfo=UTC)),
    ],
)
def test_a_pass_counts_until_the_tick_after_the_next_should_have_led_to_another(
    schedule: str | None, until: datetime
) -> None:
    about = scenario(schedule=schedule) if schedule else scenario()
    assert fresh_until(about, ENDED) == until
    told = last(Outcome.PASS)
    assert passing(about, told, None, now=until - timedelta(seconds=1))[0] == "True"
    assert passing(about, told, None, now=until)[:2] == ("Unknown", "Stale")


def ended(name: str, hours: int, verdict: str | None, **spec: Any) -> dict[str, Any]:
    made = cluster.run()
    made["metadata"]["name"] = name
    made["spec"] |= spec
    made["status"] = {
        "startedAt": spelt(START), "finishedAt": spelt(START + timedelta(hours=hours)),
        "conditions": [{"type": "Complete", "status": "True", "reason": "X", "lastTransitionTime": spelt(START)}],
        "scenario": {"uid": cluster.SCENARIO_UID, "generation": 3, "sha256": "ab" * 32,
                     "snapshot": scenario().snapshot()},
        **({"verdict": verdict} if verdict else {}),
    }  # fmt: skip
    return made


def test_over_its_runs_a_scenario_keeps_its_leak_until_all_of_it_passes_and_forgets_nothing_with_the_objects() -> None:
    found, runs, seen = cluster.scenario(), [], []
    for number, (verdict, spec) in enumerate(
        [
            ("Pass", {}),
            ("Leak", {}),
            ("Inconclusive", {}),
            ("Pass", {"subset": {"surfaces": ["api"]}}),
            ("Pass", {}),
            ("Leak", {"subset": {"surfaces": ["api"]}}),
            ("Pass", {"subset": {"surfaces": ["api"]}}),
            ("Pass", {}),
        ],
        1,
    ):
        runs.append(ended(f"run-{number}", number, verdict, **spec))
        for there in (runs, [], runs):  # looked at again, with its objects deleted, and once more
            status = stands(found, accept(found), there, now=START + timedelta(hours=number))
            found["status"] = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        [told] = [each for each in status.conditions if each.type == "Passing"]
        seen.append(told.status)
    assert seen == ["True", "False", "False", "False", "True", "False", "False", "True"]
