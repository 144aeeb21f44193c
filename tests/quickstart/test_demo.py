"""The demo finds the leaks of one build and none in the other, as `make demo` runs it once everything is installed."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from assistant.machine import unsupported

from tests.quickstart.quick import QUICKSTART, ROOT, demo

SECONDS = 300


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo printed; it exits 0. It writes where a copy of its folder stands, not into this checkout."""
    if reason := unsupported(sys.platform, tuple(sys.version_info[:3])):
        pytest.skip(f"the quickstart's stack cannot run here: {reason}")
    for port in (demo().HTTP_PORT, demo().POSTGRES_PORT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port}, which the demo needs, is in use: is another demo running?")
    here = tmp_path_factory.mktemp("demo")
    here.chmod(0o711)
    # A folder of links stands for the checkout: what the demo writes goes to demo-out/ in it.
    (here / "examples" / "quickstart").mkdir(parents=True)
    for name in ("demo.py", "scenario.yaml", "stack"):
        original, copy = QUICKSTART / name, here / "examples" / "quickstart" / name
        if name == "demo.py":
            copy.write_bytes(original.read_bytes())
        else:
            copy.symlink_to(original)
    command = [sys.executable, "examples/quickstart/demo.py"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    packs = sorted(path.relative_to(here).parts[:2] for path in here.glob("demo-out/*/packs/*.zip"))
    assert packs == [("demo-out", "hardened"), ("demo-out", "leaky")]
    return done.stdout


def test_it_prints_both_scorecards(said: str) -> None:
    leaky, hardened = said.index("━━ The leaky build"), said.index("━━ The hardened build")
    end = said.index("━━ What you saw")
    assert leaky < hardened < end
    assert re.search(r"^✗ Leak +quickstart · \d+ trials · \d+ findings", said[leaky:hardened], re.MULTILINE)
    assert re.search(r"^✓ Pass +quickstart · \d+ trials · 0 findings", said[hardened:end], re.MULTILINE)
    surfaces = [
        surface["name"] for surface in yaml.safe_load((QUICKSTART / "scenario.yaml").read_text())["spec"]["surfaces"]
    ]
    for part, mark, other in ((said[leaky:hardened], "✗ Leak", "✓ Pass"), (said[hardened:end], "✓ Pass", "✗ Leak")):
        rows = re.findall(rf"^({'|'.join(surfaces)}) +\S+ +(?:users|tenants) +(\S+ \S+)", part, re.MULTILINE)
        assert {surface for surface, _ in rows} == set(surfaces)
        assert [row for row in rows if row[1] != mark] == []
        assert len(rows) == 28
        assert f"{other} " not in part


def test_it_verifies_both_packs(said: str) -> None:
    parts = said.split("$ sectum verify ")[1:]
    assert len(parts) == 2
    for part in parts:
        assert "✗" not in part.split("━━")[0]
        assert part.count("✓") > 5


def test_it_says_what_to_try_next_and_every_command_before_it_runs(said: str) -> None:
    assert [line.split()[2] for line in said.splitlines() if line.startswith("$ sectum ")] == [
        word for _ in range(2) for word in ("keygen", "run", "verify")
    ]
    following = said.partition("━━ What to try next")[2]
    for what in ("sectum plan -f examples/quickstart/scenario.yaml", "your own stack", "the cluster"):
        assert what in following
    assert (ROOT / "examples/quickstart/scenario.yaml").exists()


@pytest.mark.parametrize(
    ("platform", "version", "found"),
    [
        ("linux", (3, 13, 0), "linux with Python 3.13"),
        ("linux", (3, 10, 9), "linux with Python 3.10"),
        ("darwin", (3, 12, 1), "darwin with Python 3.12"),
    ],
)
def test_where_its_parts_cannot_run_it_says_so_and_exits_2(
    platform: str, version: tuple[int, ...], found: str, tmp_path: Path
) -> None:
    script = (
        "import runpy, sys\n"
        f"sys.version_info, sys.platform = {version!r}, {platform!r}\n"
        f"runpy.run_path({str(QUICKSTART / 'demo.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"make demo: its PostgreSQL (pgserver) needs Linux with Python 3.11 or 3.12, this is {found}; "
        "try UV_PYTHON=3.12 make demo\n"
    )
    assert os.listdir(tmp_path) == []
