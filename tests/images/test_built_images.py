"""The images as Docker builds them: small, without what builds or installs, and fit for a pod that may do nothing."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("BASE", "python:3.11-slim-bookworm")
# What each adds to its base. Measured 119.4 and 139.6 MB when these were set; raise them only for a reason.
CEILING = {"probes": 131_000_000, "operator": 154_000_000}
FOREIGN = {
    "probes": {"sectum_operator", "kopf", "lightkube", "rich", "pytest"},
    "operator": {"rich", "pytest", "kubernetes"},
}
# Runs in the image, by its own Python.
LOOK = """
import getpass, importlib.util, json, os, pathlib, shutil, sys
tools = "pip pip3 uv easy_install wheel gcc cc c++ ld make curl wget git".split()
modules = json.loads(sys.argv[1])
site = pathlib.Path(importlib.util.find_spec("sectum").origin).parents[1]
sources = [each for each in site.rglob("*.py")]
print(json.dumps({
    "uid": os.getuid(),
    "user": getpass.getuser(),
    "tools": [tool for tool in tools if shutil.which(tool)],
    "modules": [name for name in modules if importlib.util.find_spec(name)],
    "sources": len(sources),
    "not compiled": [str(each) for each in sources if not os.path.exists(importlib.util.cache_from_source(each))],
    # By its mode: what is mounted read-only cannot be written by anybody.
    "writable": [path for path, *_ in os.walk("/opt/sectum") if os.stat(path).st_uid or os.stat(path).st_mode & 0o022],
}))
"""


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def references() -> dict[str, str]:
    """Built where they are not there yet, which takes a minute or two."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("NOT TESTED: the images; no Docker engine answers. Start one, and `make images` builds them")
    done = subprocess.run([ROOT / "scripts" / "images"], capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ") for line in done.stdout.splitlines())


@pytest.fixture(params=["probes", "operator"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def inspected(reference: str) -> dict[str, Any]:
    [found] = json.loads(docker("image", "inspect", reference))
    return dict(found)


def looked_at(reference: str, modules: set[str]) -> dict[str, Any]:
    """As a pod's container would be: read-only, without rights, without a network."""
    fenced = ("--rm", "--read-only", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    said = docker("run", *fenced, "--entrypoint", "python", reference, "-c", LOOK, json.dumps(sorted(modules)))
    return dict(json.loads(said))


def test_an_image_adds_no_more_to_its_base_than_its_ceiling(references: dict[str, str], name: str) -> None:
    added = inspected(references[name])["Size"] - inspected(BASE)["Size"]
    assert CEILING[name] / 2 < added < CEILING[name], f"{name} adds {added / 1e6:.1f} MB"


def test_an_image_runs_its_one_command_as_nobody(references: dict[str, str], name: str) -> None:
    config = inspected(references[name])["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == [{"probes": "sectum-stage", "operator": "sectum-operator"}[name]]
    assert config["Cmd"] is None
    assert config["Labels"]["org.opencontainers.image.title"] == f"sectum-{name}"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_an_image_has_nothing_that_installs_builds_or_fetches(references: dict[str, str], name: str) -> None:
    found = looked_at(references[name], FOREIGN[name] | {"pip", "setuptools", "ensurepip", "wheel"})
    assert (found["uid"], found["user"]) == (65532, "sectum")  # kopf asks for the name, and dies where there is none
    assert found["tools"] == []
    assert found["modules"] == []


def test_an_image_is_compiled_and_its_code_can_not_be_changed(references: dict[str, str], name: str) -> None:
    found = looked_at(references[name], set())
    assert found["sources"] > 500
    assert found["not compiled"] == []
    assert found["writable"] == []


def test_the_probes_command_starts_with_a_read_only_root_and_no_network(references: dict[str, str]) -> None:
    fenced = ("--rm", "--read-only", "--network", "none", "--cap-drop", "ALL", "--tmpfs", "/tmp")
    assert "usage: sectum-stage" in docker("run", *fenced, references["probes"], "--help")


def test_what_the_builder_was_told_does_not_stay_in_the_image(references: dict[str, str], name: str) -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", references[name])
    assert "ENTRYPOINT" in history
    for word in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "uv sync"):
        assert word not in history


def test_each_fault_of_an_image_is_seen(references: dict[str, str]) -> None:
    spoiled = f"""
FROM {references["probes"]}
USER 0
RUN site=$(python -c 'import sectum, pathlib; print(pathlib.Path(sectum.__file__).parents[1])') \
 && cp /bin/true /usr/local/bin/gcc && mkdir $site/pip && touch $site/pip/__init__.py && chmod 0777 $site \
 && head -c 20000000 /dev/urandom > /opt/sectum/ballast
"""
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}  # it takes a Dockerfile from standard input without a plug-in
    command = ["docker", "build", "--quiet", "-"]
    built = subprocess.run(command, input=spoiled, capture_output=True, text=True, check=True, env=environment)
    image = built.stdout.split()[-1]
    try:
        found = looked_at(image, {"pip"})
        added = inspected(image)["Size"] - inspected(BASE)["Size"]
    finally:
        docker("image", "rm", "--force", image)
    assert (found["uid"], found["tools"], found["modules"]) == (0, ["gcc"], ["pip"])
    assert [Path(path).name for path in found["not compiled"]] == ["__init__.py"]
    assert "site-packages" in {Path(path).name for path in found["writable"]}
    assert added > CEILING["probes"]
