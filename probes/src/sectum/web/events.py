"""The text of a text/event-stream -> its events, and the lines that are no part of one (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"\r\n|\n|\r")
_BEGUN = re.compile(r"^data:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Event:
    """One event; its lines of data are joined by newlines."""

    name: str = field(repr=False)
    data: str = field(repr=False)


def is_stream(text: str) -> bool:
    """Does a line of it begin as one of an event's data? No line of a JSON document can."""
    return _BEGUN.search(text.replace("\r", "\n")) is not None


def read(text: str) -> tuple[list[Event], list[str]]:
    """The events in their order, and all other lines: comments, names, ids, what a server made up.

    An event that the end of the text cuts off is read too: what it holds was sent.
    """
    events: list[Event] = []
    others: list[str] = []
    name, data = "", list[str]()
    for line in (*_LINE.split(text.removeprefix("\ufeff")), ""):
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
            continue
        if line:
            others.append(line)
        if line.startswith("event:"):
            name = line.removeprefix("event:").removeprefix(" ")
        if not line:
            events += [Event(name, "\n".join(data))] if data else []
            name, data = "", []
    return events, others
