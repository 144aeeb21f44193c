"""Time a whole run on one PostgreSQL behind a proxy that adds 20 ms a round trip: concurrent against serial.

2,000 documents are planted, read back and removed, and 200 trials of four arms are played, by five roles under
row-level security. The same scenario runs with `inFlight: 64` and with `inFlight: 1`. Traffic stays on loopback.

    uv run --no-sync python benchmarks/plant.py
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
from assistant.postgres import running_postgres
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sectum import pipeline
from sectum.scenario import Scenario, parse
from sectum.store import local_store

DELAY_EACH_WAY = 0.010
USERS = [("acme", "alice"), ("acme", "amir"), ("globex", "bob"), ("globex", "bea"), ("initech", "carol")]
DOCUMENTS = 2000
TRIALS = 200
RESULT = Path(__file__).with_suffix(".md")


def main() -> None:
    """Run both, check that both passed, write the figures beside this file."""
    with tempfile.TemporaryDirectory() as name, running_postgres(Path(name)) as postgres:
        passwords = {who: secrets.token_hex(16) for who in USERS}
        with psycopg.connect(postgres.admin_dsn) as admin:
            create(admin, passwords)
        seconds = {}
        for in_flight in (64, 1):
            out = Path(name) / f"out-{in_flight}"
            out.mkdir()
            seconds[in_flight] = asyncio.run(timed(postgres.port, passwords, in_flight=in_flight, out=out))
            print(f"inFlight {in_flight}: {seconds[in_flight]:.1f} s", flush=True)
    RESULT.write_text(report(seconds[64], seconds[1]))
    print(RESULT.read_text())


def create(admin: psycopg.Connection, passwords: dict[tuple[str, str], str]) -> None:
    """A table of notes that shows each role its own rows."""
    admin.execute("CREATE EXTENSION IF NOT EXISTS vector")
    admin.execute("CREATE TABLE notes (id uuid PRIMARY KEY, owner text NOT NULL, body text, embedding vector(256))")
    admin.execute("ALTER TABLE notes ENABLE ROW LEVEL SECURITY")
    admin.execute("CREATE POLICY own ON notes USING (owner = current_user) WITH CHECK (owner = current_user)")
    for (tenant, user), password in passwords.items():
        admin.execute(f"CREATE ROLE {tenant}_{user} LOGIN PASSWORD '{password}'")
        admin.execute(f"GRANT SELECT, INSERT, DELETE ON notes TO {tenant}_{user}")


def scenario(port: int, *, in_flight: int) -> Scenario:
    """Five roles; 400 documents each; two phrasings and five repeats for each of the twenty pairs."""
    tenants: dict[str, list[dict[str, str]]] = {}
    for tenant, user in USERS:
        tenants.setdefault(tenant, []).append({"name": user})
    return parse(
        {
            "apiVersion": "sectum.ai/v1alpha1",
            "kind": "IsolationScenario",
            "metadata": {"name": "benchmark"},
            "spec": {
                "tenants": [{"name": name, "users": users} for name, users in tenants.items()],
                "surfaces": [
                    {
                        "name": "vectors",
                        "kind": "vector-db",
                        "attacks": ["entity-bleed"],
                        "credentials": {"secretRef": {"name": "sectum-surface-vectors-pw", "key": "{tenant}.{user}"}},
                        "adapter": {
                            "pgvector": {
                                "host": "127.0.0.1",
                                "port": port,
                                "dbname": "postgres",
                                "role": "{tenant}_{user}",
                                "table": "notes",
                                "columns": {"id": "id", "text": "body", "vector": "embedding"},
                                "dimensions": 256,
                                "values": {"owner": "{tenant}_{user}"},
                            }
                        },
                        "budget": {"requests": 20000, "writes": 10000, "inFlight": in_flight},
                    }
                ],
                "trials": {"markersPerUser": DOCUMENTS // len(USERS), "perPair": 5},
                "manifest": {"key": {"unsafeLocalKey": {"secretRef": {"name": "sectum-key-manifest", "key": "key"}}}},
                "evidence": {"signer": {"ecKey": {"secretRef": {"name": "sectum-signer-bench", "key": "private.pem"}}}},
            },
        }
    )


async def timed(port: int, passwords: dict[tuple[str, str], str], *, in_flight: int, out: Path) -> float:
    """Seconds of one whole run through the proxy; it must pass, plant and try all that it should."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def secret(name: str, field: str) -> bytes:
        if name == "sectum-key-manifest":
            return b"\x07" * 32
        if name == "sectum-signer-bench":
            return key
        tenant, user = field.split(".")
        return passwords[tenant, user].encode()

    async with slow_proxy(port) as far:
        began = time.monotonic()
        ended = await pipeline.run(
            scenario(far, in_flight=in_flight), secret=secret, store=local_store(out), observe=lambda _step: None
        )
        seconds = time.monotonic() - began
    [surface] = ended.run["surfaces"]
    assert (ended.outcome, surface["planted"], surface["removed"]) == ("Pass", DOCUMENTS, DOCUMENTS), surface
    assert len(ended.run["rows"]) == TRIALS
    return seconds


@contextlib.asynccontextmanager
async def slow_proxy(port: int) -> AsyncIterator[int]:
    """A TCP proxy on the loopback interface that delivers every byte 10 ms late, each way; yields its port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await line.get()
                await asyncio.sleep(max(0, due - loop.time()))
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()

        delivery = asyncio.create_task(deliver())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                line.put_nowait((loop.time() + DELAY_EACH_WAY, data))
        line.put_nowait((loop.time(), b""))
        with contextlib.suppress(ConnectionError):
            await delivery

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def report(concurrent: float, serial: float) -> str:
    """The figures as a page."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return f"""# Planting and probing over a slow network

One PostgreSQL (pgserver) behind a proxy that adds 20 ms a round trip. {DOCUMENTS:,} documents planted, read back and
removed, {TRIALS} trials of four arms, five roles; a whole run: manifest, records, signature, report included.

| | seconds | |
|---|---|---|
| `inFlight: 64` | {concurrent:.1f} | 1 |
| `inFlight: 1` (serial) | {serial:.1f} | {serial / concurrent:.1f} times as long |

For comparison: the field's peer takes 75 s for planting 2,000 documents and 200 trials on such a line (measured
elsewhere, not in this run); a tenth of that was aimed at.

Repeat: `uv run --no-sync python benchmarks/plant.py`. Commit {commit.stdout.strip()},
Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()},
load at the end {os.getloadavg()[0]:.1f}.
"""


if __name__ == "__main__":
    main()
