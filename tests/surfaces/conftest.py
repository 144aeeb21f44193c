"""A PostgreSQL server with pgvector for the surface tests: pgserver's binaries, run by us."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

ADMIN_PASSWORD = "admin-of-the-tests"


class Server(NamedTuple):
    """Where it listens."""

    port: int
    sockets: Path
    pid: int

    def sql(self, statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the superuser; the rows of the last."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, dbname="postgres", user="postgres", password=ADMIN_PASSWORD
        ) as connection:
            cursor = connection.execute(statements)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for all tests; skipped where pgserver has no wheel (Python 3.13 and later)."""
    package = importlib.util.find_spec("pgserver")
    if package is None or package.origin is None:
        pytest.skip("pgserver is not installed: NOTHING of the pgvector adapter is tested here")
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    home = Path(tempfile.mkdtemp(prefix="sectum-pg-"))
    process = None
    try:
        binaries = Path(package.origin).parent / "pginstall" / "bin"
        if account is not None and any(not part.stat().st_mode & 0o001 for part in (binaries, *binaries.parents)):
            site = binaries.parents[2]
            shutil.copytree(site / "pgserver" / "pginstall", home / "site" / "pgserver" / "pginstall", symlinks=True)
            shutil.copytree(site / "pgserver.libs", home / "site" / "pgserver.libs", symlinks=True)
            binaries = home / "site" / "pgserver" / "pginstall" / "bin"
        (home / "password").write_text(ADMIN_PASSWORD)
        (home / "password").chmod(0o600)
        run: dict[str, Any] = {"cwd": home, "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}}
        if account is not None:
            run |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            for owned in (home, home / "password"):
                os.chown(owned, account.pw_uid, account.pw_gid)
        data = ["-D", str(home / "data")]
        how = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile=password", "--no-sync", "-E", "UTF8"]
        subprocess.run([binaries / "initdb", *data, *how], check=True, capture_output=True, **run)
        rules = home / "data" / "pg_hba.conf"
        rules.write_text(f"host all acme_alice_barred all reject\n{rules.read_text()}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(home), "fsync": "off", "port": port}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen([binaries / "postgres", *data, *options], stdout=log, stderr=log, **run)
        server = Server(port, home, process.pid)
        _await(server, process)
        yield server
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def _await(server: Server, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            server.sql("CREATE EXTENSION vector")
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((server.sockets / "log").read_text()) from None
            time.sleep(0.05)
        else:
            return
