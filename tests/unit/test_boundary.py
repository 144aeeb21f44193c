"""A pod measures its boundary by connecting, beside something that it may reach; and waits until its way is open."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from sectum import boundary

SHUT = ("127.0.0.1", 1)
ALL = ("allowed", "metadata", "apiServer")


@pytest.fixture
def listening() -> Iterator[boundary.Address]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()


@pytest.fixture(autouse=True)
def _no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "METADATA", SHUT)
    monkeypatch.setattr(boundary, "PAUSE", 0.02)


def cluster(address: boundary.Address) -> dict[str, str]:
    return {"KUBERNETES_SERVICE_HOST": address[0], "KUBERNETES_SERVICE_PORT": str(address[1])}


def test_what_can_be_connected_to_is_told_by_name(listening: boundary.Address, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asyncio.run(boundary.measure(listening, {})) == {"allowed": True, "metadata": False}
    assert asyncio.run(boundary.measure(SHUT, cluster(SHUT))) == dict.fromkeys(
        ("allowed", "metadata", "apiServer"), False
    )
    monkeypatch.setattr(boundary, "METADATA", listening)
    assert asyncio.run(boundary.measure(listening, cluster(listening))) == dict.fromkeys(ALL, True)


def test_a_pod_waits_until_its_way_is_open() -> None:
    async def late() -> bool:
        with closing(socket.socket()) as server:
            server.bind(("127.0.0.1", 0))
            waiting = asyncio.ensure_future(boundary.opened([server.getsockname()]))
            await asyncio.sleep(0.1)
            early = waiting.done()
            server.listen()
            await asyncio.wait_for(waiting, 5)
            return early

    assert asyncio.run(late()) is False


def test_it_does_not_wait_for_ever() -> None:
    asyncio.run(asyncio.wait_for(boundary.opened([SHUT], seconds=0.1), 5))


def test_a_pod_waits_until_what_it_must_not_reach_is_out_of_reach() -> None:
    async def late() -> bool:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            waiting = asyncio.ensure_future(boundary.closed(cluster(server.getsockname()), seconds=5))
            await asyncio.sleep(0.2)
            early = waiting.done()
        await asyncio.wait_for(waiting, 5)
        return early

    assert asyncio.run(late()) is False


def test_where_nothing_closes_it_goes_on(listening: boundary.Address) -> None:
    asyncio.run(asyncio.wait_for(boundary.closed(cluster(listening), seconds=0.2), 5))
