"""The series says of every run that it began, before it wrote anything, and how it ended."""

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.quickstart.quick import Quick, as_json, bodies, prepare, runs, sectum
from tests.quickstart.test_killed import probing, running, sweep_and_look
from tests.stack.running import running_stack

OPEN, CLOSE = "sectum.ai/open/v1", "sectum.ai/close/v1"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    """A run, one that was killed and swept, and another run, into one folder."""
    with running_stack() as stack:
        quick = prepare(tmp_path_factory.mktemp("series"), stack)
        assert quick.run()["verdict"] == "Pass"
        with running(quick) as run:
            run.until(probing)
            run.kill()
        sweep_and_look(quick)
        assert as_json(sectum(*quick.run_words(), "-o", "json"))["verdict"] == "Pass"
        yield quick


def test_every_record_names_the_digest_of_the_one_before(quick: Quick) -> None:
    files = sorted((quick.out / "series").iterdir())
    assert [path.name for path in files] == [f"{number:06d}.json" for number in range(1, 7)]
    before = None
    for number, (path, body) in enumerate(zip(files, bodies(quick.out), strict=True), 1):
        assert (body["sequence"], body["previous"]) == (number, before)
        before = hashlib.sha256(path.read_bytes()).hexdigest()


def test_three_runs_are_opened_and_closed_the_killed_one_by_the_next(quick: Quick) -> None:
    first, killed, last = runs(quick.out)
    said = [(body["schema"], body["run"], body.get("outcome")) for body in bodies(quick.out)]
    assert said == [
        (OPEN, first, None),
        (CLOSE, first, "Pass"),
        (OPEN, killed, None),
        (CLOSE, killed, "Abandoned"),
        (OPEN, last, None),
        (CLOSE, last, "Pass"),
    ]


def test_a_close_names_its_pack_and_an_abandoned_run_has_none(quick: Quick) -> None:
    for body in bodies(quick.out):
        if body["schema"] == CLOSE:
            pack = quick.out / "packs" / f"{body['run']}.zip"
            assert body["pack"] == (hashlib.sha256(pack.read_bytes()).hexdigest() if pack.exists() else None)
            assert pack.exists() == (body["outcome"] != "Abandoned")


def test_a_run_is_opened_before_its_first_write_and_bound_to_its_pack(quick: Quick) -> None:
    for number, run in enumerate(runs(quick.out)):
        path = quick.out / "series" / f"{2 * number + 1:06d}.json"
        body = bodies(quick.out)[2 * number]
        assert body["run"] == run
        wrote = sorted((quick.out / "work" / run / "sealed").rglob("*-*"), key=lambda each: each.stat().st_mtime_ns)
        assert os.stat(path).st_mtime_ns < wrote[0].stat().st_mtime_ns
        assert wrote[0].name.startswith("intent-")
        opened = datetime.fromisoformat(body["at"])
        # UUIDs of version 7 begin with milliseconds since 1970.
        assert opened.timestamp() * 1000 <= int(wrote[0].name.removeprefix("intent-").replace("-", "")[:12], 16)
        document = pack_of(quick.out, run)
        if document is not None:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert document["open"] == {"sequence": body["sequence"], "digest": digest}
            assert document["plan"] == body["plan"]
            assert document["manifest"] == body["manifest"]


def pack_of(out: Path, run: str) -> dict[str, object] | None:
    path = out / "packs" / run / "run.json"
    return json.loads(path.read_text()) if path.exists() else None
