"""`sectum diff`: two packs and what their verifier holds -> what changed, trial by trial."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from sectum.cli import show, verifying
from sectum.cli.loading import OUTPUT
from sectum.cli.settings import Settings, Subcommand, say
from sectum.codec import sha256
from sectum.container import BadContainer, read, to_zip
from sectum.diff import Change, compare
from sectum.errors import NotVerified, UsageError
from sectum.verify import Checklist, verify

_LEAK, _UNDECIDED = 10, 11
_SIDES = ("before", "after")
_TITLES = {
    Change.NOT_TRIED_AGAIN: ("Leaks that were not tried again", "bold red"),
    Change.NEW: ("New leaks", "bold red"),
    Change.PERSISTING: ("Leaks still there", "red"),
    Change.LOST: ("Coverage lost", "yellow"),
    Change.FIXED: ("Leaks fixed", "green"),
    Change.GAINED: ("Coverage gained", "green"),
}
_PACK = click.Path(path_type=Path)


_file = partial(click.option, type=_PACK, metavar="FILE")


@click.command(cls=Subcommand)
@click.argument("old", type=_PACK)
@click.argument("new", type=_PACK)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="PEM|REF",
    help=f"As of verify, for both packs: the signer's public key; {verifying.LOCAL_KEY}PATH for manifests.",
)
@click.option("--old-key", "old_keys", multiple=True, metavar="PEM|REF", help="OLD's, in place of --key.")
@_file("--old-open", help="OLD's Open record.")
@_file("--new-open", help="NEW's Open record.")
@_file("--old-manifest", help="OLD's sealed manifest.")
@_file("--new-manifest", help="NEW's sealed manifest.")
@verifying.UNANCHORED
@click.option("--unverified", is_flag=True, help="Compare what does not verify, too. Its differences prove nothing.")
@OUTPUT
@click.pass_obj
def diff(
    settings: Settings, *, old: Path, new: Path, keys: tuple[str, ...], old_keys: tuple[str, ...],
    old_open: Path | None, new_open: Path | None, old_manifest: Path | None, new_manifest: Path | None,
    allow_unanchored: bool, unverified: bool, output: str,
) -> int:  # fmt: skip
    """Compare two evidence packs, trial by trial: leaks that are new, still there, fixed, or were not tried again.

    Both are verified first. A leak is fixed only where the same trial was tried again and passed. Exit status 10 if
    there is a new leak, 11 if a leak was not tried again or coverage was lost, else 0.
    """
    zips = [_zip(pack) for pack in (old, new)]
    checked = [
        _checked(pack, data, keys=held, opened=opened, manifest=manifest, allow=(allow_unanchored, unverified))
        for pack, data, held, opened, manifest in (
            (old, zips[0], old_keys or keys, old_open, old_manifest),
            (new, zips[1], keys, new_open, new_manifest),
        )
    ]
    told = _document((old, new), [sha256(data) for data in zips], checked)
    if told["baseline"] and not told["baseline"]["met"]:
        say(f"warning: {old} is not the baseline that the scenario of {new} names: {told['baseline']['sha256']}")
    if told["after"]["started"] < told["before"]["started"]:
        say(f"warning: {new} is of an earlier run than {old}: were they given in the wrong order?")
    show.emit(
        output,
        settings=settings,
        document=told,
        names=dict.fromkeys(f"{each['change']}/{each['surface']}/{each['attack']}" for each in told["groups"]),
        draw=lambda console, wide: _draw(console, told, wide=wide),
    )
    return _status(told["counts"])


def _zip(pack: Path) -> bytes:
    """The pack's zip, or the one that its folder's members make; raises UsageError, NotVerified."""
    if not pack.exists():
        raise UsageError(f"{pack}: no such pack; give the zip or its folder")
    try:
        return to_zip(read(pack))
    except BadContainer as error:
        raise NotVerified(f"{pack}: {error}") from None


def _checked(
    pack: Path,
    data: bytes,
    *,
    keys: tuple[str, ...],
    opened: Path | None,
    manifest: Path | None,
    allow: tuple[bool, bool],
) -> Checklist:
    """The pack's checklist, which holds its run; raises NotVerified unless it verifies or need not."""
    unanchored, unverified = allow
    checklist = verify(
        data,
        key=verifying.public_key(keys),
        open_record=verifying.read(opened) if opened else None,
        # --key may hold the other pack's manifest key; without a manifest it opens nothing here
        manifest=verifying.sealed_manifest(manifest, keys) if manifest else None,
        allow_unanchored=unanchored,
    )
    if not checklist.verified and not unverified:
        raise NotVerified(f"{pack}: {checklist.summary.replace('; ', ', ')}; `sectum verify` shows each step")
    if not checklist.run:
        raise NotVerified(f"{pack}: its run.json does not hold in itself, so there is nothing to compare")
    if not checklist.verified:
        say(f"WARNING: {pack} is {checklist.summary}")
        say("WARNING: --unverified: anybody may have written it; the differences below prove nothing")
    return checklist


def _document(packs: tuple[Path, Path], digests: list[str], checked: list[Checklist]) -> dict[str, Any]:
    before, after = (each.run for each in checked)
    told = compare(before, after)
    for side, pack, zipped, checklist in zip(_SIDES, packs, digests, checked, strict=True):
        trust = {"verified": checklist.verified, "summary": checklist.summary}
        told[side] = {"pack": str(pack), "sha256": zipped, **trust, **told[side]}
    named = after["scenario"]["snapshot"]["spec"].get("baseline")
    return {**told, "baseline": {**named, "met": named["sha256"] == digests[0]} if named else None}


def _status(counts: Mapping[str, int]) -> int:
    if counts[Change.NEW]:
        return _LEAK
    return _UNDECIDED if counts[Change.NOT_TRIED_AGAIN] or counts[Change.LOST] else 0


def _draw(console: Console, told: dict[str, Any], *, wide: bool) -> None:
    for side in _SIDES:
        run = told[side]
        at = run["ended"][:16].replace("T", " ")
        facts = f"   {side}: {run['scenario']['name']} · {at} UTC · score {run['score']} of 100 · {run['pack']}"
        verdict = show.outcome(run["verdict"])
        trust = Text(f"   {run['summary']}", style="dim" if run["verified"] else "bold red")
        console.print(Text.assemble(verdict, Text(facts), trust), soft_wrap=True)
    if told["baseline"]:
        met = told["baseline"]["met"]
        said = "the baseline that the scenario names" if met else "NOT the baseline that the scenario names"
        console.print(Text(f"before is {said}", style="dim" if met else "bold red"))
    console.print()
    console.print(_headline(told))
    for change, (title, style) in _TITLES.items():
        groups = [each for each in told["groups"] if each["change"] == change]
        if groups:
            console.print()
            console.print(Text(f"{title}: {told['counts'][change]} trials", style=style))
            show.indented(console, _table(groups, change, wide=wide))
    _scenario(console, told)


def _headline(told: dict[str, Any]) -> Text:
    counts = told["counts"]
    rest = f"   {counts[Change.UNCHANGED]} trials pass as before, {counts[Change.UNDECIDED]} still decide nothing"
    said = Text("worse", style="bold red") if told["worse"] else Text("nothing is worse", style="bold green")
    return Text.assemble(said, Text(rest, style="dim"))


def _table(groups: list[dict[str, Any]], change: Change, *, wide: bool) -> Any:
    leaks = change not in (Change.LOST, Change.GAINED)
    columns = ["surface", "attack", "for example", "trials", "pairs", "was", "is", "why"]
    rows = []
    for each in groups:
        asker, owner = (f"{each['worst'][who]['tenant']}/{each['worst'][who]['user']}" for who in ("asker", "owner"))
        pair = Text.assemble((asker, "bold"), " saw " if leaks else " asks for ", (owner, "bold"))
        states = (", ".join(f"{name} {count}" for name, count in each[side].items() if count) for side in _SIDES)
        row = [each["surface"], each["attack"], pair, each["trials"], each["pairs"], *states]
        rows.append([*row, ", ".join(each["reasons"]), *(["\n".join(each["slots"])] if wide else [])])
    return show.table(columns + (["slots"] if wide else []), rows, right=["trials", "pairs"])


def _scenario(console: Console, told: dict[str, Any]) -> None:
    """Which parts of it changed, and how many trials only one of the runs has."""
    scenario = told["scenario"]
    subsets = told["before"]["subset"] != told["after"]["subset"]
    if not scenario["changed"] and not subsets:
        return
    show.heading(
        console, "Changed scenario" if scenario["changed"] else "The runs are for different parts of the scenario"
    )
    only = f"{scenario['onlyBefore']} trials only before, {scenario['onlyAfter']} only after"
    show.indented(console, show.plain(only))
    for part in ("tenants", "surfaces", "attacks"):
        for how, names in scenario[part].items():
            if names:
                named = (each if isinstance(each, str) else f"{each['surface']} × {each['attack']}" for each in names)
                show.indented(console, show.plain(f"{part} {how}: {', '.join(named)}"))
    if scenario["other"]:
        show.indented(console, show.plain(f"also changed: {', '.join('spec.' + each for each in scenario['other'])}"))
