"""`sectum plan`: what a run will do, ask and leave behind. Touches nothing."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.text import Text

from sectum import catalog
from sectum.actions import Verb
from sectum.cli import dpia, scorecard, show
from sectum.cli.loading import FILE, OUTPUT, load
from sectum.cli.settings import Settings, Subcommand
from sectum.plan import COUNTS_AS_COVERED, Plan, SurfaceTotals, make_plan
from sectum.scenario import Scenario

DPIA = click.option("--dpia", "record", is_flag=True, help="A data-protection record of the scenario, in Markdown.")


@click.command(cls=Subcommand)
@FILE
@DPIA
@OUTPUT
@click.pass_obj
def plan(settings: Settings, *, file: str, record: bool, output: str) -> int:
    """Show the trials, what is not tried and why, and what a run will ask of each surface. Touches nothing."""
    scenario = load(file, settings).scenario
    made = make_plan(scenario)
    if record:
        _protect(settings, dpia.record(scenario, made), output)
        return 0
    document = _document(scenario, made)
    show.emit(
        output,
        settings=settings,
        document=document,
        names=["/".join((each["surface"], each["attack"], each["askerKind"])) for each in document["groups"]],
        draw=lambda console, wide: _draw(console, document, wide=wide),
    )
    return 0


def _protect(settings: Settings, told: dict[str, Any], output: str) -> None:
    """The data-protection record: a page for people, the same for machines."""
    page = "\n\n".join(dpia.markdown(told))
    names = [each["surface"] for each in told["surfaces"]]
    show.emit(output, settings=settings, document=told, names=names, draw=lambda _console, _wide: click.echo(page))


def _document(scenario: Scenario, made: Plan) -> dict[str, Any]:
    document: dict[str, Any] = {
        "scenario": scenario.metadata.name,
        "principals": [str(principal) for principal in scenario.principals],
        "trials": len(made.trials),
        "markers": len(made.markers),
        "groups": _groups(made),
        "skips": [
            {**skip.row(), "covered": skip.reason in COUNTS_AS_COVERED or not skip.requested} for skip in made.skips
        ],
        "surfaces": [_surface(scenario, totals) for totals in made.totals],
    }
    return {**document, "warnings": _warnings(scenario, made, document["surfaces"])}


def _groups(made: Plan) -> list[dict[str, Any]]:
    """Trials by surface, attack and kind of asker."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for trial in made.trials:
        groups.setdefault(trial.group, []).append(trial.phrasing)
    return [
        {
            "surface": surface,
            "attack": attack,
            "askerKind": kind,
            "trials": len(phrasings),
            "impact": str(catalog.attacks()[attack].impact),
            "phrasings": list(dict.fromkeys(phrasings)),
        }
        for (surface, attack, kind), phrasings in groups.items()
    ]


def _surface(scenario: Scenario, totals: SurfaceTotals) -> dict[str, Any]:
    """Planting and probing on one side, cleaning up on the other: each has the whole budget to itself."""
    budget = scenario.surface(totals.surface).budget
    deletes, looks = _cleaning(scenario, totals)
    return {
        "surface": totals.surface,
        "trials": totals.trials,
        "requests": totals.requests - deletes - looks,
        "requestsBudget": budget.requests,
        "writes": totals.writes - deletes,
        "writesBudget": budget.writes,
        "cleaning": {"requests": deletes + looks, "writes": deletes},
        "minutesBudget": budget.minutes,
        "inFlight": budget.in_flight,
        "impact": [str(impact) for impact in totals.impact],
        "residue": list(totals.residue),
    }


def _cleaning(scenario: Scenario, totals: SurfaceTotals) -> tuple[int, int]:
    """Deletes, and looks whether what was deleted is gone."""
    verbs = scenario.surface(totals.surface).spec.verbs()
    if Verb.DELETE not in verbs or not totals.writes:
        return 0, 0
    deletes = totals.writes // 2
    if Verb.LIST in verbs:
        return deletes, len(scenario.principals)
    return deletes, deletes if Verb.FETCH in verbs else 0


def _warnings(scenario: Scenario, made: Plan, surfaces: list[dict[str, Any]]) -> list[str]:
    """What will keep the run from passing, as far as it can be known."""
    found = []
    for number, totals in enumerate(surfaces):
        for what in ("requests", "writes"):
            for wanted, why in ((totals[what], ""), (totals["cleaning"][what], " for cleaning up")):
                if wanted > totals[f"{what}Budget"]:
                    found.append(
                        f"{totals['surface']}: {wanted} {what} are planned{why} and the budget is "
                        f"{totals[f'{what}Budget']}: raise spec.surfaces[{number}].budget.{what}"
                    )
    for number, surface in enumerate(scenario.spec.surfaces):
        if Verb.WHOAMI not in surface.spec.verbs():
            found.append(
                f"{surface.name}: every trial will be inconclusive without an identity: "
                f"add spec.surfaces[{number}].adapter.{surface.adapter_name}.whoami"
            )
    for skip in made.skips:
        if skip.requested and skip.reason not in COUNTS_AS_COVERED:
            found.append(f"{skip.surface} × {skip.attack}: requested, and will not be covered: {skip.detail}")
    return found + ([] if made.trials else ["nothing will be tried"])


def _draw(console: Console, document: dict[str, Any], *, wide: bool) -> None:
    users, trials, markers = len(document["principals"]), document["trials"], document["markers"]
    console.print(show.plain(f"{document['scenario']}: {trials} trials, {users} users, {markers} markers"))
    console.print()
    columns = ["surface", "attack", "between", "trials", "impact", *(["ways to ask"] if wide else [])]
    rows = ([*_group(each), *([", ".join(each["phrasings"])] if wide else [])] for each in document["groups"])
    show.indented(console, show.table(columns, rows, right=["trials"]))
    show.heading(console, "What each surface is asked")
    show.indented(console, _totals(document))
    show.indented(
        console, show.dim("Retries and further pages of lists come on top. Cleaning up has the budget once more.")
    )
    if document["skips"]:
        show.heading(console, "Not tried")
        skips = document["skips"] if wide else scorecard.folded(document["skips"])
        show.indented(console, scorecard.skip_table(skips))
    residue = [(each["surface"], text) for each in document["surfaces"] for text in each["residue"]]
    if residue:
        show.heading(console, "What a run leaves behind")
        show.indented(console, show.table(["surface", "what"], residue))
    if document["warnings"]:
        show.heading(console, "Warnings")
        show.indented(console, *(Text.assemble(("! ", "yellow"), show.plain(each)) for each in document["warnings"]))


def _group(group: dict[str, Any]) -> list[show.Cell]:
    asked = scorecard.asker(group["askerKind"])
    return [group["surface"], group["attack"], asked, group["trials"], group["impact"]]


def _totals(document: dict[str, Any]) -> Any:
    rows = [
        [
            each["surface"],
            each["trials"],
            *(_of(each, what, counts[what]) for what in ("requests", "writes") for counts in (each, each["cleaning"])),
            ", ".join(each["impact"]),
        ]
        for each in document["surfaces"]
    ]
    numbers = ["trials", "requests / budget", "to clean up", "writes / budget", "deletes"]
    return show.table(["surface", *numbers, "impact"], rows, right=numbers)


def _of(totals: dict[str, Any], what: str, count: int) -> Text:
    budget = totals[f"{what}Budget"]
    return Text(f"{count} / {budget}", style="yellow" if count > budget else "")
