"""`kubectl sectum fetch`: an EvidencePack -> its zip and the Open record as files, checked against their digests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Any

import click
from rich.console import Console

from sectum import container, document
from sectum.cli import cluster_card, show
from sectum.cli.cluster import LATEST, PACKS, SCENARIOS, Kubectl, kubectl_of, nearest, options
from sectum.cli.cluster_faults import NotThere
from sectum.cli.cluster_names import names_of
from sectum.cli.cluster_objects import Pack, named, newest, viewed
from sectum.cli.cluster_place import Read, place_of, reader
from sectum.cli.loading import OUTPUT
from sectum.cli.settings import Settings, Subcommand
from sectum.codec import sha256
from sectum.errors import NotStored, NotVerified, UsageError
from sectum.series import folder


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched: the pack's zip and, if it was found, the Open record that it names."""

    zip: bytes
    opened: bytes | None
    why_not: str = ""


@click.command(cls=Subcommand)
@click.argument("name", metavar=f"PACK|{LATEST}", shell_complete=names_of(PACKS, more=(LATEST,)))
@click.option(
    "--scenario", metavar="NAME", shell_complete=names_of(SCENARIOS), help=f"With {LATEST}: of this scenario."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Where the files go, which are never overwritten.  [default: .]",
)
@click.option("--endpoint", metavar="URL", help="The S3 server, where it is not AWS, as it is reached from here.")
@OUTPUT
@options(everywhere=False)
@click.pass_context
def fetch(ctx: click.Context, *, name: str, scenario: str | None, out: Path, endpoint: str | None, output: str) -> int:
    """Download a pack and its Open record, check the digests, and say how to verify them.

    From s3:// with the credentials of your own AWS environment, or from file://. Exit status 12 if the bytes are not
    those that the EvidencePack names.
    """
    pack = _pack(kubectl_of(ctx), name, scenario)
    fetched = _fetched(pack, reader(place := place_of(pack.spec.uri), endpoint=endpoint), place.name)
    zipped, opened = (out / f"{pack.metadata.name}{suffix}" for suffix in (".zip", ".open.json"))
    _write(zipped, fetched.zip)
    if fetched.opened is not None:
        _write(opened, fetched.opened)
    told = _document(pack, zipped, opened if fetched.opened is not None else None, fetched)
    show.emit(
        output,
        settings=ctx.ensure_object(Settings),
        document=told,
        names=[told["file"]],
        draw=lambda console, _: _draw(console, told),
    )
    return 0


def _pack(kubectl: Kubectl, name: str, scenario: str | None) -> Pack:
    if name == LATEST:
        chosen = f"spec.scenarioRef.name={named(scenario, 'scenario')}" if scenario else None
        listed = newest(Pack, kubectl.get(PACKS, fields=chosen))
        if not listed:
            raise NotThere(f"there is no pack{f' of {scenario}' if scenario else ''} yet; `kubectl get sectum`")
        return listed[0]
    if scenario:
        raise UsageError(f"--scenario goes with {LATEST}; a pack's name says which it is")
    try:
        return viewed(Pack, kubectl.get(PACKS, named(name, "pack")))
    except NotThere:
        raise nearest(kubectl, PACKS, name) from None


def _fetched(pack: Pack, read: Read, name: str) -> Fetched:
    """Both, with the digests that the EvidencePack and run.json name; raises NotVerified, CannotFetch."""
    data = read(name)
    if sha256(data) != pack.spec.digests.pack:
        raise NotVerified("the store's zip is not the one that the EvidencePack names: its SHA-256 differs")
    run = container.from_zip(data).get("run.json", b"")
    if sha256(run) != pack.spec.digests.run:
        raise NotVerified("run.json in the zip is not the one that the EvidencePack names: its SHA-256 differs")
    told = document.read_run(run)
    named_by_run, about = told["open"], told["scenario"]["snapshot"]["metadata"]
    record = f"{folder(told['origin'], about['name'], about.get('namespace'))}{named_by_run['sequence']:06d}.json"
    try:
        opened = read(record)
    except NotStored:
        return Fetched(data, None, f"{record} is not beside the pack")
    if sha256(opened) != named_by_run["digest"]:
        return Fetched(data, None, f"{record} beside the pack is not the Open record that the run names")
    return Fetched(data, opened)


def _write(path: Path, data: bytes) -> None:
    """A new file; one that is there with the same bytes is fine. Raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(data)
    except FileExistsError:
        if not path.is_file() or path.read_bytes() != data:
            raise UsageError(f"{path} is there with other content; give another folder with --out") from None


def _document(pack: Pack, zipped: Path, opened: Path | None, fetched: Fetched) -> dict[str, Any]:
    return {
        "pack": pack.metadata.name,
        "namespace": pack.metadata.namespace,
        "scenario": pack.spec.scenario_ref.name,
        "uri": pack.spec.uri,
        "file": str(zipped),
        "bytes": len(fetched.zip),
        "sha256": pack.spec.digests.pack,
        "openRecord": str(opened) if opened else None,
        "openRecordMissing": fetched.why_not or None,
        "verify": cluster_card.verify(zipped, opened),
    }


def _draw(console: Console, told: dict[str, Any]) -> None:
    console.print(show.plain(f"{told['pack']}: {told['bytes']:,} bytes, SHA-256 as its EvidencePack says"))
    show.command(console, told["file"])
    if told["openRecord"]:
        show.command(console, told["openRecord"])
    else:
        show.indented(
            console, show.plain(f"no Open record: {told['openRecordMissing']}; `verify` will say what is open")
        )
    show.heading(console, "Next")
    show.command(console, join(told["verify"]))
    show.indented(console, show.dim(f"{cluster_card.SIGNER}: {cluster_card.WHOSE}"))
