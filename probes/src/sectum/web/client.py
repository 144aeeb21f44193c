"""Calls and an action -> one principal's requests, and replies out of their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import httpx

from sectum.actions import VERB_OF, Action, AnswerKind, Item, Reply, Sink, Verb
from sectum.fields import fill, placeholders
from sectum.ports import Bounds
from sectum.web.calls import Answer, Call, ListCall
from sectum.web.documents import BrokenPromise
from sectum.web.templates import Claim, Fields, Request, Values, named
from sectum.web.wire import Prepared, Wire


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a client asks, and how."""

    origin: str
    call: Callable[[Verb], Call | None]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class _Prepared(Prepared):
    """A request, and the query parameters that it claims."""

    claimed: Mapping[str, str] = field(repr=False)


class Client:
    """One principal's client."""

    session_id = None

    def __init__(self, *, target: Target, known: Mapping[str, str], bounds: Bounds, wire: Wire) -> None:
        self._target, self._known, self._bounds, self._wire = target, known, bounds, wire

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
        arrived = await self._wire.arrived(prepared, sink, deadline=deadline, room=room)
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
            owner = named(action.as_if)
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
        return _Prepared(request.method, url, {**headers, **spoofed}, body, query)
