"""A pack and what its verifier holds -> a numbered checklist, offline, that fails closed.

Nothing that the pack says about itself is trusted: the signer's key, the Open record and the sealed manifest come from
the verifier. Steps and their order are normative: docs/pack-format.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sectum.checks import derived, files, form, planned, recorded
from sectum.checks.case import Case, Failed, Undecided
from sectum.errors import NotVerified
from sectum.ports import KeyWrapper
from sectum.sign import public_key


class Mark(StrEnum):
    """What a step came to."""

    DONE = "✓"
    FAILED = "✗"
    OPEN = "–"


WORDS = {Mark.DONE: "done", Mark.FAILED: "failed", Mark.OPEN: "open"}
"""Marks as JSON says them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the checklist; `id` is stable across versions, `number` is its place."""

    number: int
    id: str
    title: str
    mark: Mark
    text: str

    def __str__(self) -> str:
        return f"{self.number:2}. {self.title}: {self.mark} {self.text}"


@dataclass(frozen=True, slots=True)
class _Check:
    id: str
    title: str
    run: Callable[[Case], str]
    needs: tuple[str, ...] = ()
    """Steps without whose ✓ this one cannot be looked at."""
    open_is: str = "refused"
    """What – means for the whole: `refused`, `unanchored` (needs --allow-unanchored) or `fine`."""


_CHECKS = (
    _Check("container", "container", form.container),
    _Check("signature", "signature", form.signature, ("container",)),
    _Check("files", "files", files.files, ("container",), "unanchored"),
    _Check("run", "run.json", form.run_json, ("container",)),
    _Check("statement", "statement", form.statement_agrees, ("run",)),
    _Check("plan", "plan", planned.plan, ("run",), "unanchored"),
    _Check("planned-trials", "planned trials", planned.planned_trials, ("run",), "unanchored"),
    _Check("records", "stage records", recorded.stage_records, ("run",), "unanchored"),
    _Check("verdicts", "verdicts", derived.verdicts, ("run",)),
    _Check("manifest", "manifest", planned.manifest, ("run",), "fine"),
    _Check("timestamp", "timestamp", form.timestamp, (), "unanchored"),
    _Check("log", "transparency log", form.log, (), "unanchored"),
)


class _Marked(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def mark(self) -> Mark: ...


_Line = TypeVar("_Line", bound=_Marked)


def blocking(lines: Iterable[_Line], meaning: Mapping[str, str], *, allow_unanchored: bool) -> tuple[_Line, ...]:
    """Those of a checklist that keep the whole from being verified; `meaning`: id -> what – means for the whole."""
    tolerated = {"fine", "unanchored"} if allow_unanchored else {"fine"}
    return tuple(
        line
        for line in lines
        if line.mark != Mark.DONE and not (line.mark == Mark.OPEN and meaning[line.id] in tolerated)
    )


@dataclass(frozen=True, slots=True)
class Checklist:
    """All steps, and whether together they make the pack verified."""

    steps: tuple[Step, ...]
    allow_unanchored: bool
    run: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """run.json where it holds in itself (steps 1, 4 and 9), whoever it is from; else empty."""

    @property
    def verdict(self) -> str:
        """The run's, where it was derived again."""
        return str(self.run.get("verdict", ""))

    @property
    def blocking(self) -> tuple[Step, ...]:
        """The steps that keep the pack from being verified."""
        meaning = {check.id: check.open_is for check in _CHECKS}
        return blocking(self.steps, meaning, allow_unanchored=self.allow_unanchored)

    @property
    def verified(self) -> bool:
        """Does every step stand, but for those whose absence is allowed?"""
        return not self.blocking

    @property
    def summary(self) -> str:
        """The last line: `verified`, `verified, unanchored` or `NOT VERIFIED` and because of which steps."""
        if self.verified:
            optional = {check.id for check in _CHECKS if check.open_is == "fine"}
            whole = all(step.mark == Mark.DONE for step in self.steps if step.id not in optional)
            return "verified" if whole else "verified, unanchored"
        steps = ", ".join(f"{step.number} ({step.title})" for step in self.blocking)
        only_open = all(step.mark == Mark.OPEN for step in self.blocking)
        unanchored = Checklist(self.steps, allow_unanchored=True).verified
        hint = "; --allow-unanchored accepts that" if only_open and unanchored else ""
        return f"NOT VERIFIED: step{'s' if len(self.blocking) > 1 else ''} {steps}{hint}"

    def __str__(self) -> str:
        return "\n".join([*map(str, self.steps), self.summary])

    def as_json(self) -> dict[str, object]:
        """For machines: the same as JSON types."""
        return {
            "verified": self.verified,
            "allowUnanchored": self.allow_unanchored,
            "summary": self.summary,
            "steps": [
                {"number": each.number, "id": each.id, "title": each.title, "mark": WORDS[each.mark], "text": each.text}
                for each in self.steps
            ],
        }


def verify(
    pack: Path | bytes,
    *,
    key: bytes | None,
    open_record: bytes | None = None,
    manifest: tuple[bytes, KeyWrapper] | None = None,
    allow_unanchored: bool = False,
) -> Checklist:
    """Tick off every step.

    Args:
        pack: path of the zip or the folder, or the zip's bytes.
        key: the signer's P-256 public key in PEM, from the verifier; without it nothing is verified.
        open_record: the run's Open record as it was stored.
        manifest: the sealed manifest as it was stored, and the key that opens it.
        allow_unanchored: let steps be open that only an anchor could tick off.

    Raises UsageError when `key` is no P-256 public key; whatever is wrong with the pack is a ✗ in the list.
    """
    case = Case(pack, public_key(key) if key is not None else None, open_record, manifest)
    done: dict[str, Step] = {}
    for number, check in enumerate(_CHECKS, 1):
        mark, text = _outcome(check, case, done)
        done[check.id] = Step(number, check.id, check.title, mark, text)
    run = case.run if done["verdicts"].mark == Mark.DONE else {}
    return Checklist(tuple(done.values()), allow_unanchored, run)


def _outcome(check: _Check, case: Case, done: dict[str, Step]) -> tuple[Mark, str]:
    for need in check.needs:
        if done[need].mark != Mark.DONE:
            return Mark.OPEN, f"cannot be looked at without step {done[need].number} ({done[need].title})"
    try:
        return Mark.DONE, check.run(case)
    except Undecided as reason:
        return Mark.OPEN, str(reason)
    except (Failed, NotVerified) as reason:
        return Mark.FAILED, str(reason)
    except Exception as error:  # noqa: BLE001  (a pack is hostile: what no check foresaw is a ✗ and no traceback)
        return Mark.FAILED, f"cannot be checked ({type(error).__name__})"
