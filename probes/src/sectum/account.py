"""A run's signed records -> its rows, and what became of each surface. Pure; `verify` does it again.

Rules, in order of their weight: what an attempt saw stands, whatever became of the attempt; of what was not seen, only
the last attempt that ended tells, and nothing is clean unless it was the last, no probe before it was lost, and a
cleaning that ended found it so; where records are missing, nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sectum.attempts import Attempt, Attempts, attempts_of
from sectum.plan import PLANNED_FIELDS, Shared
from sectum.ports import Arm
from sectum.reasons import CUT_OFF, Reason
from sectum.records import RecordKind, Signed, Stage
from sectum.rows import Row, standing_rows

_SPENT = ("requests", "writes", "tokens")


@dataclass(frozen=True, slots=True)
class Account:
    """What the records of one surface say."""

    rows: tuple[Row, ...]
    planted: frozenset[str]
    unattributed: frozenset[str]
    figures: Mapping[str, Any]
    """Its part in run.json: `fault`, `requests`, `writes`, `tokens`, `planted`, `removed`, `notRemoved`, `boundary`."""
    broken: tuple[str, ...]
    """Why its records are not whole."""


def account(
    surface: str, planned: Sequence[Row], signed: Iterable[Signed], *, shared: Shared, broken: bool = False
) -> Account:
    """What became of a surface.

    Args:
        planned: the planned parts of its trials' rows, in order; without trials there need not be a record.
        signed: records of the run, whose signatures and shapes were checked; other surfaces' are passed over.
        shared: does the scenario declare that an asker may see an owner's data on a surface?
        broken: is it known that records are missing or foreign ones were there?
    """
    attempts = attempts_of(signed, surface)
    faults = tuple(_faults(attempts, planned))
    plant = attempts.finished(Stage.PLANT)
    planted, unattributed = (
        frozenset(plant.result[name] if plant and plant.result else ()) for name in ("planted", "unattributed")
    )
    fault = _fault(attempts) if planned or any(attempts.of.values()) else None
    rows = standing_rows(attempts, planned, unattributed=unattributed, shared=shared, lacking=_lacking(attempts))
    if broken or faults:
        fault = str(Reason.RECORDS_BROKEN)
        rows = [{**row, "fault": fault} for row in rows]
    return Account(
        rows=tuple(rows),
        planted=planted,
        unattributed=unattributed,
        figures={
            "fault": fault,
            **{name: sum(each.get(name, 0) for each in attempts.results()) for name in _SPENT},
            "planted": len(planted),
            "removed": _removed(attempts),
            "notRemoved": _not_removed(attempts),
            "boundary": _boundary(attempts),
        },
        broken=faults,
    )


def _lacking(attempts: Attempts) -> str | None:
    """Why the surface was not tried to the end, or may have been tried further than the records tell."""
    before = attempts.hindrance((Stage.BASELINE, Stage.PLANT))
    if before is not None:
        return before
    probes = [each.result for each in attempts.of[Stage.PROBE]]
    last = probes[-1] if probes else None
    # What an attempt saw that was lost may have been taken away before anything named it.
    if last is None or None in probes or not attempts.cleaned:
        return str(Reason.UNFINISHED)
    return last["fault"] if last["fault"] in CUT_OFF else None


def _fault(attempts: Attempts) -> str | None:
    result = attempts.concluded(Stage.PROBE)
    return _lacking(attempts) or (result["fault"] if result is not None else None)


def _removed(attempts: Attempts) -> int:
    return sum(each.result["removed"] for each in attempts.of[Stage.CLEAN] if each.result is not None)


def _not_removed(attempts: Attempts) -> int:
    """What may still be there: as the last clean says, if it ended and none was planted after it."""
    if attempts.left is not None:
        return attempts.left
    return max(0, sum(map(_documents, attempts.of[Stage.PLANT])) - _removed(attempts))


def _documents(plant: Attempt) -> int:
    """How many documents an attempt at planting may have left."""
    if plant.result is not None:
        return len(plant.result["planted"])
    return int(plant.start.record.body["markers"]) if plant.start else 0


def _boundary(attempts: Attempts) -> str | None:
    """Was what the stages must not reach out of reach, at the start and the end of each?"""
    told = [
        each.record.body["boundary"]
        for some in attempts.of.values()
        for attempt in some
        for each in attempt.signed
        if each.record.kind != RecordKind.LEAK
    ]
    measured = [each for each in told if each is not None]
    if any(reached for each in measured for name, reached in each.items() if name != "allowed"):
        return "open"
    if not measured:
        return None
    return "enforced" if len(measured) == len(told) and all(each["allowed"] for each in measured) else "unproven"


def _faults(attempts: Attempts, planned: Sequence[Row]) -> Iterator[str]:
    yield from attempts.faults()
    for stage in (Stage.BASELINE, Stage.PROBE):
        mine = {each["slot"]: each for each in planned if stage == Stage.PROBE or each["baseline"]}
        for attempt in attempts.of[stage]:
            yield from _other_trials(attempt, mine)
    baseline = attempts.concluded(Stage.BASELINE)
    before = {each["slot"]: each["arms"] for each in (baseline["rows"] if baseline is not None else ())}
    for attempt in attempts.of[Stage.PROBE]:
        for row in _all_rows(attempt):
            if [arm for arm in row["arms"] if arm["arm"] == Arm.BASELINE] != before.get(row["slot"], []):
                yield f"slot {row['slot']}: its arm before planting is not the one that was recorded then"


def _all_rows(attempt: Attempt) -> Iterator[Row]:
    yield from attempt.rows
    yield from (leak["row"] for leak in attempt.leaks)


def _other_trials(attempt: Attempt, planned: Mapping[str, Row]) -> Iterator[str]:
    """Where an attempt's trials are not the planned ones."""
    begun = attempt.start.record.body["trials"] if attempt.start else len(planned)
    if begun != len(planned):
        yield f"attempt {attempt.number} was begun with {begun} trials, {len(planned)} are planned"
    if attempt.result is not None and [row["slot"] for row in attempt.rows] != list(planned):
        yield f"attempt {attempt.number} recorded {len(attempt.rows)} rows that are not those of the planned trials"
    for leak in attempt.leaks:
        if leak["slot"] != leak["row"]["slot"]:
            yield f"slot {leak['slot']}: its Leak record is about another"
    for row in _all_rows(attempt):
        should = planned.get(row["slot"])
        if should is None or any(row[name] != should[name] for name in PLANNED_FIELDS):
            yield f"slot {row['slot']}: recorded, but not as it is planned"
        elif row["attempt"] != attempt.number:
            yield f"slot {row['slot']}: recorded for another attempt"
