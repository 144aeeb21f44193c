"""A surface's signed records -> its stages' attempts, and what is wrong with them. Pure; `verify` does the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sectum.reasons import Reason
from sectum.records import RecordKind, Signed, Stage


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a stage of a surface: its records, in order."""

    number: int
    signed: tuple[Signed, ...]

    @property
    def start(self) -> Signed | None:
        """The record with which it began, if it is there."""
        first = self.signed[0]
        return first if first.record.kind == RecordKind.START else None

    @property
    def after(self) -> Mapping[str, str | None]:
        """Stage -> digest of the last record of it that was there when this attempt began."""
        return self.start.record.body["after"] if self.start else {}

    @property
    def end(self) -> str:
        """Digest of its last record."""
        return self.signed[-1].digest

    @property
    def result(self) -> Mapping[str, Any] | None:
        """What it came to; None for an attempt that was lost on its way."""
        last = self.signed[-1].record
        return last.body if last.kind == RecordKind.RESULT else None

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """The trials' rows of its result; none for a lost attempt, and of stages that play no trials."""
        result = self.result
        return result.get("rows", ()) if result is not None else ()

    @property
    def leaks(self) -> list[Mapping[str, Any]]:
        """What it saw, in order."""
        return [each.record.body for each in self.signed if each.record.kind == RecordKind.LEAK]

    def faults(self) -> Iterator[str]:
        """Why these are not all records of one attempt; nothing if they are."""
        previous = None
        for number, each in enumerate(self.signed):
            record = each.record
            if record.number != number or record.previous != previous:
                yield f"{each.name} does not follow the record before it: one is missing or there is one too many"
            if (record.kind == RecordKind.START) != (number == 0):
                yield f"{each.name}: an attempt begins with its one start record"
            if record.kind == RecordKind.RESULT and each is not self.signed[-1]:
                yield f"{each.name}: nothing follows a result"
            previous = each.digest


@dataclass(frozen=True, slots=True)
class Attempts:
    """All attempts at the stages of one surface, each stage's in order."""

    of: Mapping[Stage, tuple[Attempt, ...]]

    def finished(self, stage: Stage) -> Attempt | None:
        """The last attempt that came to an end."""
        return next((each for each in reversed(self.of[stage]) if each.result is not None), None)

    def concluded(self, stage: Stage) -> Mapping[str, Any] | None:
        """What the last attempt came to; None if none was begun or the last one was lost."""
        last = self.of[stage][-1:]
        return last[0].result if last else None

    def end(self, stage: Stage) -> str | None:
        """Digest of the stage's last record; None if there is none."""
        last = self.of[stage][-1:]
        return last[0].end if last else None

    @property
    def cleaned(self) -> bool:
        """Did cleaning end that was begun when all the rest was over? It names the last record of each other stage."""
        over = {str(stage): self.end(stage) for stage in Stage if stage != Stage.CLEAN}
        return any(each.result is not None and over.items() <= each.after.items() for each in self.of[Stage.CLEAN])

    @property
    def left(self) -> int | None:
        """How many documents the last cleaning left; None if it was lost, or planting went on after it had begun."""
        result = self.concluded(Stage.CLEAN)
        if result is None or self.of[Stage.CLEAN][-1].after.get(Stage.PLANT, "none") != self.end(Stage.PLANT):
            return None
        count: int = result["notRemoved"]
        return count

    @property
    def cleaning_began(self) -> bool:
        """Was cleaning begun after the last planting?"""
        planted = self.end(Stage.PLANT)
        return planted is not None and any(each.after.get(Stage.PLANT) == planted for each in self.of[Stage.CLEAN])

    @property
    def emptied(self) -> int:
        """Number of the last attempt at planting after which cleaning left nothing; 0 if there is none."""
        plants = {each.end: each.number for each in self.of[Stage.PLANT]}
        whole = [each for each in self.of[Stage.CLEAN] if each.result is not None and each.result["notRemoved"] == 0]
        return max((plants.get(each.after.get(Stage.PLANT) or "", 0) for each in whole), default=0)

    def hindrance(self, stages: Iterable[Stage]) -> str | None:
        """Why nothing can follow these stages: the last attempt at one was lost, or found the surface of no use."""
        for stage in stages:
            result = self.concluded(stage)
            if result is None:
                return str(Reason.UNFINISHED)
            if result["fault"]:
                fault: str = result["fault"]
                return fault
        return None

    def results(self) -> Iterator[Mapping[str, Any]]:
        """What every finished attempt of every stage came to."""
        return (each.result for attempts in self.of.values() for each in attempts if each.result is not None)

    def faults(self) -> Iterator[str]:
        """Why these are not all records of this surface; nothing if they are."""
        ends: dict[Stage, set[str | None]] = {
            stage: {None, *(each.end for each in some)} for stage, some in self.of.items()
        }
        for stage, attempts in self.of.items():
            before: str | None = None
            for number, attempt in enumerate(attempts, 1):
                yield from attempt.faults()
                # Another attempt may have been lost before its first record. Of a probe nobody knows whether it had
                # none: what it saw may have been taken away before the next one began.
                if stage == Stage.PROBE and attempt.number != number:
                    yield f"probe: nothing is there of attempt {number}"
                yield from self._misnamed(attempt, {**ends, stage: {before}})
                before = attempt.end

    def _misnamed(self, attempt: Attempt, ends: Mapping[Stage, set[str | None]]) -> Iterator[str]:
        """Where its start names others than these: what was there then is not there now, or went on."""
        for stage, named in attempt.after.items():
            if named not in ends[Stage(stage)]:
                yield f"attempt {attempt.number} began after a record of {stage} that is not the last of an attempt now"


def attempts_of(signed: Iterable[Signed], surface: str) -> Attempts:
    """The attempts at each stage of a surface."""
    found: dict[Stage, dict[int, list[Signed]]] = {stage: {} for stage in Stage}
    for each in signed:
        if each.record.surface == surface:
            found[Stage(each.record.stage)].setdefault(each.record.attempt, []).append(each)
    return Attempts(
        {
            stage: tuple(
                Attempt(number, tuple(sorted(some, key=lambda each: (each.record.number, each.digest))))
                for number, some in sorted(numbered.items())
            )
            for stage, numbered in found.items()
        }
    )
