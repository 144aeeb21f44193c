"""Receipts and doubtful writes -> nothing left of what was planted, but what `plan` declared."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sectum.actions import CLEAN_REFUSALS, AnswerKind, Delete, Fetch, Principal, Verb
from sectum.gate import Stopped
from sectum.manifest import Marker
from sectum.reach import Reach, list_own
from sectum.scan import Index, Reader

_LISTED = frozenset({AnswerKind.ITEMS, AnswerKind.EMPTY, AnswerKind.NOT_FOUND})
_DONE = frozenset({AnswerKind.ITEMS, AnswerKind.EMPTY})
_TELLING = CLEAN_REFUSALS | {AnswerKind.ITEMS}
"""Answers to a fetch that tell whether the document is still there; after a 5xx or a timeout nobody knows."""
_LOOK_PAUSES = (0.0, 0.3, 1.0)
"""Seconds before each look: a surface may show for a moment what it has deleted."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Counts of documents: removed, and not."""

    removed: int
    not_removed: int


async def clean(
    reach: Reach,
    *,
    doubtful: Mapping[str, str],
    receipts: Collection[tuple[str, str]],
    markers: Mapping[str, Marker],
    index: Index,
) -> Cleaned:
    """Delete what receipts name; then look, in each owner's listing, for what is still there, and delete that too.

    Where nothing lists, each document is fetched after its delete: one that still shows its marker is not removed.

    Args:
        doubtful: marker id -> location asked for, of writes that may have left a document of which no receipt tells.
        receipts: marker id and location where the write went; several, if it was planted more than once.
        markers: marker id -> marker, for its owner.
    """
    known = {marker for marker, _ in receipts}
    if Verb.DELETE not in reach.verbs:
        return Cleaned(0, len(receipts) + len(doubtful.keys() - known))
    chosen = reach.surface.spec.client_chooses_location()
    named = [*receipts, *(doubtful.items() if chosen else ())]
    gone = await _delete_all(reach, {(markers[each].spec.owner, location) for each, location in named})
    if Verb.LIST not in reach.verbs and Verb.FETCH in reach.verbs:
        gone = await _only_unseen(reach, gone, markers, index)
    owners = sorted({markers[each].spec.owner for each in {*known, *doubtful}}) if Verb.LIST in reach.verbs else []

    async def look() -> dict[Principal, set[Place] | None]:
        found = await asyncio.gather(*(_left(reach, owner, markers, index) for owner in owners))
        return dict(zip(owners, found, strict=True))

    listings = await look()
    again = await _delete_all(reach, _all(listings))
    # That it is gone is believed only of what is no longer listed.
    still = _all(await look()) if again else set()
    refused = {place for place, done in (gone | again).items() if done is None and listings.get(place[0]) is None}
    failed = {place for place, done in (gone | again).items() if done is False} | refused | still
    unseen = () if chosen else [each for each in doubtful if listings.get(markers[each].spec.owner) is None]
    return Cleaned(len({*gone, *again, *failed}) - len(failed), len(failed) + len(unseen))


Place = tuple[Principal, str]


def _all(listings: Mapping[Principal, set[Place] | None]) -> set[Place]:
    return {place for places in listings.values() for place in places or ()}


async def _delete_all(reach: Reach, places: set[Place]) -> dict[Place, bool | None]:
    """Which of them are gone now; None: a listing has to say it."""
    ordered = sorted(places)
    return dict(zip(ordered, await asyncio.gather(*(_delete(reach, *place) for place in ordered)), strict=True))


async def _only_unseen(
    reach: Reach, gone: Mapping[Place, bool | None], markers: Mapping[str, Marker], index: Index
) -> dict[Place, bool | None]:
    """Of what was said to be gone only that is which its owner cannot fetch any more."""

    async def one(place: Place, said: bool | None) -> bool:
        return bool(said) and not await _is_shown(reach, place, markers, index)

    return dict(zip(gone, await asyncio.gather(*(one(*each) for each in gone.items())), strict=True))


async def _is_shown(reach: Reach, place: Place, markers: Mapping[str, Marker], index: Index) -> bool:
    """Does a fetch still show a marker planted for its owner there, or not tell?"""
    owner, location = place
    for pause in _LOOK_PAUSES:
        await reach.gate.pause(pause)
        reader = index.reader()
        session = reach.sessions[owner]
        try:
            reply = await reach.gate.send(
                lambda: session.perform(Fetch(location), reader.feed),  # noqa: B023  (awaited before the next turn)
                verb=Verb.FETCH,
            )
        except Stopped:
            return True
        if reply.kind in _TELLING and not _carries(reach, owner, markers, reader):
            return False
    return True


def _carries(reach: Reach, owner: Principal, markers: Mapping[str, Marker], reader: Reader) -> bool:
    """Did the reader see a marker planted for the owner on this surface?"""
    found = {(markers[each.marker].spec.surface, markers[each.marker].spec.owner) for each in reader.end_answer()}
    return (reach.name, owner) in found


async def _left(reach: Reach, owner: Principal, markers: Mapping[str, Marker], index: Index) -> set[Place] | None:
    """Items of the owner's listing that carry a marker planted for him on this surface; None if it fails.

    What other surfaces planted into the same store is theirs to remove, by the way that they know.
    """
    if owner not in reach.sessions:
        return None
    try:
        reply = await list_own(reach, owner)
    except Stopped:
        return None
    if reply.kind not in _LISTED:
        return None
    left = set()
    for item in reply.items or ():
        reader = index.reader()
        reader.feed(item.text)
        if _carries(reach, owner, markers, reader):
            left.add((owner, item.location))
    return left


async def _delete(reach: Reach, owner: Principal, location: str) -> bool | None:
    """Is it gone? None: the delete was refused, and a listing is to say whether there was anything to remove.

    "Not found" or "no such note" may also mean that the scenario's path is wrong.
    """
    if owner not in reach.sessions:
        return False
    try:
        session = reach.sessions[owner]
        reply = await reach.gate.send(
            lambda: session.perform(Delete(location), lambda _text: None), verb=Verb.DELETE, write=True
        )
    except Stopped:
        return False
    if reply.kind in _DONE:
        return True
    return None if Verb.LIST in reach.verbs and reply.kind in CLEAN_REFUSALS else False
