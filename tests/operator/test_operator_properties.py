"""Whatever happens, in whatever order, however often: a run ends, is closed once, and never passes by itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sectum_operator.api import EVENTS, JOBS, PACKS, TryAgain
from sectum_operator.apply import Writer
from sectum_operator.messages import assembled, read_message
from sectum_operator.stages import FINALIZER, Stage, work_of

from tests.operator import cluster
from tests.operator.fake_api import PODS, WAITING, Cluster, Killed, the_run, why, world

ENDS = ("ok", "exit 75", "exit 3", "exit 12", "exit 1", "oom", "disrupted", "deadline", "vanished", *WAITING)
SURFACES = ("api", "search")
stages = st.sampled_from([(stage.value, name) for stage in Stage for name in (SURFACES if stage.of_surface else ("",))])
ends = st.dictionaries(
    st.tuples(stages, st.integers(1, 3)).map(lambda each: (*each[0], each[1])), st.sampled_from(ENDS), max_size=5
)
HAPPENS = ("look", "look", "look", "job", "job", "job", "time", "kill", "fail", "cancel", "suspend", "resume",
           "delete job", "delete pod")  # fmt: skip
happenings = st.lists(st.tuples(st.sampled_from(HAPPENS), st.integers(0, 30)), max_size=60)


class World:
    """Takes what happens, one by one."""

    def __init__(self, there: Cluster) -> None:
        self.there, self.api = there, there.api
        self.writer = Writer(self.api, cluster.IMAGES, self.api.clock)
        self.failing = 0
        self.api.fail = self._fails

    def _fails(self) -> bool:
        self.failing -= 1
        return self.failing == 0

    def look(self) -> float | None:
        try:
            return asyncio.run(self.writer.run(cluster.NAMESPACE, cluster.RUN.name))
        except Killed:
            self.api.kill_after = None
            self.writer = Writer(self.api, cluster.IMAGES, self.api.clock)
        except TryAgain:
            pass
        return 1.0

    def happen(self, what: str, number: int) -> None:
        run, jobs = the_run(self.api), self.api.all(JOBS)
        if what == "look":
            self.look()
        elif what == "job" and (going := self.there.jobs()):
            self.there.advance(going[number % len(going)])
        elif what == "time":
            self.api.now += timedelta(seconds=2**number % 40_000)
        elif what == "kill":
            self.api.kill_after = len(self.api.writes) + 1 + number % 5
        elif what == "fail":
            self.failing = number
        elif what in ("cancel", "suspend", "resume") and run:
            run["spec"] |= {"cancel": True} if what == "cancel" else {"suspend": what == "suspend"}
            self.api._touch(run)
        elif what == "delete job" and jobs:
            self.api.remove(JOBS, jobs[number % len(jobs)]["metadata"]["name"])
        elif what == "delete pod" and (pods := self.api.all(PODS)):
            self.api.remove(PODS, pods[number % len(pods)]["metadata"]["name"])
        self.check()

    def check(self) -> None:
        """What holds at any moment."""
        run = the_run(self.api)
        assert run is not None
        status = run.get("status", {})
        said = [each for each in map(self._message, self.api.all(JOBS)) if each]
        passes = [each.get("verdict") == "Pass" for each in (status, *status.get("surfaces", ()))]
        if any(passes):
            assert status["verdict"] in said or why(run, "Complete") == ("True", status["verdict"])
            assert why(run, "EvidenceStored") == ("True", "Stored")
            assert len(self.api.all(PACKS)) == 1
        works = [work_of(each["metadata"]["labels"]) for each in self.api.all(JOBS)]
        if any(work and work.stage == Stage.PLANT for work in works) and not self._cleaned(run):
            assert FINALIZER in run["metadata"].get("finalizers", ()), "planted, and nobody would clean up"

    def _message(self, job: dict[str, Any]) -> str | None:
        for pod in self.api.all(PODS):
            if pod["metadata"]["name"] == job["metadata"]["name"] + "-x":
                state = pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("terminated", {})
                found = assembled(read_message(state.get("message"), "assemble"))
                return found.verdict if found else None
        return None

    def _cleaned(self, run: dict[str, Any]) -> bool:
        return (why(run, "CleanedUp") or ("", "Running"))[1] != "Running" or why(run, "Complete") is None


def to_the_end(made: World) -> dict[str, Any]:
    for _ in range(2000):
        wake = made.look()
        made.check()
        run = the_run(made.api)
        assert run is not None
        if (why(run, "Complete") or ("",))[0] == "True" and FINALIZER not in run["metadata"].get("finalizers", ()):
            return run
        if not any([made.there.advance(job) for job in made.there.jobs()]):
            assert wake is not None, "stuck"
            made.api.now += timedelta(seconds=max(wake, 1))
    raise AssertionError("no end")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(ends, happenings)
def test_a_run_ends_with_one_pack_at_most_and_passes_only_by_it(ends: dict[Any, str], happened: list[Any]) -> None:
    made = World(world(ends=ends))
    for what, number in happened:
        made.happen(what, number)
    made.happen("resume", 0)
    made.failing = 0
    run = to_the_end(made)
    packs = made.api.all(PACKS)
    assert len(packs) == (why(run, "EvidenceStored") == ("True", "Stored"))
    done = [work for work in made.there.did if work[0] == "assemble"]
    assert len(done) <= 1
    assert (run["status"].get("verdict") is not None) == bool(packs)
    began = [work for work in made.there.began if work.stage == Stage.PLANT]
    if began and not any(end for (stage, *_), end in ends.items() if stage == "clean"):
        assert {work.surface for work in began} <= {w.surface for w in made.there.began if w.stage == Stage.CLEAN}
    names = [each["metadata"]["name"] for each in made.api.all(EVENTS)]
    assert len(names) == len(set(names))
    before = list(made.api.writes)
    made.api.kill_after = None
    made.look()
    assert made.api.writes == before, "an ended run is left alone"
