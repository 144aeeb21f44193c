"""The quickstart: run the same scenario against the leaky and the hardened build of ./stack, and verify both packs.

Everything it does is a command that you could type; each is printed before it runs. It writes to demo-out/ only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "demo-out"
SCENARIO = HERE / "scenario.yaml"
HTTP_PORT, POSTGRES_PORT = 8765, 8766
PASS, LEAK = 0, 10
START_SECONDS = 60


def main() -> int:
    """Run both builds; 0 only when the leaky one leaks, the hardened one passes and both packs verify."""
    if problem := unsupported():
        print(f"make demo: {problem}", file=sys.stderr)
        return 2
    shutil.rmtree(OUT, ignore_errors=True)
    began = time.monotonic()
    good, seconds = True, {}
    for build, expected in (("leaky", LEAK), ("hardened", PASS)):
        title(f"The {build} build")
        with running(build) as ready:
            write_secrets(ready, OUT / "secrets")
            sectum("keygen", "-f", SCENARIO, "--secrets", OUT / "secrets", quiet=True)
            started = time.monotonic()
            status = sectum("run", "-f", SCENARIO, "--secrets", OUT / "secrets", "--out", OUT / build)
            seconds[build] = time.monotonic() - started
        good &= status == expected
        [pack] = (OUT / build / "packs").glob("*.zip")
        [opened, _closed] = sorted((OUT / build / "series").iterdir())
        print()
        key = OUT / "secrets" / "sectum-signer-quickstart" / "private.pem.pub"
        good &= sectum("verify", pack, "--key", key, "--open", opened, "--allow-unanchored") == 0
    title("What you saw")
    print(
        f"  leaky build: leaks found in {seconds['leaky']:.1f} s; hardened build: none, in {seconds['hardened']:.1f} s;"
    )
    print(f"  the whole demo took {time.monotonic() - began:.0f} s. The packs, reports included, are in demo-out/.")
    title("What to try next")
    print("  .venv/bin/sectum plan -f examples/quickstart/scenario.yaml     what a run does, without doing it")
    print("  .venv/bin/sectum surfaces http                                how to describe your own endpoint")
    print("  your own stack: copy the scenario, change origin, paths and tenants, then `sectum check -f …`")
    print("  the cluster: make demo-cluster; the same YAML, with egress, a KMS key and stores")
    if not good:
        print("make demo: something above did not come out as it should", file=sys.stderr)
    return 0 if good else 1


def unsupported() -> str | None:
    """Why the demo's own parts cannot run here; Sectum itself needs only Python 3.11 or newer."""
    if not sys.platform.startswith("linux") or not (3, 11) <= sys.version_info[:2] <= (3, 12):
        found = f"{sys.platform} with Python {sys.version_info[0]}.{sys.version_info[1]}"
        needed = "its PostgreSQL (pgserver) needs Linux with Python 3.11 or 3.12"
        return f"{needed}, this is {found}; try UV_PYTHON=3.12 make demo"
    return None


@contextlib.contextmanager
def running(build: str) -> Iterator[dict[str, Any]]:
    """The assistant, started for the length of the block; yields what its ready.json says."""
    data = OUT / f"{build}-data"
    data.mkdir(parents=True)
    command = [
        sys.executable,
        "-m",
        "assistant",
        "serve",
        "--config",
        f"{HERE}/stack/{build}.toml",
        "--data",
        str(data),
    ]
    command += ["--port", str(HTTP_PORT), "--postgres-port", str(POSTGRES_PORT)]
    print(f"  starting the assistant ({build}.toml) …", flush=True)
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not (data / "ready.json").exists():
            if process.poll() is not None:
                raise SystemExit(
                    f"make demo: the assistant did not start (exit {process.returncode}); its error is above"
                )
            if time.monotonic() - started > START_SECONDS:
                raise SystemExit(f"make demo: the assistant was not ready within {START_SECONDS} s")
            time.sleep(0.05)
        print(f"  ready after {time.monotonic() - started:.1f} s\n", flush=True)
        yield json.loads((data / "ready.json").read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def write_secrets(ready: dict[str, Any], folder: Path) -> None:
    """Lay the users' credentials out as Kubernetes would mount them: DIR/<Secret>/<key>."""
    by_token = ("api", "chroma", "assistant", "cache", "memory", "threads", "notes", "ingestion")
    fields = {f"{surface}-tokens": "token" for surface in by_token}
    fields |= {"vectors-passwords": "password", "tools-tokens": "tools_token"}
    for name, field in fields.items():
        for user in ready["users"]:
            write_secret(folder / f"sectum-surface-{name}" / f"{user['tenant']}.{user['user']}", user[field].encode())
    # What the issuer signs with: tokens that must be refused are made with it.
    write_secret(folder / "sectum-surface-tools-issuer" / "signing.key", Path(ready["issuer"]["key_file"]).read_bytes())


def write_secret(path: Path, value: bytes) -> None:
    """A file that its owner alone can read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(value)


def sectum(*arguments: object, quiet: bool = False) -> int:
    """Show and run a sectum command; returns its exit status."""
    words = [str(argument) for argument in arguments]
    shown = " ".join(os.path.relpath(word, ROOT) if word.startswith(str(ROOT)) else word for word in words)
    print(f"$ sectum {shown}", flush=True)
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run([sys.executable, "-m", "sectum", *words], stdout=output, check=False).returncode


def title(text: str) -> None:
    """A heading."""
    print(f"\n━━ {text} " + "━" * max(0, 96 - len(text)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
