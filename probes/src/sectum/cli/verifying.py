"""`sectum verify`: a pack and what its verifier holds -> the numbered checklist."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sectum.cli import show
from sectum.cli.loading import OUTPUT
from sectum.cli.settings import Settings, Subcommand
from sectum.errors import UsageError
from sectum.keys.unsafe_local import UnsafeLocalKey
from sectum.ports import KeyWrapper
from sectum.verify import Checklist, Mark
from sectum.verify import verify as check_pack

LOCAL_KEY = "unsafe-local-key:"
_KEY_BYTES = 32
NOT_VERIFIED = 12
_STYLES = {Mark.DONE: "green", Mark.FAILED: "bold red", Mark.OPEN: "yellow"}

PACK = click.argument("pack", type=click.Path(path_type=Path), required=False)
KEY = click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="PEM|REF",
    help=f"The signer's public key in PEM; and, for --manifest, {LOCAL_KEY}PATH. Repeatable.",
)
OPEN = click.option("--open", "opened", type=click.Path(path_type=Path), metavar="FILE", help="The run's Open record.")
MANIFEST = click.option("--manifest", type=click.Path(path_type=Path), metavar="SEALED", help="The sealed manifest.")
UNANCHORED = click.option(
    "--allow-unanchored",
    is_flag=True,
    help="Accept open steps that only a timestamp, a log or an Open record ticks off.",
)
SERIES = click.option(
    "--series", metavar="URI", help="Instead of a pack all runs of a scenario: a run's --out, or s3://BUCKET/PREFIX."
)
FROM = click.option("--from", "since", metavar="DATE", help="With --series: runs from this day (UTC) or time on.")
TO = click.option(
    "--to", "until", metavar="DATE", help="With --series: up to this day or time; else up to the last record."
)
SCENARIO = click.option(
    "--scenario", metavar="NAMESPACE/NAME", help="With --series: whose, if the store has several series."
)
FIRST = click.option(
    "--first",
    type=click.IntRange(min=1),
    default=1,
    metavar="NUMBER",
    help="With --series: its first record, where older ones were let go.",
)
ENDPOINT = click.option("--endpoint", metavar="URL", help="With s3://: the server, where it is not AWS.")


@click.command(cls=Subcommand)
@PACK
@KEY
@OPEN
@MANIFEST
@UNANCHORED
@SERIES
@FROM
@TO
@SCENARIO
@FIRST
@ENDPOINT
@OUTPUT
@click.pass_obj
def verify(
    settings: Settings,
    /,
    *,
    pack: Path | None,
    keys: tuple[str, ...],
    opened: Path | None,
    manifest: Path | None,
    allow_unanchored: bool,
    series: str | None,
    output: str,
    **period: Any,
) -> int:
    """Check an evidence pack offline, step by step: ✓ holds, ✗ does not, – nothing given can tell.

    Trust comes from --key, never from the pack. With --manifest and its key it is also proven that the sealed manifest
    belongs to the pack. With --series all runs of a scenario are checked, and that none was left out. Exit status 12
    unless verified.
    """
    public = public_key(keys)
    if series is not None:
        if pack or opened or manifest or public is None:
            raise UsageError("--series goes with --key, the signer's public key, and without PACK, --open, --manifest")
        from sectum.cli.verifying_series import Asked, verify_series  # with what reads S3 it takes half a second

        asked = Asked(uri=series, **period)
        done = verify_series(settings, asked, key=public, allow_unanchored=allow_unanchored, output=output)
        return 0 if done else NOT_VERIFIED
    if any(value for name, value in period.items() if (name, value) != ("first", 1)):
        raise UsageError("--from, --to, --scenario, --first and --endpoint go with --series; leave them out")
    if pack is None:
        raise UsageError("give the pack to verify, its zip or its folder; or --series, all runs of a scenario")
    if not pack.exists():
        raise UsageError(f"{pack}: no such pack; give the zip or its folder")
    checklist = check_pack(
        pack,
        key=public,
        open_record=read(opened) if opened else None,
        manifest=sealed_manifest(manifest, keys),
        allow_unanchored=allow_unanchored,
    )
    show.emit(
        output,
        settings=settings,
        document={"pack": str(pack), **checklist.as_json()},
        names=[str(pack)] if checklist.verified else [],
        draw=lambda console, _wide: _draw(console, checklist, keyed=public is not None),
    )
    return 0 if checklist.verified else NOT_VERIFIED


def public_key(keys: tuple[str, ...]) -> bytes | None:
    """The one PEM among the values of --key; raises UsageError."""
    paths = [key for key in keys if not key.startswith(LOCAL_KEY)]
    if len(paths) > 1:
        raise UsageError(f"one public key verifies a pack, {len(paths)} were given; run verify once for each")
    return read(Path(paths[0])) if paths else None


def sealed_manifest(sealed: Path | None, keys: tuple[str, ...]) -> tuple[bytes, KeyWrapper] | None:
    """The sealed manifest with the key that opens it, if both are given; raises UsageError."""
    references = [key.removeprefix(LOCAL_KEY) for key in keys if key.startswith(LOCAL_KEY)]
    if sealed is None and not references:
        return None
    if sealed is None or len(references) != 1:
        raise UsageError(f"--manifest goes with one --key {LOCAL_KEY}PATH; give both")
    key = read(Path(references[0]))
    if len(key) != _KEY_BYTES:
        raise UsageError(f"{references[0]} is not a key of {_KEY_BYTES} bytes; give the file that the run used")
    return read(sealed), UnsafeLocalKey(key)


def read(path: Path) -> bytes:
    """A file that was named on the command line; raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {os.strerror(error.errno or 0)}") from None


def _draw(console: Console, checklist: Checklist, *, keyed: bool) -> None:
    steps = Table.grid(padding=(0, 1, 0, 0))
    for each in checklist.steps:
        mark = (str(each.mark), _STYLES[each.mark])
        steps.add_row(f"{each.number:2}.", Text.assemble(f"{each.title}: ", mark, f" {each.text}"))
    console.print(steps)
    console.print()
    style = "bold green" if checklist.verified else "bold red"
    console.print(Text(_end(checklist, keyed=keyed), style=style), soft_wrap=True)


def _end(checklist: Checklist, *, keyed: bool) -> str:
    """The last line: with the run's verdict once that is to be trusted, else with what is missing first of all."""
    if checklist.verified:
        return f"{checklist.summary}; verdict: {checklist.verdict}"
    return checklist.summary if keyed else f"{checklist.summary}; give --key, the signer's public key"
