"""`sectum run` and `sectum sweep-orphans`: what touches a system under test for more than a look."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from shlex import join
from typing import Any

import click

from sectum import pipeline, sweep
from sectum.assembly import Ended
from sectum.cli import scorecard, show
from sectum.cli.loading import FILE, OUT, OUTPUT, SECRETS, Loaded, load, locked, secrets_folder
from sectum.cli.settings import Settings, Subcommand, say
from sectum.cli.signals import interruptible
from sectum.cli.watch import Watch, watch
from sectum.finding import Outcome
from sectum.job import Observe, Progress
from sectum.score import score
from sectum.secrets_dir import secrets_in
from sectum.store import local_store

EXIT = {Outcome.PASS: 0, Outcome.LEAK: 10, Outcome.INCONCLUSIVE: 11, Outcome.NOT_COVERED: 11}

QUIET = click.option("--quiet", is_flag=True, help="No progress on stderr.")


@click.command(cls=Subcommand)
@FILE
@OUT
@SECRETS
@OUTPUT
@QUIET
@click.pass_obj
def run(settings: Settings, *, file: str, out: Path, secrets: Path | None, output: str, quiet: bool) -> int:
    """Verify a scenario: plant, probe, clean up, and write a signed evidence pack.

    Ctrl-C stops the probing, cleans up and still writes the pack; a second one ends at once.
    """
    loaded = load(file, settings)
    folder = secrets_folder(secrets, loaded.folder)
    with locked(out), _watching(settings, loaded, quiet=quiet) as seen:
        ended = interruptible(
            lambda: pipeline.run(loaded.scenario, secret=secrets_in(folder), store=local_store(out), observe=seen),
            first=partial(seen.notice, "stopping: cleaning up, then writing the pack (Ctrl-C again: end at once)"),
            second=partial(_end_hard, seen, out, folder),
            unfinished=f"stopped before the pack was written; {join(_sweep_command(out, folder))}",
        )
    document = _document(ended, loaded, out, folder)
    show.emit(
        output,
        settings=settings,
        document=document,
        names=[document["pack"]],
        draw=lambda console, wide: _draw(console, ended.run, document, wide=wide),
    )
    return EXIT[ended.outcome]


def _watching(settings: Settings, loaded: Loaded, *, quiet: bool) -> Watch:
    names = [surface.name for surface in loaded.scenario.spec.surfaces]
    return watch(settings.err(), surfaces=names, quiet=quiet)


def _end_hard(seen: Watch, out: Path, folder: Path) -> None:
    seen.__exit__(None, None, None)
    say("error: ended at once; documents may be left in the surfaces")
    say(f"next: {join(_sweep_command(out, folder))}")


def _sweep_command(out: Path, folder: Path | None) -> list[str]:
    return ["sectum", "sweep-orphans", "--out", str(out), *(["--secrets", str(folder)] if folder else [])]


def _document(ended: Ended, loaded: Loaded, out: Path, folder: Path) -> dict[str, Any]:
    """The run in short: run.json in the pack has it all."""
    result = ended.run
    public = _public_key(loaded, folder)
    pack, opened = str(out / ended.pack), str(out / ended.open_record)
    key = str(public) if public else "PUBLIC-KEY.pem"
    return {
        "run": result["run"],
        "scenario": result["scenario"]["name"],
        "verdict": result["verdict"],
        "score": score(result),
        "exitStatus": EXIT[ended.outcome],
        "cancelled": result["cancelled"],
        "started": result["started"],
        "ended": result["ended"],
        "trials": len(result["rows"]),
        "cells": result["cells"],
        "inconclusive": list(scorecard.inconclusive(result, sweep=_sweep_advice(out, folder))),
        "skips": result["skips"],
        "findings": result["findings"],
        "surfaces": result["surfaces"],
        "pack": pack,
        "openRecord": opened,
        "manifest": str(out / ended.manifest),
        "publicKey": str(public) if public else None,
        "verify": ["sectum", "verify", pack, "--key", key, "--open", opened, "--allow-unanchored"],
        "sweep": _sweep_command(out, folder) if any(each["notRemoved"] for each in result["surfaces"]) else None,
    }


def _sweep_advice(out: Path, folder: Path) -> str:
    """The command that sweeps, and whether there is anything to sweep."""
    unfinished = len(asyncio.run(sweep.orphans(local_store(out))))
    runs = "1 unfinished run" if unfinished == 1 else f"{unfinished or 'no'} unfinished runs"
    return f"run `{join(_sweep_command(out, folder))}` ({out} holds {runs})"


def _public_key(loaded: Loaded, folder: Path) -> Path | None:
    """Where `sectum keygen` wrote the signer's public key, if it did."""
    reference = getattr(loaded.scenario.spec.evidence.spec, "secret_ref", None)
    path = folder / reference.name / f"{reference.key}.pub" if reference else None
    return path if path and path.is_file() else None


def _draw(console: Any, result: dict[str, Any], document: dict[str, Any], *, wide: bool) -> None:
    scorecard.draw(console, result, reasons=document["inconclusive"], wide=wide)
    show.heading(console, "Evidence")
    show.command(console, document["pack"])
    show.heading(console, "Next")
    show.command(console, join(document["verify"]))
    if document["publicKey"] is None:
        show.indented(console, show.dim("PUBLIC-KEY.pem is the signer's public key: openssl pkey -in KEY -pubout"))
    if document["sweep"]:
        show.command(console, join(document["sweep"]))


@click.command("sweep-orphans", cls=Subcommand)
@OUT
@SECRETS
@OUTPUT
@click.pass_obj
def sweep_orphans(settings: Settings, *, out: Path, secrets: Path | None, output: str) -> int:
    """Remove what runs that were killed left in the surfaces.

    Works from their sealed manifests, intents and receipts in --out. Exit status 0 if nothing is left.
    """
    if not out.is_dir():
        raise click.UsageError(f"{out}: no such folder; give the --out of the runs to clean up after")
    with locked(out), watch(settings.err(), surfaces=[], quiet=True) as seen:
        steps: list[Progress] = []
        swept = interruptible(
            lambda: _sweep(out, secrets, steps.append),
            first=partial(seen.notice, "stopping"),
            second=lambda: None,
            unfinished=f"stopped before everything was removed; {join(_sweep_command(out, secrets))}",
        )
    rows: list[list[show.Cell]] = [
        [run_id, surface, counts["removed"], counts["notRemoved"]]
        for run_id, surfaces in swept.items()
        for surface, counts in surfaces.items()
    ]
    left = sum(counts["notRemoved"] for surfaces in swept.values() for counts in surfaces.values())
    show.emit(
        output,
        settings=settings,
        document={"runs": swept, "notRemoved": left},
        names=swept,
        draw=lambda console, _wide: console.print(
            show.table(["run", "surface", "removed", "not removed"], rows, right=["removed", "not removed"])
            if rows
            else show.plain(_nothing(swept))
        ),
    )
    if left:
        for each in filter(lambda step: step.note, steps):
            say(f"{each.surface}: {each.note}")
        say(f"next: when that is mended, sweep again: {join(_sweep_command(out, secrets))}")
    return 1 if left else 0


def _nothing(swept: dict[str, Any]) -> str:
    return f"{len(swept)} runs had planted nothing" if swept else "no run was left unfinished"


async def _sweep(out: Path, secrets: Path | None, observe: Observe) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by run and surface."""
    store = local_store(out)
    orphans = await sweep.orphans(store)
    if not orphans:
        return {}
    secret = secrets_in(secrets_folder(secrets))
    swept = {}
    for run_id in orphans:
        cleaned = await sweep.sweep(run_id, secret=secret, store=store, observe=observe)
        swept[run_id] = {
            surface: {"removed": each.removed, "notRemoved": each.not_removed} for surface, each in cleaned.items()
        }
    return swept
