"""Several runs of one scenario on an API server in memory, with the cluster that plays their Jobs, and one operator."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from sectum_operator.api import JOBS, RUNS, SCENARIOS, ApiFault
from sectum_operator.apply import Writer
from sectum_operator.scenarios import Scenarios
from sectum_operator.stages import RUN

from tests.operator import cluster
from tests.operator.fake_api import Cluster, FakeApi, Killed, why

Json = dict[str, Any]


def spelt_slot(number: int) -> str:
    """The tick of that number; a minute apart."""
    return f"{datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=number):%Y-%m-%dT%H:%M:00Z}"


class Runs:
    """One scenario, `minimal`, that has no run yet."""

    def __init__(self, policy: str = "Forbid", **spec: Any) -> None:
        self.api = FakeApi()
        about = cluster.scenario("api")
        about["spec"] |= {"concurrencyPolicy": policy, **spec}
        self.api.put(SCENARIOS, about)
        self.there = Cluster(self.api, surfaces=("api",))
        self.ticks = self.byhand = 0
        self.start()

    def start(self) -> None:
        """The operator's process, a new one."""
        self.api.kill_after = None
        self.writer = Writer(self.api, cluster.IMAGES, self.api.clock)
        self.scenarios = Scenarios(self.api, cluster.IMAGES, self.api.clock)

    def make(self, name: str, **spec: Any) -> str:
        """A run that nobody has looked at."""
        made = cluster.run(**spec)
        del made["metadata"]["uid"], made["metadata"]["creationTimestamp"]
        made["metadata"]["name"] = name
        self.api.put(RUNS, made)
        return name

    def tick(self) -> str:
        """The run of the schedule's next tick."""
        self.ticks += 1
        return self.make(f"tick-{self.ticks:03}", slot=spelt_slot(self.ticks))

    def by_hand(self) -> str:
        """A run that somebody asks for."""
        self.byhand += 1
        return self.make(f"hand-{self.byhand:03}")

    def __getitem__(self, name: str) -> Json:
        return self.api.objects[RUNS.plural, name]

    def names(self) -> list[str]:
        """Of the runs that are there."""
        return [each["metadata"]["name"] for each in self.api.all(RUNS)]

    def active(self) -> list[str]:
        """Those that were accepted and have not ended."""
        return [
            each["metadata"]["name"]
            for each in self.api.all(RUNS)
            if (why(each, "Accepted") or "?")[0] == "True" and not self.ended(each)
        ]

    def working(self) -> set[str]:
        """Those with a Job that is under way."""
        return {each["metadata"]["labels"][RUN] for each in self.there.jobs()}

    @staticmethod
    def ended(run: Json) -> bool:
        return (why(run, "Complete") or "?")[0] == "True"

    def look(self, name: str) -> None:
        """At a run."""
        self._look(self.writer.run(cluster.NAMESPACE, name))

    def look_at_scenario(self) -> None:
        """As an event of one of its runs would have it."""
        self._look(self.scenarios.look(cluster.NAMESPACE, "minimal"))

    def _look(self, look: Any) -> None:
        try:
            asyncio.run(look)
        except Killed:
            self.start()
        except ApiFault:
            pass
        self.check()

    def check(self) -> None:
        """What a test wants to hold after every look."""

    def round(self) -> None:
        """Everything is looked at, and the cluster goes on by one."""
        for name in self.names():
            self.look(name)
        self.look_at_scenario()
        if not any([self.there.advance(job) for job in self.there.jobs()]):
            self.api.now += timedelta(seconds=20)

    def to_the_end(self, *, rounds: int = 300) -> None:
        """Until all runs have ended."""
        for _ in range(rounds):
            self.round()
            if all(map(self.ended, self.api.all(RUNS))) and not self.working():
                return
        raise AssertionError([(each["metadata"]["name"], each.get("status")) for each in self.api.all(RUNS)])

    def begin(self, name: str, stage: str) -> None:
        """Until that run has a Job of the stage."""
        for _ in range(60):
            if any(
                each["metadata"]["labels"]["sectum.ai/stage"] == stage and each["metadata"]["labels"][RUN] == name
                for each in self.api.all(JOBS)
            ):
                return
            self.round()
        raise AssertionError(f"{name} has no {stage}: {self[name]}")
