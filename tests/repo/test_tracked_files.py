"""What may stand in no file of this repository, and where no file may stand."""

import hashlib
import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]

# Written in pieces, so that this file passes its own test.
REGISTRY_HOSTS = re.compile(
    r"|".join(
        re.escape(host)
        for host in (
            "pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs", "npmjs" + ".com", "crates" + ".io",
            "ruby" + "gems.org", "proxy." + "golang.org", "sum." + "golang.org", "conda." + "anaconda.org",
            "repo." + "maven.apache.org", "j" + "frog.io", "google" + "apis.com/pypi", "pkg" + ".dev",
        )
    ).encode(),
    re.IGNORECASE,
)  # fmt: skip
# An absolute path of somebody's machine; `OUT/work/…`, `{dir}/work/…` and the like are relative and fine.
MACHINE_PATHS = re.compile(rb"(?<![\w.$}>)\]*-])/(?:work|root|home/[a-z][\w-]*|Users/[A-Za-z][\w-]*)/")
NAMES_ITS_REGISTRY = {"uv.lock"}


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def hits(pattern: re.Pattern[bytes], content: bytes) -> list[bytes]:
    return [match.group() for match in pattern.finditer(content)]


def test_git_lists_this_repository() -> None:
    assert {"pyproject.toml", "uv.lock", "Makefile", "LICENSE"} <= set(tracked())


def test_no_file_names_a_package_registry() -> None:
    names = set(tracked()) - NAMES_ITS_REGISTRY
    found = {name: hits(REGISTRY_HOSTS, (ROOT / name).read_bytes()) for name in names}
    assert {name: hosts for name, hosts in found.items() if hosts} == {}


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = {name: hits(MACHINE_PATHS, (ROOT / name).read_bytes()) for name in tracked()}
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_the_lock_file_shows_that_a_registry_is_found() -> None:
    assert hits(REGISTRY_HOSTS, (ROOT / "uv.lock").read_bytes())


@pytest.mark.parametrize("text", ["see /{}/notes", '"/{}/x"', "path=/{}/x", "(/{}/x)", "file:///{}/x"])
@pytest.mark.parametrize("folder", ["work", "root", "home/someone", "Users/someone"])
def test_a_machine_path_is_found(text: str, folder: str) -> None:
    assert hits(MACHINE_PATHS, text.format(folder).encode())


@pytest.mark.parametrize("text", ["OUT/work/start", "{}/work/x", "$OUT/work/x", "<out>/root/x", "/rootless/x"])
def test_a_relative_path_is_none(text: str) -> None:
    assert not hits(MACHINE_PATHS, text.encode())


def shadows(name: str) -> bool:
    """Does a file make `operator/` a package, or a place of tests? Either hides the standard library's `operator`."""
    path = PurePosixPath(name)
    if path.parts[0] != "operator":
        return False
    return any(path.match(pattern) for pattern in ("operator/*.py", "conftest.py", "test_*.py", "*_test.py"))


def test_operator_is_no_package_and_holds_no_test() -> None:
    on_disk = {path.relative_to(ROOT).as_posix() for path in (ROOT / "operator").rglob("*.py")}
    assert [name for name in {*tracked(), *on_disk} if shadows(name)] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("operator/__init__.py", True),
        ("operator/conftest.py", True),
        ("operator/src/sectum_operator/conftest.py", True),
        ("operator/tests/test_phase.py", True),
        ("operator/src/sectum_operator/__init__.py", False),
        ("operator/pyproject.toml", False),
        ("tests/operator/test_phase.py", False),
    ],
)
def test_shadowing_is_recognised(name: str, expected: bool) -> None:
    assert shadows(name) is expected


def test_the_licence_is_the_whole_apache_2_0_text() -> None:
    # The digest of the text as the Apache Software Foundation publishes it.
    expected = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == expected
