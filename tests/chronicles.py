"""Sample series for tests: what a scenario's runs leave in the store, Open, Close, pack and sealed manifest of each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sectum import series
from sectum.codec import sha256
from sectum.scenario import Scenario, parse
from sectum.signers.ec_key import EcKeySigner
from sectum.testing import MemoryStore

from tests import runs

FOLDER = "series/demo/sample/"
SIGNER = runs.new_signer()
KEY = runs.pem(SIGNER)
UID = "3f0c1d2e-0000-4000-8000-000000000001"
MONTHLY: dict[str, Any] = {"schedule": "0 3 1 * *", "timeZone": "Europe/Berlin"}


@dataclass(frozen=True)
class Told:
    """One run of a series: when, why, and what came of it."""

    number: int
    at: str
    slot: str | None = None
    refused: tuple[tuple[str, str], ...] = ()
    outcome: str = "Pass"
    """What the rows lead to; Abandoned has no pack."""
    said: str | None = None
    """What the Close says, if something else."""
    cancelled: bool = False
    subset: tuple[str, ...] | None = None
    schedule: tuple[tuple[str, Any], ...] = tuple(MONTHLY.items())
    generation: int = 1
    name: str = "sample"
    namespace: str | None = "demo"
    uid: str | None = UID
    signer: EcKeySigner = SIGNER
    spent: float | None = None
    """What the Open says was spent before; None: what was."""
    reserved: float = 0
    used: float = 0
    closed: bool = True

    @property
    def run(self) -> str:
        """The run's id."""
        return f"{self.number:08x}-0000-4000-8000-000000000000"

    @property
    def closed_at(self) -> str:
        """Half an hour after it was opened."""
        end = datetime.fromisoformat(self.at) + timedelta(minutes=30)
        return end.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def scenario(told: Told) -> Scenario:
    """One surface, with a schedule."""
    document = runs.document(kinds=("api",), **dict(told.schedule))
    named = {"name": told.name, **({"namespace": told.namespace} if told.namespace else {})}
    document["metadata"] = named
    document["spec"]["surfaces"][0]["attacks"] = ["boundary-fetch"]
    document["spec"]["evidence"]["formats"] = []
    return parse(document)


@cache
def sample(told: Told, sequence: int, previous: str | None, spent: float) -> tuple[bytes, bytes, bytes]:
    """Open record, zip and sealed manifest."""

    def play(number: int, trial: runs.Trial) -> runs.Row:
        if told.cancelled and number == 1:
            return runs.fault_row(trial, "Cancelled")
        if told.outcome == "Inconclusive" and number == 0:
            return runs.fault_row(trial, "Budget")
        return runs.leak_row(trial) if told.outcome == "Leak" and number == 0 else runs.clean_row(trial)

    opening = runs.Opening(
        run=told.run,
        origin="local" if told.uid is None else "cluster",
        at=told.at,
        signer=told.signer,
        sequence=sequence,
        previous=previous,
        occasion=series.occasion(uid=told.uid, generation=told.generation, slot=told.slot, refused=told.refused),
        subset={"attacks": list(told.subset)} if told.subset else None,
        spent=spent,
        reserved=told.reserved,
    )
    made = runs.sample(scenario(told), play=play, opening=opening)
    return made.open_record, made.zip(), made.sealed


def store_of(*told: Told, folder: str = FOLDER) -> MemoryStore:
    """What runs in this order leave in the store."""
    store, previous, sequence = MemoryStore(), None, 1
    spent: dict[str, float] = {}
    for each in told:
        before = spent.get(each.at[:4], 0) if each.spent is None else each.spent
        opened, zipped, sealed = sample(replace(each, used=0, said=None), sequence, previous, before)
        store.objects[f"{folder}{sequence:06d}.json"] = opened
        store.objects[f"manifests/{each.run}.sealed.json"] = sealed
        previous, sequence = sha256(opened), sequence + 1
        has_pack = each.outcome != "Abandoned"
        if has_pack:
            store.objects[f"packs/{each.run}.zip"] = zipped
        if each.closed:
            closed = close_record(each, zipped if has_pack else None, sequence, previous)
            store.objects[f"{folder}{sequence:06d}.json"] = closed
            previous, sequence = sha256(closed), sequence + 1
            spent[each.closed_at[:4]] = spent.get(each.closed_at[:4], 0) + each.used
    return store


def close_record(told: Told, zipped: bytes | None, sequence: int, previous: str) -> bytes:
    """The Close record of a run."""
    return series.close_record(
        signer=told.signer,
        run=told.run,
        at=told.closed_at,
        outcome=told.said or told.outcome,
        pack=sha256(zipped) if zipped is not None else None,
        sequence=sequence,
        previous=previous,
        spent=told.used,
    )


REFUSED = ("2026-03-01T02:00:00Z", "ConcurrencyForbidden")
YEAR = (
    Told(1, "2026-01-01T02:01:10.000Z", slot="2026-01-01T02:00:00Z"),
    Told(2, "2026-02-01T02:01:10.000Z", slot="2026-02-01T02:00:00Z", outcome="Inconclusive"),
    Told(3, "2026-04-01T01:01:10.000Z", slot="2026-04-01T01:00:00Z", refused=(REFUSED,)),
    Told(4, "2026-04-10T10:00:00.000Z"),
    Told(5, "2026-05-01T01:01:10.000Z", slot="2026-05-01T01:00:00Z", outcome="Leak"),
    Told(6, "2026-06-01T01:01:10.000Z", slot="2026-06-01T01:00:00Z"),
)
"""Monthly at three in Berlin, an hour later in UTC in winter; March was refused, April was run again by hand."""


def told_again(number: int, **changed: Any) -> tuple[Told, ...]:
    """The year, told by the same signer with one run changed."""
    return tuple(replace(each, **changed) if each.number == number else each for each in YEAR)


class Remembering(Executor):
    """Does the same work once."""

    def __init__(self) -> None:
        self.done: dict[tuple[Any, ...], Any] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        """See Executor."""
        if args not in self.done:
            self.done[args] = fn(*args)
        future: Future[Any] = Future()
        future.set_result(self.done[args])
        return future
