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


def score(run: Mapping[str, Any]) -> int:
    """Of all its surfaces × attacks, whether or not they were asked for, planned or tried."""
    attacks = {each["attack"] for each in (*run["rows"], *run["skips"])}
    surfaces = run["scenario"]["snapshot"]["spec"]["surfaces"]
    return score_of(run["cells"], squares=len(surfaces) * len(attacks))


def score_of(cells: Iterable[Mapping[str, Any]], *, squares: int) -> int:
    """Of that many surfaces × attacks; rounded down, so that 100 is all of them.

    A leak counts as nothing, and not as less: else a leak that is not tried again would raise it.
    """
    passed = [each for each in cells if each["outcome"] == Outcome.PASS]
    return 100 * sum(WEIGHTS[each["askerKind"]] for each in passed) // (WHOLE * squares) if squares else 0
