"""An action's bounds -> what its requests may still cost, and the first thing that is wrong with their answers."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sectum.actions import AnswerKind, Sink
from sectum.ports import Bounds
from sectum.web.documents import parse

MOST_REQUESTS = 20
"""HTTP requests of one action, and answers to a server's own requests while it goes on."""


@dataclass(slots=True)
class Exchange:
    """What one action may still cost, and what is wrong with its answer."""

    sink: Sink = field(repr=False)
    deadline: float
    bounds: Bounds
    room: int
    requests: int = MOST_REQUESTS
    fault: AnswerKind | None = None
    session_id: str | None = field(default=None, repr=False)

    @classmethod
    def begin(cls, sink: Sink, bounds: Bounds) -> Exchange:
        """One whose time runs from now on."""
        return cls(sink, asyncio.get_running_loop().time() + bounds.seconds, bounds, bounds.bytes)

    def fail(self, kind: AnswerKind) -> None:
        """The first fault stands."""
        self.fault = self.fault or kind

    def scan(self, text: str) -> Any:
        """Feed the leaves of a JSON text to the sink, or the text as it is; its document, Ellipsis if it has none."""
        parsed = parse(text, depth=self.bounds.depth)
        self.sink(parsed.text + "\n")
        if parsed.too_deep:
            self.fail(AnswerKind.TOO_DEEP)
        return parsed.document


EXCHANGE: ContextVar[Exchange] = ContextVar("EXCHANGE")
"""Whose HTTP request is this? The SDK sends every message in the context in which it was written."""


def ignore(_text: str) -> None:
    """Takes text that nobody looks at."""
