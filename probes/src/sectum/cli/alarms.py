"""`sectum is-ours`: what tripped an alarm, and where runs are kept -> whether it belongs to one, and to which."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from sectum.alarm import About, Alarm, Answer, Judged, Match, OpenKey, answer, judge
from sectum.cli import show
from sectum.cli.loading import OUTPUT, SECRETS, load, secrets_folder
from sectum.cli.settings import Settings, Subcommand, say
from sectum.errors import ScenarioError, SealBroken, UsageError
from sectum.ports import KeyWrapper, Store
from sectum.run import Run
from sectum.secrets_dir import ReadSecret, secrets_in
from sectum.store import local_store

EXIT = {Answer.OURS: 0, Answer.NOT_OURS: 13, Answer.UNKNOWN: 11}
MAX_BYTES = 1 << 20
_STYLES = {Answer.OURS: "green", Answer.NOT_OURS: "bold", Answer.UNKNOWN: "yellow"}
_SAID = {
    Answer.OURS: "ours: it holds what only a run has",
    Answer.NOT_OURS: "not ours: nothing of these runs is in it",
    Answer.UNKNOWN: "unknown: nothing proves that it is a run's, and not everything rules it out",
}

ALARM = click.argument("alarm", metavar="[FILE|-]", default="-")
ABOUT = click.option(
    "--as",
    "about",
    type=click.Choice([str(each) for each in About]),
    default=str(About.TEXT),
    show_default=True,
    help="What is in it: any text, or accounts or addresses, one a line.",
)
OUT = click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of local runs.")
FILE = click.option("-f", "--file", metavar="FILE", help="Scenario whose stores hold a cluster's runs.")
RUN = click.option("--run", "runs", multiple=True, metavar="ID", help="Look at this run only. Repeatable.")


@click.command("is-ours", cls=Subcommand)
@ALARM
@ABOUT
@OUT
@FILE
@RUN
@SECRETS
@OUTPUT
@click.pass_obj
def is_ours(
    settings: Settings,
    *,
    alarm: str,
    about: str,
    out: Path | None,
    file: str | None,
    runs: tuple[str, ...],
    secrets: Path | None,
    output: str,
) -> int:
    """Tell whether what tripped an alarm belongs to a run. Writes nothing, and shows no marker.

    The alarm's text comes from a file or stdin, never from the command line. The runs are those of --out, or those in
    the stores of the scenario -f; the manifest's key, as for sweep-orphans, tells markers: without it nothing is sure.

    Exit status 0: ours; 13: not ours; 11: unknown.
    """
    store, work, open_key = _kept(settings, out=out, file=file, secrets=secrets)
    tripped = Alarm(_read(alarm), About(about))
    judged = asyncio.run(judge(tripped, store=store, work=work, open_key=open_key, only=frozenset(runs)))
    found = answer(judged)
    document = {"answer": str(found), "exitStatus": EXIT[found], "as": about, "runs": [_row(each) for each in judged]}
    show.emit(
        output,
        settings=settings,
        document=document,
        names=[each.run for each in judged if each.answer == Answer.OURS],
        draw=lambda console, wide: _draw(console, judged, found, wide=wide),
    )
    return EXIT[found]


def _kept(
    settings: Settings, *, out: Path | None, file: str | None, secrets: Path | None
) -> tuple[Store, Store, OpenKey]:
    """Where runs are kept, and what opens their manifests; raises UsageError, ScenarioError."""
    if (out is None) == (file is None):
        raise UsageError("where are the runs? give one of --out DIR and -f FILE")
    if out is not None:
        if not out.is_dir():
            raise UsageError(f"{out}: no such folder; give the --out of the runs")
        secret = _secrets(secrets, Path())
        local = local_store(out)
        return local, local, lambda about: about.scenario.spec.manifest.spec.wrapper(secret)
    if file == "-":
        raise UsageError("-f - would read stdin, as the alarm may; give the scenario as a file")
    loaded = load(str(file), settings)
    evidence = loaded.scenario.spec.evidence
    if evidence.store_spec is None or evidence.records_spec is None:
        raise ScenarioError("spec.evidence", "names no store and records", "local runs are looked at with --out DIR")
    secret = _secrets(secrets, loaded.folder)
    key: KeyWrapper = loaded.scenario.spec.manifest.spec.wrapper(secret)

    def same(about: Run) -> KeyWrapper:
        # What lies in the bucket may not name the server that gets our credentials.
        if about.clear["key"] != key.reference:
            raise SealBroken("the scenario -f names another key; give it as it was for that run")
        return key

    return evidence.store_spec.open(secret), evidence.records_spec.open(secret), same


def _secrets(given: Path | None, beside: Path) -> ReadSecret:
    """Without a folder nothing can be read: that is an answer too, if not a sure one."""
    return secrets_in(secrets_folder(given, beside) if given else beside / "secrets")


def _read(alarm: str) -> str:
    """The alarm's text; raises UsageError, which does not repeat what stands on the command line."""
    if alarm == "-" and sys.stdin.isatty():
        say("the alarm's text is read from here, up to Ctrl-D")
    try:
        with nullcontext(sys.stdin.buffer) if alarm == "-" else Path(alarm).open("rb") as source:
            data = source.read(MAX_BYTES + 1)
    except OSError:
        raise UsageError("no such file; the alarm's text stands in a file or comes on stdin, not as words") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"the alarm has more than {MAX_BYTES} bytes; give the lines that tripped it")
    if not data.strip():
        raise UsageError("the alarm is empty; give its text in a file or on stdin")
    return data.decode(errors="replace")


def _row(judged: Judged) -> dict[str, Any]:
    told = judged.told
    return {
        "run": judged.run,
        "answer": str(judged.answer),
        "scenario": judged.scenario,
        "namespace": judged.namespace,
        "started": told.started,
        "ended": told.ended,
        "outcome": told.outcome,
        "key": judged.key,
        "matches": [
            {"what": str(each.what), "id": each.id, "sure": each.sure, "form": list(each.form)}
            for each in judged.matches
        ],
        "notLookedAt": list(judged.unseen),
    }


def _draw(console: Console, judged: list[Judged], found: Answer, *, wide: bool) -> None:
    told = [each for each in judged if wide or each.answer == found != Answer.NOT_OURS]
    for each in told:
        where = f"{each.namespace}/{each.scenario}" if each.namespace else each.scenario or "?"
        show.heading(console, f"{each.run}  {where}")
        ended = f"{each.told.outcome} {each.told.ended}" if each.told.ended else "has not ended"
        show.indented(console, show.dim(f"began {each.told.started or '?'}, {ended}; key {each.key or '?'}"))
        if each.matches:
            rows = [[str(one.what), one.id, _how(one)] for one in each.matches]
            show.indented(console, show.table(["what", "of", "says"], rows))
        show.indented(console, *(show.plain(f"! {text}") for text in each.unseen))
    if told:
        console.print()
    rest = f" ({len(judged)} runs looked at)" if judged else ": there are no runs here"
    console.print(Text(_SAID[found] + rest, style=_STYLES[found]), soft_wrap=True)


def _how(match: Match) -> str:
    if not match.sure:
        return "fits, proves nothing"
    return f"ours, within {' of '.join(match.form)}" if match.form else "ours"
