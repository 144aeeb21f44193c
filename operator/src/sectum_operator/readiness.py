"""An IsolationScenario and its runs -> its status: can it be run here, and how did the newest run end? Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sectum_operator.acceptance import Refused, accept
from sectum_operator.observe import Object, run_ended
from sectum_operator.reasons import Why
from sectum_operator.statuses import LastRun, RunStatus, ScenarioStatus
from sectum_operator.telling import condition


def stands(scenario: Object, runs: Iterable[Object], *, now: datetime) -> ScenarioStatus:
    """How it stands; of a run that was deleted since, what was said before stays."""
    old = ScenarioStatus.model_validate(scenario.get("status") or {})
    generation = scenario["metadata"].get("generation", 0)
    found = accept(scenario)
    if isinstance(found, Refused):
        conditions = condition(
            old.conditions, "Ready", "False", found.reason, found.message, now=now, generation=generation
        )
    else:
        told = "runs of it can be accepted"
        conditions = condition(old.conditions, "Ready", "True", Why.ACCEPTED, told, now=now, generation=generation)
    update = {"observed_generation": generation, "conditions": conditions, "last_run": _newest(runs, old.last_run)}
    return old.model_copy(update=update)


def _newest(runs: Iterable[Object], before: LastRun | None) -> LastRun | None:
    """Of those that were accepted and have ended."""
    newest = before
    for run in runs:
        status = RunStatus.model_validate(run.get("status") or {})
        if not run_ended(run) or status.started_at is None or status.finished_at is None:
            continue
        if newest is None or newest.finished_at is None or status.finished_at >= newest.finished_at:
            newest = LastRun(
                name=run["metadata"]["name"],
                verdict=status.verdict,
                finished_at=status.finished_at,
                pack=status.pack,
            )
    return newest
