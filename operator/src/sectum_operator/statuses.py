"""The statuses of the custom resources: what the operator says of a scenario, a run and a pack. For display only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, JsonValue, ValidationError
from sectum.fields import Name
from sectum.finding import Outcome

from sectum_operator.crd import as_map
from sectum_operator.resources import Digest, Generation, ObjectName, Shape, Tick, Uid, Uri

CamelCase = Annotated[str, Field(max_length=64, pattern=r"^[A-Z][A-Za-z0-9]*$")]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
Square = Annotated[
    str, Field(max_length=80, pattern=r"^[0-9]{1,3}\.[0-9]{0,3}\.[0-9]{0,3}\.([A-Z][A-Za-z0-9]{0,63})?$")
]
Score = Annotated[int, Field(ge=0, le=100)]
Verdict = Literal[Outcome.LEAK, Outcome.INCONCLUSIVE, Outcome.PASS]


class Condition(Shape):
    """One thing about the object that holds or not, as Kubernetes' metav1.Condition."""

    type: CamelCase
    """What is said."""
    status: Literal["True", "False", "Unknown"]
    """Does it hold?"""
    observed_generation: Generation | None = None
    """Generation of the object that was looked at."""
    last_transition_time: datetime
    """When `status` last changed."""
    reason: CamelCase
    """Why, for programs."""
    message: Annotated[str, Field(max_length=2048)] = ""
    """Why, for people."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=as_map("type"))]


class Status(Shape):
    """What every status has."""

    observed_generation: Generation | None = None
    """Generation of the object that this status is about."""
    conditions: Conditions = ()
    """What holds and what does not."""


class Phase(StrEnum):
    """How far a run is; for display, nothing is decided by it."""

    PENDING = "Pending"
    PREPARING = "Preparing"
    OPENING = "Opening"
    BASELINE = "Baseline"
    PLANTING = "Planting"
    PROBING = "Probing"
    CLEANING = "Cleaning"
    ASSEMBLING = "Assembling"
    COMPLETE = "Complete"
    FAILED = "Failed"


class Counts(Shape):
    """How many trials ended how."""

    planned: Count = 0
    """Trials that the plan has."""
    leak: Count = 0
    """A planted marker was seen by somebody whom it does not belong to."""
    passed: Annotated[Count, Field(alias="pass")] = 0
    """Seen by the owner before and after, and by nobody else."""
    inconclusive: Count = 0
    """Anything else."""


class SurfaceResult(Shape):
    """What a run saw on one surface."""

    name: Name
    """Name of the surface in the scenario."""
    verdict: Outcome | None = None
    """The worst of its attacks; absent while it runs."""
    reason: CamelCase | None = None
    """Why it is Inconclusive."""
    attempts: Annotated[int, Field(ge=0, le=16)] = 0
    """Attempts at planting and probing, the current one included."""
    counts: Counts | None = None
    """How its trials ended."""


class ResolvedScenario(Shape):
    """The scenario as the run found it."""

    uid: Uid
    """UID of the scenario."""
    generation: Generation
    """Its generation."""
    sha256: Digest
    """Digest of the snapshot in RFC 8785 form."""
    snapshot: Annotated[dict[str, JsonValue], Field(max_length=16)]
    """The scenario with its defaults filled in; later changes of the scenario do not reach the run."""


class StoredPack(Shape):
    """Where the evidence is."""

    name: ObjectName
    """Name of the EvidencePack."""
    uri: Uri | None = None
    """Where its zip is stored."""
    sha256: Digest | None = None
    """Digest of the zip."""


class RefusedSlot(Shape):
    """A tick of the schedule that came to nothing."""

    slot: Tick
    """Which."""
    reason: CamelCase
    """Why its run was not accepted, or ended."""


class Matrix(Shape):
    """The coverage matrix in short, as docs/stages.md spells it; the scenario's status writes it out."""

    letters: Annotated[str, Field(max_length=311, pattern=r"^[LIPNx-]{11}(/[LIPNx-]{11}){0,25}$")]
    """One for each surface and attack class."""
    worst: Annotated[tuple[Square, ...], Field(max_length=64)] = ()
    """Square, asker, owner and reason of those that did not pass, as many as were told."""


class RunStatus(Status):
    """What became of the run: for display. Evidence is the signed pack alone."""

    phase: Phase | None = None
    """How far it is."""
    verdict: Verdict | None = None
    """What the pack says; absent until it is stored."""
    scenario: ResolvedScenario | None = None
    """The scenario that it verifies."""
    refused: Annotated[tuple[RefusedSlot, ...], Field(max_length=100)] = ()
    """Ticks whose runs were not accepted, or ended before they were opened; the run's Open record names them."""
    started_at: datetime | None = None
    """When it was accepted."""
    finished_at: datetime | None = None
    """When its last stage ended."""
    counts: Counts | None = None
    """How its trials ended."""
    surfaces: Annotated[tuple[SurfaceResult, ...], Field(max_length=26)] = ()
    """What was seen on each surface."""
    score: Score | None = None
    """Of the surfaces × attacks, as docs/verdicts.md weighs them; what the pack leads to."""
    matrix: Matrix | None = None
    """What the pack says of each surface × attack."""
    pack: StoredPack | None = None
    """Its evidence."""


class Side(Shape):
    """A user of a tenant."""

    tenant: Name
    """Name of the tenant."""
    user: Name
    """Name of the user."""


class WorstPair(Shape):
    """The pair of principals with the worst outcome."""

    asker: Side
    """Who asked."""
    owner: Side
    """Whose data was asked for."""


class Cell(Shape):
    """One surface × attack."""

    surface: Name
    """Name of the surface."""
    attack: Name
    """The attack class."""
    verdict: Outcome
    """The worst outcome of the last run that tried it."""
    reason: CamelCase | None = None
    """Why it is Inconclusive or NotCovered."""
    worst: WorstPair | None = None
    """The pair with that outcome, between tenants if there is one, then the first in the scenario's order."""
    verified_at: datetime | None = None
    """When it was last decided, as Leak or Pass."""


class LastRun(Shape):
    """The newest run that has ended."""

    name: ObjectName
    """Name of the VerificationRun."""
    verdict: Verdict | None = None
    """What its pack says; absent where there is none."""
    finished_at: datetime | None = None
    """When its last stage ended."""
    pack: StoredPack | None = None
    """Its evidence."""
    scope: Digest | None = None
    """Digest of what it verified: the scenario's spec without schedule, limits and accepted risks."""


class ScenarioStatus(Status):
    """How the scenario stands: for display. Evidence is in the signed packs alone."""

    last_run: LastRun | None = None
    """The newest run that has ended."""
    last_whole_run: LastRun | None = None
    """The newest one of all of the scenario, no subset: what the condition Passing is about."""
    last_leak: LastRun | None = None
    """The newest one that leaked, of all of the scenario or of a part."""
    score: Score | None = None
    """That of the last run of the whole scenario, weighed as docs/verdicts.md says; absent where it left no pack."""
    trend: Literal["Better", "Same", "Worse"] | None = None
    """The score against that of the run of the whole scenario before."""
    cells: Annotated[tuple[Cell, ...], Field(max_length=286, json_schema_extra=as_map("surface", "attack"))] = ()
    """Surfaces × attacks, each with its worst pair."""


class PackStatus(Status):
    """What is known of the pack: for display. Whoever relies on it verifies the pack itself."""

    verdict: Verdict | None = None
    """What the pack says."""
    retain_until: datetime | None = None
    """Until when the store keeps it from being deleted."""


AnyStatus = TypeVar("AnyStatus", bound=Status)


def salvaged(kind: type[AnyStatus], status: Mapping[str, Any]) -> AnyStatus:
    """What this version can read of a status that another wrote: fields and conditions that it cannot are left out."""

    def known(key: str, value: object) -> bool:
        try:
            kind.model_validate({key: value})
        except ValidationError:
            return False
        return True

    conditions = [each for each in status.get("conditions") or () if known("conditions", [each])]
    return kind.model_validate(
        {key: value for key, value in status.items() if known(key, value)} | {"conditions": conditions}
    )
