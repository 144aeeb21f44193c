"""Paths on the command line -> scenario, secrets, store and lock."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from sectum import scenario as scenarios
from sectum.cli.settings import Settings
from sectum.cli.show import FORMATS
from sectum.errors import ScenarioError, UsageError
from sectum.scenario import Scenario

Function = TypeVar("Function", bound=Callable[..., Any])

SECRETS_VARIABLE = "SECTUM_SECRETS"

FILE = click.option(
    "-f",
    "--file",
    "file",
    required=True,
    metavar="FILE|-",
    help="The scenario: YAML of an IsolationScenario; - for stdin.",
)
OUTPUT = click.option(
    "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="What stdout gets."
)
SECRETS = click.option(
    "--secrets",
    type=click.Path(path_type=Path),
    envvar=SECRETS_VARIABLE,
    show_envvar=True,
    metavar="DIR",
    help="Secrets as files DIR/<name>/<key>.  [default: the folder `secrets` beside FILE, else ./secrets]",
)
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder of runs and packs.",
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario and the folder that it came from."""

    scenario: Scenario
    folder: Path


def load(file: str, settings: Settings) -> Loaded:
    """Read and parse the scenario; raises UsageError, ScenarioError."""
    name = "stdin" if file == "-" else file
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {os.strerror(error.errno or 0)}; give the path of a scenario with -f") from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ScenarioError("the file", "is not UTF-8") from None
    settings.source = (name, text)
    return Loaded(scenarios.load(text), Path() if file == "-" else Path(file).parent)


def secrets_folder(given: Path | None, beside: Path = Path()) -> Path:
    """The folder of secrets that is there; raises UsageError."""
    folder = given or beside / "secrets"
    if not folder.is_dir():
        raise UsageError(f"{folder}: no folder of secrets; give one with --secrets, or make keys with `sectum keygen`")
    return folder


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """DIR for this process alone, made if it is not there (0700); raises UsageError."""
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: {os.strerror(error.errno or 0)}; give another folder with --out") from None
    descriptor = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{out} is in use by another sectum; wait for it, or give another --out") from None
        yield
    finally:
        os.close(descriptor)
