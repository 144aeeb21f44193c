"""Runs of a series -> is the pack of each there, verified, of its outcome, and all of the scenario? (steps 4 to 6)"""

from __future__ import annotations

from collections.abc import Iterator

from sectum.checks.entries import Episode
from sectum.checks.history import History, Told


def packs(history: History) -> Told:
    """4: the pack of every closed run is there, the one that its Close names, verified with its Open record."""
    faults = [fault for each in history.runs if each.closed for fault in _faults(history, each)]
    older = [
        f"{each}: made by another version, so {' and '.join(history.packs[each.run].open_steps)} stay open"
        for each in history.runs
        if each.run in history.packs and history.packs[each.run].open_steps
    ]
    text = f"{len(history.packs)} verified with their Open records, each of the digest and outcome that its Close names"
    return Told(text, tuple(faults), tuple(older), is_open=bool(older))


def _faults(history: History, each: Episode) -> Iterator[str]:
    pack = history.packs.get(each.run)
    named = each.closed.body["pack"] if each.closed else None
    if named is None:
        if each.run in history.stored:
            yield f"{each}: closed as {each.outcome}, but has a pack"
        return
    if pack is None:
        yield f"{each}: its pack is not in the store"
        return
    if pack.digest != named:
        yield f"{each}: its pack is another one than its Close names"
    if pack.fault:
        yield f"{each}: its pack does not verify: {pack.fault}"
    elif pack.verdict != each.outcome:
        yield f"{each}: closed as {each.outcome}, but its pack says {pack.verdict}"


def leftovers(history: History) -> Told:
    """5: there is no pack of the scenario that no record of the series tells of."""
    about, faults, others = history.about(), [], 0
    for name, version in sorted(history.leftovers.items()):
        if about is None or version is None or (version.namespace, version.name) == about:
            faults.append(f"packs/{name}.zip is of no run of the series")
        else:
            others += 1
    notes = (f"{others} packs of other scenarios are in the store",) if others else ()
    return Told("the store holds no pack of a run that the series does not know", tuple(faults), notes)


def whole(history: History) -> Told:
    """6: every run went on to its end, over all of the scenario."""
    faults = []
    for each in history.runs:
        if each.outcome == "Abandoned":
            faults.append(f"{each}: abandoned, there is no evidence of it")
        if each.run in history.packs and history.packs[each.run].cancelled:
            faults.append(f"{each}: cancelled")
        if each.opened.body["subset"] is not None:
            faults.append(f"{each}: verified a part of the scenario only")
    counts = [sum(each.outcome == word for each in history.runs) for word in ("Pass", "Leak", "Inconclusive")]
    text = "none abandoned, cancelled or of a part only; {} Pass, {} Leak, {} Inconclusive".format(*counts)
    return Told(text, tuple(faults))
