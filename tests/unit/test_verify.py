"""The checklist: whatever is done to a pack fails at a step that names it, and nothing passes by default."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sectum import catalog, pack, series, sign
from sectum.codec import b64, canonical, parse
from sectum.errors import UsageError
from sectum.keys.unsafe_local import UnsafeLocalKey
from sectum.manifest import Manifest, seal
from sectum.plan import planned_root
from sectum.records import Signed, Stage
from sectum.verify import Checklist, Mark, verify

from tests import runs

Members = dict[str, bytes]


@cache
def sample() -> runs.Sample:
    """Two leaks, one fault, the rest clean."""

    def play(number: int, trial: runs.Trial) -> runs.Row:
        if number in (0, 9):
            return runs.leak_row(trial)
        return runs.fault_row(trial, "Budget") if number == 4 else runs.clean_row(trial)

    return runs.sample(play=play)


def check(tmp_path: Path, members: Members | bytes, *, anchors: str = "open", **given: Any) -> Checklist:
    """Verify with the sample's key and the anchors named."""
    data = members if isinstance(members, bytes) else pack.to_zip(members)
    path = tmp_path / "pack.zip"
    path.write_bytes(data)
    case = sample()
    held: dict[str, Any] = {"key": case.key, "allow_unanchored": True}
    if "open" in anchors:
        held["open_record"] = case.open_record
    if "manifest" in anchors:
        held["manifest"] = (case.sealed, case.wrapper)
    return verify(path, **{**held, **given})


def marks(checklist: Checklist) -> dict[str, Mark]:
    return {step.id: step.mark for step in checklist.steps}


def failed(checklist: Checklist) -> set[str]:
    return {step.id for step in checklist.steps if step.mark == Mark.FAILED}


def forged(run: dict[str, Any], records: Members | None = None) -> Members:
    """The pack of another run.json with every digest computed anew, signed by the right key."""
    return runs.signed(run, sample().records if records is None else records, sample().signer)


# --- what a good pack gives


def test_a_good_pack_is_verified_step_by_step(tmp_path: Path) -> None:
    checklist = check(tmp_path, sample().zip(), anchors="open manifest")
    assert [f"{step.number} {step.id} {step.mark}" for step in checklist.steps] == [
        "1 container ✓",
        "2 signature ✓",
        "3 files ✓",
        "4 run ✓",
        "5 statement ✓",
        "6 plan ✓",
        "7 planned-trials ✓",
        "8 records ✓",
        "9 verdicts ✓",
        "10 manifest ✓",
        "11 timestamp –",
        "12 log –",
    ]
    assert checklist.verified
    assert checklist.summary == "verified, unanchored"


def test_the_folder_gives_what_the_zip_gives(tmp_path: Path) -> None:
    for name, data in sample().members().items():
        (tmp_path / "pack" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pack" / name).write_bytes(data)
    case = sample()
    folder = verify(tmp_path / "pack", key=case.key, open_record=case.open_record, allow_unanchored=True)
    assert folder.steps[1:] == check(tmp_path, case.zip()).steps[1:]
    assert folder.verified


def test_without_the_verifiers_key_nothing_is_verified(tmp_path: Path) -> None:
    checklist = check(tmp_path, sample().zip(), key=None)
    assert marks(checklist)["signature"] == Mark.OPEN
    assert not checklist.verified
    assert "2 (signature)" in checklist.summary


def test_without_timestamp_and_log_it_takes_consent(tmp_path: Path) -> None:
    checklist = check(tmp_path, sample().zip(), allow_unanchored=False)
    assert not checklist.verified
    assert checklist.summary == (
        "NOT VERIFIED: steps 11 (timestamp), 12 (transparency log); --allow-unanchored accepts that"
    )


def test_without_an_anchor_it_says_so(tmp_path: Path) -> None:
    checklist = check(tmp_path, sample().zip(), anchors="")
    assert "planned trials: – not anchored" in str(checklist).splitlines()[6]
    assert marks(checklist)["records"] == Mark.OPEN
    assert "nothing given vouches for the run's key" in str(checklist)
    assert checklist.summary == "verified, unanchored"
    assert not check(tmp_path, sample().zip(), anchors="", allow_unanchored=False).verified


def test_another_key_is_refused_and_both_are_named(tmp_path: Path) -> None:
    other = runs.new_signer()
    checklist = check(tmp_path, sample().zip(), key=runs.pem(other), anchors="manifest")
    assert failed(checklist) == {"signature"}
    assert sample().signer.keyid in checklist.steps[1].text
    assert other.keyid in checklist.steps[1].text
    assert not checklist.verified


def test_a_key_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check(tmp_path, sample().zip(), key=b"no key")


def test_the_checklist_is_json_too(tmp_path: Path) -> None:
    value = check(tmp_path, sample().zip()).as_json()
    canonical(value)
    assert value["verified"] is True
    assert value["steps"][6] == {  # type: ignore[index]
        "number": 7,
        "id": "planned-trials",
        "title": "planned trials",
        "mark": "done",
        "text": "the 24 rows are the trials fixed before the first write, says the Open record",
    }


# --- bytes, files, keys


@pytest.mark.parametrize("offset", range(8))
def test_any_byte_of_the_zip_flipped_fails(tmp_path: Path, offset: int) -> None:
    evidence = {**runs.document()["spec"]["evidence"], "formats": []}
    people = {"acme": ["alice"], "globex": ["bob"]}
    case = runs.sample(runs.scenario(tenants=people, kinds=["api"], evidence=evidence))
    data = case.zip()
    path = tmp_path / "pack.zip"
    path.write_bytes(data)
    given: dict[str, Any] = {"key": case.key, "open_record": case.open_record, "allow_unanchored": True}
    assert verify(path, **given).verified
    for place in range(offset, len(data), 8):  # over all offsets: every byte, with one of the eight single bits …
        for mask in (1 << place // 8 % 8, 0xFF) if place % 5 == 0 else (1 << place // 8 % 8,):  # … every fifth wholly
            flipped = bytearray(data)
            flipped[place] ^= mask
            path.write_bytes(flipped)
            checklist = verify(path, **given)
            assert failed(checklist) == {"container"}, place
            assert not checklist.verified


@pytest.mark.parametrize("member", sorted(sample().members()))
def test_a_byte_of_a_file_flipped_fails_and_names_the_file(tmp_path: Path, member: str) -> None:
    members = sample().members()
    size = len(members[member])
    for place in range(0, size, max(1, size // 25)):
        flipped = bytearray(members[member])
        flipped[place] ^= 1 << place % 8
        checklist = check(tmp_path, {**members, member: bytes(flipped)})
        assert not checklist.verified
        if member == pack.BUNDLE:
            assert failed(checklist) & {"signature", "files"}, place
        else:
            assert "files" in failed(checklist)
            assert member in checklist.steps[2].text
        assert "cannot be checked" not in str(checklist)


@pytest.mark.parametrize("member", sorted(sample().members()))
def test_a_file_removed_fails(tmp_path: Path, member: str) -> None:
    members = sample().members()
    del members[member]
    checklist = check(tmp_path, members)
    assert failed(checklist) & {"signature", "files"}
    assert not checklist.verified


@pytest.mark.parametrize("name", ["more.txt", "records/more.json", "a"])
def test_a_file_added_fails_and_is_named(tmp_path: Path, name: str) -> None:
    checklist = check(tmp_path, {**sample().members(), name: b"{}"})
    assert failed(checklist) >= {"files"}
    assert name in checklist.steps[2].text


def test_an_edited_pack_signed_with_another_key_is_refused(tmp_path: Path) -> None:
    run = runs.copied(sample().run)
    run["verdict"] = "Pass"
    other = runs.new_signer()
    assert {"signature"} <= failed(check(tmp_path, runs.signed(run, sample().records, other)))
    # … also when it claims to be signed with the right one
    members = runs.signed(run, sample().records, other)
    bundle = parse(members[pack.BUNDLE])
    bundle["verificationMaterial"]["publicKey"]["hint"] = sample().signer.keyid
    checklist = check(tmp_path, {**members, pack.BUNDLE: canonical(bundle)})
    assert {"signature"} <= failed(checklist)
    assert "does not verify" in checklist.steps[1].text


def test_an_unchanged_run_signed_with_another_key_is_refused(tmp_path: Path) -> None:
    checklist = check(tmp_path, runs.signed(sample().run, sample().records, runs.new_signer()))
    assert failed(checklist) == {"signature"}
    assert not checklist.verified


def test_a_zip_that_is_not_there_or_a_text_is_a_failed_container(tmp_path: Path) -> None:
    checklist = verify(tmp_path / "none.zip", key=sample().key)
    assert failed(checklist) == {"container"}
    assert {step.mark for step in checklist.steps[1:]} == {Mark.OPEN}
    assert "cannot be looked at without step 1 (container)" in checklist.steps[3].text


# --- forgeries by whoever holds the right key


def _row(run: dict[str, Any], place: int, **parts: Any) -> dict[str, Any]:
    run["rows"][place].update(parts)
    return runs.rejudged(run)


def _removed(run: dict[str, Any]) -> dict[str, Any]:
    del run["rows"][0]
    return runs.rejudged(run)


def _doubled(run: dict[str, Any]) -> dict[str, Any]:
    run["rows"].insert(1, run["rows"][1])
    return runs.rejudged(run)


def _swapped(run: dict[str, Any]) -> dict[str, Any]:
    run["rows"][0], run["rows"][1] = run["rows"][1], run["rows"][0]
    return runs.rejudged(run)


def _consistent_phrasing(run: dict[str, Any]) -> dict[str, Any]:
    """A planned field is edited, and the slot computed anew."""
    import hashlib

    row = run["rows"][1]
    row["phrasing"] = "by-nothing"
    names = [row["surface"], row["attack"], *row["asker"].values(), *row["owner"].values()]
    row["slot"] = hashlib.sha256(canonical([*names, row["kind"], "by-nothing", row["index"]])).hexdigest()[:32]
    return runs.rejudged(run)


def _leak_erased(run: dict[str, Any]) -> dict[str, Any]:
    """The foreign arm's sighting is edited away, everything else is made to fit."""
    run["rows"][0]["arms"][1].update(seen=[], answers=["not-found"])
    return runs.rejudged(run)


PLANNED_EDITS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "removed": _removed,
    "doubled": _doubled,
    "swapped": _swapped,
    "phrasing and slot": _consistent_phrasing,
    "slot": lambda run: _row(run, 1, slot="0" * 32),
    "surface": lambda run: _row(run, 1, surface="semantic-cache"),
    "attack": lambda run: _row(run, 1, attack="entity-bleed"),
    "asker": lambda run: _row(run, 1, asker={"tenant": "globex", "user": "bob"}),
    "owner": lambda run: _row(run, 1, owner={"tenant": "globex", "user": "bob"}),
    "marker": lambda run: _row(run, 1, marker=run["rows"][0]["marker"]),
    "decoy": lambda run: _row(run, 1, decoy=run["decoys"][-1]["id"]),
    "kind": lambda run: _row(run, 1, kind="entity" if run["rows"][1]["kind"] != "entity" else "hard"),
    "phrasing": lambda run: _row(run, 1, phrasing="by-batch"),
    "index": lambda run: _row(run, 1, index=7),
    "contentFindings": lambda run: _row(run, 0, contentFindings=False),
}


@pytest.mark.parametrize("anchors", ["open", "manifest", "open manifest"])
@pytest.mark.parametrize("edit", PLANNED_EDITS)
def test_a_row_removed_doubled_or_edited_fails_at_planned_trials(tmp_path: Path, edit: str, anchors: str) -> None:
    run = PLANNED_EDITS[edit](runs.copied(sample().run))
    assert run["plan"]["root"] == planned_root(run["rows"])  # the forger is thorough
    checklist = check(tmp_path, forged(run), anchors=anchors)
    assert marks(checklist)["signature"] == marks(checklist)["files"] == marks(checklist)["run"] == Mark.DONE
    assert marks(checklist)["planned-trials"] == Mark.FAILED
    assert not checklist.verified


@pytest.mark.parametrize("edit", PLANNED_EDITS)
def test_without_an_anchor_the_same_forgery_says_not_anchored(tmp_path: Path, edit: str) -> None:
    run = PLANNED_EDITS[edit](runs.copied(sample().run))
    checklist = check(tmp_path, forged(run), anchors="")
    assert " 7. planned trials: – not anchored" in str(checklist).splitlines()
    assert not check(tmp_path, forged(run), anchors="", allow_unanchored=False).verified


OTHER_EDITS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "outcome alone": (
        "verdicts",
        lambda run: {**run, "rows": [{**run["rows"][0], "outcome": "Pass"}, *run["rows"][1:]]},
    ),
    "reason alone": ("verdicts", lambda run: {**run, "rows": [{**run["rows"][0], "reason": "Echo"}, *run["rows"][1:]]}),
    "verdict alone": ("verdicts", lambda run: {**run, "verdict": "Pass"}),
    "findings alone": ("verdicts", lambda run: {**run, "findings": run["findings"][1:]}),
    "cells alone": ("verdicts", lambda run: {**run, "cells": run["cells"][1:]}),
    "a leak erased": ("records", _leak_erased),
    "a fault erased": ("records", lambda run: _row(run, 4, fault=None)),
    "a fault added": ("records", lambda run: _row(run, 1, fault="Budget")),
    "a time": ("records", lambda run: _arm(run, ended=runs.STARTED)),
    "an answer": ("records", lambda run: _arm(run, answers=["empty"])),
    "unknown items": ("records", lambda run: _arm(run, unknown=1)),
    "an identity": ("records", lambda run: _arm(run, identity="unproven")),
    "something sent": ("records", lambda run: _arm(run, sent=[run["rows"][0]["marker"]])),
    "an arm's asker": ("records", lambda run: _arm(run, asker={"tenant": "globex", "user": "bob"})),
    "fewer arms": ("records", lambda run: _row(run, 0, arms=[])),
    "a skip": ("plan", lambda run: runs.rejudged({**run, "skips": run["skips"][1:]})),
    "a marker's owner": ("plan", lambda run: _marker(run, owner={"tenant": "globex", "user": "bob"})),
    "a marker left out": ("plan", lambda run: {**run, "markers": run["markers"][:-1]}),
    "a commitment": ("manifest", lambda run: _marker(run, commitment="0" * 64)),
    "a surface's kind": ("plan", lambda run: _surface(run, kind="mcp")),
    "a surface's residue": ("plan", lambda run: _surface(run, residue=["nothing"])),
    "a surface's fault": ("records", lambda run: _surface(run, fault="Budget")),
    "a surface's tokens": ("records", lambda run: _surface(run, tokens=7)),
    "a surface's requests": ("records", lambda run: _surface(run, requests=0)),
    "what was planted": ("records", lambda run: _surface(run, planted=1)),
    "what was removed": ("records", lambda run: _surface(run, removed=1)),
    "what was left": ("records", lambda run: _surface(run, notRemoved=3)),
    "a marker said not to be planted": ("records", lambda run: _marker(run, planted=False)),
    "a marker said to be nobody's": ("records", lambda run: runs.rejudged(_marker(run, attributed=False))),
    "a closed world": ("records", lambda run: _arm(run, closedWorld=False)),
    "a baseline": ("plan", lambda run: runs.rejudged(_row(run, 0, baseline=True))),
    "a control": ("plan", lambda run: runs.rejudged(_row(run, 0, control="cached"))),
    "the manifest's key": ("planned-trials", lambda run: {**run, "manifest": {**run["manifest"], "key": "mine"}}),
    "the scenario": ("planned-trials", lambda run: _scenario(run)),
    "the Open record's number": ("planned-trials", lambda run: {**run, "open": {**run["open"], "sequence": 2}}),
    "the run's id": ("planned-trials", lambda run: {**run, "run": run["run"][:-1] + "0"}),
    "a boundary": ("records", lambda run: _surface(run, boundary="enforced")),
    "a subset": ("plan", lambda run: {**run, "subset": {"attacks": ["boundary-fetch"]}}),
    "an attempt": ("records", lambda run: _row(run, 1, attempt=2)),
    "records that are said to be broken": ("records", lambda run: _surface(run, fault="RecordsBroken")),
    "the plan's count": ("planned-trials", lambda run: {**run, "plan": {**run["plan"], "trials": 1}}),
}


def _arm(run: dict[str, Any], **parts: Any) -> dict[str, Any]:
    run["rows"][0]["arms"][1].update(parts)
    return runs.rejudged(run)


def _marker(run: dict[str, Any], **parts: Any) -> dict[str, Any]:
    run["markers"][0].update(parts)
    return run


def _surface(run: dict[str, Any], **parts: Any) -> dict[str, Any]:
    run["surfaces"][0].update(parts)
    return run


def _scenario(run: dict[str, Any]) -> dict[str, Any]:
    """Something that leaks is declared to be shared."""
    from sectum.codec import digest

    shared = {"owner": {"tenant": "acme"}, "with": {"tenant": "acme"}, "surface": "api", "items": [], "reason": "so"}
    run["scenario"]["snapshot"]["spec"]["sharing"] = [shared]
    run["scenario"]["digest"] = digest(run["scenario"]["snapshot"])
    return runs.rejudged(run)


@pytest.mark.parametrize("edit", OTHER_EDITS)
def test_an_edit_signed_by_the_right_key_fails_at_its_step(tmp_path: Path, edit: str) -> None:
    step, forge = OTHER_EDITS[edit]
    checklist = check(tmp_path, forged(forge(runs.copied(sample().run))), anchors="open manifest")
    assert marks(checklist)["signature"] == marks(checklist)["run"] == Mark.DONE
    # The report is made again only from a run.json that holds in itself.
    assert marks(checklist)["files"] == (Mark.OPEN if "verdicts" in failed(checklist) else Mark.DONE)
    assert step in failed(checklist)
    assert not checklist.verified
    assert "cannot be checked" not in str(checklist)


@pytest.mark.parametrize("place", [(), ("rows", 0), ("rows", 0, "arms", 0), ("markers", 0), ("surfaces", 0), ("open",)])
def test_a_member_that_the_format_does_not_know_fails(tmp_path: Path, place: tuple[Any, ...]) -> None:
    run = runs.copied(sample().run)
    inner = run
    for key in place:
        inner = inner[key]
    inner["more"] = 1
    assert failed(check(tmp_path, forged(run))) == {"run"}


def test_a_statement_of_another_result_fails(tmp_path: Path) -> None:
    members = sample().members()
    stated = parse(sign.open_bundle(members[pack.BUNDLE]).statement)
    for part in ({"result": "PASSED"}, {"failedTests": []}, {"configuration": []}, {"url": "x"}):
        lie = canonical({**stated, "predicate": {**stated["predicate"], **part}})
        checklist = check(tmp_path, {**members, pack.BUNDLE: sign.bundle(lie, sample().signer)})
        assert failed(checklist) == {"statement"}
    for part in ({"_type": "x"}, {"predicateType": "x"}):
        lie = canonical({**stated, **part})
        assert failed(check(tmp_path, {**members, pack.BUNDLE: sign.bundle(lie, sample().signer)})) == {"statement"}


# --- files made of run.json


def resigned(members: Members) -> Members:
    """The members, with every digest computed anew, signed by the right key."""
    return sign.sign_statement({**members, pack.BUNDLE: b""}, sample().run, sample().signer)


OTHER_RECORD = "records/probe-mcp-1-000000-start-0123456789abcdef.json"
OLD_RECORD = "records/probe-api-1-000000-start.json"
SWAPPED: dict[str, tuple[str, Callable[[Members], Members]]] = {
    "another README": ("README.txt is not the one", lambda m: {**m, pack.README: b"All is well.\n"}),
    "a README with one letter more": ("README.txt is not", lambda m: {**m, pack.README: m[pack.README] + b"\n"}),
    "another run's report": (
        "report.pdf is not the one",
        lambda m: {**m, pack.REPORT: runs.sample().members()[pack.REPORT]},
    ),
    "a report with one byte changed": (
        "report.pdf is not the one",
        lambda m: {**m, pack.REPORT: m[pack.REPORT].replace(b"Leak", b"Pass", 1)},
    ),
    "no report": ("report.pdf is missing", lambda m: {k: v for k, v in m.items() if k != pack.REPORT}),
    "no README": ("README.txt is missing", lambda m: {k: v for k, v in m.items() if k != pack.README}),
    "a file more": ("more.txt is nothing that run.json", lambda m: {**m, "more.txt": b"x"}),
    "another surface's record": (f"{OTHER_RECORD} is nothing", lambda m: {**m, OTHER_RECORD: b"{}"}),
    "a record without its digest": (f"{OLD_RECORD} is nothing", lambda m: {**m, OLD_RECORD: b"{}"}),
    "no record": ("records/notes.json is nothing", lambda m: {**m, "records/notes.json": b"{}"}),
}


@pytest.mark.parametrize("swap", SWAPPED)
def test_a_file_that_run_json_does_not_lead_to_fails_though_the_right_key_signed_it(tmp_path: Path, swap: str) -> None:
    said, edit = SWAPPED[swap]
    checklist = check(tmp_path, resigned(edit(sample().members())))
    assert marks(checklist)["signature"] == Mark.DONE
    assert said in checklist.steps[2].text
    assert "files" in failed(checklist)
    assert not checklist.verified


def test_no_report_where_the_scenario_wants_none(tmp_path: Path) -> None:
    case = runs.sample(runs.scenario(evidence={**runs.document()["spec"]["evidence"], "formats": []}))
    given: dict[str, Any] = {"key": case.key, "open_record": case.open_record}
    assert "README.txt are what run.json leads to" in check(tmp_path, case.zip(), **given).steps[2].text
    members = {**case.members(), pack.REPORT: sample().members()[pack.REPORT]}
    checklist = check(tmp_path, sign.sign_statement(members, case.run, case.signer), **given)
    assert "report.pdf is nothing that run.json leads to" in checklist.steps[2].text
    assert "files" in failed(checklist)


@pytest.mark.parametrize(("part", "said"), [("sectum", "README.txt"), ("reportlab", "report.pdf")])
def test_what_other_versions_made_is_not_made_again_and_the_step_says_so(tmp_path: Path, part: str, said: str) -> None:
    run = runs.copied(sample().run)
    run["versions"][part] = "9.9"
    checklist = check(tmp_path, forged(run))
    assert marks(checklist)["files"] == Mark.OPEN
    assert f"not made again and compared: {said} (made with another {part})" in checklist.steps[2].text
    assert checklist.verified
    assert not check(tmp_path, forged(run), allow_unanchored=False).verified


# --- stage records


def _leak_record_removed(records: Members) -> Members:
    return {name: data for name, data in records.items() if "-leak-" not in name}


def _bare(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("outcome", "reason")} for row in run["rows"]]


def _rewritten(
    surface: str, stage: Stage, change: Callable[[str, dict[str, Any]], dict[str, Any]], *more: runs.Bodies
) -> Members:
    """A surface's records by the run's own key, a stage's bodies changed by kind, in chains that hold.

    Args:
        more: further attempts at the stage.
    """
    made: list[Signed] = []
    for each, bodies in _recorded(surface).items():
        told = [(kind, change(kind, dict(body)) if each == stage else body) for kind, body in bodies]
        for number, attempt in enumerate([told, *(more if each == stage else ())], 1):
            made += runs.signed_chain(sample().manifest, surface, attempt, stage=each, attempt=number, before=made)
    return {each.name: each.data for each in made}


def _recorded(surface: str) -> dict[Stage, runs.Bodies]:
    part = next(each for each in sample().run["surfaces"] if each["name"] == surface)
    return runs.bodies_of(sample().run | {"rows": _bare(sample().run)}, part)


def _without(records: Members, stage: str, kind: str = "") -> Members:
    """Less the cache's records of a stage, or one of a kind."""
    return {k: v for k, v in records.items() if not k.startswith(f"{stage}-semantic-cache-") or kind not in k}


def _instead(stage: Stage, kind: str, **parts: Any) -> Callable[[Members], Members]:
    """Its records of a stage, where the one of a kind says something else."""

    return lambda records: {
        **_others(records, "semantic-cache"),
        **_rewritten("semantic-cache", stage, lambda each, body: {**body, **parts} if each == kind else body),
    }


def _others(records: Members, surface: str) -> Members:
    return {name: data for name, data in records.items() if f"-{surface}-" not in name}


NOWHERE = {str(stage): None for stage in Stage}


def _second_attempt(**named: str | None) -> Callable[[Members], Members]:
    """A second probe of the cache after the first, which says nothing of it or something wrong."""

    def edited(records: Members) -> Members:
        bodies = [(kind, runs.copied(body)) for kind, body in _recorded("semantic-cache")[Stage.PROBE]]
        again = [(kind, {**body, "after": NOWHERE | named} if kind == "start" else body) for kind, body in bodies]
        for _, body in again:
            for row in [*body.get("rows", ()), *([body["row"]] if "row" in body else [])]:
                row["attempt"] = 2
        new = _rewritten("semantic-cache", Stage.PROBE, lambda _kind, body: body, again)
        return {**_others(records, "semantic-cache"), **new}

    return edited


def _renamed(records: Members, old: str, new: str) -> Members:
    return {name.replace(old, new, 1): data for name, data in records.items()}


def _doubled_record(records: Members) -> Members:
    name = next(each for each in records if each.startswith("probe-api-") and "leak" in each)
    return {**records, name.replace("-1-000001-", "-1-000007-"): records[name]}


NONE = "probe-api-1-000009-leak-0123456789abcdef.json"
RECORD_EDITS: dict[str, Callable[[Members], Members]] = {
    "none": lambda _records: {},
    "a Leak record removed": _leak_record_removed,
    "the last removed": lambda records: dict(sorted(records.items())[:-1]),
    "the first removed": lambda records: dict(sorted(records.items())[1:]),
    "one surface's removed": lambda records: {k: v for k, v in records.items() if "-api-" not in k},
    "a baseline's result removed": lambda records: _without(records, "baseline", "result"),
    "all of a baseline removed": lambda records: _without(records, "baseline"),
    "a planting's result removed": lambda records: _without(records, "plant", "result"),
    "all of a planting removed": lambda records: _without(records, "plant"),
    "a probe's start removed": lambda records: _without(records, "probe", "start"),
    "a probe's result removed": lambda records: _without(records, "probe", "result"),
    "all of a probe removed": lambda records: _without(records, "probe"),
    "a cleaning's result removed": lambda records: _without(records, "clean", "result"),
    "all of a cleaning removed": lambda records: _without(records, "clean"),
    "all of a probe and of a cleaning removed": lambda records: _without(_without(records, "probe"), "clean"),
    "one renamed": lambda records: _renamed(records, "000000", "000009"),
    "one renamed in its place": lambda records: _renamed(records, "start", "begin"),
    "begun with another count": _instead(Stage.PROBE, "start", trials=99),
    "a baseline begun with another count": _instead(Stage.BASELINE, "start", trials=99),
    "a probe of no rows": _instead(Stage.PROBE, "result", rows=[]),
    "a planting with a fault": _instead(Stage.PLANT, "result", fault="Budget"),
    "a planting of less": _instead(Stage.PLANT, "result", planted=[]),
    "a boundary that was measured": _instead(
        Stage.CLEAN, "result", boundary={"allowed": True, "metadata": True, "apiServer": False}
    ),
    "an attempt that names one that is not there": _instead(Stage.PROBE, "start", after=NOWHERE | {"probe": "0" * 64}),
    "a cleaning that names none": _instead(Stage.CLEAN, "start", after=NOWHERE),
    "a start that names not every stage": _instead(Stage.PLANT, "start", after={"plant": None}),
    "an attempt more that names none": _second_attempt(),
    "an attempt more that names another": _second_attempt(probe="0" * 64),
    "one twice": _doubled_record,
    "one that is none": lambda records: {**records, NONE: b"{}"},
    "one signed by another": lambda records: {**records, **_signed_by_another(records)},
    "all signed by another": lambda records: _signed_by_another(records),
}


def _signed_by_another(records: Members) -> Members:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    stranger = _with_run_key(sample().manifest, Ed25519PrivateKey.generate())
    return runs.recorded(sample().run | {"rows": _bare(sample().run)}, stranger)


def _with_run_key(manifest: Manifest, run_key: Any) -> Manifest:
    from dataclasses import replace

    return replace(manifest, run_key=run_key)


@pytest.mark.parametrize("edit", RECORD_EDITS)
def test_records_that_are_not_whole_fail(tmp_path: Path, edit: str) -> None:
    checklist = check(tmp_path, forged(sample().run, RECORD_EDITS[edit](dict(sample().records))))
    # A name that no record can have is seen before anything is read.
    assert failed(checklist) == ({"files", "records"} if edit == "one renamed in its place" else {"records"})
    assert not checklist.verified
    assert "cannot be checked" not in str(checklist)


def test_a_run_key_of_the_forgers_own_fails_with_an_anchor_and_is_told_without(tmp_path: Path) -> None:
    """He erases the leak, makes a run key and signs all records with it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    own = _with_run_key(sample().manifest, Ed25519PrivateKey.generate())
    run = _leak_erased(runs.copied(sample().run))
    run["manifest"] = {**run["manifest"], "publicKey": own.public_key()}
    members = forged(run, runs.recorded(run | {"rows": _bare(run)}, own, salted_hash=run["manifest"]["hash"]))
    for anchors in ("open", "manifest"):
        checklist = check(tmp_path, members, anchors=anchors)
        assert failed(checklist) >= {"planned-trials", "records"}
        assert not checklist.verified
    without = check(tmp_path, members, anchors="")
    assert marks(without)["planned-trials"] == marks(without)["records"] == Mark.OPEN
    assert not check(tmp_path, members, anchors="", allow_unanchored=False).verified


def test_a_leak_record_whose_sighting_is_gone_fails(tmp_path: Path) -> None:
    """Whoever holds the run's key too erases a leak from the result, but the Leak record was stored at once."""
    run = _leak_erased(runs.copied(sample().run))
    rows = [row for row in _bare(run) if row["surface"] == "api"]
    new = _rewritten("api", Stage.PROBE, lambda kind, body: {**body, "rows": rows} if kind == "result" else body)
    checklist = check(tmp_path, forged(run, {**_others(sample().records, "api"), **new}))
    assert failed(checklist) == {"records"}
    assert f"slot {run['rows'][0]['slot']}: its row is not the one that was recorded" in checklist.steps[7].text


def test_broken_records_that_the_pack_admits_hold_and_nothing_of_the_surface_passes(tmp_path: Path) -> None:
    """What the assembler met in the store and could not put into the pack only takes away."""
    run = runs.copied(sample().run)
    run["surfaces"][1]["fault"] = "RecordsBroken"
    for row in run["rows"]:
        if row["surface"] == "semantic-cache":
            row["fault"] = "RecordsBroken"
    checklist = check(tmp_path, forged(runs.rejudged(run)), anchors="open manifest")
    assert failed(checklist) == set()
    assert checklist.verified
    lie = runs.copied(run)
    next(row for row in lie["rows"] if row["surface"] == "semantic-cache")["fault"] = None
    assert failed(check(tmp_path, forged(runs.rejudged(lie)))) == {"records"}


# --- anchors


def test_an_open_record_of_another_run_or_signer_fails(tmp_path: Path) -> None:
    other = runs.sample()
    assert "planned-trials" in failed(check(tmp_path, sample().zip(), open_record=other.open_record))
    for broken in (b"", b"{}", b"[1]", sample().open_record[:-1], sample().sealed):
        checklist = check(tmp_path, sample().zip(), open_record=broken)
        assert "planned-trials" in failed(checklist)
        assert "cannot be checked" not in str(checklist)


def test_an_open_record_of_another_subset_or_occasion_fails(tmp_path: Path) -> None:
    by_hand = series.occasion(refused=[("2026-11-01T03:00:00Z", "ConcurrencyForbidden")])
    part = {"surfaces": ["api"]}
    for opening, text in (
        (runs.Opening(stated_subset=part), "another subset of the scenario"),
        (runs.Opening(sealed_occasion=by_hand), "name different occasions"),
        (runs.Opening(subset=part, occasion=by_hand), None),
    ):
        case = runs.sample(opening=opening)
        given: dict[str, Any] = {"key": case.key, "open_record": case.open_record, "allow_unanchored": True}
        checklist = verify(case.zip(), manifest=(case.sealed, case.wrapper), **given)
        assert failed(checklist) == (set() if text is None else {"planned-trials"})
        assert text is None or text in str(checklist)


def test_a_sealed_manifest_that_does_not_open_fails(tmp_path: Path) -> None:
    wrong = (sample().sealed, UnsafeLocalKey(b"w" * 32))
    assert failed(check(tmp_path, sample().zip(), manifest=wrong)) >= {"planned-trials", "manifest"}
    broken = bytearray(sample().sealed)
    broken[len(broken) // 2] ^= 1
    checklist = check(tmp_path, sample().zip(), manifest=(bytes(broken), sample().wrapper))
    assert failed(checklist) >= {"planned-trials", "manifest"}


def test_another_runs_manifest_fails(tmp_path: Path) -> None:
    other = runs.sample(origin_seed=8)
    checklist = check(tmp_path, sample().zip(), manifest=(other.sealed, other.wrapper))
    assert failed(checklist) >= {"manifest", "planned-trials"}


def test_a_manifest_without_a_plan_in_its_header_anchors_nothing(tmp_path: Path) -> None:
    bare = seal(sample().manifest, data_key=b"d" * 32, key=sample().wrapper, header={})
    checklist = check(tmp_path, sample().zip(), anchors="", manifest=(bare, sample().wrapper))
    assert failed(checklist) == {"planned-trials", "records"}
    assert not checklist.verified


def test_commitments_that_do_not_add_up_fail_without_the_manifest_too(tmp_path: Path) -> None:
    run = runs.copied(sample().run)
    run["markers"][0]["commitment"] = "0" * 64
    assert failed(check(tmp_path, forged(run))) == {"manifest"}


def test_a_pack_of_another_version_is_not_planned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.copied(sample().run)
    run["versions"]["sectum"] = "9.9"
    checklist = check(tmp_path, forged(run))
    assert marks(checklist)["plan"] == Mark.OPEN
    assert checklist.verified
    assert not check(tmp_path, forged(run), allow_unanchored=False).verified
    known = dict(catalog.attacks())
    known.popitem()
    monkeypatch.setattr(catalog, "attacks", lambda: known)
    assert marks(check(tmp_path, sample().zip()))["plan"] == Mark.OPEN


def test_a_run_key_that_is_no_key_fails(tmp_path: Path) -> None:
    run = runs.copied(sample().run)
    run["manifest"]["publicKey"] = b64(b"\xff" * 32)
    checklist = check(tmp_path, forged(run))
    assert "records" in failed(checklist)
