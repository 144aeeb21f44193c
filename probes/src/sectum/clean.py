"""Sealed intents and receipts -> nothing left of what was planted, but what `plan` declared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from sectum.actions import AnswerKind, Delete, Principal, Verb
from sectum.gate import Stopped
from sectum.manifest import Marker
from sectum.reach import Reach, list_own
from sectum.scan import Index

_GONE = frozenset({AnswerKind.ITEMS, AnswerKind.EMPTY, AnswerKind.NOT_FOUND})


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Counts of documents: removed, and not."""

    removed: int
    not_removed: int


async def clean(
    reach: Reach,
    *,
    intended: Mapping[str, str],
    receipts: Mapping[str, str],
    markers: Mapping[str, Marker],
    index: Index,
) -> Cleaned:
    """Delete what receipts name; look for what was intended and has no receipt, and delete that too.

    Args:
        intended: marker id -> location that the write asked for.
        receipts: marker id -> location where the write went.
        markers: marker id -> marker, for its owner.
    """
    if Verb.DELETE not in reach.verbs:
        return Cleaned(0, len(receipts))
    places = {(markers[each].spec.owner, location) for each, location in receipts.items() if location}
    open_ended = set(intended) - set(receipts)
    owners = {markers[each].spec.owner for each in open_ended}
    if open_ended and reach.surface.spec.client_chooses_location():
        places |= {(markers[each].spec.owner, intended[each]) for each in open_ended}
    elif open_ended and Verb.LIST in reach.verbs:
        for found in await asyncio.gather(*(_stray(reach, owner, index) for owner in owners)):
            places |= found
    results = await asyncio.gather(*(_delete(reach, owner, location) for owner, location in sorted(places)))
    lost = 0 if reach.surface.spec.client_chooses_location() or Verb.LIST in reach.verbs else len(open_ended)
    return Cleaned(sum(results), len(results) - sum(results) + lost)


async def _stray(reach: Reach, owner: Principal, index: Index) -> set[tuple[Principal, str]]:
    """Items of the owner's listing that carry one of this run's markers."""
    if owner not in reach.sessions:
        return set()
    try:
        reply = await list_own(reach, owner)
    except Stopped:
        return set()
    strays = set()
    for item in reply.items or ():
        reader = index.reader()
        reader.feed(item.text)
        if reader.end_answer():
            strays.add((owner, item.location))
    return strays


async def _delete(reach: Reach, owner: Principal, location: str) -> bool:
    """Is it gone?"""
    if owner not in reach.sessions:
        return False
    try:
        session = reach.sessions[owner]
        reply = await reach.gate.send(lambda: session.perform(Delete(location), lambda _text: None), write=True)
    except Stopped:
        return False
    return reply.kind in _GONE
