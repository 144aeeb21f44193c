"""A gate counts, paces and stops: budgets, backoff, places in flight, and a surface that suffers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from sectum.actions import AnswerKind, Reply, Verb
from sectum.gate import Gate, Stopped
from sectum.reasons import Reason
from sectum.scenario import Budget
from sectum.testing import ManualClock

OK = Reply(AnswerKind.ITEMS)
Request = Callable[[], Awaitable[Reply]]


def answers(*kinds: AnswerKind) -> Request:
    """Each of them once, then ITEMS for good."""
    left = list(kinds)

    async def request() -> Reply:
        return Reply(left.pop(0)) if left else OK

    return request


def a_gate(**budget: Any) -> tuple[Gate, ManualClock]:
    time = ManualClock()
    return Gate(Budget(**budget), time.clock), time


async def send_until_stopped(gate: Gate, request: Request | None = None, most: int = 1000, **how: Any) -> int:
    sent = 0
    with suppress(Stopped):
        for _ in range(most):
            await gate.send(request or answers(), **how)
            sent += 1
    return sent


def test_a_budget_of_requests_is_spent_to_the_last_and_not_beyond() -> None:
    gate, _ = a_gate(requests=7)
    assert asyncio.run(send_until_stopped(gate)) == 7
    assert (gate.requests, gate.stopped) == (7, Reason.BUDGET)


def test_a_budget_of_writes_that_is_spent_to_the_last_lets_reads_go_on() -> None:
    gate, _ = a_gate(writes=3)
    assert asyncio.run(send_until_stopped(gate, most=3, write=True)) == 3
    assert asyncio.run(send_until_stopped(gate, most=20)) == 20


def test_a_budget_of_writes_counts_writes_alone() -> None:
    gate, _ = a_gate(writes=3)
    assert asyncio.run(send_until_stopped(gate, most=20)) == 20
    assert asyncio.run(send_until_stopped(gate, write=True)) == 3
    assert (gate.writes, gate.requests, gate.stopped) == (3, 23, Reason.BUDGET)


@pytest.mark.parametrize(("tokens", "spent"), [(10, 5), (0, 1)])
def test_a_budget_of_tokens_counts_four_characters_each(tokens: int, spent: int) -> None:
    gate, _ = a_gate(tokens=tokens)

    async def talk() -> Reply:
        gate.count_text(9)
        return OK

    assert asyncio.run(send_until_stopped(gate, talk)) == spent
    assert gate.stopped == Reason.BUDGET
    assert gate.tokens == spent * 9 // 4


def test_without_free_text_no_tokens_are_spent() -> None:
    gate, _ = a_gate(tokens=0)
    assert asyncio.run(send_until_stopped(gate, most=20)) == 20


def test_time_is_a_budget_too() -> None:
    gate, time = a_gate(minutes=2)

    async def slow() -> Reply:
        time.seconds += 30
        return OK

    assert asyncio.run(send_until_stopped(gate, slow)) == 5  # the fifth began at 120 seconds, the sixth would at 150
    assert gate.stopped == Reason.DEADLINE


def test_a_retry_costs_a_request() -> None:
    gate, _ = a_gate(requests=2)
    with pytest.raises(Stopped):
        asyncio.run(gate.send(answers(*[AnswerKind.THROTTLED] * 9)))
    assert (gate.requests, gate.stopped) == (2, Reason.BUDGET)


@pytest.mark.parametrize("kind", [AnswerKind.THROTTLED, AnswerKind.SERVER_ERROR])
def test_after_429_and_5xx_it_waits_longer_each_time_and_asks_again(kind: AnswerKind) -> None:
    gate, time = a_gate()
    assert asyncio.run(gate.send(answers(kind, kind, kind))).kind == AnswerKind.ITEMS
    assert gate.requests == 4
    assert len(time.slept) == 3
    for slept, pause in zip(time.slept, (0.2, 0.8, 2.4), strict=True):
        assert 0.5 * pause <= slept <= 1.5 * pause
    assert gate.stopped is None


@pytest.mark.parametrize("kind", sorted(set(AnswerKind) - {AnswerKind.THROTTLED, AnswerKind.SERVER_ERROR}))
def test_any_other_answer_is_taken_as_it_is(kind: AnswerKind) -> None:
    gate, time = a_gate()
    assert asyncio.run(gate.send(answers(kind))).kind == kind
    assert (gate.requests, time.slept) == (1, [])


def test_three_failures_running_after_backoff_stop_it() -> None:
    gate, _ = a_gate()
    failing = answers(*[AnswerKind.SERVER_ERROR] * 100)
    assert asyncio.run(send_until_stopped(gate, failing)) == 3
    assert (gate.requests, gate.stopped) == (12, Reason.SURFACE_SUFFERS)


def test_failures_with_an_answer_between_them_do_not_stop_it() -> None:
    gate, _ = a_gate()
    four = [AnswerKind.THROTTLED] * 4
    request = answers(*four, *four, AnswerKind.NOT_FOUND, *four, *four)
    assert asyncio.run(send_until_stopped(gate, request, most=6)) == 6
    assert gate.stopped is None


def paced(time: ManualClock, seconds: list[float], busy: list[float] | None = None) -> Request:
    left, computed = list(seconds), list(busy or [])

    async def request() -> Reply:
        time.seconds += left.pop(0)
        time.computed += computed.pop(0) if computed else 0.0
        return OK

    return request


@pytest.mark.parametrize(
    ("then", "now", "suffers"),
    [(0.1, 1.5, True), (0.4, 1.21, True), (0.4, 1.19, False), (0.1, 0.9, False), (1.0, 2.9, False), (1.0, 3.1, True)],
)
def test_answers_three_times_as_slow_as_at_first_stop_it(then: float, now: float, suffers: bool) -> None:
    gate, time = a_gate(minutes=1000)
    asyncio.run(send_until_stopped(gate, paced(time, [then] * 50 + [now] * 50), most=100))
    assert gate.stopped == (Reason.SURFACE_SUFFERS if suffers else None)


def test_a_question_that_takes_longer_than_a_write_is_no_suffering() -> None:
    gate, time = a_gate()
    asyncio.run(send_until_stopped(gate, paced(time, [0.1] * 50), most=50, verb=Verb.WRITE))
    asyncio.run(send_until_stopped(gate, paced(time, [1.5] * 100), most=100, verb=Verb.ASK))
    assert gate.stopped is None
    asyncio.run(send_until_stopped(gate, paced(time, [1.2] * 50), most=50, verb=Verb.WRITE))
    assert gate.stopped == Reason.SURFACE_SUFFERS


def test_a_question_that_costs_more_than_the_writes_before_it_is_no_suffering() -> None:
    gate, time = a_gate(minutes=1000)
    for verb, seconds in ((Verb.WRITE, 0.1), (Verb.ASK, 5.0), (Verb.WRITE, 0.1), (Verb.ASK, 5.0)):
        asyncio.run(send_until_stopped(gate, paced(time, [seconds] * 50), most=50, verb=verb))
    assert gate.stopped is None
    asyncio.run(send_until_stopped(gate, paced(time, [5.0] * 50), most=50, verb=Verb.WRITE))
    assert gate.stopped == Reason.SURFACE_SUFFERS


def test_two_slow_answers_of_fifty_do_not_stop_it_and_four_do() -> None:
    for slow, suffers in ((2, None), (4, Reason.SURFACE_SUFFERS)):
        gate, time = a_gate()
        seconds = [0.1] * 50 + [2.0] * slow + [0.1] * (50 - slow)
        asyncio.run(send_until_stopped(gate, paced(time, seconds), most=100))
        assert gate.stopped == suffers


def test_what_we_computed_ourselves_is_no_slowness_of_the_surface() -> None:
    gate, time = a_gate()
    busy = [0.0] * 50 + [1.9] * 50
    asyncio.run(send_until_stopped(gate, paced(time, [0.1] * 50 + [2.0] * 50, busy), most=100))
    assert gate.stopped is None


@pytest.mark.parametrize("reason", Reason)
def test_only_what_proves_identity_goes_out_once_the_gate_is_closed(reason: Reason) -> None:
    gate, _ = a_gate()
    gate.stop(reason)
    gate.stop(Reason.ECHO)
    assert gate.stopped == reason, "the first reason stays"
    with pytest.raises(Stopped):
        asyncio.run(gate.send(answers()))
    assert asyncio.run(gate.send(answers(), reserved=True)) == OK


def test_no_more_requests_are_under_way_than_there_are_places() -> None:
    gate, _ = a_gate(in_flight=3)
    under_way: list[int] = []

    async def request() -> Reply:
        under_way.append(1)
        most.append(len(under_way))
        await asyncio.sleep(0)
        under_way.pop()
        return OK

    async def many() -> None:
        await asyncio.gather(*(gate.send(request) for _ in range(20)))

    most: list[int] = []
    asyncio.run(many())
    assert max(most) == 3


def test_an_adapter_that_crashes_is_a_reason_and_its_words_go_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    gate, _ = a_gate()

    async def crash() -> Reply:
        raise ValueError("the-server-s-own-words")

    with pytest.raises(Stopped) as caught:
        asyncio.run(gate.send(crash))
    assert caught.value.reason == Reason.PROBE_CRASHED
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "ValueError" in caplog.text
    assert "own-words" not in caplog.text
    assert gate.stopped is None
