"""An API server -> the same one seen through a line that counts writes and can be cut before or after any of them.

    with Interception(plane) as line:
        line.judge = lambda call, moment: call.number == 7 and moment is Moment.AFTER and kill(operator)
        operator = start(kubeconfig=plane.kubeconfig(path, token=token, url=line.url))

`judge` is asked twice about each write: before the server gets it and after it has answered. Where it says True the
caller hears nothing more of this request: its connection is closed. So a test kills a caller at exactly that point.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import httpx

from tests.operator.control_plane import ControlPlane

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_HOPS = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length"}


class Moment(Enum):
    """Where a write can be interrupted."""

    BEFORE = "before"
    """The server has not heard of it."""
    AFTER = "after"
    """The server has done it, or refused; the caller does not know."""


@dataclass(frozen=True, slots=True)
class Call:
    """One write."""

    number: int
    """Among all writes of the line, from 1."""
    method: str
    path: str
    """With its query."""
    body: Any
    """As JSON, None where it is none."""
    status: int | None = None
    """The server's answer, afterwards."""

    @property
    def what(self) -> str:
        """Its method and path without the query."""
        return f"{self.method} {self.path.partition('?')[0]}"


Judge = Callable[[Call, Moment], bool]


class Interception:
    """A plain HTTP server on loopback in front of the API server, for as long as the block."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.judge: Judge = lambda _call, _moment: False
        self.writes: list[Call] = []
        """All that reached the server and were answered, in the order of the answers."""
        self.newest = 0
        """The number of the last write that was begun."""
        self._lock = threading.Lock()
        self._client = plane.connect()
        self._client.headers.clear()
        self._client.timeout = httpx.Timeout(20, read=None)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def url(self) -> str:
        """For a kubeconfig."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Interception:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._client.close()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Pass one request on, and its answer back, as it comes."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        request.close_connection = True
        call = self._noted(request, body)
        if call and self.judge(call, Moment.BEFORE):
            return
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOPS]
        with (
            contextlib.suppress(httpx.TransportError, OSError),  # one of the two ends has gone
            self._client.stream(request.command, request.path, headers=headers, content=body) as answer,
        ):
            if call:
                parts, done = list(answer.iter_raw()), replace(call, status=answer.status_code)
                self.writes.append(done)
                if self.judge(done, Moment.AFTER):
                    return
                _pass_back(request, answer, parts)
            else:
                _pass_back(request, answer, answer.iter_raw())

    def _noted(self, request: BaseHTTPRequestHandler, body: bytes) -> Call | None:
        if request.command not in _WRITES:
            return None
        with self._lock:
            self.newest = number = self.newest + 1
        try:
            document = json.loads(body) if body else None
        except ValueError:
            document = None
        return Call(number, request.command, request.path, document)


def _pass_back(request: BaseHTTPRequestHandler, answer: httpx.Response, parts: Iterable[bytes]) -> None:
    """One answer a connection: it ends where the connection does, so nothing has to be counted or chunked."""
    request.send_response(answer.status_code)
    for name, value in answer.headers.multi_items():
        if name.lower() not in _HOPS:
            request.send_header(name, value)
    request.send_header("Connection", "close")
    request.end_headers()
    for part in parts:
        request.wfile.write(part)
        request.wfile.flush()


def _handler(line: Interception) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks at `writes`."""

    for method in ("GET", "HEAD", "OPTIONS", *_WRITES):
        setattr(Handler, f"do_{method}", lambda request: line.handle(request))
    return Handler
