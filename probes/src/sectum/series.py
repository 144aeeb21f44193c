"""A run about to start, or ended -> the series' next Open or Close record: what makes picking the good run show."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sectum import dsse
from sectum.codec import NotCanonical, canonical, parse, sha256, unb64
from sectum.errors import AlreadyStored
from sectum.ports import Signer, Store
from sectum.store import AT_ONCE, read_all

OPEN_TYPE = "application/vnd.sectum.open+json"
CLOSE_TYPE = "application/vnd.sectum.close+json"
OPEN_SCHEMA, CLOSE_SCHEMA = "sectum.ai/open/v1", "sectum.ai/close/v1"


EndOf = Callable[[str, bytes], Awaitable[tuple[str, str] | None]]
"""A run's id and Open record -> outcome and hex SHA-256 of its pack, if the store has one by this signer."""


def folder(origin: str, scenario: str, namespace: str | None) -> str:
    """Where the Open and Close records of a scenario's runs are in the store."""
    return "series/" if origin == "local" else f"series/{namespace}/{scenario}/"


def occasion(
    *,
    uid: str | None = None,
    generation: int | None = None,
    slot: str | None = None,
    refused: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Why a run began; bound in the sealed manifest's clear header.

    Args:
        uid: of the IsolationScenario that was accepted, with its `generation`; locally None.
        slot: the tick of the schedule that it was made for, RFC 3339 in UTC; None where somebody asked for it.
        refused: ticks since the scenario's last accepted run that came to nothing: slot and reason.
    """
    told = [{"slot": each, "reason": reason} for each, reason in refused]
    return {"uid": uid, "generation": generation, "slot": slot, "refused": told}


def open_record(
    *,
    signer: Signer,
    run: str,
    at: str,
    scenario: dict[str, Any],
    occasion: dict[str, Any],
    subset: dict[str, Any] | None,
    plan: dict[str, Any],
    manifest: dict[str, str],
    alpha: dict[str, float],
    sequence: int,
    previous: str | None,
) -> bytes:
    """Signed before the first write: binds the run to its plan, its manifest and its key.

    Args:
        scenario: `name` and `digest` (hex SHA-256 of the canonical snapshot).
        occasion: why the run began, see `occasion`.
        subset: what of the scenario it verifies, as in run.json; None for all of it.
        plan: `root` (hex), `trials` (count) and `skips` (hex digest), see `plan.binding`.
        manifest: `root`, `hash` (hex), `key` (reference) and `publicKey` (base64).
        alpha: the year's chance of a false finding by timing: `spent` before in the series, `reserved` for this run.
        previous: hex SHA-256 of the series' record before this one.
    """
    body = {
        "schema": OPEN_SCHEMA,
        "run": run,
        "at": at,
        "scenario": scenario,
        "occasion": occasion,
        "subset": subset,
        "plan": plan,
        "manifest": manifest,
        "alpha": alpha,
        "sequence": sequence,
        "previous": previous,
    }
    return canonical(dsse.envelope(OPEN_TYPE, canonical(body), sign=signer.sign, keyid=signer.keyid))


def close_record(
    *,
    signer: Signer,
    run: str,
    at: str,
    outcome: str,
    pack: str | None,
    sequence: int,
    previous: str,
    spent: float = 0,
) -> bytes:
    """Signed after the pack was stored.

    Args:
        outcome: the run's verdict, or Abandoned.
        pack: hex SHA-256 of its zip.
        spent: what the run used of the year's alpha; nothing is found by timing yet.
    """
    body = {
        "schema": CLOSE_SCHEMA,
        "run": run,
        "at": at,
        "outcome": outcome,
        "pack": pack,
        "alpha": {"spent": spent},
        "sequence": sequence,
        "previous": previous,
    }
    return canonical(dsse.envelope(CLOSE_TYPE, canonical(body), sign=signer.sign, keyid=signer.keyid))


def peek(record: bytes) -> tuple[dict[str, Any], str]:
    """Body (signature not checked) and digest of a stored record, to write the next one after it."""
    envelope = parse(record)
    body = parse(unb64(envelope["payload"])) if isinstance(envelope, dict) and "payload" in envelope else None
    if not isinstance(body, dict) or not {"schema", "run", "sequence"} <= body.keys():
        raise NotCanonical("not a record of a series")
    return body, sha256(record)


async def _names(store: Store, folder: str) -> list[str]:
    """The series' records, in order; whatever else lies there is none of it."""
    return [name for name in await store.names(folder) if re.fullmatch(re.escape(folder) + r"[0-9]{6}\.json", name)]


async def records_of(store: Store, folder: str, run: str) -> list[tuple[str, dict[str, Any], bytes]]:
    """A run's records in the series: name, body (signature not checked) and bytes; looked for from the newest on."""
    found = []
    newest_first = (await _names(store, folder))[::-1]
    for start in range(0, len(newest_first), AT_ONCE):
        names = newest_first[start : start + AT_ONCE]
        for name, data in zip(names, await read_all(store, names), strict=True):
            body, _ = peek(data)
            if body["run"] == run:
                found.append((name, body, data))
                if body["schema"] == OPEN_SCHEMA:
                    return found[::-1]
    return found[::-1]


async def spent(store: Store, folder: str, year: str) -> float:
    """What a year's runs have spent of its alpha; `year` is the first four digits of a record's `at`.

    An Open record says what was spent before it, so those before the newest of the year need not be read.
    """
    closed = []
    for name in reversed(await _names(store, folder)):
        body, _ = peek(await store.read(name))
        if str(body.get("at"))[:4] != year:
            break
        closed.append(body.get("alpha", {}).get("spent", 0))
        if body["schema"] == OPEN_SCHEMA:
            break
    return math.fsum(closed)


async def append(
    store: Store, folder: str, record: Callable[[int, str | None], bytes], *, run: str, schema: str
) -> str:
    """Store the series' next record under its sequence number, create-only, unless the run has one of its kind."""
    while True:
        for name, body, _ in await records_of(store, folder, run):
            if body["schema"] == schema:
                return name
        names = await _names(store, folder)
        previous = sha256(await store.read(names[-1])) if names else None
        # After the last one, not after as many as there are: if one was taken away, its name is a gap and stays one.
        number = int(names[-1][len(folder) : -len(".json")]) + 1 if names else 1
        name = f"{folder}{number:06d}.json"
        try:
            await store.create(name, record(number, previous))
        except AlreadyStored:
            continue
        return name


async def close(store: Store, signer: Signer, folder: str, *, run: str, at: str, outcome: str, pack: str | None) -> str:
    """Store the Close record, unless the run has one; returns its name in the store."""

    def record(sequence: int, previous: str | None) -> bytes:
        return close_record(
            signer=signer,
            run=run,
            at=at,
            outcome=outcome,
            pack=pack,
            sequence=sequence,
            previous=previous or "",
        )

    return await append(store, folder, record, run=run, schema=CLOSE_SCHEMA)


async def close_abandoned(store: Store, signer: Signer, folder: str, *, at: str, end_of: EndOf) -> None:
    """Runs that never closed are closed by the next one, as Abandoned where they left no pack: a dropped run shows."""
    opened: dict[str, bytes] = {}
    closed: set[str] = set()
    for data in await read_all(store, await _names(store, folder)):
        body, _ = peek(data)
        if body["schema"] == OPEN_SCHEMA:
            opened[body["run"]] = data
        else:
            closed.add(body["run"])
    for run, data in opened.items():
        if run not in closed:
            outcome, pack = await end_of(run, data) or ("Abandoned", None)
            await close(store, signer, folder, run=run, at=at, outcome=outcome, pack=pack)
