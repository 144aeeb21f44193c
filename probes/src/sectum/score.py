"""run.json -> a number from 0 to 100 that nothing unknown, undecided or lost ever raises. Pure; anyone can derive it.

docs/verdicts.md says what it is good for. It is derived wherever it is shown, and stands in no run.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sectum.finding import Outcome

WEIGHTS = {"other-tenant": 3, "same-tenant": 1}
"""What a surface × attack is worth, by kind of asker."""
WHOLE = sum(WEIGHTS.values())
_WORTH = {Outcome.PASS: 1, Outcome.INCONCLUSIVE: 0, Outcome.NOT_COVERED: 0, Outcome.LEAK: -2}
"""Times the weight. What is not among the cells is worth as much as what is not covered."""


def score(run: Mapping[str, Any]) -> int:
    """Of all its surfaces × attacks, whether or not they were asked for, planned or tried."""
    attacks = {each["attack"] for each in (*run["rows"], *run["skips"])}
    surfaces = run["scenario"]["snapshot"]["spec"]["surfaces"]
    return score_of(run["cells"], squares=len(surfaces) * len(attacks))


def score_of(cells: Iterable[Mapping[str, Any]], *, squares: int) -> int:
    """Of that many surfaces × attacks; rounded down, so that 100 is all of them."""
    points = sum(_WORTH[Outcome(each["outcome"])] * WEIGHTS.get(each["askerKind"], 0) for each in cells)
    return max(0, 100 * points // (WHOLE * squares)) if squares else 0
