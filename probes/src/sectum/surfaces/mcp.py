"""The scenario's tools -> a client that calls an MCP server's tools as one principal and trusts no answer."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import re
import secrets
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import AfterValidator, Field, JsonValue, model_validator

from sectum.actions import VERB_OF, Action, AnswerKind, Principal, Reply, Session, Sink, Verb, WhoAmI
from sectum.errors import SurfaceFault
from sectum.fields import Name, SecretRef, Strict, Text, fill, placeholders
from sectum.ports import Access, Adapter, AdapterSpec, Bounds
from sectum.web.calls import Arrived, Expected, matches, understood
from sectum.web.documents import BrokenPromise, parse
from sectum.web.jsonpaths import Path, items_at, text_at
from sectum.web.templates import PRINCIPAL, Headers, Template, Values, check_no_literal, check_template, strings

if TYPE_CHECKING:  # the SDK takes a second to import, servers and all: only who opens a session waits for it
    from mcp.client._transport import TransportStreams
    from mcp_types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

for _noisy in ("mcp.client", "httpx2", "httpcore2"):  # they log messages, URLs and header fields, errors included
    logging.getLogger(_noisy).setLevel(logging.CRITICAL + 1)

_STATUS = {
    401: AnswerKind.UNAUTHENTICATED,
    403: AnswerKind.DENIED,
    404: AnswerKind.NOT_FOUND,
    410: AnswerKind.NOT_FOUND,
    429: AnswerKind.THROTTLED,
}
_CLASS = {2: None, 3: AnswerKind.REDIRECTED, 4: AnswerKind.REJECTED}
_PROTOCOL = "2025-11-25"
_SPOKEN = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", _PROTOCOL})
"""Versions of the protocol that begin with a handshake."""
_REJECTED = frozenset({-32601, -32602})
_INTERNAL = -32603
_PASSED_ON = frozenset({b"content-type", b"mcp-session-id", b"set-cookie"})
_SESSION_ID = re.compile(r"[\x21-\x7e]{1,1024}")
_PASSING = frozenset({AnswerKind.THROTTLED, AnswerKind.SERVER_ERROR, AnswerKind.TIMEOUT, AnswerKind.UNREACHABLE})
_MOST_REQUESTS = 20
"""HTTP requests of one action, and answers to a server's own requests while it goes on."""


def _checked_url(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise ValueError("is no URL; write for example https://tools.example.com/mcp") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or "?" in url or "#" in url:
        raise ValueError("must be scheme, host, port and path only: https://tools.example.com/mcp")
    return url


class Tool(Strict):
    """A tool, what it is called with, and what its answer promises; subclasses read the answer."""

    knows: ClassVar[frozenset[str]] = frozenset()
    tool: Text
    """The tool's name."""
    arguments: dict[Text, JsonValue] = Field(default_factory=dict)
    """Its arguments."""

    @model_validator(mode="after")
    def _known(self) -> Tool:
        _check_arguments(self.arguments, self.knows | PRINCIPAL)
        return self

    def read(self, document: Any, _values: Values) -> Reply:
        """What a result says; raises BrokenPromise."""
        return Reply(AnswerKind.EMPTY)


def _check_arguments(arguments: Mapping[str, JsonValue], known: frozenset[str]) -> None:
    """Raises ValueError for a template that mentions what is not known, or a credential that is spelt out."""
    check_no_literal("arguments", {name: value for name, value in arguments.items() if isinstance(value, str)})
    for template in strings(dict(arguments)):
        check_template("arguments", template, known)


class WhoAmITool(Tool):
    """Proves which principal the server takes this client for."""

    expect: Expected
    """JSONPath -> the value that must be there; {tenant} and {user} must both be mentioned."""

    @model_validator(mode="after")
    def _proves(self) -> WhoAmITool:
        for template in self.expect.values():
            check_template("expect", template, PRINCIPAL)
        if missing := sorted(PRINCIPAL - placeholders("\n".join(self.expect.values()))):
            raise ValueError(f"expect proves no {missing[0]}: let a value mention {{{missing[0]}}}")
        return self

    def read(self, document: Any, values: Values) -> Reply:
        """Is every expected value there?"""
        return Reply(AnswerKind.ITEMS, identity=matches(self.expect, document, values))


class WriteTool(Tool):
    """Stores a document."""

    knows = frozenset({"title", "text", "wanted"})
    location: Path | None = None
    """Where the answer says under which id it was stored; not needed where {wanted} is among the arguments."""

    @model_validator(mode="after")
    def _located(self) -> WriteTool:
        if self.location is None and "wanted" not in placeholders("\n".join(strings(dict(self.arguments)))):
            raise ValueError(
                "location is missing: say where the answer has the new id, or put {wanted} into the arguments"
            )
        return self

    def read(self, document: Any, values: Values) -> Reply:
        """Where it went."""
        location = values.one["wanted"] if self.location is None else text_at(self.location, document)
        return Reply(AnswerKind.ITEMS, location=location)


class ItemsTool(Tool):
    """Returns items."""

    items: Path = "$"
    """The items in the answer: $ for one document, $.items[*] for each of a list."""
    id: Path = "$.id"
    """The location in an item."""

    def read(self, document: Any, _values: Values) -> Reply:
        """The items."""
        items = items_at(self.items, self.id, document)
        return Reply(AnswerKind.ITEMS if items else AnswerKind.EMPTY, items=items)


class FetchTool(ItemsTool):
    """Reads one document by its location."""

    knows = frozenset({"location"})


class SearchTool(ItemsTool):
    """Finds documents."""

    knows = frozenset({"query"})


class DeleteTool(Tool):
    """Removes a document; any result that is no error is EMPTY."""

    knows = frozenset({"location"})


class Tools(Strict):
    """Which tool does what; a verb that is left out is not tried."""

    whoami: WhoAmITool | None = None
    """Without it every trial is Inconclusive: IdentityUnproven."""
    write: WriteTool | None = None
    """Store a document."""
    fetch: FetchTool | None = None
    """Read one document."""
    list_: Annotated[ItemsTool | None, Field(alias="list")] = None
    """List documents."""
    search: SearchTool | None = None
    """Find documents."""
    delete: DeleteTool | None = None
    """Remove a document."""


class Claim(Strict):
    """A tenant that an argument names; {owner.tenant} and {owner.user} are the marker's owner's."""

    name: Name
    """Name of the claim, for reports."""
    arguments: Annotated[dict[Text, JsonValue], Field(min_length=1)]
    """Arguments that are added to the tool's own, or take their place."""

    @model_validator(mode="after")
    def _known(self) -> Claim:
        _check_arguments(self.arguments, PRINCIPAL | {"owner.tenant", "owner.user"})
        if not placeholders("\n".join(strings(dict(self.arguments)))) & {"owner.tenant", "owner.user"}:
            raise ValueError("claims nothing: mention {owner.tenant} or {owner.user}")
        return self


class KeyRef(Strict):
    """Where a key is."""

    secret_ref: SecretRef
    """Secret named sectum-surface-<surface>-…"""


_ALWAYS = ("none", "unsigned", "foreign-key")
_BY_THE_ISSUER = ("wrong-audience", "wrong-issuer", "expired")
_GENUINE = "genuine"
_LONG_AGO = 3600
"""Seconds since which an expired token is out of date: more than any leeway."""


class Tokens(Strict):
    """How tokens are forged for the run: each wrong in one way, in another's name, and good for a minute."""

    claims: Annotated[dict[Text, Template], Field(min_length=1)]
    """Claims that name the principal; {tenant} and {user} must both be mentioned."""
    issuer: Text
    """The right `iss`."""
    audience: Text
    """The right `aud`."""
    algorithm: Literal["HS256", "ES256", "RS256"] = "HS256"
    """How the server's tokens are signed."""
    key_id: Text | None = None
    """`kid` in the header."""
    issuer_key: KeyRef | None = None
    """The issuer's own key, PEM or for HS256 its bytes; without it only what needs no issuer is forged."""
    other_audience: Text = "https://other-audience.invalid"
    """A wrong `aud`: best another service of the same issuer."""
    lifetime_seconds: Annotated[int, Field(ge=10, le=600)] = 60
    """How long a forged token is good for."""

    @model_validator(mode="after")
    def _known(self) -> Tokens:
        for name, template in self.claims.items():
            check_template(f"claims.{name}", template, PRINCIPAL)
        if missing := sorted(PRINCIPAL - placeholders("\n".join(self.claims.values()))):
            raise ValueError(f"claims name no {missing[0]}: let one mention {{{missing[0]}}}")
        if reserved := sorted(self.claims.keys() & {"iss", "aud", "exp", "iat", "nbf", "jti"}):
            raise ValueError(f"claims.{reserved[0]} is not yours to set: it is what is forged")
        if self.other_audience == self.audience:
            raise ValueError("otherAudience is the right one")
        return self

    def names(self) -> tuple[str, ...]:
        """Those that can be forged."""
        return _ALWAYS + (_BY_THE_ISSUER if self.issuer_key else ())

    def forged(self, name: str, who: Principal, *, key: bytes | None, now: int) -> str:
        """A token in the name of `who`, wrong in the way that its name says; raises jwt.PyJWTError for a bad key."""
        claims = {claim: fill(template, _named(who)) for claim, template in self.claims.items()}
        began = now - _LONG_AGO - self.lifetime_seconds if name == "expired" else now
        claims |= {"iss": self.issuer, "aud": self.audience, "jti": uuid.uuid4().hex}
        claims |= {"aud": self.other_audience} if name == "wrong-audience" else {}
        claims |= {"iss": "https://other-issuer.invalid"} if name == "wrong-issuer" else {}
        times = {"iat": began, "exp": began + self.lifetime_seconds}
        algorithm: str = self.algorithm
        signing: Any = key
        if name == "unsigned":
            algorithm, signing = "none", None
        elif name == "foreign-key":
            signing = _own_key(self.algorithm)
        header = {"kid": self.key_id} if self.key_id else None
        return jwt.encode({**claims, **times}, signing, algorithm=algorithm, headers=header)


def _named(who: Principal) -> dict[str, str]:
    return {"tenant": who.tenant, "user": who.user}


@cache
def _own_key(algorithm: str) -> Any:
    """A key that no issuer knows, of this process."""
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else secrets.token_bytes(32)


_TOOLS = {Verb.LIST: "list_"} | {
    verb: str(verb) for verb in (Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.SEARCH, Verb.DELETE)
}
"""Verb -> the field of Tools that says how."""


class McpSpec(AdapterSpec):
    """An MCP server over streamable HTTP; its tools read, write and say who asks."""

    url: Annotated[str, AfterValidator(_checked_url)]
    """The endpoint; no request leaves it."""
    headers: Headers = Field(default_factory=dict)
    """Header fields of every request; the only place for {credential}."""
    tools: Tools
    """Which tool does what."""
    claims: Annotated[tuple[Claim, ...], Field(max_length=16)] = ()
    """Tenants as arguments."""
    tokens: Tokens | None = None
    """How tokens are forged for the run; left out: none are."""
    sessions: bool = True
    """Does the server name sessions (Mcp-Session-Id)? Then it is tried whether another's can be used."""

    @model_validator(mode="after")
    def _fits(self) -> McpSpec:
        check_no_literal("headers", self.headers)
        for template in self.headers.values():
            check_template("headers", template, PRINCIPAL | {"credential"})
        if len(set(self.claim_names())) < len(self.claims):
            raise ValueError("claims: two have one name")
        if self.tokens and "credential" not in placeholders("\n".join(self.headers.values())):
            raise ValueError("tokens: no header takes a {credential}, so none can take a forged one")
        return self

    def tool(self, verb: Verb) -> Tool | None:
        """What the scenario says on a verb."""
        tool: Tool | None = getattr(self.tools, _TOOLS.get(verb, ""), None)
        return tool

    def verbs(self) -> frozenset[Verb]:
        """Those of the tools, and the ways in which they can be called."""
        ways = {Verb.REUSE_SESSION: self.sessions, Verb.PRESENT_TOKEN: self.tokens is not None}
        also = {Verb.CALL, Verb.CORRELATE, *(verb for verb, offered in ways.items() if offered)}
        return frozenset({verb for verb in _TOOLS if self.tool(verb)} | also)

    def claim_names(self) -> tuple[str, ...]:
        """Those that are given."""
        return tuple(claim.name for claim in self.claims)

    def token_names(self) -> tuple[str, ...]:
        """Those that can be forged."""
        return self.tokens.names() if self.tokens else ()

    def secret_refs(self) -> tuple[SecretRef, ...]:
        """The issuer's key."""
        return (self.tokens.issuer_key.secret_ref,) if self.tokens and self.tokens.issuer_key else ()

    def client_chooses_location(self) -> bool:
        """Is {wanted} among the arguments and no location read from the answer?"""
        return self.tools.write is not None and self.tools.write.location is None

    @asynccontextmanager
    async def session(self, access: Access) -> AsyncIterator[Session]:
        """A client with a session of its own, which it opens with its first call."""
        keys = [access.secret(each.name, each.key) for each in self.secret_refs()]
        client = _Client(self, access, keys[0] if keys else None)
        await asyncio.to_thread(importlib.import_module, "mcp.client.streamable_http")
        try:
            yield client
        finally:
            await client.close()


@cache
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


@dataclass(slots=True)
class _Exchange:
    """What one action may still cost, and what is wrong with its answer."""

    sink: Sink = field(repr=False)
    deadline: float
    bounds: Bounds
    room: int
    requests: int = _MOST_REQUESTS
    fault: AnswerKind | None = None
    session_id: str | None = field(default=None, repr=False)

    def fail(self, kind: AnswerKind) -> None:
        """The first fault stands."""
        self.fault = self.fault or kind

    def scan(self, text: str) -> Any:
        """Feed the leaves of a JSON text to the sink, or the text as it is; its document, Ellipsis if it has none."""
        parsed = parse(text, depth=self.bounds.depth)
        self.sink(parsed.text + "\n")
        if parsed.too_deep:
            self.fail(AnswerKind.TOO_DEEP)
        return parsed.document


def _exchange(sink: Sink, bounds: Bounds) -> _Exchange:
    return _Exchange(sink, asyncio.get_running_loop().time() + bounds.seconds, bounds, bounds.bytes)


_EXCHANGE: ContextVar[_Exchange] = ContextVar("_EXCHANGE")
"""Whose HTTP request is this? The SDK sends every message in the context in which it was written."""


def _ignore(_text: str) -> None:
    """Takes text that nobody looks at."""


class _Guard(httpx2.AsyncBaseTransport):
    """Bounds and scans all that the SDK reads; raises nothing, for an exception would end the SDK's session."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer as far as it can be trusted: 2xx and errors within bounds, else an empty 599."""
        exchange = _EXCHANGE.get()
        exchange.requests -= 1
        listening = request.method == "GET" and "last-event-id" not in request.headers
        if listening or exchange.requests < 0:  # nobody asked; what a server says of itself belongs to no action
            return httpx2.Response(405)
        answered = False
        try:
            async with asyncio.timeout_at(exchange.deadline):
                response = await self._inner.handle_async_request(request)
                answered = True
                return await self._guarded(response, exchange)
        except (TimeoutError, httpx2.TimeoutException):
            exchange.fail(AnswerKind.TIMEOUT)
        except httpx2.RemoteProtocolError:
            exchange.fail(AnswerKind.MALFORMED if answered else AnswerKind.UNREACHABLE)
        except httpx2.HTTPError:
            exchange.fail(AnswerKind.UNREACHABLE)
        return httpx2.Response(599)

    async def _guarded(self, response: httpx2.Response, exchange: _Exchange) -> httpx2.Response:
        exchange.sink(_head(response))
        code, named = response.status_code, response.headers.get("mcp-session-id")
        if named is not None and not _SESSION_ID.fullmatch(named):
            exchange.fail(AnswerKind.MALFORMED)
            code = 599
        exchange.session_id = named or exchange.session_id
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            exchange.fail(AnswerKind.MALFORMED)  # we asked for none
            code = 599
        fields = [pair for pair in response.headers.raw if pair[0].lower() in _PASSED_ON][:16]
        events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 (narrows the type for mypy)
        if code == 200 and events:
            return httpx2.Response(code, headers=fields, stream=_Events(response.stream, exchange))
        try:
            body = b"".join([chunk async for chunk in _metered(response.stream, exchange)])
        finally:
            await response.aclose()
        told = understood(Arrived(None, body, ""), depth=exchange.bounds.depth, sink=exchange.sink)
        fault = told.fault or _STATUS.get(code, _CLASS.get(code // 100, AnswerKind.SERVER_ERROR))
        if fault:
            exchange.fail(fault)
        elif code == 200 and not (isinstance(told.document, dict) and told.document.keys() & {"result", "error"}):
            exchange.fail(AnswerKind.MALFORMED)  # the SDK would wait for an answer that cannot come any more
        if exchange.fault and code // 100 == 2:
            code = 599
        return httpx2.Response(599 if code // 100 == 3 else code, headers=fields, content=body)


async def _metered(stream: httpx2.AsyncByteStream, exchange: _Exchange) -> AsyncIterator[bytes]:
    """What the exchange has room for."""
    async for chunk in stream:
        yield chunk[: exchange.room]
        exchange.room -= len(chunk)
        if exchange.room < 0:
            exchange.room = 0
            exchange.fail(AnswerKind.TOO_LARGE)
            return


class _Events(httpx2.AsyncByteStream):
    """An event stream, scanned event by event before the SDK gets to see it."""

    def __init__(self, inner: httpx2.AsyncByteStream, exchange: _Exchange) -> None:
        self._inner, self._exchange = inner, exchange
        self._line, self._data = bytearray(), list[str]()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Ends early, with the exchange's fault set, where the bounds do."""
        chunks = _metered(self._inner, self._exchange).__aiter__()
        try:
            while True:
                async with asyncio.timeout_at(self._exchange.deadline):
                    chunk = await anext(chunks)
                self._scan(chunk)
                if self._exchange.fault == AnswerKind.TOO_DEEP:
                    return
                yield chunk
        except StopAsyncIteration:
            return
        except (TimeoutError, httpx2.TimeoutException):
            self._exchange.fail(AnswerKind.TIMEOUT)
        except httpx2.HTTPError:
            self._exchange.fail(AnswerKind.MALFORMED)
        finally:
            self._scan(b"\n\n")

    async def aclose(self) -> None:
        """See httpx2."""
        await self._inner.aclose()

    def _scan(self, chunk: bytes) -> None:
        self._line += chunk
        if b"\n" not in chunk and b"\r" not in chunk:
            return
        held = 1 if self._line.endswith(b"\r") else 0  # its line feed may be still to come
        lines = bytes(self._line[: len(self._line) - held]).splitlines(keepends=True)
        rest = lines.pop() if lines and not lines[-1].endswith((b"\n", b"\r")) else b""
        self._line = bytearray(rest + bytes(self._line[len(self._line) - held :]))
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip("\r\n"))

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        elif line:
            self._exchange.sink(line + "\n")
        elif self._data:
            self._exchange.scan("\n".join(self._data))
            self._data.clear()


def _head(response: httpx2.Response) -> str:
    """Reason phrase and header fields, one a line, names as they were spelled."""
    parts = [response.extensions.get("reason_phrase", b""), *(part for pair in response.headers.raw for part in pair)]
    return "".join(part.decode("utf-8", "replace") + "\n" for part in parts)


class _Link:
    """One session with the server. It lives in a task of its own: the SDK's cancel scopes must not cross tasks."""

    def __init__(self, url: str, headers: Mapping[str, bytes], bounds: Bounds) -> None:
        self._url, self._bounds = url, bounds
        fields = {"accept-encoding": b"identity", **headers}
        self._headers = [(name.encode(), value) for name, value in fields.items()]
        self._answers: dict[str, asyncio.Future[JSONRPCResponse | JSONRPCError | None]] = {}
        self._closing, self._declined = asyncio.Event(), 0
        self._protocol: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._write: Any = None
        self.session_id: str | None = None

    @property
    def dead(self) -> bool:
        """Has it ended by itself?"""
        return self._task is not None and self._task.done()

    async def open(self, exchange: _Exchange) -> AnswerKind | None:
        """Shake hands; what is wrong if it cannot be done."""
        ready = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(ready))
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # it may hold a server's words
        await ready
        about = {"name": "sectum", "version": "1"}
        hello = {"protocolVersion": _PROTOCOL, "capabilities": {}, "clientInfo": about}
        answer = await self.ask("initialize", hello, exchange)
        if exchange.fault or not isinstance(answer, dict):
            return exchange.fault or (answer if isinstance(answer, AnswerKind) else AnswerKind.MALFORMED)
        if answer.get("protocolVersion") not in _SPOKEN:
            return AnswerKind.MALFORMED
        self._protocol, self.session_id = answer["protocolVersion"], exchange.session_id
        notice = _exchange(exchange.sink, self._bounds)  # of whose fault nothing depends
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"}, notice)
        return None

    async def ask(
        self,
        method: str,
        params: dict[str, Any],
        exchange: _Exchange,
        *,
        correlation: str | None = None,
        session: str | None = None,
    ) -> dict[str, Any] | AnswerKind:
        """The result, or the kind of what came instead."""
        number = correlation or uuid.uuid4().hex  # a counter's numbers would meet another's in a session not ours
        self._answers[number] = waiting = asyncio.get_running_loop().create_future()
        self._declined = 0
        try:
            async with asyncio.timeout_at(exchange.deadline):
                message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                await self._send(message, exchange, session=session)
                return _result(await waiting)
        except TimeoutError:
            return AnswerKind.TIMEOUT
        finally:
            if self._answers.get(number) is waiting:
                del self._answers[number]

    async def close(self) -> None:
        """End the session, at the server too; a server that does not let go is left."""
        self._closing.set()
        if self._task is None:
            return
        try:
            await asyncio.wait({self._task}, timeout=min(self._bounds.seconds, 5) + 1)
        finally:
            self._task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._task

    async def _send(self, message: dict[str, Any], exchange: _Exchange, *, session: str | None = None) -> None:
        """Hand a message to the SDK, which sends it in this context; a session that has ended takes none."""
        from mcp.shared.message import ClientMessageMetadata, SessionMessage
        from mcp_types import jsonrpc_message_adapter

        named = {"mcp-protocol-version": self._protocol, "mcp-session-id": session}
        metadata = ClientMessageMetadata(headers={name: value for name, value in named.items() if value})
        before = _EXCHANGE.set(exchange)
        try:
            await self._write.send(SessionMessage(jsonrpc_message_adapter.validate_python(message), metadata))
        except Exception:  # noqa: BLE001  (anyio's, once the SDK has given up)
            exchange.fail(AnswerKind.UNREACHABLE)
            self._forget()
        finally:
            _EXCHANGE.reset(before)

    async def _live(self, ready: asyncio.Future[None]) -> None:
        from mcp.client.streamable_http import streamable_http_client

        _EXCHANGE.set(farewell := _exchange(_ignore, self._bounds))
        try:
            limits = httpx2.Limits(keepalive_expiry=4)  # below the 5 s after which many servers hang up
            transport = httpx2.AsyncHTTPTransport(verify=_tls(), trust_env=False, limits=limits)
            async with (
                transport,
                httpx2.AsyncClient(
                    transport=_Guard(transport), headers=self._headers, trust_env=False, timeout=None
                ) as client,
                streamable_http_client(
                    self._url, http_client=client, max_sse_event_size=self._bounds.bytes + 1
                ) as streams,
            ):
                await self._listen(streams, ready)
                farewell.deadline = asyncio.get_running_loop().time() + min(self._bounds.seconds, 5)
        finally:
            self._forget()
            if not ready.done():
                ready.set_result(None)

    async def _listen(self, streams: TransportStreams, ready: asyncio.Future[None]) -> None:
        """Take messages until the session is closed, or ends."""
        incoming, self._write = streams
        listening = asyncio.create_task(self._heard(incoming))
        closing = asyncio.create_task(self._closing.wait())
        ready.set_result(None)
        try:
            await asyncio.wait({listening, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (listening, closing):
                task.cancel()
            await asyncio.gather(listening, closing, return_exceptions=True)

    async def _heard(self, incoming: Any) -> None:
        from mcp_types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

        async for each in incoming:
            message = getattr(each, "message", None)
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                waiting = self._answers.get(str(message.id))
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            elif isinstance(message, JSONRPCRequest):
                await self._decline(message)

    async def _decline(self, request: JSONRPCRequest) -> None:
        """No sampling, no elicitation, no roots: a server asks nothing of us but whether we are there."""
        self._declined += 1
        if self._declined > _MOST_REQUESTS:
            return
        about = {"result": {}} if request.method == "ping" else {"error": {"code": -32601, "message": "declined"}}
        await self._send({"jsonrpc": "2.0", "id": request.id, **about}, _exchange(_ignore, self._bounds))

    def _forget(self) -> None:
        """Nobody answers any more."""
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_result(None)


def _result(message: JSONRPCResponse | JSONRPCError | None) -> dict[str, Any] | AnswerKind:
    """A result, or what an error means."""
    if message is None:
        return AnswerKind.UNREACHABLE
    if (result := getattr(message, "result", None)) is not None:
        return dict(result)
    code = getattr(getattr(message, "error", None), "code", 0)
    if code in _REJECTED:
        return AnswerKind.REJECTED
    return AnswerKind.SERVER_ERROR if code == _INTERNAL else AnswerKind.MALFORMED


class _Client:
    """One principal's client."""

    def __init__(self, spec: McpSpec, access: Access, key: bytes | None) -> None:
        self._spec, self._access, self._key = spec, access, key
        self._bounds, self._opening = access.bounds, asyncio.Lock()
        self._link: _Link | None = None
        self._genuine = False
        """Is a token that is minted right taken for ours? Else that a forged one is refused shows nothing."""
        self._headers = self._filled(access.credential)
        if spec.tokens and key is not None:
            try:
                spec.tokens.forged(_GENUINE, access.principal, key=key, now=0)
            except (jwt.PyJWTError, ValueError, TypeError):
                problem = f"tokens.issuerKey: is no key that {spec.tokens.algorithm} can sign with"
                raise SurfaceFault("Denied", problem) from None

    @property
    def session_id(self) -> str | None:
        """What the server called this session."""
        return self._link.session_id if self._link else None

    async def perform(self, action: Action, sink: Sink) -> Reply:
        """Do the action within the bounds; ValueError for a verb or a token that the scenario does not have."""
        tool = self._spec.tool(VERB_OF[type(action)])
        if tool is None or (action.token is not None and action.token not in self._spec.token_names()):
            raise ValueError(f"the scenario gives no {action.token if tool else VERB_OF[type(action)]}")
        exchange = _exchange(sink, self._bounds)
        if action.token is not None:
            kind, reply = await self._presented(action, tool, exchange)
        elif action.session_of is not None and action.session is None:
            kind, reply = AnswerKind.MALFORMED, None  # `sessions` promises that the server names them
        else:
            link = await self._own(exchange)
            kind, reply = await self._called(link, action, tool, exchange)
        if reply is not None:
            return reply
        items = () if isinstance(tool, ItemsTool) else None
        return Reply(kind, items=items, identity=False if isinstance(tool, WhoAmITool) else None)

    async def close(self) -> None:
        """End the session."""
        if self._link is not None:
            await self._link.close()

    def _filled(self, credential: str | None) -> dict[str, bytes]:
        """The header fields; those that need a credential are left out where there is none."""
        given = {
            name: template
            for name, template in self._spec.headers.items()
            if credential is not None or "credential" not in placeholders(template)
        }
        values = {**_named(self._access.principal), "credential": credential or ""}
        headers = Values(values, ()).headers(given)
        if headers is None:
            raise SurfaceFault(
                "Denied", "headers: the credential holds a line break, a control character or an outer space"
            )
        return headers

    async def _own(self, exchange: _Exchange) -> _Link | AnswerKind:
        """The session with our own credential; opened if there is none, or none any more."""
        try:
            async with asyncio.timeout_at(exchange.deadline), self._opening:
                if self._link is not None and not self._link.dead:
                    return self._link
                self._link = None
                link = await self._opened(self._headers, exchange)
                self._link = link if isinstance(link, _Link) else None
                return link
        except TimeoutError:
            return AnswerKind.TIMEOUT

    async def _opened(self, headers: Mapping[str, bytes], exchange: _Exchange) -> _Link | AnswerKind:
        link = _Link(self._spec.url, headers, self._bounds)
        fault: AnswerKind | None = AnswerKind.UNREACHABLE
        try:
            fault = await link.open(exchange)
            return fault or link
        finally:
            if fault:
                await link.close()

    async def _called(
        self, link: _Link | AnswerKind, action: Action, tool: Tool, exchange: _Exchange
    ) -> tuple[AnswerKind, Reply | None]:
        """Call the tool and read its result; without a Reply where there is only a kind."""
        if isinstance(link, AnswerKind):
            return link, None
        given = {name: getattr(action, name) for name in tool.knows}
        values = Values({**_named(self._access.principal), **given}, ())
        arguments = values.body(dict(tool.arguments))
        claim = next((each for each in self._spec.claims if each.name == action.claim), None)
        if claim is not None and action.as_if is not None:
            owner = {f"owner.{name}": value for name, value in _named(action.as_if).items()}
            arguments |= Values({**values.one, **owner}, ()).body(dict(claim.arguments))
        call = {"name": tool.tool, "arguments": arguments}
        result = await link.ask("tools/call", call, exchange, correlation=action.correlation, session=action.session)
        if isinstance(result, AnswerKind):
            return exchange.fault or result, None
        if exchange.fault:
            return exchange.fault, None
        if result.get("isError"):
            return AnswerKind.DENIED, None  # a tool says no in words of its own: as it should, and no fault
        document = _document(result, exchange)
        if exchange.fault:
            return exchange.fault, None
        try:
            return AnswerKind.ITEMS, tool.read(document, values)
        except BrokenPromise as broken:
            return broken.kind, None

    async def _presented(self, action: Action, tool: Tool, exchange: _Exchange) -> tuple[AnswerKind, Reply | None]:
        """Call the tool under a forged token, in a session of its own."""
        tokens, name = self._spec.tokens, str(action.token)
        assert tokens is not None  # noqa: S101 (narrows the type for mypy)
        if name in _BY_THE_ISSUER and not self._genuine:
            fault = await self._try_genuine(tokens, exchange)
            if fault:
                return fault, None
        who = action.as_if or self._access.principal
        credential = None if name == "none" else tokens.forged(name, who, key=self._key, now=int(time.time()))
        return await self._briefly(credential, action, tool, exchange)

    async def _briefly(
        self, credential: str | None, action: Action, tool: Tool, exchange: _Exchange
    ) -> tuple[AnswerKind, Reply | None]:
        link = await self._opened(self._filled(credential), exchange)
        try:
            return await self._called(link, action, tool, exchange)
        finally:
            if isinstance(link, _Link):
                await link.close()

    async def _try_genuine(self, tokens: Tokens, exchange: _Exchange) -> AnswerKind | None:
        """The control: a token that is minted right must be taken for ours, or a refusal would show nothing."""
        whoami = self._spec.tools.whoami
        if whoami is None:
            return AnswerKind.MALFORMED
        token = tokens.forged(_GENUINE, self._access.principal, key=self._key, now=int(time.time()))
        kind, reply = await self._briefly(token, WhoAmI(), whoami, replace(exchange))
        self._genuine = reply is not None and reply.identity is True
        if self._genuine:
            return None
        return kind if kind in _PASSING else AnswerKind.MALFORMED


def _document(result: Mapping[str, Any], exchange: _Exchange) -> Any:
    """The structured content, else the JSON in the text content (a list, where there are several texts)."""
    blocks = result.get("content")
    told = [block.get("text") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    documents = [exchange.scan(text) for text in told if isinstance(text, str)]
    structured = result.get("structuredContent")
    if structured is not None:  # read again for its numbers, which are compared as they are spelt
        return parse(json.dumps(structured), depth=exchange.bounds.depth).document
    return documents[0] if len(documents) == 1 else documents or ...


ADAPTER = Adapter(name="mcp", summary="An MCP server over streamable HTTP: which tool does what is data.", spec=McpSpec)
