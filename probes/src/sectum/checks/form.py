"""Container, bundle, run.json and Statement -> are they whole, signed, and of one mind? (steps 1, 2, 4, 5, 11, 12)"""

from __future__ import annotations

from pathlib import Path

from sectum import document
from sectum.checks.case import Case, Failed, Undecided
from sectum.codec import canonical, digest
from sectum.container import from_zip, read
from sectum.pack import PREDICATE_TYPE, RUN, STATEMENT_TYPE, predicate


def container(case: Case) -> str:
    """1: a zip that follows byte for byte from its members, or a folder of regular files."""
    case.members = from_zip(case.pack) if isinstance(case.pack, bytes) else read(case.pack)
    size = sum(map(len, case.members.values()))
    kind = "folder" if isinstance(case.pack, Path) and case.pack.is_dir() else "zip"
    return f"{kind} of {len(case.members)} files, {size:,} bytes, nothing else in it"


def signature(case: Case) -> str:
    """2: the verifier's key signed the Statement, and the pack names that key."""
    bundle = case.bundle()
    if case.key is None:
        raise Undecided("no key given; a pack's own word on who signed it counts for nothing")
    hint = bundle.hint if len(bundle.hint) == 64 and set(bundle.hint) <= set("0123456789abcdef") else "unreadable"
    if hint != case.key.keyid:
        raise Failed(f"another key: the pack was signed by {hint}, expected {case.key.keyid}")
    if not bundle.signed_by(case.key):
        raise Failed(f"the signature does not verify with {case.key.keyid}")
    return f"by {case.key.keyid}"


def run_json(case: Case) -> str:
    """4: run.json is canonical and of the known shape, and its scenario is the one it names."""
    if RUN not in case.members:
        raise Failed(f"there is no {RUN}")
    run = document.read_run(case.members[RUN])
    scenario = run["scenario"]
    if scenario["digest"] != digest(scenario["snapshot"]):
        raise Failed("the scenario's snapshot has another digest than run.json says")
    if scenario["name"] != scenario["snapshot"]["metadata"]["name"]:
        raise Failed("the scenario has another name than its snapshot")
    case.run = run
    return f"canonical, {document.SCHEMA}, run {run['run']}"


def statement_agrees(case: Case) -> str:
    """5: type and predicate are those that run.json leads to."""
    stated = case.statement()
    if (stated["_type"], stated["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise Failed("not a Statement v1 of a test-result v0.1")
    expected = predicate(case.run)
    if canonical(stated["predicate"]) != canonical(expected):
        raise Failed("its predicate is not the one that run.json leads to")
    return f"test-result {expected['result']}, as run.json leads to"


def timestamp(_case: Case) -> str:
    """11: a timestamp by an authority; this version's packs have none."""
    raise Undecided("none: only the signer says when it signed")


def log(_case: Case) -> str:
    """12: an entry in a transparency log; this version's packs have none."""
    raise Undecided("none: only the signer says that there is no other pack of this run")
