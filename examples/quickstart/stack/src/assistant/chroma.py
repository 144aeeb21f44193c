"""Run Chroma's own server, which the package chromadb brings, on 127.0.0.1, for as long as a block."""

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from assistant import child
from assistant.child import HOST, free_port
from assistant.embedding import DIMENSIONS

START_SECONDS = 30.0
COLLECTION = "notes"
# The bindings are the whole server; importing chromadb itself would take ten times as long.
PROGRAM = "import sys, chromadb_rust_bindings; chromadb_rust_bindings.cli(sys.argv)"
# Loading the certificates of the whole web takes longer than all that is asked over plain HTTP.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class ChromaError(Exception):
    """The vector server could not be started or filled; the message ends with what it said."""


@dataclass(frozen=True)
class Database:
    """A database within a Chroma tenant."""

    tenant: str
    name: str

    @property
    def path(self) -> str:
        return f"/tenants/{self.tenant}/databases/{self.name}"


@dataclass(frozen=True)
class Chroma:
    """A running server. It asks nobody who he is: that is left to what stands in front of it."""

    url: str

    def create(self, databases: Sequence[Database]) -> None:
        """Create each database and in it an empty collection."""
        with httpx.Client(base_url=self.url, verify=NO_TLS, trust_env=False, timeout=START_SECONDS) as http:
            for tenant in dict.fromkeys(database.tenant for database in databases):
                _post(http, "/tenants", {"name": tenant})
            for database in databases:
                _post(http, f"/tenants/{database.tenant}/databases", {"name": database.name})
                collections = f"{database.path}/collections"
                settings = {"name": COLLECTION, "configuration": {"hnsw": {"space": "cosine"}}}
                collection = f"{collections}/{_post(http, collections, settings)['id']}"
                # The first record decides how many dimensions all others have.
                _post(http, f"{collection}/add", {"ids": ["first"], "embeddings": [[1.0] * DIMENSIONS]})
                _post(http, f"{collection}/delete", {"ids": ["first"]})


@contextlib.contextmanager
def running_chroma(directory: Path) -> Iterator[Chroma]:
    """Start an empty server below `directory` and stop it at the end of the block."""
    home = directory / "chroma"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700)
    try:
        process, url = _start(home)
        try:
            yield Chroma(url)
        finally:
            child.stop(process, signal.SIGTERM, name="the vector server")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _post(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.post(path, json=body)
    if answer.is_error:
        raise ChromaError(f"the vector server refused {path}: {answer.text[:500]}")
    parsed: dict[str, Any] = answer.json()
    return parsed


def _start(home: Path) -> tuple["subprocess.Popen[bytes]", str]:
    # Another program may take the port between our look and the server's bind: look again.
    for _ in range(3):
        port = free_port()
        process = _spawn(home, port)
        url = f"http://{HOST}:{port}/api/v2"
        try:
            if _answers(process, url):
                return process, url
        except BaseException:
            child.stop(process, signal.SIGTERM, name="the vector server")
            raise
        child.stop(process, signal.SIGTERM, name="the vector server")
    log = (home / "log").read_text(errors="replace")
    raise ChromaError(f"the vector server did not start:\n{log[-2000:]}")


def _spawn(home: Path, port: int) -> "subprocess.Popen[bytes]":
    run = ["run", "--path", str(home / "data"), "--host", HOST, "--port", str(port)]
    with (home / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", PROGRAM, *run],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env={"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C", "TZ": "UTC", "RUST_LOG": "warn"},
            start_new_session=True,  # Ctrl-C is for us; we stop the server when its last client is gone
            preexec_fn=child.stop_with(os.getpid(), signal.SIGKILL),
        )


def _answers(process: "subprocess.Popen[bytes]", url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(verify=NO_TLS, trust_env=False, timeout=2) as http:
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                # Whoever took the port meanwhile may answer too, but then our process has ended.
                if http.get(f"{url}/heartbeat").is_success and process.poll() is None:
                    return True
            time.sleep(0.02)
    return False
