"""The operator is killed at every write of a run, before the server hears of it and after: the run's end is the same.

Once in a single run that is interrupted at each of its writes twice; then in runs that are interrupted at one of them.
SECTUM_KILL_POINTS=all tries each of these, which takes a run (some fifteen seconds) for each; the default is a few.
"""

import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from sectum_operator.stages import RunId, Stage, Work, job_name

from tests.notes_app import running_notes_app
from tests.operator import watching
from tests.operator.installation import NAMESPACE, Installation, installed
from tests.operator.interception import Call, Interception, Moment
from tests.operator.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(1500)
Kill = Callable[[Call, Moment], bool]
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)")
WRITTEN = {
    "POST networkpolicies", "POST jobs", "POST evidencepacks", "PATCH evidencepacks", "PATCH verificationruns",
}  # fmt: skip
"""Kinds of writes without which there is no run; whatever else there is is enumerated as well."""
CREATED = ("POST jobs", "POST networkpolicies", "POST evidencepacks")
"""Of these each one is the same object in every run; status is written more or less often, as the operator finds it."""
FEW, SEED = 4, 20261124


class Stand:
    """An installation whose operator dies when it is told to, and is started again at once."""

    def __init__(self, here: Installation, line: Interception, operator: OperatorProcess) -> None:
        self.here, self.line, self.operator = here, line, operator

    def play(self, name: str, folder: Path, *, leaky: bool, kill: Kill, seconds: float) -> watching.Ended:
        """One whole run; all that must be true however often the operator was killed is asserted."""

        def judge(call: Call, moment: Moment) -> bool:
            if not kill(call, moment):
                return False
            self.operator.kill()
            return True

        with running_notes_app(leaky=leaky) as notes:
            self.here.scenario(notes, name=name)
            self.line.judge = judge
            made = watching.start(self.here, name)
            run = self._until_complete(name, seconds)
            assert not notes.documents, "something was left in the app"
        ended = watching.checked(self.here, run, folder)
        assert ended.verdict == ("Leak" if leaky else "Pass")
        id_ = RunId(NAMESPACE, name, made["metadata"]["uid"])
        works = [Work(stage, "api" if stage.of_surface else "", 1) for stage in Stage]
        assert watching.children(self.here, run)["jobs"] == sorted(job_name(id_, work) for work in works)
        assert not self.here.node.alive()
        return ended

    def _until_complete(self, name: str, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            self.operator.start()
            run = self.here.get("verificationruns", name)
            assert run is not None
            if watching.condition(run, "Complete")[0] == "True" and not run["metadata"].get("finalizers"):
                return run
            told = f"no end: {json.dumps(run.get('status'))[-3000:]}\n{self.operator.log[-6000:]}"
            assert time.monotonic() < deadline, told
            time.sleep(0.05)

    def delete(self, ended: watching.Ended) -> None:
        """No orphan, with an operator that is left in peace."""
        self.line.judge = lambda _call, _moment: False
        self.operator.start()
        watching.delete(self.here, ended.run)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("cluster")
    with (
        installed(folder) as here,
        Interception(here.plane) as line,
        OperatorProcess(line, folder / "operator") as operator,
    ):
        yield Stand(here, line, operator)


@pytest.fixture(scope="module")
def undisturbed(stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """The writes of a run in which nobody is killed."""
    before = len(stand.line.writes)
    ended = stand.play("calm", tmp_path_factory.mktemp("calm"), leaky=False, kill=lambda _c, _m: False, seconds=180)
    stand.delete(ended)
    return stand.line.writes[before:]


class OnePoint:
    """Kills once, at the write of this number."""

    def __init__(self, number: int, moment: Moment) -> None:
        self._number, self._moment, self.hit = number, moment, False

    def __call__(self, call: Call, moment: Moment) -> bool:
        hits = (call.number, moment) == (self._number, self._moment)
        self.hit = self.hit or hits
        return hits


def kind(call: Call) -> str:
    """`POST jobs` and the like."""
    parts = call.what.split()[1].split("/namespaces/")[-1].split("/")
    return f"{call.method} {parts[1]}"


def same(call: Call) -> str:
    """What makes it the same write when it comes again, later."""
    body = TIME.sub("", json.dumps(call.body, sort_keys=True))
    return f"{call.what} {re.sub(r'.resourceVersion.: .[0-9]*.', '', body)}"


def test_every_kind_of_write_is_enumerated(undisturbed: list[Call]) -> None:
    assert {kind(call) for call in undisturbed} >= WRITTEN


def distinct(calls: Sequence[Call]) -> dict[str, Call]:
    """Of writes that come again, say after a kill, the first; what each wave writes anew is another each time."""
    found: dict[str, Call] = {}
    for number, call in enumerate(calls):
        found.setdefault(f"{jobs_made(calls[:number])} {same(call)}", call)
    return found


def jobs_made(calls: Sequence[Call]) -> int:
    """How far the run has come."""
    return sum((kind(call), call.status) == ("POST jobs", httpx.codes.CREATED) for call in calls)


def test_killed_before_and_after_each_write_of_one_run(stand: Stand, tmp_path: Path, undisturbed: list[Call]) -> None:
    before = len(stand.line.writes)
    killed: dict[Moment, dict[str, Call]] = {moment: {} for moment in Moment}

    def kill(call: Call, moment: Moment) -> bool:
        others = [each for each in stand.line.writes[before:] if each.number != call.number]
        return killed[moment].setdefault(f"{jobs_made(others)} {same(call)}", call) is call

    ended = stand.play("killed", tmp_path, leaky=False, kill=kill, seconds=1200)
    calm = Counter(kind(call) for call in distinct(undisturbed).values())
    for moment in Moment:
        kinds = Counter(kind(call) for call in killed[moment].values())
        assert {name: kinds[name] for name in CREATED} == {name: calm[name] for name in CREATED}
        assert kinds.keys() >= WRITTEN
    stand.delete(ended)


def test_killed_once(stand: Stand, tmp_path: Path, undisturbed: list[Call]) -> None:
    points = [(number, moment) for number in range(1, len(undisturbed) + 1) for moment in Moment]
    if os.environ.get("SECTUM_KILL_POINTS") != "all":
        points = sorted(random.Random(SEED).sample(points, FEW), key=str)
    for number, moment in points:
        point = OnePoint(stand.line.newest + number, moment)
        name = f"once-{number}-{moment.value}"
        ended = stand.play(name, tmp_path, leaky=number % 2 == 0, kill=point, seconds=180)
        assert point.hit, f"the run made fewer than {number} writes"
        stand.delete(ended)
