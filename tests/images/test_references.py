"""`scripts/images --references`: an image's tag follows from what goes into it, and from nothing else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INPUTS = (
    "scripts", "images", "probes", "operator", "examples/quickstart/stack", "examples/kind/servers",
    ".dockerignore", "pyproject.toml", "uv.lock",
)  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that an image is made of, in a folder that git knows nothing of."""
    for name in INPUTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    server = tmp_path / ".tools" / "versitygw"  # the S3 server's binary goes into the demo's image as it is
    server.parent.mkdir()
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    return tmp_path


def references(folder: Path, **environment: str) -> dict[str, str]:
    command = [str(folder / "scripts" / "images"), "--references", "probes", "operator", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return dict(line.split(" ") for line in done.stdout.splitlines())


def test_each_image_is_named_by_twelve_hex_digits(clone: Path) -> None:
    found = references(clone)
    assert list(found) == ["probes", "operator", "demo"]
    for name, reference in found.items():
        repository, _, tag = reference.partition(":")
        assert repository == f"sectum.local/{name}"
        assert len(bytes.fromhex(tag)) == 6
    assert len({reference.partition(":")[2] for reference in found.values()}) == 3


def test_neither_times_nor_caches_nor_other_files_change_a_tag(clone: Path) -> None:
    before = references(clone)
    cache = clone / "probes" / "src" / "sectum" / "__pycache__"
    cache.mkdir()
    (cache / "errors.cpython-311.pyc").write_bytes(b"anything")
    (clone / "probes" / "src" / "sectum" / "errors.py").touch()
    (clone / "README.md").write_text("anything")
    assert references(clone) == before


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("uv.lock", {"probes", "operator", "demo"}),
        (".dockerignore", {"probes", "operator", "demo"}),
        ("operator/pyproject.toml", {"probes", "operator", "demo"}),
        ("probes/src/sectum/errors.py", {"probes", "operator"}),
        ("images/without-installers", {"probes", "operator"}),
        ("operator/src/sectum_operator/resources.py", {"operator"}),
        ("images/probes.Dockerfile", {"probes"}),
        ("examples/quickstart/stack/leaky.toml", {"demo"}),
        ("examples/kind/servers/kms.py", {"demo"}),
        (".tools/versitygw", {"demo"}),
    ],
)
def test_a_changed_input_changes_the_tags_of_those_images_that_hold_it(
    clone: Path, path: str, changed: set[str]
) -> None:
    before = references(clone)
    with (clone / path).open("a") as file:
        file.write("\n# changed\n")
    after = references(clone)
    assert {name for name in before if before[name] != after[name]} == changed


def test_another_base_is_another_image(clone: Path) -> None:
    before, after = references(clone), references(clone, BASE="python:3.12-slim-bookworm")
    assert all(before[name] != after[name] for name in before)


def test_an_unknown_image_is_refused_by_name(clone: Path) -> None:
    command = [str(clone / "scripts" / "images"), "--references", "probe"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no image named probe; there are probes, operator and demo" in done.stderr
