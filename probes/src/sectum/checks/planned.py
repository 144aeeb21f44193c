"""Rows and markers of run.json -> are they the planned ones, and who says so but the pack? (steps 6, 7 and 10)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from sectum import catalog, document, dsse, merkle, series
from sectum.actions import AnswerKind, Principal
from sectum.checks.case import Case, Failed, Undecided
from sectum.codec import NotCanonical, digest, parse, sha256
from sectum.errors import ScenarioError
from sectum.manifest import belongs, header, unseal
from sectum.markers import Kind
from sectum.plan import PLANNED_FIELDS, Subset, Trial, binding, make_plan
from sectum.ports import KeyWrapper
from sectum.scenario import parse as parse_scenario
from sectum.sign import PublicKey, is_envelope


def plan(case: Case) -> str:
    """6: rows, skips, markers and decoys are those that the scenario leads to."""
    run = case.run
    for name in ("markers", "decoys"):
        _unique([each["id"] for each in run[name]], name)
        for each in run[name]:
            if each["id"].rsplit("/", 1)[0] != "/".join([each["surface"], *each["owner"].values(), each["kind"]]):
                raise Failed(f"a name among the {name} does not fit its owner")
    _unique([row["slot"] for row in run["rows"]], "rows")
    for row in run["rows"]:
        if row["slot"] != _slot(row):
            raise Failed(f"slot {row['slot']} is not what its row's fields lead to")
    made_by = run["versions"].get("sectum")
    attacks = {each["attack"] for each in [*run["rows"], *run["skips"]]}
    foreign = Undecided(f"made by sectum {made_by} and its plug-ins, not by this one's: not planned again")
    if made_by != version("sectum") or attacks != set(catalog.attacks()):
        raise foreign
    try:
        scenario = parse_scenario(run["scenario"]["snapshot"])
    except ScenarioError:
        raise foreign from None
    again = make_plan(scenario, Subset.out_of(run["subset"]))
    planned = [{name: row[name] for name in PLANNED_FIELDS} for row in run["rows"]]
    _same_table(planned, again.rows(), "rows")
    _same_table(run["skips"], [skip.row() for skip in again.skips], "skips")
    _same_table([each["id"] for each in run["markers"]], [each.id for each in again.markers], "markers")
    _same_table([each["id"] for each in run["decoys"]], [each.id for each in again.decoys], "decoys")
    surfaces = [[each[name] for name in ("name", "kind", "adapter", "residue")] for each in run["surfaces"]]
    declared = {each.surface: list(each.residue) for each in again.totals}
    named = [[each.name, str(each.kind), each.adapter_name, declared[each.name]] for each in scenario.spec.surfaces]
    _same_table(surfaces, named, "surfaces")
    return f"planned again from the scenario: the same {len(planned)} trials, {len(run['skips'])} skips"


def _slot(row: Mapping[str, Any]) -> str:
    return Trial(
        surface=row["surface"],
        attack=row["attack"],
        asker=Principal(**row["asker"]),
        owner=Principal(**row["owner"]),
        kind=Kind(row["kind"]),
        phrasing=row["phrasing"],
        index=row["index"],
        sends_marker=not row["contentFindings"],
        baseline=row["baseline"],
        control=AnswerKind(row["control"]) if row["control"] else None,
    ).slot


def _unique(names: list[str], what: str) -> None:
    if len(set(names)) != len(names):
        raise Failed(f"{len(names) - len(set(names))} of the {what} stand there twice")


def _same_table(actual: list[Any], expected: list[Any], what: str) -> None:
    if actual == expected:  # strictly typed, so that no True passes for a 1
        return
    if len(actual) != len(expected):
        raise Failed(f"{len(actual)} {what}, but the scenario leads to {len(expected)}")
    first = next(place for place, (is_, should) in enumerate(zip(actual, expected, strict=True), 1) if is_ != should)
    raise Failed(f"{what}: number {first} is not the one that the scenario leads to")


_BOUND = {"root": "trials", "trials": "number of trials", "skips": "skips"}


@dataclass(frozen=True, slots=True)
class Anchor:
    """What somebody else than this pack vouches for, as it stood before the run's first write."""

    name: str
    run: str
    plan: Mapping[str, Any]
    manifest: Mapping[str, str]
    scenario: str
    subset: Mapping[str, Any] | None
    occasion: Mapping[str, Any]


def planned_trials(case: Case) -> str:
    """7: the planned trials are those that the Open record, or the sealed manifest, was bound to."""
    run, rows = case.run, case.run["rows"]
    found = list(anchors(case))
    if not found:
        raise Undecided("not anchored")
    actual = binding(rows, run["skips"])
    for anchor in found:
        if anchor.run != run["run"]:
            raise Failed(f"{anchor.name} is of another run")
        if actual != anchor.plan:
            differs = next(name for name in actual if actual[name] != anchor.plan.get(name))
            said = f"{len(rows)} rows, root {actual['root'][:16]}…, {len(run['skips'])} skips"
            raise Failed(f"{said}: not the {_BOUND[differs]} that {anchor.name} was bound to")
        if actual != run["plan"]:
            raise Failed("run.json states another plan than its rows make")
        if anchor.scenario != run["scenario"]["digest"]:
            raise Failed(f"{anchor.name} was bound to another scenario")
        if anchor.manifest != run["manifest"]:
            raise Failed(f"{anchor.name} was bound to another manifest or run key")
        if anchor.subset != run["subset"]:
            raise Failed(f"{anchor.name} was bound to another subset of the scenario")
        if anchor.occasion != found[0].occasion:
            raise Failed(f"{anchor.name} and {found[0].name} name different occasions")
    names = " and ".join(each.name for each in found)
    return f"the {len(rows)} rows are the trials fixed before the first write, says {names}"


def anchors(case: Case) -> Iterator[Anchor]:
    """What was given to anchor the run by, signatures and seals checked; raises Failed, Undecided, NotVerified."""
    if case.open_record is not None:
        if case.key is None:
            raise Undecided("not anchored: the Open record cannot be checked without the signer's key")
        body = _open_body(case.open_record, case.key)
        if case.run["open"] != {"sequence": body["sequence"], "digest": sha256(case.open_record)}:
            raise Failed("run.json names another Open record than the one given")
        yield _anchor("the Open record", body, manifest=body["manifest"], scenario=body["scenario"]["digest"])
    if case.sealed is not None:
        clear = _opened(*case.sealed)
        named = {name: clear[name] for name in ("root", "hash", "key", "publicKey")}
        yield _anchor("the sealed manifest", clear, manifest=named, scenario=digest(clear["scenario"]))


def _anchor(name: str, told: Mapping[str, Any], *, manifest: Mapping[str, str], scenario: str) -> Anchor:
    about = (told["run"], told["plan"], manifest, scenario)
    return Anchor(name, *about, subset=told.get("subset"), occasion=told.get("occasion", {}))


def _open_body(record: bytes, key: PublicKey) -> dict[str, Any]:
    try:
        envelope = parse(record)
        if not is_envelope(envelope):
            raise NotCanonical("no envelope")
        payload = dsse.open_envelope(envelope, payload_type=series.OPEN_TYPE, verify=key.verify, keyid=key.keyid)
    except NotCanonical:
        raise Failed("the Open record given is none, or not signed by the signer's key") from None
    return document.read_open(payload)


def _opened(sealed: bytes, key: KeyWrapper) -> dict[str, Any]:
    """The clear header, which opening the manifest has authenticated; raises NotVerified."""
    unseal(sealed, key)
    return header(sealed)


def manifest(case: Case) -> str:
    """10: the commitments add up to the root; the manifest, if given, opens and is the one they were made from."""
    run = case.run
    commitments = [each["commitment"] for each in [*run["markers"], *run["decoys"]]]
    stated = run["manifest"]
    if merkle.root([bytes.fromhex(each) for each in commitments]).hex() != stated["root"]:
        raise Failed("the commitments of run.json do not add up to its manifest's root")
    if case.sealed is None:
        raise Undecided(f"not given; the {len(commitments)} commitments add up to its root")
    opened = belongs(*case.sealed, root=stated["root"], salted_hash=stated["hash"])
    if opened.run != run["run"] or opened.public_key() != stated["publicKey"]:
        raise Failed("the manifest given is of another run, or of another run key")
    drawn = [(each.id, each.commitment()) for each in opened.markers + opened.decoys]
    if drawn != [(each["id"], each["commitment"]) for each in [*run["markers"], *run["decoys"]]]:
        raise Failed("the manifest's markers are not those of run.json")
    return f"opens with its key; root, salted hash and {len(commitments)} commitments are those of run.json"
