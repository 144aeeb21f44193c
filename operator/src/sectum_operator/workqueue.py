"""Keys that need a look -> one look at a time for each: again after a while, after a failure, or when asked meanwhile.

https://pkg.go.dev/k8s.io/client-go/util/workqueue is what this is for controllers in Go.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from sectum.errors import SectumError

log = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)


class WorkQueue(Generic[Key]):
    """`look(key)` returns after how many seconds to look again, None for never; when it raises, it is asked again."""

    def __init__(
        self, look: Callable[[Key], Awaitable[float | None]], *, workers: int = 16, first: float = 0.5,
        longest: float = 120.0, chance: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self._look, self._workers, self._chance = look, workers, chance
        self._first, self._longest = first, longest
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._pushed = 0
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are due some time, or looked at now."""
        return len(self._due.keys() | self._busy)

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
            self._busy.add(key)
            group.create_task(self._one(key))
        return None

    async def _one(self, key: Key) -> None:
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
            self._failures.pop(key, None)
        self._busy.discard(key)
        if key in self._due:
            self._push(key)
        if after is not None:
            self.add(key, after=after)
        self._changed.set()

    def _backoff(self, failures: int) -> float:
        """Doubled each time; half of it by chance, so that what failed together is not tried together."""
        doubled = min(self._first * 2.0 ** min(failures - 1, 30), self._longest)
        return doubled * (0.5 + self._chance() / 2)
