"""What this process does, and the inventory -> Prometheus' text. docs/operate.md lists every metric.

Labels name namespaces and scenarios, never a surface, a tenant or a user. Gauges on objects are made anew for each
scrape; counters count what this process did, and begin at nothing when it is started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sectum.errors import UsageError
from sectum.finding import Outcome
from sectum.reasons import Reason

from sectum_operator.inventory import NO_PACK, RUN, SCENARIO, Inventory, Place, RunSeen, ScenarioSeen
from sectum_operator.reasons import Cause, Refusal, Why
from sectum_operator.statuses import RunStatus

_SCENARIO = ("namespace", "scenario")
_VERDICTS = (Outcome.PASS, Outcome.LEAK, Outcome.INCONCLUSIVE, NO_PACK)
_REASONS = frozenset(str(each) for known in (Cause, Refusal, Why, Reason, Outcome) for each in known)
_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Queue(Protocol):
    """How the work queue stands; read by another thread."""

    def waits(self, now: float) -> tuple[float, ...]:
        """For how long keys have been due that are not looked at."""
        ...

    def looks(self, now: float) -> tuple[float, ...]:
        """For how long keys have been looked at."""
        ...


class Metrics:
    """What is counted; the registry is what is served."""

    def __init__(self, inventory: Inventory, namespaces: Iterable[str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.leading = False
        """Does this replica act?"""
        self._namespaces = tuple(namespaces)
        build = Info("sectum_build", "Versions of this operator and of the library.", registry=self.registry)
        build.info({name: version(each) for name, each in (("version", "sectum-operator"), ("library", "sectum"))})
        self._ended = Counter(
            "sectum_runs_ended", "Runs that this process saw to their end. The reason is a closed list.",
            ("namespace", "verdict", "reason"), registry=self.registry,
        )  # fmt: skip
        self._requests = Counter(
            "sectum_api_requests", "Requests to the API server but for watches, by status; 0: there was no answer.",
            ("method", "code"), registry=self.registry,
        )  # fmt: skip
        self._took = Histogram(
            "sectum_reconcile_duration_seconds", "How long looks at an object took.", ("kind",),
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self._lag = Histogram(
            "sectum_reconcile_lag_seconds", "How long after it was due a look at an object began.", ("kind",),
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self._failures = Counter(
            "sectum_reconcile_failures", "Looks that failed and are to be made again.", ("kind",),
            registry=self.registry,
        )  # fmt: skip
        for kind in (RUN, SCENARIO):
            for each in (self._took, self._lag, self._failures):
                each.labels(kind)
        ProcessCollector(registry=self.registry)
        self.registry.register(_Objects(inventory))
        self._inventory = inventory

    def watch_queue(self, queue: Queue, clock: Callable[[], float] = time.monotonic) -> None:
        """Say how it stands, too; `clock` is its event loop's."""
        self.registry.register(_Process(self, self._namespaces, self._inventory, queue, clock))

    def requested(self, method: str, code: int) -> None:
        """A request to the API server was answered; 0: it was not."""
        self._requests.labels(method, str(code)).inc()

    def looked(self, kind: str, *, lag: float, took: float, failed: bool) -> None:
        """An object was looked at."""
        self._lag.labels(kind).observe(lag)
        self._took.labels(kind).observe(took)
        if failed:
            self._failures.labels(kind).inc()

    def told(self, namespace: str, before: RunStatus, after: RunStatus) -> None:
        """A run's status was written: if it has ended by that, count it."""
        ends = _ends(after)
        if ends is None or _ends(before) is not None:
            return
        reason = ends if ends in _REASONS else "Other"  # some come from a pod's message
        self._ended.labels(namespace, str(after.verdict or NO_PACK), reason).inc()

    def serve(self, port: int) -> None:
        """On all addresses, from a thread of its own; raises UsageError."""
        try:
            start_http_server(port, registry=self.registry)
        except OSError as error:
            raise UsageError(f"SECTUM_METRICS_PORT: cannot listen on {port}: {error.strerror}") from error


def _ends(status: RunStatus) -> str | None:
    return next((each.reason for each in status.conditions if each.type == "Complete" and each.status == "True"), None)


class _Objects(Collector):
    """Runs and scenarios."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        scenarios, runs = self._inventory.scenarios.copy(), self._inventory.runs_of_scenarios()
        yield _gauge("sectum_scenario_created_timestamp_seconds", "When the scenario was created.", {
            place: each.created for place, each in scenarios.items()
        })  # fmt: skip
        yield _gauge("sectum_scenario_last_run_timestamp_seconds", "When the last accepted run of it ended.", {
            place: each.ended for place, each in scenarios.items() if each.ended
        })  # fmt: skip
        found = {place: self._inventory.concluded(place, each) for place, each in scenarios.items()}
        yield _gauge(
            "sectum_scenario_last_success_timestamp_seconds",
            "When the last run of it that was conclusive ended: with Leak, or with Pass of all that it asks for.",
            {place: each.at for place, each in found.items() if each},
        )
        yield _gauge("sectum_scenario_leak", "1 from a run that found a leak until one of all of it passes.", {
            place: float(scenarios[place].conditions.get("Passing") == "False" or (each is not None and each.leak))
            for place, each in found.items()
        })  # fmt: skip
        yield _verdicts(scenarios)
        yield _conditions(scenarios)
        yield from _runs({place: runs.get(place, []) for place in scenarios | runs})


def _verdicts(scenarios: dict[Place, ScenarioSeen]) -> Metric:
    made = GaugeMetricFamily(
        "sectum_scenario_last_verdict", "1 for the verdict of its last accepted run; None: it left no pack.",
        labels=(*_SCENARIO, "verdict"),
    )  # fmt: skip
    for place, each in scenarios.items():
        for verdict in _VERDICTS if each.verdict else ():
            made.add_metric((*place, str(verdict)), float(each.verdict == verdict))
    return made


def _conditions(scenarios: dict[Place, ScenarioSeen]) -> Metric:
    made = GaugeMetricFamily(
        "sectum_scenario_condition", "1 for the status that the condition has.",
        labels=(*_SCENARIO, "condition", "status"),
    )  # fmt: skip
    for place, each in scenarios.items():
        for kind, status in each.conditions.items():
            for one in ("True", "False", "Unknown"):
                made.add_metric((*place, kind, one), float(one == status))
    return made


def _runs(runs: dict[Place, list[RunSeen]]) -> Iterator[Metric]:
    yield _gauge("sectum_runs_active", "Runs that were accepted and have not ended.", {
        place: sum(run.accepted and not run.over for run in mine) for place, mine in runs.items()
    })  # fmt: skip
    yield _gauge("sectum_runs_pending", "Runs that are not accepted yet.", {
        place: sum(not run.accepted and not run.over for run in mine) for place, mine in runs.items()
    })  # fmt: skip
    yield _gauge("sectum_documents_not_removed", "Documents with markers that runs still listed could not remove.", {
        place: sum(run.left for run in mine) for place, mine in runs.items()
    })  # fmt: skip
    yield _gauge(
        "sectum_runs_not_cleaned",
        "Runs still listed that have ended and of which something may be left in the system under test.",
        {place: sum(run.uncleaned for run in mine) for place, mine in runs.items()},
    )


class _Process(Collector):
    """The queue, the watches and who leads."""

    def __init__(
        self, metrics: Metrics, namespaces: tuple[str, ...], inventory: Inventory, queue: Queue,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._metrics, self._namespaces, self._inventory = metrics, namespaces, inventory
        self._queue, self._clock = queue, clock

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        now, seen = self._clock(), self._inventory
        waits, looks = self._queue.waits(now), self._queue.looks(now)
        yield _one("sectum_queue_depth", "Keys that are due and not looked at; all, where another leads.", len(waits))
        yield _one("sectum_queue_oldest_seconds", "For how long one of them has been due.", max(waits, default=0))
        yield _one("sectum_queue_busy", "Keys that are looked at.", len(looks))
        yield _one("sectum_queue_longest_look_seconds", "For how long one of them has been.", max(looks, default=0))
        yield _one("sectum_relist_timestamp_seconds", "When everything was listed last; 0: never.", seen.listed_at)
        yield _kinds("sectum_objects", "Objects that are known.", lambda kind: len(seen.of(kind)))
        yield _kinds(
            "sectum_watch_last_event_timestamp_seconds", "When the watch told of something last; 0: never.",
            lambda kind: seen.told_at.get(kind, 0),
        )  # fmt: skip
        yield _kinds(
            "sectum_watch_unannounced_objects", "Objects that a listing showed to have changed and the watch did not.",
            lambda kind: len(seen.unannounced(kind)),
        )  # fmt: skip
        leads = GaugeMetricFamily("sectum_leader", "1 where this replica acts.", labels=("namespace",))
        for namespace in self._namespaces:
            leads.add_metric((namespace,), float(self._metrics.leading))
        yield leads


def _one(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, told, value=value)


def _kinds(name: str, told: str, value: Callable[[str], float]) -> Metric:
    made = GaugeMetricFamily(name, told, labels=("kind",))
    for kind in (RUN, SCENARIO):
        made.add_metric((kind,), value(kind))
    return made


def _gauge(name: str, told: str, values: dict[Place, float]) -> Metric:
    made = GaugeMetricFamily(name, told, labels=_SCENARIO)
    for place, value in values.items():
        made.add_metric(place, value)
    return made
