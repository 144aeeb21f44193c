"""Names of Kubernetes' binaries -> a folder that holds them: the machine's own, or built once from Go modules.

`python -m tests.operator.binaries` builds and prints the folder; `--resolve` only shows that the modules are to be had.
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
from pathlib import Path

import pytest

KUBERNETES, ETCD = "1.36.3", "3.6.16"
BUILD = "SECTUM_BUILD_CONTROL_PLANE"
"""Set to 1 where a build of some ten minutes may happen in the middle of a test run."""
_PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "etcd": "go.etcd.io/etcd/server/v3",
}
_MODULES = {"kubernetes": ("k8s.io/kubernetes", KUBERNETES), "etcd": ("go.etcd.io/etcd/server/v3", ETCD)}
_STAGED = re.compile(r"^\s*(k8s\.io/\S+) => \./staging/", re.MULTILINE)


def assets(*needed: str, environment: Mapping[str, str] = os.environ) -> Path:
    """A folder with `needed` in it; skips the tests, with what to do, where there is none."""
    folder = environment.get("KUBEBUILDER_ASSETS", "")
    if folder and _holds(Path(folder), needed):
        return Path(folder)
    if not folder:
        cached = cache(environment)
        if _holds(cached, needed):
            return cached
        if environment.get(BUILD) == "1" and shutil.which("go"):
            return build(cached)
    found = f"KUBEBUILDER_ASSETS={folder} lacks one of {', '.join(needed)}" if folder else "KUBEBUILDER_ASSETS is unset"
    pytest.skip(
        f"NOT TESTED against a real API server: {found}. Where Go is installed, `make test-control-plane` builds what "
        "is needed, once; `setup-envtest use -p path` prints a folder to set it to "
        "(https://book.kubebuilder.io/reference/envtest, which has no kube-controller-manager); or name any folder "
        "with these binaries in it"
    )


def cache(environment: Mapping[str, str]) -> Path:
    """Where a build is kept, for all checkouts of this machine; another version has another folder."""
    caches = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/nonexistent")) / ".cache")
    return caches / f"sectum-kube-assets-{KUBERNETES}-{ETCD}"


def build(folder: Path) -> Path:
    """Compile whatever `folder` lacks; a second process that wants the same waits for the first."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        for name, package in _PACKAGES.items():
            if not _holds(folder, (name,)):
                module = "etcd" if name == "etcd" else "kubernetes"
                new = folder / f"{name}.new"
                flags = ["-trimpath", f"-ldflags={_stamp()}"]
                _go(folder / module, "build", *flags, "-o", str(new), package, prepared=_module(folder, module))
                new.replace(folder / name)
    return folder


def resolve(folder: Path) -> list[str]:
    """What each binary would be built from, by package; downloads the modules and compiles nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, package in _PACKAGES.items():
        module = "etcd" if name == "etcd" else "kubernetes"
        form = "{{.Name}} {{.ImportPath}} {{.Module.Path}}@{{.Module.Version}}, {{len .Deps}} packages"
        listed = _go(folder / module, "list", "-deps=false", "-f", form, package, prepared=_module(folder, module))
        found.append(listed.strip())
    return found


def _holds(folder: Path, names: tuple[str, ...]) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in names)


def _module(folder: Path, module: str) -> Path:
    """A module of our own that requires the other: its `replace` directives count only in the main module.

    Kubernetes requires its staging repositories at v0.0.0 and replaces them by folders of its own; published, they
    have the same version but for the first number. Go's checksum database vouches for what is downloaded.
    """
    path, version = _MODULES[module]
    home = folder / module
    home.mkdir(exist_ok=True)
    if (home / "go.mod").exists():
        return home
    got = json.loads(_go(home, "mod", "download", "-json", f"{path}@v{version}"))
    theirs = Path(got["GoMod"]).read_text()
    staged = sorted(set(_STAGED.findall(theirs)))
    lines = [
        "module sectum.test/control-plane",
        *re.findall(r"^go \S+$|^godebug \S+$", theirs, re.MULTILINE),
        f"require {path} v{version}",
        *(f"replace {each} => {each} v0.{version.partition('.')[2]}" for each in staged),
    ]
    (home / "go.mod").write_text("\n".join(lines) + "\n")
    return home


def _stamp() -> str:
    """Without it kube-apiserver calls itself v0.0.0-master."""
    major, minor, _ = KUBERNETES.split(".")
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    where = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(["-s -w", *(f"-X {each}.{name}={value}" for each in where for name, value in values.items())])


def _go(folder: Path, *arguments: str, prepared: Path | None = None) -> str:
    """Run go in a module's folder; its own words go on to stderr."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    done = subprocess.run(
        ["go", *arguments], cwd=prepared or folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    target = cache(os.environ)
    print("\n".join(resolve(target)) if "--resolve" in sys.argv[1:] else build(target))  # noqa: T201
