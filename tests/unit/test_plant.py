"""Documents are planted by their owners, read back, and told of in sealed intents and receipts."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sectum.actions import Action, AnswerKind, Principal, Reply, Sink, Verb, Write
from sectum.manifest import Marker, draw_manifest
from sectum.plan import make_plan
from sectum.plant import Planted, plant
from sectum.reach import open_reach
from sectum.reasons import Reason
from sectum.scan import Index
from sectum.testing import ManualClock, MemorySurface, memory_scenario, memory_secrets, try_out

Saved = list[tuple[str, Any]]


def planted_in(surface: MemorySurface, time: ManualClock | None = None) -> tuple[Planted, Saved, tuple[Marker, ...]]:
    scenario, saved, planted = memory_scenario(surface), Saved(), Planted()
    markers = draw_manifest(make_plan(scenario), run="r", below=secrets.randbelow).markers
    index = Index({each.id: (each.spec.kind, each.plaintext) for each in markers})

    async def save(kind: str, value: Any) -> None:
        saved.append((kind, value))
        written.append(len(surface.documents))

    async def go() -> None:
        async with AsyncExitStack() as stack:
            clock = (time or ManualClock()).clock
            reach = await open_reach(
                scenario, scenario.surface("memory"), secret=memory_secrets(), clock=clock, stack=stack
            )
            await plant(reach, markers, planted=planted, index=index, save=save, done=lambda: done.append(1))

    written: list[int] = []
    done: list[int] = []
    asyncio.run(go())
    assert not written or written[0] == 0, "the intent comes before the first write"
    assert len(done) in (0, len(markers))
    return planted, saved, markers


def test_every_document_is_its_owner_s_and_every_write_has_its_receipt() -> None:
    surface = MemorySurface()
    planted, [intent, *receipts], markers = planted_in(surface)
    assert intent == ("intent", [[each.id, each.wanted] for each in markers])
    assert sorted(receipts) == sorted(("receipt", [marker, place]) for marker, place in planted.locations.items())
    assert (planted.faults, planted.doubtful, planted.began) == ({}, {}, True)
    for each in markers:
        document = surface.documents[planted.locations[each.id]]
        assert (document.owner, document.text) == (each.spec.owner, each.document())


def test_where_the_client_chooses_it_is_planted_where_it_was_meant_to_be() -> None:
    planted, _, markers = planted_in(MemorySurface(client_chooses=True))
    assert planted.locations == {each.id: each.wanted for each in markers}


def test_owners_take_turns() -> None:
    surface = MemorySurface()
    planted_in(surface)
    writers = [who for who, action in surface.received if isinstance(action, Write)]
    assert len(set(writers[:4])) == 4


def test_a_document_that_appears_late_is_waited_for() -> None:
    class Late(MemorySurface):
        asked = 0

        async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
            if type(action).__name__ == "Fetch":
                Late.asked += 1
                if Late.asked <= 12:
                    return Reply(AnswerKind.NOT_FOUND, items=())
            return await super().answer(asker, action, sink)

    time = ManualClock()
    planted, _, _ = planted_in(Late(), time)
    assert planted.faults == {}
    assert {pause for pause in time.slept if pause} == {0.3}


def test_a_surface_that_forgets_is_asked_four_times() -> None:
    time, surface = ManualClock(), MemorySurface(forgets_writes=True)
    planted, _, markers = planted_in(surface, time)
    assert planted.faults == {each.id: Reason.READ_BACK_FAILED for each in markers}
    assert sorted(set(time.slept)) == [0.0, 0.3, 1.0, 3.0]


@pytest.mark.parametrize(
    ("kind", "doubtful"),
    [
        (AnswerKind.DENIED, False),
        (AnswerKind.REJECTED, False),
        (AnswerKind.NOT_FOUND, False),
        (AnswerKind.UNAUTHENTICATED, False),
        (AnswerKind.TIMEOUT, True),
        (AnswerKind.UNREACHABLE, True),
        (AnswerKind.MALFORMED, True),
        (AnswerKind.REDIRECTED, True),
    ],
)
def test_a_write_that_failed_may_have_left_a_document_unless_it_was_refused(kind: AnswerKind, doubtful: bool) -> None:
    planted, saved, markers = planted_in(MemorySurface(answers={Verb.WRITE: kind}))
    why = Reason.NO_LOCATION if kind == AnswerKind.MALFORMED else Reason.PLANT_FAILED
    assert planted.faults == {each.id: why for each in markers}
    assert planted.doubtful == ({each.id: each.wanted for each in markers} if doubtful else {})
    assert [name for name, _ in saved] == ["intent"]


def test_a_write_that_says_no_place_is_doubtful() -> None:
    class Placeless(MemorySurface):
        async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
            reply = await super().answer(asker, action, sink)
            return Reply(reply.kind, identity=reply.identity)

    planted, _, markers = planted_in(Placeless())
    assert planted.faults == {each.id: Reason.PLANT_FAILED for each in markers}
    assert set(planted.doubtful) == {each.id for each in markers}


def test_nothing_is_written_to_a_surface_that_cannot_be_used() -> None:
    surface = MemorySurface(denies=True)
    planted, saved, markers = planted_in(surface)
    assert (saved, planted.began, surface.documents) == ([], False, {})
    assert planted.faults == {each.id: Reason.DENIED for each in markers}


def test_nothing_is_planted_as_somebody_whom_the_surface_takes_for_another() -> None:
    surface = MemorySurface(lies_about_identity=True)
    ended = asyncio.run(try_out(memory_scenario(surface)))
    assert [row["planted"] for row in ended.run["surfaces"]] == [0]
    assert {row["reason"] for row in ended.run["rows"]} == {"IdentityUnproven"}
