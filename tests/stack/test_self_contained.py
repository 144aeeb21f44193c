"""Nothing starts a program or opens a connection: model, cache, tools, an agent's memory, notes, the queue."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from assistant.machine import unsupported

from tests.stack.running import STACK, running_stack

BAN = """
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

"""

CACHE = """
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

TOOLS = """
import asyncio
from pathlib import Path

import assistant.serve  # all that the service imports
from assistant.config import load_settings
from assistant.embedding import Embedder
from assistant.tools import NoteTools, create_tools_server

settings = load_settings(Path(sys.argv[1]))
tools = NoteTools(notes=None, embedder=Embedder(), security=settings.security, limits=settings.limits)
assert len(asyncio.run(create_tools_server(tools).list_tools())) == 6
print("done")
"""

# The database is the one thing that it takes; libpq opens that connection, which the ban does not see.
AGENT = """
import time
from pathlib import Path

from assistant.agent import load_libraries, running_agent

directory, config, database = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
load_libraries(directory)

from psycopg_pool import ConnectionPool
import assistant.serve  # all that the service imports
from assistant.access import Identity, own
from assistant.config import load_settings
from assistant.documents import Documents
from assistant.embedding import Embedder
from assistant.ingestion import running_ingestion

settings = load_settings(config, ["memory.consolidate_seconds=0.05"])
embedder, alice = Embedder(), Identity("acme", "alice")

def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

with (
    ConnectionPool(database, kwargs={"autocommit": True}, open=False) as pool,
    running_agent(settings, pool=pool, embedder=embedder) as agent,
    running_ingestion(documents=Documents(pool), embedder=embedder, security=settings.security) as ingestion,
):
    key = agent.remember(alice, title="Copper kettle festival", text="The reference is CK-1.")
    wait_until(lambda: len(agent.memories.recall(alice, "copper kettle festival", limit=5)) == 2)
    assert "CK-1" in agent.conversations.say(alice, "trip", "What is the reference for the copper kettle festival?")
    assert len(agent.conversations.own(alice, limit=5)[0].messages) == 2
    assert agent.conversations.delete(alice, "trip")
    assert agent.memories.delete(alice, key)
    note = agent.notes.add(alice, title="Copper kettle festival", text="The reference is CK-2.")
    assert agent.notes.search(alice, "copper kettle festival", limit=5) == [agent.notes.get(alice, note)]
    assert agent.notes.newest(alice, limit=5) == [agent.notes.get(alice, note)]
    assert agent.notes.delete(alice, note)
    upload = ingestion.submit(alice, title="Copper kettle festival", text="The reference is CK-3.")
    wait_until(lambda: Documents(pool).get(own(alice), upload) is not None)
print("done")
"""

needs_machine = pytest.mark.skipif(
    unsupported(sys.platform, tuple(sys.version_info[:3])) is not None, reason="the stack cannot run here"
)


def run(script: str, directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # An empty PATH and home: nothing that was downloaded before can be found.
    environment = {"PATH": "", "HOME": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", BAN + script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=directory,
    )


@needs_machine
def test_the_cache_path_spawns_nothing_and_connects_to_nothing(tmp_path: Path) -> None:
    done = run(CACHE, tmp_path, str(tmp_path / "cache"))
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert os.listdir(tmp_path) == ["cache"]


@needs_machine
def test_loading_and_listing_the_tools_spawns_nothing_and_connects_to_nothing(tmp_path: Path) -> None:
    done = run(TOOLS, tmp_path, str(STACK / "hardened.toml"))
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert os.listdir(tmp_path) == []


@needs_machine
def test_memory_notes_and_queue_spawn_nothing_and_connect_to_the_database_only(tmp_path: Path) -> None:
    with running_stack() as stack:
        done = run(AGENT, tmp_path, str(tmp_path), str(STACK / "hardened.toml"), stack.admin_dsn)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    # mem0 keeps its own settings there; none of what was noted.
    assert [path.name for path in tmp_path.rglob("*")] == ["mem0", "config.json"]


@pytest.mark.parametrize("script", [CACHE, TOOLS, AGENT])
def test_the_ban_is_in_force(tmp_path: Path, script: str) -> None:
    done = run(script, tmp_path, "--provoke")
    assert done.returncode == 9
    assert "forbidden: subprocess.Popen" in done.stderr
