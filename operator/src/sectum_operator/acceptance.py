"""An IsolationScenario and what a run asks of it -> the parsed Scenario, or why the cluster cannot take it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sectum import catalog
from sectum.errors import ScenarioError
from sectum.ports import StoreSpec
from sectum.scenario import Scenario, parse

from sectum_operator.reasons import Refusal
from sectum_operator.resources import Subset

_NAMED = ("name", "namespace")


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not; `message` names the field and the fix."""

    reason: Refusal
    message: str


def accept(document: Mapping[str, Any], subset: Subset | None = None) -> Scenario | Refused:
    """The scenario of an object as the API server has it."""
    try:
        scenario = parse(
            {
                "apiVersion": document.get("apiVersion"),
                "kind": document.get("kind"),
                "metadata": {key: value for key, value in document["metadata"].items() if key in _NAMED},
                "spec": document.get("spec"),
            }
        )
    except ScenarioError as error:
        return Refused(Refusal.SCENARIO_INVALID, str(error))
    for check in (_key, _stores, _egress):
        for field, problem in check(scenario):
            return Refused(Refusal.NOT_FOR_CLUSTER, f"{field}: {problem}")
    for problem in _subset(scenario, subset or Subset()):
        return Refused(Refusal.SUBSET_UNKNOWN, problem)
    return scenario


Fault = tuple[str, str]
"""A field's path, and what to do about it."""


def _key(scenario: Scenario) -> Iterator[Fault]:
    manifest = scenario.spec.manifest
    name = manifest.key.chosen_name  # type: ignore[attr-defined]
    if manifest.spec.local_only():
        yield f"spec.manifest.key.{name}", "is for local runs; name a KMS key, such as awsKms"
    elif not manifest.spec.destinations():
        yield f"spec.manifest.key.{name}.egress", "say where the key's keeper is reached"


def _stores(scenario: Scenario) -> Iterator[Fault]:
    evidence = scenario.spec.evidence
    for field, spec, prefix in (
        ("store", evidence.store_spec, "sectum-store-evidence-"),
        ("records", evidence.records_spec, "sectum-store-records-"),
    ):
        yield from _store(f"spec.evidence.{field}", spec, prefix)
    store, records = evidence.store_spec, evidence.records_spec
    if store and records and (store.address(), store.uri("x")) == (records.address(), records.uri("x")):
        yield "spec.evidence.records", "must be another bucket or prefix than store: probes may write there"


def _store(field: str, spec: StoreSpec | None, prefix: str) -> Iterator[Fault]:
    if spec is None:
        yield field, "is missing; name an object store, such as s3"
    elif not spec.destinations():
        yield field, "say under egress where the store is reached"
    else:
        for name in spec.secrets():  # by these prefixes the fence tells who may mount it
            if not name.startswith(prefix):
                yield field, f"its Secret's name must start with {prefix!r}"


def _egress(scenario: Scenario) -> Iterator[Fault]:
    for number, surface in enumerate(scenario.spec.surfaces):
        if not surface.egress:
            yield f"spec.surfaces[{number}].egress", "say where the surface is reached"


def _subset(scenario: Scenario, subset: Subset) -> Iterator[str]:
    surfaces = {surface.name for surface in scenario.spec.surfaces}
    yield from _unknown("surfaces", subset.surfaces or (), sorted(surfaces))
    attacks = {attack for surface in scenario.spec.surfaces for attack in surface.attacks or catalog.attacks()}
    yield from _unknown("attacks", subset.attacks or (), sorted(attacks))


def _unknown(field: str, names: tuple[str, ...], known: list[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the scenario has: {', '.join(known)}"
            yield f"spec.subset.{field}: {name!r} is none of the scenario's; {hint}"
