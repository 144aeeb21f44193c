"""Scenario, stage and surface -> the Secrets that its pod mounts, where it may connect to, and how long it may take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

from sectum.fields import Egress
from sectum.scenario import Scenario

from sectum_operator.stages import PROBING, Stage, Work

STARTING_SECONDS = 540
"""For a pod to be scheduled, its image pulled, Secrets mounted and stores reached; within every Job's deadline."""
Each = TypeVar("Each")
_SECONDS = {Stage.PREPARE: 300, Stage.OPEN: 300, Stage.CLEAN: 600, Stage.ASSEMBLE: 1800}


def secrets(scenario: Scenario, work: Work) -> tuple[str, ...]:
    """Names of the Secrets that the stage may read, its own and no other's."""
    key, evidence = scenario.spec.manifest.spec, scenario.spec.evidence
    stores = [spec.secrets() for spec in (evidence.store_spec, evidence.records_spec) if spec]
    if work.stage == Stage.PREPARE:
        return _once(key.wrap_secrets())
    if not work.stage.of_surface:
        return _once(evidence.spec.secrets(), *stores)
    surface, records = scenario.surface(work.surface), evidence.records_spec
    own = (surface.credentials.secret_ref.name, *(each.name for each in surface.spec.secret_refs()))
    return _once(own, key.unwrap_secrets(), records.secrets() if records else ())


def destinations(scenario: Scenario, stage: Stage, surface: str = "") -> tuple[Egress, ...]:
    """Where pods of the stage, or of all stages on the surface, may connect to, beside DNS."""
    key, evidence = scenario.spec.manifest.spec, scenario.spec.evidence
    records = evidence.records_spec.destinations() if evidence.records_spec else ()
    if stage == Stage.PREPARE:
        return _once(key.destinations())
    if not stage.of_surface:
        store = evidence.store_spec.destinations() if evidence.store_spec else ()
        return _once(evidence.spec.destinations(), store, records)
    return _once(scenario.surface(surface).egress, key.destinations(), records)


def seconds(scenario: Scenario, work: Work) -> int:
    """The Job's deadline; the stage itself stops earlier, by its budget."""
    if not work.stage.of_surface:
        return _SECONDS[work.stage] + STARTING_SECONDS
    surface = scenario.surface(work.surface)
    budget = surface.budget.minutes * 60 + surface.settle_seconds
    own = budget if work.stage in PROBING else min(budget, _SECONDS[Stage.CLEAN])
    return math.ceil(own) + 60 + STARTING_SECONDS


def _once(*groups: Iterable[Each]) -> tuple[Each, ...]:
    found: list[Each] = []
    for each in (each for group in groups for each in group):
        if each not in found:
            found.append(each)
    return tuple(found)
