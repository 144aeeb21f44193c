"""Work that may be interrupted -> its result: the first signal asks it to stop, the second ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from sectum.cli.faults import Stopped

Result = TypeVar("Result")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def interruptible(
    work: Callable[[], Coroutine[Any, Any, Result]],
    *,
    first: Callable[[], None],
    second: Callable[[], None],
    unfinished: str,
) -> Result:
    """Run `work` in a loop of its own; raises Stopped (with the text `unfinished`) if it ended without a result.

    Args:
        first: called on the first Ctrl-C or SIGTERM, before `work` is cancelled.
        second: called on the second one, before the process ends at once.
    """

    async def main() -> Result:
        loop = asyncio.get_running_loop()
        task = loop.create_task(work())
        asked = False

        def on_signal() -> None:
            nonlocal asked
            if asked:
                second()
                _end_now()
            asked = True
            first()
            task.cancel()

        with suppress(ValueError, RuntimeError):  # not the main thread: signals go elsewhere
            for each in _SIGNALS:
                loop.add_signal_handler(each, on_signal)
        try:
            return await task
        except asyncio.CancelledError:
            raise Stopped(unfinished) from None
        finally:
            for each in _SIGNALS:
                loop.remove_signal_handler(each)

    return asyncio.run(main())


def _end_now() -> None:
    """No clean-up of any kind, as was asked for twice."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(1)
