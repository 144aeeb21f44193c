"""A pod's network -> is what it must not reach out of reach, shown beside something that it may reach?

Where a cluster's network plug-in enforces no policies, a run still works; then its pack says so.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress

SECONDS = 2.0
METADATA = ("169.254.169.254", 80)
"""Where clouds hand out a node's credentials."""

Address = tuple[str, int]


async def measure(allowed: Address, environ: Mapping[str, str] = os.environ) -> dict[str, bool]:
    """What can be connected to: `allowed`, and of what must not be, `metadata` and, in a cluster, `apiServer`.

    Connections are opened and closed; nothing is sent. A refusal counts as not connected.
    """
    wanted = {"allowed": allowed, "metadata": METADATA}
    if host := environ.get("KUBERNETES_SERVICE_HOST"):
        wanted["apiServer"] = (host, int(environ.get("KUBERNETES_SERVICE_PORT", "443")))
    reached = await asyncio.gather(*(_connects(*address) for address in wanted.values()))
    return dict(zip(wanted, reached, strict=True))


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
