"""What a series states besides: which scenario, how much of the year's alpha, from when to when (steps 9 to 12)"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from sectum.checks.entries import stated
from sectum.checks.history import History, Told


def scenario(history: History) -> Told:
    """9: all runs are of the scenario that the series is named after; its changes are told."""
    about, faults, notes = history.about(), [], []
    for each in history.told[0]:
        version, name = history.versions.get(each.run), each.opened.body["scenario"]["name"]
        if about is not None and (name != about[1] or (version is not None and version.namespace != about[0])):
            faults.append(f"{each}: of another scenario than the series")
    for before, each in pairwise(history.told[0]):
        was, now = before.opened.body, each.opened.body
        if not history.covers(each.at) or was["scenario"] == now["scenario"]:
            continue
        if was["occasion"]["uid"] != now["occasion"]["uid"]:
            notes.append(f"{each}: of another IsolationScenario of that name than the run before")
        notes.append(f"{each}: the scenario changed, {_generation(was)} to {_generation(now)}")
    text = f"{len(notes)} changes" if notes else "the same in all runs"
    return Told(text, tuple(faults), tuple(notes))


def _generation(body: Mapping[str, Any]) -> str:
    digest, generation = body["scenario"]["digest"][:12], body["occasion"]["generation"]
    return f"generation {generation} ({digest}…)" if generation is not None else f"{digest}…"


def alpha(history: History) -> Told:
    """10: each Open names what the year's runs spent before it, and reserved at least what its run then spent."""
    faults: list[str] = []
    spent: dict[int, list[float]] = {}
    entries = history.read[0]
    if history.first > 1 and entries and entries[0].opens:  # what earlier records say is not looked at
        spent[entries[0].at.year] = [entries[0].body["alpha"]["spent"]]
    reserved = 0.0
    for entry in entries:
        so_far = spent.setdefault(entry.at.year, [])
        said = entry.body["alpha"]["spent"]
        if entry.opens:
            reserved = entry.body["alpha"]["reserved"]
            if said != math.fsum(so_far):
                faults.append(
                    f"{entry.name} says that {said:g} was spent in {entry.at.year}, not {math.fsum(so_far):g}"
                )
        else:
            so_far.append(said)
            if said > reserved:
                faults.append(f"{entry.name}: its run spent {said:g} and had reserved {reserved:g}")
    text = "; ".join(f"{year}: {math.fsum(each):g} spent" for year, each in sorted(spent.items())) or "nothing spent"
    return Told(text, tuple(faults))


def period(history: History) -> Told:
    """11: the series reaches from the one moment to the other."""
    entries = history.read[0]
    if not entries:
        return Told("there is no record", is_open=True)
    begin, end = entries[0].at, entries[-1].at
    looked_at = f"{len(history.runs)} of {len(history.told[0])} runs looked at"
    text = f"records from {stated(begin)} to {stated(end)}, {looked_at}"
    if not history.runs:
        return Told(text, ("no run was opened in the period",))
    late = history.since is not None and begin > history.since
    return Told(f"{text}; nothing is known of the time before" if late else text, is_open=late)


def timestamps(_history: History) -> Told:
    """12: timestamps by an authority; this version's records have none."""
    return Told("none: dates, and that there is no other series, are the signer's word", is_open=True)
