"""A request with everything filled in -> what arrived within its bounds, over one principal's own connections."""

from __future__ import annotations

import asyncio
import logging
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

from sectum.actions import AnswerKind, Sink
from sectum.errors import SurfaceFault
from sectum.ports import Access
from sectum.web.calls import Arrived
from sectum.web.head import fault_of, head_text
from sectum.web.templates import Headers, Values, named

for _noisy in ("httpx", "httpcore"):  # they log URLs (locations) at INFO and headers (credentials) at DEBUG
    logging.getLogger(_noisy).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with everything filled in."""

    method: str
    url: httpx.URL = field(repr=False)
    headers: Mapping[str, bytes] = field(repr=False)
    body: Any = field(repr=False)


@asynccontextmanager
async def opened(headers: Headers, access: Access) -> AsyncIterator[Wire]:
    """Connections and cookies of its own; connects with the first request.

    Raises SurfaceFault `Denied` for a credential that no header can carry.
    """
    known = {**named(access.principal), "credential": access.credential}
    fields = Values(known, ()).headers(headers)
    if fields is None:
        raise SurfaceFault(
            "Denied", "headers: the credential holds a line break, a control character or an outer space"
        )
    limits = httpx.Limits(keepalive_expiry=4)  # below the 5 s after which many servers hang up
    async with httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False, limits=limits) as transport:
        yield Wire(fields, transport)


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class Wire:
    """On httpx's transport: its client class parses redirects even where it follows none."""

    def __init__(self, headers: Mapping[str, bytes], transport: httpx.AsyncHTTPTransport) -> None:
        self._transport = transport
        self._headers = {"accept": b"application/json", "accept-encoding": b"identity", **headers}
        self._cookies = httpx.Cookies()

    async def arrived(self, prepared: Prepared, sink: Sink, *, deadline: float, room: int) -> Arrived:
        """Send, read within the bounds, and feed the status line and header fields to the sink.

        Args:
            deadline: the event loop's time by which all must have come.
            room: most bytes of the body, counted unpacked.
        """
        fields = [(name.encode(), value) for name, value in {**self._headers, **prepared.headers}.items()]
        request = httpx.Request(
            prepared.method, prepared.url, headers=fields, json=prepared.body, cookies=self._cookies
        )
        body, fault, answered, content_type = bytearray(), None, False, ""
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._transport.handle_async_request(request)
                response.request, answered = request, True
                try:
                    sink(head_text(response.extensions, response.headers.raw))
                    self._remember(response)
                    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                    cut = await _drained(response, body, room)
                finally:
                    await response.aclose()
                fault = cut or fault_of(response.status_code)
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
