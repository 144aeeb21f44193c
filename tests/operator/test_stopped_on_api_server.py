"""Runs that do not get to their end, on a real API server with the real operator and stages: what they leave."""

import base64
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.notes_app import running_notes_app
from tests.operator import watching
from tests.operator.installation import Installation, installed
from tests.operator.interception import Interception
from tests.operator.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(240)
MERGE = {"Content-Type": "application/merge-patch+json"}
Stand = tuple[Installation, OperatorProcess]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("cluster")
    with (
        installed(folder) as here,
        Interception(here.plane) as line,
        OperatorProcess(line, folder / "operator") as operator,
    ):
        yield here, operator


def until(done: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def jobs_of(here: Installation, run: str, stage: str) -> list[str]:
    """Names of the run's Jobs of a stage."""
    asked = {"labelSelector": f"sectum.ai/run={run},sectum.ai/stage={stage}"}
    found = here.plane.client.get(here.path("jobs"), params=asked).json()["items"]
    return [each["metadata"]["name"] for each in found]


def test_cancelled_before_anything_was_planted_an_opened_run_is_closed_by_a_pack(stand: Stand, tmp_path: Path) -> None:
    here, operator = stand
    operator.start()
    with running_notes_app(leaky=False) as notes:
        here.scenario(notes, name="closed", surfaces=("api", "cache"))
        watching.start(here, "closed")
        until(lambda: jobs_of(here, "closed", "open"))
        path = here.path("verificationruns", "closed")
        here.plane.client.patch(path, json={"spec": {"cancel": True}}, headers=MERGE).raise_for_status()
        run = watching.until_complete(here, "closed")
        assert not notes.documents
    assert jobs_of(here, "closed", "plant") == []
    ended = watching.checked(here, run, tmp_path)
    assert ended.verdict == "Inconclusive"
    assert [each["reason"] for each in run["status"]["surfaces"]] == ["Cancelled"] * 2
    assert len(here.stored("evidence-closed", "series/")) == 2, "an Open and its Close"


def test_what_a_run_left_is_swept_by_hand_from_copies_of_its_stores(stand: Stand, tmp_path: Path) -> None:
    here, operator = stand
    operator.start()
    with running_notes_app(leaky=False) as notes:
        here.scenario(notes, name="left", surfaces=("api", "cache"))
        watching.start(here, "left")
        until(lambda: jobs_of(here, "left", "probe"))
        operator.kill()
        for name in jobs_of(here, "left", "probe"):
            here.plane.client.request(
                "DELETE", here.path("jobs", name), json={"propagationPolicy": "Foreground"}
            ).raise_for_status()
        until(lambda: not jobs_of(here, "left", "probe"))
        assert notes.documents, "or nothing would be left"
        for bucket, prefix in (("evidence-left", "manifests/"), ("records-left", "work/")):
            for name, data in here.stored(bucket, prefix).items():
                write(tmp_path / "copy" / name, data)
        for secret in here.list("secrets"):
            for key, value in (secret.get("data") or {}).items():
                write(tmp_path / "secrets" / secret["metadata"]["name"] / key, base64.b64decode(value))
        swept = subprocess.run(
            [str(Path(sys.executable).parent / "sectum"), "sweep-orphans", "--out", str(tmp_path / "copy"),
             "--secrets", str(tmp_path / "secrets")], capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert swept.returncode == 0, swept.stderr
        assert not notes.documents
    answer = here.plane.client.patch(
        here.path("verificationruns", "left"), json={"metadata": {"finalizers": None}}, headers=MERGE
    )
    assert answer.status_code == httpx.codes.OK


def write(path: Path, data: bytes) -> None:
    """With the folders on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
