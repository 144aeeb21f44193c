"""A run's stored records -> run.json and the signed pack, in the store; and what opens a run before it begins.

Needs the signer and the stores, and nothing that is secret: neither a marker nor a credential.
"""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from sectum import dsse, series
from sectum import pack as packing
from sectum.account import Account, account
from sectum.codec import NotCanonical, digest, parse, sha256
from sectum.container import BadContainer, from_zip, to_zip
from sectum.errors import AlreadyStored, NotStored, NotVerified
from sectum.finding import Outcome
from sectum.plan import MarkerSpec
from sectum.ports import Signer, Store
from sectum.probe import timestamp
from sectum.reasons import Reason
from sectum.run import Run, stored_records
from sectum.scenario import Surface
from sectum.sign import open_bundle, public_key, sign_statement
from sectum.store import keep
from sectum.verdict import derive, sharing_of


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run came to."""

    run: dict[str, Any]
    outcome: Outcome
    pack: str
    """Name of the zip in the store."""
    digest: str
    """Hex SHA-256 of the zip."""
    open_record: str
    manifest: str


async def open_run(run: Run, signer: Signer) -> str:
    """Archive the sealed manifest and store the Open record, before the first write; returns its name in the store.

    Done twice, it does nothing the second time. Raises StoreFault.
    """
    await keep(run.store, f"manifests/{run.id}.sealed.json", run.sealed)
    for name, body, _ in await series.records_of(run.store, run.series, run.id):
        if body["schema"] == series.OPEN_SCHEMA:
            return name
    clear = run.clear

    async def end_of(run_id: str, open_data: bytes) -> tuple[str, str] | None:
        try:
            _check_signed(open_data, signer)
            result, pack = await _stored_pack(run.store, signer, run_id, open_data)
        except (NotStored, NotVerified):
            return None
        return result["verdict"], pack

    await series.close_abandoned(run.store, signer, run.series, at=timestamp(), end_of=end_of)
    at = timestamp()
    spent = await series.spent(run.store, run.series, at[:4])

    def record(sequence: int, previous: str | None) -> bytes:
        return series.open_record(
            signer=signer,
            run=run.id,
            at=at,
            scenario={"name": run.scenario.metadata.name, "digest": digest(run.scenario.snapshot())},
            occasion=clear["occasion"],
            subset=clear["subset"],
            plan=clear["plan"],
            manifest=_manifest(run),
            alpha={"spent": spent, "reserved": 0},  # nothing is found by timing yet
            sequence=sequence,
            previous=previous,
        )

    return await series.append(run.store, run.series, record, run=run.id, schema=series.OPEN_SCHEMA)


async def assemble(run: Run, signer: Signer) -> Ended:
    """Read the records back from the store, derive the verdict from them alone, and store the signed pack.

    Where there is a pack of the run already, it is that one. Raises NotVerified for a manifest that was not opened so.
    """
    opened, open_data = await _opened(run, signer)
    with suppress(NotStored):
        return await _adopted(run, signer, opened, open_data)
    records = {each.name: await stored_records(run, each.name) for each in run.scenario.spec.surfaces}
    accounts = {
        surface: account(
            surface,
            [trial.row() for trial in run.plan.trials if trial.surface == surface],
            stored.signed,
            shared=sharing_of(run.scenario.snapshot()),
            broken=stored.foreign > 0,
        )
        for surface, stored in records.items()
    }
    result = _document(run, accounts, open_data)
    signed = [each for stored in records.values() for each in stored.signed]
    members = packing.build(result, {each.name: each.data for each in signed})
    whole = sign_statement(members, result, signer)
    zipped = to_zip(whole)
    try:
        await run.store.create(_pack_of(run.id), zipped)
    except AlreadyStored:  # another attempt was faster
        return await _adopted(run, signer, opened, open_data)
    if run.origin == "local":
        for member, data in whole.items():
            await run.store.create(f"packs/{run.id}/{member}", data)
    return _ended(run, result, sha256(zipped), opened)


async def _opened(run: Run, signer: Signer) -> tuple[str, bytes]:
    """The run's Open record; raises NotVerified when there is none, or one of another plan or manifest."""
    for name, body, data in await series.records_of(run.store, run.series, run.id):
        if body["schema"] != series.OPEN_SCHEMA:
            continue
        said = (body["plan"], body["manifest"], body["scenario"]["digest"])
        if said != (run.clear["plan"], _manifest(run), digest(run.scenario.snapshot())):
            raise NotVerified("the run was opened with another plan or manifest than it has now")
        _check_signed(data, signer)
        return name, data
    raise NotVerified("the run has no Open record: it was never opened")


def _check_signed(open_data: bytes, signer: Signer) -> None:
    key = public_key(signer.public_pem)
    try:
        dsse.open_envelope(parse(open_data), payload_type=series.OPEN_TYPE, verify=key.verify, keyid=key.keyid)
    except NotCanonical:
        raise NotVerified("the run's Open record is not signed by this signer") from None


async def _adopted(run: Run, signer: Signer, opened: str, open_data: bytes) -> Ended:
    """The run's end, by the pack that is there; raises NotStored, NotVerified."""
    result, pack = await _stored_pack(run.store, signer, run.id, open_data)
    return _ended(run, result, pack, opened)


def _pack_of(run_id: str) -> str:
    return f"packs/{run_id}.zip"


async def _stored_pack(store: Store, signer: Signer, run_id: str, open_data: bytes) -> tuple[dict[str, Any], str]:
    """run.json and hex SHA-256 of a run's pack, if this signer made it for this run; raises NotStored, NotVerified."""
    data = await store.read(_pack_of(run_id))
    other = NotVerified("there is another object under the name of the run's pack")
    try:
        members = from_zip(data)
        bundle = open_bundle(members.pop(packing.BUNDLE))
        if not bundle.signed_by(public_key(signer.public_pem)):
            raise other
        result: dict[str, Any] = parse(members[packing.RUN])
        ours = bundle.statement == packing.statement(result, members)
        mine = (result["run"], result["open"]["digest"]) == (run_id, sha256(open_data))
    except (NotCanonical, BadContainer, KeyError, TypeError):
        raise other from None
    if not (ours and mine):
        raise other
    return result, sha256(data)


def _ended(run: Run, result: dict[str, Any], pack_digest: str, opened: str) -> Ended:
    return Ended(
        run=result,
        outcome=Outcome(result["verdict"]),
        pack=_pack_of(run.id),
        digest=pack_digest,
        open_record=opened,
        manifest=f"manifests/{run.id}.sealed.json",
    )


def _manifest(run: Run) -> dict[str, str]:
    return {name: run.clear[name] for name in ("root", "hash", "key", "publicKey")}


def _document(run: Run, accounts: dict[str, Account], open_data: bytes) -> dict[str, Any]:
    """run.json."""
    snapshot = run.scenario.snapshot()
    opened, _ = series.peek(open_data)
    rows = [row for each in accounts.values() for row in each.rows]
    planted = frozenset().union(*(each.planted for each in accounts.values()))
    unattributed = frozenset().union(*(each.unattributed for each in accounts.values()))
    commitments = run.commitments()
    markers, decoys = commitments[: len(run.plan.markers)], commitments[len(run.plan.markers) :]
    document: dict[str, Any] = {
        "schema": "sectum.ai/run/v1",
        "run": run.id,
        "origin": run.origin,
        "scenario": {"name": run.scenario.metadata.name, "digest": digest(snapshot), "snapshot": snapshot},
        "subset": run.clear["subset"],
        "versions": {"python": platform.python_version(), **{each: version(each) for each in ("sectum", "reportlab")}},
        "started": opened["at"],
        "ended": timestamp(),
        "cancelled": any(row["fault"] == Reason.CANCELLED for row in rows),
        "open": {"sequence": opened["sequence"], "digest": sha256(open_data)},
        "manifest": _manifest(run),
        "plan": run.clear["plan"],
        "markers": [
            {**_marker_row(*each), "planted": each[0].id in planted, "attributed": each[0].id not in unattributed}
            for each in markers
        ],
        "decoys": [_marker_row(*each) for each in decoys],
        "skips": [skip.row() for skip in run.plan.skips],
        "surfaces": [_surface_row(run, surface, accounts[surface.name]) for surface in run.scenario.spec.surfaces],
    }
    derived = derive({**document, "rows": rows})
    outcomes = derived.pop("outcomes")
    judged = [{**row, **outcome} for row, outcome in zip(rows, outcomes, strict=True)]
    return {**document, "rows": judged, **derived}


def _marker_row(spec: MarkerSpec, commitment: str) -> dict[str, Any]:
    return {
        "id": spec.id,
        "surface": spec.surface,
        "owner": asdict(spec.owner),
        "kind": str(spec.kind),
        "commitment": commitment,
    }


def _surface_row(run: Run, surface: Surface, told: Account) -> dict[str, Any]:
    """A surface's part of run.json."""
    totals = next(each for each in run.plan.totals if each.surface == surface.name)
    return {
        "name": surface.name,
        "kind": str(surface.kind),
        "adapter": surface.adapter_name,
        **told.figures,
        "residue": list(totals.residue),
    }
