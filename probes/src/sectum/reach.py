"""A surface of the scenario -> one open, identified client for each principal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from sectum.actions import AnswerKind, List, Principal, Reply, Session, Verb, WhoAmI
from sectum.errors import ScenarioError, SecretMissing, SurfaceFault
from sectum.fields import fill
from sectum.gate import Clock, Gate, Stopped
from sectum.ports import Access
from sectum.reasons import Reason
from sectum.scenario import Scenario, Surface
from sectum.secrets_dir import ReadSecret

_LOG = logging.getLogger(__name__)

_OWN_REASONS = {"Unreachable": Reason.UNREACHABLE, "Denied": Reason.DENIED}


@dataclass(slots=True)
class Reach:
    """One surface for the length of a run."""

    surface: Surface
    gate: Gate
    verbs: frozenset[Verb]
    sessions: dict[Principal, Session] = field(default_factory=dict)
    identified: dict[Principal, bool] = field(default_factory=dict)
    """Did whoami name the principal when its client was opened?"""
    fault: Reason | None = None
    """Why the surface as a whole cannot be used."""
    planted_at: float | None = None
    """When planting ended, by the gate's clock."""
    hint: str = ""

    @property
    def name(self) -> str:
        """The surface's name."""
        return self.surface.name


async def identify(reach: Reach, principal: Principal) -> bool:
    """Does the surface say, on this client, that it is this principal?"""
    if Verb.WHOAMI not in reach.verbs:
        return False
    try:
        reply = await reach.gate.send(
            lambda: reach.sessions[principal].perform(WhoAmI(), ignore), verb=Verb.WHOAMI, reserved=True
        )
    except Stopped:
        return False
    if reply.identity is False and reply.kind == AnswerKind.ITEMS:
        reach.identified[principal] = False  # it named somebody else: no later answer heals that
        return False
    return reply.identity is True


async def settle(reach: Reach) -> None:
    """Wait until the surface has had its `settleSeconds` since planting ended: what it works on later is done then."""
    if reach.planted_at is not None:
        await reach.gate.pause(max(0.0, reach.planted_at + reach.surface.settle_seconds - reach.gate.now()))


async def list_own(reach: Reach, principal: Principal) -> Reply:
    """What the principal's listing shows."""
    return await reach.gate.send(lambda: reach.sessions[principal].perform(List(), ignore), verb=Verb.LIST)


def ignore(_text: str) -> None:
    """Takes text that nobody looks at."""


def credential(surface: Surface, principal: Principal, secret: ReadSecret) -> str:
    """The principal's credential for this surface; raises SecretMissing."""
    reference = surface.credentials.secret_ref
    key = fill(reference.key, {"tenant": principal.tenant, "user": principal.user})
    try:
        return secret(reference.name, key).decode().strip()
    except UnicodeDecodeError:
        raise SecretMissing(f"secretRef {reference.name}/{key}", "is not UTF-8 text") from None


def secret_faults(scenario: Scenario, secret: ReadSecret) -> Iterator[ScenarioError]:
    """Every Secret that the scenario's keys and surfaces need and that cannot be used, by the field that names it."""
    spec = scenario.spec
    reads: list[tuple[str, Callable[[], object]]] = [
        ("spec.manifest.key", partial(spec.manifest.spec.wrapper, secret)),
        ("spec.evidence.signer", partial(spec.evidence.spec.signer, secret)),
    ]
    for number, surface in enumerate(spec.surfaces):
        path = f"spec.surfaces[{number}]"
        for who in scenario.principals:
            reads.append((f"{path}.credentials.secretRef", partial(credential, surface, who, secret)))
        for reference in surface.spec.secret_refs():
            reads.append((f"{path}.adapter.{surface.adapter_name}", partial(secret, reference.name, reference.key)))
    for field_, read in reads:
        try:
            read()
        except ScenarioError as error:
            yield type(error)(field_, str(error))


async def open_reach(
    scenario: Scenario, surface: Surface, *, secret: ReadSecret, clock: Clock, stack: AsyncExitStack
) -> Reach:
    """Open and identify every principal's client; a surface that cannot be used comes back with its `fault`."""
    reach = Reach(surface, Gate(surface.budget, clock), surface.spec.verbs())
    await open_clients(reach, scenario, secret=secret, stack=stack)
    return reach


async def open_clients(reach: Reach, scenario: Scenario, *, secret: ReadSecret, stack: AsyncExitStack) -> None:
    """Open and identify every principal's client; sets the `fault` of a surface that cannot be used."""
    surface = reach.surface

    async def one(principal: Principal, key: str) -> None:
        client = surface.spec.session(Access(principal, key, secret=secret))
        reach.sessions[principal] = await stack.enter_async_context(client)
        reach.identified[principal] = await identify(reach, principal)

    keys = {principal: credential(surface, principal, secret) for principal in scenario.principals}
    results = await asyncio.gather(*(one(who, key) for who, key in keys.items()), return_exceptions=True)
    for result in results:
        if isinstance(result, SurfaceFault):
            reach.fault = reach.fault or _OWN_REASONS.get(result.reason, Reason.UNREACHABLE)
            reach.hint = reach.hint or result.hint
        elif isinstance(result, Exception):  # its text may hold a server's words
            _LOG.error("%s: an adapter crashed with %s", reach.name, type(result).__name__)
            reach.fault = reach.fault or Reason.PROBE_CRASHED
        elif isinstance(result, BaseException):
            raise result


async def check_empty(reach: Reach, scenario: Scenario) -> None:
    """Set the fault NotEmpty when a principal finds items that the scenario does not name."""
    if reach.fault or Verb.LIST not in reach.verbs:
        return

    async def one(principal: Principal) -> None:
        listing = await list_own(reach, principal)
        found = not_empty(listing, named_items(scenario, reach.surface, principal))
        reach.fault = reach.fault or found  # of whoever listed first; read after the wait, when others may have set it

    try:
        await asyncio.gather(*(one(principal) for principal in reach.sessions))
    except Stopped as stop:
        reach.fault = stop.reason


def not_empty(listing: Reply, named: frozenset[str]) -> Reason | None:
    """What speaks against a principal's place: a listing that tells nothing, or items that the scenario does not name.

    "Not found" is how some applications list nothing; where it means a wrong path, the owner's arms will fail.
    """
    if listing.kind in (AnswerKind.UNREACHABLE, AnswerKind.TIMEOUT):
        return Reason.UNREACHABLE
    if listing.kind in (AnswerKind.UNAUTHENTICATED, AnswerKind.DENIED):
        return Reason.DENIED
    if listing.kind not in (AnswerKind.ITEMS, AnswerKind.EMPTY, AnswerKind.NOT_FOUND):
        return Reason.ANSWER_FAULT  # whether the place is empty, nobody knows
    return Reason.NOT_EMPTY if any(item.location not in named for item in listing.items or ()) else None


def named_items(scenario: Scenario, surface: Surface, principal: Principal) -> frozenset[str]:
    """Locations that the scenario says this principal may find: leftovers, and items shared with him."""
    shared = (
        item
        for sharing in scenario.spec.sharing
        if sharing.surface == surface.name and sharing.with_.covers(principal)
        for item in sharing.items
    )
    return frozenset((*surface.leftovers, *shared))
