"""`.ci/run` ends with pytest's own closing line, and fails whenever anything did."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "end-with-closing-line"
PASSED = "=== 12 passed in 3.45s ==="
FAILED = "=== 1 failed, 11 passed in 3.45s ==="
SLOW = "= 9 passed, 1 skipped in 75.02s (0:01:15) ="
REPORT = "TOTAL 97%"

# name, what the test command prints, its exit, the report's exit; then the last line and the exit to be seen
CASES = [
    ("passed", PASSED, 0, 0, PASSED, 0),
    ("long run", SLOW, 0, 0, SLOW, 0),
    ("colours", "\033[32m=== \033[1m12 passed\033[0m in 3.45s ===\033[0m", 0, 0, PASSED, 0),
    ("chatter after the line", f"{PASSED}\nmake: leaving", 0, 0, PASSED, 0),
    ("a nested pytest", f"=== 1 failed in 0.01s ===\n{PASSED}", 0, 0, PASSED, 0),
    ("failed", FAILED, 1, 0, FAILED, 1),
    ("through make", f"{FAILED}\nmake: *** Error 1", 2, 0, FAILED, 2),
    ("no tests (exit 5)", "=== no tests ran in 0.01s ===", 5, 0, "=== no tests ran in 0.01s ===", 5),
    ("no tests, hidden exit", "=== no tests ran in 0.01s ===", 0, 0, "=== no tests ran in 0.01s ===", 1),
    ("all skipped", "=== 3 skipped in 0.01s ===", 0, 0, "=== 3 skipped in 0.01s ===", 1),
    ("report failed", PASSED, 0, 2, PASSED, 2),
    ("both failed", FAILED, 1, 2, FAILED, 1),
    ("killed", "tests/x.py ..", 137, 0, "error: pytest printed no closing line (exit 137)", 137),
    ("silent", "", 0, 0, "error: pytest printed no closing line (exit 0)", 1),
]


@pytest.mark.parametrize(("_name", "output", "exits", "report_exits", "last", "expected"), CASES)
def test_the_last_line_is_pytests_and_the_exit_tells(
    _name: str, output: str, exits: int, report_exits: int, last: str, expected: int
) -> None:
    report = f"echo '{REPORT}'; exit {report_exits}"
    command = [str(SCRIPT), report, "sh", "-c", 'printf "%s\n" "$1"; exit "$2"', "sh", output, str(exits)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = result.stdout.splitlines()
    assert (lines[-1], result.returncode) == (last, expected), result.stdout + result.stderr
    assert lines[-2] == REPORT
    assert "\n".join(lines[:-2]) == output


@pytest.mark.parametrize(
    ("environment", "seconds", "why"),
    [({}, 0, "SECTUM_CI_CLUSTER is not set"), ({"SECTUM_CI_CLUSTER": "yes"}, 5000, "83 minutes have gone")],
)
def test_what_is_not_tested_on_a_cluster_cannot_be_overlooked(
    environment: dict[str, str], seconds: int, why: str
) -> None:
    clean = {key: value for key, value in os.environ.items() if key != "SECTUM_CI_CLUSTER"}
    command = [str(ROOT / "scripts" / "test-on-kind"), str(seconds)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**clean, **environment})
    assert (result.returncode, result.stderr) == (0, "")
    assert f"!!! NOT TESTED ON A CLUSTER: {why}" in result.stdout
    assert "!" * 100 in result.stdout.splitlines()


def test_a_fresh_clone_may_run_the_scripts() -> None:
    for name in (".ci/run", "scripts/uv", "scripts/setup", "scripts/end-with-closing-line", "scripts/test-on-kind"):
        assert os.access(ROOT / name, os.X_OK), name
