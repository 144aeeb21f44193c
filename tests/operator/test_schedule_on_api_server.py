"""A schedule of a tick a minute under Kubernetes' own CronJob controller: one run a tick, whatever happens."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from sectum import series
from sectum_operator.cronjobs import cron_job_name

from tests.notes_app import running_notes_app
from tests.operator import watching
from tests.operator.installation import Installation, installed
from tests.operator.interception import Interception
from tests.operator.operator_process import OperatorProcess

pytestmark = [pytest.mark.timeout(480), pytest.mark.minutes]
TICKS = 3
Json = dict[str, Any]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, OperatorProcess]]:
    folder = tmp_path_factory.mktemp("cluster")
    with (
        installed(folder) as here,
        Interception(here.plane) as line,
        OperatorProcess(line, folder / "operator") as operator,
    ):
        yield here, operator


def active(here: Installation) -> list[str]:
    return [
        each["metadata"]["name"]
        for each in here.list("verificationruns")
        if watching.condition(each, "Accepted")[0] == "True" and watching.condition(each, "Complete")[0] != "True"
    ]


def until(here: Installation, ticks: int, *, seconds: float = 100) -> list[Json]:
    """The runs, once there are so many; two are never active."""
    deadline = time.monotonic() + seconds
    while len(runs := here.list("verificationruns")) < ticks:
        assert len(active(here)) <= 1
        assert time.monotonic() < deadline, f"{here.list('cronjobs')}\n{here.list('jobs')}\n{here.node.logs()}"
        time.sleep(0.2)
    return sorted(runs, key=lambda each: str(each["spec"]["slot"]))


def came_to_pass(happened: Callable[[], Any], *, seconds: float = 70) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def cron_job(here: Installation, scenario: Json) -> Json | None:
    return here.get("cronjobs", cron_job_name("minutely", scenario["metadata"]["uid"]))


def change(here: Installation, **spec: Any) -> None:
    """Change the scenario, as `kubectl apply` does."""
    answer = here.plane.client.patch(
        here.path("isolationscenarios", "minutely"), json={"spec": spec},
        headers={"Content-Type": "application/merge-patch+json"},
    )  # fmt: skip
    answer.raise_for_status()


def again(here: Installation, cron_job: Json, name: str) -> None:
    """Fire a tick that has been fired: a Job of its name, whose trigger finds the run there."""

    def succeeded() -> bool:
        return bool((here.get("jobs", name) or {}).get("status", {}).get("succeeded"))

    came_to_pass(succeeded)
    here.plane.client.delete(here.path("jobs", name), params={"propagationPolicy": "Background"}).raise_for_status()
    here.create("jobs", {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": cron_job["spec"]["jobTemplate"]["spec"],
    })  # fmt: skip
    came_to_pass(succeeded)
    assert "the run is there already" in here.node.logs()


def test_each_tick_has_one_run_through_a_kill_and_a_new_cron_job(here: tuple[Installation, OperatorProcess]) -> None:
    there, operator = here
    with running_notes_app(leaky=False) as notes:
        about = there.scenario(notes, name="minutely", surfaces=("api",), schedule="* * * * *")
        [run] = until(there, 1)
        name = run["metadata"]["name"]
        first = cron_job(there, about)
        assert first is not None
        again(there, first, name)
        # Not earlier: prepare refuses a scenario that was changed since it was accepted.
        came_to_pass(lambda: (there.get("verificationruns", name) or {}).get("status", {}).get("counts"))
        change(there, startingDeadlineSeconds=120)
        came_to_pass(lambda: (new := cron_job(there, about)) and new["metadata"]["uid"] != first["metadata"]["uid"])
        until(there, 2)
        operator.kill()
        time.sleep(2)
        operator.start()
        until(there, TICKS)
        came_to_pass(lambda: all(map(over, there.list("verificationruns")[:TICKS])), seconds=150)
        runs = until(there, TICKS)[:TICKS]
        records = [series.peek(each)[0] for _, each in sorted(there.stored("evidence-minutely", "series/").items())]
        change(there, suspend=True)
        came_to_pass(lambda: cron_job(there, about) is None)
    check(runs, about["metadata"]["uid"], [each for each in records if each["schema"] == series.OPEN_SCHEMA])


def over(run: Json) -> bool:
    return watching.condition(run, "Complete")[0] == "True"


def check(runs: list[Json], uid: str, opened: list[Json]) -> None:
    """A run a tick, named after it; on a busy machine it takes longer than a minute, and the next tick is refused."""
    slots = [datetime.fromisoformat(each["spec"]["slot"]) for each in runs]
    assert {(after - before).total_seconds() for before, after in pairwise(slots)} == {60}
    accepted: list[str] = []
    refused: list[str] = []
    for run in runs:
        name, minutes = run["metadata"]["name"].rsplit("-", 1)
        assert name == cron_job_name("minutely", uid)
        assert int(minutes) * 60 == datetime.fromisoformat(run["spec"]["slot"]).timestamp()
        forbidden = watching.condition(run, "Complete") == ("True", "ConcurrencyForbidden")
        (refused if forbidden else accepted).append(run["spec"]["slot"])
        assert forbidden or watching.condition(run, "Complete") == ("True", "Pass")
    assert [each["occasion"]["slot"] for each in opened][: len(accepted)] == accepted
    told = {each["slot"] for record in opened for each in record["occasion"]["refused"]}
    assert {each for each in refused if each < accepted[-1]} <= told
    assert not told & set(accepted)
