"""Stage records -> are they whole and the run's own, and does run.json say what they say? (step 8)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sectum import document, dsse, records
from sectum.checks.case import Case, Failed, Undecided
from sectum.checks.planned import Anchor, anchors
from sectum.codec import NotCanonical, parse, sha256
from sectum.errors import NotVerified
from sectum.pack import RECORDS
from sectum.plan import PLANNED_FIELDS
from sectum.records import Stage
from sectum.sign import is_envelope


def stage_records(case: Case) -> str:
    """8: every stage record is signed by the run's key, in a chain without a gap, and run.json says what they say."""
    run = case.run
    chains = _chains(case)
    probes = {surface: chain for (stage, surface), chain in chains.items() if stage == Stage.PROBE}
    stated = [{name: value for name, value in row.items() if name not in ("outcome", "reason")} for row in run["rows"]]
    surfaces = [each["name"] for each in run["scenario"]["snapshot"]["spec"]["surfaces"]]
    expected = sorted((str(stage), surface) for stage in Stage for surface in surfaces)
    if sorted(chains) != expected or [each["name"] for each in run["surfaces"]] != surfaces:
        raise Failed("surfaces with records, of the scenario and of run.json are not the same")
    recorded: list[dict[str, Any]] = []
    for surface in surfaces:
        first, last = probes[surface][0]["body"], probes[surface][-1]["body"]
        if first["trials"] != len(last["rows"]):
            raise Failed(f"surface {surface}: begun with {first['trials']} trials, {len(last['rows'])} recorded")
        recorded += last["rows"]
        _same_counts(case, surface, {stage: chains[stage, surface][-1]["body"] for stage in Stage})
    if recorded != stated:  # strictly typed on both sides, so that no True passes for a 1
        raise Failed(_first_difference(recorded, stated))
    leaks = [each["body"] for chain in probes.values() for each in chain if each["kind"] == "leak"]
    _still_there(leaks, {row["slot"]: row for row in stated})
    count = sum(map(len, chains.values()))
    said = f"{count} signed by the run's key, {len(leaks)} Leak records among them, the same rows as run.json"
    if not list(_anchors_of_key(case)):
        raise Undecided(f"{said}; but nothing given vouches for the run's key")
    return said


def _anchors_of_key(case: Case) -> Iterator[Anchor]:
    for anchor in anchors(case):
        if anchor.manifest["publicKey"] != case.run["manifest"]["publicKey"]:
            raise Failed(f"signed by a key that {anchor.name} does not name")
        yield anchor


def _chains(case: Case) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Stage and surface -> its records in order: start first, result last and once, each naming the one before it."""
    run, public_key = case.run, case.run["manifest"]["publicKey"]
    chains: dict[tuple[str, str], list[dict[str, Any]]] = {}
    last: dict[tuple[str, str], str | None] = {}
    for name in sorted(each for each in case.members if each.startswith(RECORDS)):
        data = case.members[name]
        record = _record(data, public_key, name)
        if (record["run"], record["manifest"]) != (run["run"], run["manifest"]["hash"]):
            raise Failed(f"{name} is of another run")
        if name != RECORDS + records.Record(**record).name:
            raise Failed(f"{name} is not the name that its record has")
        whose = (record["stage"], record["surface"])
        chain = chains.setdefault(whose, [])
        closed = bool(chain) and chain[-1]["kind"] == "result"
        if record["number"] != len(chain) or record["previous"] != last.get(whose) or closed:
            raise Failed(f"{name} does not follow the record before it: one is missing or there is one too many")
        if (record["kind"] == "start") != (not chain):
            raise Failed(f"{name}: a chain begins with its one start record")
        chain.append(record)
        last[whose] = sha256(data)
    if any(chain[-1]["kind"] != "result" for chain in chains.values()):
        raise Failed("a stage of a surface has no result record: the last one is missing")
    return chains


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


def _same_counts(case: Case, surface: str, results: Mapping[Stage, Mapping[str, Any]]) -> None:
    """A surface's row and markers are what its three result records say."""
    plant, probe, clean = (results[stage] for stage in Stage)
    stated = next(each for each in case.run["surfaces"] if each["name"] == surface)
    recorded = {
        "fault": probe["fault"],
        "tokens": probe["tokens"],
        "planted": len(plant["planted"]),
        "requests": probe["requests"] + clean["requests"],
        "writes": probe["writes"] + clean["writes"],
        "removed": clean["removed"],
        "notRemoved": clean["notRemoved"],
    }
    for name, value in recorded.items():
        if stated[name] != value:
            raise Failed(f"surface {surface}: its {name} is not what its result records say")
    planted, unattributed = set(plant["planted"]), set(plant["unattributed"])
    for each in case.run["markers"]:
        said = (each["id"] in planted, each["id"] not in unattributed)
        if each["surface"] == surface and (each["planted"], each["attributed"]) != said:
            raise Failed(f"marker {each['id']}: not planted or attributed as its surface's record says")


def _first_difference(recorded: list[dict[str, Any]], stated: list[dict[str, Any]]) -> str:
    slots = {row["slot"] for row in stated}
    for place, row in enumerate(recorded):
        if row["slot"] not in slots:
            return f"slot {row['slot']}: recorded, but no row of run.json"
        if place < len(stated) and stated[place]["slot"] == row["slot"] and stated[place] != row:
            return f"slot {row['slot']}: its row is not the one that was recorded"
    return f"{len(stated)} rows in run.json, {len(recorded)} recorded, or in another order"


def _still_there(leaks: list[dict[str, Any]], rows: Mapping[str, Mapping[str, Any]]) -> None:
    for leak in leaks:
        slot = leak["slot"]
        if leak["row"]["slot"] != slot or slot not in rows or not _lives_on(leak["row"], rows[slot]):
            raise Failed(f"slot {slot}: what its Leak record saw is gone from its row")


def _lives_on(early: Mapping[str, Any], late: Mapping[str, Any]) -> bool:
    """Does the final row still show all that the Leak record's row had seen?"""
    if any(early[name] != late[name] for name in PLANNED_FIELDS) or len(early["arms"]) > len(late["arms"]):
        return False
    return all(
        then["arm"] == now["arm"]
        and then["asker"] == now["asker"]
        and then["answers"] == now["answers"][: len(then["answers"])]
        and all(seen in now["seen"] for seen in then["seen"])
        and (then["identity"] == "unproven" or now["identity"] == "proven")
        for then, now in zip(early["arms"], late["arms"], strict=False)
    )
