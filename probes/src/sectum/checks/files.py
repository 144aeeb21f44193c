"""A pack's members, the Statement's subjects and what run.json leads to -> are they the same? (step 3)"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from sectum import pack
from sectum.checks import derived, form
from sectum.checks.case import Case, Failed, Undecided
from sectum.codec import canonical
from sectum.errors import NotVerified
from sectum.reports import pdf

_RECORD = re.compile(
    r"(?:baseline|plant|probe|clean)-(?P<surface>.+)-\d{1,2}-\d{6}-(?:start|leak|result)-[0-9a-f]{16}\.json"
)

_RENDERERS: dict[str, tuple[Callable[[dict[str, Any]], bytes], tuple[str, ...]]] = {
    pack.README: (lambda run: pack.readme(run).encode(), ("sectum",)),
    pack.REPORT: (pdf.render, ("sectum", "reportlab")),
}
"""Member -> what makes it of run.json, and of what versions its bytes depend."""


def files(case: Case) -> str:
    """3: the files are the Statement's subjects, and those that run.json leads to; what is made of it is made again."""
    count = _as_signed(case)
    run = _sound(case)
    _as_named(case, run)
    return f"{count} files, each a subject of the Statement; {_made_again(case, run)}"


def _as_signed(case: Case) -> int:
    subject = case.statement()["subject"]
    actual = pack.subjects(case.members)
    if canonical(subject) == canonical(actual):
        return len(actual)
    if not isinstance(subject, list) or not all(isinstance(each, dict) for each in subject):
        raise Failed("the Statement's subjects cannot be read")
    stated = {each.get("name"): each for each in subject if isinstance(each.get("name"), str)}
    found = {each["name"]: each for each in actual}
    for name in sorted(found):
        if name not in stated:
            raise Failed(f"{name} is no subject of the Statement: it was added")
        if stated[name] != found[name]:
            raise Failed(f"{name} was changed: its SHA-256 is not the Statement's")
    missing = len(set(stated) - set(found))
    raise Failed(f"{missing} of the Statement's {len(subject)} subjects are missing" if missing else "not as stated")


def _sound(case: Case) -> dict[str, Any]:
    """run.json, if it holds in itself; nothing is made of what a stranger wrote, or of what steps 4 and 9 refuse."""
    if case.key is None or not case.bundle().signed_by(case.key):
        raise Undecided("not compared with what run.json leads to without step 2 (signature)")
    alone = replace(case)
    try:
        form.run_json(alone)
        derived.verdicts(alone)
    except (Failed, NotVerified):
        raise Undecided("not compared with what run.json leads to without steps 4 (run.json), 9 (verdicts)") from None
    return alone.run


def _made_again(case: Case, run: dict[str, Any]) -> str:
    made, others = [], []
    for name, (render, parts) in _RENDERERS.items():
        if name not in case.members:
            continue
        strange = [part for part in parts if run["versions"].get(part) != version(part)]
        if strange:
            others.append(f"{name} (made with another {' and '.join(strange)})")
        elif render(run) != case.members[name]:
            raise Failed(f"{name} is not the one that run.json leads to")
        else:
            made.append(name)
    if others:
        raise Undecided(f"not made again and compared: {', '.join(others)}; verify with the versions in run.json")
    return f"{' and '.join(made)} are what run.json leads to"


def _as_named(case: Case, run: dict[str, Any]) -> None:
    expected = {pack.RUN, pack.README, pack.BUNDLE}
    evidence = run["scenario"]["snapshot"]["spec"].get("evidence")
    if not isinstance(evidence, dict) or not isinstance(evidence.get("formats"), list):
        raise Failed("run.json's scenario does not say which reports there are")
    if "pdf" in evidence["formats"]:
        expected.add(pack.REPORT)
    surfaces = {each["name"] for each in run["surfaces"]}
    rest = {name for name in case.members if not _is_record(name, surfaces)}
    for name in sorted(rest - expected):
        raise Failed(f"{name} is nothing that run.json leads to: it does not belong in this pack")
    for name in sorted(expected - rest):
        raise Failed(f"{name} is missing: run.json leads to one")


def _is_record(name: str, surfaces: set[str]) -> bool:
    """Could it be a stage record of one of the surfaces? Whether it is one, and none is missing, is for step 8."""
    found = _RECORD.fullmatch(name.removeprefix(pack.RECORDS)) if name.startswith(pack.RECORDS) else None
    return found is not None and found["surface"] in surfaces
