"""`kubectl sectum packs` and `status`: what has been verified in the cluster, and where its evidence is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sectum.cli import show
from sectum.cli.cluster import PACKS, SCENARIOS, Kubectl, kubectl_of, nearest, options
from sectum.cli.cluster_faults import NotThere
from sectum.cli.cluster_names import names_of
from sectum.cli.cluster_objects import Pack, Scenario, age, named, newest, viewed
from sectum.cli.loading import OUTPUT
from sectum.cli.settings import Settings, Subcommand
from sectum.errors import UsageError
from sectum.finding import Outcome

_ANY_WIDTH = 10_000


@click.command(cls=Subcommand)
@click.argument("scenario", required=False, metavar="[SCENARIO]", shell_complete=names_of(SCENARIOS))
@OUTPUT
@options(everywhere=True)
@click.pass_context
def packs(ctx: click.Context, *, scenario: str | None, output: str) -> int:
    """List the evidence packs, newest first; of one scenario or of all.

    Verdict and Verified are what the operator says. `kubectl sectum fetch` and `sectum verify` check the pack itself.
    """
    kubectl = kubectl_of(ctx, everywhere=True)
    chosen = f"spec.scenarioRef.name={named(scenario, 'scenario')}" if scenario else None
    listed = newest(Pack, kubectl.get(PACKS, fields=chosen))
    show.emit(
        output,
        settings=ctx.ensure_object(Settings),
        document={"packs": [_pack(each) for each in listed]},
        names=[_name(each, "evidencepack", kubectl) for each in listed],
        draw=lambda console, wide: _draw_packs(console, listed, kubectl=kubectl, scenario=scenario, wide=wide),
    )
    return 0


def _name(view: Pack | Scenario, kind: str, kubectl: Kubectl) -> str:
    """As kubectl prints it; in all namespaces, with its own."""
    place = f"{view.metadata.namespace}/" if kubectl.all_namespaces else ""
    return f"{place}{kind}.sectum.ai/{view.metadata.name}"


def _pack(pack: Pack) -> dict[str, Any]:
    verified = pack.status.condition("Verified")
    created = pack.metadata.creation_timestamp
    return {
        "name": pack.metadata.name,
        "namespace": pack.metadata.namespace,
        "verdict": _verdict(pack.status.verdict),
        "scenario": pack.spec.scenario_ref.name,
        "run": pack.spec.run_ref.name,
        "created": created.isoformat() if created else None,
        "verified": {"True": True, "False": False}.get(verified.status) if verified else None,
        "uri": pack.spec.uri,
        "digests": {"pack": pack.spec.digests.pack, "run": pack.spec.digests.run},
    }


def _verdict(verdict: Outcome | None) -> str | None:
    return str(verdict) if verdict else None


def _draw_packs(console: Console, listed: list[Pack], *, kubectl: Kubectl, scenario: str | None, wide: bool) -> None:
    if not listed:
        of = f" of {scenario}" if scenario else ""
        console.print(show.plain(f"no evidence pack{of} {_where(kubectl)}"))
        return
    listing = _listing(listed, kubectl=kubectl, uri=True)
    if wide or not console.file.isatty() or _needed(console, listing) <= console.width:
        _unfolded(console, listing)
        return
    console.print(_listing(listed, kubectl=kubectl, uri=False))
    console.print(show.dim("-o wide shows the URIs, too."))


def _listing(listed: list[Pack], *, kubectl: Kubectl, uri: bool) -> Table:
    now = datetime.now(UTC)
    run = any(each.metadata.name != each.spec.run_ref.name for each in listed)  # else its column says nothing
    rows: list[list[show.Cell]] = [
        [
            *([each.metadata.namespace] if kubectl.all_namespaces else []),
            _mark(each.status.verdict),
            each.metadata.name,
            each.spec.scenario_ref.name,
            *([each.spec.run_ref.name] if run else []),
            age(each.metadata.creation_timestamp, now),
            _says(each, "Verified"),
            *([each.spec.uri] if uri else []),
        ]
        for each in listed
    ]
    place = ["namespace"] if kubectl.all_namespaces else []
    names = ["verdict", "pack", "scenario", *(["run"] if run else []), "age", "verified", *(["uri"] if uri else [])]
    return show.table(place + names, rows)


def _where(kubectl: Kubectl) -> str:
    if kubectl.all_namespaces:
        return "in any namespace"
    return f"in namespace {kubectl.namespace}" if kubectl.namespace else "in kubectl's namespace (-n, -A: others)"


def _mark(verdict: Outcome | None) -> Text:
    return show.outcome(str(verdict)) if verdict else Text("–", style="dim")


def _says(view: Pack | Scenario, kind: str) -> str:
    found = view.status.condition(kind)
    return found.status if found else "–"


def _needed(console: Console, table: Table) -> int:
    """Columns that a table has when nothing is folded."""
    return console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum


def _unfolded(console: Console, table: Table) -> None:
    """For programs a row is a line, however long; a terminal folds it."""
    if not console.file.isatty():
        console.width = max(console.width, _needed(console, table))
    console.print(table)


@click.command(cls=Subcommand)
@click.argument("scenario", required=False, shell_complete=names_of(SCENARIOS))
@OUTPUT
@options(everywhere=True)
@click.pass_context
def status(ctx: click.Context, *, scenario: str | None, output: str) -> int:
    """List the scenarios with the verdict of their last run, or show one with its surfaces and attacks."""
    kubectl = kubectl_of(ctx, everywhere=True)
    listed = [_one(kubectl, scenario)] if scenario else _by_name(newest(Scenario, kubectl.get(SCENARIOS)))
    document = [_scenario(each) for each in listed]
    show.emit(
        output,
        settings=ctx.ensure_object(Settings),
        document=document[0] if scenario else {"scenarios": document},
        names=[_name(each, "isolationscenario", kubectl) for each in listed],
        draw=lambda console, wide: _draw_status(console, listed, kubectl=kubectl, cells=bool(scenario) or wide),
    )
    return 0


def _one(kubectl: Kubectl, name: str) -> Scenario:
    if kubectl.all_namespaces:
        raise UsageError("one scenario is in one namespace; leave -A or its name out")
    try:
        return viewed(Scenario, kubectl.get(SCENARIOS, named(name, "scenario")))
    except NotThere:
        raise nearest(kubectl, SCENARIOS, name) from None


def _by_name(listed: list[Scenario]) -> list[Scenario]:
    return sorted(listed, key=lambda each: (each.metadata.namespace, each.metadata.name))


def _scenario(scenario: Scenario) -> dict[str, Any]:
    last = scenario.status.last_run
    return {
        "name": scenario.metadata.name,
        "namespace": scenario.metadata.namespace,
        "verdict": _verdict(last.verdict) if last else None,
        "score": scenario.status.score,
        "trend": scenario.status.trend,
        "lastRun": last.model_dump(by_alias=True, mode="json") if last else None,
        "cells": [each.model_dump(by_alias=True, mode="json") for each in scenario.status.cells],
    }


def _draw_status(console: Console, listed: list[Scenario], *, kubectl: Kubectl, cells: bool) -> None:
    if not listed:
        console.print(show.plain(f"no scenario {_where(kubectl)}"))
        return
    now = datetime.now(UTC)
    rows: list[list[show.Cell]] = []
    for each in listed:
        last, score = each.status.last_run, each.status.score
        facts: list[show.Cell] = ["–" if score is None else score, each.status.trend or "–", _says(each, "Ready")]
        run = [last.name, age(last.finished_at, now)] if last else ["–", "–"]
        place = [each.metadata.namespace] if kubectl.all_namespaces else []
        rows.append([*place, _mark(last.verdict if last else None), each.metadata.name, *facts, *run])
    place = ["namespace"] if kubectl.all_namespaces else []
    columns = [*place, "verdict", "scenario", "score", "trend", "ready", "last run", "ago"]
    _unfolded(console, show.table(columns, rows, right=["score"]))
    for each in listed if cells else []:
        if each.status.cells:
            show.heading(console, f"{each.metadata.name}: surfaces and attacks, each with its worst pair")
            _unfolded(console, _cells(each))


def _cells(scenario: Scenario) -> Table:
    rows: list[list[show.Cell]] = []
    for cell in scenario.status.cells:
        pair = cell.worst
        said = f"{pair.asker.tenant}/{pair.asker.user} → {pair.owner.tenant}/{pair.owner.user}" if pair else "–"
        rows.append([cell.surface, cell.attack, _mark(cell.verdict), cell.reason or "", said])
    return show.table(["surface", "attack", "verdict", "reason", "asker → owner"], rows)
