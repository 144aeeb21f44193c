"""A run as the cluster shows it -> has it ended, how, and with which exit status (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from sectum.cli.cluster_objects import Condition, Run
from sectum.finding import Outcome

FAILED, NOT_ACCEPTED = 1, 3
_EXIT = {Outcome.LEAK: 10, Outcome.INCONCLUSIVE: 11, Outcome.NOT_COVERED: 11}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended; `title` is a verdict or says that there is none."""

    exit_status: int
    title: str
    reason: str = ""
    message: str = ""


def ending(run: Run) -> Ending | None:
    """None while it goes on. Ordered rules, the first that fits; nothing but an undoubted Pass is status 0."""
    status = run.status
    accepted, complete = status.condition("Accepted"), status.condition("Complete")
    if accepted is not None and accepted.status == "False":
        return _without(NOT_ACCEPTED, "Not accepted", accepted)
    # The phase is for display; Failed alone still ends it, since waiting on would help nobody.
    if not status.holds("Complete") and status.phase != "Failed":
        return None
    if status.verdict is None or status.phase == "Failed":
        return _without(FAILED, "Failed", complete)
    if _doubtful(run):
        text = "its status contradicts itself: fetch the pack and verify it, which alone counts"
        return Ending(FAILED, "Failed", "StatusContradicts", text)
    reason, message = (complete.reason, complete.message) if complete else ("", "")
    if status.verdict is Outcome.PASS:
        return Ending(0, str(status.verdict), reason, message)
    return Ending(_EXIT[status.verdict], str(status.verdict), reason, message)


def _doubtful(run: Run) -> bool:
    """Does anything beside the verdict say otherwise?"""
    status = run.status
    complete = status.condition("Complete")
    if status.pack is None:
        return True
    if status.verdict is not Outcome.PASS:
        return False
    surfaces = {surface.verdict for surface in status.surfaces}
    unclear = complete is None or complete.reason != Outcome.PASS
    return unclear or bool(surfaces & {Outcome.LEAK, Outcome.INCONCLUSIVE}) or status.counts.leak > 0


def _without(exit_status: int, title: str, condition: Condition | None) -> Ending:
    if condition is None:
        return Ending(exit_status, title)
    return Ending(exit_status, title, condition.reason, condition.message)
