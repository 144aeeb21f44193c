"""The scenario's collection -> a client that asks a Chroma server (REST API v2) as one principal and trusts no answer.

No request here filters by tenant or user of its own accord: keeping records apart is the job of the system under test.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx
from pydantic import AfterValidator, Field, JsonValue, model_validator

from sectum.actions import (
    VERB_OF,
    Action,
    AnswerKind,
    Batch,
    Delete,
    Fetch,
    Item,
    List,
    Reply,
    Search,
    Session,
    Sink,
    Verb,
    WhoAmI,
    Write,
)
from sectum.fields import Name, Strict, Text, fill, placeholders
from sectum.ports import Access, Adapter, AdapterSpec, Bounds
from sectum.vectors import hashed_words
from sectum.web.calls import Expected, matches, understood
from sectum.web.documents import BrokenPromise, Number, TooManyItems, clean, leaves
from sectum.web.templates import PRINCIPAL, Headers, Origin, Values, check_no_literal, check_template, strings
from sectum.web.wire import Prepared, Wire, opened

_API = "/api/v2"
_OWNER = frozenset({"owner.tenant", "owner.user"})
_VERBS = frozenset({Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.BATCH, Verb.LIST, Verb.SEARCH, Verb.DELETE})
_READ = ["documents", "metadatas"]
_MOST_ITEMS = 10_000
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _no_dots(path: str) -> str:
    if {".", ".."} & set(path.split("/")):
        raise ValueError("must have no part that is . or ..")
    return path


Below = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*$", max_length=1024), AfterValidator(_no_dots)]
Segment = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_no_dots)]
Scalar = Annotated[str, Field(max_length=4096)] | bool | int | float


class Proof(Strict):
    """How a client proves who it is."""

    path: Below | None = None
    """Path below the origin; left out: the server's own, <prefix>/api/v2/auth/identity."""
    expect: Expected = Field(default_factory=lambda: {"$.tenant": "{tenant}", "$.user_id": "{user}"})
    """JSONPath -> the value that must be there; {tenant} and {user} must both be mentioned."""

    @model_validator(mode="after")
    def _proves(self) -> Proof:
        for template in self.expect.values():
            check_template("expect", template, PRINCIPAL)
        if missing := sorted(PRINCIPAL - placeholders("\n".join(self.expect.values()))):
            raise ValueError(f"expect proves no {missing[0]}: let a value mention {{{missing[0]}}}")
        return self


class Claim(Strict):
    """What can be spoofed; {owner.tenant} and {owner.user} are the marker's owner's."""

    name: Name
    """Name of the claim, for reports."""
    tenant: Segment | None = None
    """Chroma tenant to ask in."""
    database: Segment | None = None
    """Database to ask in."""
    collection: Segment | None = None
    """Collection to ask."""
    where: Annotated[dict[Text, JsonValue], Field(min_length=1, max_length=64)] | None = None
    """Metadata filter that reads and searches send."""
    headers: Headers = Field(default_factory=dict)
    """Header fields; never a credential, which belongs into the adapter's `headers`."""

    @model_validator(mode="after")
    def _known(self) -> Claim:
        check_no_literal("headers", self.headers)
        parts = {
            "tenant": (self.tenant or "",),
            "database": (self.database or "",),
            "collection": (self.collection or "",),
            "where": tuple(strings(self.where)),
            "headers": tuple(self.headers.values()),
        }
        for field_name, templates in parts.items():
            for template in templates:
                check_template(field_name, template, PRINCIPAL | _OWNER)
        if not placeholders("\n".join(each for templates in parts.values() for each in templates)) & _OWNER:
            raise ValueError("claims nothing: mention {owner.tenant} or {owner.user}")
        return self


class ChromaSpec(AdapterSpec):
    """A collection of a Chroma server, asked as the customer's own principals."""

    origin: Origin
    """Scheme, host and port; no request or redirect leaves it."""
    prefix: Below = ""
    """Path before /api/v2 where a gateway stands in front, for example /chroma."""
    headers: Headers = Field(default_factory=dict)
    """Header fields of every request; the only place for {credential}."""
    tenant: Segment = "default_tenant"
    """Chroma tenant; {tenant}, {user}."""
    database: Segment = "default_database"
    """Database in it; {tenant}, {user}."""
    collection: Segment
    """Name of the collection in it; {tenant}, {user}. It must exist."""
    dimensions: Annotated[int, Field(ge=1, le=16000)]
    """Dimensions of its vectors."""
    metadata: Annotated[dict[Text, Scalar], Field(max_length=64)] = Field(default_factory=dict)
    """Metadata of a written record; {tenant}, {user}, {title}, {text}."""
    top_k: Annotated[int, Field(ge=1, le=1000)] = 10
    """Records that a search asks for."""
    page: Annotated[int, Field(ge=1, le=1000)] = 100
    """Records that one page of a listing asks for."""
    whoami: Proof = Proof()
    """How a client proves who it is."""
    claims: Annotated[tuple[Claim, ...], Field(max_length=12)] = ()
    """What can be spoofed."""

    @model_validator(mode="after")
    def _known(self) -> ChromaSpec:
        check_no_literal("headers", self.headers)
        for template in self.headers.values():
            check_template("headers", template, PRINCIPAL | {"credential"})
        for name in ("tenant", "database", "collection"):
            check_template(name, getattr(self, name), PRINCIPAL)
        for value in self.metadata.values():
            check_template("metadata", value if isinstance(value, str) else "", PRINCIPAL | {"title", "text"})
        if len(set(self.claim_names())) < len(self.claims):
            raise ValueError("claims: two have one name")
        return self

    def verbs(self) -> frozenset[Verb]:
        """All that a collection can do."""
        return _VERBS

    def claim_names(self) -> tuple[str, ...]:
        """Those that are given."""
        return tuple(claim.name for claim in self.claims)

    def client_chooses_location(self) -> bool:
        """Always: Chroma has no ids of its own."""
        return True

    @asynccontextmanager
    async def session(self, access: Access) -> AsyncIterator[Session]:
        """A client with its own connections and cookies; connects with its first request."""
        known = {"tenant": access.principal.tenant, "user": access.principal.user}
        async with opened(self.headers, access) as wire:
            yield _Client(spec=self, known=known, bounds=access.bounds, wire=wire)


class _Refused(BrokenPromise):
    """An answer that is no whole 2xx; carries nothing of it but its kind."""

    def __init__(self, kind: AnswerKind) -> None:
        self.kind = kind


@dataclass(frozen=True, slots=True)
class _Way:
    """Where an action goes and what it claims on the way."""

    collections: str = field(repr=False)
    name: str = field(repr=False)
    headers: Mapping[str, bytes] = field(repr=False)
    where: Any = field(repr=False)

    @property
    def lookup(self) -> str:
        """Path at which the collection is found by its name."""
        return f"{self.collections}/{self.name}"


class _Exchange:
    """One action's requests: one set of bounds for all of them together."""

    def __init__(self, *, origin: str, wire: Wire, sink: Sink, bounds: Bounds) -> None:
        self._origin, self._wire, self._sink = origin, wire, sink
        self._depth, self._room = bounds.depth, bounds.bytes
        self._deadline = asyncio.get_running_loop().time() + bounds.seconds

    async def ask(self, method: Literal["GET", "POST"], path: str, way: _Way, body: Any = None) -> Any:
        """The document of a whole 2xx (Ellipsis: no JSON); raises _Refused for any other answer."""
        prepared = Prepared(method, httpx.URL(self._origin + path), way.headers, body)
        arrived = await self._wire.arrived(prepared, self._sink, deadline=self._deadline, room=self._room)
        answer = understood(arrived, depth=self._depth, sink=self._sink)
        self._room -= answer.size
        if answer.fault is not None:
            raise _Refused(answer.fault)
        return answer.document


class _Client:
    """One principal's client."""

    session_id = None

    def __init__(self, *, spec: ChromaSpec, known: Mapping[str, str], bounds: Bounds, wire: Wire) -> None:
        self._spec, self._known, self._bounds, self._wire = spec, known, bounds, wire
        self._ids: dict[tuple[str, frozenset[tuple[str, bytes]]], str] = {}

    async def perform(self, action: Action, sink: Sink) -> Reply:
        """Do the action within the bounds; ValueError for a verb that verbs() does not have."""
        if VERB_OF[type(action)] not in _VERBS:
            raise ValueError(f"a collection cannot do {type(action).__name__}")
        exchange = _Exchange(origin=self._spec.origin, wire=self._wire, sink=sink, bounds=self._bounds)
        items = () if isinstance(action, Fetch | Batch | List | Search) else None
        identity = False if isinstance(action, WhoAmI) else None
        try:
            way = self._way(action)
            if isinstance(action, WhoAmI):
                return Reply(AnswerKind.ITEMS, identity=await self._proven(way, exchange))
            return await self._performed(action, way, exchange)
        except BrokenPromise as broken:
            return Reply(broken.kind, items=items, identity=identity)

    async def _performed(self, action: Action, way: _Way, exchange: _Exchange) -> Reply:
        match action:
            case Write():
                await self._asked("add", self._record(action), way, exchange)
                return Reply(AnswerKind.ITEMS, location=action.wanted)
            case Delete():
                await self._asked("delete", {"ids": [action.location]}, way, exchange)
                return Reply(AnswerKind.EMPTY)
            case Fetch():
                return _reply(_items(await self._read({"ids": [action.location]}, way, exchange)))
            case Batch():
                return _reply(_items(await self._read({"ids": list(action.locations)}, way, exchange)))
            case Search():
                vector = hashed_words(action.query, self._spec.dimensions)
                body = {"query_embeddings": [vector], "n_results": self._spec.top_k}
                return _reply(_items(_only_query(await self._asked("query", _reading(body, way), way, exchange))))
            case _:
                return await self._listed(way, exchange)

    async def _listed(self, way: _Way, exchange: _Exchange) -> Reply:
        """All pages, until one brings nothing new: a server may give fewer records a page than it was asked for."""
        items: dict[str, Item] = {}
        offset = 0
        for _ in range(self._bounds.pages):
            try:
                page = _items(await self._read({"limit": self._spec.page, "offset": offset}, way, exchange))
            except BrokenPromise as broken:
                return Reply(broken.kind, items=tuple(items.values()))
            if all(item.location in items for item in page):
                return _reply(tuple(items.values()))
            items |= {item.location: item for item in page}
            offset += len(page)
        return Reply(AnswerKind.TOO_LARGE, items=tuple(items.values()))

    async def _proven(self, way: _Way, exchange: _Exchange) -> bool:
        proof = self._spec.whoami
        document = await exchange.ask("GET", proof.path or f"{self._spec.prefix}{_API}/auth/identity", way)
        return matches(proof.expect, document, Values(self._known, ()))

    async def _read(self, body: dict[str, Any], way: _Way, exchange: _Exchange) -> Any:
        return await self._asked("get", _reading(body, way), way, exchange)

    async def _asked(self, verb: str, body: Any, way: _Way, exchange: _Exchange) -> Any:
        """One request on the records; its answer's document."""
        key = (way.lookup, frozenset(way.headers.items()))
        if key not in self._ids:
            self._ids[key] = _found_id(await exchange.ask("GET", way.lookup, way))
        try:
            return await exchange.ask("POST", f"{way.collections}/{self._ids[key]}/{verb}", way, body)
        except _Refused as refused:
            if refused.kind is AnswerKind.NOT_FOUND:  # it may have been made anew, under another id
                self._ids.pop(key, None)
            raise

    def _way(self, action: Action) -> _Way:
        spec, known = self._spec, dict(self._known)
        claim = next((each for each in spec.claims if each.name == action.claim), None)
        if claim is None or action.as_if is None:
            claim = Claim.model_construct(name="")
        else:
            known |= {"owner.tenant": action.as_if.tenant, "owner.user": action.as_if.user}
        values = Values(known, ())
        tenant, database, name = (
            quote(values.text(template), safe="")
            for template in (
                claim.tenant or spec.tenant,
                claim.database or spec.database,
                claim.collection or spec.collection,
            )
        )
        headers = values.headers(claim.headers)
        if headers is None:  # without them it would claim nothing
            raise _Refused(AnswerKind.REJECTED)
        path = f"{spec.prefix}{_API}/tenants/{tenant}/databases/{database}/collections"
        return _Way(path, name, headers, values.body(claim.where))

    def _record(self, action: Write) -> dict[str, Any]:
        known = {**self._known, "title": action.title, "text": action.text}
        metadata = {
            name: fill(value, known) if isinstance(value, str) else value for name, value in self._spec.metadata.items()
        }
        return {
            "ids": [action.wanted],
            "embeddings": [hashed_words(action.text, self._spec.dimensions)],
            "documents": [action.text],
            **({"metadatas": [metadata]} if metadata else {}),
        }


def _reading(body: dict[str, Any], way: _Way) -> dict[str, Any]:
    """A body that reads: with what is claimed, and asking for texts and metadata."""
    return {**body, **({} if way.where is None else {"where": way.where}), "include": _READ}


def _reply(items: tuple[Item, ...]) -> Reply:
    return Reply(AnswerKind.ITEMS if items else AnswerKind.EMPTY, items=items)


def _found_id(document: Any) -> str:
    """The id of a collection that was looked up by its name; raises BrokenPromise."""
    found = document.get("id") if isinstance(document, dict) else None
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise BrokenPromise
    return found


def _only_query(document: Any) -> dict[str, Any]:
    """What was found for the one vector asked for, as a document of `get`; raises BrokenPromise."""
    columns = {name: _column(document, name) for name in ("ids", *_READ)}
    if any(column is not None and len(column) != 1 for column in columns.values()):
        raise BrokenPromise
    return {name: None if column is None else column[0] for name, column in columns.items()}


def _column(document: Any, name: str) -> list[Any] | None:
    """One of an answer's parallel lists; None where it was left out or is null; raises BrokenPromise."""
    column = document.get(name) if isinstance(document, dict) else ...
    if column is not None and not isinstance(column, list):
        raise BrokenPromise
    return column


def _items(document: Any) -> tuple[Item, ...]:
    """The records of an answer's parallel lists; raises BrokenPromise unless they fit together."""
    ids = _column(document, "ids")
    if ids is None or not all(_is_text(each) and 0 < len(each) <= 2048 for each in ids):
        raise BrokenPromise
    if len(ids) > _MOST_ITEMS:
        raise TooManyItems
    none: list[Any] = [None] * len(ids)
    texts, metadatas = (none if column is None else column for column in (_column(document, name) for name in _READ))
    if not len(ids) == len(texts) == len(metadatas) or not all(text is None or _is_text(text) for text in texts):
        raise BrokenPromise
    rows = zip(ids, texts, metadatas, strict=True)
    return tuple(Item(clean(where), clean("\n".join(leaves([text, metadata])))) for where, text, metadata in rows)


def _is_text(node: Any) -> bool:
    return isinstance(node, str) and not isinstance(node, Number)


ADAPTER = Adapter(
    name="chroma", summary="A collection of a Chroma server, as the customer's own principals.", spec=ChromaSpec
)
