"""`sectum plan --dpia`: a scenario and its plan -> what a data protection officer asks, as far as both can tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sectum.cli.settings import printable
from sectum.codec import digest
from sectum.endpoints import Endpoint, endpoints
from sectum.plan import KINDS, Plan
from sectum.scenario import Scenario, Surface

BLANKS = {
    "Controller": "who answers for the system under test, and for running this",
    "Contact": "data protection officer, or who is asked instead",
    "Purpose": "why this system's isolation is verified",
    "Legal basis": "and, if personal data can turn up (see below), the one for that",
    "Necessity": "why nothing less would do, and what was weighed against it",
    "Processors": "whoever runs the destinations below for you, with their contracts and countries",
    "Risks and measures": "for people whose data the system holds, should it not keep tenants apart",
    "Retention": "what you have set where it says so below, and why that long",
    "Approved": "by whom, on which day, until when",
}
"""What no scenario can say, and what belongs there."""
BLANK = "**TO BE FILLED IN BY YOU:** ______"

MARKERS = {
    "hard": "16 random letters and digits",
    "entity": "a made-up name of six words that no person, firm or place has",
    "secret": "looks like an IBAN; of country ZZ with check digits 00, which no bank gives out",
}
"""Kinds of marker. Nothing of them is taken from a real record."""

STORED = (
    ("manifests/", "store", "markers, salts, topics and locations, sealed; in clear the scenario and commitments"),
    ("series/", "store", "Open and Close records: when a run began and ended, its verdict, digests"),
    ("packs/", "store", "verdict, trials, counts, kinds of answers, times; names out of the scenario; no content"),
    ("work/", "records", "signed records of the stages, as in the pack; sealed intents and receipts with locations"),
)
"""Folder, which store, and what lies there."""
IN_CLUSTER = (
    ("Secrets", "the sealed manifest of each run, until its VerificationRun is deleted"),
    ("VerificationRuns, EvidencePacks, Events, logs", "verdict, counts, reasons, digests; names out of the scenario"),
)


def record(scenario: Scenario, plan: Plan) -> dict[str, Any]:
    """The record as JSON types; the same for the same scenario."""
    spec = scenario.spec
    return {
        "scenario": scenario.metadata.name,
        "namespace": scenario.metadata.namespace,
        "scenarioDigest": digest(scenario.snapshot()),
        "toBeFilledIn": dict(BLANKS),
        "markerKinds": dict(MARKERS),
        "surfaces": [_surface(surface, plan) for surface in spec.surfaces],
        "tenants": {tenant.name: [user.name for user in tenant.users] for tenant in spec.tenants},
        "secrets": _secrets(scenario),
        "destinations": [_destination(each) for each in endpoints(scenario)],
        "stored": _stored(scenario),
        "schedule": {"expression": spec.schedule, "timeZone": spec.time_zone} if spec.schedule else None,
        "allowImpact": [str(impact) for impact in spec.allow_impact],
        "exclusions": [each.model_dump(mode="json", by_alias=True) for each in spec.exclusions],
        "sharing": [
            {
                "surface": each.surface,
                "owner": _party(each.owner.tenant, each.owner.user),
                "with": _party(each.with_.tenant, each.with_.user),
                "reason": each.reason,
            }
            for each in spec.sharing
        ],
    }


def _surface(surface: Surface, plan: Plan) -> dict[str, Any]:
    planted = Counter(str(each.kind) for each in plan.markers if each.surface == surface.name)
    totals = next(each for each in plan.totals if each.surface == surface.name)
    attacks = Counter(each.attack for each in plan.trials if each.surface == surface.name)
    budget = surface.budget
    return {
        "surface": surface.name,
        "kind": str(surface.kind),
        "adapter": surface.adapter_name,
        "markers": {str(kind): planted[str(kind)] for kind in KINDS},
        "attacks": dict(attacks),
        "impact": [str(impact) for impact in totals.impact],
        "leftBehind": list(totals.residue),
        "budget": {
            "requests": budget.requests,
            "writes": budget.writes,
            "tokens": budget.tokens,
            "minutes": budget.minutes,
            "inFlight": budget.in_flight,
        },
    }


def _secrets(scenario: Scenario) -> list[dict[str, str]]:
    """References to what proves identities and opens keys and stores; by name, and key where the scenario says it."""
    spec = scenario.spec
    named = [
        {"of": f"surfaces/{surface.name}", "name": reference.name, "key": reference.key}
        for surface in spec.surfaces
        for reference in (surface.credentials.secret_ref, *surface.spec.secret_refs())
    ]
    key, signer = spec.manifest.spec, spec.evidence.spec
    for of, backend, names in (
        ("manifest.key", key, (*key.wrap_secrets(), *key.unwrap_secrets())),
        ("evidence.signer", signer, signer.secrets()),
        ("evidence.store", None, spec.evidence.store_spec.secrets() if spec.evidence.store_spec else ()),
        ("evidence.records", None, spec.evidence.records_spec.secrets() if spec.evidence.records_spec else ()),
    ):
        reference = getattr(backend, "secret_ref", None)
        if reference is not None:
            named.append({"of": of, "name": reference.name, "key": reference.key})
        else:
            named += [{"of": of, "name": name, "key": ""} for name in names]
    return named


def _stored(scenario: Scenario) -> list[dict[str, str | None]]:
    kept = [(place, _where(scenario, store), holds) for place, store, holds in STORED]
    if scenario.spec.evidence.store_spec is not None:
        kept += [(place, "the cluster", holds) for place, holds in IN_CLUSTER]
    return [{"place": place, "where": where, "holds": holds} for place, where, holds in kept]


def _destination(endpoint: Endpoint) -> dict[str, Any]:
    egress = [
        {
            "to": each.cidr if each.pods is None else f"pods in {each.pods.namespace}",
            "ports": list(each.ports),
        }
        for each in endpoint.egress
    ]
    server = f"{endpoint.host}:{endpoint.port}" if endpoint.host else None
    return {"of": endpoint.of, "by": endpoint.backend, "server": server, "egress": egress}


def _where(scenario: Scenario, store: str) -> str | None:
    """Where objects go in a cluster; None: nowhere but the folder of a local run."""
    evidence = scenario.spec.evidence
    spec = evidence.store_spec if store == "store" else evidence.records_spec
    return spec.uri("").rstrip("/") if spec is not None else None


def _party(tenant: str, user: str | None) -> str:
    return f"{tenant}/{user}" if user else f"all of {tenant}"


def markdown(told: dict[str, Any]) -> Iterator[str]:
    """The record as a page, block by block."""
    yield f"# Data protection record: {_text(told['scenario'])}"
    yield (
        f"Made by `sectum plan --dpia` from the scenario alone, whose SHA-256 is\n`{told['scenarioDigest']}`.\n"
        "It is no legal assessment: what only you can say is marked, and is missing until you do."
    )
    yield "## What only you can say"
    yield _table(["", "", "what belongs here"], [[name, BLANK, what] for name, what in told["toBeFilledIn"].items()])
    yield from _data(told)
    yield from _reached(told)
    yield from _kept(told)
    yield from _limits(told)


def _data(told: dict[str, Any]) -> Iterator[str]:
    yield "## Which data"
    yield (
        "Each run plants synthetic documents of its own: a topic in everyday or made-up words, and a marker, both\n"
        "drawn at random. Nothing is copied from real records."
    )
    kinds = list(told["markerKinds"])
    yield _table(
        ["surface", "what it is", *(f"{kind} markers" for kind in kinds)],
        [
            [each["surface"], f"{each['kind']}, by {each['adapter']}", *(each["markers"][kind] for kind in kinds)]
            for each in told["surfaces"]
        ],
    )
    yield _table(["marker", ""], [[kind, what] for kind, what in told["markerKinds"].items()])
    yield (
        "Personal data can turn up: should the system not keep tenants apart, its answers may hold other people's.\n"
        "Answers are scanned in memory and forgotten; what is kept is how many unknown items there were, not what\n"
        "stood in them."
    )
    yield "## Which identities"
    yield "Synthetic tenants and users, which must own nothing else in the system:"
    yield _table(["tenant", "users"], [[tenant, ", ".join(users)] for tenant, users in told["tenants"].items()])
    yield "Their credentials are read from Secrets at run time, and stand in no record:"
    yield _table(["of", "Secret", "key"], [[each["of"], each["name"], each["key"]] for each in told["secrets"]])


def _reached(told: dict[str, Any]) -> Iterator[str]:
    yield "## Where it goes"
    yield (
        "Beside these only DNS, in a cluster its API server, and whatever hands out cloud credentials where no Secret\n"
        "holds them. Nothing goes to Sectum's makers, and no answer of a surface leads to another server."
    )
    rows = [
        [each["of"], each["by"], each["server"] or "none: in this machine", _egress(each["egress"])]
        for each in told["destinations"]
    ]
    yield _table(["for", "by", "server", "a cluster's network lets it reach"], rows)


def _egress(egress: list[dict[str, Any]]) -> str:
    return "; ".join(f"{each['to']}, port {', '.join(map(str, each['ports']))}" for each in egress) or "–"


def _kept(told: dict[str, Any]) -> Iterator[str]:
    yield "## What is kept, and for how long"
    yield _table(
        ["place", "where", "holds", "for how long"],
        [[each["place"], each["where"] or "a local run's `--out`", each["holds"], BLANK] for each in told["stored"]],
    )
    yield (
        "Sectum deletes nothing in stores and folders: how long it stays is what your bucket's lifecycle and\n"
        "retention say, or you. Whoever may use the manifest's key can read the markers while manifests are kept."
    )
    yield "In the system under test a run removes what it planted. What it cannot remove:"
    rows = [[each["surface"], what] for each in told["surfaces"] for what in each["leftBehind"]]
    yield _table(["surface", "stays there"], rows) if rows else "nothing that the scenario or its adapters declare."
    yield "Logs and backups of that system which keep requests or documents are yours to declare, under `residue`."


def _limits(told: dict[str, Any]) -> Iterator[str]:
    yield "## What it may do"
    schedule = told["schedule"]
    often = f"By itself at `{schedule['expression']}` ({schedule['timeZone']}), and when" if schedule else "When"
    yield f"{often} somebody begins a run."
    yield f"Allowed: {', '.join(told['allowImpact'])}. Per surface, in one run at most, and as much again to clean up:"
    budget = ["requests", "writes", "tokens", "minutes"]
    yield _table(
        ["surface", "attacks and trials", "impact", *budget, "at once"],
        [
            [
                each["surface"],
                ", ".join(f"{attack} {count}" for attack, count in each["attacks"].items()) or "none",
                ", ".join(each["impact"]),
                *(each["budget"][name] for name in budget),
                each["budget"]["inFlight"],
            ]
            for each in told["surfaces"]
        ],
    )
    if told["exclusions"]:
        yield "Deliberately not tried:"
        rows = [[each["surface"], each["attack"], each["reason"]] for each in told["exclusions"]]
        yield _table(["surface", "attack", "why"], rows)
    if told["sharing"]:
        yield "Shared on purpose:"
        rows = [[each["surface"], each["owner"], each["with"], each["reason"]] for each in told["sharing"]]
        yield _table(["surface", "whose", "with whom", "why"], rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [list(columns), ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_text(cell) for cell in line)} |" for line in lines)


def _text(value: Any) -> str:
    """One line; a scenario's words are no markup of the page's."""
    said = printable(" ".join(str(value).split()))
    return said.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
