"""On a machine of only Python, git and make, uv is put into this folder; where a uv is new enough, that one is used."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = "basename cat chmod cut dirname echo env expand git grep head ln make mkdir rm sed sh sort tail uname"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that the bootstrap reads, in a folder of their own."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A PATH of one folder: the usual small tools and this test's Python, and no uv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS.split():
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    script(folder / "python3", f'exec "{Path(sys.base_prefix) / "bin" / "python3"}" "$@"')
    return folder


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def fake_uv(path: Path, version: str) -> None:
    script(path, f'[ "$*" = --version ] && echo "uv {version} (fake)" || echo "{version} ran: $*"')


def run(folder: Path, path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV", "VIRTUAL_ENV", "MAKE"))}
    env = {**kept, "PATH": str(path)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def index_reachable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where pip finds no uv of any version: then the network is missing, and our pin is not wrong."""
    folder = tmp_path_factory.mktemp("index")
    python = str(Path(sys.base_prefix) / "bin" / "python3")
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1", "--dest", str(folder), "uv"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if result.returncode:
        pytest.skip("OFFLINE: pip reaches no package index, so the real installation of uv was NOT tested")


@pytest.mark.usefixtures("index_reachable")
def test_a_machine_without_uv_gets_one_inside_the_folder(clone: Path, bare: Path) -> None:
    assert shutil.which("uv", path=str(bare)) is None
    first = run(clone, bare, "scripts/uv", "--version")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("uv 0.13.")
    assert ".tools/uv" in first.stderr
    assert (clone / ".tools" / "uv" / "bin" / "uv").exists()
    again = run(clone, bare, "scripts/uv", "--version")
    assert (again.stdout, again.stderr) == (first.stdout, "")


def test_a_new_enough_uv_of_the_machine_is_used(clone: Path, bare: Path) -> None:
    fake_uv(bare / "uv", "99.1.0")
    result = run(clone, bare, "scripts/uv", "run", "x")
    assert (result.stdout, result.stderr) == ("99.1.0 ran: run x\n", "")
    assert not (clone / ".tools").exists()


@pytest.mark.parametrize("machines", ["0.7.22", "0.4.9", "broken", "none"])
def test_an_old_or_broken_uv_of_the_machine_is_not_used(clone: Path, bare: Path, machines: str) -> None:
    if machines == "broken":
        script(bare / "uv", "echo 'pyenv: uv: command not found' >&2; exit 127")
    elif machines != "none":
        fake_uv(bare / "uv", machines)
    fake_uv(clone / ".tools" / "uv" / "bin" / "uv", "0.13.0")
    assert run(clone, bare, "scripts/uv", "run", "x").stdout == "0.13.0 ran: run x\n"


def test_a_machine_without_a_usable_python_is_told_so(clone: Path, bare: Path) -> None:
    script(bare / "python3", "exit 1")
    result = run(clone, bare, "scripts/uv", "--version")
    assert result.returncode == 1
    assert "error: no uv here, and no Python >= 3.11" in result.stderr
    assert not (clone / ".tools").exists()


def test_a_pip_that_reaches_no_index_is_a_clear_error(clone: Path, bare: Path) -> None:
    makes_venvs = 'mkdir -p "$3/bin"; printf "#!/bin/sh\\nexit 1\\n" > "$3/bin/pip"; chmod +x "$3/bin/pip"'
    script(bare / "python3", f'[ "$2" != venv ] || {{ {makes_venvs}; }}')
    result = run(clone, bare, "scripts/uv", "--version")
    assert result.returncode == 1
    assert "is a package index reachable from here?" in result.stderr


# what uv finds, the target, exit, what is said
PYTHONS = [
    (">=3.11,<3.13", "demo", 0, ""),
    (">=3.11,<3.13", "setup", 0, ""),
    (">=3.11", "demo", 2, "error: no Python 3.11 or 3.12"),
    (">=3.11", "setup", 0, "no Python 3.11 or 3.12 here: the demo stack and its tests need one"),
    ("nothing", "setup", 2, "error: no Python 3.11 or newer found"),
]


@pytest.mark.parametrize(("found", "target", "exits", "said"), PYTHONS)
def test_the_interpreter_is_chosen_or_its_absence_explained(
    clone: Path, bare: Path, found: str, target: str, exits: int, said: str
) -> None:
    answers = f"""--version) echo "uv 99.0.0";; "python find "*) [ "$3" = "{found}" ];; *) echo "$UV_PYTHON: $*";;"""
    script(bare / "uv", f'case "$*" in {answers} esac')
    result = run(clone, bare, "make", target)
    assert result.returncode == exits, result.stderr
    assert said in result.stderr
    if exits == 0:
        assert f"{found}: sync --locked --all-packages --check --quiet\n" in result.stdout


def test_every_target_is_explained_by_help(clone: Path, bare: Path) -> None:
    shown = run(clone, bare, "make").stdout
    for target in ("setup", "demo", "test", "lint", "format", "bench", "clean"):
        assert f"make {target} " in shown
