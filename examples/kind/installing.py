"""A kind cluster -> the same with the demo's stacks, the chart and the scenarios in it, and back."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from credentials import BUILDS, RUNS, SERVERS, made, manifest, taken_back
from machine import Cluster, run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = ROOT / "charts" / "sectum-operator"
RELEASE, RELEASE_NAMESPACE = "sectum", "sectum-system"
STACKS = [HERE / "10-servers.yaml", HERE / "20-stack-leaky.yaml", HERE / "21-stack-hardened.yaml"]
SCENARIOS = [HERE / "30-scenario-leaky.yaml", HERE / "31-scenario-hardened.yaml"]
DEPLOYMENTS = [(SERVERS, "s3"), (SERVERS, "moto"), ("demo-leaky", "assistant"), ("demo-hardened", "assistant")]
REACHED = [SERVERS, *(f"demo-{build}" for build in BUILDS)]
DEMO_IMAGE = "sectum.local/demo:kind"
STARTED_WITH = "sectum.ai/demo-started-with"


def images() -> dict[str, str]:
    """Name -> reference, built where sources changed."""
    names = ("probes", "operator", "demo")
    environment = {key: value for key, value in os.environ.items() if key != "IMAGES"}
    said = run(str(ROOT / "scripts" / "images"), *names, seconds=1800, env=environment)
    return dict(line.split() for line in said.splitlines())


def load(cluster: Cluster, references: dict[str, str]) -> dict[str, str]:
    """Name -> digest, by which the chart's pods ask for them; the demo's own servers ask by a name that stays."""
    cluster.load(list(references.values()))
    cluster.tag(references["demo"], DEMO_IMAGE)
    return {name: cluster.digest(reference) for name, reference in references.items() if name != "demo"}


def start_servers(cluster: Cluster, image: str) -> None:
    """Namespaces, Secrets, then what mounts them: started anew where the image or a Secret is another than before."""
    cluster.apply_namespaces(*STACKS)
    taken_back(cluster.folder / "secrets", {namespace: cluster.secrets(namespace) for namespace in (RUNS, *REACHED)})
    secrets = {namespace: named for namespace, named in made(cluster.folder / "secrets").items() if namespace != RUNS}
    apply_secrets(cluster, secrets)
    before = started_with(cluster)
    cluster.apply(*STACKS)
    for namespace, name in DEPLOYMENTS:
        now = hashlib.sha256((image + manifest({namespace: secrets[namespace]})).encode()).hexdigest()
        deployment = (f"deployment/{name}", "--namespace", namespace)
        if before.get((namespace, name), now) != now:
            cluster.kubectl("rollout", "restart", *deployment)
        cluster.kubectl("annotate", "--overwrite", *deployment, f"{STARTED_WITH}={now}")


def started_with(cluster: Cluster) -> dict[tuple[str, str], str]:
    """The demo's Deployments that are there -> what they were started with."""
    there = [each["metadata"] for each in cluster.objects("deployments", "-A")]
    found = {(each["namespace"], each["name"]): each.get("annotations", {}).get(STARTED_WITH, "") for each in there}
    return {key: found[key] for key in DEPLOYMENTS if key in found}


def apply_secrets(cluster: Cluster, secrets: dict[str, Any]) -> None:
    # Server-side: else kubectl would keep a copy of the values in an annotation.
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=manifest(secrets))


def install(cluster: Cluster, references: dict[str, str], digests: dict[str, str]) -> None:
    """The chart: images by digest, and as the outer bound of egress the demo's three namespaces."""
    values = {
        "images": {
            name: {"repository": references[name].rpartition(":")[0], "digest": digests[name]} for name in digests
        },
        "egress": {"bound": [{"namespace": name} for name in REACHED]},
    }
    file = cluster.folder / "values.json"
    file.write_text(json.dumps(values, indent=2))
    release = (RELEASE, str(CHART), "--namespace", RELEASE_NAMESPACE, "--create-namespace", "--values", str(file))
    cluster.helm("upgrade", "--install", *release, "--wait", "--timeout", "120s")


def start_scenarios(cluster: Cluster) -> None:
    """Credentials of the runs, the scenarios, and everything ready."""
    apply_secrets(cluster, {RUNS: made(cluster.folder / "secrets")[RUNS]})
    cluster.apply(*SCENARIOS)
    for namespace, name in DEPLOYMENTS:
        cluster.kubectl(
            "rollout", "status", f"deployment/{name}", "--namespace", namespace, "--timeout=180s", seconds=200
        )


def clear(cluster: Cluster) -> None:
    """Runs first, while the operator is there to end them; then the release, the namespaces and the kinds."""
    cluster.connect()
    kinds = cluster.kubectl("get", "crds", "-o", "name").split()
    ours = [each for each in kinds if each.endswith(".sectum.ai")]
    if ours:
        cluster.kubectl(
            "delete", "verificationruns", "--all", "-n", RUNS, "--ignore-not-found", "--timeout=120s", seconds=150
        )
    if RELEASE in cluster.helm("list", "--namespace", RELEASE_NAMESPACE, "--short").split():
        cluster.helm("uninstall", RELEASE, "--namespace", RELEASE_NAMESPACE, "--wait")
    cluster.kubectl(
        "delete", "namespaces", RELEASE_NAMESPACE, RUNS, *REACHED, "--ignore-not-found", "--timeout=180s", seconds=200
    )
    if ours:
        cluster.kubectl("delete", *ours, "--timeout=60s")
