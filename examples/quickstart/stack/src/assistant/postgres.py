"""Run the PostgreSQL server that the package pgserver brings, on 127.0.0.1, for as long as a block."""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from assistant import child
from assistant.child import HOST, free_port

DATABASE = "postgres"
START_SECONDS = 30.0
# A demo starts from nothing and its data need not outlive a power cut.
SERVER_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PostgresError(Exception):
    """The database server could not be started; the message ends with its log."""


@dataclass(frozen=True)
class Postgres:
    """A running server: where it listens and the superuser's password."""

    port: int
    admin_password: str

    def dsn(self, *, user: str, password: str) -> str:
        return make_conninfo(host=HOST, port=self.port, dbname=DATABASE, user=user, password=password)

    @property
    def admin_dsn(self) -> str:
        return f"postgresql://postgres:{self.admin_password}@{HOST}:{self.port}/{DATABASE}"


@dataclass(frozen=True)
class _Installation:
    binaries: Path
    home: Path
    account: pwd.struct_passwd | None  # whom to run as when we are root, which PostgreSQL refuses

    def run_as(self) -> dict[str, object]:
        if self.account is None:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def running_postgres(directory: Path, *, port: int = 0) -> Iterator[Postgres]:
    """Start an empty server below `directory` and stop it at the end of the block; port 0 takes a free one."""
    with _installed(directory) as installation:
        password = secrets.token_urlsafe(24)
        _initialise(installation, password)
        process, port = _start(installation, password, wanted=port)
        try:
            yield Postgres(port, password)
        finally:
            _stop(process)


@contextlib.contextmanager
def _installed(directory: Path) -> Iterator[_Installation]:
    """Find the binaries and make an empty home, both within reach of the account that the server runs as."""
    binaries = _bundled_binaries()
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    home = directory / "postgres"
    shutil.rmtree(home, ignore_errors=True)
    if account is not None and not _open_to_all(directory):
        home = Path(tempfile.mkdtemp(prefix="assistant-postgres-"))
    home.mkdir(mode=0o700, exist_ok=True)
    try:
        if account is not None:
            os.chown(home, account.pw_uid, account.pw_gid)
            if not _open_to_all(binaries):
                binaries = _copied(binaries, home)
        yield _Installation(binaries, home, account)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _bundled_binaries() -> Path:
    spec = importlib.util.find_spec("pgserver")
    if spec is None or spec.origin is None:
        raise PostgresError("the package pgserver is not installed")
    return Path(spec.origin).resolve().parent / "pginstall" / "bin"


def _open_to_all(path: Path) -> bool:
    resolved = path.resolve()
    return all(part.stat().st_mode & 0o001 for part in (resolved, *resolved.parents))


def _copied(binaries: Path, home: Path) -> Path:
    """Copy the installation; its programs find their libraries and data relative to themselves."""
    package = binaries.parents[1]
    shutil.copytree(package / "pginstall", home / "site" / "pgserver" / "pginstall", symlinks=True)
    shutil.copytree(package.parent / "pgserver.libs", home / "site" / "pgserver.libs", symlinks=True)
    return home / "site" / "pgserver" / "pginstall" / "bin"


def _initialise(installation: _Installation, password: str) -> None:
    secret = installation.home / "password"
    secret.touch(mode=0o600)
    secret.write_text(password + "\n")
    if installation.account is not None:
        os.chown(secret, installation.account.pw_uid, installation.account.pw_gid)
    command = [
        str(installation.binaries / "initdb"),
        f"--pgdata={installation.home / 'data'}",
        "--username=postgres",
        "--auth=scram-sha-256",
        f"--pwfile={secret}",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=installation.home,
        env=_environment(),
        **installation.run_as(),
    )  # type: ignore[call-overload]
    secret.unlink()
    if done.returncode != 0:
        raise PostgresError(f"initdb failed: {done.stderr.strip()}")


def _start(installation: _Installation, password: str, *, wanted: int) -> tuple["subprocess.Popen[bytes]", int]:
    # Another program may take the port between our look and the server's bind: look again.
    for _ in range(3):
        port = wanted or free_port()
        process = _spawn(installation, port)
        try:
            _wait(process, port, password)
        except TimeoutError:
            _stop(process)
            log = (installation.home / "log").read_text(errors="replace")
            if "could not bind" in log and not wanted:
                continue
            if "could not bind" in log:
                raise PostgresError(f"port {port} of {HOST} is taken; choose another database port") from None
            raise PostgresError(f"the database server did not start:\n{log[-2000:]}") from None
        except BaseException:
            _stop(process)
            raise
        return process, port
    raise PostgresError("no free port for the database server")


def _spawn(installation: _Installation, port: int) -> "subprocess.Popen[bytes]":
    command = [str(installation.binaries / "postgres"), "-D", str(installation.home / "data"), "-p", str(port)]
    for name, value in SERVER_SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    with (installation.home / "log").open("wb") as log:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=installation.home,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for us; we stop the server when its last client is gone
            preexec_fn=child.stop_with(os.getpid(), signal.SIGINT),
            **installation.run_as(),
        )  # type: ignore[call-overload]
        return process


def _wait(process: "subprocess.Popen[bytes]", port: int, password: str) -> None:
    dsn = Postgres(port, password).admin_dsn
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(dsn, connect_timeout=2):
            return
        time.sleep(0.02)
    raise TimeoutError


def _stop(process: "subprocess.Popen[bytes]") -> None:
    # "fast": disconnect the clients, write what is to be written
    child.stop(process, signal.SIGINT, name="the database server")


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
