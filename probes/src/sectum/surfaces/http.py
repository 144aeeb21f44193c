"""The scenario's requests and JSONPaths -> a client that asks an HTTP API as one principal and trusts no answer."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

import httpx
from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError
from jsonpath.segments import JSONPathChildSegment, JSONPathSegment
from jsonpath.selectors import IndexSelector, NameSelector, SliceSelector, WildcardSelector
from pydantic import AfterValidator, Field, JsonValue, model_validator
from pydantic.alias_generators import to_snake

from sectum.actions import VERB_OF, Action, AnswerKind, Item, Reply, Session, Sink, Verb
from sectum.errors import SurfaceFault
from sectum.fields import Name, Strict, Text, fill, placeholders
from sectum.ports import Access, Adapter, AdapterSpec, Bounds

for _noisy in ("httpx", "httpcore"):  # they log URLs (locations) at INFO and headers (credentials) at DEBUG
    logging.getLogger(_noisy).setLevel(logging.WARNING)

_PRINCIPAL = frozenset({"tenant", "user"})
_STATUS = {
    401: AnswerKind.UNAUTHENTICATED,
    403: AnswerKind.DENIED,
    404: AnswerKind.NOT_FOUND,
    410: AnswerKind.NOT_FOUND,
    429: AnswerKind.THROTTLED,
}
_CLASS = {2: None, 3: AnswerKind.REDIRECTED, 4: AnswerKind.REJECTED}
_MOST_ITEMS = 10_000
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]|^ | $")
_TOKENS = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_RFC9535 = JSONPathEnvironment(strict=True)
_SELECTORS = (NameSelector, IndexSelector, SliceSelector, WildcardSelector)


class _BrokenPromise(Exception):
    """A 2xx answer is not what the scenario says; carries nothing of it but the kind that it is instead."""

    kind = AnswerKind.MALFORMED


class _TooManyItems(_BrokenPromise):
    kind = AnswerKind.TOO_LARGE


@cache
def _compiled(path: str) -> JSONPath:
    """Raises ValueError for what is no RFC 9535 path, or one whose time a hostile answer could blow up."""
    try:
        compiled = _RFC9535.compile(path)
    except JSONPathError:
        raise ValueError("is no JSONPath (RFC 9535), for example $.items[*]") from None
    plain = isinstance(compiled, JSONPath) and all(
        isinstance(segment, JSONPathChildSegment) and all(isinstance(each, _SELECTORS) for each in segment.selectors)
        for segment in compiled.segments
    )
    if not plain:
        raise ValueError("may only use names, indexes, slices and [*]: no filters and no '..'")
    assert isinstance(compiled, JSONPath)  # noqa: S101 (narrows the type for mypy)
    return compiled


def _checked_path(path: str) -> str:
    _compiled(path)
    return path


def _checked_header(name: str) -> str:
    if name.lower() in ("content-length", "transfer-encoding"):
        raise ValueError("is not yours to set")
    return name


def _checked_origin(origin: str) -> str:
    try:
        url = httpx.URL(origin)
    except httpx.InvalidURL:
        raise ValueError("is no URL; write scheme, host and port: https://api.example.com:8443") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.raw_path != b"/" or "#" in origin:
        raise ValueError("must be scheme, host and port only: https://api.example.com:8443")
    return origin.rstrip("/")


Path = Annotated[str, Field(max_length=512), AfterValidator(_checked_path)]
Template = Annotated[str, Field(max_length=4096, coerce_numbers_to_str=True)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}$"), AfterValidator(_checked_header)]
Headers = dict[HeaderName, Template]
Query = dict[Text, Template]


_CREDENTIAL = re.compile(r"authoriz|cookie|api-?_?key|token|secret|passw|credential|signature", re.IGNORECASE)


def _no_literal(field_name: str, fields: Mapping[str, str]) -> None:
    """Raises ValueError for a header field or parameter that looks like a credential and is spelt out."""
    for name, template in fields.items():
        if _CREDENTIAL.search(name) and template and not placeholders(template):
            raise ValueError(
                f"{field_name}.{name} looks like a credential, and the scenario is no place for one; put it into the "
                "surface's Secret and write {credential} in the adapter's headers"
            )


def _strings(template: JsonValue) -> Iterator[str]:
    """Every string value of a JSON template."""
    if isinstance(template, str):
        yield template
    for part in template.values() if isinstance(template, dict) else template if isinstance(template, list) else ():
        yield from _strings(part)


def _check(field_name: str, template: str, known: frozenset[str]) -> None:
    """Raises ValueError when a template mentions what its verb has not, or {locations} among other text."""
    for unknown in sorted(placeholders(template) - known):
        raise ValueError(f"{field_name} mentions {{{unknown}}}; known here: {', '.join(sorted(known))}")
    if "locations" in placeholders(template) and (template != "{locations}" or field_name not in ("json", "query")):
        raise ValueError(f"{field_name}: {{locations}} must stand alone as a JSON string or a query value")


@dataclass(frozen=True, slots=True)
class _Values:
    """What templates are filled with."""

    one: Mapping[str, str] = field(repr=False)
    locations: tuple[str, ...] = field(repr=False)

    def text(self, template: str) -> str:
        return fill(template, self.one)

    def body(self, template: JsonValue) -> Any:
        if isinstance(template, dict):
            return {name: self.body(part) for name, part in template.items()}
        if isinstance(template, list):
            return [self.body(part) for part in template]
        if isinstance(template, str):
            return list(self.locations) if template == "{locations}" else self.text(template)
        return template


class Fields(Strict):
    """Parts of a request that templates fill."""

    query: Query = Field(default_factory=dict)
    """Query parameters."""
    headers: Headers = Field(default_factory=dict)
    """Header fields; never a credential, which belongs into the adapter's `headers`."""
    body: Annotated[JsonValue, Field(alias="json")] = None
    """The JSON body; a string that is exactly "{locations}" becomes the list."""

    def check(self, known: frozenset[str]) -> None:
        """Raises ValueError for a template that mentions what is not known."""
        _no_literal("query", self.query)
        _no_literal("headers", self.headers)
        parts = (("query", self.query.values()), ("headers", self.headers.values()), ("json", _strings(self.body)))
        for field_name, templates in parts:
            for template in templates:
                _check(field_name, template, known)

    def mentioned(self) -> frozenset[str]:
        """Every name in every template."""
        return placeholders("\n".join((*self.query.values(), *self.headers.values(), *_strings(self.body))))


class Request(Fields):
    """One HTTP request."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """HTTP method."""
    path: Annotated[str, Field(pattern=r"^/[^?#\s\\]*$", max_length=2048)]
    """Path below the origin; what fills it is percent-encoded."""

    def check(self, known: frozenset[str]) -> None:
        """Raises ValueError for a template that mentions what is not known."""
        _check("path", self.path, known)
        super().check(known)

    def mentioned(self) -> frozenset[str]:
        """Every name in every template."""
        return super().mentioned() | placeholders(self.path)


class Claim(Fields):
    """A tenant field that can be spoofed; {owner.tenant} and {owner.user} are the marker's owner's."""

    name: Name
    """Name of the claim, for reports."""
    as_owner: bool = False
    """Fill {tenant} and {user} of the request itself with the owner's: for APIs with the tenant in the path."""

    @model_validator(mode="after")
    def _known(self) -> Claim:
        self.check(frozenset({"tenant", "user", "owner.tenant", "owner.user"}))
        if not (self.as_owner or self.mentioned() & {"owner.tenant", "owner.user"}):
            raise ValueError("claims nothing: mention {owner.tenant} or {owner.user}, or set asOwner")
        if not isinstance(self.body, dict | None):
            raise ValueError("json: must be an object; its fields are put into the request's")
        return self


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer; `fault` is None for a whole 2xx, `document` is Ellipsis when it is not JSON."""

    fault: AnswerKind | None
    text: str = field(repr=False)
    document: Any = field(repr=False)
    size: int


def _clean(text: str) -> str:
    """Lone surrogates, which JSON can spell, replaced: they cannot be encoded again."""
    return text.encode("utf-8", "replace").decode()


def _leaves(document: Any) -> list[str]:
    """Every string, key and number of a document, in its order."""
    leaves, stack = [], [document]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            leaves.append(node)
        elif isinstance(node, list):
            stack.extend(reversed(node))
        elif isinstance(node, dict):
            for key, value in reversed(node.items()):
                stack += (value, key)
    return leaves


def _step(segment: JSONPathSegment, nodes: list[Any]) -> list[Any]:
    """The children that one segment picks; the library's own walk takes 20 times as long and parses strings again."""
    picked: list[Any] = []
    for node in nodes:
        for selector in segment.selectors:
            if isinstance(selector, NameSelector) and isinstance(node, dict) and selector.name in node:
                picked.append(node[selector.name])
            elif isinstance(selector, IndexSelector) and isinstance(node, list):
                picked += node[selector.index :][:1] if -len(node) <= selector.index else []
            elif isinstance(selector, SliceSelector) and isinstance(node, list):
                picked += node[selector.slice] if selector.slice.step != 0 else []
            elif isinstance(selector, WildcardSelector) and isinstance(node, dict | list):
                picked += node.values() if isinstance(node, dict) else node
    return picked


def _found(path: str, document: Any) -> list[Any]:
    """What the path finds; raises _BrokenPromise where there is no JSON."""
    if document is ...:
        raise _BrokenPromise
    nodes = [document]
    for segment in _compiled(path).segments:
        nodes = _step(segment, nodes)
    return nodes


def _rows(path: str, document: Any) -> list[Any]:
    """What the path finds, nulls left out; raises _BrokenPromise unless it ends in something or in an empty list."""
    if document is ...:
        raise _BrokenPromise
    nodes = [document]
    for segment in _compiled(path).segments:
        inner = _step(segment, nodes)
        if not inner and str(segment) == "[*]" and all(node in ([], {}, None) for node in nodes):
            return []
        if not inner:
            raise _BrokenPromise
        nodes = inner
    return [node for node in nodes if node is not None]


def _text_at(path: str, document: Any) -> str:
    """The one text there, as a location; raises _BrokenPromise."""
    found = _found(path, document)
    if len(found) != 1 or not isinstance(found[0], str) or not 0 < len(found[0]) <= 2048:
        raise _BrokenPromise
    return _clean(found[0])


def _items(path: str, id_path: str, document: Any) -> tuple[Item, ...]:
    rows = _rows(path, document)
    if len(rows) > _MOST_ITEMS:
        raise _TooManyItems
    return tuple(Item(_text_at(id_path, row), _clean("\n".join(_leaves(row)))) for row in rows)


class Call(Strict):
    """A request and what its answer promises; subclasses read the answer."""

    knows: ClassVar[frozenset[str]] = frozenset()
    request: Request
    """The request."""

    @model_validator(mode="after")
    def _known(self) -> Call:
        self.request.check(self.knows | _PRINCIPAL)
        return self

    def read(self, answer: _Answer, _values: _Values) -> Reply:
        """What a whole 2xx answer says; raises _BrokenPromise."""
        return Reply(AnswerKind.EMPTY)


class DeleteCall(Call):
    """Removes a document; any 2xx is EMPTY."""

    knows = frozenset({"location"})


class WhoAmICall(Call):
    """Proves which principal the surface takes this client for."""

    expect: Annotated[dict[Path, Template], Field(min_length=1)]
    """JSONPath -> the value that must be there; {tenant} and {user} must both be mentioned."""

    @model_validator(mode="after")
    def _proves(self) -> WhoAmICall:
        for template in self.expect.values():
            _check("expect", template, _PRINCIPAL)
        if missing := sorted(_PRINCIPAL - placeholders("\n".join(self.expect.values()))):
            raise ValueError(f"expect proves no {missing[0]}: let a value mention {{{missing[0]}}}")
        return self

    def read(self, answer: _Answer, values: _Values) -> Reply:
        """Is every expected value there?"""
        names = {True: "true", False: "false", None: "null"}
        for path, template in self.expect.items():
            found = _found(path, answer.document)
            said = [names[node] if node is None or isinstance(node, bool) else node for node in found]
            if said != [values.text(template)]:
                return Reply(AnswerKind.ITEMS, identity=False)
        return Reply(AnswerKind.ITEMS, identity=True)


class WriteCall(Call):
    """Stores a document; any 2xx with a location is ITEMS."""

    knows = frozenset({"title", "text", "wanted"})
    location: Path | None = None
    """Where the answer says under which id it was stored; not needed where {wanted} is in the request."""

    @model_validator(mode="after")
    def _located(self) -> WriteCall:
        if self.location is None and "wanted" not in self.request.mentioned():
            raise ValueError(
                "location is missing: say where the answer has the new id, or put {wanted} into the request"
            )
        return self

    def read(self, answer: _Answer, values: _Values) -> Reply:
        """Where it went."""
        location = values.one["wanted"] if self.location is None else _text_at(self.location, answer.document)
        return Reply(AnswerKind.ITEMS, location=location)


class ItemsCall(Call):
    """Returns items."""

    items: Path = "$"
    """The items in the answer: $ for one document, $.items[*] for each of a list."""
    id: Path = "$.id"
    """The location in an item."""

    def read(self, answer: _Answer, _values: _Values) -> Reply:
        """The items."""
        items = _items(self.items, self.id, answer.document)
        return Reply(AnswerKind.ITEMS if items else AnswerKind.EMPTY, items=items)


class FetchCall(ItemsCall):
    """Reads one document by its location."""

    knows = frozenset({"location"})


class BatchCall(ItemsCall):
    """Reads several documents in one request."""

    knows = frozenset({"locations"})


class SearchCall(ItemsCall):
    """Finds documents."""

    knows = frozenset({"query"})


class RecallCall(ItemsCall):
    """Asks a memory for what it holds on a cue."""

    knows = frozenset({"cue"})


class HistoryCall(ItemsCall):
    """Reads a conversation by its id."""

    knows = frozenset({"location"})


class ListCall(ItemsCall):
    """Lists documents, page by page."""

    next: Path | None = None
    """The link to the next page, or the cursor for `nextParam`; absent, null or empty on the last page."""
    next_param: Text | None = None
    """Query parameter that takes the cursor."""

    def link(self, answer: _Answer) -> str | None:
        """The next page's link or cursor; raises _BrokenPromise when it is neither text nor absent."""
        found = _found(self.next, answer.document) if self.next else []
        if not found or found[0] in (None, "", False):
            return None
        return _text_at(self.next or "$", answer.document)


class AskCall(Call):
    """Puts a question to the application."""

    knows = frozenset({"question"})
    answer: Path | None = None
    """The answer's text; left out: the whole answer."""
    citations: Path | None = None
    """The cited items, for the closed world."""
    id: Path = "$.id"
    """The location in a cited item."""

    def read(self, answer: _Answer, _values: _Values) -> Reply:
        """EMPTY for a blank answer without citations."""
        items = None if self.citations is None else _items(self.citations, self.id, answer.document)
        said = "\n".join(_leaves(_rows(self.answer, answer.document))) if self.answer else answer.text
        return Reply(AnswerKind.ITEMS if items or said.strip() else AnswerKind.EMPTY, items=items)


_FIELDS = {verb: to_snake(verb) for verb in VERB_OF.values()} | {Verb.LIST: "list_"}
"""Verb -> the field of HttpSpec that says how."""


class HttpSpec(AdapterSpec):
    """An HTTP API with JSON answers; a verb that is left out is not tried."""

    origin: Annotated[str, AfterValidator(_checked_origin)]
    """Scheme, host and port; no request, redirect or next link leaves it."""
    headers: Headers = Field(default_factory=dict)
    """Header fields of every request; the only place for {credential}."""
    whoami: WhoAmICall | None = None
    """Without it every trial is Inconclusive: IdentityUnproven."""
    write: WriteCall | None = None
    """Store a document."""
    fetch: FetchCall | None = None
    """Read one document."""
    batch: BatchCall | None = None
    """Read several documents."""
    list_: Annotated[ListCall | None, Field(alias="list")] = None
    """List documents."""
    search: SearchCall | None = None
    """Find documents."""
    ask: AskCall | None = None
    """Ask the application past its answer cache."""
    ask_cached: AskCall | None = None
    """Ask the application as its users do."""
    recall: RecallCall | None = None
    """Ask a memory for what it holds on a cue."""
    history: HistoryCall | None = None
    """Read a conversation by its id."""
    delete: DeleteCall | None = None
    """Remove a document."""
    claims: Annotated[tuple[Claim, ...], Field(max_length=16)] = ()
    """Tenant fields that can be spoofed."""

    @model_validator(mode="after")
    def _known(self) -> HttpSpec:
        _no_literal("headers", self.headers)
        for template in self.headers.values():
            _check("headers", template, _PRINCIPAL | {"credential"})
        if len(set(self.claim_names())) < len(self.claims):
            raise ValueError("claims: two have one name")
        return self

    def call(self, verb: Verb) -> Call | None:
        """What the scenario says on a verb."""
        call: Call | None = getattr(self, _FIELDS.get(verb, ""), None)
        return call

    def verbs(self) -> frozenset[Verb]:
        """Those that are given."""
        return frozenset(verb for verb in _FIELDS if self.call(verb))

    def claim_names(self) -> tuple[str, ...]:
        """Those that are given."""
        return tuple(claim.name for claim in self.claims)

    def client_chooses_location(self) -> bool:
        """Is {wanted} in the write request and no location read from its answer?"""
        return self.write is not None and self.write.location is None

    @asynccontextmanager
    async def session(self, access: Access) -> AsyncIterator[Session]:
        """A client with its own connections and cookies; connects with its first request."""
        known = {"tenant": access.principal.tenant, "user": access.principal.user}
        headers = _header_fields(self.headers, _Values({**known, "credential": access.credential}, ()))
        if headers is None:
            raise SurfaceFault(
                "Denied", "headers: the credential holds a line break, a control character or an outer space"
            )
        limits = httpx.Limits(keepalive_expiry=4)  # below the 5 s after which many servers hang up
        async with httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False, limits=limits) as transport:
            yield _Client(spec=self, known=known, headers=headers, bounds=access.bounds, transport=transport)


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _header_fields(templates: Headers, values: _Values) -> dict[str, bytes] | None:
    """Lower-case names to bytes; None where a value would break out of its header."""
    filled = {name.lower(): values.text(template) for name, template in templates.items()}
    if any(_UNSENDABLE.search(value) for value in filled.values()):
        return None
    return {name: value.encode() for name, value in filled.items()}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request with everything filled in."""

    method: str
    url: httpx.URL = field(repr=False)
    headers: dict[str, bytes] = field(repr=False)
    body: Any = field(repr=False)
    claimed: Mapping[str, str] = field(repr=False)


class _Client:
    """One principal's client, on httpx's transport: its client class parses redirects even where it follows none."""

    session_id = None

    def __init__(
        self,
        *,
        spec: HttpSpec,
        known: Mapping[str, str],
        headers: dict[str, bytes],
        bounds: Bounds,
        transport: httpx.AsyncHTTPTransport,
    ) -> None:
        self._spec, self._known, self._bounds, self._transport = spec, known, bounds, transport
        self._headers = {"accept": b"application/json", "accept-encoding": b"identity", **headers}
        self._cookies = httpx.Cookies()

    async def perform(self, action: Action, sink: Sink) -> Reply:
        """Do the action within the bounds; ValueError for a verb that verbs() does not have."""
        call = self._spec.call(VERB_OF[type(action)])
        if call is None:
            raise ValueError(f"the scenario gives no {VERB_OF[type(action)]}")
        given = {name: getattr(action, name) for name in call.knows if name != "locations"}
        values = _Values({**self._known, **given}, getattr(action, "locations", ()))
        prepared = self._prepared(call.request, values, action)
        if prepared is None:
            return Reply(AnswerKind.REJECTED, items=() if isinstance(call, ItemsCall) else None)
        deadline = asyncio.get_running_loop().time() + self._bounds.seconds
        if isinstance(call, ListCall):
            return await self._paged(call, prepared, values, sink, deadline)
        reply, _ = await self._asked(call, prepared, values, sink, deadline, self._bounds.bytes)
        return reply

    async def _paged(self, call: ListCall, first: _Prepared, values: _Values, sink: Sink, deadline: float) -> Reply:
        """All pages; one set of bounds for them together, and more pages than bounds.pages are TOO_LARGE."""
        items: tuple[Item, ...] = ()
        seen: set[str] = set()
        prepared, room = first, self._bounds.bytes
        for _ in range(self._bounds.pages):
            reply, answer = await self._asked(call, prepared, values, sink, deadline, room)
            items, room = items + (reply.items or ()), room - answer.size
            if reply.kind not in (AnswerKind.ITEMS, AnswerKind.EMPTY):
                return replace(reply, items=items)
            try:
                link = call.link(answer)
                if link is None or link in seen:
                    return Reply(AnswerKind.ITEMS if items else AnswerKind.EMPTY, items=items)
                url = self._next(call, first, prepared, link)
            except (_BrokenPromise, httpx.InvalidURL):
                return Reply(AnswerKind.MALFORMED, items=items)
            if url is None:
                return Reply(AnswerKind.REDIRECTED, items=items)
            seen.add(link)
            prepared = replace(first, url=url)
        return Reply(AnswerKind.TOO_LARGE, items=items)

    def _next(self, call: ListCall, first: _Prepared, current: _Prepared, link: str) -> httpx.URL | None:
        """The next page's URL; None where it would leave the origin. A claim's query stays on."""
        if call.next_param is not None:
            return first.url.copy_set_param(call.next_param, link)
        url = current.url.join(link)
        origin = httpx.URL(self._spec.origin)
        if (url.scheme, url.host, url.port, url.userinfo) != (origin.scheme, origin.host, origin.port, b""):
            return None
        return url.copy_merge_params(first.claimed)

    async def _asked(
        self, call: Call, prepared: _Prepared, values: _Values, sink: Sink, deadline: float, room: int
    ) -> tuple[Reply, _Answer]:
        """One request, and its answer read as the scenario says."""
        answer = await self._answer(prepared, sink, deadline, room)
        items = () if isinstance(call, ItemsCall) else None
        identity = False if isinstance(call, WhoAmICall) else None
        if answer.fault is not None:
            return Reply(answer.fault, items=items, identity=identity), answer
        try:
            return call.read(answer, values), answer
        except _BrokenPromise as broken:
            return Reply(broken.kind, items=items, identity=identity), answer

    def _prepared(self, request: Request, values: _Values, action: Action) -> _Prepared | None:
        """Everything filled in; None for what must not be sent: dot segments, empty path parts, broken headers."""
        claim = next((each for each in self._spec.claims if each.name == action.claim), None)
        extra = Fields()
        if claim is not None and action.as_if is not None:
            extra = claim
            owner = {"tenant": action.as_if.tenant, "user": action.as_if.user}
            claimed = _Values({**self._known, **{f"owner.{name}": value for name, value in owner.items()}}, ())
            values = _Values({**values.one, **(owner if claim.as_owner else {})}, values.locations)
        else:
            claimed = values
        if any(values.one[name] in ("", ".", "..") for name in placeholders(request.path)):
            return None
        headers, spoofed = _header_fields(request.headers, values), _header_fields(extra.headers, claimed)
        if headers is None or spoofed is None:
            return None
        path = fill(request.path, {name: quote(value, safe="", errors="replace") for name, value in values.one.items()})
        asked = {name: values.body(template) for name, template in request.query.items()}
        query = {name: claimed.text(template) for name, template in extra.query.items()}
        body = values.body(request.body)
        if isinstance(extra.body, dict):
            body = {**(body if isinstance(body, dict) else {}), **claimed.body(extra.body)}
        try:
            url = httpx.URL(self._spec.origin + path, params={**asked, **query} or None)
        except httpx.InvalidURL:
            return None
        return _Prepared(request.method, url, {**self._headers, **headers, **spoofed}, body, query)

    async def _answer(self, prepared: _Prepared, sink: Sink, deadline: float, room: int) -> _Answer:
        """Send, read within the bounds, and feed all that came to the sink: status line, header fields, body."""
        fields = [(name.encode(), value) for name, value in prepared.headers.items()]
        request = httpx.Request(
            prepared.method, prepared.url, headers=fields, json=prepared.body, cookies=self._cookies
        )
        body, fault, answered = bytearray(), None, False
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._transport.handle_async_request(request)
                response.request, answered = request, True
                try:
                    sink(_head(response))
                    self._remember(response)
                    cut = await _drained(response, body, room)
                finally:
                    await response.aclose()
                code = response.status_code
                fault = cut or _STATUS.get(code, _CLASS.get(code // 100, AnswerKind.SERVER_ERROR))
        except (TimeoutError, httpx.TimeoutException):
            fault = AnswerKind.TIMEOUT
        except httpx.RemoteProtocolError:
            fault = AnswerKind.MALFORMED if answered else AnswerKind.UNREACHABLE
        except httpx.HTTPError:
            fault = AnswerKind.UNREACHABLE
        encoding = json.detect_encoding(body)
        if not encoding.startswith("utf-8"):
            sink(body.decode("utf-8", "replace") + "\n")  # two first bytes must not hide what follows them
        text = body.decode(encoding, "replace")
        return _understood(text, fault=fault, size=len(body), depth=self._bounds.depth, sink=sink)

    def _remember(self, response: httpx.Response) -> None:
        """Keep its cookies, as a browser would; a flood of them is forgotten."""
        self._cookies.extract_cookies(response)
        if len(self._cookies) > 64:
            self._cookies.clear()


def _head(response: httpx.Response) -> str:
    """Reason phrase and header fields, one a line, names as they were spelled."""
    parts = [response.extensions.get("reason_phrase", b""), *(part for pair in response.headers.raw for part in pair)]
    return "".join(part.decode("utf-8", "replace") + "\n" for part in parts)


async def _drained(response: httpx.Response, body: bytearray, room: int) -> AnswerKind | None:
    """Read at most `room` bytes, counted unpacked, into `body`; says why it is not all there or not to be read."""
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    inflate = zlib.decompressobj(47) if coding in ("gzip", "x-gzip", "deflate") else None
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 (narrows the type for mypy)
    try:
        async for chunk in response.stream:
            body += inflate.decompress(chunk, room + 1 - len(body)) if inflate else chunk
            if len(body) > room:
                del body[room:]
                return AnswerKind.TOO_LARGE
    except zlib.error:
        return AnswerKind.MALFORMED
    unread = inflate is not None and bool(body) and (not inflate.eof or bool(inflate.unused_data))
    return AnswerKind.MALFORMED if unread or (inflate is None and coding != "identity") else None


def _understood(text: str, *, fault: AnswerKind | None, size: int, depth: int, sink: Sink) -> _Answer:
    """Parse the text if it is JSON not nested too deep; the sink gets its leaves, else the text as it came."""
    document: Any = ...
    if _depth(text, depth) > depth:
        fault = fault or AnswerKind.TOO_DEEP
    else:
        twice: list[Any] = []

        def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            named = dict(pairs)
            if len(named) < len(pairs):
                twice.extend(pairs)  # a parser that takes the first of two equal keys would show what dict() drops
            return named

        try:
            document = json.loads(text, object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str)
        except ValueError:
            document = ...
        else:
            text = "\n".join(_leaves([document, *map(list, twice)]))
    text = _clean(text) + "\n"
    sink(text)
    return _Answer(fault=fault, text=text, document=document, size=size)


def _depth(text: str, limit: int) -> int:
    """How deep its brackets nest, or `limit` + 1 as soon as it is deeper."""
    depth = deepest = 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        depth += 1 if first in "[{" else -1 if first in "]}" else 0
        deepest = max(deepest, depth)
        if deepest > limit:
            break
    return deepest


ADAPTER = Adapter(name="http", summary="An HTTP API with JSON answers: requests and JSONPaths are data.", spec=HttpSpec)
