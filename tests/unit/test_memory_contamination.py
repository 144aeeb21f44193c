"""memory-contamination finds what is recalled of others, at once and after the memory has settled, and nothing else."""

import asyncio
from typing import Any

import pytest
from sectum.actions import Action, AnswerKind, Principal, Recall, Reply, Sink, Verb
from sectum.testing import Audience, ManualClock, MemoryStore, MemorySurface, memory_scenario, try_out

VERBS = frozenset(
    {Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.LIST, Verb.DELETE, Verb.RECALL, Verb.HISTORY, Verb.RECALL_OPEN}
)
FIELDS = {"attacks": ["memory-contamination"], "settleSeconds": 30}
SAME, OTHER = "same-tenant", "other-tenant"


def run(surface: MemorySurface, clock: ManualClock | None = None, **spec: Any) -> dict[str, Any]:
    scenario = memory_scenario(surface, surface_fields=FIELDS, **spec)
    return asyncio.run(try_out(scenario, clock=(clock or ManualClock()).clock, store=MemoryStore())).run


def leaking(result: dict[str, Any]) -> set[tuple[str, str]]:
    """Ways of asking that leaked, with the kind of asker."""
    kinds = {True: SAME, False: OTHER}
    return {
        (row["phrasing"], kinds[row["asker"]["tenant"] == row["owner"]["tenant"]])
        for row in result["rows"]
        if row["outcome"] == "Leak"
    }


RECALLS = {f"recall-{cue}{when}" for cue in ("topic", "mention", "earlier", "summary") for when in ("", "-later")}


def test_a_memory_that_keeps_everybody_apart_passes() -> None:
    result = run(MemorySurface(verbs=VERBS))
    assert {row["outcome"] for row in result["rows"]} == {"Pass"}
    assert {row["phrasing"] for row in result["rows"]} == {
        *RECALLS,
        "history",
        "history-later",
        "recall-topic+tenant-header",
        "history+tenant-header",
    }
    assert result["verdict"] == "Pass"


def test_a_shared_namespace_leaks_by_every_cue_at_once_and_later() -> None:
    result = run(MemorySurface(verbs=VERBS, leaky_recall=Audience.EVERYBODY))
    ways = {*RECALLS, "recall-topic+tenant-header"}
    assert leaking(result) == {(way, kind) for way in ways for kind in (SAME, OTHER)}


def test_a_namespace_shared_in_the_tenant_leaks_to_colleagues_alone() -> None:
    result = run(MemorySurface(verbs=VERBS, leaky_recall=Audience.TENANT))
    assert {kind for _, kind in leaking(result)} == {SAME}
    assert {cell["outcome"] for cell in result["cells"] if cell["askerKind"] == OTHER} == {"Pass"}


def test_a_conversation_that_is_open_by_its_id_leaks_by_history_alone() -> None:
    result = run(MemorySurface(verbs=VERBS, leaky_fetch=Audience.EVERYBODY))
    ways = ("history", "history-later", "history+tenant-header")
    assert leaking(result) == {(way, kind) for way in ways for kind in (SAME, OTHER)}


def test_a_claimed_namespace_leaks_under_the_claim_alone() -> None:
    result = run(MemorySurface(verbs=VERBS, believes_claims=True))
    ways = ("recall-topic+tenant-header", "history+tenant-header")
    assert leaking(result) == {(way, kind) for way in ways for kind in (SAME, OTHER)}


def test_what_is_asked_later_is_asked_when_the_memory_has_settled() -> None:
    clock = ManualClock()
    run(MemorySurface(verbs=VERBS), clock)
    assert clock.seconds >= 30
    assert max(clock.slept) == pytest.approx(30, abs=1)


@pytest.mark.parametrize("leaks_when_settled", [False, True])
def test_what_shows_only_until_the_memory_has_settled_or_only_then_is_told_apart(leaks_when_settled: bool) -> None:
    clock = ManualClock()

    class Settles(MemorySurface):
        async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
            settled = clock.seconds >= 30
            self.leaky_recall = Audience.EVERYBODY if settled == leaks_when_settled else Audience.OWNER
            return await super().answer(asker, action, sink)

    later = {way for way, _ in leaking(run(Settles(verbs=VERBS), clock))}
    recalls = {way for way in RECALLS if way.endswith("-later") == leaks_when_settled}
    assert later == recalls | (set() if leaks_when_settled else {"recall-topic+tenant-header"})


def test_a_memory_that_recalls_nothing_is_inconclusive() -> None:
    result = run(MemorySurface(verbs=VERBS - {Verb.FETCH}, empty_to_all=True))
    assert result["verdict"] == "Inconclusive"
    assert {reason for cell in result["cells"] for reason in cell["reasons"]} == {"PositiveControlFailed"}


def test_open_cues_are_tried_only_where_they_bring_the_owner_his_own() -> None:
    result = run(MemorySurface(verbs=VERBS - {Verb.RECALL_OPEN}))
    ways = {row["phrasing"] for row in result["rows"]}
    assert not {way for way in ways if "earlier" in way or "summary" in way}
    assert {"recall-topic", "recall-mention-later"} < ways


def test_a_cue_that_brings_nobody_anything_earns_no_pass() -> None:
    class Shy(MemorySurface):
        async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
            if isinstance(action, Recall) and "earlier" in action.cue:
                return Reply(AnswerKind.EMPTY, items=())
            return await super().answer(asker, action, sink)

    result = run(Shy(verbs=VERBS))
    wrong = {(row["phrasing"], row["reason"]) for row in result["rows"] if row["outcome"] != "Pass"}
    assert wrong == {(way, "PositiveControlFailed") for way in ("recall-earlier", "recall-earlier-later")}
