"""A run that is killed at any moment leaves nothing that `sectum sweep-orphans` does not remove.

What is left is read from the servers' own tables as superuser. A write that had reached the server when the run was
killed may be committed later; a sweep cannot know of it, and `wait_until_idle` waits for it as an operator does who
sweeps a moment later.
"""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from sectum.codec import sha256

from tests.quickstart.quick import Quick, as_json, bodies, prepare, runs, sectum, start
from tests.stack.running import Stack, running_stack

SEED = 20261124
POINT_SECONDS = 120


@dataclass
class Running:
    """A run under way, seen from outside."""

    quick: Quick
    out: Path
    process: "subprocess.Popen[str]"
    before: set[str]

    def until(self, reached: Callable[["Running"], bool], *, then: float = 0.0) -> None:
        deadline = time.monotonic() + POINT_SECONDS
        while not reached(self):
            assert self.process.poll() is None, f"the run ended (exit {self.process.returncode}) before the point"
            assert time.monotonic() < deadline, "the point was never reached"
            time.sleep(0.001)
        time.sleep(then)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def id(self) -> str | None:
        return next(iter(set(runs(self.out)) - self.before), None)

    def files(self, pattern: str) -> int:
        return sum(1 for _ in (self.out / "work" / (self.id or "none")).glob(pattern))


SURFACES, PLANTED = 10, 180
"""Of the quickstart's scenario: its surfaces, and the documents that a run plants."""


def manifest_stored(run: Running) -> bool:
    return run.id is not None


def opened(run: Running) -> bool:
    return run.id is not None and any(body["run"] == run.id for body in bodies(run.out))


def intended(run: Running) -> bool:
    return run.files("sealed/*/1/intent-*") > 0


def written(run: Running) -> bool:
    return intended(run) and len(documents(run.quick.stack)) > 0


def receipts(run: Running, *, count: int) -> bool:
    return run.files("sealed/*/1/receipt-*") >= count


def probing(run: Running) -> bool:
    return run.files("sealed/*/1/receipt-*") >= PLANTED


def concluded(run: Running) -> bool:
    return run.files("probe/*/1/*") > SURFACES  # a start of each surface, and a first result


def being_removed(run: Running, *, left: int) -> bool:
    return concluded(run) and len(documents(run.quick.stack)) <= left


def zipped(run: Running) -> bool:
    return (run.out / "packs" / f"{run.id}.zip").exists()


def points() -> list[tuple[str, Callable[[Running], bool], float]]:
    """Name, what must have happened, and seconds after it; the numbers are drawn from the seed."""
    draw = random.Random(SEED)
    early, late = draw.randint(2, 20), draw.randint(35, 60)
    left = draw.randint(10, 60)
    return [
        ("manifest stored", manifest_stored, 0.0),
        ("opened", opened, draw.uniform(0.0, 0.1)),
        ("first intent", intended, 0.0),
        ("first write", written, 0.0),
        (f"{early} receipts", partial(receipts, count=early), 0.0),
        (f"{late} receipts", partial(receipts, count=late), draw.uniform(0.0, 0.01)),
        ("probing", probing, draw.uniform(0.0, 0.5)),
        ("later while probing", probing, draw.uniform(0.5, 1.5)),
        (f"{left} documents left", partial(being_removed, left=left), 0.0),
        ("pack stored", zipped, 0.0),
    ]


POINTS = points()


@contextlib.contextmanager
def running(quick: Quick, *words: str) -> Iterator[Running]:
    """A run as a process of its own, killed at the latest when the block ends; nobody reads what it prints."""
    before = set(runs(quick.out))
    with (quick.folder / "stderr").open("w") as log:
        process = start(*quick.run_words(), *words, stderr=log)
        run = Running(quick, quick.out, process, before)
        try:
            yield run
        finally:
            if process.poll() is None:
                run.kill()


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    with running_stack() as stack:
        yield prepare(tmp_path_factory.mktemp("killed"), stack)


def admin(stack: Stack) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(stack.admin_dsn, autocommit=True)


def documents(stack: Stack) -> list[tuple[object, ...]]:
    """Every document there is, by the database itself: row-level security does not bind a superuser."""
    with admin(stack) as connection:
        return connection.execute("SELECT id, tenant, owner FROM documents").fetchall()


def everything(stack: Stack) -> dict[str, int]:
    """Rows by table: of the database, of the answer caches' own and of the vector server's; and what agents remember.

    Only the last is asked for over HTTP, as each user: the agent's store is in the service's memory and nowhere else.
    """
    found = {}
    with admin(stack) as connection:
        tables = connection.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            [[found[str(table)]]] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    for path in (stack.directory / "cache").rglob("answers.db"):
        with contextlib.closing(sqlite3.connect(path)) as answers:
            [[count]] = answers.execute("SELECT count(*) FROM gptcache_answer").fetchall()
            found["answers"] = found.get("answers", 0) + count
    store = stack.directory / "chroma" / "data" / "chroma.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as vectors:
        for table in ("embeddings", "embedding_metadata", "embeddings_queue"):
            [[found[f"chroma.{table}"]]] = vectors.execute(f"SELECT count(*) FROM {table}").fetchall()
    for user in stack.users:
        with stack.http(user.tenant, user.user) as http:
            for what in ("memories", "threads"):
                items = http.get(f"/v1/agent/{what}").raise_for_status().json()["items"]
                found[what] = found.get(what, 0) + len(items)
    return found


def wait_until_idle(stack: Stack) -> None:
    """Until no connection to the service is left, no member is connected and no statement is under way, for a while."""
    port = urlsplit(stack.url).port
    deadline, calm = time.monotonic() + 30, 0
    while calm < 5:
        assert time.monotonic() < deadline, "the server does not come to rest"
        time.sleep(0.05)
        served = [
            connection
            for connection in psutil.Process(stack.pid).net_connections()
            if connection.laddr.port == port and connection.status not in (psutil.CONN_LISTEN, psutil.CONN_TIME_WAIT)
        ]
        with admin(stack) as connection:
            [[busy]] = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid() AND (state <> 'idle' OR usename <> 'app')"
            ).fetchall()
        calm = 0 if served or busy else calm + 1


def declared(quick: Quick) -> set[str]:
    """Tables whose rows `sectum plan` says cannot be removed, and those of accounts, which no run writes."""
    plan = as_json(sectum("plan", "-f", quick.file, "-o", "json"))
    residue = [text for surface in plan["surfaces"] for text in surface["residue"]]
    told = {"cached answers": "answers", "Chroma's queue": "chroma.embeddings_queue"}
    tables = {table for begin, table in told.items() for text in residue if text.startswith(begin)}
    assert len(tables) == len(residue), residue
    return {"public.members", *tables}


def assert_nothing_left(quick: Quick) -> None:
    left = {table for table, count in everything(quick.stack).items() if count}
    assert left <= declared(quick)
    assert "public.members" in left, "the tables were read"


def sweep_and_look(quick: Quick) -> dict[str, object]:
    """Sweep, look, sweep again: exit 0 both times, nothing there, and the second has nothing to do."""
    wait_until_idle(quick.stack)
    document = as_json(sectum(*quick.sweep_words()))
    assert document["notRemoved"] == 0
    assert_nothing_left(quick)
    again = as_json(sectum(*quick.sweep_words()))
    assert again == {"runs": {}, "notRemoved": 0}
    return dict(document["runs"])


@pytest.mark.parametrize(("reached", "then"), [each[1:] for each in POINTS], ids=[each[0] for each in POINTS])
def test_what_a_run_that_was_killed_left_is_swept(
    quick: Quick, reached: Callable[[Running], bool], then: float
) -> None:
    with running(quick) as run:
        run.until(reached, then=then)
        run.kill()
        killed = run.id
    swept = sweep_and_look(quick)
    assert set(swept) == ({killed} if reached is not zipped else set())


def test_the_points_are_ten_and_some_lie_between_the_first_write_and_the_last_receipt() -> None:
    assert len(POINTS) == 10
    assert {"first intent", "first write"} < {each[0] for each in POINTS}


def test_writes_that_were_on_their_way_are_swept_once_the_server_has_done_them(quick: Quick) -> None:
    service = psutil.Process(quick.stack.pid)
    with running(quick) as run:
        run.until(written)
        service.suspend()
        try:
            known = len(documents(quick.stack))
            time.sleep(0.3)  # what the run sends now waits in the sockets
            run.kill()
        finally:
            service.resume()
    wait_until_idle(quick.stack)
    assert len(documents(quick.stack)) > known, "some writes came after the run was dead"
    sweep_and_look(quick)


def test_the_next_run_passes_and_says_which_runs_were_abandoned(quick: Quick) -> None:
    with running(quick) as run:
        run.until(probing)
        run.kill()
    sweep_and_look(quick)
    done = as_json(sectum(*quick.run_words(), "-o", "json"))
    assert (done["verdict"], done["exitStatus"]) == ("Pass", 0)
    assert_nothing_left(quick)
    records = bodies(quick.out)
    began = [body["run"] for body in records if "outcome" not in body]
    ended = {body["run"]: (body["outcome"], body["pack"]) for body in records if "outcome" in body}
    assert set(began) == set(ended), "every run that was opened is closed"
    assert ended.pop(done["run"])[0] == "Pass"
    # One whose pack was stored already is closed as what that says.
    packs = {each.stem: sha256(each.read_bytes()) for each in (quick.out / "packs").glob("*.zip")}
    abandoned = {run for run, (outcome, pack) in ended.items() if (outcome, pack) == ("Abandoned", None)}
    assert abandoned
    assert {run: pack for run, (_, pack) in ended.items() if run not in abandoned} == {
        run: digest for run, digest in packs.items() if run in ended
    }


def interrupted(quick: Quick, reached: Callable[[Running], bool]) -> tuple[int, dict[str, object]]:
    """Exit status and run.json of a run that got one Ctrl-C at that moment."""
    with running(quick) as run:
        run.until(reached)
        run.process.send_signal(signal.SIGINT)
        status = run.process.wait(timeout=60)
        return status, json.loads((quick.out / "packs" / str(run.id) / "run.json").read_text())


@pytest.mark.parametrize("reached", [opened, written, partial(receipts, count=30), probing])
def test_a_run_that_is_interrupted_once_cleans_up_and_writes_a_pack_that_verifies(
    quick: Quick, reached: Callable[[Running], bool]
) -> None:
    status, result = interrupted(quick, reached)
    assert (status, result["verdict"], result["cancelled"]) == (11, "Inconclusive", True)
    assert_verifies_and_left_nothing(quick, str(result["run"]))


def test_a_leak_that_was_seen_before_the_interrupt_stands(tmp_path: Path) -> None:
    with running_stack(config="leaky") as stack:
        leaky = prepare(tmp_path, stack)
        status, result = interrupted(leaky, lambda run: run.files("probe/*/1/*") > 10)
        assert (status, result["verdict"], result["cancelled"]) == (10, "Leak", True)
        assert_verifies_and_left_nothing(leaky, str(result["run"]))


def assert_verifies_and_left_nothing(quick: Quick, run: str) -> None:
    assert_nothing_left(quick)
    assert as_json(sectum(*quick.sweep_words())) == {"runs": {}, "notRemoved": 0}
    [number] = [body["sequence"] for body in bodies(quick.out) if body["run"] == run and "outcome" not in body]
    done = quick.verify(quick.out / "packs" / f"{run}.zip", quick.out / "series" / f"{number:06d}.json")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_that_is_interrupted_twice_ends_at_once_and_is_swept(quick: Quick) -> None:
    with running(quick) as run:
        run.until(probing)
        os.kill(run.process.pid, signal.SIGINT)
        time.sleep(0.05)
        os.kill(run.process.pid, signal.SIGINT)
        began = time.monotonic()
        assert run.process.wait(timeout=30) == 1
        assert time.monotonic() - began < 5
    said = (quick.folder / "stderr").read_text()
    assert "error: ended at once; documents may be left in the surfaces\nnext: sectum sweep-orphans" in said
    assert "Traceback" not in said
    assert set(sweep_and_look(quick)) == {run.id}
