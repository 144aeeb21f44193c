"""Names of Kubernetes' binaries -> a folder that holds them: the machine's own, or one built once from Go modules.

`python -m tests.operator.binaries` builds what is missing and prints the folder; with `--resolve` it compiles nothing
and shows from which modules it would.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

KUBERNETES, ETCD = "1.36.3", "3.6.16"
_STAGED = re.compile(r"^\s*(k8s\.io/\S+) => \./staging/", re.MULTILINE)
_GO = re.compile(r"^(?:go|godebug) \S+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Module:
    """A published Go module with programs in it."""

    path: str
    version: str
    programs: dict[str, str]
    """Binary's name -> its package below `path`."""


MODULES = {
    "kubernetes": Module(
        "k8s.io/kubernetes",
        KUBERNETES,
        {name: f"cmd/{name}" for name in ("kube-apiserver", "kube-controller-manager")},
    ),
    "etcd": Module("go.etcd.io/etcd/server/v3", ETCD, {"etcd": ""}),
}
PROGRAMS = tuple(name for module in MODULES.values() for name in module.programs)


def assets(*needed: str, environment: Mapping[str, str] = os.environ) -> Path:
    """A folder with `needed` in it; skips the tests, with what to do, where there is none."""
    folder = environment.get("KUBEBUILDER_ASSETS", "")
    place = Path(folder) if folder else cache(environment)
    if holds(place, needed):
        return place
    found = f"KUBEBUILDER_ASSETS={folder} lacks one of {', '.join(needed)}" if folder else "KUBEBUILDER_ASSETS is unset"
    pytest.skip(
        f"NOT TESTED against a real API server: {found}. Where Go is installed, `make test-control-plane` with it "
        "unset builds what is needed, once. Or name any folder with these binaries in it; `setup-envtest use -p path` "
        "prints one (https://book.kubebuilder.io/reference/envtest, which lacks kube-controller-manager)"
    )


def cache(environment: Mapping[str, str]) -> Path:
    """Where a build is kept, for all checkouts of this machine; other versions have other folders."""
    caches = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", os.devnull)) / ".cache"
    return Path(caches) / f"sectum-kube-assets-{KUBERNETES}-{ETCD}"


def holds(folder: Path, names: tuple[str, ...]) -> bool:
    """Whether all of them lie there and can be run."""
    return all(os.access(folder / name, os.X_OK) for name in names)


def build(folder: Path) -> Path:
    """Compile whatever `folder` lacks; a second process that wants the same waits for the first."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        for home, module, name in _programs(folder):
            if not holds(folder, (name,)):
                new = folder / f"{name}.new"
                package = f"{module.path}/{module.programs[name]}".rstrip("/")
                _go(home, "build", "-trimpath", f"-ldflags={_stamp()}", "-o", str(new), package)
                new.replace(folder / name)
    return folder


def resolve(folder: Path) -> list[str]:
    """What each program would be built from; downloads the modules and compiles nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    form = "{{.ImportPath}} of {{.Module.Path}}@{{.Module.Version}}, {{len .Deps}} packages"
    packages = [
        (home, f"{module.path}/{module.programs[name]}".rstrip("/")) for home, module, name in _programs(folder)
    ]
    return [_go(home, "list", "-f", form, package).strip() for home, package in packages]


def go_mod(module: Module, theirs: str) -> str:
    """A main module that requires theirs, out of its go.mod: `replace` directives count only in the main module.

    Kubernetes requires its staging repositories at v0.0.0 and replaces them by folders of its own; published, they
    have its version but for the first number.
    """
    staged = sorted(set(_STAGED.findall(theirs)))
    lines = [
        "module sectum.test/control-plane",
        *_GO.findall(theirs),
        f"require {module.path} v{module.version}",
        *(f"replace {each} => {each} v0.{module.version.partition('.')[2]}" for each in staged),
    ]
    return "\n".join(lines) + "\n"


def _programs(folder: Path) -> Iterator[tuple[Path, Module, str]]:
    """Every program with a main module to build it in."""
    for name, module in MODULES.items():
        home = folder / name
        home.mkdir(exist_ok=True)
        if not (home / "go.mod").exists():
            got = json.loads(_go(home, "mod", "download", "-json", f"{module.path}@v{module.version}"))
            (home / "go.mod").write_text(go_mod(module, Path(got["GoMod"]).read_text()))
        for program in module.programs:
            yield home, module, program


def _stamp() -> str:
    """Without it kube-apiserver calls itself v0.0.0-master."""
    major, minor, _ = KUBERNETES.split(".")
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    where = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(["-s -w", *(f"-X {each}.{name}={value}" for each in where for name, value in values.items())])


def _go(home: Path, *arguments: str) -> str:
    """Run go in a main module's folder; what it says of its progress goes on to stderr.

    Checksums come from Go's checksum database, as for any `go install`.
    """
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    return subprocess.run(
        ["go", *arguments], cwd=home, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _main(*options: str) -> str:
    given, cached = os.environ.get("KUBEBUILDER_ASSETS"), cache(os.environ)
    if "--resolve" in options:
        return "\n".join(resolve(cached))
    if given or holds(cached, PROGRAMS):
        return given or str(cached)
    return str(build(cached)) if shutil.which("go") else "neither KUBEBUILDER_ASSETS nor Go: nothing built"


if __name__ == "__main__":
    sys.stdout.write(_main(*sys.argv[1:]) + "\n")
