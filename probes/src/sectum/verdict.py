"""Outcomes and Findings -> the cells of the coverage matrix and the run's Verdict. Pure; derived again by `verify`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sectum import stats
from sectum.actions import Principal
from sectum.finding import Finding, Outcome, existence_shows, findings, judge, owners, principal
from sectum.plan import COUNTS_AS_COVERED, Shared, SkipReason, asker_kind
from sectum.ports import Arm
from sectum.risks import covers, risk_of

Group = tuple[str, str, str]
"""Surface, attack, kind of asker."""


def derive(run: Mapping[str, Any]) -> dict[str, Any]:
    """`{outcomes, findings, cells, verdict}`: all in run.json that follows from its rows, skips, markers and scenario.

    `outcomes` has one `{slot, outcome, reason}` a row, in row order.
    """
    shared = sharing_of(run["scenario"]["snapshot"])
    owner_of = owners(run)
    outcomes = [
        {"slot": row["slot"], "outcome": str(outcome), "reason": str(reason) if reason else None}
        for row in run["rows"]
        for outcome, reason in [judge(row, owner_of, shared)]
    ]
    confirmed = findings(run, shared)
    risk = risk_of(run["scenario"]["snapshot"])
    cells = _cells(run["rows"], outcomes, confirmed) + _uncovered(run["skips"])
    return {
        "outcomes": outcomes,
        "findings": [{**finding.row(), "risk": risk(finding)} for finding in confirmed],
        "cells": cells,
        "verdict": str(_verdict(cells)),
    }


def sharing_of(snapshot: Mapping[str, Any]) -> Shared:
    """The scenario's declared sharing as a question."""
    declared = snapshot["spec"].get("sharing", [])

    def shared(surface: str, asker: Principal, owner: Principal) -> bool:
        return any(
            each["surface"] == surface and covers(each["owner"], owner) and covers(each["with"], asker)
            for each in declared
        )

    return shared


def _cells(
    rows: list[Mapping[str, Any]], outcomes: list[dict[str, Any]], confirmed: list[Finding]
) -> list[dict[str, Any]]:
    """One cell for each surface × attack × kind of asker that was tried, or in which something was seen."""
    groups: dict[Group, list[tuple[Mapping[str, Any], dict[str, Any]]]] = {}
    for row, outcome in zip(rows, outcomes, strict=True):
        kind = asker_kind(principal(row["asker"]), principal(row["owner"]))
        groups.setdefault((row["surface"], row["attack"], kind), []).append((row, outcome))
    for finding in confirmed:
        groups.setdefault(finding.group, [])
    return [
        _cell(group, members, [finding for finding in confirmed if finding.group == group])
        for group, members in groups.items()
    ]


def _cell(
    group: Group, members: list[tuple[Mapping[str, Any], dict[str, Any]]], confirmed: list[Finding]
) -> dict[str, Any]:
    counts = {each: sum(outcome["outcome"] == each for _, outcome in members) for each in Outcome}
    leaks, passed = counts[Outcome.LEAK], counts[Outcome.PASS]
    # Asking for the same marker in several ways is one independent trial for the bound, not several.
    decided: dict[tuple[Any, ...], bool] = {}
    for row, outcome in members:
        if outcome["outcome"] in (Outcome.LEAK, Outcome.PASS):
            unit = (*row["asker"].values(), row["marker"])
            decided[unit] = decided.get(unit, False) or outcome["outcome"] == Outcome.LEAK
    independent, leaking = len(decided), sum(decided.values())
    low, high = stats.wilson(leaking, independent)
    return {
        "surface": group[0],
        "attack": group[1],
        "askerKind": group[2],
        "outcome": str(_worst(confirmed, counts)),
        "trials": len(members),
        "leaks": leaks,
        "passes": passed,
        "inconclusive": counts[Outcome.INCONCLUSIVE],
        "findings": len(confirmed),
        "existenceShows": sum(existence_shows(row) for row, _ in members),
        "independent": independent,
        "independentLeaks": leaking,
        "wilson95": [round(low, 6), round(high, 6)],
        "upper95": round(stats.upper_bound(leaking, independent), 6) if independent else 1,
        "reasons": sorted({outcome["reason"] for _, outcome in members if outcome["reason"]}),
        "ways": _ways(members),
        "closedWorld": all(arm["closedWorld"] for row, _ in members for arm in row["arms"]),
        "effect": _effect(members),
    }


def _ways(members: list[tuple[Mapping[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Counts for each way of asking: a rate over all of them hides one that always leaks."""
    ways: dict[str, dict[str, Any]] = {}
    for row, outcome in members:
        way = ways.setdefault(row["phrasing"], {"phrasing": row["phrasing"], "trials": 0, "leaks": 0, "passes": 0})
        way["trials"] += 1
        way["leaks"] += outcome["outcome"] == Outcome.LEAK
        way["passes"] += outcome["outcome"] == Outcome.PASS
    return [ways[name] for name in sorted(ways)]


def _effect(members: list[tuple[Mapping[str, Any], dict[str, Any]]]) -> dict[str, Any] | None:
    """What planting changed: rate of sightings after it less that before it, over the pairs of asker and marker.

    None where no baseline was taken.
    """
    seen: dict[str, dict[tuple[Any, ...], bool]] = {str(Arm.BASELINE): {}, str(Arm.FOREIGN): {}}
    for row, outcome in members:
        arms = {arm["arm"]: arm for arm in row["arms"] if arm["arm"] in seen}
        if not row["baseline"] or len(arms) < 2 or outcome["outcome"] not in (Outcome.LEAK, Outcome.PASS):
            continue
        unit = (*row["asker"].values(), row["marker"])
        for name, arm in arms.items():
            saw = any(each["marker"] == row["marker"] for each in arm["seen"])
            seen[name][unit] = seen[name].get(unit, False) or saw
    before, after = (list(units.values()) for units in seen.values())
    if not after:
        return None
    low, high = stats.newcombe(sum(after), len(after), sum(before), len(before))
    return {
        "baseline": round(sum(before) / len(before), 6),
        "foreign": round(sum(after) / len(after), 6),
        "pairs": len(after),
        "newcombe95": [round(low, 6), round(high, 6)],
    }


def _worst(confirmed: list[Finding], counts: Mapping[Outcome, int]) -> Outcome:
    """Leak > Inconclusive > Pass; nothing tried is never Pass."""
    if confirmed or counts[Outcome.LEAK]:
        return Outcome.LEAK
    if counts[Outcome.INCONCLUSIVE] or not counts[Outcome.PASS]:
        return Outcome.INCONCLUSIVE
    return Outcome.PASS


def _uncovered(skips: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Cells that were requested and not tried at all."""
    return [
        {
            "surface": skip["surface"],
            "attack": skip["attack"],
            "askerKind": "other-tenant" if skip["reason"] == SkipReason.NO_OTHER_TENANT else "any",
            "outcome": str(Outcome.NOT_COVERED),
            "reasons": [skip["reason"]],
        }
        for skip in skips
        if skip["requested"] and SkipReason(skip["reason"]) not in COUNTS_AS_COVERED
    ]


def _verdict(cells: list[dict[str, Any]]) -> Outcome:
    """Pass only if every requested cell passed, and there is one."""
    outcomes = {cell["outcome"] for cell in cells}
    if Outcome.LEAK in outcomes:
        return Outcome.LEAK
    return Outcome.PASS if outcomes == {Outcome.PASS} else Outcome.INCONCLUSIVE
