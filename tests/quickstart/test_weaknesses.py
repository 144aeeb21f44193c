"""Each weakness of the quickstart's stack, alone, shows in exactly the slot groups written down before the run."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.quickstart.quick import QUICKSTART, Quick, as_json, cells, prepare, sectum
from tests.stack.running import running_stack

Group = tuple[str, str, str]

TABLE = yaml.safe_load((Path(__file__).parent / "weaknesses.yaml").read_text())


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Where every stack of this file writes, one after another: what is off again is off in the same place."""
    with tempfile.TemporaryDirectory(prefix="stack-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def planned() -> set[Group]:
    document = as_json(sectum("plan", "-f", QUICKSTART / "scenario.yaml", "-o", "json"))
    return {(each["surface"], each["attack"], each["askerKind"]) for each in document["groups"]}


def run(directory: Path, folder: Path, **stack: Any) -> dict[str, Any]:
    with running_stack(directory=directory, **stack) as running:
        quick: Quick = prepare(folder, running)
        return quick.run()


def override(row: dict[str, Any]) -> dict[str, object]:
    name, _, value = row["setting"].partition("=")
    return {name: json.loads(value)}


def leaking(row: dict[str, Any]) -> set[Group]:
    return {(surface, attack, kind) for surface, attack, kind in row["leaks"]}


def test_the_table_has_a_weakness_for_each_surface_and_attack_that_plan_pairs(planned: set[Group]) -> None:
    settings = [row["setting"] for row in TABLE]
    assert len(settings) == len(set(settings)) >= 8
    listed = set().union(*map(leaking, TABLE))
    assert listed == planned  # of each pair, both kinds of asker
    assert all(leaking(row) for row in TABLE)


def test_every_switch_of_the_stack_has_its_row() -> None:
    lines = (QUICKSTART / "stack" / "leaky.toml").read_text().partition("[security]\n")[2].partition("\n[")[0]
    switches = {line.partition(" ")[0] for line in lines.splitlines() if line}
    assert {row["setting"] for row in TABLE} == {f"security.{name}=false" for name in switches}


def test_the_hardened_build_passes(directory: Path, tmp_path: Path, planned: set[Group]) -> None:
    result = run(directory, tmp_path)
    assert cells(result) == dict.fromkeys(planned, "Pass")
    assert (result["verdict"], result["findings"]) == ("Pass", [])


@pytest.mark.parametrize("row", TABLE, ids=[row["setting"] for row in TABLE])
def test_a_weakness_leaks_where_the_table_says_and_nowhere_else(
    row: dict[str, Any], directory: Path, tmp_path: Path, planned: set[Group]
) -> None:
    result = run(directory, tmp_path, set=override(row))
    assert cells(result) == {group: "Leak" if group in leaking(row) else "Pass" for group in planned}
    assert result["verdict"] == "Leak"


def test_with_everything_off_every_group_leaks(directory: Path, tmp_path: Path, planned: set[Group]) -> None:
    result = run(directory, tmp_path, config="leaky")
    assert cells(result) == dict.fromkeys(planned, "Leak")
    assert result["verdict"] == "Leak"


def test_with_everything_on_again_the_same_place_passes(directory: Path, tmp_path: Path, planned: set[Group]) -> None:
    result = run(directory, tmp_path)
    assert cells(result) == dict.fromkeys(planned, "Pass")
    assert (result["verdict"], result["findings"]) == ("Pass", [])
