"""Manifest -> documents in a surface, each written and read back by its owner, with sealed intents and receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sectum.actions import CLEAN_REFUSALS, AnswerKind, Fetch, Principal, Reply, Verb, Write
from sectum.gate import Stopped
from sectum.manifest import Marker
from sectum.reach import Reach, identify, ignore
from sectum.reasons import Reason
from sectum.scan import Index

_READ_BACK_PAUSES = (0.0, 0.3, 1.0, 3.0)
"""Seconds before each try: a surface may index what it stored a moment later."""

_STORED = frozenset({AnswerKind.ITEMS, AnswerKind.EMPTY})
_NOTHING_STORED = CLEAN_REFUSALS - _STORED | {AnswerKind.UNAUTHENTICATED, AnswerKind.THROTTLED}
"""Answers to a write after which there is certainly no document; after a 5xx or a timeout there may be one."""

SaveSealed = Callable[[str, Any], Awaitable[None]]
"""(`intent` or `receipt`, JSON value) -> stored, sealed, under a name of its own."""


@dataclass(slots=True)
class Planted:
    """Where a surface's documents are."""

    locations: dict[str, str] = field(default_factory=dict, repr=False)
    """Marker id -> location."""
    earlier: set[tuple[str, str]] = field(default_factory=set, repr=False)
    """Marker id and location, of plantings before the one that `locations` is of."""
    faults: dict[str, Reason] = field(default_factory=dict)
    """Marker id -> why it cannot be looked for."""
    doubtful: dict[str, str] = field(default_factory=dict, repr=False)
    """Marker id -> location asked for, of writes that may have left a document of which no receipt tells."""
    attributed: set[str] = field(default_factory=set)
    """Ids of planted markers of which it is proven whose they are; whoever sees another may be its owner."""
    began: bool = False
    """Was anything written, or about to be?"""
    newest: int = 0
    """Number of the newest attempt that this knows of; 0 if there was none."""


async def plant(
    reach: Reach,
    markers: tuple[Marker, ...],
    *,
    planted: Planted,
    index: Index,
    save: SaveSealed,
    done: Callable[[], None],
) -> None:
    """Write every marker's document as its owner, then read it back; fills `planted`, calls `done` after each.

    One sealed intent that names every write is stored before the first of them; a receipt follows each. A run that is
    killed in between leaves an intent without a receipt, from which `clean` finds what was written.
    """
    if reach.fault or not markers:
        planted.faults = {marker.id: reach.fault or Reason.NOT_RUN for marker in markers}
        return
    planted.began = True
    await save("intent", [[marker.id, marker.wanted] for marker in markers])

    async def one(marker: Marker) -> None:
        if not reach.identified.get(marker.spec.owner):
            # Whose it would be is not known: who sees it later could be its owner.
            planted.faults[marker.id] = Reason.IDENTITY_UNPROVEN
            done()
            return
        try:
            await _write(reach, marker, planted, save)
            if marker.id not in planted.faults and Verb.FETCH in reach.verbs:
                await _read_back(reach, marker, planted, index)
        except Stopped as stop:
            planted.faults[marker.id] = stop.reason
        done()

    async with asyncio.TaskGroup() as group:
        for marker in _interleaved(markers):
            group.create_task(one(marker))
    await _attribute(reach, markers, planted)
    reach.planted_at = reach.gate.now()


async def _attribute(reach: Reach, markers: tuple[Marker, ...], planted: Planted) -> None:
    """Read every planter's identity again: only what was written between two proofs of it is known to be his."""
    owners = sorted({marker.spec.owner for marker in markers if marker.id in planted.locations})
    named = dict(zip(owners, await asyncio.gather(*(identify(reach, owner) for owner in owners)), strict=True))
    for marker in markers:
        if marker.id in planted.locations and named[marker.spec.owner]:
            planted.attributed.add(marker.id)
        elif marker.id in planted.locations:
            planted.faults[marker.id] = Reason.IDENTITY_UNPROVEN


async def _write(reach: Reach, marker: Marker, planted: Planted, save: SaveSealed) -> None:
    action = Write(title=f"Reference for the {marker.topic}", text=marker.document(), wanted=marker.wanted)
    session = reach.sessions[marker.spec.owner]
    kinds: list[AnswerKind] = []

    async def write() -> Reply:
        planted.doubtful[marker.id] = marker.wanted
        reply = await session.perform(action, ignore)
        kinds.append(reply.kind)
        return reply

    reply = await reach.gate.send(write, verb=Verb.WRITE, write=True)
    location = marker.wanted if reach.surface.spec.client_chooses_location() else reply.location
    if reply.kind in _STORED and location:
        planted.locations[marker.id] = location
        await save("receipt", [marker.id, location])
        kinds.pop()
    else:
        # Accepted, but nobody knows where it is: the scenario looks for the location in the wrong place.
        planted.faults[marker.id] = Reason.NO_LOCATION if reply.kind == AnswerKind.MALFORMED else Reason.PLANT_FAILED
    if _NOTHING_STORED.issuperset(kinds):
        del planted.doubtful[marker.id]


async def _read_back(reach: Reach, marker: Marker, planted: Planted, index: Index) -> None:
    for pause in _READ_BACK_PAUSES:
        await reach.gate.pause(pause)
        reader = index.reader()
        session = reach.sessions[marker.spec.owner]
        fetch = Fetch(planted.locations[marker.id])
        await reach.gate.send(lambda: session.perform(fetch, reader.feed), verb=Verb.FETCH)  # noqa: B023
        if any(sighting.marker == marker.id for sighting in reader.end_answer()):
            return
    planted.faults[marker.id] = Reason.READ_BACK_FAILED


def _interleaved(markers: tuple[Marker, ...]) -> list[Marker]:
    """One of each owner in turn: their clients then work side by side."""
    turns: dict[Principal, int] = {}
    keyed = []
    for position, marker in enumerate(markers):
        turn = turns[marker.spec.owner] = turns.get(marker.spec.owner, -1) + 1
        keyed.append(((turn, position), marker))
    return [marker for _, marker in sorted(keyed, key=lambda each: each[0])]
