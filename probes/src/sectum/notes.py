"""Findings and cells of run.json -> which findings to show first, and what a cell's rate alone would hide. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Run = Mapping[str, Any]
Group = tuple[str, str, str]
"""Surface, attack, kind of asker."""

BETWEEN = {"other-tenant": "tenants", "same-tenant": "users"}
"""Kind of asker -> between whom something was tried."""


def group_of(each: Mapping[str, Any]) -> Group:
    """The slot group of a finding or a cell."""
    return each["surface"], each["attack"], each["askerKind"]


def examples(findings: Sequence[Mapping[str, Any]], *, most: int) -> list[Mapping[str, Any]]:
    """One finding of each slot group, those between tenants first; then more, up to `most`.

    Of the rest those that came about in another way of asking go first.
    """
    seen: set[tuple[Any, ...]] = set()

    def rank(finding: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        group, way = group_of(finding), (*group_of(finding), finding["phrasing"])
        known_group, known_way = group in seen, way in seen
        seen.update((group, way))
        return known_group, known_way, finding["askerKind"] != "other-tenant"

    ranked = [(rank(finding), finding) for finding in findings]
    return [finding for _, finding in sorted(ranked, key=lambda each: each[0])][:most]


def left_out(findings: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]) -> str:
    """How many findings are not among the shown, and of which slot groups; empty if none."""
    counts = Counter(map(group_of, findings))
    counts.subtract(map(group_of, shown))
    rest = {group: count for group, count in counts.items() if count}
    if not rest:
        return ""
    ordered = sorted(rest, key=lambda group: (group[2] != "other-tenant", -rest[group]))
    named = [f"{called(group)} {rest[group]}" for group in ordered[:8]] + ["…"] * (len(ordered) > 8)
    return f"… and {sum(rest.values())} more: {', '.join(named)}; all are in run.json"


def called(group: Group) -> str:
    """A slot group in words."""
    return f"{group[0]} × {group[1]} between {BETWEEN.get(group[2], group[2])}"


def of_cells(run: Run) -> Iterator[tuple[Mapping[str, Any], list[str]]]:
    """Every cell with what must be said beside its numbers, if anything."""
    told = _told_of_the_cache(run)
    for cell in run["cells"]:
        if "ways" in cell:
            yield cell, list(_said(cell, cache_told=group_of(cell)[:2] in told))


def _said(cell: Mapping[str, Any], *, cache_told: bool) -> Iterator[str]:
    if len({way["leaks"] / way["trials"] for way in cell["ways"]}) > 1:  # else the cell's own counts say it
        ways = sorted(cell["ways"], key=lambda way: -way["leaks"] / way["trials"])
        yield "leaks by way of asking: " + ", ".join(f"{w['phrasing']} {w['leaks']} of {w['trials']}" for w in ways)
    if (effect := cell["effect"]) is not None:
        before, after, low, high = (
            100 * each for each in (effect["baseline"], effect["foreign"], *effect["newcombe95"])
        )
        yield (
            f"effect of planting: seen in {before:.1f} % of {effect['pairs']} pairs before, {after:.1f} % after; "
            f"difference {after - before:.1f} points (95 %: {low:.1f} to {high:.1f})"
        )
    if not cell["closedWorld"]:
        yield "free text: no closed world, only planted markers are recognised in it"
    if cell["attack"] == "semantic-cache" and not cache_told:
        yield "not shown that the cache hits: the surface does not tell what comes out of it"


def _told_of_the_cache(run: Run) -> set[tuple[str, str]]:
    """Surface and attack of which every trial had a control that shows that what is attacked is at work."""
    told: dict[tuple[str, str], bool] = {}
    for row in run["rows"]:
        key = (row["surface"], row["attack"])
        told[key] = told.get(key, True) and row["control"] is not None
    return {key for key, every in told.items() if every}
