"""The stack starts where it can, says what to do where it cannot, and leaves nothing running behind."""

import dataclasses
import difflib
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from assistant import config, machine

from tests.stack.running import STACK, running_stack, serve_command


@pytest.mark.parametrize(
    ("platform", "version", "says"),
    [
        ("linux", (3, 13, 1), "uv python install 3.12"),
        ("linux", (3, 10, 9), "uv python install 3.12"),
        ("darwin", (3, 12, 0), "Linux"),
        ("win32", (3, 12, 0), "Linux"),
    ],
)
def test_an_unsupported_machine_is_told_what_to_do(platform: str, version: tuple[int, ...], says: str) -> None:
    reason = machine.unsupported(platform, version)
    assert reason is not None
    assert says in reason
    assert "\n" not in reason


def test_an_unsupported_python_ends_the_program_with_one_line_and_2(tmp_path: Path) -> None:
    script = f"""
import collections, sys
sys.version_info = collections.namedtuple("Version", "major minor micro")(3, 13, 0)
from assistant.__main__ import main
main(["serve", "--config", {str(STACK / "hardened.toml")!r}, "--data", {str(tmp_path / "data")!r}])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("assistant: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("security.no_such", True, "unknown setting security.no_such"),
        ("no_such.setting", True, "unknown section [no_such]"),
        ("security.list_per_user", "no", "security.list_per_user must be bool"),
        ("limits.page", True, "limits.page must be int"),
        ("accounts.acme", ["../x"], "accounts.acme"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, name: str, value: object, says: str) -> None:
    command = serve_command(config="hardened", directory=tmp_path, overrides={name: value})
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_stack(number: signal.Signals) -> None:
    with running_stack() as stack:
        program = psutil.Process(stack.pid)
        processes = [program, *program.children(recursive=True)]
        assert any("postgres" in process.name() for process in processes)
        assert any("chromadb_rust_bindings" in " ".join(process.cmdline()) for process in processes)
        program.send_signal(number)
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert alive == []
        left = {path.name for path in stack.directory.iterdir()}
        if number != signal.SIGKILL:
            assert left <= {"cache", "mem0", "stack.log", "token.key"}


def test_a_signal_that_arrives_where_exceptions_are_ignored_stops_the_stack_too(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    script = f"""
import contextlib, os, signal, weakref
import assistant.serve
from assistant.__main__ import main

announced = assistant.serve._announced

@contextlib.contextmanager
def announced_and_stopped(path, ready):
    with announced(path, ready):
        thing = type("Thing", (), {{}})()
        reference = weakref.ref(thing, lambda _: (os.kill(os.getpid(), signal.SIGTERM), [None for _ in range(1000)]))
        del thing
        yield

assistant.serve._announced = announced_and_stopped
main(["serve", "--config", {str(STACK / "hardened.toml")!r}, "--data", {str(tmp_path)!r}])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_credentials_are_for_the_owner_only_and_the_database_listens_on_loopback() -> None:
    with running_stack() as stack:
        for name in ("ready.json", "token.key"):
            assert stat.S_IMODE((stack.directory / name).stat().st_mode) == 0o600
        assert set(json.loads((stack.directory / "ready.json").read_text())) == {
            "url",
            "postgres",
            "users",
            "admin_dsn",
            "issuer",
        }
        program = psutil.Process(stack.pid)
        connections = [
            connection
            for process in [program, *program.children(recursive=True)]
            for connection in process.net_connections()
        ]
        listening = {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
        assert {each.raddr.ip for each in connections if each.raddr} <= {"127.0.0.1"}
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(user="acme_alice", password="wrong", **stack.postgres)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the database as somebody else")
def test_the_database_runs_where_its_account_cannot_reach_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if machine.unsupported(sys.platform, tuple(sys.version_info[:3])):
        pytest.skip("the quickstart's stack cannot run here")
    from assistant import postgres

    monkeypatch.setattr(postgres, "_open_to_all", lambda _: False)
    with postgres.running_postgres(tmp_path) as server, psycopg.connect(server.admin_dsn) as admin:
        admin.execute("CREATE EXTENSION vector")


def test_the_two_builds_differ_in_the_security_settings_only() -> None:
    hardened, leaky = ((STACK / f"{name}.toml").read_text().splitlines() for name in ("hardened", "leaky"))
    changes = [line for line in difflib.ndiff(hardened, leaky) if line[0] in "+-" and not line[2:].startswith("#")]
    names = [field.name for field in dataclasses.fields(config.Security)]
    assert sorted(changes) == sorted([f"- {name} = true" for name in names] + [f"+ {name} = false" for name in names])


def test_the_readme_explains_every_security_setting() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (STACK / "README.md").read_text(), flags=re.MULTILINE)
    assert rows == [field.name for field in dataclasses.fields(config.Security)]


def test_the_stack_knows_nothing_of_what_is_run_against_it() -> None:
    words = re.compile(r"sect[u]m|canar(y|ies)|\bmarkers?\b|leak.?test|isolation.?(test|verif)", re.IGNORECASE)
    files = [path for path in STACK.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert len(files) > 15
    for path in files:
        found = words.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.name}: {found}"
