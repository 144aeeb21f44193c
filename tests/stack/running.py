"""Start the quickstart's stack for as long as a block: `with running_stack(config="hardened") as stack:`."""

import contextlib
import json
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from assistant.machine import unsupported

STACK = Path(__file__).parents[2] / "examples" / "quickstart" / "stack"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
# Loading the certificates of the whole web takes longer than all that is asked over plain HTTP.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True)
class User:
    tenant: str
    user: str
    token: str
    tools_token: str
    role: str
    password: str


@dataclass(frozen=True)
class Stack:
    """What `ready.json` says, and ways to be one of the users."""

    url: str
    users: tuple[User, ...]
    postgres: Mapping[str, Any]  # host, port, dbname
    admin_dsn: str
    issuer: Mapping[str, str]  # name, algorithm, key_file, audience, tools_audience
    directory: Path
    pid: int

    def user(self, tenant: str, user: str) -> User:
        return next(known for known in self.users if (known.tenant, known.user) == (tenant, user))

    def http(self, tenant: str, user: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.user(tenant, user).token}"}
        return httpx.Client(base_url=self.url, headers=headers, verify=NO_TLS, trust_env=False, timeout=30)

    def sql(self, tenant: str, user: str) -> "psycopg.Connection[tuple[Any, ...]]":
        known = self.user(tenant, user)
        return psycopg.connect(user=known.role, password=known.password, autocommit=True, **self.postgres)


@contextlib.contextmanager
def running_stack(
    *,
    config: str | Path = "hardened",
    set: Mapping[str, object] | None = None,  # noqa: A002 - as the stack's own option is called
    directory: Path | None = None,
) -> Iterator[Stack]:
    """Start a stack of its own, stop it at the end.

    `config` is "hardened", "leaky" or a file; `set` overrides settings ({"security.list_per_user": False});
    `directory` is where it writes, else a temporary one. Skips the test where the stack cannot run at all.
    """
    reason = unsupported(sys.platform, tuple(sys.version_info[:3]))
    if reason is not None:
        pytest.skip(f"the quickstart's stack cannot run here: {reason}")
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stack-")))
            directory.chmod(0o711)  # the database's account passes through; all that is secret has a mode of its own
        log = stack.enter_context((directory / "stack.log").open("w+b"))
        command = serve_command(config=config, directory=directory, overrides=set or {})
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(_stop, process)
        yield _ready(process, directory)


def serve_command(*, config: str | Path, directory: Path, overrides: Mapping[str, object]) -> list[str]:
    path = config if isinstance(config, Path) else STACK / f"{config}.toml"
    command = [sys.executable, "-m", "assistant", "serve", "--config", str(path), "--data", str(directory)]
    for name, value in overrides.items():
        command += ["--set", f"{name}={json.dumps(value)}"]
    return command


def _ready(process: "subprocess.Popen[bytes]", directory: Path) -> Stack:
    path = directory / "ready.json"
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            log = (directory / "stack.log").read_text(errors="replace")
            raise RuntimeError(f"the stack did not start (exit code {process.returncode}):\n{log}")
        time.sleep(0.02)
    ready = json.loads(path.read_text())
    return Stack(
        url=ready["url"],
        users=tuple(User(**user) for user in ready["users"]),
        postgres=ready["postgres"],
        admin_dsn=ready["admin_dsn"],
        issuer=ready["issuer"],
        directory=directory,
        pid=process.pid,
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
