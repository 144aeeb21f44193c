"""Prometheus' promtool: the one that PROMTOOL names, the one on the PATH, or one built once from its Go module.

`python -m tests.chart.promtool` builds it where it is missing, into a cache, and prints where it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

VERSION = "0.316.0"
PACKAGE = "github.com/prometheus/prometheus/cmd/promtool"
TAGS = "remove_all_sd,netgo"
"""Without the clients of clouds, by which a Prometheus finds its targets."""


def promtool(environment: Mapping[str, str] = os.environ) -> Path:
    """The program; skips the tests, with what to do, where there is none."""
    if found := environment.get("PROMTOOL") or shutil.which("promtool", path=environment.get("PATH")):
        return Path(found)
    if os.access(built := cache(environment), os.X_OK):
        return built
    pytest.skip(
        "NOT TESTED: there is no promtool, so no alert was evaluated. Name one by PROMTOOL, or, where Go is installed, "
        "build it once: make test-alerts"
    )


def cache(environment: Mapping[str, str]) -> Path:
    """Where a build is kept, for all checkouts of this machine."""
    caches = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", os.devnull)) / ".cache"
    return Path(caches) / f"sectum-promtool-{VERSION}" / "promtool"


def build(target: Path) -> Path:
    """Compile it; checksums come from Go's checksum database, as for any `go install`."""
    home = target.parent
    home.mkdir(parents=True, exist_ok=True)
    (home / "go.mod").write_text("module sectum.test/promtool\n")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}
    new = target.with_suffix(".new")
    for arguments in (
        ["get", f"{PACKAGE}@v{VERSION}"],
        ["build", "-trimpath", "-tags", TAGS, "-ldflags", "-s -w", "-o", str(new), PACKAGE],
    ):
        subprocess.run(["go", *arguments], cwd=home, env=environment, check=True)
    return new.replace(target)


def _main() -> str:
    if os.access(built := cache(os.environ), os.X_OK):
        return str(built)
    return str(build(built)) if shutil.which("go") else "neither promtool nor Go: nothing built"


if __name__ == "__main__":
    sys.stdout.write(_main() + "\n")
