"""Scenario -> Plan: the trials, the reasoned skips, and what a run will ask of each surface. Touches nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from sectum import catalog, merkle, topics
from sectum.actions import AnswerKind, Impact, Principal, Verb
from sectum.codec import canonical, digest
from sectum.errors import ScenarioError
from sectum.markers import Kind
from sectum.ports import Attack, arms_of
from sectum.scenario import Scenario, Surface

KINDS = (Kind.HARD, Kind.ENTITY, Kind.SECRET)
DECOY = Principal("-", "decoy")
"""Owner of decoys; no tenant can be named so."""


@dataclass(frozen=True, slots=True)
class MarkerSpec:
    """A marker to be drawn: its name, whose it is and where it goes; no plaintext."""

    surface: str
    owner: Principal
    kind: Kind
    index: int

    @property
    def id(self) -> str:
        """Made of the scenario's names only, so the same in every run."""
        return f"{self.surface}/{self.owner}/{self.kind}/{self.index}"

    @property
    def number(self) -> int:
        """Position among the owner's markers on this surface."""
        return self.index * len(KINDS) + KINDS.index(self.kind)


def marker_spec(surface: str, owner: Principal, number: int) -> MarkerSpec:
    """The owner's marker of that number; kinds in turn."""
    return MarkerSpec(surface, owner, KINDS[number % len(KINDS)], number // len(KINDS))


@dataclass(frozen=True, slots=True)
class Trial:
    """One asker, one owner, one marker, one way to ask; played in four arms."""

    surface: str
    attack: str
    asker: Principal
    owner: Principal
    kind: Kind
    phrasing: str
    index: int
    sends_marker: bool
    baseline: bool
    control: AnswerKind | None
    slot: str = field(init=False)
    """First 128 bits of SHA-256 over the canonical array of the scenario's names, in hex."""

    def __post_init__(self) -> None:
        names = [self.surface, self.attack, self.asker.tenant, self.asker.user, self.owner.tenant, self.owner.user]
        object.__setattr__(self, "slot", digest([*names, str(self.kind), self.phrasing, self.index])[:32])

    @property
    def marker(self) -> MarkerSpec:
        """The owner's marker that is looked for."""
        return MarkerSpec(self.surface, self.owner, self.kind, self.index)

    @property
    def decoy(self) -> MarkerSpec:
        """The marker of the decoy arm, never planted."""
        return MarkerSpec(self.surface, DECOY, self.kind, self.index)

    @property
    def group(self) -> tuple[str, str, str]:
        """Surface, attack and kind of asker."""
        return self.surface, self.attack, asker_kind(self.asker, self.owner)

    def row(self) -> dict[str, Any]:
        """The planned part of this trial's row in run.json."""
        return {
            "slot": self.slot,
            "surface": self.surface,
            "attack": self.attack,
            "asker": asdict(self.asker),
            "owner": asdict(self.owner),
            "marker": self.marker.id,
            "decoy": self.decoy.id,
            "kind": str(self.kind),
            "phrasing": self.phrasing,
            "index": self.index,
            "contentFindings": not self.sends_marker,
            "baseline": self.baseline,
            "control": str(self.control) if self.control else None,
        }


PLANNED_FIELDS = tuple(
    [
        "slot",
        "surface",
        "attack",
        "asker",
        "owner",
        "marker",
        "decoy",
        "kind",
        "phrasing",
        "index",
        "contentFindings",
        "baseline",
        "control",
    ]
)


def asker_kind(asker: Principal, owner: Principal) -> str:
    """`other-tenant`, or `same-tenant` for another user of the owner's tenant."""
    return "same-tenant" if asker.tenant == owner.tenant else "other-tenant"


@dataclass(frozen=True, slots=True)
class Subset:
    """A part of a scenario that a run is for; None: all of them."""

    surfaces: tuple[str, ...] | None = None
    attacks: tuple[str, ...] | None = None

    @classmethod
    def out_of(cls, value: Mapping[str, Any] | None) -> Subset:
        """From its JSON: `surfaces`, `attacks` or both; None is all."""
        parts = value or {}
        return cls(*(tuple(parts[name]) if parts.get(name) else None for name in ("surfaces", "attacks")))

    def row(self) -> dict[str, list[str]] | None:
        """As run.json has it."""
        parts = {"surfaces": self.surfaces, "attacks": self.attacks}
        return {name: list(part) for name, part in parts.items() if part is not None} or None

    def has(self, surface: str, attack: str) -> bool:
        """Is this surface × attack part of it?"""
        return (self.surfaces is None or surface in self.surfaces) and (self.attacks is None or attack in self.attacks)


Shared = Callable[[str, Principal, Principal], bool]
"""(surface, asker, owner) -> does the scenario declare that asker may see owner's data there?"""


class SkipReason(StrEnum):
    """Why something that one could expect is not tried."""

    DECLARED_SHARING = "DeclaredSharing"  # this asker may see this owner's data
    EXCLUDED = "Excluded"  # the scenario excludes surface × attack by name
    IMPACT = "ImpactNotAllowed"  # allowImpact lacks the attack's impact
    VERB_MISSING = "VerbMissing"  # the surface's adapter cannot do what the attack needs
    NOT_REQUESTED = "NotRequested"  # the surface's list of attacks leaves it out
    NOT_IN_SUBSET = "NotInSubset"  # this run is for a part of the scenario, and this is not in it
    NO_OTHER_TENANT = "NoOtherTenant"
    NO_OTHER_USER = "NoOtherUser"


COUNTS_AS_COVERED = frozenset(
    {SkipReason.DECLARED_SHARING, SkipReason.EXCLUDED, SkipReason.NOT_REQUESTED, SkipReason.NOT_IN_SUBSET}
)
"""A run can pass in spite of these; any other skip of something requested is NotCovered."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Something not tried, and why."""

    surface: str
    attack: str
    reason: SkipReason
    detail: str
    requested: bool
    pairs: int = 0

    def row(self) -> dict[str, Any]:
        """As run.json has it."""
        return {**asdict(self), "reason": str(self.reason)}


@dataclass(frozen=True, slots=True)
class SurfaceTotals:
    """What a run will ask of one surface; retries, further pages and checks of identity at a sighting not counted."""

    surface: str
    trials: int
    requests: int
    writes: int
    impact: tuple[Impact, ...]
    residue: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run will do."""

    trials: tuple[Trial, ...]
    skips: tuple[Skip, ...]
    markers: tuple[MarkerSpec, ...]
    decoys: tuple[MarkerSpec, ...]
    totals: tuple[SurfaceTotals, ...]
    own_topics: frozenset[str]
    """Surfaces on which no two documents share a topic."""
    lures: frozenset[str]
    """Surfaces whose documents are lures, about topics in words that only this run uses."""

    def topic_key(self, spec: MarkerSpec) -> str:
        """Two markers of one key are about the same thing: their owners all have a document on it; decoys apart."""
        if spec.surface in self.own_topics:
            return spec.id
        return f"{spec.surface}/{spec.number}/{'decoy' if spec.owner == DECOY else 'planted'}"

    def rows(self) -> list[dict[str, Any]]:
        """The planned-trial table, in order."""
        return [trial.row() for trial in self.trials]


def planned_root(rows: list[dict[str, Any]]) -> str:
    """Merkle root (hex) over the planned part of rows, in order; what an Open record and a manifest are bound to."""
    planned = [{field: row[field] for field in PLANNED_FIELDS} for row in rows]
    return merkle.root([merkle.leaf(canonical(row)) for row in planned]).hex()


def binding(rows: list[dict[str, Any]], skips: list[dict[str, Any]]) -> dict[str, Any]:
    """What a run is bound to before its first write: `root` and count of its `trials`, digest of its `skips`."""
    return {"root": planned_root(rows), "trials": len(rows), "skips": digest(skips)}


def make_plan(scenario: Scenario, subset: Subset = Subset()) -> Plan:
    """Pair surfaces with attacks by verbs, and askers with owners; raises ScenarioError for too much."""
    trials: list[Trial] = []
    skips: list[Skip] = []
    markers: list[MarkerSpec] = []
    decoys: list[MarkerSpec] = []
    totals: list[SurfaceTotals] = []
    for surface in scenario.spec.surfaces:
        mine: list[Trial] = []
        left_out: list[Skip] = []
        for attack in catalog.attacks().values():
            skip = _skip(scenario, surface, attack, subset)
            if skip:
                left_out.append(skip)
                continue
            mine += _trials(scenario, surface, attack)
            left_out += _pair_skips(scenario, surface, attack)
        # To name a surface is to request something of it: where nothing can be tried, and nobody chose so, it is
        # not covered.
        chosen = mine or any(each.reason in COUNTS_AS_COVERED for each in left_out)
        skips += left_out if chosen else [replace(each, requested=True) for each in left_out]
        numbers = range(scenario.spec.trials.markers_per_user if mine else 0)
        markers += [marker_spec(surface.name, owner, number) for owner in scenario.principals for number in numbers]
        decoys += [marker_spec(surface.name, DECOY, number) for number in numbers]
        totals.append(_totals(scenario, surface, mine))
        trials += mine
    attacks = catalog.attacks()
    own_topics = frozenset(trial.surface for trial in trials if attacks[trial.attack].own_topic)
    lures = frozenset(trial.surface for trial in trials if attacks[trial.attack].lures)
    plan = Plan(tuple(trials), tuple(skips), tuple(markers), tuple(decoys), tuple(totals), own_topics, lures)
    if (wanted := len({plan.topic_key(spec) for spec in plan.markers + plan.decoys})) > topics.MOST:
        problem = f"asks for documents on {wanted} topics; {topics.MOST} can be told apart"
        raise ScenarioError("spec.trials.markersPerUser", problem, "plant fewer, or try fewer surfaces in one run")
    return plan


def _skip(scenario: Scenario, surface: Surface, attack: Attack, subset: Subset) -> Skip | None:
    """Why this surface × attack is not tried at all; ordered rules, first match wins."""
    requested = attack.name in (surface.attacks or ())

    def skip(reason: SkipReason, detail: str) -> Skip:
        return Skip(surface.name, attack.name, reason, detail, requested and reason != SkipReason.NOT_IN_SUBSET)

    if not subset.has(surface.name, attack.name):
        return skip(SkipReason.NOT_IN_SUBSET, "this run is for a part of the scenario")
    for exclusion in scenario.spec.exclusions:
        if (exclusion.surface, exclusion.attack) == (surface.name, attack.name):
            return skip(SkipReason.EXCLUDED, exclusion.reason)
    if surface.attacks is not None and not requested:
        return skip(SkipReason.NOT_REQUESTED, "the surface's `attacks` leaves it out")
    verbs = surface.spec.verbs()
    if Verb.WRITE not in verbs or not any(need <= verbs for need in attack.needs):
        needed = " or ".join("+".join(sorted(need)) for need in attack.needs)
        return skip(SkipReason.VERB_MISSING, f"needs write and {needed}")
    if Impact.WRITE_OWN not in scenario.spec.allow_impact:
        return skip(SkipReason.IMPACT, f"allowImpact does not name {Impact.WRITE_OWN}, and planting is that")
    if attack.impact not in scenario.spec.allow_impact:
        return skip(SkipReason.IMPACT, f"allowImpact does not name {attack.impact}")
    return None


def _pairs(scenario: Scenario) -> Iterator[tuple[Principal, Principal]]:
    for asker in scenario.principals:
        for owner in scenario.principals:
            if asker != owner:
                yield asker, owner


def shared(scenario: Scenario, surface: str, *, asker: Principal, owner: Principal) -> bool:
    """Does the scenario declare that `asker` may see `owner`'s data on this surface?"""
    return any(
        sharing.surface == surface and sharing.owner.covers(owner) and sharing.with_.covers(asker)
        for sharing in scenario.spec.sharing
    )


def _trials(scenario: Scenario, surface: Surface, attack: Attack) -> Iterator[Trial]:
    """Every pair asks in every way; which of the owner's markers is looked for rotates, so all of them have a turn."""
    count = scenario.spec.trials.markers_per_user
    offer = surface.spec.offer()
    phrasings, control = attack.phrasings(offer), attack.control(offer)
    everybody = scenario.principals
    for asker, owner in _pairs(scenario):
        whose = everybody.index(owner)
        turn = (everybody.index(asker) - whose) % len(everybody) - 1  # 0, 1, 2 … over the owner's askers
        if shared(scenario, surface.name, asker=asker, owner=owner):
            continue
        for way, phrasing in enumerate(phrasings):
            for repeat in range(scenario.spec.trials.per_pair):
                marker = marker_spec(surface.name, owner, (whose + turn + way + repeat) % count)
                yield Trial(
                    surface=surface.name,
                    attack=attack.name,
                    asker=asker,
                    owner=owner,
                    kind=marker.kind,
                    phrasing=phrasing,
                    index=marker.index,
                    sends_marker=attack.sends_marker,
                    baseline=attack.baseline,
                    control=control,
                )


def _pair_skips(scenario: Scenario, surface: Surface, attack: Attack) -> Iterator[Skip]:
    """Pairs that are not tried, and kinds of asker that this scenario has not got."""
    kinds = {asker_kind(asker, owner) for asker, owner in _pairs(scenario)}
    if "other-tenant" not in kinds:
        yield Skip(surface.name, attack.name, SkipReason.NO_OTHER_TENANT, "the scenario has one tenant", requested=True)
    if "same-tenant" not in kinds:
        yield Skip(surface.name, attack.name, SkipReason.NO_OTHER_USER, "no tenant has two users", requested=False)
    pairs = sum(shared(scenario, surface.name, asker=asker, owner=owner) for asker, owner in _pairs(scenario))
    if pairs:
        detail = "declared under `sharing`"
        yield Skip(surface.name, attack.name, SkipReason.DECLARED_SHARING, detail, requested=True, pairs=pairs)


def _totals(scenario: Scenario, surface: Surface, trials: list[Trial]) -> SurfaceTotals:
    principals = len(scenario.principals)
    verbs = surface.spec.verbs()
    # Without whoami nobody is identified: nothing is planted or tried, and every trial is IdentityUnproven.
    played = len(trials) if Verb.WHOAMI in verbs else 0
    planted = principals * scenario.spec.trials.markers_per_user if played else 0
    emptiness = principals if Verb.LIST in verbs else 0
    # When opened; after the baseline, after planting, and at the end where there are any.
    rounds = 1 + any(trial.baseline for trial in trials) + 2 * bool(planted)
    identities = rounds * principals if Verb.WHOAMI in verbs else 0
    writes = planted * (2 if Verb.DELETE in verbs else 1)
    read_back = planted if Verb.FETCH in verbs else 0
    # Whether it is gone is looked up in each owner's listing or, without one, document by document.
    looks = principals if Verb.LIST in verbs else read_back
    gone = looks if planted and Verb.DELETE in verbs else 0
    residue = surface.residue
    if Verb.DELETE not in verbs:
        residue += ("every planted document: the adapter has no delete",)
    elif Verb.LIST not in verbs and not surface.spec.client_chooses_location():
        residue += ("documents whose write was cut off by a kill: the adapter has no list to find them by",)
    if Verb.ASK_CACHED in verbs:
        residue += ("cached answers, until the application evicts them",)
    attacks = catalog.attacks()
    impact = {attacks[trial.attack].impact for trial in trials} | ({Impact.WRITE_OWN} if planted else set())
    asked = sum(
        len(arms_of(baseline=each.baseline)) + attacks[each.attack].extra_requests(each.phrasing)
        for each in trials
        if played
    )
    return SurfaceTotals(
        surface=surface.name,
        trials=len(trials),
        requests=asked + writes + read_back + emptiness + identities + gone,
        writes=writes,
        impact=tuple(sorted(impact)),
        residue=residue,
    )
