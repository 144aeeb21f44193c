"""A sealed manifest's clear header and the stores -> one run, as far as everybody may know it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sectum import merkle, series
from sectum.codec import NotCanonical, parse, unb64
from sectum.document import read_record_payload
from sectum.errors import NotVerified, SealBroken
from sectum.manifest import header
from sectum.plan import MarkerSpec, Plan, Subset, make_plan
from sectum.ports import Store
from sectum.records import Signed, Stage, read_record
from sectum.scenario import Scenario
from sectum.scenario import parse as parse_scenario
from sectum.store import read_all


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what is to be done, and where it is recorded. Holds no secret."""

    scenario: Scenario
    plan: Plan
    sealed: bytes = field(repr=False)
    clear: dict[str, Any] = field(repr=False)
    """The sealed manifest's clear header."""
    store: Store
    """Where packs, the series and sealed manifests go."""
    work: Store
    """Where the stages' records, intents and receipts go."""
    origin: str = "local"

    @property
    def id(self) -> str:
        """The run's id."""
        name: str = self.clear["run"]
        return name

    @property
    def series(self) -> str:
        """Where the Open and Close records of the scenario's runs are."""
        about = self.scenario.metadata
        return series.folder(self.origin, about.name, about.namespace)

    def commitments(self) -> list[tuple[MarkerSpec, str]]:
        """Every marker and decoy with its commitment (hex); raises SealBroken."""
        leaves = unb64(self.clear["leaves"])
        each = [leaves[start : start + 32] for start in range(0, len(leaves), 32)]
        specs = self.plan.markers + self.plan.decoys
        if len(each) != len(specs) or merkle.root(each).hex() != self.clear["root"]:
            raise SealBroken("the sealed manifest's commitments do not fit its root and plan")
        return [(spec, leaf.hex()) for spec, leaf in zip(specs, each, strict=True)]


def read_run(sealed: bytes, *, store: Store, work: Store, origin: str = "local") -> Run:
    """A run from its sealed manifest; the header is authenticated only by who opens the rest. Raises ScenarioError."""
    clear = header(sealed)
    scenario = parse_scenario(clear["scenario"])
    plan = make_plan(scenario, Subset.out_of(clear["subset"]))
    return Run(scenario, plan, sealed, clear, store, work, origin)


@dataclass(frozen=True, slots=True)
class Stored:
    """The records that lie in the store under a surface's name."""

    signed: tuple[Signed, ...]
    foreign: int
    """How many objects there are not signed by the run's key, no records, or of another run, surface or place."""


async def stored_records(run: Run, surface: str, stages: tuple[Stage, ...] = tuple(Stage)) -> Stored:
    """Read a surface's records back, signatures checked; raises StoreFault."""
    signed, foreign = [], 0
    for stage in stages:
        folder = f"work/{run.id}/{stage}/{surface}/"
        names = await run.work.names(folder)
        for name, data in zip(names, await read_all(run.work, names), strict=True):
            try:
                each = Signed(read_record(data, run.clear["publicKey"]), data)
                read_record_payload(unb64(parse(data)["payload"]))
            except (NotCanonical, NotVerified):
                foreign += 1
                continue
            record = each.record
            bound = (record.run, record.manifest, record.stage, record.surface)
            here = f"{folder}{record.attempt}/{each.digest}"
            if bound != (run.id, run.clear["hash"], str(stage), surface) or name != here:
                foreign += 1
            else:
                signed.append(each)
    return Stored(tuple(signed), foreign)
