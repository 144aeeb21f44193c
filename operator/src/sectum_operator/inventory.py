"""Objects as watches and listings show them -> a few values for each, for the metrics; they go with the object.

Every replica has the same, whoever acts: nothing here is remembered from what this process did.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sectum.finding import Outcome

from sectum_operator.observe import Object, moment
from sectum_operator.reasons import Why

RUN, SCENARIO = "VerificationRun", "IsolationScenario"
NO_PACK = "None"
"""In place of the verdict of a run that ended without a pack."""
_LEFT = re.compile(r"(\d{1,8}) documents")
"""How `telling` says how many could not be removed."""


class Place(NamedTuple):
    """Where an object is."""

    namespace: str
    name: str


class Concluded(NamedTuple):
    """What was found out of a scenario, and when, in seconds since 1970."""

    at: float
    leak: bool


@dataclass(frozen=True, slots=True)
class RunSeen:
    """What counts of a run; times in seconds since 1970."""

    version: int
    scenario: str
    accepted: bool
    over: bool
    concluded: Concluded | None
    """Of one that ended with Leak, or with Pass of all that the scenario asks for."""
    uncleaned: bool
    """Has it ended, and may what it planted still be there?"""
    left: int
    """Documents that it could not remove."""


@dataclass(frozen=True, slots=True)
class ScenarioSeen:
    """What counts of a scenario; times in seconds since 1970."""

    version: int
    created: float
    verdict: str | None
    """Of its last run; NO_PACK where that has none, None before the first."""
    ended: float | None
    """When that run ended."""
    conditions: Mapping[str, str]
    concluded: Concluded | None
    """By its last runs and its cells: a leak, or since when all of them are decided."""


@dataclass(slots=True)
class Inventory:
    """All runs and scenarios that there are. Written by the event loop, read by the thread that serves the metrics."""

    clock: Callable[[], float]
    """Seconds since 1970."""
    runs: dict[Place, RunSeen] = field(default_factory=dict)
    scenarios: dict[Place, ScenarioSeen] = field(default_factory=dict)
    listed_at: float = 0.0
    """When everything was listed last."""
    told_at: dict[str, float] = field(default_factory=dict)
    """When the watch of a kind told of something last."""
    _unannounced: dict[tuple[str, Place], float] = field(default_factory=dict)
    """What a listing showed to have changed and no watch has told of since; and when that was."""
    _concluded: dict[Place, Concluded] = field(default_factory=dict)
    """Scenarios -> what the last conclusive run said, which may be deleted by now."""

    def told(self, kind: str, body: Object, *, gone: bool) -> None:
        """A watch has told of an object."""
        place = _place(body)
        self.told_at[kind] = self.clock()
        self._unannounced.pop((kind, place), None)
        if gone:
            self.of(kind).pop(place, None)
        else:
            self._see(kind, place, body)

    def listed(self, kind: str, namespace: str, bodies: Iterable[Object]) -> None:
        """These are all there are; what is new to us, the watch must tell of, too, or it is dead."""
        found = {_place(body): body for body in bodies}
        for place, body in found.items():
            if self._see(kind, place, body):
                self._unannounced.setdefault((kind, place), self.clock())
        known = self.of(kind)
        for place in [each for each in known if each.namespace == namespace and each not in found]:
            del known[place]
        self._unannounced = {key: at for key, at in self._unannounced.items() if key[0] != kind or key[1] in known}
        if kind == SCENARIO:
            self._concluded = {place: each for place, each in self._concluded.items() if place in self.scenarios}

    def unannounced(self, kind: str) -> tuple[float, ...]:
        """Since when objects have changed, as a listing showed, without a word of the watch."""
        return tuple(at for (each, _), at in self._unannounced.copy().items() if each == kind)

    def concluded(self, place: Place, scenario: ScenarioSeen) -> Concluded | None:
        """What is known of it, as far as it is about this scenario, and not about an older one of its name."""
        known = [each for each in (self._concluded.get(place), scenario.concluded) if each]
        return max((each for each in known if each.at >= scenario.created), default=None)

    def runs_of_scenarios(self) -> dict[Place, list[RunSeen]]:
        """Scenarios, also some that are not there, and their runs."""
        found: defaultdict[Place, list[RunSeen]] = defaultdict(list)
        for place, run in self.runs.copy().items():
            found[Place(place.namespace, run.scenario)].append(run)
        return found

    def of(self, kind: str) -> dict[Place, RunSeen] | dict[Place, ScenarioSeen]:
        """Objects of a kind."""
        return self.runs if kind == RUN else self.scenarios

    def _see(self, kind: str, place: Place, body: Object) -> bool:
        """Keep what is newer than what we have: a listing may come after a watch has told more. Was it?"""
        before = self.of(kind).get(place)
        if before is not None and before.version >= _version(body):
            return False
        if kind == RUN:
            run = self.runs[place] = _run(body)
            if run.concluded:
                of = Place(place.namespace, run.scenario)
                self._concluded[of] = max(run.concluded, self._concluded.get(of, run.concluded))
        else:
            self.scenarios[place] = _scenario(body)
        return True


def _run(body: Object) -> RunSeen:
    status, conditions = _status(body)
    cleaned = conditions.get("CleanedUp", {})
    over = _holds(conditions, "Complete")
    left = _LEFT.match(cleaned.get("message", "")) if cleaned.get("reason") == Why.NOT_REMOVED else None
    ended, verdict, part = _seconds(status.get("finishedAt")), status.get("verdict"), body.get("spec", {}).get("subset")
    known = verdict == Outcome.LEAK or (verdict == Outcome.PASS and not part)
    return RunSeen(
        version=_version(body),
        scenario=body.get("spec", {}).get("scenarioRef", {}).get("name", ""),
        accepted=_holds(conditions, "Accepted"),
        over=over,
        concluded=Concluded(ended, verdict == Outcome.LEAK) if ended and known else None,
        uncleaned=over and cleaned.get("status") == "False",
        left=int(left[1]) if left else 0,
    )


def _scenario(body: Object) -> ScenarioSeen:
    status, conditions = _status(body)
    last = status.get("lastRun") or {}
    return ScenarioSeen(
        version=_version(body),
        created=_seconds(body["metadata"].get("creationTimestamp")) or 0.0,
        verdict=last.get("verdict", NO_PACK) if last else None,
        ended=_seconds(last.get("finishedAt")),
        conditions={kind: each["status"] for kind, each in conditions.items()},
        concluded=_decided(status),
    )


def _decided(status: Object) -> Concluded | None:
    """The newest of what the status keeps of runs that may be gone."""
    last, whole, cells = status.get("lastRun") or {}, status.get("lastWholeRun") or {}, status.get("cells") or ()
    told = [(last.get("finishedAt"), last.get("verdict"))] if last.get("verdict") == Outcome.LEAK else []
    told += [(whole.get("finishedAt"), whole.get("verdict"))]
    told += [(each.get("verifiedAt"), each["verdict"]) for each in cells if each["verdict"] == Outcome.LEAK]
    found = [
        Concluded(at, leak=verdict == Outcome.LEAK)
        for when, verdict in told
        if (at := _seconds(when)) and verdict in (Outcome.LEAK, Outcome.PASS)
    ]
    decided = [at for each in cells if (at := _seconds(each.get("verifiedAt")))]
    if cells and len(decided) == len(cells):
        found.append(Concluded(min(decided), leak=False))
    return max(found, default=None)


def _status(body: Object) -> tuple[Object, Mapping[str, Object]]:
    """The status, and its conditions by type."""
    status: Object = body.get("status") or {}
    return status, {each["type"]: each for each in status.get("conditions") or ()}


def _holds(conditions: Mapping[str, Object], kind: str) -> bool:
    return conditions.get(kind, {}).get("status") == "True"


def _place(body: Object) -> Place:
    return Place(body["metadata"]["namespace"], body["metadata"]["name"])


def _version(body: Object) -> int:
    """Numbers that grow, by https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions."""
    version = str(body["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0


def _seconds(value: object) -> float | None:
    found = moment(value)
    return found.timestamp() if found else None
