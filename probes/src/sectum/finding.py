"""Rows of a run -> outcomes of trials and Findings: who saw what of whom. Pure; needs nothing but run.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sectum.actions import FAULTS, Principal
from sectum.plan import DECOY, Shared, asker_kind
from sectum.ports import Arm, arms_of
from sectum.reasons import Reason

Row = Mapping[str, Any]
"""One planned trial with what its arms saw; docs/pack-format.md gives its fields."""


class Outcome(StrEnum):
    """What a trial, a cell or a run comes to; the order between them is Leak > Inconclusive > Pass."""

    LEAK = "Leak"
    INCONCLUSIVE = "Inconclusive"
    PASS = "Pass"  # noqa: S105  (no password)
    NOT_COVERED = "NotCovered"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A marker in an answer to a principal, in one arm of one trial."""

    row: Row
    arm: Mapping[str, Any]
    asker: Principal
    owner: Principal
    marker: str

    @property
    def of_own_pair(self) -> bool:
        """Is it what this trial looks for: something of its owner's, seen by its asker?"""
        return (self.asker, self.owner) == (principal(self.row["asker"]), principal(self.row["owner"]))


@dataclass(frozen=True, slots=True)
class Finding:
    """A confirmed leak: `asker` saw `owner`'s marker."""

    surface: str
    attack: str
    asker: Principal
    owner: Principal
    marker: str
    kind: str
    phrasing: str
    arm: str
    form: str
    bits: int
    slot: str
    at: str

    def row(self) -> dict[str, Any]:
        """As run.json has it."""
        return {**asdict(self), "askerKind": asker_kind(self.asker, self.owner)}

    @property
    def group(self) -> tuple[str, str, str]:
        """Surface, attack and kind of asker."""
        return self.surface, self.attack, asker_kind(self.asker, self.owner)


def principal(value: Mapping[str, str]) -> Principal:
    """A principal out of its JSON."""
    return Principal(value["tenant"], value["user"])


NOBODY = Principal("-", "nobody")
"""Owner of markers whose planter's identity was not proven before and after planting."""

Owners = Mapping[str, Principal]
"""Marker id -> owner, decoys included (their owner is DECOY)."""


def owners(run: Mapping[str, Any]) -> Owners:
    """Every marker and decoy of a run with its owner."""
    decoys = {each["id"]: principal(each["owner"]) for each in run["decoys"]}
    markers = {each["id"]: principal(each["owner"]) if each["attributed"] else NOBODY for each in run["markers"]}
    return {**markers, **decoys}


def foreign_sightings(row: Row, owner_of: Owners, shared: Shared) -> Iterator[Sighting]:
    """Planted markers seen by a principal that they do not belong to, identity proven and no form of them sent."""
    if not row["contentFindings"]:
        return
    for arm in row["arms"]:
        asker = principal(arm["asker"])
        for seen in arm["seen"]:
            owner = owner_of[seen["marker"]]
            if owner in (asker, DECOY, NOBODY) or shared(row["surface"], asker, owner):
                continue
            if arm["identity"] == "proven" and seen["marker"] not in arm["sent"]:
                yield Sighting(row, arm, asker, owner, seen["marker"])


def void(row: Row, owner_of: Owners) -> Reason | None:
    """Why nothing that this trial saw can be relied on, a sighting neither; None if it can."""
    if any(arm["identity"] != "proven" for arm in row["arms"]):
        return Reason.IDENTITY_UNPROVEN
    if any(seen["marker"] in arm["sent"] for arm in row["arms"] for seen in arm["seen"]):
        return Reason.ECHO
    if any(owner_of[seen["marker"]] == DECOY for arm in row["arms"] for seen in arm["seen"]):
        return Reason.DECOY_SEEN
    if any(owner_of[seen["marker"]] == NOBODY for arm in row["arms"] for seen in arm["seen"]):
        return Reason.IDENTITY_UNPROVEN
    if any(arm["seen"] for arm in row["arms"] if arm["arm"] == Arm.BASELINE):
        return Reason.DECOY_SEEN  # nothing was planted yet
    return None


def judge(row: Row, owner_of: Owners, shared: Shared) -> tuple[Outcome, str | None]:
    """A trial's outcome and, if Inconclusive, its reason; ordered rules, first match wins."""
    arms = row["arms"]
    names = [arm["arm"] for arm in arms]
    if (reason := void(row, owner_of)) is not None:
        return Outcome.INCONCLUSIVE, row["fault"] or reason
    # A sighting stands, whatever else failed: controls earn a Pass, they are not needed for a Leak.
    if any(sighting.of_own_pair for sighting in foreign_sightings(row, owner_of, shared)):
        return Outcome.LEAK, None
    if row["fault"]:
        return Outcome.INCONCLUSIVE, row["fault"]
    if names != [str(arm) for arm in arms_of(baseline=row["baseline"])]:
        return Outcome.INCONCLUSIVE, Reason.NOT_RUN
    if any(answer in FAULTS for arm in arms for answer in arm["answers"]) or not all(arm["answers"] for arm in arms):
        return Outcome.INCONCLUSIVE, Reason.ANSWER_FAULT
    if any(arm["unknown"] for arm in arms):
        return Outcome.INCONCLUSIVE, Reason.FOREIGN_UNKNOWN
    for arm in arms:
        if Arm(arm["arm"]).by_owner and row["marker"] not in [seen["marker"] for seen in arm["seen"]]:
            return Outcome.INCONCLUSIVE, Reason.CONTROL_FAILED
    if row["control"] and row["control"] not in arms[-1]["answers"]:
        return Outcome.INCONCLUSIVE, Reason.CONTROL_FAILED
    return Outcome.PASS, None


def findings(run: Mapping[str, Any], shared: Shared) -> list[Finding]:
    """Every confirmed leak of a run, the first sighting of each (surface, attack, asker, owner, marker), in row order.

    A marker of a third party that turns up in a trial counts too, for the pair to which it really belongs.
    """
    owner_of = owners(run)
    found: dict[tuple[str, str, Principal, Principal, str], Finding] = {}
    for row in run["rows"]:
        if void(row, owner_of) is not None:
            continue
        for sighting in foreign_sightings(row, owner_of, shared):
            key = (row["surface"], row["attack"], sighting.asker, sighting.owner, sighting.marker)
            found.setdefault(key, _finding(sighting))
    return list(found.values())


def _finding(sighting: Sighting) -> Finding:
    row, arm = sighting.row, sighting.arm
    seen = next(each for each in arm["seen"] if each["marker"] == sighting.marker)
    return Finding(
        surface=row["surface"],
        attack=row["attack"],
        asker=sighting.asker,
        owner=sighting.owner,
        marker=sighting.marker,
        kind=sighting.marker.split("/")[3],
        phrasing=row["phrasing"],
        arm=arm["arm"],
        form=seen["form"],
        bits=seen["bits"],
        slot=row["slot"],
        at=arm["ended"],
    )


def existence_shows(row: Row) -> bool:
    """Did the foreign arm get another kind of answer than the decoy arm, though neither saw a thing? (an oracle)

    Told only of trials that were played to their end, and of answers that say something.
    """
    if row["fault"]:
        return False
    answers = {
        arm["arm"]: arm["answers"] for arm in row["arms"] if not arm["seen"] and FAULTS.isdisjoint(arm["answers"])
    }
    foreign, decoy = answers.get(str(Arm.FOREIGN)), answers.get(str(Arm.DECOY))
    return bool(foreign) and bool(decoy) and foreign != decoy
