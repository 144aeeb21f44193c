"""The local store: never half there. What every store promises is in tests/stores/test_contract.py."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier

import pytest
from obstore.store import LocalStore
from sectum import store
from sectum.codec import sha256
from sectum.errors import NotStored, StoreFault
from sectum.store import AT_ONCE, local_store, read_all
from sectum.testing import MemoryStore


def test_other_bytes_read_back_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = store.local_store(tmp_path)

    async def wrong(_name: str) -> bytes:
        return b"other"

    monkeypatch.setattr(objects, "read", wrong)
    with pytest.raises(StoreFault, match="reads back as other bytes"):
        asyncio.run(objects.create("a", b"x"))


def test_a_folder_that_fails_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where a folder has to be")
    objects = store.ObjectStoreOf(LocalStore(tmp_path), pauses=(3600.0,))
    with pytest.raises(StoreFault) as fault:
        asyncio.run(objects.create("a/b", b"x"))
    assert not fault.value.temporary
    assert str(tmp_path) not in str(fault.value)


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


class Crowded(MemoryStore):
    """Counts how many read at the same time."""

    reading = most = 0

    async def read(self, name: str) -> bytes:
        self.reading += 1
        self.most = max(self.most, self.reading)
        await asyncio.sleep(0.001 * random.random())
        self.reading -= 1
        return await super().read(name)


def test_many_objects_are_read_some_at_a_time_and_come_in_order() -> None:
    crowded = Crowded()
    crowded.objects = {f"{number:03d}": str(number).encode() for number in range(50)}
    names = list(crowded.objects)[::-1]
    assert asyncio.run(read_all(crowded, names)) == [crowded.objects[name] for name in names]
    assert crowded.most == AT_ONCE
    with pytest.raises(NotStored):
        asyncio.run(read_all(crowded, [*names, "another"]))


def test_a_store_reads_as_many_at_once_as_are_asked_for(tmp_path: Path) -> None:
    """Whatever number of cores there is: a call of the store waits, it does not work."""
    together = Barrier(AT_ONCE)
    objects = local_store(tmp_path)

    async def go() -> None:
        await asyncio.gather(*(objects._once("x", lambda: together.wait(20)) for _ in range(AT_ONCE)))

    asyncio.run(go())
