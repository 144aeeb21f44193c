"""Bytes and a name -> an object that is written once, whole or not at all, and never changed.

Kills and crashes: obstore's local store writes `<name>#<n>`, then hard-links it to `<name>`, which fails where the name
is taken, and unlinks the first (seen with strace, obstore 0.12). So a process killed at any point leaves either the
whole object or none; a stray `<name>#<n>` is listed by nobody and never read. It does not fsync: after a power cut an
object that was just created may be missing or short, which the reader's digests and signatures then show.

Retries are ours, not obstore's: a put whose answer was lost may have been done, and then the next try meets its own
object. obstore says AlreadyExists to that, and to S3's 409 too, which is no object but another put under way.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, UnauthenticatedError
from obstore.store import LocalStore, ObjectStore

from sectum.codec import sha256
from sectum.errors import AlreadyStored, NotStored, StoreFault
from sectum.ports import Store

AT_ONCE = 16
"""How many objects are read at the same time."""
_PAUSES = (0.25, 1.0, 4.0)
"""Seconds before each further try."""
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_STATUS = re.compile(r"Server returned non-2xx status code: ([0-9]{3})")
_K = TypeVar("_K")
_T = TypeVar("_T")


class ObjectStoreOf:
    """A Store on whatever obstore reaches.

    Its blocking calls run in threads of ours: the tasks of its async calls outlive the event loop, and now and then
    abort the interpreter while it shuts down (obstore 0.12.1, seen in one of four calls of `sweep-orphans`).
    """

    def __init__(self, objects: ObjectStore, *, pauses: tuple[float, ...] = _PAUSES) -> None:
        self._objects, self._pauses = objects, pauses
        # asyncio's own threads are four more than the cores, and the key service's calls run in them too.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="store")

    async def create(self, name: str, data: bytes) -> str:
        """See Store; what an earlier try of the same call has stored counts as this one's."""
        what, tries = f"{_checked(name)} cannot be stored", 0

        def put() -> None:
            nonlocal tries
            tries += 1
            obstore.put(self._objects, name, data, mode="create")

        try:
            await self._tried(what, put)
        except AlreadyExistsError:
            if tries == 1 or await self.read(name) != data:
                raise AlreadyStored(f"{name} is already there; objects are written once") from None
        except FileNotFoundError as error:
            raise _fault(what, error) from None
        try:
            digest = sha256(await self.read(name))
        except NotStored:
            raise StoreFault(f"{name} was stored and is not there", temporary=False) from None
        if digest != sha256(data):
            raise StoreFault(f"{name} reads back as other bytes than were stored", temporary=False)
        return digest

    async def read(self, name: str) -> bytes:
        """See Store."""
        what = f"{_checked(name)} cannot be read"
        try:
            return await self._tried(what, lambda: bytes(obstore.get(self._objects, name).bytes()))
        except FileNotFoundError as error:
            if "<Code>NoSuchBucket</Code>" in str(error):
                raise _fault(what, error) from None
            raise NotStored(f"{name} is not in the store") from None

    async def names(self, prefix: str) -> list[str]:
        """See Store."""
        what, within = f"{prefix or 'the store'} cannot be listed", prefix.rstrip("/") + "/" if prefix else ""
        try:
            listed = await self._tried(what, lambda: list(obstore.list(self._objects, prefix=prefix)))
        except FileNotFoundError as error:
            raise _fault(what, error) from None
        # S3's console makes an empty object `series/` when asked for a folder, which would be listed as `series`.
        return sorted(each["path"] for batch in listed for each in batch if each["path"].startswith(within))

    async def _tried(self, what: str, ask: Callable[[], _T]) -> _T:
        """What `ask` gives, tried again where that may help; raises as `_once` does."""
        for pause in self._pauses:
            try:
                return await self._once(what, ask)
            except StoreFault as fault:
                if not fault.temporary:
                    raise
            await asyncio.sleep(pause)
        return await self._once(what, ask)

    async def _once(self, what: str, ask: Callable[[], _T]) -> _T:
        """What `ask` gives; raises AlreadyExistsError and FileNotFoundError, and StoreFault for all else."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except FileNotFoundError:
            raise
        except (BaseError, OSError, ValueError, NotImplementedError) as error:
            if isinstance(error, AlreadyExistsError) and status_of(error) != 409:
                raise
            raise _fault(what, error) from None


async def keep(store: Store, name: str, data: bytes) -> str:
    """Create the object, or find the very same bytes under its name; raises AlreadyStored for others, StoreFault.

    For what has to be there, whoever of several attempts stored it. Not for a claim that only one may win.
    """
    try:
        return await store.create(name, data)
    except AlreadyStored:
        if await store.read(name) != data:
            raise
        return sha256(data)


async def read_all(store: Store, names: Sequence[str]) -> list[bytes]:
    """The objects in the order of their names, some at a time; raises as reading one does."""
    return await each_of(names, store.read, at_once=AT_ONCE)


async def each_of(keys: Iterable[_K], get: Callable[[_K], Awaitable[_T]], *, at_once: int) -> list[_T]:
    """What `get` gives for each key, in their order, no more than that many at a time."""
    leave = asyncio.Semaphore(at_once)

    async def one(key: _K) -> _T:
        async with leave:
            return await get(key)

    return await asyncio.gather(*map(one, keys))


def _checked(name: str) -> str:
    """obstore would put `a/` and `/a` at `a`, and an empty name beside the prefix."""
    if not _NAME.fullmatch(name):
        raise StoreFault(
            "the name of an object is made of letters, digits and -_. between single slashes", temporary=False
        )
    return name


def status_of(error: Exception) -> int:
    """The HTTP status that an error of obstore's is about; 0: none."""
    found = _STATUS.search(str(error))  # the first: what the server said stands behind it
    return int(found[1]) if found else 0


def _fault(what: str, error: Exception) -> StoreFault:
    """An error of obstore's in our words: it repeats the server's, with URLs and more."""
    status, said = status_of(error), str(error)
    if status == 404 or isinstance(error, FileNotFoundError):
        return StoreFault(f"{what}: there is no such bucket or folder", temporary=False)
    if status in (401, 403):
        return StoreFault(f"{what}: the store denies it (HTTP {status})", temporary=False)
    if status in (408, 409, 429) or (status >= 500 and status != 501):
        return StoreFault(f"{what}: the store failed (HTTP {status}); trying again may help", temporary=True)
    if status:
        return StoreFault(f"{what}: the store refuses it (HTTP {status})", temporary=False)
    if isinstance(error, UnauthenticatedError):
        none = "NoCredentials" in said
        why = "no credentials for it were found" if none else "the source of its credentials failed"
        return StoreFault(f"{what}: {why}", temporary=not none)
    if "redirect without LOCATION" in said:
        return StoreFault(f"{what}: the bucket is in another region", temporary=False)
    if "InvalidCertificate" in said:
        return StoreFault(f"{what}: the store's certificate is not trusted here", temporary=False)
    if "HTTP error:" in said:
        return StoreFault(f"{what}: the store cannot be reached; trying again may help", temporary=True)
    return StoreFault(f"{what} ({type(error).__name__})", temporary=False)


def local_store(folder: Path) -> ObjectStoreOf:
    """A Store in a folder that exists; files get the modes of the process's umask, so make the folder 0700."""
    return ObjectStoreOf(LocalStore(folder))
