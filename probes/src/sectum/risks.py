"""A scenario's accepted risks and a finding -> who answers for it, and does that still hold? Pure.

No outcome hangs on it: what is accepted is a leak all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sectum.actions import Principal
from sectum.finding import Finding

Risk = dict[str, Any]
"""`{number, expired}`: which of the scenario's `acceptedRisks`, from 0, and was its last day over?"""


def covers(party: Mapping[str, str] | None, who: Principal) -> bool:
    """Is the principal meant by a scenario's party? None means everybody."""
    return party is None or (party["tenant"] == who.tenant and party.get("user") in (None, who.user))


def risk_of(snapshot: Mapping[str, Any]) -> Callable[[Finding], Risk | None]:
    """The first of the scenario's accepted risks that a finding is one of, rather one that held when it was seen."""
    declared = snapshot["spec"].get("acceptedRisks", [])

    def told(finding: Finding) -> Risk | None:
        meant = [number for number, each in enumerate(declared) if _is_one(finding, each)]
        held = [number for number in meant if finding.at[:10] <= declared[number]["expires"]]
        return {"number": (held or meant)[0], "expired": not held} if meant else None

    return told


def _is_one(finding: Finding, risk: Mapping[str, Any]) -> bool:
    return (
        (finding.surface, finding.attack) == (risk["surface"], risk["attack"])
        and covers(risk.get("asker"), finding.asker)
        and covers(risk.get("owner"), finding.owner)
    )
