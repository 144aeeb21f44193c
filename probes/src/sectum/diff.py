"""Two run.json -> what changed between them, slot by slot. Pure; docs/diff.md gives the rules and the shape.

A slot is the same trial in both runs only if all that was planned of it is the same. A leak is fixed only where the
same trial was played again and passed: what was not tried again, or not decided, is never an improvement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sectum.actions import Principal
from sectum.finding import Outcome, Row, foreign_sightings, judge, owners, principal, void
from sectum.plan import SkipReason, asker_kind
from sectum.score import score
from sectum.verdict import sharing_of

SCHEMA = "sectum.ai/diff/v1"
NOT_PLANNED = "NotPlanned"
"""Reason and state of a trial that the other run has and this one has not."""

Run = Mapping[str, Any]
Pair = tuple[Principal, Principal]
"""Asker, owner."""
Key = tuple[Any, ...]


class Change(StrEnum):
    """What became of a trial; in the order in which one wants to know it."""

    NOT_TRIED_AGAIN = "leakNotTriedAgain"
    NEW = "new"
    PERSISTING = "persisting"
    LOST = "lostCoverage"
    FIXED = "fixed"
    GAINED = "gainedCoverage"
    UNDECIDED = "undecided"
    UNCHANGED = "unchanged"


WORSE = (Change.NOT_TRIED_AGAIN, Change.NEW, Change.LOST)
SHOWN = tuple(change for change in Change if change not in (Change.UNDECIDED, Change.UNCHANGED))
"""Those of which groups are told; of the others only counts."""


@dataclass(frozen=True, slots=True)
class _Told:
    """One trial of one run: what it came to, and who is shown to have seen whose."""

    slot: str
    group: tuple[str, str]
    pair: Pair
    state: str
    reason: str | None
    leaks: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class _Changed:
    change: Change
    before: _Told | None
    after: _Told | None
    reason: str | None = None

    @property
    def told(self) -> _Told:
        """The side that shows it: of a leak the one that has it."""
        sides = [each for each in (self.after, self.before) if each is not None]
        return next((each for each in sides if each.state == Outcome.LEAK), sides[0])


def compare(before: Run, after: Run) -> dict[str, Any]:
    """`{schema, before, after, worse, counts, groups, scenario}`; both must hold in themselves (step 9 of `verify`)."""
    olds, news = _told(before), _told(after)
    shared = sharing_of(after["scenario"]["snapshot"])
    left_out = _left_out(after)
    changes = [
        _changed(olds.get(key), news.get(key), shared=shared, left_out=left_out) for key in {**olds, **news}
    ]  # in the order of the older run, then of the newer
    counts = Counter(each.change for each in changes)
    return {
        "schema": SCHEMA,
        "before": _named(before),
        "after": _named(after),
        "worse": any(counts[change] for change in WORSE),
        "counts": {str(change): counts[change] for change in Change},
        "groups": list(_groups(changes)),
        "scenario": {
            **_scenarios(before, after),
            "onlyBefore": len(olds.keys() - news.keys()),
            "onlyAfter": len(news.keys() - olds.keys()),
        },
    }


def _named(run: Run) -> dict[str, Any]:
    scenario = {name: run["scenario"][name] for name in ("name", "digest")}
    told = {name: run[name] for name in ("run", "started", "ended", "verdict", "subset")}
    return {**told, "score": score(run), "scenario": scenario}


def _told(run: Run) -> dict[Key, _Told]:
    """Every planned trial by all that makes it the same one: the slot, and what it does not cover."""
    owner_of, shared = owners(run), sharing_of(run["scenario"]["snapshot"])
    found = {}
    for row in run["rows"]:
        outcome, reason = judge(row, owner_of, shared)
        leaks = _leaks(row, owner_of, shared)
        key = (row["slot"], row["contentFindings"], row["baseline"], row["control"])
        found[key] = _Told(
            slot=row["slot"],
            group=(row["surface"], row["attack"]),
            pair=(principal(row["asker"]), principal(row["owner"])),
            # A third party's marker is a leak too, though it is not the one that this trial looks for.
            state=str(Outcome.LEAK if leaks else outcome),
            reason=None if leaks or reason is None else str(reason),
            leaks=leaks,
        )
    return found


def _leaks(row: Row, owner_of: Any, shared: Any) -> tuple[Pair, ...]:
    if void(row, owner_of) is not None:
        return ()
    return tuple(dict.fromkeys((each.asker, each.owner) for each in foreign_sightings(row, owner_of, shared)))


def _left_out(run: Run) -> Mapping[tuple[str, str], str]:
    """Why a surface × attack was not tried, where the plan gives a reason that is about all of it."""
    of_some = (SkipReason.NO_OTHER_TENANT, SkipReason.NO_OTHER_USER, SkipReason.DECLARED_SHARING)
    return {(skip["surface"], skip["attack"]): skip["reason"] for skip in run["skips"] if skip["reason"] not in of_some}


def _changed(before: _Told | None, after: _Told | None, *, shared: Any, left_out: Mapping[Any, str]) -> _Changed:
    """Ordered rules, first match wins."""
    was = before.state if before else NOT_PLANNED
    now = after.state if after else NOT_PLANNED
    if now == Outcome.LEAK:
        return _Changed(Change.PERSISTING if was == Outcome.LEAK else Change.NEW, before, after)
    if before and was == Outcome.LEAK:
        declared = any(shared(before.group[0], asker, owner) for asker, owner in before.leaks)
        if now == Outcome.PASS and not declared:
            return _Changed(Change.FIXED, before, after)
        return _Changed(Change.NOT_TRIED_AGAIN, before, after, _why(before, after, shared, left_out))
    if was == now:
        return _Changed(Change.UNCHANGED if now == Outcome.PASS else Change.UNDECIDED, before, after)
    if before and was == Outcome.PASS:
        return _Changed(Change.LOST, before, after, _why(before, after, shared, left_out))
    return _Changed(Change.GAINED if now == Outcome.PASS else Change.UNDECIDED, before, after)


def _why(before: _Told, after: _Told | None, shared: Any, left_out: Mapping[Any, str]) -> str:
    """Why a trial that told something tells nothing now."""
    surface = before.group[0]
    if any(shared(surface, asker, owner) for asker, owner in (*before.leaks, before.pair)):
        return SkipReason.DECLARED_SHARING
    if after is not None:
        return after.reason or NOT_PLANNED
    return left_out.get(before.group, NOT_PLANNED)


def _groups(changes: Sequence[_Changed]) -> Iterator[dict[str, Any]]:
    """One for each change × surface × attack, the most pressing change first."""
    for change in SHOWN:
        members: dict[tuple[str, str], list[_Changed]] = {}
        for each in changes:
            if each.change == change:
                members.setdefault(each.told.group, []).append(each)
        for (surface, attack), found in members.items():
            yield {
                "change": str(change),
                "surface": surface,
                "attack": attack,
                "trials": len(found),
                "pairs": len({pair for each in found for pair in _pairs(each)}),
                "worst": _worst(found),
                "before": _states(each.before for each in found),
                "after": _states(each.after for each in found),
                "reasons": sorted({each.reason for each in found if each.reason}),
                "slots": [each.told.slot for each in found],
            }


def _pairs(each: _Changed) -> tuple[Pair, ...]:
    return each.told.leaks or (each.told.pair,)


def _worst(found: Sequence[_Changed]) -> dict[str, Any]:
    """The pair between tenants, if there is one, that most of the trials are about; then the first."""
    counts = Counter(pair for each in found for pair in _pairs(each))
    asker, owner = min(counts, key=lambda pair: (asker_kind(*pair) != "other-tenant", -counts[pair]))
    return {"asker": asdict(asker), "owner": asdict(owner), "askerKind": asker_kind(asker, owner)}


def _states(sides: Iterator[_Told | None]) -> dict[str, int]:
    counts = Counter(each.state if each else NOT_PLANNED for each in sides)
    return {
        state: counts[state] for state in (*map(str, (Outcome.LEAK, Outcome.PASS, Outcome.INCONCLUSIVE)), NOT_PLANNED)
    }


def _scenarios(before: Run, after: Run) -> dict[str, Any]:
    """Which parts of the scenario differ, by name; what was planned, not what was meant."""
    old, new = (run["scenario"]["snapshot"]["spec"] for run in (before, after))
    rest = (old.keys() | new.keys()) - {"tenants", "surfaces"}
    tried = [{(row["surface"], row["attack"]): None for row in run["rows"]} for run in (before, after)]
    return {
        "changed": before["scenario"]["digest"] != after["scenario"]["digest"],
        "tenants": _parts(old["tenants"], new["tenants"]),
        "surfaces": _parts(old["surfaces"], new["surfaces"]),
        "attacks": {
            "removed": [{"surface": each[0], "attack": each[1]} for each in tried[0] if each not in tried[1]],
            "added": [{"surface": each[0], "attack": each[1]} for each in tried[1] if each not in tried[0]],
        },
        "other": sorted(name for name in rest if old.get(name) != new.get(name)),
    }


def _parts(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    was, now = ({each["name"]: each for each in parts} for parts in (old, new))
    return {
        "removed": [name for name in was if name not in now],
        "added": [name for name in now if name not in was],
        "changed": [name for name in was if name in now and was[name] != now[name]],
    }
