"""A few knobs -> a surface, a clock, a store and secrets in memory: doubles for tests of adapters, attacks and stages.

`memory_scenario(MemorySurface(leaky_fetch=Audience.EVERYBODY))` is a scenario that `try_out` runs through every stage.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ConfigDict

from sectum import pipeline
from sectum.actions import (
    VERB_OF,
    Action,
    AnswerKind,
    Ask,
    AskCached,
    Batch,
    Delete,
    Fetch,
    History,
    Item,
    List,
    Principal,
    Recall,
    Reply,
    Search,
    Session,
    Sink,
    Verb,
    WhoAmI,
    Write,
)
from sectum.assembly import Ended
from sectum.catalog import OneOf
from sectum.codec import sha256
from sectum.errors import AlreadyStored, NotStored, SurfaceFault
from sectum.gate import Clock
from sectum.job import Progress
from sectum.ports import Access, AdapterSpec, Store
from sectum.scenario import Scenario, Surface, parse
from sectum.secrets_dir import ReadSecret


class ManualClock:
    """Time that passes only when somebody sleeps, and then at once; `slept` lists the pauses in seconds."""

    def __init__(self) -> None:
        self.seconds = self.computed = 0.0
        self.slept: list[float] = []

    @property
    def clock(self) -> Clock:
        """As the stages take it."""
        return Clock(now=lambda: self.seconds, busy=lambda: self.computed, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


class Audience(StrEnum):
    """Who gets to see a document; all but OWNER is a leak."""

    OWNER = "owner"
    TENANT = "tenant"
    EVERYBODY = "everybody"

    def includes(self, asker: Principal, owner: Principal) -> bool:
        """Does `asker` get to see what is `owner`'s?"""
        if self == Audience.TENANT:
            return asker.tenant == owner.tenant
        return self == Audience.EVERYBODY or asker == owner


@dataclass(frozen=True, slots=True)
class Document:
    """What one principal stored."""

    location: str
    owner: Principal
    title: str
    text: str

    @property
    def item(self) -> Item:
        """As an answer shows it."""
        return Item(self.location, f"{self.title}\n{self.text}")


API_VERBS = frozenset(VERB_OF.values()) - {Verb.RECALL, Verb.HISTORY}
"""What an application's own API can do."""


@dataclass(slots=True)
class MemorySurface:
    """A multi-tenant surface that keeps its tenants apart, but for the knobs; they may be turned while a run goes on.

    A document is about the last three words of its title, and a question about its own last three words.
    """

    verbs: frozenset[Verb] = API_VERBS
    """What its adapter can do."""
    client_chooses: bool = False
    """Does a Write go where the client wants it?"""

    leaky_fetch: Audience = Audience.OWNER
    """Who can fetch a document by its location, alone and in a batch."""
    leaky_list: Audience = Audience.OWNER
    """Whose listing shows it."""
    leaky_search: Audience = Audience.OWNER
    """Who finds it by searching and asking."""
    shared_cache: Audience = Audience.OWNER
    """Who is served a cached answer."""
    leaky_recall: Audience = Audience.OWNER
    """Whose memories are recalled."""
    accepts_tokens: frozenset[str] = frozenset()
    """Forged tokens that it takes for the credential of the one in whose name they are."""
    trusts_sessions: bool = False
    """Takes whoever sends a session's id for the one who opened it."""
    crosses_replies: bool = False
    """Gives each of two requests of one correlation that are under way together the other's reply."""
    never_caches: bool = False
    """Answers every question anew."""
    believes_claims: bool = False
    """Takes a spoofed tenant field at its word."""
    tells_existence: bool = False
    """Denies another's document and says that what never was is not found."""

    forgets_writes: bool = False
    """Accepts documents and keeps none."""
    empty_to_all: bool = False
    """Answers every question and every reading with nothing."""
    echoes: bool = False
    """Answers with what it was asked and nothing else."""
    lies_about_identity: bool = False
    """Never names the principal that asks."""
    loses_identity_after: int | None = None
    """Number of requests after which it no longer names the principal."""
    extra_items: tuple[str, ...] = ()
    """Texts of items that everybody finds and nobody of this run stored."""
    keeps_deleted: bool = False
    """Says that it deleted, and did not."""

    throttles: int = 0
    """So many of the next requests are answered with 429."""
    server_errors: int = 0
    """So many of the next requests are answered with 5xx; a write is carried out all the same."""
    answers: Mapping[Verb, AnswerKind] = field(default_factory=dict)
    """Verbs that are answered with this kind, nothing else being done: redirects, timeouts, what is malformed …"""
    crashes_on: frozenset[Verb] = frozenset()
    """Verbs on which the adapter raises, with the text of all documents in the exception."""
    unreachable: bool = False
    """No client can be opened."""
    denies: bool = False
    """Every credential is refused."""
    slow: float = 0.0
    """Seconds that an answer takes by `clock`."""
    clock: Clock | None = None
    """Whose seconds those are; None is real time."""

    documents: dict[str, Document] = field(default_factory=dict)
    """What is there, by location."""
    received: list[tuple[Principal, Action]] = field(default_factory=list)
    """Every request, in order."""
    cache: dict[tuple[object, ...], str] = field(default_factory=dict)
    """Cached answers."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _waiting: dict[str, tuple[asyncio.Future[tuple[Reply, str]], tuple[Reply, str]]] = field(default_factory=dict)

    async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
        """What `asker` is told; the text goes into `sink`."""
        self.received.append((asker, action))
        if self.slow:
            await (self.clock.sleep(self.slow) if self.clock else asyncio.sleep(self.slow))
        verb = VERB_OF[type(action)]
        if verb in self.crashes_on:
            raise RuntimeError(" ".join(each.text for each in self.documents.values()))
        if (fault := self._fault(asker, action)) is not None:
            return Reply(fault, items=None if verb in (Verb.ASK, Verb.ASK_CACHED) else ())
        if action.token is not None and action.token not in self.accepts_tokens:
            return Reply(AnswerKind.UNAUTHENTICATED, items=())
        if action.as_if is not None and (action.token is not None or self.believes_claims):
            asker = action.as_if
        if self.trusts_sessions and action.session is not None:
            asker = Principal(*action.session.split("/"))
        reply, text = self._told(asker, action)
        if self.crosses_replies and action.correlation is not None:
            reply, text = await self._crossed(action.correlation, (reply, text))
        sink(text)
        return reply

    async def _crossed(self, correlation: str, mine: tuple[Reply, str]) -> tuple[Reply, str]:
        other = self._waiting.pop(correlation, None)
        if other is not None:
            meeting, theirs = other
            meeting.set_result(mine)
            return theirs
        meeting = asyncio.get_running_loop().create_future()
        self._waiting[correlation] = (meeting, mine)
        with suppress(TimeoutError):
            return await asyncio.wait_for(meeting, 0.05)
        self._waiting.pop(correlation, None)
        return mine

    def _fault(self, asker: Principal, action: Action) -> AnswerKind | None:
        verb = VERB_OF[type(action)]
        if verb in self.answers:
            return self.answers[verb]
        if self.throttles > 0:
            self.throttles -= 1
            return AnswerKind.THROTTLED
        if self.server_errors > 0:
            self.server_errors -= 1
            if isinstance(action, Write):
                self._write(asker, action)
            return AnswerKind.SERVER_ERROR
        return None

    def _told(self, asker: Principal, action: Action) -> tuple[Reply, str]:
        match action:
            case WhoAmI():
                lost = self.loses_identity_after is not None and len(self.received) > self.loses_identity_after
                return Reply(AnswerKind.ITEMS, identity=not (lost or self.lies_about_identity)), ""
            case Write():
                return Reply(AnswerKind.ITEMS, location=self._write(asker, action)), ""
            case Delete():
                return Reply(self._delete(asker, action.location)), ""
        if self.echoes:
            return Reply(AnswerKind.ITEMS, items=None), _said(action)
        if self.empty_to_all:
            return Reply(AnswerKind.EMPTY, items=None if isinstance(action, (Ask, AskCached)) else ()), ""
        return self._read(asker, action)

    def _read(self, asker: Principal, action: Action) -> tuple[Reply, str]:
        match action:
            case Fetch(location=location) | History(location=location):
                return self._fetched(asker, (location,))
            case Batch(locations=locations):
                return self._fetched(asker, locations)
            case List():
                return self._items(list(self._seen_by(asker, self.leaky_list)))
            case Search(query=query):
                return self._items(self._about(asker, query))
            case Recall(cue=cue):
                mine = list(self._seen_by(asker, self.leaky_recall))
                return self._items([each for each in mine if _about(each.title) == _about(cue)] or mine)
            case Ask(question=question):
                return self._answered(asker, question)
            case AskCached(question=question):
                return self._cached(asker, question)
        raise ValueError(f"no {type(action).__name__} here")

    def _write(self, owner: Principal, action: Write) -> str:
        location = action.wanted if self.client_chooses else f"document-{next(self._numbers):06d}"
        if not self.forgets_writes:
            self.documents[location] = Document(location, owner, action.title, action.text)
        return location

    def _delete(self, asker: Principal, location: str) -> AnswerKind:
        document = self.documents.get(location)
        if document is None or document.owner != asker:
            return AnswerKind.NOT_FOUND
        if not self.keeps_deleted:
            del self.documents[location]
        return AnswerKind.EMPTY

    def _seen_by(self, asker: Principal, audience: Audience) -> Iterator[Document]:
        return (each for each in self.documents.values() if audience.includes(asker, each.owner))

    def _fetched(self, asker: Principal, locations: tuple[str, ...]) -> tuple[Reply, str]:
        there = [self.documents[each] for each in locations if each in self.documents]
        mine = [each for each in there if self.leaky_fetch.includes(asker, each.owner)]
        if mine:
            return _shown([each.item for each in mine])
        return Reply(AnswerKind.DENIED if there and self.tells_existence else AnswerKind.NOT_FOUND, items=()), ""

    def _items(self, documents: list[Document]) -> tuple[Reply, str]:
        strangers = [Item(f"stranger-{number}", text) for number, text in enumerate(self.extra_items)]
        return _shown([each.item for each in documents] + strangers)

    def _about(self, asker: Principal, question: str) -> list[Document]:
        return [each for each in self._seen_by(asker, self.leaky_search) if _about(each.title) == _about(question)]

    def _answered(self, asker: Principal, question: str) -> tuple[Reply, str]:
        reply, text = _shown([each.item for each in self._about(asker, question)])
        return Reply(reply.kind, items=None), text

    def _cached(self, asker: Principal, question: str) -> tuple[Reply, str]:
        parts = {Audience.OWNER: (asker.tenant, asker.user), Audience.TENANT: (asker.tenant,), Audience.EVERYBODY: ()}
        key = (*parts[self.shared_cache], *_about(question))
        if key in self.cache:
            told = AnswerKind.CACHED if Verb.TELL_CACHED in self.verbs else AnswerKind.ITEMS
            return Reply(told, items=None), self.cache[key]
        reply, text = self._answered(asker, question)
        if reply.kind != AnswerKind.EMPTY and not self.never_caches:
            self.cache[key] = text
        return reply, text


def _about(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z]+", text.lower())[-3:])


def _shown(items: list[Item]) -> tuple[Reply, str]:
    return Reply(AnswerKind.ITEMS if items else AnswerKind.EMPTY, items=tuple(items)), "\n".join(
        f"{each.location}\n{each.text}" for each in items
    )


def _said(action: Action) -> str:
    """What an action says, for a surface that only repeats it."""
    names = ("location", "locations", "query", "question", "cue")
    return " ".join(str(getattr(action, name)) for name in names if hasattr(action, name))


@dataclass(frozen=True, slots=True)
class MemorySession:
    """One principal's client."""

    surface: MemorySurface
    principal: Principal

    @property
    def session_id(self) -> str | None:
        """See Session."""
        return str(self.principal) if Verb.REUSE_SESSION in self.surface.verbs else None

    async def perform(self, action: Action, sink: Sink) -> Reply:
        """See Session."""
        return await self.surface.answer(self.principal, action, sink)


class MemorySpec(AdapterSpec):
    """An adapter to a MemorySurface."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    surface: MemorySurface
    """The surface."""

    def verbs(self) -> frozenset[Verb]:
        """See AdapterSpec."""
        return self.surface.verbs

    def claim_names(self) -> tuple[str, ...]:
        """One, which `believes_claims` is about."""
        return (str(_CLAIM["name"]),)

    def token_names(self) -> tuple[str, ...]:
        """Every name, where forged tokens can be presented at all."""
        return TOKENS if Verb.PRESENT_TOKEN in self.surface.verbs else ()

    def client_chooses_location(self) -> bool:
        """See AdapterSpec."""
        return self.surface.client_chooses

    @asynccontextmanager
    async def session(self, access: Access) -> AsyncIterator[Session]:
        """See AdapterSpec; credential and bounds do not matter here."""
        if self.surface.unreachable:
            raise SurfaceFault("Unreachable")
        if self.surface.denies:
            raise SurfaceFault("Denied")
        yield MemorySession(self.surface, access.principal)


class _MemoryUnion(OneOf):
    http: MemorySpec | None = None


def _twin(name: str, surface: MemorySurface) -> dict[str, Any]:
    """An adapter that can do the same as the surface, and reaches nothing: what the snapshot shows."""
    return {"mcp": _mcp(name, surface)} if Verb.CALL in surface.verbs else {"http": _http(name, surface)}


def _mcp(name: str, surface: MemorySurface) -> dict[str, Any]:
    can = {Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.LIST, Verb.SEARCH, Verb.DELETE} & surface.verbs
    fields: dict[Verb, dict[str, Any]] = {
        Verb.WHOAMI: {"expect": {"$.who": "{tenant}/{user}"}},
        Verb.WRITE: {"arguments": {"id": "{wanted}"}} if surface.client_chooses else {"location": "$.id"},
    }
    names = {"claims": {"sub": "{tenant}/{user}"}, "issuer": "issuer", "audience": "audience"}
    issuer = {"secretRef": {"name": f"sectum-surface-{name}-issuer", "key": "key"}}
    tokens = {"tokens": {**names, "issuerKey": issuer}} if Verb.PRESENT_TOKEN in surface.verbs else {}
    return {
        "url": f"http://{name}.invalid/mcp",
        "headers": {"Authorization": "Bearer {credential}"},
        "tools": {str(verb): {"tool": str(verb), **fields.get(verb, {})} for verb in sorted(can)},
        "claims": [{"name": _CLAIM["name"], "arguments": {"tenant": "{owner.tenant}"}}],
        "sessions": Verb.REUSE_SESSION in surface.verbs,
        **tokens,
    }


def _http(name: str, surface: MemorySurface) -> dict[str, Any]:
    items = {"request": {"path": "/x"}}
    calls: dict[Verb, dict[str, Any]] = {
        Verb.WHOAMI: {**items, "expect": {"$.who": "{tenant}/{user}"}},
        Verb.WRITE: {"request": {"path": "/{wanted}"}} if surface.client_chooses else {**items, "location": "$.id"},
        Verb.RECALL: {**items, "open": Verb.RECALL_OPEN in surface.verbs},
        Verb.ASK_CACHED: {**items, "exact": Verb.EXACT_CACHE in surface.verbs, **_cached(surface)},
    }
    adapter = {str(verb): calls.get(verb, items) for verb in sorted(surface.verbs & set(VERB_OF.values()))}
    return {"origin": f"http://{name}.invalid", "claims": [_CLAIM], **adapter}


def _cached(surface: MemorySurface) -> dict[str, Any]:
    return {"cached": {"$.cached": "true"}} if Verb.TELL_CACHED in surface.verbs else {}


TOKENS = ("none", "unsigned", "foreign-key", "wrong-audience", "wrong-issuer", "expired")
"""Forged tokens that a surface with PRESENT_TOKEN among its `verbs` is offered."""

_CLAIM = {"name": "tenant-header", "headers": {"X-Tenant": "{owner.tenant}"}}


class MemoryScenario(Scenario):
    """A scenario with memory surfaces; its snapshot names adapters that can do the same and reach nothing."""

    plain: Scenario
    """The same with those adapters."""

    def snapshot(self) -> dict[str, Any]:
        """See Scenario."""
        return self.plain.snapshot()


TENANTS: Mapping[str, tuple[str, ...]] = {"acme": ("ann", "ben"), "globex": ("cat", "dan")}
"""The tenants of `memory_scenario` with their users."""


def memory_scenario(
    surfaces: MemorySurface | Mapping[str, MemorySurface],
    *,
    tenants: Mapping[str, tuple[str, ...]] = TENANTS,
    surface_fields: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Scenario:
    """A scenario around one surface, named `memory`, or several.

    Args:
        surfaces: the surface, or surfaces by name.
        tenants: names of tenants and of their users.
        surface_fields: further fields of every surface, as YAML spells them: `budget`, `attacks`, `leftovers` …
        spec: further fields of `spec`, as YAML spells them: `sharing`, `exclusions`, `trials`, `allowImpact` …
    """
    named = {"memory": surfaces} if isinstance(surfaces, MemorySurface) else dict(surfaces)
    plain = parse(
        {
            "apiVersion": "sectum.ai/v1alpha1",
            "kind": "IsolationScenario",
            "metadata": {"name": "in-memory"},
            "spec": {
                "tenants": [
                    {"name": name, "users": [{"name": user} for user in users]} for name, users in tenants.items()
                ],
                "surfaces": [
                    {
                        "name": name,
                        "kind": "api",
                        "credentials": {
                            "secretRef": {"name": f"sectum-surface-{name}-tokens", "key": "{tenant}.{user}"}
                        },
                        "adapter": _twin(name, surface),
                        **(surface_fields or {}),
                    }
                    for name, surface in named.items()
                ],
                "manifest": {"key": {"unsafeLocalKey": {"secretRef": {"name": "sectum-key-manifest", "key": "key"}}}},
                "evidence": {
                    "signer": {"ecKey": {"secretRef": {"name": "sectum-signer-memory", "key": "private.pem"}}},
                    "formats": [],
                },
                **spec,
            },
        }
    )

    def in_memory(surface: Surface) -> Surface:
        union = _MemoryUnion.model_construct(http=MemorySpec(surface=named[surface.name]))
        return surface.model_copy(update={"adapter": union})

    changed = plain.spec.model_copy(update={"surfaces": tuple(in_memory(each) for each in plain.spec.surfaces)})
    fields = {name: getattr(plain, name) for name in Scenario.model_fields}
    return MemoryScenario.model_construct(**{**fields, "spec": changed, "plain": plain})


class MemoryStore:
    """A Store in a dict; `objects` may be looked at and tampered with."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def create(self, name: str, data: bytes) -> str:
        """See Store."""
        if name in self.objects:
            raise AlreadyStored(f"{name} is already there; objects are written once")
        self.objects[name] = bytes(data)
        return sha256(data)

    async def read(self, name: str) -> bytes:
        """See Store."""
        if name not in self.objects:
            raise NotStored(f"{name} is not in the store")
        return self.objects[name]

    async def names(self, prefix: str) -> list[str]:
        """See Store."""
        within = prefix.rstrip("/") + "/"
        return sorted(name for name in self.objects if name.startswith(within) or not prefix)


def memory_secrets() -> ReadSecret:
    """Secrets that are made up when they are first read: a manifest key, a P-256 signer, or a credential."""
    made: dict[tuple[str, str], bytes] = {}

    def make(name: str) -> bytes:
        if name.startswith("sectum-key-"):
            return os.urandom(32)
        if name.startswith("sectum-signer-"):
            key = ec.generate_private_key(ec.SECP256R1())
            return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return f"credential-{os.urandom(16).hex()}".encode()

    def read(name: str, key: str) -> bytes:
        if (name, key) not in made:
            made[name, key] = make(name)
        return made[name, key]

    return read


async def try_out(
    scenario: Scenario,
    *,
    secret: ReadSecret | None = None,
    store: Store | None = None,
    clock: Clock | None = None,
    observe: Callable[[Progress], None] = lambda _step: None,
) -> Ended:
    """Run a scenario through every stage, in memory where nothing else is given; see `pipeline.run`."""
    return await pipeline.run(
        scenario,
        secret=secret or memory_secrets(),
        store=store or MemoryStore(),
        observe=observe,
        clock=clock or ManualClock().clock,
    )
