"""A Job's stored records -> run.json and the signed pack, in the store."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from sectum import pack as packing
from sectum import series
from sectum.codec import digest, sha256
from sectum.container import to_zip
from sectum.finding import Outcome
from sectum.job import Job
from sectum.manifest import Marker
from sectum.ports import Signer
from sectum.probe import timestamp
from sectum.records import Record, RecordKind, Stage, read_record
from sectum.scenario import Surface
from sectum.sign import sign_statement
from sectum.verdict import derive


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run came to."""

    run: dict[str, Any]
    outcome: Outcome
    pack: str
    """Name of the zip in the store."""
    open_record: str
    manifest: str


async def assemble(job: Job, signer: Signer, opened: str) -> tuple[Ended, str]:
    """Read the records back from the store, derive the verdict from them alone, and store the signed pack."""
    records = await read_records(job)
    result = await _document(job, records, opened)
    members = packing.build(result, {record.name: data for record, data in records})
    signed = sign_statement(members, result, signer)
    zipped = to_zip(signed)
    name = f"packs/{job.run}.zip"
    await job.store.create(name, zipped)
    for member, data in signed.items():
        await job.store.create(f"packs/{job.run}/{member}", data)
    ended = Ended(
        run=result,
        outcome=Outcome(result["verdict"]),
        pack=name,
        open_record=opened,
        manifest=f"manifests/{job.run}.sealed.json",
    )
    return ended, sha256(zipped)


async def read_records(job: Job) -> list[tuple[Record, bytes]]:
    """Every stored record of the run, signatures checked, in the order of their chains."""
    found = []
    for stage in Stage:
        for name in await job.store.names(f"work/{job.run}/{stage}/"):
            data = await job.store.read(name)
            found.append((read_record(data, job.manifest.public_key()), data))
    return sorted(found, key=lambda each: each[0].name)


async def _document(job: Job, records: list[tuple[Record, bytes]], opened: str) -> dict[str, Any]:
    """run.json."""
    results = {(each.stage, each.surface): each.body for each, _ in records if each.kind == RecordKind.RESULT}
    snapshot = job.scenario.snapshot()
    clear = job.clear
    open_data = await job.store.read(opened)
    rows = [row for surface in job.scenario.spec.surfaces for row in results[Stage.PROBE, surface.name]["rows"]]
    plants = [results[Stage.PLANT, surface.name] for surface in job.scenario.spec.surfaces]
    planted = {marker for each in plants for marker in each["planted"]}
    unattributed = {marker for each in plants for marker in each["unattributed"]}
    document: dict[str, Any] = {
        "schema": "sectum.ai/run/v1",
        "run": job.run,
        "origin": "local",
        "scenario": {"name": job.scenario.metadata.name, "digest": digest(snapshot), "snapshot": snapshot},
        "versions": {"python": platform.python_version(), **{each: version(each) for each in ("sectum", "reportlab")}},
        "started": job.started,
        "ended": timestamp(),
        "cancelled": job.cancelled,
        "open": {"sequence": series.peek(open_data)[0]["sequence"], "digest": sha256(open_data)},
        "manifest": {name: clear[name] for name in ("root", "hash", "key", "publicKey")},
        "plan": clear["plan"],
        "markers": [
            {**_marker_row(each), "planted": each.id in planted, "attributed": each.id not in unattributed}
            for each in job.manifest.markers
        ],
        "decoys": [_marker_row(each) for each in job.manifest.decoys],
        "skips": [skip.row() for skip in job.plan.skips],
        "surfaces": [_surface_row(job, surface, results) for surface in job.scenario.spec.surfaces],
    }
    derived = derive({**document, "rows": rows})
    outcomes = derived.pop("outcomes")
    judged = [{**row, **outcome} for row, outcome in zip(rows, outcomes, strict=True)]
    return {**document, "rows": judged, **derived}


def _marker_row(marker: Marker) -> dict[str, Any]:
    spec = marker.spec
    return {
        "id": marker.id,
        "surface": spec.surface,
        "owner": asdict(spec.owner),
        "kind": str(spec.kind),
        "commitment": marker.commitment(),
    }


def _surface_row(job: Job, surface: Surface, results: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """A surface's part, from its records alone; a probe's counts include those of its planting."""
    totals = next(each for each in job.plan.totals if each.surface == surface.name)
    plant, probe, clean = (results[stage, surface.name] for stage in Stage)
    return {
        "name": surface.name,
        "kind": str(surface.kind),
        "adapter": surface.adapter_name,
        "fault": probe["fault"],
        "requests": probe["requests"] + clean["requests"],
        "writes": probe["writes"] + clean["writes"],
        "tokens": probe["tokens"],
        "planted": len(plant["planted"]),
        "removed": clean["removed"],
        "notRemoved": clean["notRemoved"],
        "residue": list(totals.residue),
    }
