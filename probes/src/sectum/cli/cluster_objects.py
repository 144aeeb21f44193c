"""The cluster's JSON -> frozen views of scenarios, runs and packs, read leniently: a newer operator may say more."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from sectum.cli.cluster_faults import ClusterFault
from sectum.cli.settings import printable
from sectum.errors import UsageError
from sectum.fields import NAME_PATTERN
from sectum.finding import Outcome

Said = Annotated[str, AfterValidator(printable)]
"""Whatever the cluster says, without what a terminal would obey."""
OBJECT_NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Metadata(_Shape):
    """What every object has; the name is safe as a file's."""

    name: str = Field(pattern=OBJECT_NAME)
    namespace: Said = Field(default="", max_length=63)
    uid: Said = ""
    creation_timestamp: datetime | None = None


class Condition(_Shape):
    """One thing that holds or not."""

    type: Said
    status: Said
    reason: Said = ""
    message: Said = ""


class Counts(_Shape):
    """How many trials ended how."""

    planned: int = 0
    leak: int = 0
    passed: int = Field(default=0, alias="pass")
    inconclusive: int = 0

    @property
    def ended(self) -> int:
        """Trials that have."""
        return self.leak + self.passed + self.inconclusive


class SurfaceResult(_Shape):
    """What a run saw on one surface."""

    name: Said
    verdict: Outcome | None = None
    reason: Said | None = None
    attempts: int = 0
    counts: Counts = Counts()


class PackRef(_Shape):
    """Where a run's evidence is."""

    name: str = Field(pattern=OBJECT_NAME)
    uri: Said | None = None
    sha256: Said | None = None


class _Status(_Shape):
    observed_generation: int | None = None
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type."""
        return next((each for each in self.conditions if each.type == kind), None)

    def holds(self, kind: str) -> bool:
        """Is there such a condition, and is it True?"""
        found = self.condition(kind)
        return found is not None and found.status == "True"


class RunStatus(_Status):
    """How far a run is."""

    phase: Said = "Pending"
    verdict: Outcome | None = None
    counts: Counts = Counts()
    surfaces: tuple[SurfaceResult, ...] = ()
    pack: PackRef | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class _Ref(_Shape):
    name: Said


class Subset(_Shape):
    """A part of the scenario."""

    surfaces: tuple[Said, ...] | None = None
    attacks: tuple[Said, ...] | None = None


class RunSpec(_Shape):
    """What is to be run."""

    scenario_ref: _Ref
    subset: Subset | None = None
    timeout: str = Field(default="6h", pattern=r"^[1-9][0-9]{0,4}[smh]$")


class Run(_Shape):
    """A VerificationRun."""

    metadata: Metadata
    spec: RunSpec
    status: RunStatus = RunStatus()


class _Digests(_Shape):
    pack: str = Field(pattern=r"^[0-9a-f]{64}$")
    run: str = Field(pattern=r"^[0-9a-f]{64}$")


class PackSpec(_Shape):
    """Where a pack is, of what, and what its bytes must be."""

    run_ref: _Ref
    scenario_ref: _Ref
    digests: _Digests
    uri: Said = Field(max_length=2048)


class PackStatus(_Status):
    """What the operator says of a pack."""

    verdict: Outcome | None = None


class Pack(_Shape):
    """An EvidencePack."""

    metadata: Metadata
    spec: PackSpec
    status: PackStatus = PackStatus()


class _Named(_Shape):
    name: Said


class ScenarioSpec(_Shape):
    """Of a scenario, what a run may be made of."""

    surfaces: tuple[_Named, ...] = ()


class _Side(_Shape):
    tenant: Said
    user: Said


class _Pair(_Shape):
    asker: _Side
    owner: _Side


class Cell(_Shape):
    """A surface × attack."""

    surface: Said
    attack: Said
    verdict: Outcome
    reason: Said | None = None
    worst: _Pair | None = None


class LastRun(_Shape):
    """The newest run that has ended."""

    name: Said
    verdict: Outcome | None = None
    finished_at: datetime | None = None
    pack: PackRef | None = None


class ScenarioStatus(_Status):
    """How a scenario stands."""

    last_run: LastRun | None = None
    score: int | None = None
    trend: Said | None = None
    cells: tuple[Cell, ...] = ()


class Scenario(_Shape):
    """An IsolationScenario."""

    metadata: Metadata
    spec: ScenarioSpec = ScenarioSpec()
    status: ScenarioStatus = ScenarioStatus()


View = TypeVar("View", Run, Pack, Scenario)


def viewed(model: type[View], document: Any) -> View:
    """One object; raises ClusterFault, without a word of it."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier())
        raise ClusterFault(
            f"the cluster's {model.__name__} is not of a shape that this version knows, at {field}; "
            "compare `sectum version` with the operator's"
        ) from None


def newest(model: type[View], listed: Any) -> list[View]:
    """The items of a list, the youngest first."""
    items = [viewed(model, item) for item in listed.get("items", [])]
    # Stable on names, so that two of the same second keep their places from call to call.
    items.sort(key=lambda each: each.metadata.name)
    items.sort(key=lambda each: _born(each.metadata), reverse=True)
    return items


def _born(metadata: Metadata) -> float:
    return metadata.creation_timestamp.timestamp() if metadata.creation_timestamp else 0.0


def named(name: str, what: str) -> str:
    """A name that an object of that kind may have, so that it is no option of kubectl's; raises UsageError."""
    pattern = NAME_PATTERN if what == "scenario" else OBJECT_NAME
    if not re.fullmatch(pattern, name):
        raise UsageError(f"{name!r} is no name of a {what}; lower-case letters, digits and dashes make one")
    return name


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago, as kubectl writes it: 45s, 12m, 5h, 3d."""
    if moment is None:
        return "–"
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit, most in ((1, "s", 120), (60, "m", 180), (3600, "h", 48)):
        if seconds < size * most:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"
