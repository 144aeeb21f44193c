"""An attack is added as one file: found, planned and run without a change anywhere else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sectum

ADDED = '''
"""Attack 99, ask-twice: fetch another's document twice."""

from sectum.actions import Fetch, Impact, Verb
from sectum.ports import Attack


async def _attempt(view, ask):
    for _ in range(2):
        await ask(Fetch(view.target.location))


ATTACK = Attack(
    name="ask-twice",
    number=99,
    summary="Fetch another's document twice.",
    confirms="The other's marker in an answer.",
    impact=Impact.READ,
    needs=(frozenset({Verb.FETCH}),),
    phrasings=lambda offer: ("twice",),
    attempt=_attempt,
)
'''

RUN = """
import asyncio
from sectum.plan import make_plan
from sectum.testing import Audience, MemorySurface, memory_scenario, try_out

for audience in (Audience.OWNER, Audience.TENANT):
    surface = MemorySurface(leaky_fetch=audience)
    scenario = memory_scenario(surface, surface_fields={"attacks": ["ask-twice"]})
    assert {trial.attack for trial in make_plan(scenario).trials} == {"ask-twice"}
    ended = asyncio.run(try_out(scenario))
    assert all(len(arm["answers"]) == 2 for row in ended.run["rows"] for arm in row["arms"])
    print(*sorted((cell["attack"], cell["askerKind"], cell["outcome"]) for cell in ended.run["cells"]))
"""


def python(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    # Coverage would look for the copy's sources when the copy is gone.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environment |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(Path(sectum.__file__).parent, tmp_path / "sectum", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_an_attack_that_is_added_as_one_file_is_found_planned_and_run(copy: Path) -> None:
    (copy / "sectum" / "attacks" / "ask_twice.py").write_text(ADDED)
    done = python(copy, RUN)
    assert done.stdout.splitlines() == [
        "('ask-twice', 'other-tenant', 'Pass') ('ask-twice', 'same-tenant', 'Pass')",
        "('ask-twice', 'other-tenant', 'Pass') ('ask-twice', 'same-tenant', 'Leak')",
    ], done.stderr


@pytest.mark.parametrize(("folder", "text"), [("attacks", "x = 1"), ("surfaces", "raise OSError"), ("keys", "def (")])
def test_a_broken_plug_in_is_named(copy: Path, folder: str, text: str) -> None:
    (copy / "sectum" / folder / "zz_broken.py").write_text(text)
    done = python(copy, "from sectum import catalog\ncatalog.attacks(), catalog.adapters(), catalog.key_backends()")
    assert done.stderr.splitlines()[-1].startswith(f"sectum.catalog.BadPlugin: sectum.{folder}.zz_broken ")
