"""The bytes of run.json -> JSON known to have the shape of docs/pack-format.md, or a NotVerified that says where.

A pack comes from whoever hands it over: types, lengths, spellings and enumerations are checked before anything is done
with a value. What values mean together is for `checks`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.alias_generators import to_camel

from sectum.actions import AnswerKind
from sectum.codec import NotCanonical, parse
from sectum.errors import NotVerified
from sectum.fields import Name
from sectum.finding import Outcome
from sectum.markers import Kind
from sectum.plan import SkipReason
from sectum.ports import Arm
from sectum.reasons import Reason
from sectum.scenario import SurfaceKind

SCHEMA = "sectum.ai/run/v1"

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Slot = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Uid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Time = Annotated[str, Field(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}Z$")]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
Version = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+!_-]{0,63}$")]
MarkerId = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}/([a-z][a-z0-9-]{0,39}/[a-z][a-z0-9-]{0,39}|-/decoy)/[a-z]+/[0-9]{1,3}$")
]
Word = Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]
Line = Annotated[str, Field(min_length=1, max_length=2048)]
Count = Annotated[int, Field(ge=0, le=10**9)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", alias_generator=to_camel)


class _Who(_Part):
    tenant: Annotated[str, Field(pattern=r"^(-|[a-z][a-z0-9-]{0,39})$")]
    user: Name


class _Party(BaseModel):
    tenant: Name
    user: Name | None = None


class _Sharing(BaseModel):
    surface: Name
    owner: _Party
    with_: Annotated[_Party, Field(alias="with")]


class _Risk(BaseModel):
    surface: Name
    attack: Name
    asker: _Party | None = None
    owner: _Party | None = None
    accepted_by: Annotated[str, Field(alias="acceptedBy", min_length=1, max_length=200)]
    reason: Line
    expires: Annotated[str, Field(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$")]


class _Baseline(BaseModel):
    sha256: Hex


class _Named(BaseModel):
    name: Name


class _Tenant(_Named):
    users: Annotated[list[_Named], Field(min_length=1)]


class _Surface(_Named):
    kind: SurfaceKind


class _Spec(BaseModel):
    """Only what this version reads; the snapshot's digest covers all of it."""

    tenants: Annotated[list[_Tenant], Field(min_length=1)]
    surfaces: Annotated[list[_Surface], Field(min_length=1)]
    sharing: list[_Sharing] = []
    accepted_risks: Annotated[list[_Risk], Field(alias="acceptedRisks", max_length=64)] = []
    baseline: _Baseline | None = None


class _Snapshot(BaseModel):
    metadata: _Named
    spec: _Spec


class _Scenario(_Part):
    name: Name
    digest: Hex
    snapshot: _Snapshot


class _Open(_Part):
    sequence: Annotated[int, Field(ge=1, le=10**9)]
    digest: Hex


class _Manifest(_Part):
    root: Hex
    hash: Hex
    key: Word
    public_key: Key


class _Plan(_Part):
    root: Hex
    trials: Count
    skips: Hex


class _Decoy(_Part):
    id: MarkerId
    surface: Name
    owner: _Who
    kind: Kind
    commitment: Hex


class _Marker(_Decoy):
    planted: bool
    attributed: bool


class _Seen(_Part):
    marker: MarkerId
    bits: Annotated[int, Field(ge=0, le=4096)]
    form: Annotated[str, Field(pattern=r"^[!-~]{0,200}$")]
    split: bool


class _Arm(_Part):
    arm: Arm
    asker: _Who
    started: Time
    ended: Time
    answers: list[AnswerKind]
    seen: list[_Seen]
    sent: list[MarkerId]
    unknown: Count
    closed_world: bool
    identity: Literal["proven", "unproven"]


class _Planned(_Part):
    slot: Slot
    surface: Name
    attack: Name
    asker: _Who
    owner: _Who
    marker: MarkerId
    decoy: MarkerId
    kind: Kind
    phrasing: Word
    index: Count
    content_findings: bool
    baseline: bool
    control: AnswerKind | None
    attempt: Annotated[int, Field(ge=0, le=16)]
    fault: Reason | None
    arms: Annotated[list[_Arm], Field(max_length=5)]


class _Row(_Planned):
    outcome: Outcome
    reason: Reason | None


class _Skip(_Part):
    surface: Name
    attack: Name
    reason: SkipReason
    detail: Line
    requested: bool
    pairs: Count


class _SurfaceRow(_Part):
    name: Name
    kind: SurfaceKind
    adapter: Word
    fault: Reason | None
    requests: Count
    writes: Count
    tokens: Count
    planted: Count
    removed: Count
    not_removed: Count
    boundary: Literal["enforced", "open", "unproven"] | None
    residue: list[Line]


class _Cell(BaseModel):
    """What the Statement reads of it; like findings it is compared as a whole with what the rows lead to."""

    surface: Name
    attack: Name
    asker_kind: Annotated[Literal["other-tenant", "same-tenant", "any"], Field(alias="askerKind")]
    outcome: Outcome


class _Subset(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    surfaces: Annotated[list[Name], Field(min_length=1)] | None = None
    attacks: Annotated[list[Name], Field(min_length=1)] | None = None


class _Run(_Part):
    schema_: Annotated[Literal["sectum.ai/run/v1"], Field(alias="schema")]
    run: RunId
    origin: Literal["local", "cluster"]
    scenario: _Scenario
    subset: _Subset | None
    versions: dict[Name, Version]
    started: Time
    ended: Time
    cancelled: bool
    open: _Open
    manifest: _Manifest
    plan: _Plan
    markers: list[_Marker]
    decoys: list[_Decoy]
    rows: list[_Row]
    skips: list[_Skip]
    surfaces: list[_SurfaceRow]
    findings: list[dict[str, Any]]
    cells: list[_Cell]
    verdict: Literal["Leak", "Inconclusive", "Pass"]


class _OpenScenario(_Part):
    name: Name
    digest: Hex


Tick = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:00Z$")]


class _Refused(_Part):
    slot: Tick
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]{0,63}$")]


class _Occasion(_Part):
    uid: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")] | None
    generation: Annotated[int, Field(ge=0)] | None
    slot: Tick | None
    refused: Annotated[list[_Refused], Field(max_length=100)]


class _Alpha(_Part):
    spent: Annotated[float, Field(ge=0, le=1)]
    reserved: Annotated[float, Field(ge=0, le=1)]


class _OpenBody(_Part):
    schema_: Annotated[Literal["sectum.ai/open/v1"], Field(alias="schema")]
    run: RunId
    at: Time
    scenario: _OpenScenario
    occasion: _Occasion
    subset: _Subset | None
    plan: _Plan
    manifest: _Manifest
    alpha: _Alpha
    sequence: Annotated[int, Field(ge=1)]
    previous: Hex | None


class _CloseAlpha(_Part):
    spent: Annotated[float, Field(ge=0, le=1)]


class _CloseBody(_Part):
    schema_: Annotated[Literal["sectum.ai/close/v1"], Field(alias="schema")]
    run: RunId
    at: Time
    outcome: Literal["Leak", "Inconclusive", "Pass", "Abandoned"]
    pack: Hex | None
    alpha: _CloseAlpha
    sequence: Annotated[int, Field(ge=1)]
    previous: Hex


class _Boundary(_Part):
    allowed: bool
    metadata: bool
    api_server: bool | None = None


class _Measured(_Part):
    boundary: _Boundary | None


class _Spent(_Measured):
    requests: Count
    writes: Count


class _ResultBody(_Spent):
    rows: list[_Planned]
    fault: Reason | None
    tokens: Count


class _LeakBody(_Part):
    slot: Slot
    row: _Planned


class _After(_Part):
    baseline: Hex | None
    plant: Hex | None
    probe: Hex | None
    clean: Hex | None


class _Begun(_Measured):
    after: _After


class _StartBody(_Begun):
    trials: Count


class _PlantStartBody(_Begun):
    markers: Count


class _PlantResultBody(_Spent):
    planted: list[MarkerId]
    unattributed: list[MarkerId]
    faults: dict[MarkerId, Reason]
    fault: Reason | None
    tokens: Count


class _CleanStartBody(_Begun):
    documents: Count


class _CleanResultBody(_Spent):
    removed: Count
    not_removed: Count


class _RecordHead(_Part):
    run: RunId
    manifest: Hex
    stage: Literal["baseline", "plant", "probe", "clean"]
    surface: Name
    attempt: Annotated[int, Field(ge=1, le=16)]
    kind: Literal["start", "leak", "result"]
    number: Count
    previous: Hex | None
    pod: Uid | None
    image: Word | None


_BODIES: dict[tuple[str, str], type[_Part]] = {
    ("baseline", "start"): _StartBody,
    ("baseline", "leak"): _LeakBody,
    ("baseline", "result"): _ResultBody,
    ("plant", "start"): _PlantStartBody,
    ("plant", "result"): _PlantResultBody,
    ("probe", "start"): _StartBody,
    ("probe", "leak"): _LeakBody,
    ("probe", "result"): _ResultBody,
    ("clean", "start"): _CleanStartBody,
    ("clean", "result"): _CleanResultBody,
}
"""What a record's body is, by stage and kind; a leak is no kind of planting or cleaning."""

_RECORDS = {key: create_model("_Record", __base__=_RecordHead, body=(body, ...)) for key, body in _BODIES.items()}


def read_run(data: bytes) -> dict[str, Any]:
    """run.json as JSON types; raises NotVerified."""
    return _shaped(data, _Run, "run.json")


def read_open(data: bytes) -> dict[str, Any]:
    """An Open record's body; raises NotVerified."""
    return _shaped(data, _OpenBody, "the Open record")


def read_close(data: bytes) -> dict[str, Any]:
    """A Close record's body; raises NotVerified."""
    return _shaped(data, _CloseBody, "the Close record")


def read_record_payload(data: bytes) -> dict[str, Any]:
    """A stage record's payload with the body that its kind has; raises NotVerified."""
    value = _parsed(data, "the record")
    key = (str(value.get("stage")), str(value.get("kind"))) if isinstance(value, dict) else ("", "")
    _shape(data, _RECORDS.get(key, _RecordHead), "the record")  # a head alone forbids every body
    record: dict[str, Any] = value
    return record


def _shaped(data: bytes, model: type[BaseModel], what: str) -> dict[str, Any]:
    value: dict[str, Any] = _parsed(data, what)
    _shape(data, model, what)
    return value


def _parsed(data: bytes, what: str) -> Any:
    try:
        return parse(data)
    except NotCanonical:
        raise NotVerified(f"{what} is not canonical JSON (RFC 8785)") from None


def _shape(data: bytes, model: type[BaseModel], what: str) -> None:
    try:
        model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) if _printable(part) else "?" for part in first["loc"]) or "the whole"
        raise NotVerified(f"{what} is not of the known shape at {place} ({first['type']})") from None


def _printable(part: int | str) -> bool:
    """The pack's own spelling of a key may be anything: it is shown only where it is plain."""
    return isinstance(part, int) or bool(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", part))
