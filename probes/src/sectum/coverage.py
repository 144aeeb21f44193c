"""run.json -> the coverage matrix: of each surface × attack the outcome, why, the worst pair, counts and when. Pure.

For display, bounded: as a list of cells, or short enough for a termination message (`brief`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sectum.actions import Principal
from sectum.finding import Outcome, principal
from sectum.plan import SkipReason, asker_kind
from sectum.wording import ATTACKS, ORDER

MOST = 286
"""26 surfaces × 11 attack classes: what a scenario can have."""
LETTERS = {Outcome.LEAK: "L", Outcome.INCONCLUSIVE: "I", Outcome.PASS: "P", Outcome.NOT_COVERED: "N"}
NOT_NOW, NOT_ASKED = "-", "x"
"""Not in this run's subset; not asked for by the scenario, or nothing that it could be asked of."""

Run = Mapping[str, Any]
Cell = dict[str, Any]


def coverage(run: Run) -> list[Cell]:
    """`{surface, attack, outcome, reason, worst, trials, leak, pass, inconclusive, at}` of each square that has a cell.

    In the order of the scenario's surfaces and of the attack classes; of more than MOST the worst. `worst` is the pair
    with that outcome, `{asker, owner}`, between tenants if there is one, then the first in the scenario's order; None
    where everything passed or nothing was tried. `at` is when it was last decided as Leak or Pass, else None.
    """
    squares: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for cell in run["cells"]:
        squares.setdefault((cell["surface"], cell["attack"]), []).append(cell)
    surfaces = [each["name"] for each in run["scenario"]["snapshot"]["spec"]["surfaces"]]
    order = {name: number for number, name in ATTACKS.items()}
    made = [_square(run, *place, cells) for place, cells in squares.items()]
    kept = sorted(made, key=lambda each: ORDER.index(each["outcome"]))[:MOST]
    return sorted(kept, key=lambda each: (surfaces.index(each["surface"]), order.get(each["attack"], 99)))


def _square(run: Run, surface: str, attack: str, cells: list[Mapping[str, Any]]) -> Cell:
    outcome = min((Outcome(each["outcome"]) for each in cells), key=ORDER.index)
    rows = [row for row in run["rows"] if (row["surface"], row["attack"]) == (surface, attack)]
    counts = Counter(row["outcome"] for row in rows)
    decided = [row for row in rows if row["outcome"] != Outcome.INCONCLUSIVE]
    reasons = [reason for each in cells if each["outcome"] == outcome for reason in each["reasons"]]
    return {
        "surface": surface,
        "attack": attack,
        "outcome": outcome,
        "reason": reasons[0] if reasons and outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_COVERED) else None,
        "worst": _worst(run, surface, attack, outcome),
        "trials": len(rows),
        "leak": counts[Outcome.LEAK],
        "pass": counts[Outcome.PASS],
        "inconclusive": counts[Outcome.INCONCLUSIVE],
        "at": max((arm["ended"] for row in decided for arm in row["arms"]), default=None),
    }


def _worst(run: Run, surface: str, attack: str, outcome: Outcome) -> dict[str, Any] | None:
    if outcome == Outcome.PASS:
        return None
    # A finding names whose the marker really was, also where the trial looked for somebody else's.
    told = run["findings"] if outcome == Outcome.LEAK else run["rows"]
    mine = [each for each in told if (each["surface"], each["attack"]) == (surface, attack)]
    if outcome != Outcome.LEAK:
        mine = [row for row in mine if row["outcome"] == outcome]
    everybody = principals(run["scenario"]["snapshot"])

    def rank(each: Mapping[str, Any]) -> tuple[bool, int, int]:
        asker, owner = principal(each["asker"]), principal(each["owner"])
        return asker_kind(asker, owner) != "other-tenant", everybody.index(asker), everybody.index(owner)

    first = min(mine, key=rank, default=None)
    return {side: dict(first[side]) for side in ("asker", "owner")} if first else None


def principals(snapshot: Mapping[str, Any]) -> list[Principal]:
    """Every user of every tenant of a scenario's snapshot, in its order."""
    return [Principal(each["name"], user["name"]) for each in snapshot["spec"]["tenants"] for user in each["users"]]


def brief(run: Run) -> dict[str, Any]:
    """`{matrix, worst}` for a termination message.

    `matrix` has a letter for each of the eleven attack classes, surfaces in the scenario's order divided by `/`.
    `worst` has, the worst squares first, `square.asker.owner.reason`: numbers from 0, the square's and those of the
    principals in the scenario's order, and why it is not decided; what does not apply is empty.
    """
    told = {(each["surface"], each["attack"]): each for each in coverage(run)}
    left_out = {
        (skip["surface"], skip["attack"]) for skip in run["skips"] if skip["reason"] == SkipReason.NOT_IN_SUBSET
    }
    surfaces = [each["name"] for each in run["scenario"]["snapshot"]["spec"]["surfaces"]]
    places = [(surface, attack) for surface in surfaces for attack in ATTACKS.values()]
    letters = [
        LETTERS[told[place]["outcome"]] if place in told else NOT_NOW if place in left_out else NOT_ASKED
        for place in places
    ]
    wide = len(ATTACKS)
    bad = [number for number, place in enumerate(places) if place in told and told[place]["outcome"] != Outcome.PASS]
    bad.sort(key=lambda number: ORDER.index(told[places[number]]["outcome"]))
    everybody = principals(run["scenario"]["snapshot"])
    return {
        "matrix": "/".join("".join(letters[begin : begin + wide]) for begin in range(0, len(letters), wide)),
        "worst": [".".join(_token(number, told[places[number]], everybody)) for number in bad],
    }


def _token(number: int, cell: Cell, everybody: list[Principal]) -> Iterator[str]:
    yield str(number)
    for side in ("asker", "owner"):
        yield str(everybody.index(principal(cell["worst"][side]))) if cell["worst"] else ""
    yield cell["reason"] or ""
