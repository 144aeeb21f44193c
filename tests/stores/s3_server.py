"""versitygw, an S3 server on a folder, for as long as the tests of a module need it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from sectum.errors import SecretMissing
from sectum.store import ObjectStoreOf
from sectum.stores.s3 import S3Spec

MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
ACCESS, SECRET, BUCKET, NAME = "root-of-the-tests", "secret-of-the-tests-5d1f", "evidence", "sectum-store-evidence-keys"
OTHER_ACCESS, OTHER_SECRET = "writer-of-the-tests", "secret-of-the-writer-77a0"


def binary() -> str:
    """The server's program; skips the tests, with what to do, where there is none."""
    if found := shutil.which("versitygw"):
        return found
    built = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sectum-servers" / "bin"
    if not (built / "versitygw").exists() and os.environ.get("SECTUM_BUILD_SERVERS") == "1":
        built.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOBIN": str(built), "CGO_ENABLED": "0"}
        subprocess.run(["go", "install", "-trimpath", MODULE], env=environment, check=True, timeout=900)
    if (built / "versitygw").exists():
        return str(built / "versitygw")
    pytest.skip(
        f"NOT TESTED against a real S3 server: no versitygw on PATH. `go install {MODULE}` builds it (some minutes), "
        "and so do these tests where SECTUM_BUILD_SERVERS=1 is set and there is a Go toolchain"
    )


@dataclass(frozen=True)
class S3:
    """A running server with an empty bucket."""

    port: int
    data: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, access: str = ACCESS, key: str = SECRET) -> Any:
        """boto3's client, for what Sectum itself never does."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=key,
        )


def secret_of(access: str = ACCESS, key: str = SECRET) -> Callable[[str, str], bytes]:
    """A reader of the one Secret that holds this key."""
    held = {(NAME, "accessKeyId"): f"{access}\n".encode(), (NAME, "secretAccessKey"): key.encode()}

    def read(name: str, field: str) -> bytes:
        if (name, field) not in held:
            raise SecretMissing(f"secretRef {name}/{field}", "cannot be read")
        return held[name, field]

    return read


def opened(
    endpoint: str, *, prefix: str = "", bucket: str = BUCKET, access: str = ACCESS, key: str = SECRET, **fields: Any
) -> ObjectStoreOf:
    """The Store as a scenario opens it."""
    spec = S3Spec.model_validate({"bucket": bucket, "prefix": prefix, "endpoint": endpoint, "secret": NAME, **fields})
    return spec.open(secret_of(access, key))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def running(home: Path) -> Iterator[S3]:
    """The server, on loopback."""
    program, port = binary(), free_port()
    for each in ("data", "users"):
        (home / each).mkdir()
    writer = {"access": OTHER_ACCESS, "secret": OTHER_SECRET, "role": "user"}
    (home / "users" / "users.json").write_text(json.dumps({"accessAccounts": {OTHER_ACCESS: writer}}))
    environment = {"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET, "PATH": "/usr/bin:/bin", "HOME": str(home)}
    command = [program, "--port", f"127.0.0.1:{port}", "--iam-dir", str(home / "users"), "posix", str(home / "data")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=home)
    try:
        _await(process, port, home / "log")
        server = S3(port, home / "data")
        server.client().create_bucket(Bucket=BUCKET)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace"))
