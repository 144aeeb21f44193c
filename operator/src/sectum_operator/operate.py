"""`sectum-operator operate`: watch, look, write, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from datetime import UTC, datetime

import click

from sectum_operator.api import connect
from sectum_operator.apply import Writer
from sectum_operator.handlers import Key, Kind, Known, relist_for_ever, watch
from sectum_operator.logs import log_json
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
    api = connect()
    writer = Writer(api, settings.images, lambda: datetime.now(UTC), settings.instance)

    async def look(key: Key) -> float | None:
        by_kind = {Kind.RUN: writer.run, Kind.SCENARIO: writer.scenario}
        return await by_kind[key.kind](key.namespace, key.name)

    queue: WorkQueue[Key] = WorkQueue(look)
    known = Known(queue, time.monotonic, counted=time.monotonic())
    log.info("looking after runs in %s", ", ".join(settings.namespaces))
    others = [
        asyncio.create_task(queue.run()),
        asyncio.create_task(relist_for_ever(known, api, settings.namespaces)),
    ]
    try:
        watching = asyncio.create_task(watch(known, settings))
        ended, _ = await asyncio.wait([watching, *others], return_when=asyncio.FIRST_COMPLETED)
        if watching not in ended:
            watching.cancel()
        for each in ended:
            each.result()
    finally:
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await api.close()
    log.info("told to end")
