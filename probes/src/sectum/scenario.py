"""An IsolationScenario's YAML -> a frozen Scenario, or a ScenarioError that names the field and the fix.

These models are the one source of the resource's schema: the local run, the cluster's CRD and the docs read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from sectum import catalog, cron
from sectum.actions import Impact, Principal
from sectum.codec import canonical
from sectum.errors import ScenarioError
from sectum.fields import NAME_PATTERN, Destinations, Name, SecretRef, Strict, Text
from sectum.ports import AdapterSpec, KeySpec, SignerSpec, StoreSpec


class SurfaceKind(StrEnum):
    """The thirteen surfaces of product.md."""

    API = "api"
    VECTOR_DB = "vector-db"
    RAG_PIPELINE = "rag-pipeline"
    PROMPT_LOGS = "prompt-logs"
    SEMANTIC_CACHE = "semantic-cache"
    KV_CACHE = "kv-cache"
    AGENT_MEMORY = "agent-memory"
    MCP = "mcp"
    MODEL_ADAPTER = "model-adapter"
    EVAL_SET = "eval-set"
    BACKUP = "backup"
    SEARCH_INDEX = "search-index"
    TRACING = "tracing"


class User(Strict):
    """A synthetic user of a synthetic tenant."""

    name: Name
    """Name of the user, as credentials and templates use it."""


class Tenant(Strict):
    """A synthetic tenant; it must exist in the system under test and be empty there."""

    name: Name
    """Name of the tenant."""
    users: Annotated[tuple[User, ...], Field(min_length=1, max_length=8)]
    """Its users; two or more let isolation between users of one tenant be tested."""


class Budget(Strict):
    """What planting and probing may cost one surface; when it is spent, what is left is Inconclusive: Budget.

    Cleaning up has as much again, so that a spent budget leaves no documents behind; and the few checks of identity
    that end a run are made although the budget is spent.
    """

    requests: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    """Requests, retries included; cleaning up has as many again."""
    writes: Annotated[int, Field(ge=0, le=100_000)] = 500
    """Writes; the deletes of cleaning up have as many again."""
    tokens: Annotated[int, Field(ge=0, le=100_000_000)] = 200_000
    """Tokens of questions and answers in free text, counted as four characters each."""
    minutes: Annotated[float, Field(gt=0, le=1440)] = 15
    """Minutes from the surface's first request of a stage to its last."""
    in_flight: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests under way at once."""


class Credentials(Strict):
    """Where each principal's credential for a surface is."""

    secret_ref: SecretRef
    """Secret named sectum-surface-<surface>-…; {tenant} and {user} in its key stand for the principal's."""


AdapterUnion = catalog.one_of("AdapterUnion", "How a surface is reached; exactly one.", dict(catalog.adapters()))
KeyUnion = catalog.one_of("KeyUnion", "The key that wraps the manifest's; exactly one.", dict(catalog.key_backends()))
SignerUnion = catalog.one_of("SignerUnion", "The key that signs the evidence.", dict(catalog.signer_backends()))
StoreUnion = catalog.one_of("StoreUnion", "An object store; exactly one.", dict(catalog.store_backends()))


class Surface(Strict):
    """One surface of the system under test."""

    name: Name
    """Name of the surface in this scenario."""
    kind: SurfaceKind
    """Which of the thirteen it is."""
    credentials: Credentials
    """How its principals prove who they are."""
    adapter: AdapterUnion  # type: ignore[valid-type]
    """How it is reached."""
    attacks: Annotated[tuple[Name, ...], Field(min_length=1, max_length=11)] | None = None
    """Attack classes to try; left out: all that its verbs and `allowImpact` make possible."""
    budget: Budget = Budget()
    """Caps on what planting and probing may cost it; cleaning up has as much again."""
    leftovers: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    """Locations of known items that every principal may find there; anything else makes the place NotEmpty."""
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 5
    """Seconds that the surface takes to work on what was written (consolidation of memories, indexing): what attacks
    that look at once and later wait in between."""
    egress: Destinations = ()
    """Where the surface is reached from a cluster's pods; needed there, and all that they reach."""
    residue: Annotated[tuple[Text, ...], Field(max_length=16)] = ()
    """What a run leaves behind and nobody can remove: logs, backups. Declared by plan, listed in the pack."""

    @property
    def spec(self) -> AdapterSpec:
        """The chosen adapter's data."""
        spec: AdapterSpec = self.adapter.chosen  # type: ignore[attr-defined]
        return spec

    @property
    def adapter_name(self) -> str:
        """The chosen adapter's name."""
        name: str = self.adapter.chosen_name  # type: ignore[attr-defined]
        return name


class Party(Strict):
    """A tenant, or one user of it."""

    tenant: Name
    """Name of the tenant."""
    user: Name | None = None
    """Name of the user; left out: every user of the tenant."""

    def covers(self, principal: Principal) -> bool:
        """Is this principal meant?"""
        return self.tenant == principal.tenant and self.user in (None, principal.user)


class Sharing(Strict):
    """A declared sharing: what is seen through it is no leak, and it is not tried."""

    surface: Name
    """Surface on which it is shared."""
    owner: Party
    """Whose data is shared."""
    with_: Annotated[Party, Field(alias="with")]
    """Who may see it."""
    items: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    """Locations of existing items that `with` may find there."""
    reason: Text
    """Why; shown in the pack."""


class Exclusion(Strict):
    """A surface × attack that is deliberately not tried."""

    surface: Name
    """The surface."""
    attack: Name
    """The attack class."""
    reason: Text
    """Why; shown in the pack."""


class AcceptedRisk(Strict):
    """Findings that somebody answers for, for a while. They are shown as accepted, and stay what they are: leaks."""

    surface: Name
    """The surface."""
    attack: Name
    """The attack class."""
    asker: Party | None = None
    """Who saw it; left out: anybody."""
    owner: Party | None = None
    """Whose it is; left out: anybody's."""
    accepted_by: Annotated[str, Field(min_length=1, max_length=200)]
    """The person or team that answers for it; shown in the pack."""
    reason: Text
    """Why; shown in the pack."""
    expires: Annotated[
        str, Field(max_length=10, pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$", json_schema_extra={"format": "date"})
    ]
    """The last day (UTC) on which it is accepted, as 2027-01-31."""

    @field_validator("expires", mode="before")
    @classmethod
    def _a_day(cls, value: Any) -> Any:
        """YAML takes a day without quotes for a date."""
        if isinstance(value, str):
            try:
                date.fromisoformat(value)
            except ValueError:
                raise ValueError("must be a day that there is, such as 2027-01-31") from None
        return value.isoformat() if type(value) is date else value


class Baseline(Strict):
    """The earlier pack that later ones are to be compared with: named before a run, it cannot be picked afterwards."""

    sha256: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    """Digest of its zip, in lower-case hex."""


class Trials(Strict):
    """How many trials a surface × attack gets."""

    markers_per_user: Annotated[int, Field(ge=3, le=512)] = 3
    """Markers planted for each user on each surface; HARD, ENTITY and SECRET in turn."""
    per_pair: Annotated[int, Field(ge=1, le=512)] = 1
    """Trials for each asker, owner and phrasing, each with another marker of the owner's."""

    @model_validator(mode="after")
    def _enough_markers(self) -> Trials:
        if self.per_pair > self.markers_per_user:
            raise ValueError("perPair must not exceed markersPerUser: each trial of a pair needs a marker of its own")
        return self


class Manifest(Strict):
    """The manifest of markers at rest."""

    key: KeyUnion  # type: ignore[valid-type]
    """The key that wraps its data key."""

    @property
    def spec(self) -> KeySpec:
        """The chosen key's data."""
        spec: KeySpec = self.key.chosen  # type: ignore[attr-defined]
        return spec


class Evidence(Strict):
    """What becomes of what a run saw."""

    signer: SignerUnion  # type: ignore[valid-type]
    """The key that signs packs and Open records."""
    store: StoreUnion | None = None  # type: ignore[valid-type]
    """Where a cluster's runs put packs, Open and Close records and sealed manifests; needed there. Locally: --out."""
    records: StoreUnion | None = None  # type: ignore[valid-type]
    """Where their stages' records go, which a lifecycle may empty after a run; needed in a cluster. Locally: --out."""
    formats: Annotated[tuple[Literal["pdf"], ...], Field(max_length=1)] = ("pdf",)
    """Reports made from run.json."""

    @property
    def spec(self) -> SignerSpec:
        """The chosen signer's data."""
        spec: SignerSpec = self.signer.chosen  # type: ignore[attr-defined]
        return spec

    @property
    def store_spec(self) -> StoreSpec | None:
        """The chosen store's data."""
        return self.store.chosen if self.store else None

    @property
    def records_spec(self) -> StoreSpec | None:
        """The chosen record store's data."""
        return self.records.chosen if self.records else None


class Spec(Strict):
    """What is to be verified, as whom, how, and what becomes of the result."""

    mode: Literal["byoc"] = "byoc"
    """Where the runner is: with the customer. Hosted runs are not there yet."""
    tenants: Annotated[tuple[Tenant, ...], Field(min_length=1, max_length=16)]
    """Synthetic tenants and their users."""
    surfaces: Annotated[tuple[Surface, ...], Field(min_length=1, max_length=26)]
    """Surfaces of the system under test."""
    allow_impact: Annotated[tuple[Impact, ...], Field(max_length=4)] = (Impact.READ, Impact.WRITE_OWN)
    """What attacks may do; visible-to-others and load need to be named here."""
    sharing: Annotated[tuple[Sharing, ...], Field(max_length=64)] = ()
    """What tenants share on purpose."""
    exclusions: Annotated[tuple[Exclusion, ...], Field(max_length=64)] = ()
    """What is deliberately not tried."""
    accepted_risks: Annotated[tuple[AcceptedRisk, ...], Field(max_length=64)] = ()
    """Leaks that somebody answers for, until a day; the verdict stays Leak."""
    baseline: Baseline | None = None
    """The pack that `sectum diff` is to compare this scenario's packs with."""
    trials: Trials = Trials()
    """How many trials there are."""
    manifest: Manifest
    """The manifest's key."""
    evidence: Evidence
    """Signer and formats."""
    schedule: Annotated[str, Field(max_length=100, pattern=cron.PATTERN)] | None = None
    """When a cluster verifies it by itself: five fields such as '0 3 1 * *', or a macro such as @monthly."""
    time_zone: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$")] = "Etc/UTC"
    """Time zone of the schedule, as in Europe/Berlin."""
    suspend: bool = False
    """Let the schedule rest. Ticks that pass meanwhile are not made up for, and show as gaps of the series."""
    starting_deadline_seconds: Annotated[int, Field(ge=10, le=604_800)] = 3600
    """How late a tick may still start a run, after the cluster was away."""
    concurrency_policy: Literal["Forbid", "Replace"] = "Forbid"
    """A tick while a run is under way: Forbid refuses it, as the next Open record says; Replace stops that run."""
    successful_runs_history_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How many scheduled runs that passed are kept as objects; packs stay in the store."""
    failed_runs_history_limit: Annotated[int, Field(ge=0, le=100)] = 5
    """How many other scheduled runs, refused ones included, are kept as objects; packs stay in the store."""

    @field_validator("schedule")
    @classmethod
    def _has_ticks(cls, expression: str | None) -> str | None:
        if expression is not None:
            cron.check(expression)
        return expression

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        cron.zone(name)
        return name

    @field_validator("mode", mode="before")
    @classmethod
    def _not_hosted(cls, mode: Any) -> Any:
        if mode == "hosted":
            raise ValueError("hosted runs are not there yet; leave it out: every run is the customer's own (byoc)")
        return mode


class Metadata(Strict):
    """Name of the scenario."""

    name: Name
    """Name of the resource."""
    namespace: Name | None = None
    """Namespace in the cluster; the local run ignores it."""


class Scenario(Strict):
    """An IsolationScenario."""

    api_version: Literal["sectum.ai/v1alpha1"]
    """Always sectum.ai/v1alpha1."""
    kind: Literal["IsolationScenario"]
    """Always IsolationScenario."""
    metadata: Metadata
    """Name of the scenario."""
    spec: Spec
    """What is to be verified."""

    @property
    def principals(self) -> tuple[Principal, ...]:
        """Every user of every tenant, in the scenario's order."""
        return tuple(Principal(tenant.name, user.name) for tenant in self.spec.tenants for user in tenant.users)

    def surface(self, name: str) -> Surface:
        """The surface of that name; KeyError if there is none."""
        return {surface.name: surface for surface in self.spec.surfaces}[name]

    def snapshot(self) -> dict[str, Any]:
        """The resolved scenario as JSON types, defaults filled in: what a run is bound to."""
        snapshot: dict[str, Any] = _told(self, self.model_dump(mode="json", by_alias=True))
        return snapshot


def _told(value: Any, dumped: Any) -> Any:
    """What was dumped, less the nulls that mean "left out": a null in place of another default is said."""
    if isinstance(value, BaseModel):
        told = {}
        for name, field in type(value).model_fields.items():
            inner, key = getattr(value, name), field.alias or name
            if inner is not None or field.default is not None:
                told[key] = _told(inner, dumped[key])
        return told
    if isinstance(value, tuple | list):
        return [_told(*each) for each in zip(value, dumped, strict=True)]
    return dumped


MAX_CHARACTERS = 512 * 1024
MAX_NODES = 100_000
"""Values in a scenario once its aliases are written out."""
MAX_DEPTH = 40


class _Loader(yaml.SafeLoader):
    """Refuses early what would be slow or mean something else elsewhere: deep nesting, merges, a key twice."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """See yaml.composer.Composer."""
        if self._depth >= MAX_DEPTH:
            raise ScenarioError("the file", f"is nested more than {MAX_DEPTH} deep")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """See yaml.constructor.SafeConstructor; merges multiply (each may merge the one before it many times)."""
        names = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise ScenarioError(self._line(key.start_mark), "has a merge key ('<<')", "write it out")
            name = key.value if isinstance(key, yaml.ScalarNode) else key
            if name in names:
                raise ScenarioError(self._line(key.start_mark), "has a key that was there before", "remove one of them")
            names.add(name)

    @staticmethod
    def _line(mark: yaml.Mark) -> str:
        return f"line {mark.line + 1}, column {mark.column + 1}"


def load(text: str) -> Scenario:
    """Parse YAML (one document); raises ScenarioError."""
    if len(text) > MAX_CHARACTERS:
        raise ScenarioError("the file", f"has more than {MAX_CHARACTERS} characters", "is it a scenario?")
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise ScenarioError(place, "not YAML", "check the indentation and the quotes there") from None
    except (ValueError, RecursionError):  # a date that is none, a nesting without end
        raise ScenarioError("the file", "cannot be read as YAML", "check its dates and its nesting") from None
    if not isinstance(document, dict):
        raise ScenarioError("the file", "holds no resource", "see examples/quickstart/scenario.yaml for one")
    return parse(document)


def parse(document: Any) -> Scenario:
    """A scenario out of JSON types; raises ScenarioError."""
    _bound(document)
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as error:
        raise _explained(error) from None
    for problem in _faults(scenario):
        raise problem
    try:
        canonical(scenario.snapshot())
    except ValueError:  # of a number beyond 2^53, say: what cannot be written canonically cannot be signed
        fix = "write it as a text; whole numbers must be below 2^53"
        raise ScenarioError("spec", "holds a number that JSON does not carry safely", fix) from None
    return scenario


def _bound(document: Any) -> None:
    """Refuse what grows without measure once its aliases are written out, or what contains itself."""
    stack, nodes = [(document, 0)], 0
    while stack:
        value, depth = stack.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ScenarioError("the file", "is too large or too deep once its aliases are written out")
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        stack += [(part, depth + 1) for part in parts]


def _explained(error: ValidationError) -> ScenarioError:
    """Pydantic's first complaint, as a field path with a fix; the value itself is not repeated."""
    complaints = error.errors(include_url=False, include_input=False)
    # A misspelt key is reported as one missing and one unknown: the unknown one can say what was meant.
    first = next((each for each in complaints if each["type"] == "extra_forbidden"), complaints[0])
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    if first["type"] == "extra_forbidden":
        known = _siblings(first["loc"])
        close = get_close_matches(str(first["loc"][-1]), known, n=1)
        fix = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        return ScenarioError(path, "unknown key", fix)
    if first["type"] == "missing":
        return ScenarioError(path, "is missing", "add it")
    if first["type"] == "string_pattern_mismatch" and first["ctx"]["pattern"] == NAME_PATTERN:
        said = "must be lower-case letters, digits and hyphens, beginning with a letter, at most 40"
        return ScenarioError(path, said, "no hyphen at the end; for example 'my-name-1'")
    if first["type"] == "enum":
        return _no_such(path, error)
    return ScenarioError(path, first["msg"].removeprefix("Value error, "))


def _no_such(path: str, error: ValidationError) -> ScenarioError:
    """A word that is none of those known, and the one that may have been meant."""
    first = next(each for each in error.errors(include_url=False) if each["type"] == "enum")
    known = re.findall(r"'([^']+)'", first["ctx"]["expected"])
    close = get_close_matches(str(first["input"]), known, n=1)
    what = "is no kind of surface" if first["loc"][-1] == "kind" else "is not known"
    hint = f"did you mean {close[0]!r}? " if close else ""
    return ScenarioError(path, what, f"{hint}known: {', '.join(known)}")


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the schema knows where an unknown one was met."""
    schema = Scenario.model_json_schema(by_alias=True)
    node: dict[str, Any] = schema
    for part in location[:-1]:
        node = _resolved(schema, node)
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return sorted(_resolved(schema, node).get("properties", {}))


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", []):
        if option.get("type") != "null":
            node = option
            break
    reference = node.get("$ref", "")
    resolved: dict[str, Any] = schema["$defs"][reference.rsplit("/", 1)[1]] if reference else node
    return resolved


def _faults(scenario: Scenario) -> Iterator[ScenarioError]:
    """What the schema of a single field cannot say: names that must be unique or known."""
    spec = scenario.spec
    yield from _duplicates("spec.tenants", [tenant.name for tenant in spec.tenants])
    for number, tenant in enumerate(spec.tenants):
        yield from _duplicates(f"spec.tenants[{number}].users", [user.name for user in tenant.users])
    names = [surface.name for surface in spec.surfaces]
    yield from _duplicates("spec.surfaces", names)
    for name in names:
        if longer := next((each for each in names if each.startswith(f"{name}-")), None):
            problem = f"{longer!r} begins with {name!r} and a hyphen: their Secrets' names could not be told apart"
            yield ScenarioError("spec.surfaces", problem, "name one of them otherwise")
    if len(scenario.principals) < 2:
        yield ScenarioError("spec.tenants", "there is nobody to ask for another's data", "add a tenant or a user")
    for number, surface in enumerate(spec.surfaces):
        yield from _surface_faults(f"spec.surfaces[{number}]", surface)
    surfaces = {surface.name for surface in spec.surfaces}
    for number, exclusion in enumerate(spec.exclusions):
        yield from _known(f"spec.exclusions[{number}].surface", exclusion.surface, surfaces)
        yield from _known(f"spec.exclusions[{number}].attack", exclusion.attack, set(catalog.attacks()))
    for number, sharing in enumerate(spec.sharing):
        path = f"spec.sharing[{number}]"
        yield from _known(f"{path}.surface", sharing.surface, surfaces)
        yield from _party_faults(f"{path}.owner", sharing.owner, spec)
        yield from _party_faults(f"{path}.with", sharing.with_, spec)
    for number, risk in enumerate(spec.accepted_risks):
        path = f"spec.acceptedRisks[{number}]"
        yield from _known(f"{path}.surface", risk.surface, surfaces)
        yield from _known(f"{path}.attack", risk.attack, set(catalog.attacks()))
        yield from _party_faults(f"{path}.asker", risk.asker, spec)
        yield from _party_faults(f"{path}.owner", risk.owner, spec)


def _party_faults(path: str, party: Party | None, spec: Spec) -> Iterator[ScenarioError]:
    if party is None:
        return
    tenants = {tenant.name: {user.name for user in tenant.users} for tenant in spec.tenants}
    yield from _known(f"{path}.tenant", party.tenant, set(tenants))
    if party.user is not None:
        yield from _known(f"{path}.user", party.user, tenants.get(party.tenant, set()))


def _surface_faults(path: str, surface: Surface) -> Iterator[ScenarioError]:
    wanted = f"sectum-surface-{surface.name}-"
    if not surface.credentials.secret_ref.name.startswith(wanted):
        yield ScenarioError(
            f"{path}.credentials.secretRef.name", "is another surface's", f"it must start with {wanted!r}"
        )
    for reference in surface.spec.secret_refs():
        if not reference.name.startswith(wanted):
            yield ScenarioError(
                f"{path}.adapter.{surface.adapter_name}",
                f"takes {reference.name!r}, another surface's Secret",
                f"the name must start with {wanted!r}",
            )
    for number, attack in enumerate(surface.attacks or ()):
        yield from _known(f"{path}.attacks[{number}]", attack, set(catalog.attacks()))
    yield from _duplicates(f"{path}.attacks", list(surface.attacks or ()))


def _duplicates(path: str, names: list[str]) -> Iterator[ScenarioError]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        yield ScenarioError(path, f"{twice[0]!r} is there twice", "give each a name of its own")


def _known(path: str, name: str, names: set[str]) -> Iterator[ScenarioError]:
    if name not in names:
        close = get_close_matches(name, sorted(names), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(names))}"
        yield ScenarioError(path, f"{name!r} is not known", hint)
