"""A run's signed records -> its rows, and what became of each surface. Pure; `verify` does it again.

Rules, in order of their weight: what an attempt saw stands, whatever became of the attempt; of what was not seen, only
the last attempt that ended tells; where none ended, or records are missing, nothing is clean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sectum.attempts import Attempts, attempts_of
from sectum.plan import PLANNED_FIELDS
from sectum.ports import Arm
from sectum.reasons import Reason
from sectum.records import RecordKind, Signed, Stage

Row = dict[str, Any]


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


def account(surface: str, planned: Sequence[Row], signed: Iterable[Signed], *, broken: bool = False) -> Account:
    """What became of a surface.

    Args:
        planned: the planned parts of its trials' rows, in order; without trials there need not be a record.
        signed: records of the run, whose signatures were checked; those of other surfaces are passed over.
        broken: is it known that records are missing or foreign ones were there?
    """
    attempts = attempts_of(signed, surface)
    faults = tuple(_faults(attempts, len(planned)))
    plant, probe, clean = (attempts.finished(stage) for stage in (Stage.PLANT, Stage.PROBE, Stage.CLEAN))
    planted = frozenset(plant.result["planted"] if plant and plant.result else ())
    spent = {name: sum(each.get(name, 0) for each in attempts.results()) for name in ("requests", "writes", "tokens")}
    fault = probe.result["fault"] if probe and probe.result else _unplayed(attempts) if planned else None
    if broken or faults:
        fault = str(Reason.RECORDS_BROKEN)
    return Account(
        rows=tuple(_row(each, broken=broken or bool(faults)) for each in _rows(attempts, planned)),
        planted=planted,
        unattributed=frozenset(plant.result["unattributed"] if plant and plant.result else ()),
        figures={
            "fault": fault,
            **spent,
            "planted": len(planted),
            "removed": sum(each.result["removed"] for each in attempts.of[Stage.CLEAN] if each.result),
            "boundary": _boundary(attempts),
            "notRemoved": clean.result["notRemoved"] if clean and clean.result else len(planted),
        },
        broken=faults,
    )


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


def _faults(attempts: Attempts, trials: int) -> Iterable[str]:
    yield from attempts.faults()
    for attempt in attempts.of[Stage.PROBE]:
        start, result = attempt.start, attempt.result
        begun = start.record.body["trials"] if start else trials
        if begun != trials or (result is not None and len(result["rows"]) != trials):
            yield f"begun with {begun} trials, {len(result['rows']) if result else 'none'} recorded, {trials} planned"
    yield from _baseline_faults(attempts)


def _baseline_faults(attempts: Attempts) -> Iterable[str]:
    """Rows whose first arm is not the one that was played before planting."""
    baseline, probe = attempts.finished(Stage.BASELINE), attempts.finished(Stage.PROBE)
    before = {each["slot"]: each["arms"] for each in (baseline.result["rows"] if baseline and baseline.result else ())}
    for row in probe.result["rows"] if probe and probe.result else ():
        mine = [arm for arm in row["arms"] if arm["arm"] == Arm.BASELINE]
        if mine != before.get(row["slot"], []):
            yield f"slot {row['slot']}: its arm before planting is not the one that was recorded then"


def _row(row: Row, *, broken: bool) -> Row:
    return {**row, "fault": str(Reason.RECORDS_BROKEN)} if broken else row


def _unplayed(attempts: Attempts) -> str:
    """Why no probe of the surface came to its end."""
    if attempts.of[Stage.PROBE]:
        return str(Reason.UNFINISHED)
    before = (attempts.finished(stage) for stage in (Stage.BASELINE, Stage.PLANT))
    found = (each.result["fault"] for each in before if each and each.result)
    return next(filter(None, found), str(Reason.NOT_RUN))


def _rows(attempts: Attempts, planned: Sequence[Row]) -> list[Row]:
    probes = attempts.of[Stage.PROBE]
    last = attempts.finished(Stage.PROBE)
    begun = probes[-1].number if probes else 0
    rows: dict[str, Row] = {
        each["slot"]: {**each, "attempt": begun, "fault": _unplayed(attempts), "arms": []} for each in planned
    }
    if last is not None and last.result is not None:
        rows |= {each["slot"]: each for each in last.result["rows"] if each["slot"] in rows}
    for attempt in probes:
        for leak in attempt.leaks:
            if leak["slot"] in rows and not _lives_on(leak["row"], rows[leak["slot"]]):
                rows[leak["slot"]] = leak["row"]
    return [rows[each["slot"]] for each in planned]


def _lives_on(early: Row, late: Row) -> bool:
    """Does the final row still show all that the Leak record's row had seen?"""
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
