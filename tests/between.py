"""An HTTP server that stands between a client and a real one, or for it, and fails as a test tells it to."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@dataclass(frozen=True)
class Act:
    """What becomes of one request: handed on or not, then answered, cut off, or held up."""

    hand_on: bool = False
    status: int | None = None
    """None: the real server's answer or, where the request was not handed on, none: the connection is cut."""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    """Close the connection instead of answering."""
    half: bool = False
    """Send the head and half of the body, then close."""
    seconds: float = 0


THROUGH = Act(hand_on=True)
CUT = Act(cut=True)
DONE_AND_CUT = Act(hand_on=True, cut=True)
DONE_AND_FAILED = Act(hand_on=True, status=500)
HALF = Act(hand_on=True, half=True)
Script = Callable[["Asked"], Act]


@dataclass(frozen=True)
class Asked:
    """One request, counted from 1 among those of its method."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    number: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Between

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = self.server.note(self.command, self.path, dict(self.headers), body)
        act = self.server.script(asked)
        status, headers, content = self.server.handed_on(asked) if act.hand_on else (200, [], act.body)
        if act.status is not None:
            status, headers, content = act.status, list(act.headers), act.body
        time.sleep(act.seconds)
        self.close_connection = act.cut or act.half
        if act.cut:
            return
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if act.half else content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def log_message(self, *_: Any) -> None:
        """Silent."""


class Between(ThreadingHTTPServer):
    """What was asked of it, and where it hands requests on to."""

    daemon_threads = True

    def __init__(self, script: Script, *, port: int = 0, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script, self._port, self.asked = script, port, list[Asked]()
        self._scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def origin(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is what many tests are about."""

    def note(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Asked:
        number = 1 + sum(each.method == method for each in self.asked)
        self.asked.append(Asked(method, path, headers, body, number))
        return self.asked[-1]

    def methods(self) -> list[str]:
        return [each.method for each in self.asked]

    def handed_on(self, asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
        """The real server's answer to it; the Host header stays, as it is signed."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request(asked.method, asked.path, asked.body or None, asked.headers)
            answer: HTTPResponse = connection.getresponse()
            unfit = ("content-length", "transfer-encoding", "connection")
            return answer.status, [each for each in answer.getheaders() if each[0].lower() not in unfit], answer.read()
        finally:
            connection.close()


@contextlib.contextmanager
def between(script: Script | Act, *, port: int = 0, certificate: Path | None = None) -> Iterator[Between]:
    """Listening until the end of the block; an Act is done to every request. A certificate makes it speak TLS."""
    play = (lambda _asked: script) if isinstance(script, Act) else script
    server = Between(play, port=port, certificate=certificate)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def self_signed(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody trusts, with its key, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    until = now + datetime.timedelta(days=2)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, until)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    (folder / "server.pem").write_bytes(pem)
    return folder / "server.pem"
