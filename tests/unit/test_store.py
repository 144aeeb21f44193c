"""The store: written once, read back, and never half there."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sectum import store
from sectum.codec import sha256
from sectum.errors import AlreadyStored, NotStored, StoreFault


def test_what_was_created_is_read_and_listed(tmp_path: Path) -> None:
    async def play() -> None:
        objects = store.local_store(tmp_path)
        assert await objects.names("series/") == []
        assert await objects.create("series/000002.json", b"two") == sha256(b"two")
        await objects.create("series/000001.json", b"one")
        await objects.create("other/1", b"")
        assert await objects.names("series/") == ["series/000001.json", "series/000002.json"]
        assert await objects.read("series/000002.json") == b"two"
        assert await objects.read("other/1") == b""

    asyncio.run(play())


def test_an_object_is_written_once(tmp_path: Path) -> None:
    async def play() -> None:
        objects = store.local_store(tmp_path)
        await objects.create("a/b", b"first")
        for data in (b"first", b"second"):
            with pytest.raises(AlreadyStored):
                await objects.create("a/b", data)
        assert await objects.read("a/b") == b"first"

    asyncio.run(play())


def test_of_many_who_create_one_name_at_once_one_succeeds(tmp_path: Path) -> None:
    async def play() -> None:
        objects = store.local_store(tmp_path)
        tries = [objects.create("a", str(number).encode()) for number in range(16)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(each, AlreadyStored) for each in results) == 15
        [digest] = [each for each in results if isinstance(each, str)]
        assert sha256(await objects.read("a")) == digest

    asyncio.run(play())


def test_what_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(NotStored):
        asyncio.run(store.local_store(tmp_path).read("a"))


@pytest.mark.parametrize("name", ["../a", "a/../../b", "a//b", ""])
def test_no_name_leads_out_of_the_store(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "store"
    inside.mkdir()
    with pytest.raises(StoreFault):
        asyncio.run(store.local_store(inside).create(name, b"x"))
    assert [each.name for each in tmp_path.iterdir()] == ["store"]


def test_other_bytes_read_back_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = store.local_store(tmp_path)

    async def wrong(_name: str) -> bytes:
        return b"other"

    monkeypatch.setattr(objects, "read", wrong)
    with pytest.raises(StoreFault, match="reads back as other bytes"):
        asyncio.run(objects.create("a", b"x"))


WRITER = """
import asyncio, sys
from pathlib import Path
from sectum.codec import sha256
from sectum.store import local_store

async def main() -> None:
    objects = local_store(Path(sys.argv[1]))
    print("ready", flush=True)
    for number in range(10_000):
        data = bytes([number % 256]) * 4_000_000
        await objects.create(f"objects/{number:05d}-{sha256(data)}", data)

asyncio.run(main())
"""


def test_a_writer_that_is_killed_leaves_whole_objects_or_none(tmp_path: Path) -> None:
    chance = random.Random(3)
    objects = store.local_store(tmp_path)
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(chance.uniform(0.01, 0.25))
            writer.send_signal(signal.SIGKILL)
    names = asyncio.run(objects.names(""))
    assert names
    for name in names:
        assert sha256(asyncio.run(objects.read(name))) == name.rsplit("-", 1)[1]
