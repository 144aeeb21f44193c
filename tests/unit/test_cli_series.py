"""`sectum verify --series` on a folder: what it asks for, what it shows, and its exit status."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sectum.cli.app import app
from sectum.testing import MemoryStore

from tests import chronicles


def written(store: MemoryStore, folder: Path) -> Path:
    for name, data in store.objects.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(chronicles.store_of(*chronicles.YEAR), tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("key") / "signer.pem.pub"
    path.write_bytes(chronicles.KEY)
    return str(path)


def sectum(*words: Any) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, words)], prog_name="sectum")


def test_a_whole_series_is_one_command(out: Path, key: str) -> None:
    shown = sectum("--series", out, "--key", key, "--to", "2026-06-01")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[-1] == "verified, unstamped; 6 runs: 4 Pass, 1 Leak, 1 Inconclusive"
    assert " 7. schedule: ✓ 5 ticks, each run or listed" in lines
    assert "      2026-03-01T02:00:00Z was refused (ConcurrencyForbidden), says 000005.json" in lines
    assert any(line.startswith("12. timestamps: – none: dates") for line in lines)


def test_a_series_with_a_pack_less_is_not_verified_in_every_format(out: Path, key: str, tmp_path: Path) -> None:
    store = chronicles.store_of(*chronicles.YEAR)
    for run in chronicles.YEAR[:2]:
        del store.objects[f"packs/{run.run}.zip"]
    uri = written(store, tmp_path).as_uri()
    shown = sectum("--series", uri, "--key", key)
    assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (12, "NOT VERIFIED: line 4 (packs)")
    assert "4. packs: ✗ 2 faults" in shown.stdout
    assert shown.stdout.count("its pack is not in the store") == 2
    told = json.loads(sectum("--series", uri, "--key", key, "-o", "json").stdout)
    assert (told["store"], told["verified"], told["steps"][3]["mark"]) == (uri, False, "failed")
    assert set(told) == {
        "schema", "store", "verified", "stamped", "allowUnanchored", "summary", "series", "since", "until", "steps",
        "runs",
    }  # fmt: skip
    assert sectum("--series", uri, "--key", key, "-o", "name").stdout == ""
    assert sectum("--series", uri, "--key", key, "--from", "2026-03-01", "-o", "name").stdout.split() == [
        each.run for each in chronicles.YEAR[2:]
    ]


def test_where_there_are_several_series_one_has_to_be_named(out: Path, key: str, tmp_path: Path) -> None:
    store = chronicles.store_of(*chronicles.YEAR[:1])
    store.objects["series/demo/other/000001.json"] = b"{}"
    written(store, tmp_path)
    shown = sectum("--series", tmp_path, "--key", key)
    assert (shown.exit_code, "demo/other, demo/sample" in shown.stderr) == (2, True)
    assert sectum("--series", tmp_path, "--key", key, "--scenario", "demo/sample").exit_code == 0
    assert sectum("--series", tmp_path, "--key", key, "--scenario", "demo/other").exit_code == 12


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "give the pack to verify"),
        (["--from", "2026-01-01", "x.zip"], "go with --series"),
        (["--first", "2", "x.zip"], "go with --series"),
        (["--series", "OUT"], "--series goes with --key"),
        (["--series", "OUT", "--key", "KEY", "x.zip"], "without PACK"),
        (["--series", "nowhere", "--key", "KEY"], "nowhere: no such folder"),
        (["--series", "s3://a b/c", "--key", "KEY"], "that is no bucket and prefix"),
        (["--series", "s3://bucket/a//c", "--key", "KEY"], "that is no bucket and prefix"),
        (["--series", "OUT", "--key", "KEY", "--endpoint", "https://x"], "--endpoint goes with"),
        (["--series", "OUT/packs", "--key", "KEY"], "there are no records under series/"),
        (["--series", "OUT", "--key", "KEY", "--scenario", "demo/none"], "in the store are: demo/sample"),
        (["--series", "OUT", "--key", "KEY", "--from", "yesterday"], "--from: give a date as"),
        (["--series", "OUT", "--key", "KEY", "--to", "2026-02-30"], "--to: give a date as"),
        (["--series", "OUT", "--key", "KEY", "--to", "2026-02-03T10:00"], "--to: give a date as"),
        (["--series", "OUT", "--key", "KEY", "--from", "2026-03-01", "--to", "2026-02-01"], "--from is later"),
    ],
)
def test_what_does_not_go_together_is_said(words: list[str], problem: str, out: Path, key: str) -> None:
    shown = sectum(*(word.replace("OUT", str(out)).replace("KEY", key) for word in words))
    assert (shown.exit_code, problem in shown.stderr) == (2, True), shown.output
