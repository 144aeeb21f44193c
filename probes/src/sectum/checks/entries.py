"""Bytes of a series' records -> entries that the verifier's key signed, and the runs that they open and close."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sectum import document, dsse, series
from sectum.checks.case import Failed
from sectum.codec import NotCanonical, parse, sha256
from sectum.errors import NotVerified
from sectum.sign import PublicKey, is_envelope

NUMBERED = re.compile(r"[0-9]{6}\.json")
SKEW = timedelta(minutes=5)
"""How far the clocks of two nodes may differ."""

_READERS = {series.OPEN_TYPE: document.read_open, series.CLOSE_TYPE: document.read_close}


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the series that the verifier's key signed, of the known shape."""

    name: str
    """In the series' folder, such as `000007.json`."""
    body: Mapping[str, Any]
    digest: str
    at: datetime

    @property
    def opens(self) -> bool:
        """Is it an Open record, not a Close?"""
        return bool(self.body["schema"] == series.OPEN_SCHEMA)

    @property
    def run(self) -> str:
        """Whose record it is."""
        return str(self.body["run"])


@dataclass(frozen=True, slots=True)
class Episode:
    """One run, as the series tells of it."""

    opened: Entry
    closed: Entry | None

    @property
    def run(self) -> str:
        """Its id."""
        return self.opened.run

    @property
    def at(self) -> datetime:
        """When it was opened, by the signer's word."""
        return self.opened.at

    @property
    def slot(self) -> datetime | None:
        """The tick that it was made for; None: somebody asked for it."""
        slot = self.opened.body["occasion"]["slot"]
        return moment(slot) if slot else None

    @property
    def refused(self) -> tuple[tuple[datetime, str], ...]:
        """The ticks since the last accepted run that came to nothing, with the reason."""
        return tuple((moment(each["slot"]), each["reason"]) for each in self.opened.body["occasion"]["refused"])

    @property
    def in_cluster(self) -> bool:
        """Was it made of an IsolationScenario in a cluster? The local run ignores a schedule."""
        return self.opened.body["occasion"]["uid"] is not None

    @property
    def outcome(self) -> str | None:
        """As the Close says; None where there is none."""
        return str(self.closed.body["outcome"]) if self.closed else None

    def __str__(self) -> str:
        return f"{self.opened.name} (run {self.run})"


def moment(text: str) -> datetime:
    """A time of a record; raises ValueError for one that is on no calendar."""
    return datetime.fromisoformat(text).astimezone(UTC)


def stated(at: datetime) -> str:
    """A moment as the records write ticks."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def read_entry(name: str, data: bytes, key: PublicKey) -> Entry:
    """The record, if this key signed it and it has the shape of its type; raises Failed."""
    try:
        envelope = parse(data)
        kind = envelope["payloadType"] if is_envelope(envelope) else None
        if kind not in _READERS:
            raise Failed(f"{name} is no Open or Close record")
        payload = dsse.open_envelope(envelope, payload_type=kind, verify=key.verify, keyid=key.keyid)
    except NotCanonical:
        raise Failed(f"{name} is not canonical, or not signed by this key") from None
    try:
        body = _READERS[kind](payload)
        at = moment(body["at"])
        for tick in _ticks(body):
            moment(tick)
    except NotVerified as error:
        raise Failed(f"{name}: {error}") from None
    except ValueError:
        raise Failed(f"{name} states a time that is on no calendar") from None
    return Entry(name, body, sha256(data), at)


def _ticks(body: Mapping[str, Any]) -> Iterator[str]:
    occasion = body.get("occasion", {"slot": None, "refused": []})
    if occasion["slot"]:
        yield occasion["slot"]
    yield from (each["slot"] for each in occasion["refused"])


def episodes(entries: list[Entry]) -> tuple[list[Episode], list[str]]:
    """Pair each Open with the Close after it; whatever is out of turn is told."""
    found: list[Episode] = []
    faults: list[str] = []
    under_way: Entry | None = None
    for entry in entries:
        if entry.opens:
            if under_way is not None:
                faults.append(f"{under_way.name}: its run is not closed before {entry.name} opens another")
                found.append(Episode(under_way, None))
            under_way = entry
        elif under_way is None or under_way.run != entry.run:
            faults.append(f"{entry.name} closes a run that is not the one under way (run {entry.run})")
        else:
            found.append(Episode(under_way, entry))
            under_way = None
    if under_way is not None:
        found.append(Episode(under_way, None))
    return found, faults
