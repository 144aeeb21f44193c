"""The health checks for Argo CD on the page, run in the Lua that Argo CD runs: 5.1."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
[CONFIG] = [
    block for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "resource.custom" in block
]


def health(kind: str, obj: dict[str, Any]) -> tuple[str, str]:
    code = yaml.safe_load(CONFIG)["data"][f"resource.customizations.health.sectum.ai_{kind}"]
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from(obj, recursive=True)
    found = lua.execute(code)
    return found["status"], found["message"]


def conditions(**told: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": status, "reason": "Why", "message": "why"} for kind, status in told.items()]


def scenario(*, seen: int = 2, last: dict[str, str] | None = None, cell: str = "Pass", **told: str) -> dict[str, Any]:
    cells = [{"surface": "api", "attack": "a", "verdict": each} for each in ("Pass", "NotCovered", cell)]
    status = {"observedGeneration": seen, "conditions": conditions(**told), "cells": cells}
    status |= {"lastRun": last} if last else {}
    return {"metadata": {"generation": 2}, "spec": {}, "status": status}


SCENARIOS = {
    "nobody has looked": ({"metadata": {"generation": 1}, "spec": {}}, "Progressing"),
    "changed since": (scenario(seen=1, Ready="True", last={"name": "a", "verdict": "Pass"}), "Progressing"),
    "cannot be run": (scenario(Ready="False", last={"name": "a", "verdict": "Pass"}), "Degraded"),
    "never run": (scenario(Ready="True"), "Suspended"),
    "passed": (scenario(Ready="True", last={"name": "a", "verdict": "Pass"}), "Healthy"),
    "passed, and says so": (scenario(Ready="True", Passing="True", last={"name": "a", "verdict": "Pass"}), "Healthy"),
    "passed long ago": (scenario(Ready="True", Passing="Unknown", last={"name": "a", "verdict": "Pass"}), "Suspended"),
    "a leak elsewhere": (scenario(Ready="True", Passing="False", last={"name": "a", "verdict": "Pass"}), "Degraded"),
    "leaked": (scenario(Ready="True", last={"name": "a", "verdict": "Leak"}), "Degraded"),
    "a part passed": (scenario(Ready="True", last={"name": "a", "verdict": "Pass"}, cell="Leak"), "Degraded"),
    "inconclusive": (scenario(Ready="True", last={"name": "a", "verdict": "Inconclusive"}), "Degraded"),
    "no pack": (scenario(Ready="True", last={"name": "a"}), "Degraded"),
}


@pytest.mark.parametrize(("obj", "expected"), SCENARIOS.values(), ids=SCENARIOS)
def test_argo_cd_calls_a_scenario_healthy_only_where_its_last_run_passed(obj: dict[str, Any], expected: str) -> None:
    status, message = health("IsolationScenario", obj)
    assert status == expected
    assert message


def run(verdict: str = "", *, suspend: bool = False, **told: str) -> dict[str, Any]:
    status = {"conditions": conditions(**told)} | ({"verdict": verdict} if verdict else {})
    return {"metadata": {}, "spec": {"suspend": suspend}, "status": status}


RUNS = {
    "nobody has looked": ({"metadata": {}, "spec": {}}, "Progressing"),
    "under way": (run(Accepted="True", Complete="False"), "Progressing"),
    "waits": (run(suspend=True), "Suspended"),
    "passed": (run("Pass", Complete="True", CleanedUp="True"), "Healthy"),
    "passed, and left something": (run("Pass", Complete="True", CleanedUp="False"), "Degraded"),
    "leaked": (run("Leak", Complete="True", CleanedUp="True"), "Degraded"),
    "refused": (run(Accepted="False", Complete="True"), "Degraded"),
}


@pytest.mark.parametrize(("obj", "expected"), RUNS.values(), ids=RUNS)
def test_argo_cd_calls_a_run_healthy_only_where_it_passed_and_left_nothing(obj: dict[str, Any], expected: str) -> None:
    status, message = health("VerificationRun", obj)
    assert status == expected
    assert message
