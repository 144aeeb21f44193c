"""Ticks of the schedule -> was each run once, or refused and listed? (steps 7 and 8 of a series)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sectum import cron
from sectum.checks.entries import SKEW, Episode, stated
from sectum.checks.history import History, Told, Version

OPENING = timedelta(hours=1)
"""From the moment at which a run starts to its Open record: pods scheduled, images pulled, twice tried again."""
_AN_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Span:
    """The time for which a run's version of the scenario says when there is to be a run."""

    run: Episode
    version: Version
    schedule: str
    after: datetime
    until: datetime
    last: bool

    def ticks(self) -> list[datetime]:
        return list(cron.ticks(self.schedule, self.version.time_zone, after=self.after, until=self.until))


def slots(history: History) -> Told:
    """7: every tick was run, or is listed as refused by an Open record after it."""
    spans, faults = _spans(history)
    ran = {each.slot for each in history.told[0] if each.slot}
    count, notes = 0, _refused(history)
    for span in spans:
        try:
            ticks = span.ticks()
        except cron.BadSchedule:
            faults.append(f"{span.run}: its schedule cannot be read")
            continue
        count += len(ticks)
        listed = {slot for each in history.told[0] for slot, _ in each.refused if slot <= each.at + SKEW}
        missing = [tick for tick in ticks if tick not in ran and tick not in listed]
        pending = [tick for tick in missing if _may_still_come(history, span, tick)]
        if pending:
            notes.append(f"{_many(pending)} not yet run or listed: the next Open record is to tell")
        missing = [tick for tick in missing if tick not in pending]
        if missing:
            faults.append(f"{_many(missing)} neither run nor listed, by the schedule of {span.run}")
    faults += _misfits(history)
    if not faults and not any(_is_scheduled(history, each) for each in history.told[0]):
        return Told("no schedule: that a run is missing at the end, or was never made, cannot be told", is_open=True)
    return Told(f"{count} ticks, each run or listed", tuple(faults), tuple(notes))


def _spans(history: History) -> tuple[list[_Span], list[str]]:
    """Each run's version is in force until the next run; the last one's until the end of the period."""
    told = history.told[0]
    ends = [each.at for each in told[1:]] + [history.until or max((e.at for e in history.read[0]), default=None)]
    spans, faults = [], []
    for each, end in zip(told, ends, strict=False):
        after = max(each.at, history.since - _AN_INSTANT) if history.since else each.at
        until = min(end or after, history.until or end or after)
        if not each.in_cluster or until <= after:
            continue
        version = history.versions.get(each.run)
        if version is None:
            faults.append(f"{each}: neither its pack nor its sealed manifest is there to tell its schedule")
        elif version.schedule is not None:
            spans.append(_Span(each, version, version.schedule, after, until, last=each is told[-1]))
    return spans, faults


def _is_scheduled(history: History, run: Episode) -> bool:
    version = history.versions.get(run.run)
    return run.in_cluster and version is not None and version.schedule is not None


def _may_still_come(history: History, span: _Span, tick: datetime) -> bool:
    """There is no later Open record yet that could list what the last run kept from starting, or open another run."""
    last = history.told[0][-1]
    accepted = last.slot or last.at - OPENING
    if accepted < tick and (last.closed is None or tick <= last.closed.at):
        return True
    return span.last and tick > span.until - span.version.starting_deadline - OPENING


def _refused(history: History) -> list[str]:
    return [
        f"{stated(slot)} was refused ({reason}), says {each.opened.name}"
        for each in history.runs
        for slot, reason in each.refused
    ]


def _misfits(history: History) -> Iterator[str]:
    """Runs whose slot is no tick of their schedule, nor of the one before it, or still to come."""
    for before, each in pairwise([None, *history.told[0]]):
        if each is None or each.slot is None or not history.covers(each.at):
            continue
        if each.slot > each.at + SKEW:
            yield f"{each}: opened before its tick {stated(each.slot)}"
        versions = [history.versions.get(run.run) for run in (each, before) if run is not None]
        if not any(version is not None and _is_tick(version, each.slot) for version in versions):
            yield f"{each}: {stated(each.slot)} is no tick of its schedule"


def _is_tick(version: Version, slot: datetime) -> bool:
    if version.schedule is None:
        return False
    try:
        return slot in cron.ticks(version.schedule, version.time_zone, after=slot - _AN_INSTANT, until=slot)
    except cron.BadSchedule:
        return False


def _many(ticks: list[datetime]) -> str:
    if len(ticks) == 1:
        return f"{stated(ticks[0])}:"
    return f"{len(ticks)} ticks between {stated(ticks[0])} and {stated(ticks[-1])}:"


def repeats(history: History) -> Told:
    """8: no tick was run twice, or both run and refused; runs by hand and late ones are told."""
    told = history.told[0]
    ran = Counter(each.slot for each in told if each.slot)
    refused = {slot for each in told for slot, _ in each.refused}
    faults, notes = [], []
    for each in history.runs:
        if each.slot is None:
            notes.append(f"{each}: asked for by hand; {each.outcome or 'not closed'}")
            continue
        if ran[each.slot] > 1:
            faults.append(f"{each}: {stated(each.slot)} was run {ran[each.slot]} times")
        if each.slot in refused:
            faults.append(f"{each}: {stated(each.slot)} was run and is listed as refused")
        version = history.versions.get(each.run)
        if version is not None and each.at > each.slot + version.starting_deadline + OPENING:
            notes.append(f"{each}: opened {each.at - each.slot} after its tick")
    by_hand = sum(each.slot is None for each in history.runs)
    text = f"no tick twice; {by_hand} of {len(history.runs)} runs were asked for by hand"
    return Told(text, tuple(faults), tuple(notes))
