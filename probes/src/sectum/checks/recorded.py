"""Stage records -> are they whole and the run's own, and does run.json say what they say? (step 8)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sectum import document, dsse, records
from sectum.account import Account, account
from sectum.checks.case import Case, Failed, Undecided
from sectum.checks.planned import Anchor, anchors
from sectum.codec import NotCanonical, parse
from sectum.errors import NotVerified
from sectum.pack import RECORDS
from sectum.plan import PLANNED_FIELDS
from sectum.reasons import Reason
from sectum.records import Record, RecordKind, Signed
from sectum.sign import is_envelope
from sectum.verdict import sharing_of


def stage_records(case: Case) -> str:
    """8: every stage record is signed by the run's key, and run.json says what the records lead to."""
    run = case.run
    signed = _signed(case)
    surfaces = [each["name"] for each in run["scenario"]["snapshot"]["spec"]["surfaces"]]
    if [each["name"] for each in run["surfaces"]] != surfaces or not {s.record.surface for s in signed} <= set(
        surfaces
    ):
        raise Failed("surfaces with records, of the scenario and of run.json are not the same")
    stated = [{name: value for name, value in row.items() if name not in ("outcome", "reason")} for row in run["rows"]]
    recorded: list[dict[str, Any]] = []
    shared = sharing_of(run["scenario"]["snapshot"])
    for part in run["surfaces"]:
        surface = part["name"]
        planned = [{name: row[name] for name in PLANNED_FIELDS} for row in stated if row["surface"] == surface]
        admitted = part["fault"] == Reason.RECORDS_BROKEN
        told = account(surface, planned, signed, shared=shared, broken=admitted)
        if told.broken and not admitted:
            raise Failed(f"surface {surface}: {told.broken[0]}")
        recorded += told.rows
        _same_counts(case, part, told)
    if recorded != stated:  # strictly typed on both sides, so that no True passes for a 1
        raise Failed(_first_difference(recorded, stated))
    leaks = sum(each.record.kind == RecordKind.LEAK for each in signed)
    said = f"{len(signed)} signed by the run's key, {leaks} Leak records among them, leading to the rows of run.json"
    if not list(_anchors_of_key(case)):
        raise Undecided(f"{said}; but nothing given vouches for the run's key")
    return said


def _anchors_of_key(case: Case) -> Iterator[Anchor]:
    for anchor in anchors(case):
        if anchor.manifest["publicKey"] != case.run["manifest"]["publicKey"]:
            raise Failed(f"signed by a key that {anchor.name} does not name")
        yield anchor


def _signed(case: Case) -> list[Signed]:
    run, public_key = case.run, case.run["manifest"]["publicKey"]
    signed = []
    for name in sorted(each for each in case.members if each.startswith(RECORDS)):
        data = case.members[name]
        record = Record(**_record(data, public_key, name))
        if (record.run, record.manifest) != (run["run"], run["manifest"]["hash"]):
            raise Failed(f"{name} is of another run")
        signed.append(Signed(record, data))
        if name != RECORDS + signed[-1].name:
            raise Failed(f"{name} is not the name that its record has")
    return signed


def _record(data: bytes, public_key: str, name: str) -> dict[str, Any]:
    try:
        envelope = parse(data)
        if not is_envelope(envelope):
            raise NotCanonical("no envelope")
        check = records.verify_with_run_key(public_key)
        keyid = records.run_key_id(public_key)
        payload = dsse.open_envelope(envelope, payload_type=records.RECORD_TYPE, verify=check, keyid=keyid)
        return document.read_record_payload(payload)
    except NotCanonical:
        raise Failed(f"{name} is not signed by the run's key") from None
    except NotVerified as error:
        raise Failed(f"{name}: {error}") from None


def _same_counts(case: Case, part: Mapping[str, Any], told: Account) -> None:
    """A surface's part and markers are what its records lead to."""
    for name, value in told.figures.items():
        if part[name] != value:
            raise Failed(f"surface {part['name']}: its {name} is not what its records lead to")
    for each in case.run["markers"]:
        said = (each["id"] in told.planted, each["id"] not in told.unattributed)
        if each["surface"] == part["name"] and (each["planted"], each["attributed"]) != said:
            raise Failed(f"marker {each['id']}: not planted or attributed as its surface's record says")


def _first_difference(recorded: list[dict[str, Any]], stated: list[dict[str, Any]]) -> str:
    slots = {row["slot"] for row in stated}
    for place, row in enumerate(recorded):
        if row["slot"] not in slots:
            return f"slot {row['slot']}: recorded, but no row of run.json"
        if place < len(stated) and stated[place]["slot"] == row["slot"] and stated[place] != row:
            return f"slot {row['slot']}: its row is not the one that was recorded"
    return f"{len(stated)} rows in run.json, {len(recorded)} recorded, or in another order"
