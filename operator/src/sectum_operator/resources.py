"""The specs of the custom resources, as far as `sectum.scenario` does not have them.

Read leniently, since stored objects outlive the models; the API server is strict for us, by the schema out of `crd`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from sectum.fields import Name

from sectum_operator.crd import as_set

ObjectName = Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""A DNS subdomain."""
Uid = Annotated[str, Field(max_length=36, pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Digest = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
Uri = Annotated[str, Field(max_length=2048, pattern=r"^[a-z][a-z0-9+.-]*://")]
Generation = Annotated[int, Field(ge=0)]
_TICK = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:00Z$"
Tick = Annotated[str, Field(max_length=20, pattern=_TICK)]
"""A tick of a schedule: UTC, to the minute."""


class Shape(BaseModel):
    """Frozen, camelCase in YAML; what a newer version wrote is passed over."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )


class ScenarioRef(Shape):
    """An IsolationScenario of the same namespace."""

    name: Name
    """Its name."""


class Subset(Shape):
    """A part of the scenario; what it leaves out is neither planted nor tried, and the pack says so."""

    surfaces: Annotated[tuple[Name, ...], Field(min_length=1, max_length=26, json_schema_extra=as_set())] | None = None
    """Names of the surfaces to verify; left out: all."""
    attacks: Annotated[tuple[Name, ...], Field(min_length=1, max_length=11, json_schema_extra=as_set())] | None = None
    """Attack classes to try; left out: all that the scenario asks for."""


class RunSpec(Shape):
    """One verification of a scenario. Only `cancel` and `suspend` may change."""

    scenario_ref: ScenarioRef
    """The scenario to verify, as it is when the run is accepted."""
    subset: Subset | None = None
    """A part of it; left out: all."""
    timeout: Annotated[str, Field(max_length=6, pattern=r"^[1-9][0-9]{0,4}(s|m|h)$")] = "6h"
    """Time from being accepted to the end of probing, for example 90m; from one minute to three days."""
    cancel: bool = False
    """Stop probing, clean up and write what was seen. Cannot be taken back."""
    suspend: bool = False
    """Do not start, or start no further stage, until it is false again."""
    slot: Tick | None = None
    """The tick of the scenario's schedule that it is made for, in UTC; left out: somebody asked for it."""


class RunRef(Shape):
    """A VerificationRun of the same namespace, this one and no later one of its name."""

    name: ObjectName
    """Its name."""
    uid: Uid
    """Its UID, which the pack names too."""


class PackScenario(Shape):
    """The scenario that was verified, at that generation."""

    name: Name
    """Its name."""
    uid: Uid
    """Its UID."""
    generation: Generation
    """Its generation at the time."""


class Digests(Shape):
    """SHA-256 of what was stored, in lower-case hex."""

    pack: Digest
    """Of the zip."""
    run: Digest
    """Of run.json in it."""


class PackSpec(Shape):
    """A stored evidence pack. Nothing of it may change."""

    run_ref: RunRef
    """The run that it is the evidence of."""
    scenario_ref: PackScenario
    """The scenario that was verified."""
    digests: Digests
    """What must be found at `uri`."""
    uri: Uri
    """Where the zip is stored."""
