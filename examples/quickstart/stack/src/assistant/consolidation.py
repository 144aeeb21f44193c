"""Wait until a user has written no note for a while, then have his notes summed up: a thread in the background."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from assistant.access import Identity


class Consolidation:
    """Who is to be summed up, and when; `summarise` runs in the thread that `running` keeps."""

    def __init__(self, summarise: Callable[[Identity], None], *, after_seconds: float) -> None:
        self._summarise = summarise
        self._after = after_seconds
        self._due: dict[Identity, float] = {}
        self._changed = threading.Condition()
        self._stopped = False

    def expect(self, identity: Identity) -> None:
        """A note was written: count from now."""
        with self._changed:
            self._due[identity] = time.monotonic() + self._after
            self._changed.notify()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="consolidation", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify()
            thread.join()

    def _run(self) -> None:
        while (identity := self._next()) is not None:
            self._summarise(identity)

    def _next(self) -> Identity | None:
        """Wait for the next one that is due; None means the end."""
        with self._changed:
            while not self._stopped:
                first = min(self._due, key=self._due.__getitem__, default=None)
                wait = None if first is None else self._due[first] - time.monotonic()
                if first is not None and wait is not None and wait <= 0:
                    del self._due[first]
                    return first
                self._changed.wait(wait)
        return None
