"""An IsolationScenario and its runs -> its status: can it be run here, and how did the newest run end? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError
from sectum.errors import ScenarioError
from sectum.finding import Outcome
from sectum.scenario import Scenario, parse

from sectum_operator.acceptance import Refused
from sectum_operator.matrix import renewed
from sectum_operator.observe import Object, run_ended
from sectum_operator.passing import passing, scope_of
from sectum_operator.reasons import Why
from sectum_operator.statuses import LastRun, RunStatus, ScenarioStatus, salvaged
from sectum_operator.telling import condition


def stands(scenario: Object, found: Scenario | Refused, runs: Iterable[Object], *, now: datetime) -> ScenarioStatus:
    """How it stands, `found` being what acceptance makes of it; of a run deleted since, what was said stays."""
    old = salvaged(ScenarioStatus, scenario.get("status") or {})
    generation = scenario["metadata"].get("generation", 0)
    if isinstance(found, Refused):
        conditions = condition(
            old.conditions, "Ready", "False", found.reason, found.message, now=now, generation=generation
        )
    else:
        told = "runs of it can be accepted"
        conditions = condition(old.conditions, "Ready", "True", Why.ACCEPTED, told, now=now, generation=generation)
    update = {"observed_generation": generation, "conditions": conditions}
    status = _with_runs(old.model_copy(update=update), runs)
    known = None if isinstance(found, Refused) else found
    passes = passing(known, status.last_whole_run, status.last_leak, now=now)
    conditions = condition(status.conditions, "Passing", *passes, now=now, generation=generation)
    return status.model_copy(update={"conditions": conditions})


def _with_runs(status: ScenarioStatus, runs: Iterable[Object]) -> ScenarioStatus:
    """The status after each run that has ended since the one that it tells of, in the order in which they ended."""
    for ended in sorted(_ended(runs), key=lambda each: (each.finished, each.name)):
        last = status.last_run
        if last and last.finished_at and (last.finished_at, last.name) >= (ended.finished, ended.name):
            continue
        status = status.model_copy(update=_after(status, ended))
    return status


@dataclass(frozen=True, slots=True)
class _Ended:
    """A run that was accepted and has ended."""

    name: str
    whole: bool
    finished: datetime
    status: RunStatus


def _ended(runs: Iterable[Object]) -> Iterator[_Ended]:
    for run in runs:
        try:
            status = RunStatus.model_validate(run.get("status") or {})
        except ValidationError:  # another version's: it is as if the run had been deleted
            continue
        if run_ended(run) and status.started_at is not None and status.finished_at is not None:
            yield _Ended(run["metadata"]["name"], not run["spec"].get("subset"), status.finished_at, status)


def _after(before: ScenarioStatus, ended: _Ended) -> dict[str, Any]:
    """What one more run changes; the score is of whole runs, and none where there is no pack."""
    run = ended.status
    scope = scope_of(run.scenario.snapshot) if run.scenario else None
    last = LastRun(name=ended.name, verdict=run.verdict, finished_at=ended.finished, pack=run.pack, scope=scope)
    told: dict[str, Any] = {"last_run": last} | ({"last_whole_run": last} if ended.whole else {})
    if (scenario := _snapshot(run)) is not None:
        told["cells"] = renewed(before.cells, run.matrix, scenario, at=ended.finished)
    if run.verdict == Outcome.LEAK:
        told["last_leak"] = last
    if ended.whole:
        same = before.last_whole_run is not None and before.last_whole_run.scope == scope
        told |= {"score": run.score, "trend": _trend(before.score, run.score) if same else None}
    return told


def _snapshot(run: RunStatus) -> Scenario | None:
    """The scenario as the run found it; None if another version wrote it."""
    try:
        return parse(run.scenario.snapshot) if run.scenario else None
    except ScenarioError:
        return None


def _trend(before: int | None, now: int | None) -> Literal["Better", "Same", "Worse"] | None:
    if before is None or now is None:
        return None
    return "Same" if now == before else "Better" if now > before else "Worse"
