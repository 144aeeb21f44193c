"""One surface's limits -> leave for one more request: budget, places in flight, backoff, and a stop when it suffers."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import quantiles

from sectum.actions import AnswerKind, Reply, Verb
from sectum.reasons import Reason
from sectum.scenario import Budget

_LOG = logging.getLogger(__name__)

_RETRIED = frozenset({AnswerKind.THROTTLED, AnswerKind.SERVER_ERROR})
_BACKOFF_SECONDS = (0.2, 0.8, 2.4)
_FAILURES_RUNNING = 3
_WINDOW = 50
_SLOWDOWN = 3.0
_NOTICEABLE_SECONDS = 1.0
"""Below this a p95 is no suffering, whatever it was before: three times a millisecond is noise."""


class Stopped(Exception):
    """No further request on this surface; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as an argument: `now` grows in seconds, `busy` counts the seconds that this thread computed."""

    now: Callable[[], float]
    busy: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Spent:
    """What requests cost so far."""

    requests: int = 0
    writes: int = 0
    tokens: int = 0

    def since(self, then: Spent) -> Spent:
        """What was spent after `then`."""
        return Spent(self.requests - then.requests, self.writes - then.writes, self.tokens - then.tokens)


class Gate:
    """Counts and paces every request to one surface; once stopped it stays so.

    `spent` counts towards the budget: what earlier stages cost that another process played.
    """

    def __init__(self, budget: Budget, clock: Clock, spent: Spent = Spent()) -> None:
        self._budget = budget
        self._clock = clock
        self._places = asyncio.Semaphore(budget.in_flight)
        self._started: float | None = None
        self._first: dict[Verb | None, list[float]] = {}
        self._last: dict[Verb | None, deque[float]] = {}
        self._failures = 0
        self.stopped: Reason | None = None
        self.requests, self.writes = spent.requests, spent.writes
        self._characters = spent.tokens * 4

    @property
    def tokens(self) -> int:
        """Tokens of free text so far, four characters each."""
        return self._characters // 4

    @property
    def spent(self) -> Spent:
        """All of it."""
        return Spent(self.requests, self.writes, self.tokens)

    def count_text(self, characters: int) -> None:
        """Count free text of a question or an answer towards the token budget."""
        self._characters += characters

    async def send(
        self,
        request: Callable[[], Awaitable[Reply]],
        *,
        verb: Verb | None = None,
        write: bool = False,
        reserved: bool = False,
        requests: int = 1,
    ) -> Reply:
        """Do `request` within the limits, again after backoff on 429 and 5xx; raises Stopped, for a crash too.

        Several `requests` that have to be under way together take one place and count as many.
        A `reserved` request goes out although the gate is closed: the few that prove who was asking, so that a leak
        that was seen stands.
        """
        for pause in (*_BACKOFF_SECONDS, None):
            async with self._places:
                self._admit(write=write, reserved=reserved, requests=requests)
                began, computed = self._clock.now(), self._clock.busy()
                reply = await _answered(request)
                # What we computed meanwhile (scanning others' answers) is our slowness, not the surface's.
                self._note(self._clock.now() - began - (self._clock.busy() - computed), verb)
            if reply.kind not in _RETRIED:
                self._failures = 0
                return reply
            if pause is not None:
                await self._clock.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (jitter is no secret)
        self._failures += 1
        if self._failures >= _FAILURES_RUNNING:
            self.stop(Reason.SURFACE_SUFFERS)
        return reply

    def now(self) -> float:
        """The gate's clock, in seconds."""
        return self._clock.now()

    async def pause(self, seconds: float) -> None:
        """Wait, by the gate's clock."""
        await self._clock.sleep(seconds)

    def stop(self, reason: Reason) -> None:
        """No further requests; the first reason stays."""
        self.stopped = self.stopped or reason

    def _admit(self, *, write: bool, reserved: bool, requests: int) -> None:
        now = self._clock.now()
        self._started = now if self._started is None else self._started
        if now - self._started > self._budget.minutes * 60:
            self.stop(Reason.DEADLINE)
        if (
            self.requests >= self._budget.requests
            or (write and self.writes >= self._budget.writes)
            or (self._characters and self.tokens >= self._budget.tokens)
        ):
            self.stop(Reason.BUDGET)
        if self.stopped is not None and not reserved:
            raise Stopped(self.stopped)
        self.requests += requests
        self.writes += write

    def _note(self, seconds: float, verb: Verb | None) -> None:
        """Compare p95 of the last requests with that of the first: a question costs more than the write before it."""
        first = self._first.setdefault(verb, [])
        if len(first) < _WINDOW:
            first.append(seconds)
            return
        last = self._last.setdefault(verb, deque(maxlen=_WINDOW))
        last.append(seconds)
        if len(last) == _WINDOW:
            then, now = (quantiles(window, n=20)[-1] for window in (first, last))
            if now > _NOTICEABLE_SECONDS and now > _SLOWDOWN * then:
                self.stop(Reason.SURFACE_SUFFERS)


async def _answered(request: Callable[[], Awaitable[Reply]]) -> Reply:
    """The reply; an adapter's own exception becomes Stopped, and its text, perhaps a server's words, goes nowhere."""
    try:
        return await request()
    except Exception as error:  # noqa: BLE001  (a plug-in's fault must not pass for a clean result, nor stop cleaning)
        _LOG.error("an adapter crashed with %s", type(error).__name__)
    raise Stopped(Reason.PROBE_CRASHED)
