"""A store and a series' folder in it -> its History: records, packs and headers, read a few at a time.

Packs are checked as they come, in other processes where that is wanted, and let go: only what the series' checks need
of them is kept, so that a year's evidence fits into the memory of two or three packs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sectum import document
from sectum.checks.entries import NUMBERED, Episode
from sectum.checks.history import History, Packed, Version
from sectum.codec import NotCanonical, digest, sha256
from sectum.container import from_zip
from sectum.errors import NotStored, NotVerified
from sectum.manifest import header
from sectum.pack import RUN
from sectum.reasons import Reason
from sectum.sign import public_key
from sectum.store import each_of
from sectum.verify import Mark, verify

PACKS_AT_ONCE = 2
_RECORDS_AT_ONCE = 8
_PACK = re.compile(r"packs/([^/]+)\.zip")
_READABLE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_UNSTAMPED = {"timestamp", "log", "manifest"}
_T = TypeVar("_T")
_U = TypeVar("_U")


class Shelf(Protocol):
    """A store, as far as it is read."""

    async def read(self, name: str) -> bytes:
        """The object's bytes; raises NotStored, SectumError."""
        ...

    async def names(self, prefix: str) -> list[str]:
        """The names under a prefix of whole segments, sorted; raises SectumError."""
        ...


async def series_in(shelf: Shelf) -> list[str]:
    """The folders in which records of a series lie, each ending with a slash."""
    folders = {name.rpartition("/")[0] + "/" for name in await shelf.names("series/")}
    return sorted(each for each in folders if each.count("/") in (1, 3))


async def gather(
    shelf: Shelf,
    folder: str,
    *,
    key: bytes,
    since: datetime | None = None,
    until: datetime | None = None,
    first: int = 1,
    workers: Executor | None = None,
    large: int = 0,
) -> History:
    """Read a series; `key` is the signer's public key in PEM, `workers` check packs of `large` bytes or more.

    Raises UsageError for a key that is none, SectumError for a store that does not answer.
    """
    direct = [name for name in await shelf.names(folder) if "/" not in name.removeprefix(folder)]
    numbered = [name for name in direct if NUMBERED.fullmatch(name.removeprefix(folder))]
    data = await _each(numbered, shelf.read, at_once=_RECORDS_AT_ONCE)
    found = [_PACK.fullmatch(name) for name in await shelf.names("packs/")]
    bare = History(
        key=public_key(key),
        folder=folder,
        records={name.removeprefix(folder): data.get(name) for name in direct},
        packs={},
        stored=frozenset(match[1] for match in found if match),
        leftovers={},
        versions={},
        since=since,
        until=until,
        first=first,
    )
    packs = await _packs(shelf, bare, key, lambda size: workers if size >= large else None)
    known = {each.run for each in bare.told[0]}
    leftovers = await _each(
        sorted(bare.stored - known), lambda name: _version_of_pack(shelf, name), at_once=PACKS_AT_ONCE
    )
    return replace(bare, packs=packs, leftovers=leftovers, versions=await _versions(shelf, bare, packs))


async def _each(keys: Collection[_T], get: Callable[[_T], Awaitable[_U]], *, at_once: int) -> dict[_T, _U]:
    return dict(zip(keys, await each_of(keys, get, at_once=at_once), strict=True))


async def _packs(
    shelf: Shelf, bare: History, key: bytes, worker: Callable[[int], Executor | None]
) -> dict[str, Packed]:
    """What the packs of the period's runs come to; a run whose pack is not there is left out."""
    records = {f"{number:06d}.json": data for number, data in bare.numbered.items()}

    async def one(run: Episode) -> Packed | None:
        try:
            pack = await shelf.read(f"packs/{run.run}.zip")
        except NotStored:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(worker(len(pack)), judged, pack, key, records[run.opened.name])

    there = {each.run: each for each in bare.runs if each.closed and each.run in bare.stored}
    found = await _each(there, lambda run: one(there[run]), at_once=PACKS_AT_ONCE)
    return {run: pack for run, pack in found.items() if pack is not None}


def judged(pack: bytes, key: bytes, opened: bytes) -> Packed:
    """A pack's zip, verified with the signer's public key in PEM and the run's Open record."""
    checklist = verify(pack, key=key, open_record=opened, allow_unanchored=True)
    run = checklist.run if checklist.verified else {}
    reasons = [f"{step.title}: {step.text}" for step in checklist.blocking if step.mark == Mark.FAILED]
    still_open = [
        f"step {step.number} ({step.title})"
        for step in checklist.steps
        if step.mark == Mark.OPEN and step.id not in _UNSTAMPED
    ]
    return Packed(
        digest=sha256(pack),
        fault="" if checklist.verified else (reasons or [checklist.summary])[0],
        open_steps=tuple(still_open) if checklist.verified else (),
        verdict=checklist.verdict,
        cancelled=bool(run) and any(row["fault"] == Reason.CANCELLED for row in run["rows"]),
        version=_version(run["scenario"]["snapshot"]) if run else None,
    )


async def _version_of_pack(shelf: Shelf, name: str) -> Version | None:
    """The scenario that a pack says it is of; None for what cannot be read as one."""
    if not _READABLE.fullmatch(name):
        return None
    with suppress(NotStored, NotVerified, KeyError):
        run = document.read_run(from_zip(await shelf.read(f"packs/{name}.zip"))[RUN])
        return _version(run["scenario"]["snapshot"])
    return None


async def _versions(shelf: Shelf, bare: History, packs: dict[str, Packed]) -> dict[str, Version]:
    """Out of verified packs, else out of sealed manifests, of the period's runs and the one before them."""
    told, runs = bare.told[0], bare.runs
    before = [each for each in told if bare.since is not None and each.at < bare.since][-1:]
    found = {run: pack.version for run, pack in packs.items() if pack.version is not None}
    missing = {each.run: each for each in [*before, *runs] if each.run not in found}
    sealed = await _each(missing, lambda run: _version_sealed(shelf, missing[run]), at_once=PACKS_AT_ONCE)
    return found | {run: version for run, version in sealed.items() if version is not None}


async def _version_sealed(shelf: Shelf, run: Episode) -> Version | None:
    """Of the sealed manifest's clear header: the Open record's digest says that it is the right one."""
    with suppress(NotStored, NotCanonical, KeyError, TypeError):
        snapshot = header(await shelf.read(f"manifests/{run.run}.sealed.json"))["scenario"]
        if digest(snapshot) == run.opened.body["scenario"]["digest"]:
            return _version(snapshot)
    return None


def _version(snapshot: Any) -> Version | None:
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        return Version.of(snapshot)
    return None
