"""run.json -> what a person wants to know at a run's end: verdict, coverage, why not, who saw whose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from sectum import notes, wording
from sectum.cli import show
from sectum.cli.sentences import WHY, WHY_SKIPPED, field_of
from sectum.cli.settings import printable
from sectum.plan import SkipReason
from sectum.reasons import Reason
from sectum.score import score

Run = dict[str, Any]

_TOP = 8
"""Ways of asking shown unless everything is asked for, or there are more slot groups: each of those is shown once."""


def draw(console: Console, run: Run, *, reasons: list[dict[str, Any]], wide: bool) -> None:
    """The scorecard; `reasons` are those of `inconclusive`."""
    console.print(_headline(run))
    console.print()
    console.print(_cells(run, wide=wide))
    if any(cell.get("independent") for cell in run["cells"]):
        console.print()
        console.print(show.dim("Rate: of independent trials (an asker, a marker), with its 95 % Wilson interval."))
        console.print(show.dim("At most: the largest rate that could still hide behind these trials (95 %)."))
        console.print(show.dim("Score: of all surfaces × attacks of the scenario, those that were not tried included."))
    _notes(console, run)
    _findings(console, run, wide=wide)
    _accepted(console, run)
    _existence(console, run)
    _inconclusive(console, reasons)
    _skipped(console, run, wide=wide)
    _left(console, run, wide=wide)


def _headline(run: Run) -> Text:
    trials = len(run["rows"])
    seconds = (datetime.fromisoformat(run["ended"]) - datetime.fromisoformat(run["started"])).total_seconds()
    verdict = show.outcome(run["verdict"])
    verdict.stylize("bold")
    told = [f"{trials} trials", f"{len(run['findings'])} findings", f"score {score(run)} of 100", f"{seconds:.1f} s"]
    facts = [run["scenario"]["name"], *told]
    stopped = Text("   stopped early", style="yellow") if run["cancelled"] else Text("")
    return Text.assemble(verdict, Text("   " + " · ".join(facts), style="dim"), stopped)


def _cells(run: Run, *, wide: bool) -> Any:
    columns = ["surface", "attack", "between", "outcome", "trials", "leaks", "rate (95 % interval)", "at most"]
    more = ["passed", "inconclusive", "independent", "reasons"] if wide else []
    rows = (_cell(cell, wide=wide) for cell in run["cells"])
    numbers = {"trials", "leaks", "rate (95 % interval)", "at most", "passed", "inconclusive", "independent"}
    return show.table(columns + more, rows, right=numbers)


def _cell(cell: dict[str, Any], *, wide: bool) -> list[show.Cell]:
    names: list[show.Cell] = [cell["surface"], cell["attack"], asker(cell["askerKind"]), show.outcome(cell["outcome"])]
    reasons = ", ".join(cell["reasons"])
    if "trials" not in cell:
        return names + ["–"] * (7 if wide else 4) + ([reasons] if wide else [])
    hits, trials = cell["independentLeaks"], cell["independent"]
    low, high = cell["wilson95"]
    rate = f"{hits / trials * 100:.1f} % ({low * 100:.1f}–{high * 100:.1f})" if trials else "–"
    numbers: list[show.Cell] = [cell["trials"], cell["leaks"], rate, _percent(cell["upper95"]) if trials else "–"]
    more: list[show.Cell] = [cell["passes"], cell["inconclusive"], trials, reasons] if wide else []
    return names + numbers + more


def _percent(rate: float) -> str:
    return f"{rate * 100:.1f} %"


def asker(kind: str) -> str:
    """A kind of asker, in words: between whom something was tried."""
    return notes.BETWEEN.get(kind, kind)


def _notes(console: Console, run: Run) -> None:
    """What the numbers above would hide: a way of asking that always leaks, free text, a cache that may never hit."""
    said = [(cell, text) for cell, texts in notes.of_cells(run) for text in texts]
    if not said:
        return
    show.heading(console, "Beside the numbers")
    groups: dict[str, list[str]] = {}
    for cell, text in said:
        groups.setdefault(text, []).append(notes.called(notes.group_of(cell)))
    for text, cells in groups.items():
        show.indented(console, Text.assemble((", ".join(cells), "bold"), ": ", show.plain(text)))


def _findings(console: Console, run: Run, *, wide: bool) -> None:
    """One example for each surface, attack and kind of asker, then for the other ways of asking."""
    ways: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for finding in run["findings"]:
        ways.setdefault((*notes.group_of(finding), finding["phrasing"]), []).append(finding)
    if not ways:
        return
    firsts = notes.examples([found[0] for found in ways.values()], most=len(ways))
    ordered = [ways[*notes.group_of(each), each["phrasing"]] for each in firsts]
    shown = ordered[: None if wide else max(_TOP, len(set(map(notes.group_of, firsts))))]
    show.heading(console, "Who saw whose data")
    show.indented(
        console,
        show.table(
            ["surface", "attack", "how", "for example", "marker", "findings"], map(_example, shown), right=["findings"]
        ),
    )
    if len(shown) < len(ordered):
        rest = Counter(notes.called(notes.group_of(found[0])) for found in ordered[len(shown) :])
        named = ", ".join(f"{name} {count}" for name, count in rest.items())
        show.indented(console, show.dim(f"{rest.total()} more ways of asking: {named}. -o wide, or run.json, has all."))


def _accepted(console: Console, run: Run) -> None:
    """Which findings somebody answers for; they are leaks all the same."""
    if told := wording.accepted(run):
        show.heading(console, "Accepted risks (leaks all the same)")
        for expired, text in told:
            show.indented(console, Text(printable(text), style="yellow" if expired else ""))


def _example(found: list[dict[str, Any]]) -> list[show.Cell]:
    first = found[0]
    asker, owner = (f"{first[who]['tenant']}/{first[who]['user']}" for who in ("asker", "owner"))
    saw = Text.assemble((asker, "bold"), " saw ", (owner, "bold"))
    return [first["surface"], first["attack"], first["phrasing"], saw, first["kind"], len(found)]


def _existence(console: Console, run: Run) -> None:
    cells = [cell for cell in run["cells"] if cell.get("existenceShows")]
    if cells:
        show.heading(console, "Existence shows")
        for cell in cells:
            text = f"{cell['surface']} × {cell['attack']}: in {cell['existenceShows']} of {cell['trials']} trials"
            show.indented(console, show.plain(f"{text} the answer tells an object of others from none at all"))


def inconclusive(run: Run, *, sweep: str) -> Iterator[dict[str, Any]]:
    """For each surface and reason: how many trials, what it means, the field to look at and what to do.

    `sweep` stands in for the bare command where that is advised.
    """
    surfaces = run["scenario"]["snapshot"]["spec"]["surfaces"]
    numbers = {surface["name"]: number for number, surface in enumerate(surfaces)}
    adapters = {surface["name"]: next(iter(surface["adapter"])) for surface in surfaces}
    counts = Counter((row["surface"], row["reason"]) for row in run["rows"] if row["reason"])
    for (surface, name), trials in counts.items():
        why = WHY[Reason(name)]
        yield {
            "surface": surface,
            "reason": name,
            "trials": trials,
            "meaning": f"{why.what}{_at(surfaces[numbers[surface]]) if name == Reason.UNREACHABLE else ''}",
            "field": field_of(why, number=numbers[surface], adapter=adapters[surface]),
            "fix": why.fix.replace("run `sectum sweep-orphans`", sweep),
        }


def _at(surface: dict[str, Any]) -> str:
    """Where the scenario says that the surface is."""
    (adapter,) = surface["adapter"].values()
    place = adapter.get("origin") or adapter.get("host")
    return f" ({place})" if place else ""


def _inconclusive(console: Console, reasons: list[dict[str, Any]]) -> None:
    if not reasons:
        return
    show.heading(console, "Why inconclusive")
    for each in reasons:
        title = Text.assemble((each["surface"], "bold"), f": {each['reason']}, {each['trials']} trials")
        show.indented(console, title)
        show.advice(console, each["meaning"], fix=each["fix"], field=each["field"])


def _skipped(console: Console, run: Run, *, wide: bool) -> None:
    """What was not tried: always if it was asked for, everything if wide."""
    skips = [skip for skip in run["skips"] if wide or skip["requested"]]
    if skips:
        show.heading(console, "Not tried")
        show.indented(console, skip_table(skips))


def skip_table(skips: list[dict[str, Any]]) -> Any:
    """Skips with their reasons, in words."""
    rows = ([skip["surface"], skip["attack"], WHY_SKIPPED[SkipReason(skip["reason"])], _detail(skip)] for skip in skips)
    return show.table(["surface", "attack", "why", "detail"], rows)


def folded(skips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What nobody asked for, as one line a surface, below the other skips."""
    rest = [skip for skip in skips if skip["reason"] != SkipReason.NOT_REQUESTED]
    names: dict[str, dict[str, None]] = {}
    for skip in skips:
        if skip["reason"] == SkipReason.NOT_REQUESTED:
            names.setdefault(skip["surface"], {})[skip["attack"]] = None
    shared = {"reason": SkipReason.NOT_REQUESTED, "pairs": 0}
    return rest + [
        {**shared, "surface": name, "attack": f"{len(each)} attacks", "detail": ", ".join(each)}
        for name, each in names.items()
    ]


def _detail(skip: dict[str, Any]) -> str:
    pairs = f", {skip['pairs']} pairs of asker and owner" if skip["pairs"] else ""
    return f"{skip['detail']}{pairs}"


def _left(console: Console, run: Run, *, wide: bool) -> None:
    """Documents that could not be removed, and what nobody can remove."""
    lost = [surface for surface in run["surfaces"] if surface["notRemoved"]]
    residue = [(surface["name"], text) for surface in run["surfaces"] for text in surface["residue"]] if wide else []
    if lost or residue:
        show.heading(console, "Left behind")
    for surface in lost:
        show.indented(console, Text(f"{surface['name']}: {surface['notRemoved']} documents", style="yellow"))
    for name, text in residue:
        show.indented(console, show.plain(f"{name}: {text}"))
