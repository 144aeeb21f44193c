"""What a request can be made with: forged tokens, others' sessions, equal ids at one moment; and what answers tell."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sectum import catalog
from sectum.actions import AnswerKind, AskCached, Fetch, Impact, List, Principal, Verb, Write
from sectum.ports import Arm, ArmView, AskPort, Attack
from sectum.testing import API_VERBS, Audience, ManualClock, MemorySession, MemorySurface, memory_scenario, try_out

WAYS = frozenset({Verb.PRESENT_TOKEN, Verb.REUSE_SESSION, Verb.CORRELATE})
Ask = Callable[[ArmView, AskPort], Awaitable[Any]]


def run(surface: MemorySurface, monkeypatch: pytest.MonkeyPatch, foreign: Ask) -> dict[str, Any]:
    """A run of one attack whose owner fetches plainly, and whose foreign and decoy arms ask as `foreign` does."""

    async def attempt(view: ArmView, ask: AskPort) -> None:
        if view.arm.by_owner:
            await ask(Fetch(view.target.location))
        else:
            await foreign(view, ask)

    attack = Attack(
        name="a-way",
        number=99,
        summary="s",
        confirms="c",
        impact=Impact.READ,
        needs=(frozenset({Verb.FETCH}),),
        phrasings=lambda _offer: ("it",),
        attempt=attempt,
    )
    monkeypatch.setattr(catalog, "attacks", lambda: {"a-way": attack})
    scenario = memory_scenario(surface, surface_fields={"attacks": ["a-way"]})
    return asyncio.run(try_out(scenario, clock=ManualClock().clock)).run


async def with_token(view: ArmView, ask: AskPort) -> None:
    await ask(Fetch(view.target.location, token="expired", as_if=view.target.owner))


async def in_the_owners_session(view: ArmView, ask: AskPort) -> None:
    await ask(List(session_of=view.target.owner))


async def at_the_same_moment(view: ArmView, ask: AskPort) -> None:
    beside = (view.target.owner, Fetch(view.target.location))
    await ask(List(correlation=f"{view.slot}-{view.arm}", beside=beside))


CASES: dict[str, tuple[Ask, dict[str, Any]]] = {
    "a forged token is accepted": (with_token, {"accepts_tokens": frozenset({"expired"})}),
    "a session's id is enough": (in_the_owners_session, {"trusts_sessions": True}),
    "replies are crossed": (at_the_same_moment, {"crosses_replies": True}),
}


@pytest.mark.parametrize(("foreign", "knobs"), CASES.values(), ids=CASES)
def test_what_lets_somebody_in_is_a_leak_and_what_keeps_him_out_a_pass(
    foreign: Ask, knobs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hardened = run(MemorySurface(verbs=API_VERBS | WAYS), monkeypatch, foreign)
    assert {row["outcome"] for row in hardened["rows"]} == {"Pass"}
    leaky = run(MemorySurface(verbs=API_VERBS | WAYS, **knobs), monkeypatch, foreign)
    assert {row["outcome"] for row in leaky["rows"]} == {"Leak"}


def test_that_a_forged_token_is_refused_is_a_clean_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(MemorySurface(verbs=API_VERBS | WAYS), monkeypatch, with_token)
    answers = {arm["arm"]: arm["answers"] for arm in result["rows"][0]["arms"]}
    assert answers == {
        "owner-before": ["items"],
        "foreign": ["token-refused"],
        "decoy": ["token-refused"],
        "owner-after": ["items"],
    }


def test_that_the_askers_own_credential_is_refused_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses(MemorySurface):
        async def answer(self, asker: Principal, action: Any, sink: Any) -> Any:
            reply = await super().answer(asker, action, sink)
            return type(reply)(AnswerKind.UNAUTHENTICATED, items=()) if isinstance(action, List) else reply

    async def lists(_view: ArmView, ask: AskPort) -> None:
        await ask(List())

    surface = Refuses(verbs=API_VERBS - {Verb.LIST})
    result = run(surface, monkeypatch, lists)
    assert {row["outcome"] for row in result["rows"]} == {"Inconclusive"}


def test_a_way_that_the_surface_does_not_have_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for foreign in (with_token, in_the_owners_session, at_the_same_moment):
        result = run(MemorySurface(), monkeypatch, foreign)
        assert {row["reason"] for row in result["rows"]} == {"ProbeCrashed"}


@pytest.mark.parametrize("kind", [AnswerKind.TIMEOUT, AnswerKind.DENIED, AnswerKind.EMPTY, AnswerKind.NOT_FOUND])
def test_two_that_did_not_meet_show_nothing(kind: AnswerKind, monkeypatch: pytest.MonkeyPatch) -> None:
    class Drops(MemorySurface):
        async def answer(self, asker: Principal, action: Any, sink: Any) -> Any:
            beside = isinstance(action, Fetch) and action.correlation
            reply = await super().answer(asker, replace(action, correlation=None) if beside else action, sink)
            return type(reply)(kind, items=()) if beside else reply

    result = run(Drops(verbs=API_VERBS | WAYS, crosses_replies=True), monkeypatch, at_the_same_moment)
    assert {row["reason"] for row in result["rows"]} == {"AnswerFault"}


# --- the answer cache's own control


def cached(**knobs: Any) -> dict[str, Any]:
    surface = MemorySurface(verbs=API_VERBS | {Verb.TELL_CACHED}, **knobs)
    scenario = memory_scenario(surface, surface_fields={"attacks": ["semantic-cache"]})
    return asyncio.run(try_out(scenario, clock=ManualClock().clock)).run


def test_a_cache_that_tells_and_hits_can_pass() -> None:
    result = cached()
    assert result["verdict"] == "Pass"
    assert {row["control"] for row in result["rows"]} == {"cached"}
    assert {arm["answers"][0] for row in result["rows"] for arm in row["arms"] if arm["arm"] == "owner-after"} == {
        "cached"
    }


def test_a_cache_that_never_hits_has_not_been_tested() -> None:
    result = cached(never_caches=True)
    assert result["verdict"] == "Inconclusive"
    assert {row["reason"] for row in result["rows"]} == {"PositiveControlFailed"}


def test_a_shared_cache_that_tells_leaks() -> None:
    assert cached(shared_cache=Audience.EVERYBODY)["verdict"] == "Leak"


def test_where_nothing_tells_no_control_is_asked_for() -> None:
    scenario = memory_scenario(MemorySurface(never_caches=True), surface_fields={"attacks": ["semantic-cache"]})
    result = asyncio.run(try_out(scenario)).run
    assert {row["control"] for row in result["rows"]} == {None}
    assert result["verdict"] == "Pass"


def test_a_paraphrase_that_never_hits_earns_no_pass() -> None:
    class Literal(MemorySurface):
        async def answer(self, asker: Principal, action: Any, sink: Any) -> Any:
            before = set(self.cache)
            reply = await super().answer(asker, action, sink)
            if isinstance(action, AskCached) and action.question.startswith("Tell"):
                for key in set(self.cache) - before:
                    del self.cache[key]
                return replace(reply, kind=AnswerKind.ITEMS) if reply.kind == AnswerKind.CACHED else reply
            return reply

    scenario = memory_scenario(
        Literal(verbs=API_VERBS | {Verb.TELL_CACHED}), surface_fields={"attacks": ["semantic-cache"]}
    )
    result = asyncio.run(try_out(scenario)).run
    assert {(row["phrasing"], row["outcome"]) for row in result["rows"]} == {
        ("tell-me", "Inconclusive"),
        ("same-words", "Pass"),
    }


def test_a_cache_that_is_said_to_be_exact_is_asked_in_the_same_words_alone() -> None:
    verbs = API_VERBS | {Verb.TELL_CACHED, Verb.EXACT_CACHE}
    scenario = memory_scenario(MemorySurface(verbs=verbs), surface_fields={"attacks": ["semantic-cache"]})
    assert {row["phrasing"] for row in asyncio.run(try_out(scenario)).run["rows"]} == {"same-words"}


# --- free text


def test_free_text_is_said_to_have_no_closed_world() -> None:
    scenario = memory_scenario(MemorySurface(), surface_fields={"attacks": ["boundary-fetch", "semantic-cache"]})
    result = asyncio.run(try_out(scenario)).run
    closed = {cell["attack"]: cell["closedWorld"] for cell in result["cells"]}
    assert closed == {"boundary-fetch": True, "semantic-cache": False}


# --- whose a marker is


def test_a_marker_of_a_planter_who_was_not_named_afterwards_is_no_ones_leak() -> None:
    """He wrote as somebody whom the surface no longer names: who sees it may be its owner."""

    class Loses(MemorySurface):
        async def answer(self, asker: Principal, action: Any, sink: Any) -> Any:
            if asker == Principal("acme", "ann") and self.documents:
                self.lies_about_identity = True
            reply = await super().answer(asker, action, sink)
            self.lies_about_identity = False
            return reply

    scenario = memory_scenario(Loses(leaky_list=Audience.EVERYBODY), surface_fields={"attacks": ["boundary-fetch"]})
    result = asyncio.run(try_out(scenario)).run
    unattributed = {each["id"] for each in result["markers"] if not each["attributed"]}
    assert unattributed == {
        each["id"] for each in result["markers"] if each["owner"] == {"tenant": "acme", "user": "ann"}
    }
    assert not {finding["marker"] for finding in result["findings"]} & unattributed
    assert result["verdict"] != "Pass"


def test_a_session_id_that_holds_what_is_looked_for_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server could rename a session so that we carry the owner's marker to it as somebody else."""
    surface = MemorySurface(verbs=API_VERBS | WAYS)

    def session_id(session: MemorySession) -> str:
        texts = [each.text for each in surface.documents.values() if each.owner == session.principal]
        return " ".join(texts) or "none"

    monkeypatch.setattr(MemorySession, "session_id", property(session_id))
    result = run(surface, monkeypatch, in_the_owners_session)
    assert {row["reason"] for row in result["rows"]} == {"Echo"}
    assert not [action for _, action in surface.received if action.session]


def test_a_run_that_is_stopped_while_planting_attributes_nothing() -> None:
    class Stops(MemorySurface):
        async def answer(self, asker: Principal, action: Any, sink: Any) -> Any:
            if isinstance(action, Write) and len(self.documents) == 2:
                tasks = asyncio.all_tasks()
                next(task for task in tasks if task.get_name() == "the run").cancel()
                await asyncio.sleep(0.01)
            return await super().answer(asker, action, sink)

    async def go() -> Any:
        scenario = memory_scenario(Stops(), surface_fields={"attacks": ["boundary-fetch"]})
        return await asyncio.create_task(try_out(scenario), name="the run")

    result = asyncio.run(go()).run
    assert result["cancelled"]
    assert {each["attributed"] for each in result["markers"] if each["planted"]} == {False}


def test_a_short_location_names_a_document_on_its_own_surface_alone() -> None:
    from sectum.probe import World
    from sectum.scan import Index

    world = World(markers={}, index=Index({}))
    world.add_planted("one", {"m1": "7", "m2": "document-1"})
    world.add_planted("two", {"m3": "7"})
    assert (world.planted_at("one", "7"), world.planted_at("two", "7"), world.planted_at("three", "7")) == (
        "m1",
        "m3",
        None,
    )
    assert world.planted_at("three", "document-1") == "m2"


def test_arms_of_a_trial() -> None:
    from sectum.ports import arms_of

    assert arms_of(baseline=True)[0] == Arm.BASELINE
    assert arms_of(baseline=True)[1:] == arms_of(baseline=False)
