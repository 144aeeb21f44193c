"""The work queue: one look at a time for each key, none lost, failures later and later."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable

import pytest
from sectum.errors import SectumError
from sectum_operator.workqueue import WorkQueue

Look = Callable[[str], Awaitable[float | None]]


async def come_to_pass(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110  (the queue has nothing that tells)
            await asyncio.sleep(0.001)


async def for_a_while(queue: WorkQueue[str], *, until: Callable[[], bool]) -> None:
    task = asyncio.create_task(queue.run())
    await come_to_pass(until)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_key_asked_for_many_times_is_looked_at_once_and_once_more_when_asked_meanwhile() -> None:
    async def go() -> None:
        seen: list[str] = []
        busy, most = 0, 0

        async def look(key: str) -> None:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            seen.append(key)
            if len(seen) == 1:
                for _ in range(5):
                    queue.add("a")
            await asyncio.sleep(0.005)
            busy -= 1

        queue: WorkQueue[str] = WorkQueue(look)
        for _ in range(5):
            queue.add("a")
        await for_a_while(queue, until=lambda: len(seen) >= 2 and not len(queue))
        assert seen == ["a", "a"]
        assert most == 1

    asyncio.run(go())


def test_no_more_keys_are_looked_at_at_once_than_there_are_workers() -> None:
    async def go() -> None:
        busy, most, done = 0, 0, 0

        async def look(_key: str) -> None:
            nonlocal busy, most, done
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.002)
            busy -= 1
            done += 1

        queue: WorkQueue[str] = WorkQueue(look, workers=3)
        for number in range(20):
            queue.add(str(number))
        await for_a_while(queue, until=lambda: done == 20)
        assert most == 3

    asyncio.run(go())


def test_a_look_may_ask_for_another_and_the_earlier_of_two_times_counts() -> None:
    async def go() -> None:
        times: list[float] = []

        async def look(_key: str) -> float | None:
            times.append(asyncio.get_running_loop().time())
            return 0.02 if len(times) < 3 else None

        queue: WorkQueue[str] = WorkQueue(look)
        queue.add("a", after=60)
        queue.add("a", after=0.01)
        queue.add("a", after=30)
        await for_a_while(queue, until=lambda: len(times) == 3)
        assert times[1] - times[0] >= 0.019
        assert len(queue) == 0

    asyncio.run(go())


def test_a_key_that_fails_is_tried_later_and_later_and_keeps_no_other_from_its_turn() -> None:
    async def go() -> None:
        times: list[float] = []
        others: list[str] = []

        async def look(key: str) -> None:
            if key == "good":
                others.append(key)
                return
            times.append(asyncio.get_running_loop().time())
            if len(times) < 5:
                raise SectumError("not now") if len(times) % 2 else ValueError

        queue: WorkQueue[str] = WorkQueue(look, first=0.01, longest=0.04, chance=lambda: 1.0)
        queue.add("bad")
        queue.add("good")
        await for_a_while(queue, until=lambda: len(times) == 5)
        waits = [later - before for before, later in itertools.pairwise(times)]
        assert all(wait >= wanted * 0.99 for wait, wanted in zip(waits, (0.01, 0.02, 0.04, 0.04), strict=True))
        assert others == ["good"]

    asyncio.run(go())


def test_in_a_storm_every_key_is_looked_at_after_it_was_last_asked_for() -> None:
    async def go() -> None:
        chance = random.Random(7)
        asked: dict[str, int] = {}
        looked: dict[str, int] = {}
        running: set[str] = set()

        async def look(key: str) -> float | None:
            assert key not in running
            running.add(key)
            before = asked[key]
            await asyncio.sleep(chance.random() / 500)
            running.discard(key)
            if chance.random() < 0.2:
                raise SectumError("not now")
            looked[key] = before
            return None

        queue: WorkQueue[str] = WorkQueue(look, workers=4, first=0.001, longest=0.004)
        task = asyncio.create_task(queue.run())
        for number in range(600):
            key = str(chance.randrange(30))
            asked[key] = number
            queue.add(key, after=chance.random() / 200)
            if number % 10 == 0:
                await asyncio.sleep(0.001)
        await come_to_pass(lambda: looked == asked and not len(queue))
        task.cancel()

    asyncio.run(go())
