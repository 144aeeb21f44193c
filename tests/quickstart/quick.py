"""The quickstart's scenario, made ready to run against a stack of the test's own."""

import asyncio
import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from sectum import pipeline
from sectum import scenario as scenarios
from sectum.keys.unsafe_local import UnsafeLocalKey
from sectum.manifest import Manifest, Sealer, unseal
from sectum.secrets_dir import secrets_in
from sectum.series import peek
from sectum.store import local_store

from tests.stack.running import Stack

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
RUN_SECONDS = 300
COMMAND = [sys.executable, "-m", "sectum"]

Change = Callable[[dict[str, Any]], None]


@functools.cache
def demo() -> ModuleType:
    """examples/quickstart/demo.py, imported."""
    spec = importlib.util.spec_from_file_location("quickstart_demo", QUICKSTART / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leave_alone(_scenario: dict[str, Any]) -> None:
    """No change."""


def all_four_tenants(scenario: dict[str, Any]) -> None:
    """The fourth tenant, too, which the quickstart leaves out to be quick."""
    scenario["spec"]["tenants"].append({"name": "hooli", "users": [{"name": "dave"}, {"name": "dina"}]})


@dataclass(frozen=True)
class Quick:
    """A folder with the scenario for a running stack, and its secrets."""

    stack: Stack
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "scenario.yaml"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def public_key(self) -> Path:
        return self.secrets / "sectum-signer-quickstart" / "private.pem.pub"

    @property
    def key(self) -> UnsafeLocalKey:
        """What wraps the manifest's data key."""
        return UnsafeLocalKey((self.secrets / "sectum-key-manifest" / "key").read_bytes())

    def run_words(self, out: Path | None = None) -> list[str]:
        return ["run", "-f", str(self.file), "--secrets", str(self.secrets), "--out", str(out or self.out)]

    def sweep_words(self, out: Path | None = None) -> list[str]:
        return ["sweep-orphans", "--secrets", str(self.secrets), "--out", str(out or self.out), "-o", "json"]

    def verify(self, pack: Path, opened: Path) -> "subprocess.CompletedProcess[str]":
        return sectum("verify", pack, "--key", self.public_key, "--open", opened, "--allow-unanchored")

    def run(self, out: Path | None = None) -> dict[str, Any]:
        """A run in this process, without progress; its run.json."""
        where = out or self.out
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        ended = asyncio.run(
            pipeline.run(
                scenarios.load(self.file.read_text()),
                secret=secrets_in(self.secrets),
                store=local_store(where),
                observe=lambda _step: None,
            )
        )
        return ended.run


def prepare(folder: Path, stack: Stack, *, change: Change = leave_alone) -> Quick:
    """Lay out scenario and secrets below `folder` as the demo does, for this stack's ports; `change` edits the YAML."""
    scenario = yaml.safe_load((QUICKSTART / "scenario.yaml").read_text())
    for surface in scenario["spec"]["surfaces"]:
        for adapter in surface["adapter"].values():
            if "origin" in adapter:
                adapter["origin"] = stack.url
            elif "url" in adapter:
                adapter["url"] = f"{stack.url}/mcp"
            else:
                adapter.update(host=stack.postgres["host"], port=stack.postgres["port"])
    change(scenario)
    quick = Quick(stack, folder)
    folder.mkdir(parents=True, exist_ok=True)
    quick.file.write_text(yaml.safe_dump(scenario, sort_keys=False))
    users = [dataclasses.asdict(user) for user in stack.users]
    demo().write_secrets({"users": users, "issuer": stack.issuer}, quick.secrets)
    for name, data in _keys().items():
        path = quick.secrets / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(data)
    return quick


@functools.cache
def _keys() -> dict[str, bytes]:
    """What `sectum keygen` makes; once, since it takes a second."""
    with tempfile.TemporaryDirectory(prefix="keys-") as name:
        done = sectum("keygen", "-f", QUICKSTART / "scenario.yaml", "--secrets", name)
        assert done.returncode == 0, done.stderr
        files = [path for path in Path(name).rglob("*") if path.is_file()]
        assert len(files) == 3
        return {str(path.relative_to(name)): path.read_bytes() for path in files}


def sectum(*words: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """The command line as a process of its own."""
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_SECONDS, **options)


def start(*words: object, stderr: Any = subprocess.DEVNULL, **options: Any) -> "subprocess.Popen[str]":
    """The same, and not waited for."""
    command = [*COMMAND, *map(str, words)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, text=True, **options
    )


def cells(run: dict[str, Any]) -> dict[tuple[str, str, str], str]:
    """Outcome by slot group: surface, attack, kind of asker."""
    return {(each["surface"], each["attack"], each["askerKind"]): each["outcome"] for each in run["cells"]}


def unsealed(quick: Quick, out: Path, run: str) -> tuple[Manifest, dict[str, str]]:
    """A run's manifest, and marker id -> location by its receipts."""
    manifest, data_key = unseal((out / "manifests" / f"{run}.sealed.json").read_bytes(), quick.key)
    locations = {}
    for path in sorted((out / "work" / run / "sealed").rglob("receipt-*")):
        surface, attempt = path.parent.parent.name, int(path.parent.name)
        marker, location = Sealer(data_key, run=run, surface=surface, attempt=attempt).unseal(path.read_bytes())
        locations[marker] = location
    return manifest, locations


def runs(out: Path) -> list[str]:
    """Ids of every run that has a manifest, in the order of their beginning."""
    return sorted(path.name.removesuffix(".sealed.json") for path in (out / "manifests").glob("*.sealed.json"))


def bodies(out: Path) -> list[dict[str, Any]]:
    """The series' records, parsed, signatures not checked."""
    return [peek(path.read_bytes())[0] for path in sorted((out / "series").glob("*.json"))]


def surroundings(folder: Path, **more: str) -> dict[str, str]:
    """An environment in which everything that has no place of its own is written below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "SECTUM_"))}
    return {**kept, "HOME": str(folder), "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **more}


def as_json(done: "subprocess.CompletedProcess[str]", *, status: int | Iterable[int] = 0) -> Any:
    """What a command with -o json printed; its exit status must be (one of) `status`."""
    expected = {status} if isinstance(status, int) else set(status)
    assert done.returncode in expected, f"exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads(done.stdout)
