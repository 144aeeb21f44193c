"""`sectum-operator operate`: watch, look, write, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

import click

from sectum_operator.api import ApiFault, connect
from sectum_operator.apply import Writer
from sectum_operator.handlers import Key, Kind, Known, relist_for_ever, watch
from sectum_operator.inventory import Inventory
from sectum_operator.lease import Lease
from sectum_operator.logs import log_json
from sectum_operator.metrics import Metrics
from sectum_operator.scenarios import Scenarios
from sectum_operator.settings import Settings, read_settings
from sectum_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)


@click.command("operate")
def command() -> None:
    """Look after the runs of the namespaces that SECTUM_NAMESPACES names."""
    log_json()
    asyncio.run(operate(read_settings(os.environ)))


async def operate(settings: Settings) -> None:
    """Until kopf ends: by a signal well, else by what it raises."""
    inventory = Inventory(time.time)
    metrics = Metrics(inventory, settings.namespaces)
    api = connect(metrics.requested)

    def clock() -> datetime:
        return datetime.now(UTC)

    writer = Writer(api, settings.images, clock, settings.instance, metrics.told)
    scenarios = Scenarios(api, settings.images, clock)

    async def look(key: Key) -> float | None:
        by_kind = {Kind.RUN: writer.run, Kind.SCENARIO: scenarios.look}
        return await by_kind[key.kind](key.namespace, key.name)

    def looked(key: Key, /, *, lag: float, took: float, failed: bool) -> None:
        metrics.looked(key.kind, lag=lag, took=took, failed=failed)

    queue: WorkQueue[Key] = WorkQueue(look, looked=looked)
    known = Known(queue, time.monotonic, counted=time.monotonic(), inventory=inventory)
    if settings.metrics is not None:
        metrics.watch_queue(queue)
        metrics.serve(settings.metrics)
    log.info("looking after runs in %s", ", ".join(settings.namespaces))
    lease = Lease(api, settings.lease, "sectum-operator", f"{settings.instance}-{uuid4()}") if settings.lease else None
    tasks = [
        asyncio.create_task(watch(known, settings)),
        asyncio.create_task(_act(queue, lease, metrics)),
        asyncio.create_task(relist_for_ever(known, api, settings.namespaces)),
    ]
    try:
        await _first_of(tasks)
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if lease is not None:
            with suppress(ApiFault):
                await lease.release()
        await api.close()
    log.info("told to end")


async def _act(queue: WorkQueue[Key], lease: Lease | None, metrics: Metrics) -> None:
    """Look at what is due while this replica is the one to; the others watch all the same, and so are ready at once."""
    if lease is not None:
        await lease.acquire()
    metrics.leading = True
    if lease is None:
        return await queue.run()
    acting, keeping = asyncio.create_task(queue.run()), asyncio.create_task(lease.keep())
    try:
        await _first_of([acting, keeping])
    finally:
        acting.cancel()
        keeping.cancel()
        await asyncio.gather(acting, keeping, return_exceptions=True)


async def _first_of(tasks: list[asyncio.Task[None]]) -> None:
    """Until one ends; raises what it raised. When kopf ends, it cancels every task that was begun after it."""
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for each in ended:
        if not each.cancelled():
            each.result()
