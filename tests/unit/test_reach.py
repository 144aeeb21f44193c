"""Clients are opened and named before anything is planted, and a place that is not known to be empty is not used."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sectum.actions import AnswerKind, Principal, Verb
from sectum.reach import Reach, check_empty, identify, named_items, open_reach
from sectum.reasons import Reason
from sectum.scenario import Scenario
from sectum.testing import API_VERBS, ManualClock, MemorySurface, memory_scenario, memory_secrets

ANN, CAT = Principal("acme", "ann"), Principal("globex", "cat")


async def opened(scenario: Scenario) -> Reach:
    async with AsyncExitStack() as stack:
        surface, clock = scenario.surface("memory"), ManualClock().clock
        reach = await open_reach(scenario, surface, secret=memory_secrets(), clock=clock, stack=stack)
        await check_empty(reach, scenario)
        return reach


REACHED: dict[str, tuple[dict[str, Any], Reason | None]] = {
    "a surface that answers": ({}, None),
    "a surface that is not there": ({"unreachable": True}, Reason.UNREACHABLE),
    "a surface that refuses the credential": ({"denies": True}, Reason.DENIED),
    "a place that is not empty": ({"extra_items": ("x",)}, Reason.NOT_EMPTY),
    "a place without a list": ({"extra_items": ("x",), "verbs": API_VERBS - {Verb.LIST}}, None),
    "a listing that is refused": ({"answers": {Verb.LIST: AnswerKind.UNAUTHENTICATED}}, Reason.DENIED),
    "a listing that never comes": ({"answers": {Verb.LIST: AnswerKind.TIMEOUT}}, Reason.UNREACHABLE),
    "a listing that is not there": ({"answers": {Verb.LIST: AnswerKind.NOT_FOUND}}, None),
    "a listing that is too large": ({"answers": {Verb.LIST: AnswerKind.TOO_LARGE}}, Reason.ANSWER_FAULT),
    "a listing that is no request": ({"answers": {Verb.LIST: AnswerKind.REJECTED}}, Reason.ANSWER_FAULT),
    "an adapter that crashes": ({"crashes_on": frozenset({Verb.LIST})}, Reason.PROBE_CRASHED),
}


@pytest.mark.parametrize(("knobs", "fault"), REACHED.values(), ids=REACHED)
def test_what_can_be_used_is_known_before_anything_is_planted(knobs: dict[str, Any], fault: Reason | None) -> None:
    assert asyncio.run(opened(memory_scenario(MemorySurface(**knobs)))).fault == fault


@pytest.mark.parametrize(
    ("knobs", "named"),
    [({}, True), ({"lies_about_identity": True}, False), ({"verbs": frozenset({Verb.LIST})}, False)],
)
def test_every_principal_is_named_or_not(knobs: dict[str, Any], named: bool) -> None:
    scenario = memory_scenario(MemorySurface(**knobs))
    reach = asyncio.run(opened(scenario))
    assert reach.identified == dict.fromkeys(scenario.principals, named)


def test_after_a_stop_it_can_still_be_said_who_asked() -> None:
    reach = asyncio.run(opened(memory_scenario(MemorySurface())))
    assert asyncio.run(identify(reach, ANN))
    reach.gate.stop(Reason.SURFACE_SUFFERS)
    assert asyncio.run(identify(reach, ANN))


def test_items_are_named_for_a_surface_and_for_whom_they_are_shared_with() -> None:
    sharing = {
        "surface": "memory",
        "owner": {"tenant": "acme"},
        "with": {"tenant": "globex"},
        "items": ["i"],
        "reason": "r",
    }
    scenario = memory_scenario(MemorySurface(), surface_fields={"leftovers": ["l"]}, sharing=[sharing])
    surface = scenario.surface("memory")
    assert named_items(scenario, surface, CAT) == {"l", "i"}
    assert named_items(scenario, surface, ANN) == {"l"}
