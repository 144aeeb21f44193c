"""What a scenario's runs came to -> its condition Passing: true while a whole, fresh run of this scope passed.

Pure, for display only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal

from sectum.codec import canonical, sha256
from sectum.cron import ticks
from sectum.finding import Outcome
from sectum.scenario import Scenario

from sectum_operator.reasons import Why
from sectum_operator.statuses import LastRun

UNSCHEDULED = timedelta(days=35)
"""For how long a pass counts where no schedule says when the next one is due."""
_GRACE = timedelta(hours=6)
"""What a run may take after its tick, where ticks are not closer than that."""
_SPANS = tuple(timedelta(days=each) for each in (1, 40, 800, 20 * 366))
"""How far to look for two ticks, in turn: every minute has many, the 29th of February few."""
_NOT_SCOPE = frozenset(
    {"schedule", "timeZone", "suspend", "startingDeadlineSeconds", "concurrencyPolicy", "acceptedRisks"}
    | {"successfulRunsHistoryLimit", "failedRunsHistoryLimit"}
)
"""Fields of a scenario's spec that change nothing in what is verified."""

Told = tuple[Literal["True", "False", "Unknown"], str, str]
"""Status, reason and message of a condition."""


def scope_of(snapshot: Mapping[str, Any]) -> str:
    """Digest (hex SHA-256) of what a scenario verifies: its spec, less when it does so and who answers for findings."""
    return sha256(canonical({key: value for key, value in snapshot["spec"].items() if key not in _NOT_SCOPE}))


def passing(scenario: Scenario | None, last: LastRun | None, leak: LastRun | None, *, now: datetime) -> Told:
    """The condition, of the newest run of all of the scenario, and the newest one of any part of it that leaked.

    `scenario` as it is now; None where it cannot be run.
    """
    if leak is not None and not _mended(leak, last):
        return "False", Outcome.LEAK, f"{_named(leak)}; no run of all of it has passed since"
    if last is None or last.finished_at is None:
        return "Unknown", Why.NOT_RUN, "no run of all of it has ended"
    told = _named(last)
    if last.verdict != Outcome.PASS:
        return "Unknown", str(last.verdict or Why.NO_PACK), told
    if scenario is None or last.scope != scope_of(scenario.snapshot()):
        return "Unknown", Why.SCENARIO_CHANGED, f"{told} passed, and verified another scope than there is now"
    if now >= (until := fresh_until(scenario, last.finished_at)):
        return "Unknown", Why.STALE, f"{told} passed, and counts until {until:%Y-%m-%d %H:%M} UTC"
    return "True", Outcome.PASS, told


def _mended(leak: LastRun, last: LastRun | None) -> bool:
    if last is None or last.verdict != Outcome.PASS or last.finished_at is None:
        return False
    return leak.finished_at is None or leak.finished_at < last.finished_at


def _named(run: LastRun) -> str:
    return f"{run.name} of {run.finished_at:%Y-%m-%d %H:%M} UTC"


def fresh_until(scenario: Scenario, ended: datetime) -> datetime:
    """How long a run that ended then counts: until the tick after the next one should have led to a run's end."""
    spec = scenario.spec
    if spec.schedule is None:
        return ended + UNSCHEDULED
    for span in _SPANS:
        following = list(islice(ticks(spec.schedule, spec.time_zone, after=ended, until=ended + span), 2))
        if len(following) == 2:
            first, second = following
            return second + min(second - first, _GRACE)
    return ended + UNSCHEDULED
