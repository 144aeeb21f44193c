"""Each weakness of a tool server leaks in exactly the ways of asking that use it; a hardened server passes all."""

import asyncio
from typing import Any

import pytest
from sectum.actions import Action, AnswerKind, Fetch, Verb
from sectum.attacks.tool_hijack import ATTACK
from sectum.finding import Outcome
from sectum.plan import make_plan
from sectum.ports import Offer
from sectum.testing import TOKENS, Audience, MemorySurface, memory_scenario, try_out

TOOLS = frozenset({Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.LIST, Verb.SEARCH, Verb.DELETE, Verb.CALL})
ALL = TOOLS | {Verb.CORRELATE, Verb.REUSE_SESSION, Verb.PRESENT_TOKEN}
CLAIMED = ("fetch+tenant-header", "list+tenant-header")
FORGED = tuple(f"token-{name}" for name in TOKENS)
WAYS = ("fetch", "list", "search", *CLAIMED, "crosstalk", "same-id", "session", *FORGED)
TENANTS = {"acme": ("ann",), "globex": ("cat",)}


def outcomes(surface: MemorySurface) -> dict[str, set[tuple[str, str | None]]]:
    """Way of asking -> what its trials came to, and why; two tenants of one user each."""
    fields = {"attacks": ["tool-hijack"], "budget": {"requests": 5000}}
    scenario = memory_scenario(surface, tenants=TENANTS, surface_fields=fields)
    run = asyncio.run(try_out(scenario)).run
    found: dict[str, set[tuple[str, str | None]]] = {}
    for row in run["rows"]:
        found.setdefault(row["phrasing"], set()).add((row["outcome"], row["reason"]))
    return found


def leaking(surface: MemorySurface) -> set[str]:
    """The ways in which all trials leaked; that the others passed is checked on the way."""
    found = outcomes(surface)
    assert set(found) == set(ATTACK.phrasings(offer(surface)))
    leaks = {way for way, each in found.items() if each == {(str(Outcome.LEAK), None)}}
    assert {way: each for way, each in found.items() if way not in leaks and each != {(str(Outcome.PASS), None)}} == {}
    return leaks


def offer(surface: MemorySurface) -> Offer:
    tokens = TOKENS if Verb.PRESENT_TOKEN in surface.verbs else ()
    return Offer(surface.verbs, ("tenant-header",), tokens)


def test_a_hardened_server_passes_in_every_way() -> None:
    surface = MemorySurface(verbs=ALL)
    assert set(outcomes(surface)) == set(WAYS)
    assert leaking(MemorySurface(verbs=ALL)) == set()


WEAKNESSES: list[tuple[dict[str, Any], set[str]]] = [
    ({"believes_claims": True}, set(CLAIMED)),
    ({"trusts_sessions": True}, {"session"}),
    ({"crosses_replies": True}, {"same-id"}),
    *(({"accepts_tokens": frozenset({name})}, {f"token-{name}"}) for name in TOKENS),
    ({"leaky_search": Audience.EVERYBODY}, {"search"}),
    # A listing of all is one in every way that lists, and a read of all in every way that reads.
    ({"leaky_list": Audience.EVERYBODY}, {"list", "list+tenant-header", "crosstalk", "same-id"}),
    ({"leaky_fetch": Audience.EVERYBODY}, {"fetch", "fetch+tenant-header", "session"}),
]


@pytest.mark.parametrize(("knobs", "ways"), WEAKNESSES, ids=[f"{knobs}" for knobs, _ in WEAKNESSES])
def test_a_weakness_leaks_in_exactly_its_ways(knobs: dict[str, Any], ways: set[str]) -> None:
    assert leaking(MemorySurface(verbs=ALL, **knobs)) == ways


def test_a_denial_by_the_server_is_a_clean_answer_and_no_fault() -> None:
    surface = MemorySurface(verbs=ALL, tells_existence=True)
    assert leaking(surface) == set()
    denied = asyncio.run(
        try_out(memory_scenario(surface, tenants=TENANTS, surface_fields={"budget": {"requests": 5000}}))
    )
    answers = {answer for row in denied.run["rows"] for arm in row["arms"] for answer in arm["answers"]}
    assert str(AnswerKind.DENIED) in answers
    assert str(AnswerKind.TOKEN_REFUSED) in answers


@pytest.mark.parametrize("knobs", [{"empty_to_all": True}, {"forgets_writes": True}])
def test_a_server_that_shows_nothing_to_anybody_is_inconclusive(knobs: dict[str, Any]) -> None:
    found = outcomes(MemorySurface(verbs=ALL, **knobs))
    assert set(found) == set(WAYS)
    assert {outcome for each in found.values() for outcome, _ in each} == {str(Outcome.INCONCLUSIVE)}


def test_a_server_whose_tools_fail_is_inconclusive() -> None:
    found = outcomes(MemorySurface(verbs=ALL, answers={Verb.FETCH: AnswerKind.MALFORMED}))
    assert {way for way, each in found.items() if {outcome for outcome, _ in each} == {"Inconclusive"}} >= {
        "fetch",
        "session",
        "crosstalk",  # the owner's own request failed: the two did not meet
        "same-id",
        *FORGED,
    }


@pytest.mark.parametrize(
    ("verbs", "ways"),
    [
        (TOOLS, ("fetch", "list", "search", *CLAIMED, "crosstalk")),
        (TOOLS - {Verb.LIST, Verb.SEARCH}, ("fetch", "fetch+tenant-header")),
        (ALL - {Verb.FETCH, Verb.SEARCH}, ("list", "list+tenant-header")),
    ],
)
def test_only_what_the_surface_can_do_is_tried(verbs: frozenset[Verb], ways: tuple[str, ...]) -> None:
    assert ATTACK.phrasings(offer(MemorySurface(verbs=verbs))) == ways


def test_what_is_no_tool_server_is_not_tried() -> None:
    assert not any(need <= frozenset(Verb) - {Verb.CALL} for need in ATTACK.needs)


def test_two_requests_that_meet_have_one_id_and_no_others_have_it() -> None:
    surface = MemorySurface(verbs=ALL)
    outcomes(surface)
    ids = [action.correlation for _, action in surface.received if action.correlation is not None]
    assert len(ids) == 2 * len(set(ids)) > 0


def test_the_owner_asks_first_for_what_comes_later_may_take_his_answer() -> None:
    surface = MemorySurface(verbs=ALL)
    outcomes(surface)
    first: dict[str, Action] = {}
    for _, action in surface.received:
        first.setdefault(action.correlation or "", action)
    assert {type(action) for each, action in first.items() if each} == {Fetch}


def test_a_plan_counts_the_owners_requests_beside_the_askers() -> None:
    surface = MemorySurface(verbs=ALL)
    scenario = memory_scenario(surface, tenants=TENANTS, surface_fields={"attacks": ["tool-hijack"]})
    [total] = make_plan(scenario).totals
    asyncio.run(try_out(scenario))
    assert total.requests == len(surface.received)
