"""Cleaning up deletes what receipts name, looks for the rest, and believes nobody."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sectum.actions import Action, AnswerKind, Delete, Principal, Reply, Sink, Verb
from sectum.clean import Cleaned, clean
from sectum.manifest import draw_manifest
from sectum.plan import make_plan
from sectum.reach import open_reach
from sectum.reasons import Reason
from sectum.scan import Index
from sectum.testing import API_VERBS, Audience, Document, ManualClock, MemorySurface, memory_scenario, memory_secrets

ALL = API_VERBS


class DeniesTheGone(MemorySurface):
    """Says of a document that is not there that it is not to be deleted, as tools do, which know no other words."""

    async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
        if isinstance(action, Delete) and action.location not in self.documents:
            return Reply(AnswerKind.DENIED)
        return await super().answer(asker, action, sink)


def cleaned(
    surface: MemorySurface, *, unreceipted: int = 0, stopped: Reason | None = None, removed_before: int = 0
) -> Cleaned:
    """Clean up twelve documents, so many of which have no receipt."""
    scenario = memory_scenario(surface)
    markers = draw_manifest(make_plan(memory_scenario(MemorySurface())), run="r", below=secrets.randbelow).markers
    for number, each in enumerate(markers):
        place = each.wanted if surface.client_chooses else f"place-{number}"
        surface.documents[place] = Document(place, each.spec.owner, "title", each.document())
    places = dict(zip([each.id for each in markers], list(surface.documents), strict=True))
    doubtful = {each.id: each.wanted for each in markers[:unreceipted]}
    for place in list(surface.documents)[:removed_before]:
        del surface.documents[place]
    surface.documents["mine"] = Document("mine", markers[0].spec.owner, "title", "a note of the owner's own")

    async def go() -> Cleaned:
        async with AsyncExitStack() as stack:
            clock = ManualClock().clock
            reach = await open_reach(
                scenario, scenario.surface("memory"), secret=memory_secrets(), clock=clock, stack=stack
            )
            if stopped:
                reach.gate.stop(stopped)
            return await clean(
                reach,
                doubtful=doubtful,
                receipts=[(marker, place) for marker, place in places.items() if marker not in doubtful],
                markers={each.id: each for each in markers},
                index=Index({each.id: (each.spec.kind, each.plaintext) for each in markers}),
            )

    return asyncio.run(go())


CASES: dict[str, tuple[dict[str, Any], int, Cleaned, int]] = {
    "all with receipts": ({}, 0, Cleaned(12, 0), 0),
    "some without": ({}, 5, Cleaned(12, 0), 0),
    "none with a receipt": ({}, 12, Cleaned(12, 0), 0),
    "the client chose where": ({"client_chooses": True, "verbs": ALL - {Verb.LIST}}, 5, Cleaned(12, 0), 0),
    "no list, all with receipts": ({"verbs": ALL - {Verb.LIST}}, 0, Cleaned(12, 0), 0),
    "no list, some without": ({"verbs": ALL - {Verb.LIST}}, 5, Cleaned(7, 5), 5),
    "a list that fails": ({"answers": {Verb.LIST: AnswerKind.MALFORMED}}, 5, Cleaned(7, 5), 5),
    "a list that crashes": ({"crashes_on": frozenset({Verb.LIST})}, 5, Cleaned(7, 5), 5),
    "no delete": ({"verbs": ALL - {Verb.DELETE}}, 5, Cleaned(0, 12), 12),
    "a delete that is denied": ({"answers": {Verb.DELETE: AnswerKind.DENIED}}, 0, Cleaned(0, 12), 12),
    "a delete that crashes": ({"crashes_on": frozenset({Verb.DELETE})}, 5, Cleaned(0, 12), 12),
    "a delete that only says so": ({"keeps_deleted": True}, 5, Cleaned(0, 12), 12),
    "no list, a delete that only says so": (
        {"verbs": ALL - {Verb.LIST}, "keeps_deleted": True},
        0,
        Cleaned(0, 12),
        12,
    ),
    "no list, a fetch that fails": (
        {"verbs": ALL - {Verb.LIST}, "answers": {Verb.FETCH: AnswerKind.SERVER_ERROR}},
        0,
        Cleaned(0, 12),
        0,
    ),
    "no list and no fetch: a delete is taken at its word": (
        {"verbs": ALL - {Verb.LIST, Verb.FETCH}, "keeps_deleted": True},
        0,
        Cleaned(12, 0),
        12,
    ),
    "a list that shows everybody's": ({"leaky_list": Audience.EVERYBODY}, 5, Cleaned(12, 0), 0),
    "no client": ({"unreachable": True}, 5, Cleaned(0, 12), 12),
}


@pytest.mark.parametrize(("knobs", "unreceipted", "expected", "left"), CASES.values(), ids=CASES)
def test_what_is_removed_and_what_is_not_is_counted(
    knobs: dict[str, Any], unreceipted: int, expected: Cleaned, left: int
) -> None:
    surface = MemorySurface(**knobs)
    assert cleaned(surface, unreceipted=unreceipted) == expected
    assert len(surface.documents) == left + 1
    assert "mine" in surface.documents, "what carries no marker is nobody's business"


def test_a_surface_that_was_stopped_is_left_and_counted() -> None:
    surface = MemorySurface()
    assert cleaned(surface, unreceipted=5, stopped=Reason.SURFACE_SUFFERS) == Cleaned(0, 12)


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({}, Cleaned(12, 0)),
        ({"answers": {Verb.LIST: AnswerKind.MALFORMED}}, Cleaned(7, 5)),
        ({"verbs": ALL - {Verb.LIST}}, Cleaned(7, 5)),
    ],
    ids=["a listing bears it out", "the listing fails", "nothing lists"],
)
def test_a_refused_delete_of_what_was_removed_before_is_believed_where_a_listing_bears_it_out(
    knobs: dict[str, Any], expected: Cleaned
) -> None:
    assert cleaned(DeniesTheGone(**knobs), removed_before=5) == expected
