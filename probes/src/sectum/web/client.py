"""Calls and an action -> one principal's requests over HTTP, and their answers within bounds."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import httpx

from sectum.actions import VERB_OF, Action, AnswerKind, Item, Reply, Sink, Verb
from sectum.fields import fill, placeholders
from sectum.ports import Bounds
from sectum.web.calls import Answer, Arrived, Call, ListCall
from sectum.web.documents import BrokenPromise
from sectum.web.templates import Claim, Fields, Request, Values

for _noisy in ("httpx", "httpcore"):  # they log URLs (locations) at INFO and headers (credentials) at DEBUG
    logging.getLogger(_noisy).setLevel(logging.WARNING)

_STATUS = {
    401: AnswerKind.UNAUTHENTICATED,
    403: AnswerKind.DENIED,
    404: AnswerKind.NOT_FOUND,
    410: AnswerKind.NOT_FOUND,
    429: AnswerKind.THROTTLED,
}
_CLASS = {2: None, 3: AnswerKind.REDIRECTED, 4: AnswerKind.REJECTED}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a client asks, and how."""

    origin: str
    call: Callable[[Verb], Call | None]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request with everything filled in."""

    method: str
    url: httpx.URL = field(repr=False)
    headers: dict[str, bytes] = field(repr=False)
    body: Any = field(repr=False)
    claimed: Mapping[str, str] = field(repr=False)


class Client:
    """One principal's client, on httpx's transport: its client class parses redirects even where it follows none."""

    session_id = None

    def __init__(
        self,
        *,
        target: Target,
        known: Mapping[str, str],
        headers: dict[str, bytes],
        bounds: Bounds,
        transport: httpx.AsyncHTTPTransport,
    ) -> None:
        self._target, self._known, self._bounds, self._transport = target, known, bounds, transport
        self._headers = {"accept": b"application/json", "accept-encoding": b"identity", **headers}
        self._cookies = httpx.Cookies()

    async def perform(self, action: Action, sink: Sink) -> Reply:
        """Do the action within the bounds; ValueError for a verb that the scenario does not give."""
        call = self._target.call(VERB_OF[type(action)])
        if call is None:
            raise ValueError(f"the scenario gives no {VERB_OF[type(action)]}")
        given = {name: getattr(action, name) for name in call.knows if name != "locations"}
        values = Values({**self._known, **given}, getattr(action, "locations", ()))
        prepared = self._prepared(call.request, values, action)
        if prepared is None:
            return call.failed(AnswerKind.REJECTED)
        deadline = asyncio.get_running_loop().time() + self._bounds.seconds
        if isinstance(call, ListCall):
            return await self._paged(call, prepared, values, sink, deadline)
        reply, _ = await self._asked(call, prepared, values, sink, deadline, self._bounds.bytes)
        return reply

    async def _paged(self, call: ListCall, first: _Prepared, values: Values, sink: Sink, deadline: float) -> Reply:
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
            except (BrokenPromise, httpx.InvalidURL):
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
        origin = httpx.URL(self._target.origin)
        if (url.scheme, url.host, url.port, url.userinfo) != (origin.scheme, origin.host, origin.port, b""):
            return None
        return url.copy_merge_params(first.claimed)

    async def _asked(
        self, call: Call, prepared: _Prepared, values: Values, sink: Sink, deadline: float, room: int
    ) -> tuple[Reply, Answer]:
        """One request, and its answer read as the scenario says."""
        arrived = await self._arrived(prepared, sink, deadline, room)
        answer = call.understand(arrived, depth=self._bounds.depth, sink=sink)
        if answer.fault is not None:
            return call.failed(answer.fault), answer
        try:
            return call.read(answer, values), answer
        except BrokenPromise as broken:
            return call.failed(broken.kind), answer

    def _prepared(self, request: Request, values: Values, action: Action) -> _Prepared | None:
        """Everything filled in; None for what must not be sent: dot segments, empty path parts, broken headers."""
        claim = next((each for each in self._target.claims if each.name == action.claim), None)
        extra = Fields()
        if claim is not None and action.as_if is not None:
            extra = claim
            owner = {"tenant": action.as_if.tenant, "user": action.as_if.user}
            claimed = Values({**self._known, **{f"owner.{name}": value for name, value in owner.items()}}, ())
            values = Values({**values.one, **(owner if claim.as_owner else {})}, values.locations)
        else:
            claimed = values
        if any(values.one[name] in ("", ".", "..") for name in placeholders(request.path)):
            return None
        headers, spoofed = values.headers(request.headers), claimed.headers(extra.headers)
        if headers is None or spoofed is None:
            return None
        path = fill(request.path, {name: quote(value, safe="", errors="replace") for name, value in values.one.items()})
        asked = {name: values.body(template) for name, template in request.query.items()}
        query = {name: claimed.text(template) for name, template in extra.query.items()}
        body = values.body(request.body)
        if isinstance(extra.body, dict):
            body = {**(body if isinstance(body, dict) else {}), **claimed.body(extra.body)}
        try:
            url = httpx.URL(self._target.origin + path, params={**asked, **query} or None)
        except httpx.InvalidURL:
            return None
        return _Prepared(request.method, url, {**self._headers, **headers, **spoofed}, body, query)

    async def _arrived(self, prepared: _Prepared, sink: Sink, deadline: float, room: int) -> Arrived:
        """Send, read within the bounds, and feed the status line and header fields to the sink."""
        fields = [(name.encode(), value) for name, value in prepared.headers.items()]
        request = httpx.Request(
            prepared.method, prepared.url, headers=fields, json=prepared.body, cookies=self._cookies
        )
        body, fault, answered, content_type = bytearray(), None, False, ""
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._transport.handle_async_request(request)
                response.request, answered = request, True
                try:
                    sink(_head(response))
                    self._remember(response)
                    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
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
        return Arrived(fault, bytes(body), content_type)

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
