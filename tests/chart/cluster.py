"""A real API server with the chart installed -> answers to requests that one of our accounts makes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.chart.helm import NAMESPACE, RUNS

STRICT = {"fieldValidation": "Strict"}
DRY = {**STRICT, "dryRun": "All"}
OPERATOR = f"system:serviceaccount:{NAMESPACE}:sectum-operator"
DRAIN = f"system:serviceaccount:{NAMESPACE}:sectum-drain"
PREPARE, PROBE, SIGN, TRIGGER = (
    f"system:serviceaccount:{RUNS}:sectum-{name}" for name in ("prepare", "probe", "sign", "trigger")
)
PATHS = {
    "Job": "/apis/batch/v1/namespaces/{}/jobs", "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Secret": "/api/v1/namespaces/{}/secrets", "Pod": "/api/v1/namespaces/{}/pods",
    "VerificationRun": "/apis/sectum.ai/v1alpha1/namespaces/{}/verificationruns",
    "IsolationScenario": "/apis/sectum.ai/v1alpha1/namespaces/{}/isolationscenarios",
    "EvidencePack": "/apis/sectum.ai/v1alpha1/namespaces/{}/evidencepacks",
    "Event": "/api/v1/namespaces/{}/events", "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}  # fmt: skip
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


def collection(kind: str, namespace: str = RUNS) -> str:
    """The path of all objects of the kind in the namespace."""
    return PATHS[kind].format(namespace)


def path_of(document: dict[str, Any]) -> str:
    """The path of one object."""
    meta = document["metadata"]
    return f"{collection(document['kind'], meta['namespace'])}/{meta['name']}"


def by_right(account: str) -> dict[str, str | list[str]]:
    """Headers of a request by an account, with the rights that it has."""
    return {"Impersonate-User": account}


def with_all_rights(account: str) -> dict[str, str]:
    """Headers of a request by an account that RBAC lets do everything: what is refused now, a fence refused."""
    return {"Impersonate-User": account, "Impersonate-Group": "system:masters"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A client with all rights on the API server, and the file that Helm and kubectl reach it with."""

    client: httpx.Client
    kubeconfig: Path

    def create(self, document: dict[str, Any], account: str = "", *, dry: bool = True) -> httpx.Response:
        """Create it; as an account, past RBAC."""
        headers = with_all_rights(account) if account else {}
        path = collection(document["kind"], document["metadata"]["namespace"])
        return self.client.post(path, params=DRY if dry else STRICT, json=document, headers=headers)

    def replace(self, document: dict[str, Any], account: str) -> httpx.Response:
        """Update it, past RBAC and dry."""
        return self.client.put(path_of(document), params=DRY, json=document, headers=with_all_rights(account))

    def delete(self, document: dict[str, Any], account: str) -> httpx.Response:
        """Delete it, past RBAC and dry."""
        return self.client.delete(path_of(document), params={"dryRun": "All"}, headers=with_all_rights(account))


def write_kubeconfig(folder: Path, client: httpx.Client) -> Path:
    """What the client knows, as a kubeconfig in the folder of its control plane."""
    token = client.headers["Authorization"].removeprefix("Bearer ")
    certificate = str(folder / "certificates" / "apiserver.crt")
    target = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "clusters": [
            {"name": "tests", "cluster": {"server": str(client.base_url), "certificate-authority": certificate}}
        ],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
    }
    target.write_text(json.dumps(document))
    return target


def publish_api_server(client: httpx.Client) -> None:
    """The EndpointSlice that a control plane writes of itself, and that the one of the tests does not."""
    slices = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "endpoints": [{"addresses": ["10.20.0.1"]}], "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }  # fmt: skip
    answer = client.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", json=slices)
    assert answer.status_code == httpx.codes.CREATED, answer.text


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Policies take effect when the API server's own watch brings them, within a second or two."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if happened():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within 60 s: {what}")
