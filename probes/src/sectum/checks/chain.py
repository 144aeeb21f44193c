"""Records of a series -> is each signed, in its place, and none missing? (steps 1 to 3 of a series)"""

from __future__ import annotations

from itertools import pairwise

from sectum.checks.entries import SKEW, Episode
from sectum.checks.history import History, Told
from sectum.codec import sha256


def records(history: History) -> Told:
    """1: every record is canonical, of the known shape and signed by the verifier's key."""
    entries, faults = history.read
    if not history.numbered:
        faults = ["there is no record"]
    opens = sum(each.opens for each in entries)
    text = f"{opens} Open and {len(entries) - opens} Close, signed by {history.key.keyid}"
    return Told(text, tuple(faults))


def numbers(history: History) -> Told:
    """2: they are numbered without a gap, each names the one before it, and nothing lies beside them."""
    return Told(
        f"{history.first} to {max(history.numbered, default=0)} without a gap, each naming the one before it",
        (*_gaps(history), *_links(history), *_dates(history), *_strays(history)),
        () if history.first == 1 else (f"records 1 to {history.first - 1} were not asked for",),
    )


def _gaps(history: History) -> list[str]:
    there = sorted(number for number in history.numbered if number >= history.first)
    edges = [history.first - 1, *there]
    gaps = [(before + 1, after - 1) for before, after in pairwise(edges) if after > before + 1]
    return [
        f"{first:06d}.json is missing" if first == last else f"{first:06d}.json to {last:06d}.json are missing"
        for first, last in gaps
    ]


def _links(history: History) -> list[str]:
    digests = {number: sha256(data) for number, data in history.numbered.items()}
    faults = []
    for entry in history.read[0]:
        number, previous = int(entry.name[:6]), entry.body["previous"]
        if entry.body["sequence"] != number:
            faults.append(f"{entry.name} says that it is number {entry.body['sequence']}")
        if number == 1 and previous is not None:
            faults.append(f"{entry.name} names a record before it, but is the first")
        if number > history.first and number - 1 in digests and previous != digests[number - 1]:
            faults.append(f"{entry.name} names another record as the one before it than {number - 1:06d}.json")
    return faults


def _dates(history: History) -> list[str]:
    return [
        f"{after.name} is dated before {before.name}"
        for before, after in pairwise(history.read[0])
        if after.at < before.at - SKEW
    ]


def _strays(history: History) -> list[str]:
    return [
        f"{name} lies beside the records and is none of them"
        for name, data in sorted(history.records.items())
        if data is None and name.endswith(".json")
    ]


def pairs(history: History) -> Told:
    """3: every Open has its one Close, before the next Open; no run is there twice."""
    episodes, faults = history.told
    seen: dict[str, str] = {}
    for each in episodes:
        if each.run in seen:
            faults = [*faults, f"{each.opened.name} opens a run again that {seen[each.run]} opened (run {each.run})"]
        seen.setdefault(each.run, each.opened.name)
        faults = [*faults, *_unfit(each)]
    last = episodes[-1] if episodes else None
    if last is None or last.closed is not None or (history.until is not None and last.at > history.until):
        return Told(f"{len(episodes)} runs, each opened and closed once", tuple(faults))
    if last.run in history.stored:
        return Told("", (*faults, f"{last} has a pack but no Close: it was taken away, or comes within a minute"))
    open_end = f"{last} has no Close: it is under way, or Close and pack were taken away; --to before it leaves it out"
    return Told(open_end, tuple(faults), is_open=True)


def _unfit(each: Episode) -> list[str]:
    pack = each.closed.body["pack"] if each.closed else None
    if each.closed is None or (each.outcome == "Abandoned") == (pack is None):
        return []
    return [f"{each.closed.name} says {each.outcome} and names {'no pack' if pack is None else 'a pack'}"]
