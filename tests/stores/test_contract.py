"""What every Store promises, asked of each kind in turn."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sectum.codec import sha256
from sectum.errors import AlreadyStored, NotStored, StoreFault
from sectum.ports import Store
from sectum.store import keep, local_store
from sectum.testing import MemoryStore

from tests.stores.s3_server import opened

KINDS = ("local", "memory", "s3")


@pytest.fixture(params=KINDS)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "local":
        return local_store(tmp_path)
    if request.param == "memory":
        return MemoryStore()
    return opened(request.getfixturevalue("s3").endpoint, prefix=f"contract/{secrets.token_hex(8)}")


def played(play: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await play()

    asyncio.run(main())


def test_what_was_created_is_read_and_listed(objects: Store) -> None:
    async def play() -> None:
        assert await objects.names("series/") == await objects.names("") == []
        assert await objects.create("series/000002.json", b"two") == sha256(b"two")
        await objects.create("series/000001.json", b"one")
        await objects.create("other/1", b"")
        assert await objects.names("series/") == ["series/000001.json", "series/000002.json"]
        assert await objects.read("series/000002.json") == b"two"
        assert await objects.read("other/1") == b""

    played(play)


def test_a_prefix_is_of_whole_segments(objects: Store) -> None:
    async def play() -> None:
        names = ["work/run-1/a", "work/run-1/b/c", "work/run-10/a", "work/run-1.json", "work-2/a", "top"]
        for name in names:
            await objects.create(name, name.encode())
        for prefix, found in {
            "work/run-1/": ["work/run-1/a", "work/run-1/b/c"],
            "work/run-1": ["work/run-1/a", "work/run-1/b/c"],
            "work/run-1/b/": ["work/run-1/b/c"],
            "work/run": [],
            "work/run-1/a": [],
            "work/run-1/a/": [],
            "top": [],
            "nothing/": [],
            "": sorted(names),
        }.items():
            assert await objects.names(prefix) == found, prefix

    played(play)


def test_an_object_is_written_once(objects: Store) -> None:
    async def play() -> None:
        await objects.create("a/b", b"first")
        for data in (b"first", b"second"):
            with pytest.raises(AlreadyStored):
                await objects.create("a/b", data)
        assert await objects.read("a/b") == b"first"

    played(play)


def test_the_very_same_bytes_may_be_kept_again_and_no_others(objects: Store) -> None:
    async def play() -> None:
        for _ in range(2):
            assert await keep(objects, "a/b", b"record") == sha256(b"record")
        with pytest.raises(AlreadyStored):
            await keep(objects, "a/b", b"another record")
        assert await objects.read("a/b") == b"record"

    played(play)


def test_of_many_who_create_one_name_at_once_one_succeeds(objects: Store) -> None:
    async def play() -> None:
        tries = [objects.create("a", str(number).encode()) for number in range(8)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(each, AlreadyStored) for each in results) == 7, results
        [digest] = [each for each in results if isinstance(each, str)]
        assert sha256(await objects.read("a")) == digest

    played(play)


def test_of_many_who_create_the_same_bytes_at_once_one_succeeds_too(objects: Store) -> None:
    async def play() -> None:
        results = await asyncio.gather(*(objects.create("a", b"x") for _ in range(8)), return_exceptions=True)
        assert sum(isinstance(each, AlreadyStored) for each in results) == 7, results

    played(play)


def test_what_is_not_there_is_said_to_be(objects: Store) -> None:
    with pytest.raises(NotStored):
        asyncio.run(objects.read("a"))


def test_megabytes_come_back_as_they_were(objects: Store) -> None:
    data = secrets.token_bytes(12 << 20)  # obstore uploads in parts from 5 MB on, unless it has to create

    async def play() -> None:
        assert await objects.create("packs/a.zip", data) == sha256(data)
        assert await objects.read("packs/a.zip") == data
        with pytest.raises(AlreadyStored):
            await objects.create("packs/a.zip", data[:-1])

    played(play)


BAD_NAMES = ["../a", "a/../../b", "a//b", "", "/a", "a/", ".", "a b", "a#1", "a%2Fb", "ä", "a\n", "a\\b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_name_leads_out_of_the_store_or_to_another_object(objects: Store, name: str, tmp_path: Path) -> None:
    if isinstance(objects, MemoryStore):
        return
    for play in (objects.create(name, b"x"), objects.read(name)):
        with pytest.raises(StoreFault):
            asyncio.run(play)
    assert list(tmp_path.iterdir()) == []
