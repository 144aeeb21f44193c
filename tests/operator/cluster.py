"""A scenario that a cluster takes, and a run of it, as the API server would give them."""

from __future__ import annotations

import copy
from typing import Any

import yaml
from sectum_operator.jobs import Images
from sectum_operator.stages import RunId

from tests.operator.samples import ROOT

NAMESPACE, RUN_UID, SCENARIO_UID = (
    "runs",
    "0192f3a4-0000-7000-8000-00000000000a",
    "0192f3a4-0000-7000-8000-00000000000b",
)
RUN = RunId(NAMESPACE, "nightly-1", RUN_UID)
IMAGES = Images(
    operator="registry.example/operator@sha256:" + "aa" * 32, probes="registry.example/p@sha256:" + "bb" * 32
)
OUTSIDE = {"cidr": "10.20.0.0/16", "ports": [443]}


def scenario(*surfaces: str) -> dict[str, Any]:
    """The minimal example with these surfaces, and with what a cluster wants of it."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "minimal" / "scenario.yaml").read_text())
    spec = document["spec"]
    [template] = spec["surfaces"]
    spec["surfaces"] = [_surface(template, name) for name in surfaces or ("api", "search")]
    spec["manifest"] = {
        "key": {
            "awsKms": {
                "keyId": "alias/sectum", "region": "eu-central-1", "encryptSecret": "sectum-kms-encrypt-a",
                "decryptSecret": "sectum-kms-decrypt-a", "egress": [{"cidr": "10.30.0.0/16", "ports": [443]}],
            }
        }
    }  # fmt: skip
    s3 = {"bucket": "evidence", "egress": [OUTSIDE]}
    spec["evidence"] |= {
        "store": {"s3": {**s3, "secret": "sectum-store-evidence-a"}},
        "records": {"s3": {**s3, "bucket": "records", "secret": "sectum-store-records-a"}},
    }
    document["metadata"] |= {
        "namespace": NAMESPACE, "uid": SCENARIO_UID, "generation": 3, "resourceVersion": "1",
        "creationTimestamp": "2026-11-24T11:00:00Z",
    }  # fmt: skip
    return document


def _surface(template: dict[str, Any], name: str) -> dict[str, Any]:
    surface = copy.deepcopy(template)
    surface["name"], surface["credentials"]["secretRef"]["name"] = name, f"sectum-surface-{name}-tokens"
    surface["egress"] = [{"pods": {"namespace": "demo", "labels": {"app": "assistant"}}, "ports": [8080, 8081]}]
    return surface


def run(**spec: Any) -> dict[str, Any]:
    """A run of it that nobody has looked at yet."""
    return {
        "apiVersion": "sectum.ai/v1alpha1", "kind": "VerificationRun",
        "metadata": {
            "name": RUN.name, "namespace": NAMESPACE, "uid": RUN_UID, "generation": 1, "resourceVersion": "1",
            "creationTimestamp": "2026-11-24T12:00:00Z",
        },
        "spec": {"scenarioRef": {"name": "minimal"}, "timeout": "6h", "cancel": False, "suspend": False, **spec},
    }  # fmt: skip
