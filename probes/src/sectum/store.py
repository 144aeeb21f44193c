"""Bytes and a name -> an object that is written once, whole or not at all, and never changed.

Kills and crashes: obstore's local store writes `<name>#<n>`, then hard-links it to `<name>`, which fails where the name
is taken, and unlinks the first (seen with strace, obstore 0.12). So a process killed at any point leaves either the
whole object or none; a stray `<name>#<n>` is listed by nobody and never read. It does not fsync: after a power cut an
object that was just created may be missing or short, which the reader's digests and signatures then show.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore

from sectum.codec import sha256
from sectum.errors import AlreadyStored, NotStored, StoreFault


class ObjectStoreOf:
    """A Store on whatever obstore reaches.

    Its blocking calls run in threads of ours: the tasks of its async calls outlive the event loop, and now and then
    abort the interpreter while it shuts down (obstore 0.12.1, seen in one of four calls of `sweep-orphans`).
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def create(self, name: str, data: bytes) -> str:
        """See Store."""
        try:
            await asyncio.to_thread(obstore.put, self._objects, name, data, mode="create")
        except AlreadyExistsError:
            raise AlreadyStored(f"{name} is already there; objects are written once") from None
        except (BaseError, OSError, ValueError) as error:
            raise StoreFault(f"{name} cannot be stored ({type(error).__name__})") from None
        digest = sha256(await self.read(name))
        if digest != sha256(data):
            raise StoreFault(f"{name} reads back as other bytes than were stored")
        return digest

    async def read(self, name: str) -> bytes:
        """See Store."""
        try:
            return await asyncio.to_thread(lambda: bytes(obstore.get(self._objects, name).bytes()))
        except FileNotFoundError:
            raise NotStored(f"{name} is not in the store") from None
        except (BaseError, OSError, ValueError) as error:
            raise StoreFault(f"{name} cannot be read ({type(error).__name__})") from None

    async def names(self, prefix: str) -> list[str]:
        """See Store."""
        try:
            listed = await asyncio.to_thread(lambda: list(obstore.list(self._objects, prefix=prefix)))
            return sorted(each["path"] for batch in listed for each in batch)
        except (BaseError, OSError, ValueError) as error:
            raise StoreFault(f"{prefix} cannot be listed ({type(error).__name__})") from None


def local_store(folder: Path) -> ObjectStoreOf:
    """A Store in a folder that exists; files get the modes of the process's umask, so make the folder 0700."""
    return ObjectStoreOf(LocalStore(folder))
