"""A series' records and packs, and what their verifier holds -> a numbered checklist that fails closed.

What a single pack's checklist cannot show: that no run was dropped, repeated until it passed, or left out. What each
line means: docs/series.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sectum.checks import chain, ledger, packed, slots
from sectum.checks.entries import Episode, stated
from sectum.checks.history import History, Told
from sectum.verify import WORDS, Mark, blocking


@dataclass(frozen=True, slots=True)
class _Check:
    id: str
    title: str
    run: Callable[[History], Told]
    open_is: str = "refused"
    """What – means for the whole: `refused`, `unanchored` (needs --allow-unanchored) or `fine`."""


_CHECKS = (
    _Check("records", "records", chain.records),
    _Check("numbers", "numbers", chain.numbers),
    _Check("pairs", "opened and closed", chain.pairs),
    _Check("packs", "packs", packed.packs, "unanchored"),
    _Check("leftovers", "no other pack", packed.leftovers),
    _Check("whole", "whole runs", packed.whole),
    _Check("slots", "schedule", slots.slots, "fine"),
    _Check("repeats", "no tick twice", slots.repeats),
    _Check("scenario", "scenario", ledger.scenario),
    _Check("alpha", "alpha", ledger.alpha),
    _Check("period", "period", ledger.period, "fine"),
    _Check("timestamps", "timestamps", ledger.timestamps, "fine"),
)
SCHEMA = "sectum.ai/series/v1"
_MEANING = {check.id: check.open_is for check in _CHECKS}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the checklist; `id` is stable across versions, `number` is its place."""

    number: int
    id: str
    title: str
    mark: Mark
    text: str
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number:2}. {self.title}: {self.mark} {self.text}"


@dataclass(frozen=True, slots=True)
class Chronicle:
    """All lines, and whether together they make the series verified."""

    history: History
    lines: tuple[Line, ...]
    allow_unanchored: bool

    @property
    def blocking(self) -> tuple[Line, ...]:
        """The lines that keep the series from being verified."""
        return blocking(self.lines, _MEANING, allow_unanchored=self.allow_unanchored)

    @property
    def verified(self) -> bool:
        """Does every line hold, but for those whose absence is allowed?"""
        return not self.blocking

    @property
    def summary(self) -> str:
        """The last line: `verified, unstamped`, or `NOT VERIFIED` and because of which lines."""
        if self.verified:
            return "verified, unstamped"
        names = ", ".join(f"{line.number} ({line.title})" for line in self.blocking)
        hint = "; --allow-unanchored accepts that" if Chronicle(self.history, self.lines, True).verified else ""
        return f"NOT VERIFIED: line{'s' if len(self.blocking) > 1 else ''} {names}{hint}"

    def as_json(self) -> dict[str, Any]:
        """For machines: the same as JSON types, with every run."""
        history = self.history
        return {
            "schema": SCHEMA,
            "verified": self.verified,
            "stamped": False,
            "allowUnanchored": self.allow_unanchored,
            "summary": self.summary,
            "series": history.folder,
            "since": stated(history.since) if history.since else None,
            "until": stated(history.until) if history.until else None,
            "steps": [
                {
                    **{name: getattr(line, name) for name in ("number", "id", "title")},
                    "mark": WORDS[line.mark],
                    "text": line.text,
                    "faults": list(line.faults),
                    "notes": list(line.notes),
                }
                for line in self.lines
            ],
            "runs": [_told(history, each) for each in history.runs],
        }


def _told(history: History, each: Episode) -> dict[str, Any]:
    pack, body = history.packs.get(each.run), each.opened.body
    return {
        "run": each.run,
        "open": each.opened.name,
        "close": each.closed.name if each.closed else None,
        "opened": body["at"],
        "closed": each.closed.body["at"] if each.closed else None,
        "outcome": each.outcome,
        "slot": body["occasion"]["slot"],
        "refused": body["occasion"]["refused"],
        "generation": body["occasion"]["generation"],
        "scenario": body["scenario"]["digest"],
        "subset": body["subset"],
        "pack": pack.digest if pack else None,
        "packVerified": pack is not None and not pack.fault,
        "cancelled": pack.cancelled if pack else None,
        "alpha": {**body["alpha"], "used": each.closed.body["alpha"]["spent"] if each.closed else None},
    }


def chronicle(history: History, *, allow_unanchored: bool = False) -> Chronicle:
    """Tick off every line; `allow_unanchored`: accept packs whose steps 3 and 6 only their own version can close."""
    lines = []
    for number, check in enumerate(_CHECKS, 1):
        told = _looked_at(check, history)
        mark = Mark.FAILED if told.faults else Mark.OPEN if told.is_open else Mark.DONE
        lines.append(Line(number, check.id, check.title, mark, _text(told), told.faults, told.notes))
    return Chronicle(history, tuple(lines), allow_unanchored)


def _looked_at(check: _Check, history: History) -> Told:
    try:
        return check.run(history)
    except Exception as error:  # noqa: BLE001  (a store is hostile: what no check foresaw is a ✗ and no traceback)
        return Told("", (f"cannot be checked ({type(error).__name__})",))


def _text(told: Told) -> str:
    if not told.faults:
        return told.text
    return told.faults[0] if len(told.faults) == 1 else f"{len(told.faults)} faults"
