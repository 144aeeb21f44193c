"""A scenario's runs -> ticks that came to nothing and are to be told of; ended runs that need not be kept. Pure.

A refused run, or one that ended before it was opened, is all that is left of its tick until the Open record of a later
run names it: until that run's evidence is stored, it is neither forgotten nor deleted, and that run not before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sectum_operator.observe import Object, condition_of, run_ended
from sectum_operator.reasons import Why
from sectum_operator.statuses import RefusedSlot

TOLD_AT_ONCE = 100
"""Refused ticks that one run's Open record names; the next names more."""
UNTOLD = 1000
"""Refused runs kept although none has named them: more, and the oldest become gaps of the series."""
PACKS = 100
"""EvidencePacks kept of a scenario, the newest; what they name stays in the store."""


def untold(runs: Iterable[Object]) -> tuple[RefusedSlot, ...]:
    """Ticks whose runs were refused or never opened, and that no run with evidence names, oldest first."""
    runs = list(runs)
    named = _named(runs)
    found = {slot: _complete(each)["reason"] for slot, each in _refused(runs) if slot not in named}
    return tuple(RefusedSlot(slot=slot, reason=reason) for slot, reason in sorted(found.items())[:TOLD_AT_ONCE])


def expired(runs: Iterable[Object], spec: Mapping[str, Any]) -> list[str]:
    """Names of the oldest scheduled runs beyond the scenario's limits, all ended; those made by hand are left alone."""
    runs = list(runs)
    named, there = _named(runs), {slot for slot, _ in _refused(runs)}
    passed, others, waiting = [], [], []
    for each in sorted(runs, key=_age, reverse=True):
        slot = each["spec"].get("slot")
        if slot is None or not run_ended(each) or "deletionTimestamp" in each["metadata"]:
            continue
        if each.get("status", {}).get("verdict") == "Pass":
            passed.append(each)
        elif _is_refused(each) and slot not in named:
            waiting.append(each)
        else:
            others.append(each)
    beyond = (
        passed[spec.get("successfulRunsHistoryLimit", 3) :]
        + others[spec.get("failedRunsHistoryLimit", 5) :]
        + waiting[UNTOLD:]
    )
    return [each["metadata"]["name"] for each in beyond if not there & _names(each)]


def surplus(packs: Iterable[Object]) -> list[str]:
    """Names of a scenario's EvidencePacks that need not be kept."""
    return [each["metadata"]["name"] for each in sorted(packs, key=_age, reverse=True)[PACKS:]]


def _refused(runs: Iterable[Object]) -> Iterator[tuple[str, Object]]:
    for each in runs:
        if _is_refused(each) and (slot := each["spec"].get("slot")):
            yield slot, each


def _is_refused(run: Object) -> bool:
    """Also one that ended before it was opened: of both there is nothing in the store."""
    if not run_ended(run):
        return False
    unopened = condition_of(run, "EvidenceStored").get("reason") == Why.NOT_OPENED
    return unopened or condition_of(run, "Accepted").get("status") == "False"


def _complete(run: Object) -> Object:
    return condition_of(run, "Complete")


def _named(runs: Iterable[Object]) -> set[str]:
    """Ticks in the Open records of runs whose evidence is stored: of others it is not known whether there is one."""
    stored = (each for each in runs if condition_of(each, "EvidenceStored").get("status") == "True")
    return set().union(*map(_names, stored))


def _names(run: Object) -> set[str]:
    return {each["slot"] for each in run.get("status", {}).get("refused", ())}


def _age(found: Object) -> tuple[str, str]:
    return found["metadata"].get("creationTimestamp", ""), found["metadata"]["uid"]
