"""`kubectl sectum run` and `follow`: a VerificationRun made, followed, and its verdict as the exit status."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import click
from rich.console import Console

from sectum import catalog
from sectum.cli import cluster_card, show
from sectum.cli.cluster import LATEST, RUNS, SCENARIOS, Kubectl, kubectl_of, nearest, options
from sectum.cli.cluster_ending import Ending, ending
from sectum.cli.cluster_faults import ClusterFault, NameTaken, NotThere
from sectum.cli.cluster_follow import Endless, Told, follow, stoppable
from sectum.cli.cluster_names import names_of
from sectum.cli.cluster_objects import Run, Scenario, named, newest, viewed
from sectum.cli.loading import OUTPUT
from sectum.cli.settings import Settings, Subcommand, say
from sectum.errors import ScenarioError, UsageError

_TIMEOUT = re.compile(r"[1-9][0-9]{0,4}[smh]")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_SHORTEST, _LONGEST = 60, 72 * 3600
_SAME_SECOND = 9
"""Runs of one scenario that may begin in the same second."""

QUIET = click.option("--quiet", is_flag=True, help="No progress on stderr.")


def _timeout(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    if not _TIMEOUT.fullmatch(value) or not _SHORTEST <= int(value[:-1]) * _UNITS[value[-1]] <= _LONGEST:
        raise click.BadParameter("a whole number of s, m or h, from 1m to 72h, for example 90m")
    return value


@click.command("run", cls=Subcommand)
@click.argument("scenario", required=False, metavar="SCENARIO", shell_complete=names_of(SCENARIOS))
@click.option("--wait", is_flag=True, help="Follow it to its end; its verdict is the exit status.")
@click.option("--timeout", callback=_timeout, metavar="TIME", help="Of the run's probing, as 90m.  [default: 6h]")
@click.option("--surface", "surfaces", multiple=True, metavar="NAME", help="Only this surface. Repeatable.")
@click.option("--attack", "attacks", multiple=True, metavar="NAME", help="Only this attack. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Have the API server check the run, and make none.")
@QUIET
@OUTPUT
@options(everywhere=False)
@click.option("-f", "--file", hidden=True)
@click.option("--out", hidden=True)
@click.pass_context
def run(
    ctx: click.Context, *, scenario: str | None, wait: bool, timeout: str | None, surfaces: tuple[str, ...],
    attacks: tuple[str, ...], dry_run: bool, quiet: bool, output: str, file: str | None, out: str | None,
) -> int:  # fmt: skip
    """Verify a scenario in the cluster: make a VerificationRun of it.

    With --wait, Ctrl-C stops the watching only; the run goes on, and sectum says how to cancel it.
    """
    if file or out:
        raise UsageError(
            "-f and --out are of `sectum run`, which runs a file from here; "
            "in the cluster: kubectl apply -f FILE, then kubectl sectum run SCENARIO"
        )
    if scenario is None:
        raise click.UsageError("Missing argument 'SCENARIO'.", ctx)
    settings, kubectl = ctx.ensure_object(Settings), kubectl_of(ctx)
    found = _scenario(kubectl, named(scenario, "scenario"))
    _known(found, surfaces, attacks)
    subset = {"surfaces": list(surfaces), "attacks": list(attacks)}
    spec: dict[str, Any] = {"scenarioRef": {"name": scenario}}
    spec |= {"subset": {key: value for key, value in subset.items() if value}} if surfaces or attacks else {}
    spec |= {"timeout": timeout} if timeout else {}
    made = _created(kubectl, scenario, spec, dry_run=dry_run)
    if not wait or dry_run:
        _emit(settings, output, made, None, kubectl, draw=_made(made, kubectl, dry_run=dry_run))
        return 0
    if not quiet:
        say(f"{made.metadata.name} created in namespace {made.metadata.namespace}")
    return _to_its_end(
        ctx, made, list(surfaces) or [each.name for each in found.spec.surfaces], quiet=quiet, output=output
    )


@click.command("follow", cls=Subcommand)
@click.argument("name", metavar=f"RUN|{LATEST}", shell_complete=names_of(RUNS))
@click.option("--scenario", metavar="NAME", help=f"With {LATEST}: of this scenario.")
@QUIET
@OUTPUT
@options(everywhere=False)
@click.pass_context
def follow_run(ctx: click.Context, *, name: str, scenario: str | None, quiet: bool, output: str) -> int:
    """Follow a VerificationRun to its end; its verdict is the exit status."""
    kubectl = kubectl_of(ctx)
    found = _run(kubectl, name, scenario)
    surfaces = [surface.name for surface in found.status.surfaces]
    if not surfaces and found.spec.subset and found.spec.subset.surfaces:
        surfaces = list(found.spec.subset.surfaces)
    if not surfaces and ending(found) is None:
        listed = viewed(Scenario, kubectl.get(SCENARIOS, found.spec.scenario_ref.name))
        surfaces = [surface.name for surface in listed.spec.surfaces]
    return _to_its_end(ctx, found, surfaces, quiet=quiet, output=output)


def _run(kubectl: Kubectl, name: str, scenario: str | None) -> Run:
    if name == LATEST:
        chosen = f"spec.scenarioRef.name={named(scenario, 'scenario')}" if scenario else None
        runs = newest(Run, kubectl.get(RUNS, fields=chosen))
        if not runs:
            raise NotThere("there is no run yet; begin one: kubectl sectum run SCENARIO")
        return runs[0]
    try:
        return viewed(Run, kubectl.get(RUNS, named(name, "run")))
    except NotThere:
        raise nearest(kubectl, RUNS, name) from None


def _scenario(kubectl: Kubectl, name: str) -> Scenario:
    try:
        return viewed(Scenario, kubectl.get(SCENARIOS, name))
    except NotThere:
        raise nearest(kubectl, SCENARIOS, name) from None


def _known(scenario: Scenario, surfaces: tuple[str, ...], attacks: tuple[str, ...]) -> None:
    """Are these the scenario's surfaces, and attack classes? Raises ScenarioError."""
    there = [surface.name for surface in scenario.spec.surfaces]
    for given, known, what in ((surfaces, there, "surface"), (attacks, list(catalog.attacks()), "attack")):
        for name in given:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
                raise ScenarioError(f"--{what}", f"no {what} is named {name!r}", hint)


def _created(kubectl: Kubectl, scenario: str, spec: dict[str, Any], *, dry_run: bool) -> Run:
    """Named by the time, as a CronJob's Jobs are; a second one of the same second gets a number."""
    name = f"{scenario}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    for number in range(1, _SAME_SECOND + 1):
        unique = name if number == 1 else f"{name}-{number}"
        body = {
            "apiVersion": "sectum.ai/v1alpha1",
            "kind": "VerificationRun",
            "metadata": {"name": unique, **({"namespace": kubectl.namespace} if kubectl.namespace else {})},
            "spec": spec,
        }
        try:
            return viewed(Run, kubectl.create(RUNS, body, dry_run=dry_run))
        except NameTaken:
            continue
    raise ClusterFault(f"{_SAME_SECOND} runs are named {name} already; try again in a second")


def _to_its_end(ctx: click.Context, made: Run, surfaces: list[str], *, quiet: bool, output: str) -> int:
    """Follow it, show what became of it, and return its exit status."""
    settings, name = ctx.ensure_object(Settings), made.metadata.name
    kubectl = kubectl_of(ctx)
    pinned = kubectl.pinned(made.metadata.namespace)
    try:
        with stoppable(), Told(settings.err(), surfaces=surfaces, quiet=quiet) as told:
            ended = follow(
                lambda: viewed(Run, pinned.get(RUNS, name)),
                told,
                uid=made.metadata.uid,
                now=time.monotonic,
                sleep=time.sleep,
            )
    except KeyboardInterrupt:
        say(f"stopped watching; {name} goes on")
        say(f"follow it again: {kubectl.plugin('follow', name)}")
        say(f"cancel it: {cluster_card.cancel(name, kubectl)}")
        return 1
    except (ClusterFault, Endless):
        say(f"lost sight of {name}; to follow it again: {kubectl.plugin('follow', name)}")
        raise
    end = ending(ended)
    if end is None:
        raise Endless("the run has not ended")  # follow returns none such
    _emit(
        settings, output, ended, end, kubectl,
        draw=lambda console, _: cluster_card.draw(console, ended, end, kubectl=kubectl),
    )  # fmt: skip
    return end.exit_status


def _emit(
    settings: Settings, output: str, run: Run, end: Ending | None, kubectl: Kubectl, *, draw: show.Draw
) -> None:  # fmt: skip
    show.emit(
        output,
        settings=settings,
        document=cluster_card.document(run, end, kubectl),
        names=[f"verificationrun.sectum.ai/{run.metadata.name}"],
        draw=draw,
    )


def _made(run: Run, kubectl: Kubectl, *, dry_run: bool) -> Callable[[Console, bool], None]:
    def draw(console: Console, _wide: bool) -> None:
        note = " (dry run: nothing was made)" if dry_run else ""
        console.print(show.plain(f"verificationrun.sectum.ai/{run.metadata.name} created{note}"))
        if dry_run:
            return
        show.heading(console, "Next")
        show.command(console, kubectl.plugin("follow", run.metadata.name))
        show.command(console, cluster_card.cancel(run.metadata.name, kubectl))

    return draw
