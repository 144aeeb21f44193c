"""A cron expression and a time zone -> the moments of its ticks, exactly those of a Kubernetes CronJob.

Its controller (robfig/cron) takes every minute whose wall-clock time fits: a time that a change of the clock skips has
no tick, one that it repeats has two. Expressions that other readers of cron understand otherwise are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_VALUE = r"(?:[0-9]{1,2}|[a-zA-Z]{3})"
_ITEM = rf"(?:\*(?:/[0-9]{{1,2}})?|{_VALUE}(?:-{_VALUE}(?:/[0-9]{{1,2}})?)?)"
_FIELD = rf"{_ITEM}(?:,{_ITEM})*"
PATTERN = rf"^(?:@(?:yearly|annually|monthly|weekly|daily|midnight|hourly)|{_FIELD}(?: {_FIELD}){{4}})$"
"""What a schedule looks like: five fields, single spaces, or a macro."""


class BadSchedule(ValueError):
    """No expression that is read here as a CronJob's controller reads it; the text says what to write."""


def check(expression: str) -> None:
    """Raises BadSchedule."""
    if not re.fullmatch(PATTERN, expression):
        raise BadSchedule("give five fields such as '0 3 1 * *' (minute hour day month weekday), or @monthly")
    fields = _MACROS.get(expression, expression).split(" ")
    day, weekday = fields[2], fields[4]
    if "7" in re.findall(r"[0-9]+", re.sub(r"/[0-9]+", "", weekday)):
        raise BadSchedule("write Sunday as 0: a CronJob does not know weekday 7")
    stepped = [each for each in (day, weekday) if "*/" in each]
    if stepped and "*" not in (day, weekday):
        raise BadSchedule(f"{stepped[0]} beside the other day field is read differently by different crons; use one")
    try:
        ticks = CronSim(" ".join(fields), datetime(2024, 1, 1, tzinfo=UTC))
        next(ticks)
    except (CronSimError, StopIteration):
        raise BadSchedule("has no tick, or a number out of range") from None


def zone(name: str) -> ZoneInfo:
    """An IANA time zone; raises BadSchedule."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found, or no name at all, or a folder of names
        raise BadSchedule("is no time zone; name one as in Europe/Berlin or Etc/UTC") from None


def ticks(expression: str, time_zone: str, *, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every tick after one moment and not after the other, in order, in UTC. Raises BadSchedule."""
    check(expression)
    where = zone(time_zone)
    # The wall clock's times are counted as if there were no zone, from a day before: it may run ahead of UTC or behind.
    begin = (after.astimezone(where) - timedelta(days=1)).replace(tzinfo=UTC)
    end = (until.astimezone(where) + timedelta(days=1)).replace(tzinfo=UTC)
    walls = takewhile(lambda wall: wall <= end, CronSim(_MACROS.get(expression, expression), begin))
    found = {
        tick
        for wall in walls
        for fold in (0, 1)
        if after < (tick := wall.replace(tzinfo=where, fold=fold).astimezone(UTC)) <= until
        and tick.astimezone(where).replace(tzinfo=UTC) == wall
    }
    yield from sorted(found)
