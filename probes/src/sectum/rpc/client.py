"""An action and the tool that is called for it -> a reply, in one principal's session or under a forged token."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jwt

from sectum.actions import VERB_OF, Action, AnswerKind, Principal, Reply, Sink, WhoAmI
from sectum.errors import SurfaceFault
from sectum.fields import placeholders
from sectum.ports import Access
from sectum.rpc.exchange import Exchange
from sectum.rpc.link import Link
from sectum.web.documents import BrokenPromise, parse
from sectum.web.templates import Headers, Values, named
from sectum.web.tokens import GENUINE, Tokens

_PASSING = frozenset({AnswerKind.THROTTLED, AnswerKind.SERVER_ERROR, AnswerKind.TIMEOUT, AnswerKind.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool with everything filled in, and what its result promises."""

    tool: str
    arguments: Mapping[str, Any] = field(repr=False)
    read: Callable[[Any], Reply] = field(repr=False)
    """What a result's document says; raises BrokenPromise."""
    failed: Callable[[AnswerKind], Reply] = field(repr=False)
    """The reply where there is no such result."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a client asks, and how."""

    url: str
    headers: Headers
    call: Callable[[Action, Principal], Call | None]
    """What to call for an action of this principal; None for a verb that the scenario does not give."""
    tokens: Tokens | None


@asynccontextmanager
async def opened(target: Target, access: Access, *, key: bytes | None) -> AsyncIterator[Client]:
    """A client with a session of its own, which it opens with its first call; `key` is the tokens' issuer's.

    Raises SurfaceFault `Denied` for a credential that no header can carry and for a key that cannot sign.
    """
    client = Client(target, access, key=key)
    await asyncio.to_thread(importlib.import_module, "mcp.client.streamable_http")
    try:
        yield client
    finally:
        await client.close()


class Client:
    """One principal's client."""

    def __init__(self, target: Target, access: Access, *, key: bytes | None) -> None:
        self._target, self._access, self._key = target, access, key
        self._bounds, self._opening = access.bounds, asyncio.Lock()
        self._link: Link | None = None
        self._genuine = False
        """Is a token that is minted right taken for ours? Else that a forged one is refused shows nothing."""
        self._headers = self._filled(access.credential)
        if target.tokens and key is not None:
            try:
                target.tokens.forged(GENUINE, access.principal, key=key, now=0)
            except (jwt.PyJWTError, ValueError, TypeError):
                problem = f"tokens.issuerKey: is no key that {target.tokens.algorithm} can sign with"
                raise SurfaceFault("Denied", problem) from None

    @property
    def session_id(self) -> str | None:
        """What the server called this session; None where there is none any more."""
        return self._link.session_id if self._link and not self._link.dead else None

    async def perform(self, action: Action, sink: Sink) -> Reply:
        """Do the action within the bounds; ValueError for a verb or a token that the scenario does not have."""
        call = self._target.call(action, self._access.principal)
        if call is None:
            raise ValueError(f"the scenario gives no {VERB_OF[type(action)]}")
        exchange = Exchange.begin(sink, self._bounds)
        if action.token is not None:
            return await self._presented(action.token, action, call, exchange)
        if action.session_of is not None and action.session is None:
            return call.failed(AnswerKind.MALFORMED)  # `sessions` promises that the server names them
        return await self._called(await self._own(exchange), action, call, exchange)

    async def close(self) -> None:
        """End the session."""
        if self._link is not None:
            await self._link.close()

    def _filled(self, credential: str | None) -> dict[str, bytes]:
        """The header fields; those that need a credential are left out where there is none."""
        given = {
            name: template
            for name, template in self._target.headers.items()
            if credential is not None or "credential" not in placeholders(template)
        }
        values = {**named(self._access.principal), "credential": credential or ""}
        headers = Values(values, ()).headers(given)
        if headers is None:
            raise SurfaceFault(
                "Denied", "headers: the credential holds a line break, a control character or an outer space"
            )
        return headers

    async def _own(self, exchange: Exchange) -> Link | AnswerKind:
        """The session with our own credential; opened if there is none, or none any more."""
        try:
            async with asyncio.timeout_at(exchange.deadline), self._opening:
                if self._link is not None and not self._link.dead:
                    return self._link
                self._link = None
                link = await self._opened(self._headers, exchange)
                self._link = link if isinstance(link, Link) else None
                return link
        except TimeoutError:
            return AnswerKind.TIMEOUT

    async def _opened(self, headers: Mapping[str, bytes], exchange: Exchange) -> Link | AnswerKind:
        link = Link(self._target.url, headers, self._bounds)
        fault: AnswerKind | None = AnswerKind.UNREACHABLE
        try:
            fault = await link.open(exchange)
            return fault or link
        finally:
            if fault:
                await link.close()

    async def _called(self, link: Link | AnswerKind, action: Action, call: Call, exchange: Exchange) -> Reply:
        """Call the tool and read its result."""
        if isinstance(link, AnswerKind):
            return call.failed(link)
        params = {"name": call.tool, "arguments": call.arguments}
        result = await link.ask("tools/call", params, exchange, correlation=action.correlation, session=action.session)
        if isinstance(result, AnswerKind):
            return call.failed(exchange.fault or result)
        if exchange.fault:
            return call.failed(exchange.fault)
        if result.get("isError"):
            return call.failed(AnswerKind.DENIED)  # a tool says no in words of its own: as it should, and no fault
        document = _document(result, exchange)
        if exchange.fault:
            return call.failed(exchange.fault)
        try:
            return call.read(document)
        except BrokenPromise as broken:
            return call.failed(broken.kind)

    async def _presented(self, name: str, action: Action, call: Call, exchange: Exchange) -> Reply:
        """Call the tool under a forged token, in a session of its own."""
        tokens = self._target.tokens
        if tokens is None or name not in tokens.names():
            raise ValueError(f"the scenario gives no {name}")
        if name != "none" and self._key is not None and not self._genuine:
            fault = await self._try_genuine(tokens, exchange)
            if fault:
                return call.failed(fault)
        who = action.as_if or self._access.principal
        credential = None if name == "none" else tokens.forged(name, who, key=self._key, now=int(time.time()))
        return await self._briefly(credential, action, call, exchange)

    async def _briefly(self, credential: str | None, action: Action, call: Call, exchange: Exchange) -> Reply:
        link = await self._opened(self._filled(credential), exchange)
        try:
            return await self._called(link, action, call, exchange)
        finally:
            if isinstance(link, Link):
                await link.close()

    async def _try_genuine(self, tokens: Tokens, exchange: Exchange) -> AnswerKind | None:
        """The control: a token that is minted right must be taken for ours, or a refusal would show nothing."""
        whoami = WhoAmI()
        call = self._target.call(whoami, self._access.principal)
        if call is None:
            return AnswerKind.MALFORMED
        token = tokens.forged(GENUINE, self._access.principal, key=self._key, now=int(time.time()))
        reply = await self._briefly(token, whoami, call, replace(exchange))
        self._genuine = reply.identity is True
        if self._genuine:
            return None
        return reply.kind if reply.kind in _PASSING else AnswerKind.MALFORMED


def _document(result: Mapping[str, Any], exchange: Exchange) -> Any:
    """The structured content, else the JSON in the text content (a list, where there are several texts)."""
    blocks = result.get("content")
    told = [block.get("text") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    documents = [exchange.scan(text) for text in told if isinstance(text, str)]
    structured = result.get("structuredContent")
    if structured is not None:  # read again for its numbers, which are compared as they are spelt
        return parse(json.dumps(structured), depth=exchange.bounds.depth).document
    return documents[0] if len(documents) == 1 else documents or ...
