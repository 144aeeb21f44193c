"""The chart -> what Helm makes of it."""

from __future__ import annotations

import copy
import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "sectum-operator"
VALUES = CHART / "ci" / "values.yaml"
RELEASE, NAMESPACE, RUNS = "sectum", "sectum-system", "sectum-runs"


def helm(*arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One call of Helm, whatever comes of it; skips, with what to do, where there is none."""
    if not (found := shutil.which("helm")):
        pytest.skip(
            "NOT TESTED: there is no helm on the PATH, so nothing of the chart was rendered. Install Helm 3.18+"
        )
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HELM", "KUBECONFIG"))}
    env["KUBECONFIG"] = str(kubeconfig or os.devnull)
    return subprocess.run([found, *arguments], env=env, capture_output=True, text=True, check=False, timeout=120)


def template(*arguments: str, values: Path = VALUES) -> subprocess.CompletedProcess[str]:
    """`helm template`, with the values of ci/ before the arguments."""
    given = (RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", "1.36.0", "--values", str(values))
    return helm("template", *given, *arguments)


def rendered(*arguments: str) -> list[dict[str, Any]]:
    """What the chart makes of good values."""
    return copy.deepcopy(_rendered(arguments))


@functools.cache
def _rendered(arguments: tuple[str, ...]) -> list[dict[str, Any]]:
    result = template(*arguments)
    assert result.returncode == 0, result.stderr
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def named(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one document of that kind and name."""
    [found] = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name]
    return found
