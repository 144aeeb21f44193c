"""A Job's stored records -> run.json and the signed pack, in the store."""

from __future__ import annotations

import platform
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
from sectum.plant import Planted
from sectum.ports import Signer
from sectum.probe import timestamp
from sectum.reach import Reach
from sectum.records import Record, RecordKind, read_record
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
    for name in await job.store.names(f"work/{job.run}/probe/"):
        data = await job.store.read(name)
        found.append((read_record(data, job.manifest.public_key()), data))
    return sorted(found, key=lambda each: each[0].name)


async def _document(job: Job, records: list[tuple[Record, bytes]], opened: str) -> dict[str, Any]:
    """run.json."""
    results = {record.surface: record.body for record, _ in records if record.kind == RecordKind.RESULT}
    snapshot = job.scenario.snapshot()
    clear = job.clear
    open_data = await job.store.read(opened)
    rows = [row for surface in job.scenario.spec.surfaces for row in results[surface.name]["rows"]]
    planted = {marker for each in job.planted.values() for marker in each.locations}
    document: dict[str, Any] = {
        "schema": "sectum.ai/run/v1",
        "run": job.run,
        "origin": "local",
        "scenario": {"name": job.scenario.metadata.name, "digest": digest(snapshot), "snapshot": snapshot},
        "versions": {"sectum": version("sectum"), "python": platform.python_version()},
        "started": job.started,
        "ended": timestamp(),
        "cancelled": job.cancelled,
        "open": {"sequence": series.peek(open_data)[0]["sequence"], "digest": sha256(open_data)},
        "manifest": {name: clear[name] for name in ("root", "hash", "key", "publicKey")},
        "plan": clear["plan"],
        "markers": [{**_marker_row(each), "planted": each.id in planted} for each in job.manifest.markers],
        "decoys": [_marker_row(each) for each in job.manifest.decoys],
        "skips": [skip.row() for skip in job.plan.skips],
        "surfaces": [_surface_row(job, reach, results[reach.name]) for reach in job.reaches],
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


def _surface_row(job: Job, reach: Reach, result: Any) -> dict[str, Any]:
    totals = next(each for each in job.plan.totals if each.surface == reach.name)
    cleaned = job.cleaned[reach.name]
    return {
        "name": reach.name,
        "kind": str(reach.surface.kind),
        "adapter": reach.surface.adapter_name,
        "fault": result["fault"],
        "requests": result["requests"] + reach.gate.requests,
        "writes": result["writes"] + reach.gate.writes,
        "tokens": result["tokens"],
        "planted": len(job.planted.get(reach.name, Planted()).locations),
        "removed": cleaned.removed,
        "notRemoved": cleaned.not_removed,
        "residue": list(totals.residue),
    }
