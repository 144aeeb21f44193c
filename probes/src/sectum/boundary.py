"""A pod's network -> is what it must not reach out of reach, shown beside something that it may reach?

Where a cluster's network plug-in enforces no policies, a run still works; then its pack says so.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

SECONDS, PAUSE = 2.0, 0.5
METADATA = ("169.254.169.254", 80)
"""Where clouds hand out a node's credentials."""

Address = tuple[str, int]


async def measure(allowed: Address, environ: Mapping[str, str] = os.environ) -> dict[str, bool]:
    """What can be connected to: `allowed`, and of what must not be, `metadata` and, in a cluster, `apiServer`.

    Connections are opened and closed; nothing is sent. A refusal counts as not connected.
    """
    wanted = {"allowed": allowed, **_forbidden(environ)}
    reached = await asyncio.gather(*(_connects(*address) for address in wanted.values()))
    return dict(zip(wanted, reached, strict=True))


async def opened(addresses: Iterable[Address], *, seconds: float = 240.0) -> None:
    """Wait until all can be connected to, or that time is over: network plug-ins open a pod's way after its start.

    What still cannot be reached is left to the stage to say, by its own error.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for address in addresses:
                while not await _connects(*address):  # noqa: ASYNC110  (nobody tells us)
                    await asyncio.sleep(PAUSE)


async def closed(environ: Mapping[str, str] = os.environ, *, seconds: float) -> None:
    """Wait until nothing can be connected to that must not be, or that time is over: plug-ins close a way late, too.

    What is open still is left to `measure`, and so to the pack, to say.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while any(await asyncio.gather(*(_connects(*each) for each in _forbidden(environ).values()))):  # noqa: ASYNC110
                await asyncio.sleep(PAUSE)


def _forbidden(environ: Mapping[str, str]) -> dict[str, Address]:
    server = api_server(environ)
    return {"metadata": METADATA} | ({"apiServer": server} if server else {})


def api_server(environ: Mapping[str, str] = os.environ) -> Address | None:
    """Where a pod's cluster says that its API server is."""
    host = environ.get("KUBERNETES_SERVICE_HOST")
    return (host, int(environ.get("KUBERNETES_SERVICE_PORT", "443"))) if host else None


async def _connects(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
