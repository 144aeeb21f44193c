"""`kubectl apply` of a run on a real API server, with the real operator and stages, ends with a verified pack."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notes_app import running_notes_app
from tests.operator import watching
from tests.operator.installation import Installation, installed
from tests.operator.interception import Interception
from tests.operator.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("cluster")
    with installed(folder) as here, Interception(here.plane) as line, OperatorProcess(line, folder / "operator"):
        yield here


@pytest.mark.parametrize(("leaky", "verdict"), [(True, "Leak"), (False, "Pass")])
def test_a_run_ends_with_its_verdict_and_one_verified_pack(
    here: Installation, tmp_path: Path, *, leaky: bool, verdict: str
) -> None:
    name = verdict.lower()
    with running_notes_app(leaky=leaky) as notes:
        here.scenario(notes, name=name, surfaces=("api", "cache"))
        watching.start(here, name)
        run = watching.until_complete(here, name)
        assert not notes.documents, "something was left in the app"
    ended = watching.checked(here, run, tmp_path)
    assert ended.verdict == verdict
    assert watching.condition(run, "CleanedUp")[0] == "True"
    assert len(watching.children(here, run)["jobs"]) == 3 + 4 * 2
    watching.delete(here, run)
