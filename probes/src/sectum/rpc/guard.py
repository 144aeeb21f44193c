"""Whatever a server answers -> what the SDK gets to read: scanned, within bounds, and never an exception."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import httpx2

from sectum.actions import AnswerKind
from sectum.rpc.exchange import EXCHANGE, Exchange
from sectum.web.calls import Arrived, understood
from sectum.web.head import fault_of, head_text

_PASSED_ON = frozenset({b"content-type", b"mcp-session-id", b"set-cookie"})
_SESSION_ID = re.compile(r"[\x21-\x7e]{1,1024}")


class Guard(httpx2.AsyncBaseTransport):
    """Bounds and scans all that the SDK reads; raises nothing, for an exception would end the SDK's session."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer as far as it can be trusted: 2xx and errors within bounds, else an empty 599."""
        exchange = EXCHANGE.get()
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

    async def _guarded(self, response: httpx2.Response, exchange: Exchange) -> httpx2.Response:
        exchange.sink(head_text(response.extensions, response.headers.raw))
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
        fault = told.fault or fault_of(code)
        if fault:
            exchange.fail(fault)
        elif code == 200 and not (isinstance(told.document, dict) and told.document.keys() & {"result", "error"}):
            exchange.fail(AnswerKind.MALFORMED)  # the SDK would wait for an answer that cannot come any more
        if exchange.fault and code // 100 == 2:
            code = 599
        return httpx2.Response(599 if code // 100 == 3 else code, headers=fields, content=body)


async def _metered(stream: httpx2.AsyncByteStream, exchange: Exchange) -> AsyncIterator[bytes]:
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

    def __init__(self, inner: httpx2.AsyncByteStream, exchange: Exchange) -> None:
        self._inner, self.begun = inner, exchange
        self._line, self._data = bytearray(), list[str]()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Ends early, with the exchange's fault set, where the bounds do."""
        chunks = _metered(self._inner, self.begun).__aiter__()
        try:
            while True:
                async with asyncio.timeout_at(self.begun.deadline):
                    chunk = await anext(chunks)
                self._scan(chunk)
                if self.begun.fault == AnswerKind.TOO_DEEP:
                    return
                yield chunk
        except StopAsyncIteration:
            return
        except (TimeoutError, httpx2.TimeoutException):
            self.begun.fail(AnswerKind.TIMEOUT)
        except httpx2.HTTPError:
            self.begun.fail(AnswerKind.MALFORMED)
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
            self.begun.sink(line + "\n")
        elif self._data:
            self.begun.scan("\n".join(self._data))
            self._data.clear()
