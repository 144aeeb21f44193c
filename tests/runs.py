"""Sample runs for tests: the parts of a pack as the pipeline makes them, without a system under test.

Everything but signatures and seals is drawn from a fixed seed, so a sample's run.json is the same each time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sectum import pack, series, sign
from sectum.codec import canonical, digest, sha256
from sectum.keys.unsafe_local import UnsafeLocalKey
from sectum.manifest import Manifest, draw_manifest, seal
from sectum.plan import Plan, Subset, Trial, binding, make_plan
from sectum.ports import Arm, arms_of
from sectum.records import Record, RecordKind, Signed, Stage, read_record, sign_record
from sectum.scenario import Scenario, load
from sectum.signers.ec_key import EcKeySigner
from sectum.verdict import derive

__all__ = ["Plan", "Trial", "read_record"]

Row = dict[str, Any]
RUN_ID = "01976f3a-5c00-7abc-8def-0123456789ab"
STARTED, ENDED = "2026-11-24T03:04:05.678Z", "2026-11-24T03:05:17.012Z"

_VERBS = {
    "api": "whoami write fetch list delete",
    "vector-db": "whoami write fetch search delete",
    "rag-pipeline": "whoami write ask",
    "semantic-cache": "whoami write askCached delete",
}
_REQUESTS: dict[str, Any] = {
    "whoami": {"request": {"path": "/me"}, "expect": {"$.tenant": "{tenant}", "$.user": "{user}"}},
    "write": {"request": {"method": "POST", "path": "/documents", "json": {"text": "{text}"}}, "location": "$.id"},
    "fetch": {"request": {"path": "/documents/{location}"}},
    "list": {"request": {"path": "/documents"}, "items": "$.items[*]"},
    "search": {"request": {"path": "/search", "query": {"q": "{query}"}}, "items": "$.items[*]"},
    "ask": {"request": {"method": "POST", "path": "/ask", "json": {"q": "{question}"}}},
    "askCached": {"request": {"method": "POST", "path": "/chat", "json": {"q": "{question}"}}},
    "delete": {"request": {"method": "DELETE", "path": "/documents/{location}"}},
}


def scenario(
    *,
    tenants: dict[str, list[str]] | None = None,
    kinds: Iterable[str] = ("api", "semantic-cache"),
    **spec: Any,
) -> Scenario:
    """A scenario with one surface of each kind, named after it; `spec` adds or replaces parts of its spec."""
    return load(yaml.safe_dump(document(tenants=tenants, kinds=kinds, **spec)))


def document(
    *,
    tenants: dict[str, list[str]] | None = None,
    kinds: Iterable[str] = ("api", "semantic-cache"),
    **spec: Any,
) -> dict[str, Any]:
    """The same as JSON types."""
    people = tenants or {"acme": ["alice", "amir"], "globex": ["bob"]}
    return {
        "apiVersion": "sectum.ai/v1alpha1",
        "kind": "IsolationScenario",
        "metadata": {"name": "sample"},
        "spec": {
            "tenants": [{"name": name, "users": [{"name": user} for user in users]} for name, users in people.items()],
            "surfaces": [_surface(kind) for kind in kinds],
            "manifest": {"key": {"unsafeLocalKey": {"secretRef": {"name": "sectum-key-sample", "key": "key"}}}},
            "evidence": {"signer": {"ecKey": {"secretRef": {"name": "sectum-signer-sample", "key": "pem"}}}},
            **spec,
        },
    }


def _surface(kind: str) -> dict[str, Any]:
    verbs = _VERBS.get(kind, _VERBS["api"]).split()
    return {
        "name": kind,
        "kind": kind,
        "credentials": {"secretRef": {"name": f"sectum-surface-{kind}-tokens", "key": "{tenant}.{user}"}},
        "adapter": {"http": {"origin": "http://127.0.0.1:9", **{verb: _REQUESTS[verb] for verb in verbs}}},
    }


@dataclass(frozen=True)
class Opening:
    """Whose run it is and what its Open record says of it, beside what follows from the scenario."""

    run: str = RUN_ID
    origin: str = "local"
    at: str = STARTED
    signer: EcKeySigner | None = None
    sequence: int = 1
    previous: str | None = None
    occasion: dict[str, Any] = field(default_factory=series.occasion)
    sealed_occasion: dict[str, Any] | None = None
    """What the sealed manifest says, if something else."""
    subset: dict[str, Any] | None = None
    stated_subset: dict[str, Any] | None = None
    """What the Open record says, if something else."""
    spent: float = 0
    reserved: float = 0


@dataclass(frozen=True)
class Sample:
    """A run and everything around it; `signed` makes its pack."""

    run: dict[str, Any]
    records: dict[str, bytes]
    sealed: bytes
    wrapper: UnsafeLocalKey
    signer: EcKeySigner
    key: bytes
    """The signer's public key in PEM."""
    open_record: bytes
    manifest: Manifest = field(repr=False)
    plan: Plan

    def members(self) -> dict[str, bytes]:
        """The whole pack, signed by its own signer."""
        return signed(self.run, self.records, self.signer)

    def zip(self) -> bytes:
        """The pack as a zip."""
        return pack.to_zip(self.members())


def signed(run: dict[str, Any], records: dict[str, bytes], signer: EcKeySigner) -> dict[str, bytes]:
    """Members with every digest computed anew and the Statement signed: what the right key's holder can always do."""
    return sign.sign_statement(pack.build(run, records), run, signer)


def rejudged(run: dict[str, Any]) -> dict[str, Any]:
    """The run with outcomes, findings, cells, verdict and plan derived again: a forger who is thorough."""
    derived = derive(run)
    outcomes = derived.pop("outcomes")
    rows = [{**row, **outcome} for row, outcome in zip(run["rows"], outcomes, strict=True)]
    return {**run, "rows": rows, **derived, "plan": binding(rows, run["skips"])}


def new_signer() -> EcKeySigner:
    """A signer with a key of its own."""
    return EcKeySigner(ec.generate_private_key(ec.SECP256R1()))


def pem(signer: EcKeySigner) -> bytes:
    """Its public key."""
    return signer._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def arm(trial: Trial, which: Arm, *, seen: Iterable[str] = (), **changed: Any) -> dict[str, Any]:
    """One arm as a hardened system leaves it; `changed` replaces its fields."""
    asker = trial.owner if which.by_owner else trial.asker
    return {
        "arm": str(which),
        "asker": asdict(asker),
        "started": STARTED,
        "ended": ENDED,
        "answers": ["items" if which.by_owner or seen else "not-found"],
        "seen": [{"marker": each, "bits": 80, "form": "base64", "split": False} for each in seen],
        "sent": [],
        "unknown": 0,
        "closedWorld": True,
        "identity": "proven",
        **changed,
    }


def clean_row(trial: Trial) -> Row:
    """All four arms, as they must be to pass."""
    arms = [
        arm(trial, which, seen=[trial.marker.id] if which.by_owner else [])
        for which in arms_of(baseline=trial.baseline)
    ]
    return {**trial.row(), "attempt": 1, "fault": None, "arms": arms}


def leak_row(trial: Trial) -> Row:
    """The foreign arm saw the owner's marker."""
    row = clean_row(trial)
    row["arms"][1] = arm(trial, Arm.FOREIGN, seen=[trial.marker.id])
    return row


def fault_row(trial: Trial, fault: str) -> Row:
    """A trial that could not be played."""
    return {**trial.row(), "attempt": 1, "fault": fault, "arms": []}


Play = Callable[[int, Trial], Row]


def every(*, leak: Callable[[int, Trial], bool] = lambda _number, _trial: False) -> Play:
    """Clean rows, but for those where `leak(number, trial)`."""
    return lambda number, trial: leak_row(trial) if leak(number, trial) else clean_row(trial)


def sample(
    about: Scenario | None = None,
    *,
    play: Play | None = None,
    origin_seed: int = 7,
    opening: Opening = Opening(),
) -> Sample:
    """A whole run: planned, drawn, opened, played by `play(number, trial)`, recorded and judged."""
    about = about or scenario()
    play = play or every()
    chance = random.Random(origin_seed)
    planned = make_plan(about, Subset.out_of(opening.subset))
    manifest = draw_manifest(planned, run=opening.run, below=chance.randrange, random_bytes=chance.randbytes)
    wrapper, signer = UnsafeLocalKey(b"k" * 32), opening.signer or new_signer()
    rows = [play(number, trial) for number, trial in enumerate(planned.trials)]
    table = binding(rows, [skip.row() for skip in planned.skips])
    occasion = opening.sealed_occasion or opening.occasion
    clear = {"scenario": about.snapshot(), "subset": opening.subset, "occasion": occasion, "plan": table}
    sealed = seal(manifest, data_key=b"d" * 32, key=wrapper, header=clear)
    named = {
        "root": manifest.root(),
        "hash": manifest.salted_hash(),
        "key": wrapper.reference,
        "publicKey": manifest.public_key(),
    }
    described = {"name": about.metadata.name, "digest": digest(about.snapshot())}
    opened = series.open_record(
        signer=signer,
        run=opening.run,
        at=opening.at,
        scenario=described,
        occasion=opening.occasion,
        subset=opening.stated_subset or opening.subset,
        plan=table,
        manifest=named,
        alpha={"spent": opening.spent, "reserved": opening.reserved},
        sequence=opening.sequence,
        previous=opening.previous,
    )
    document = {
        "schema": "sectum.ai/run/v1",
        "run": opening.run,
        "origin": opening.origin,
        "scenario": {**described, "snapshot": about.snapshot()},
        "subset": opening.subset,
        "versions": {"sectum": version("sectum"), "reportlab": version("reportlab"), "python": "3.11.7"},
        "started": opening.at,
        "ended": ENDED,
        "cancelled": any(row["fault"] == "Cancelled" for row in rows),
        "open": {"sequence": opening.sequence, "digest": sha256(opened)},
        "manifest": named,
        "plan": table,
        "markers": [{**_marker(each), "planted": True, "attributed": True} for each in manifest.markers],
        "decoys": [_marker(each) for each in manifest.decoys],
        "rows": rows,
        "skips": [skip.row() for skip in planned.skips],
        "surfaces": [_surface_row(about, planned, each.name) for each in about.spec.surfaces],
    }
    return Sample(
        run=rejudged(document),
        records=recorded(document, manifest),
        sealed=sealed,
        wrapper=wrapper,
        signer=signer,
        key=pem(signer),
        open_record=opened,
        manifest=manifest,
        plan=planned,
    )


def _marker(marker: Any) -> dict[str, Any]:
    spec = marker.spec
    owner, kind = asdict(spec.owner), str(spec.kind)
    return {"id": marker.id, "surface": spec.surface, "owner": owner, "kind": kind, "commitment": marker.commitment()}


def _surface_row(about: Scenario, planned: Plan, name: str) -> dict[str, Any]:
    surface = about.surface(name)
    totals = next(each for each in planned.totals if each.surface == name)
    count = sum(marker.surface == name for marker in planned.markers)
    return {
        "name": name,
        "kind": str(surface.kind),
        "adapter": surface.adapter_name,
        "fault": None,
        "requests": totals.requests,
        "writes": totals.writes,
        "tokens": 0,
        "boundary": None,
        "planted": count,
        "removed": count,
        "notRemoved": 0,
        "residue": list(totals.residue),
    }


Bodies = list[tuple[RecordKind, dict[str, Any]]]
NOT_MEASURED: dict[str, Any] = {"boundary": None}


def recorded(document: dict[str, Any], manifest: Manifest, *, salted_hash: str | None = None) -> dict[str, bytes]:
    """The stage records that a run with these rows leaves; a probe's with one Leak record per leaking row."""
    files: list[Signed] = []
    for surface in document["surfaces"]:
        for stage, bodies in bodies_of(document, surface).items():
            files += signed_chain(manifest, surface["name"], bodies, stage=stage, salted_hash=salted_hash, before=files)
    return {each.name: each.data for each in files}


def bodies_of(document: dict[str, Any], surface: dict[str, Any]) -> dict[Stage, Bodies]:
    """Kind and body of every record of a surface; requests and writes are those of its probe."""
    rows = [row for row in document["rows"] if row["surface"] == surface["name"]]
    markers = [each for each in document["markers"] if each["surface"] == surface["name"]]
    planted = sorted(each["id"] for each in markers if each["planted"])
    before = [
        {**row, "fault": "Cancelled", "arms": [arm for arm in row["arms"] if arm["arm"] == "baseline"]}
        for row in rows
        if row["baseline"]
    ]
    nothing = {"requests": 0, "writes": 0, "tokens": 0}
    planting = {
        "planted": planted,
        "unattributed": sorted(each["id"] for each in markers if not each["attributed"]),
        "faults": {},
        "fault": None,
    }
    left = {name: surface[name] for name in ("removed", "notRemoved")}
    spent = {name: surface[name] for name in ("fault", "requests", "writes", "tokens")}
    return {
        Stage.BASELINE: [*begun(trials=len(before)), ended(rows=before, fault=None, **nothing)],
        Stage.PLANT: [*begun(markers=len(markers)), ended(**planting, **nothing)],
        Stage.PROBE: [*begun(trials=len(rows)), *leaks_of(rows), ended(rows=rows, **spent)],
        Stage.CLEAN: [*begun(documents=len(planted)), ended(**left, requests=0, writes=0)],
    }


def begun(**body: Any) -> Bodies:
    """A start record's body, but for what was there before."""
    return [(RecordKind.START, {**body, **NOT_MEASURED})]


def ended(**body: Any) -> tuple[RecordKind, dict[str, Any]]:
    """A result record's body."""
    return RecordKind.RESULT, {**body, **NOT_MEASURED}


def leaks_of(rows: list[Row]) -> Bodies:
    """A Leak record for each row whose foreign arm saw something, stored when it had."""
    bodies: Bodies = []
    for row in rows:
        sees = [place for place, each in enumerate(row["arms"]) if each["arm"] == "foreign" and each["seen"]]
        if sees:
            so_far = {**row, "fault": "Cancelled", "arms": row["arms"][: sees[0] + 1]}
            bodies.append((RecordKind.LEAK, {"slot": row["slot"], "row": so_far}))
    return bodies


def chain(
    manifest: Manifest,
    surface: str,
    bodies: Bodies,
    *,
    stage: Stage = Stage.PROBE,
    attempt: int = 1,
    before: Iterable[Signed] = (),
) -> dict[str, bytes]:
    """Records of one attempt at a stage of one surface, each naming the one before it."""
    signed = signed_chain(manifest, surface, bodies, stage=stage, attempt=attempt, before=before)
    return {each.name: each.data for each in signed}


def signed_chain(
    manifest: Manifest,
    surface: str,
    bodies: Bodies,
    *,
    stage: Stage = Stage.PROBE,
    attempt: int = 1,
    salted_hash: str | None = None,
    before: Iterable[Signed] = (),
) -> list[Signed]:
    """The same as records, in order; the start names what is there `before`, where its body does not say it."""
    files: list[Signed] = []
    ends = ends_of(surface, before)
    for number, (kind, said) in enumerate(bodies):
        body = {"after": ends, **said} if kind == RecordKind.START else said
        record = Record(
            run=manifest.run,
            manifest=salted_hash or manifest.salted_hash(),
            stage=str(stage),
            surface=surface,
            attempt=attempt,
            kind=kind,
            number=number,
            previous=files[-1].digest if files else None,
            pod=None,
            image=None,
            body=body,
        )
        files.append(Signed(record, sign_record(record, manifest.run_key)))
    return files


def ends_of(surface: str, signed: Iterable[Signed]) -> dict[str, str | None]:
    """Stage -> digest of the surface's last record of it, as a start names them."""
    ordered = sorted(signed, key=lambda each: (each.record.attempt, each.record.number))
    last = {each.record.stage: each.digest for each in ordered if each.record.surface == surface}
    return {str(stage): last.get(str(stage)) for stage in Stage}


def changed(sample: Sample, **parts: Any) -> Sample:
    """The sample with parts replaced."""
    return replace(sample, **parts)


def copied(value: Any) -> Any:
    """A deep copy of JSON types."""
    return json.loads(canonical(value))
