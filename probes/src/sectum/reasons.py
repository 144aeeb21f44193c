"""Why something is Inconclusive -> the closed list of reasons that rows, tables and conditions use."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a trial is Inconclusive; each is explained in docs/verdicts.md."""

    IDENTITY_UNPROVEN = "IdentityUnproven"  # whoami did not name the asker before and after
    ECHO = "Echo"  # the asker had sent a form of what came back
    DECOY_SEEN = "DecoySeen"  # something that was never planted was "found"
    NOT_EMPTY = "NotEmpty"  # the place held unknown items before planting, or documents of an earlier planting
    PLANT_FAILED = "PlantFailed"  # the surface did not accept the document
    NO_LOCATION = "LocationMissing"  # the surface accepted it; its answer has no location where the scenario says
    READ_BACK_FAILED = "ReadBackFailed"  # the surface accepted the document and did not give it back
    UNREACHABLE = "Unreachable"
    DENIED = "Denied"  # the surface refuses the principal's credential
    BUDGET = "Budget"
    DEADLINE = "Deadline"
    SURFACE_SUFFERS = "SurfaceSuffers"
    CANCELLED = "Cancelled"
    PROBE_CRASHED = "ProbeCrashed"
    NOT_RUN = "NotRun"
    UNFINISHED = "Unfinished"  # the stage's process was lost: killed, out of memory, never started
    RECORDS_BROKEN = "RecordsBroken"  # records of the surface are missing, doubled or not the run's own
    ANSWER_FAULT = "AnswerFault"  # an answer that says nothing: timeout, 5xx, 429, malformed, redirect
    CONTROL_FAILED = "PositiveControlFailed"  # the owner did not see his own marker before and after
    FOREIGN_UNKNOWN = "ForeignUnknown"  # items that this run did not plant and the scenario does not name


CUT_OFF = frozenset({Reason.CANCELLED, Reason.UNFINISHED})
"""Faults of a stage's result after which the stage may be tried again."""
