"""The commands of docs/install.md and docs/air-gapped.md, typed against a real API server, which runs no pods."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.cluster import Cluster, collection, publish_api_server, wait_until, write_kubeconfig
from tests.chart.helm import ROOT, RUNS, helm
from tests.docs.pages import blocks
from tests.operator.control_plane import control_plane

pytestmark = pytest.mark.timeout(240)
NEEDS_PODS = ("kubectl rollout status", "helm test", "kubectl sectum run")
"""What waits for pods; tests/cluster has those."""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own, with nothing in it."""
    helm("version")
    folder = tmp_path_factory.mktemp("control-plane")
    with control_plane(folder) as plane:
        publish_api_server(plane.client)
        yield Cluster(plane.client, write_kubeconfig(folder, plane.client))


def typed(page: str, *programs: str) -> list[str]:
    """The lines of the page's blocks of commands that begin with one of these programs, in order."""
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    return [line for line in lines if line.startswith(programs) and not line.startswith(NEEDS_PODS)]


def run(line: str, cluster: Cluster, folder: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("NOT TESTED: there is no kubectl on the PATH")
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "HOME": str(folder)}
    done = subprocess.run(
        shlex.split(line), cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_the_pages_install_upgrade_and_give_pull_secrets_as_they_say(empty: Cluster, tmp_path: Path) -> None:
    """In order: installed, a Secret and a scenario there, upgraded and back; then the mirror's pull secret."""
    [values] = blocks("install", "yaml")
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    (tmp_path / "values.yaml").write_text(values)
    (tmp_path / "scenario.yaml").write_bytes((ROOT / "examples" / "kind" / "30-scenario-leaky.yaml").read_bytes())
    secret = tmp_path / "secrets" / "sectum-surface-api-tokens"
    secret.mkdir(parents=True)
    (secret / "acme.ann").write_text("token")
    lines = typed("install", "helm", "kubectl")
    assert [line.split()[1] for line in lines] == ["install", "create", "apply", "get", "upgrade", "sectum"]
    for line in lines:
        if line.startswith("kubectl apply"):
            wait_until(lambda: empty.client.get(collection("IsolationScenario")).is_success, "the kinds are served")
        if line != "kubectl sectum version":
            run(line, empty, tmp_path)
    run("helm rollback sectum --namespace sectum-system", empty, tmp_path)
    held = empty.client.get(f"{collection('Secret')}/sectum-surface-api-tokens").json()["data"]
    assert held.keys() == {"acme.ann"}
    assert empty.client.get(f"{collection('IsolationScenario')}/leaky").is_success

    (tmp_path / "config.json").write_text('{"auths": {}}')
    for line in typed("air-gapped", "kubectl"):
        run(line, empty, tmp_path)
    run("helm upgrade sectum charts/sectum-operator --namespace sectum-system --values values.yaml", empty, tmp_path)
    for account in ("sectum-prepare", "sectum-probe", "sectum-sign", "sectum-trigger"):
        assert _pod(empty, account)["spec"]["imagePullSecrets"] == [{"name": "mirror"}]


def _pod(cluster: Cluster, account: str) -> dict[str, Any]:
    """What the API server makes of a pod of that account which names no pull secret."""
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "any", "namespace": RUNS},
        "spec": {
            "serviceAccountName": account,
            "containers": [{"name": "any", "image": "mirror.example/any", "securityContext": security}],
        },
    }
    made = cluster.create(document)
    assert made.is_success, made.text
    pod: dict[str, Any] = made.json()
    return pod
