"""A run's matrix in letters and its scenario -> the cells of the scenario's status. Pure, for display only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sectum.coverage import LETTERS, NOT_ASKED
from sectum.finding import Outcome
from sectum.scenario import Scenario
from sectum.wording import ATTACKS, ORDER

from sectum_operator.statuses import Cell, Matrix, Side, WorstPair

_OUTCOMES = {letter: outcome for outcome, letter in LETTERS.items()}
_DECIDED = (Outcome.LEAK, Outcome.PASS)
Place = tuple[str, str]


def renewed(cells: Iterable[Cell], matrix: Matrix | None, scenario: Scenario, *, at: datetime) -> tuple[Cell, ...]:
    """The cells after one more run, that ended `at`; of what it was not for, and without a pack, what was said before.

    A cell keeps the time at which it was last decided, as Leak or Pass, when a later run does not decide it.
    """
    before = {(each.surface, each.attack): each for each in cells}
    places = [(surface.name, attack) for surface in scenario.spec.surfaces for attack in ATTACKS.values()]
    letters = matrix.letters.replace("/", "") if matrix else ""
    if matrix is None or len(letters) != len(places):
        return tuple(before.values())
    told = _told(matrix, scenario)
    made = []
    for number, (place, letter) in enumerate(zip(places, letters, strict=True)):
        if outcome := _OUTCOMES.get(letter):
            reason, worst = told.get(number, (None, None))
            old = before.get(place)
            since = at if outcome in _DECIDED else old.verified_at if old else None
            cell = Cell(
                surface=place[0], attack=place[1], verdict=outcome, reason=reason, worst=worst, verified_at=since
            )
            made.append(cell)
        elif letter != NOT_ASKED and place in before:
            made.append(before[place])
    return tuple(made)


def of_surface(matrix: Matrix, scenario: Scenario, name: str) -> tuple[Outcome | None, str | None]:
    """The worst of a surface's outcomes and, if it is not decided, the first reason; None where it has no cell."""
    names = [each.name for each in scenario.spec.surfaces]
    rows = matrix.letters.split("/")
    if len(rows) != len(names):
        return None, None
    begin, row = names.index(name) * len(ATTACKS), rows[names.index(name)]
    worst = min((_OUTCOMES[each] for each in row if each in _OUTCOMES), key=ORDER.index, default=None)
    told = _told(matrix, scenario)
    mine = (begin + number for number, each in enumerate(row) if _OUTCOMES.get(each) == worst)
    return worst, next((told[each][0] for each in mine if each in told and told[each][0]), None)


def _told(matrix: Matrix, scenario: Scenario) -> dict[int, tuple[str | None, WorstPair | None]]:
    """Reason and pair by square."""
    everybody = [Side(tenant=each.tenant, user=each.user) for each in scenario.principals]
    told = {}
    for square in matrix.worst:
        number, asker, owner, reason = square.split(".")
        sides = [int(each) for each in (asker, owner) if each]
        known = len(sides) == 2 and max(sides) < len(everybody)
        pair = WorstPair(asker=everybody[sides[0]], owner=everybody[sides[1]]) if known else None
        told[int(number)] = (reason or None, pair)
    return told
