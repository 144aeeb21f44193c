"""Chroma's own server for the tests, and a small front before it that knows its callers, as customers have one."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

# The bindings are the whole server; importing chromadb itself takes ten times as long.
PROGRAM = "import sys, chromadb_rust_bindings; chromadb_rust_bindings.cli(sys.argv)"
API = "/api/v2"


@dataclass(frozen=True)
class Chroma:
    """A running server; it asks nobody who he is."""

    port: int
    pid: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request below the API's path; what it answers, where that is no error."""
        status, content = forward(
            self.port, method, f"{API}{path}", None if body is None else json.dumps(body).encode()
        )
        assert status < 400, content
        return json.loads(content)

    def create(self, tenant: str, database: str, collection: str = "notes") -> str:
        """A collection with its database and tenant; its id."""
        for path, name in (("/tenants", tenant), (f"/tenants/{tenant}/databases", database)):
            with contextlib.suppress(AssertionError):  # there already
                self.ask("POST", path, {"name": name})
        made = self.ask("POST", f"/tenants/{tenant}/databases/{database}/collections", {"name": collection})
        return str(made["id"])


def forward(port: int, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    """Ask the server on a port; status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def running() -> Iterator[Chroma]:
    """An empty server until the end of the block."""
    home = Path(tempfile.mkdtemp(prefix="sectum-chroma-"))
    process = None
    try:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        run = ["run", "--path", str(home / "data"), "--host", "127.0.0.1", "--port", str(port)]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", PROGRAM, *run],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=home,
                env={"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C", "RUST_LOG": "warn"},
            )
        _await(process, port, home / "log")
        yield Chroma(port, process.pid)
    finally:
        if process is not None:
            process.terminate()
            process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def _await(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            forward(port, "GET", f"{API}/heartbeat", None)
            return
        time.sleep(0.02)
    raise AssertionError(log.read_text(errors="replace"))


class _Front(BaseHTTPRequestHandler):
    """Knows callers by their token; lets each into the tenant and database of his own name."""

    protocol_version = "HTTP/1.1"
    server: "Front"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(f"{self.command} {self.path}")
        tenant, _, user = self.headers.get("Authorization", "").removeprefix("Bearer token-of-").partition(".")
        path = self.path.removeprefix("/chroma")
        if not user:
            status, content = 401, b'{"error":"who are you?"}'
        elif path == f"{API}/auth/identity":
            said = {"user_id": user, "tenant": tenant, "databases": [user]}
            status, content = 200, json.dumps(said).encode()
        elif not path.startswith(f"{API}/tenants/{tenant}/databases/{user}/"):
            status, content = 403, b'{"error":"not yours"}'
        else:
            status, content = forward(self.server.behind, self.command, path, body or None)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _serve

    def log_message(self, *_: Any) -> None:
        """Silent."""


class Front(ThreadingHTTPServer):
    """A checking gateway at /chroma before the Chroma server on a port."""

    daemon_threads = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Front)
        self.behind, self.asked = behind, list[str]()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def fronted(chroma: Chroma) -> Iterator[Front]:
    """The gateway until the end of the block."""
    front = Front(chroma.port)
    thread = Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield front
    finally:
        front.shutdown()
        thread.join()
        front.server_close()
