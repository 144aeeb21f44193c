"""An endpoint and header fields -> one MCP session over the SDK's transport, in which requests are answered."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx2

from sectum.actions import AnswerKind
from sectum.ports import Bounds
from sectum.rpc.exchange import EXCHANGE, MOST_REQUESTS, Exchange, ignore
from sectum.rpc.guard import Guard

if TYPE_CHECKING:  # the SDK takes a second to import, servers and all: only who opens a session waits for it
    from mcp.client._transport import TransportStreams
    from mcp_types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

for _noisy in ("mcp.client", "httpx2", "httpcore2"):  # they log messages, URLs and header fields, errors included
    logging.getLogger(_noisy).setLevel(logging.CRITICAL + 1)

_PROTOCOL = "2025-11-25"
_SPOKEN = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", _PROTOCOL})
"""Versions of the protocol that begin with a handshake."""
_REJECTED = frozenset({-32601, -32602})
_INTERNAL = -32603


@cache
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


class Link:
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

    async def open(self, exchange: Exchange) -> AnswerKind | None:
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
        notice = Exchange.begin(exchange.sink, self._bounds)  # of whose fault nothing depends
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"}, notice)
        return None

    async def ask(
        self,
        method: str,
        params: dict[str, Any],
        exchange: Exchange,
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

    async def _send(self, message: dict[str, Any], exchange: Exchange, *, session: str | None = None) -> None:
        """Hand a message to the SDK, which sends it in this context; a session that has ended takes none."""
        from mcp.shared.message import ClientMessageMetadata, SessionMessage
        from mcp_types import jsonrpc_message_adapter

        named = {"mcp-protocol-version": self._protocol, "mcp-session-id": session}
        metadata = ClientMessageMetadata(headers={name: value for name, value in named.items() if value})
        before = EXCHANGE.set(exchange)
        try:
            await self._write.send(SessionMessage(jsonrpc_message_adapter.validate_python(message), metadata))
        except Exception:  # noqa: BLE001  (anyio's, once the SDK has given up)
            exchange.fail(AnswerKind.UNREACHABLE)
            self._forget()
        finally:
            EXCHANGE.reset(before)

    async def _live(self, ready: asyncio.Future[None]) -> None:
        from mcp.client.streamable_http import streamable_http_client

        EXCHANGE.set(farewell := Exchange.begin(ignore, self._bounds))
        try:
            limits = httpx2.Limits(keepalive_expiry=4)  # below the 5 s after which many servers hang up
            transport = httpx2.AsyncHTTPTransport(verify=_tls(), trust_env=False, limits=limits)
            async with (
                transport,
                httpx2.AsyncClient(
                    transport=Guard(transport), headers=self._headers, trust_env=False, timeout=None
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
        if self._declined > MOST_REQUESTS:
            return
        about = {"result": {}} if request.method == "ping" else {"error": {"code": -32601, "message": "declined"}}
        await self._send({"jsonrpc": "2.0", "id": request.id, **about}, Exchange.begin(ignore, self._bounds))

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
