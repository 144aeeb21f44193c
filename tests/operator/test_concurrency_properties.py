"""Whatever happens, in whatever order: two runs of a scenario are never active, and no tick is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sectum_operator.api import JOBS, RUNS
from sectum_operator.stages import RUN

from tests.operator.fake_api import why
from tests.operator.scheduled_runs import Runs, spelt_slot

HAPPENS = ("round", "round", "round", "tick", "tick", "by_hand", "look", "job", "job", "time", "kill", "cancel",
           "suspend", "resume")  # fmt: skip


class World(Runs):
    """Takes what happens, one by one."""

    def __init__(self, policy: str, *, kept: int) -> None:
        self.ran: set[str] = set()
        """Ticks whose run was opened: all that a series has of them by themselves."""
        self.told: set[str] = set()
        """Ticks that a run with evidence names."""
        super().__init__(policy, successfulRunsHistoryLimit=kept, failedRunsHistoryLimit=kept)

    @property
    def slots(self) -> set[str]:
        return {spelt_slot(number + 1) for number in range(self.ticks)}

    def happen(self, what: str, number: int) -> None:
        names, going = self.names(), self.there.jobs()
        some = names[number % len(names)] if names else None
        simple: dict[str, Callable[[], Any]] = {"round": self.round, "tick": self.tick, "by_hand": self.by_hand}
        if what in simple:
            simple[what]()
        elif what == "job" and going:
            self.there.advance(going[number % len(going)])
        elif what == "time":
            self.api.now += timedelta(seconds=2**number % 40_000)
        elif what == "kill":
            self.api.kill_after = len(self.api.writes) + 1 + number % 5
        elif some:
            self._happen_to(some, what)
        self.check()

    def _happen_to(self, name: str, what: str) -> None:
        if what == "look":
            self.look(name)
        if what in ("cancel", "suspend", "resume"):
            self[name]["spec"] |= {"cancel": True} if what == "cancel" else {"suspend": what == "suspend"}
            self.api._touch(self[name])

    def check(self) -> None:
        """What holds at any moment."""
        assert len(self.active()) <= 1
        assert len(self.working()) <= 1
        for each in self.api.all(RUNS):
            if why(each, "EvidenceStored") == ("True", "Stored"):
                self.told.update(one["slot"] for one in each["status"].get("refused", ()))
        for job in self.api.all(JOBS):
            if job["metadata"]["labels"]["sectum.ai/stage"] == "open":
                run = self.api.objects.get((RUNS.plural, job["metadata"]["labels"][RUN]))
                self.ran |= {run["spec"]["slot"]} if run and "slot" in run["spec"] else set()
        assert not self.ran & self.told, "a tick was run, and is told of as refused"
        there = {each["spec"].get("slot") for each in self.api.all(RUNS)}
        assert self.slots <= there | self.ran | self.told, "a tick was forgotten"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["Forbid", "Replace"]), st.integers(0, 2),
    st.lists(st.tuples(st.sampled_from(HAPPENS), st.integers(0, 30)), max_size=50),
)  # fmt: skip
def test_two_are_never_active_and_each_tick_has_a_run_or_is_told_of(
    policy: str, kept: int, happened: list[Any]
) -> None:
    made = World(policy, kept=kept)
    for what, number in happened:
        made.happen(what, number)
    made.api.kill_after = None
    for name in made.names():
        made._happen_to(name, "resume")
    made.to_the_end()
    last = made.by_hand()
    made.to_the_end()
    assert why(made[last], "Complete") == ("True", "Pass")
    assert made.slots <= made.ran | made.told
