"""Keys that need a look -> one look at a time for each: again after a while, after a failure, or when asked meanwhile.

https://pkg.go.dev/k8s.io/client-go/util/workqueue is what this is for controllers in Go.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

from sectum.errors import SectumError

log = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)
Told = TypeVar("Told", contravariant=True)


class Looked(Protocol[Told]):
    """Is told of a look: how long after it was due it began, and how long it took, in seconds."""

    def __call__(self, key: Told, /, *, lag: float, took: float, failed: bool) -> None:
        """See above."""
        ...


def _unheard(_key: object, /, *, lag: float, took: float, failed: bool) -> None:
    pass


class WorkQueue(Generic[Key]):
    """`look(key)` returns after how many seconds to look again, None for never; when it raises, it is asked again."""

    def __init__(
        self, look: Callable[[Key], Awaitable[float | None]], *, workers: int = 16, first: float = 0.5,
        longest: float = 120.0, chance: Callable[[], float] = random.random, looked: Looked[Key] = _unheard,
    ) -> None:  # fmt: skip
        self._look, self._workers, self._chance, self._looked = look, workers, chance, looked
        self._first, self._longest = first, longest
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._pushed = 0
        self._busy: dict[Key, float] = {}
        """What is looked at, and since when."""
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are due some time, or looked at now."""
        return len(self._due.keys() | self._busy.keys())

    def waits(self, now: float) -> tuple[float, ...]:
        """For how long keys have been due that are not looked at; for another thread, too, by the loop's clock."""
        busy = self._busy.copy()
        return tuple(now - at for key, at in self._due.copy().items() if at <= now and key not in busy)

    def looks(self, now: float) -> tuple[float, ...]:
        """For how long keys have been looked at."""
        return tuple(now - since for since in self._busy.copy().values())

    def add(self, key: Key, *, after: float = 0.0) -> None:
        """Look at the key once more, by then at the latest."""
        at = asyncio.get_running_loop().time() + after
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            self._push(key)

    def _push(self, key: Key) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (self._due[key], self._pushed, key))
        self._changed.set()

    async def run(self) -> None:
        """Look at what is due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                wait = self._begin(group)
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    def _begin(self, group: asyncio.TaskGroup) -> float | None:
        """Begin what is due and may begin; seconds until the next is due."""
        now = asyncio.get_running_loop().time()
        while self._heap and len(self._busy) < self._workers:
            at, _, key = self._heap[0]
            if self._due.get(key) != at or key in self._busy:  # asked for earlier, or put back when it is done
                heapq.heappop(self._heap)
                continue
            if at > now:
                return at - now
            heapq.heappop(self._heap)
            del self._due[key]
            self._busy[key] = now
            group.create_task(self._one(key, lag=now - at))
        return None

    async def _one(self, key: Key, *, lag: float) -> None:
        failed = True
        try:
            after = await self._look(key)
        except Exception as error:
            known = isinstance(error, SectumError)
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            after = self._backoff(failures)
            log.warning(
                "%s: %s; again in %.1f s", key, error if known else type(error).__name__, after,
                exc_info=None if known else error,
            )  # fmt: skip
        else:
            failed = False
            self._failures.pop(key, None)
        since = self._busy.pop(key)
        self._looked(key, lag=lag, took=asyncio.get_running_loop().time() - since, failed=failed)
        if key in self._due:
            self._push(key)
        if after is not None:
            self.add(key, after=after)
        self._changed.set()

    def _backoff(self, failures: int) -> float:
        """Doubled each time; half of it by chance, so that what failed together is not tried together."""
        doubled = min(self._first * 2.0 ** min(failures - 1, 30), self._longest)
        return doubled * (0.5 + self._chance() / 2)
