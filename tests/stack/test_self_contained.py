"""Loading the model and asking the cache starts no program and opens no connection."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from assistant.machine import unsupported

SCRIPT = """
import sys

FORBIDDEN = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn",
             "socket.connect", "socket.getaddrinfo", "socket.gethostbyname")

def refuse(event, arguments):
    if event.startswith(FORBIDDEN):
        # A library may swallow an exception; nothing swallows this.
        print(f"forbidden: {event} {arguments}", file=sys.stderr, flush=True)
        import os
        os._exit(9)

sys.addaudithook(refuse)
if "--provoke" in sys.argv:
    import gptcache.utils
    gptcache.utils.import_milvus_lite()

from pathlib import Path, PurePath
import uuid
import assistant.serve  # all that the service imports
from assistant.cache import Answer, SemanticCache, Source
from assistant.config import CacheSettings
from assistant.embedding import Embedder

cache = SemanticCache(Path(sys.argv[1]), embedder=Embedder(), settings=CacheSettings(similarity=0.95, entries=10))
space, key = PurePath("acme", "alice"), uuid.uuid4()
assert cache.get(space, "What is the reference for the copper kettle festival?") is None
cache.put(space, "What is the reference for the copper kettle festival?", Answer("text", (Source(str(key), "t"),)))
assert cache.get(space, "Tell me the reference of the copper kettle festival").text == "text"
assert cache.get(space, "What is the reference for the northern glacier archive?") is None
for number in range(40):  # past the point where entries are evicted and the index is written
    cache.put(space, f"question {uuid.uuid4()}", Answer("other", ()))
cache.forget(key)
assert cache.get(space, "What is the reference for the copper kettle festival?") is None
print("done")
"""


def run(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # An empty PATH and home: nothing that was downloaded before can be found.
    environment = {"PATH": "", "HOME": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(directory / "cache"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=directory,
    )


@pytest.mark.skipif(
    unsupported(sys.platform, tuple(sys.version_info[:3])) is not None, reason="the stack cannot run here"
)
def test_the_cache_path_spawns_nothing_and_connects_to_nothing(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert os.listdir(tmp_path) == ["cache"]


def test_the_ban_is_in_force(tmp_path: Path) -> None:
    done = run(tmp_path, "--provoke")
    assert done.returncode == 9
    assert "forbidden: subprocess.Popen" in done.stderr
