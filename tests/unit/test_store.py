"""The local store: never half there. What every store promises is in tests/stores/test_contract.py."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from obstore.store import LocalStore
from sectum import store
from sectum.codec import sha256
from sectum.errors import StoreFault


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
