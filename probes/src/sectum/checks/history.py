"""What a store holds of a series, and what its verifier holds -> the History that every check of a series looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sectum.checks.case import Failed
from sectum.checks.entries import Entry, Episode, episodes, read_entry
from sectum.sign import PublicKey


@dataclass(frozen=True, slots=True)
class Version:
    """What the check of a series reads of a scenario's snapshot, whose digest the run's Open record names."""

    name: str
    namespace: str | None
    schedule: str | None
    time_zone: str
    starting_deadline: timedelta

    @classmethod
    def of(cls, snapshot: Mapping[str, Any]) -> Version:
        """Raises KeyError, TypeError, ValueError for what is no snapshot."""
        about, spec = snapshot["metadata"], snapshot["spec"]
        seconds = spec.get("startingDeadlineSeconds", 3600)
        named = (str(about["name"]), about.get("namespace"), spec.get("schedule"), str(spec.get("timeZone", "Etc/UTC")))
        return cls(*named, timedelta(seconds=int(seconds)))


@dataclass(frozen=True, slots=True)
class Packed:
    """A stored pack, checked with the series' key and the run's Open record; its bytes are not kept."""

    digest: str
    fault: str
    """Why it is not verified; empty if it is, unanchored."""
    open_steps: tuple[str, ...]
    """Steps that a timestamp or a log would not close: made by another version."""
    verdict: str
    cancelled: bool
    version: Version | None


@dataclass(frozen=True)
class History:
    """What there is of a series, between two moments, and the key that its verifier trusts."""

    key: PublicKey
    folder: str
    """Where the series lies in the store: `series/` locally, `series/<namespace>/<scenario>/` in a cluster."""
    records: Mapping[str, bytes | None]
    """Everything that lies directly in the folder: bytes by name; None for what has not a record's name."""
    packs: Mapping[str, Packed]
    """By run: those of the runs that the series opened in the period."""
    stored: frozenset[str]
    """Names of all packs in the store, without folder and `.zip`."""
    leftovers: Mapping[str, Version | None]
    """Packs of no run of the series: the scenario that they say they are of; None where they cannot be read."""
    versions: Mapping[str, Version]
    """By run, with the digest that the Open record names; missing where neither pack nor sealed manifest has it."""
    since: datetime | None = None
    until: datetime | None = None
    first: int = 1
    """Number of the series' first record that there has to be."""

    @cached_property
    def numbered(self) -> dict[int, bytes]:
        """The records by the number that their name states, ascending."""
        named = {name: data for name, data in self.records.items() if data is not None}
        return {int(name[:6]): data for name, data in sorted(named.items())}

    @cached_property
    def read(self) -> tuple[list[Entry], list[str]]:
        """The entries, in order, and what is wrong with those records that are none."""
        entries, faults = [], []
        for number, data in self.numbered.items():
            try:
                entries.append(read_entry(f"{number:06d}.json", data, self.key))
            except Failed as error:
                faults.append(str(error))
        return entries, faults

    @cached_property
    def told(self) -> tuple[list[Episode], list[str]]:
        """The runs, in order, and what does not fit: records that open or close out of turn."""
        return episodes(self.read[0])

    @property
    def runs(self) -> list[Episode]:
        """Those that were opened in the period."""
        return [each for each in self.told[0] if self.covers(each.at)]

    def covers(self, at: datetime) -> bool:
        """Is the moment in the period?"""
        return (self.since is None or self.since <= at) and (self.until is None or at <= self.until)

    def about(self) -> tuple[str, str] | None:
        """Namespace and name of the scenario by the folder; None for a local series, which may be of several."""
        parts = self.folder.strip("/").split("/")[1:]
        return (parts[0], parts[1]) if len(parts) == 2 else None


@dataclass(frozen=True, slots=True)
class Told:
    """What a check of a series came to."""

    text: str
    faults: tuple[str, ...] = ()
    """Each is one thing that must not be; any makes the step ✗."""
    notes: tuple[str, ...] = ()
    """What an auditor should know all the same."""
    is_open: bool = False
    """Can nothing that is there tell?"""
