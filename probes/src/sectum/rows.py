"""All that a surface's records tell of its trials -> the one row that stands for each. Pure.

What an attempt saw stands, whatever became of the attempt: a sighting outweighs every later row without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sectum.actions import Principal
from sectum.attempts import Attempt, Attempts
from sectum.finding import NOBODY, foreign_sightings, void
from sectum.plan import PLANNED_FIELDS, Shared
from sectum.reasons import Reason
from sectum.records import Stage

Row = dict[str, Any]
Seen = frozenset[tuple[Principal, str]]


@dataclass(frozen=True, slots=True)
class Telling:
    """A row as one attempt tells it."""

    row: Row
    seen: bool
    """Has it a Leak record, its own or that of an earlier state of it?"""


class _Owners(dict[str, Principal]):
    """Whose a marker is, by its id alone."""

    def __init__(self, unattributed: frozenset[str]) -> None:
        super().__init__(dict.fromkeys(unattributed, NOBODY))

    def __missing__(self, marker: str) -> Principal:
        _, tenant, user, *_ = marker.split("/")
        return Principal(tenant, user)


def standing_rows(
    attempts: Attempts,
    planned: Sequence[Mapping[str, Any]],
    *,
    unattributed: frozenset[str],
    shared: Shared,
    lacking: str | None,
) -> list[Row]:
    """One row for each planned trial, in order.

    Of all that was told of a trial stands the last row with a sighting that counts; else the last that a Leak record
    tells of, though its sighting does not count; else what the last attempt that ended recorded.

    Args:
        planned: the planned parts of the rows.
        unattributed: ids of markers of which nobody knows whose they are.
        lacking: why the surface was not tried to the end; no row is without a fault then.
    """
    owners = _Owners(unattributed)

    def sightings(row: Row) -> Seen:
        counts = void(row, owners) is None
        return frozenset((each.asker, each.marker) for each in foreign_sightings(row, owners, shared) if counts)

    told = _told(attempts)
    last = attempts.finished(Stage.PROBE)
    final = {row["slot"]: row for row in last.rows} if last else {}
    begun = attempts.of[Stage.PROBE][-1:]
    unplayed = {"attempt": begun[0].number if begun else 0, "fault": lacking or str(Reason.UNFINISHED), "arms": []}
    rows, unshown = [], set()
    for each in planned:
        mine = told.get(each["slot"], [])
        row = _standing(mine, [one for one in mine if sightings(one.row)]) or final.get(each["slot"]) or unplayed
        rows.append({**row, **each})
        if frozenset().union(*(sightings(one.row) for one in mine)) - sightings({**row, **each}):
            unshown.add(each["attack"])  # one row cannot show what two attempts saw: nothing beside it is clean
    return [_faulted(row, str(Reason.UNFINISHED) if row["attack"] in unshown else lacking) for row in rows]


def _standing(told: list[Telling], sighted: list[Telling]) -> Row | None:
    doubtful = [each for each in told if each.seen and each.row["contentFindings"]]
    return next((each.row for each in (*reversed(sighted), *reversed(doubtful))), None)


def _faulted(row: Row, fault: str | None) -> Row:
    return {**row, "fault": row["fault"] or fault}


def _told(attempts: Attempts) -> dict[str, list[Telling]]:
    """Slot -> everything that was told of it, earlier attempts first."""
    told: dict[str, list[Telling]] = {}
    for stage in (Stage.BASELINE, Stage.PROBE):
        for attempt in attempts.of[stage]:
            for each in _tellings(attempt):
                told.setdefault(each.row["slot"], []).append(each)
    return told


def _tellings(attempt: Attempt) -> Iterator[Telling]:
    """The attempt's rows in order, without those from which a later one goes on."""
    leaks: dict[str, list[Row]] = {}
    for leak in attempt.leaks:
        before = leaks.get(leak["slot"], [])
        leaks[leak["slot"]] = [*(each for each in before if not goes_on(each, leak["row"])), leak["row"]]
    results = {row["slot"]: row for row in attempt.rows}
    for slot, mine in leaks.items():
        for each in mine:
            if slot not in results or not goes_on(each, results[slot]):
                yield Telling(each, seen=True)
    for slot, row in results.items():
        yield Telling(row, seen=any(goes_on(each, row) for each in leaks.get(slot, [])))


def goes_on(early: Row, late: Row) -> bool:
    """Does the later row still show all that the earlier one had seen?"""
    if any(early[name] != late[name] for name in (*PLANNED_FIELDS, "attempt")) or len(early["arms"]) > len(
        late["arms"]
    ):
        return False
    return all(
        then["arm"] == now["arm"]
        and then["asker"] == now["asker"]
        and then["answers"] == now["answers"][: len(then["answers"])]
        and all(seen in now["seen"] for seen in then["seen"])
        and (then["identity"] == "unproven" or now["identity"] == "proven")
        for then, now in zip(early["arms"], late["arms"], strict=False)
    )
