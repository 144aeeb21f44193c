"""An API server -> everything around it that a run in a cluster needs: kinds, accounts, a node, KMS, buckets, Secrets.

    with installed(folder) as here, running_notes_app(leaky=True) as notes:
        here.scenario(notes, surfaces=("api",))
        here.create("verificationruns", {...})

The stages are the real ones, as processes; KMS and S3 are moto's on loopback. No claim on RBAC: see `kubelet`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from moto.server import ThreadedMotoServer
from sectum.signers.ec_key import EcKeySigner
from sectum_operator.definitions import GROUP, KINDS, VERSION
from sectum_operator.jobs import Images

from tests.notes_app import NotesApp, notes_scenario
from tests.operator.control_plane import ControlPlane, control_plane, controllers
from tests.operator.kubelet import Kubelet
from tests.operator.samples import ROOT

Json = dict[str, Any]
NAMESPACE = "runs"
IMAGES = Images(
    operator="registry.example/operator@sha256:" + "aa" * 32, probes="registry.example/probes@sha256:" + "bb" * 32
)
CALL = "import sys; from {} import {}; sys.exit({}())"
"""As a console script does: its entry point in pyproject.toml."""
ENTRY = {
    IMAGES.operator: [sys.executable, "-c", CALL.format("sectum_operator.main", "main", "main")],
    IMAGES.probes: [sys.executable, "-c", CALL.format("sectum.pod", "main", "main")],
}
ACCOUNTS = ("sectum-prepare", "sectum-probe", "sectum-sign", "sectum-trigger")
CREDENTIALS = {"accessKeyId": "test", "secretAccessKey": "test-secret-key"}
_GROUPS = {"jobs": "/apis/batch/v1", "cronjobs": "/apis/batch/v1", "networkpolicies": "/apis/networking.k8s.io/v1"}
_KINDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_RIGHTS = {
    "prepare": [
        {"apiGroups": [GROUP], "resources": ["verificationruns", "isolationscenarios"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    ],
    "trigger": [{"apiGroups": [GROUP], "resources": ["verificationruns"], "verbs": ["create"]}],
}


@dataclass(frozen=True)
class Installation:
    """What `installed` gives."""

    plane: ControlPlane
    node: Kubelet
    amazon: str
    """URL of KMS and S3."""
    key_id: str
    signer: EcKeySigner = field(repr=False)
    pem: bytes = field(repr=False)
    """The signer's private key."""

    def path(self, kind: str, name: str = "", *, namespace: str = NAMESPACE) -> str:
        """Of objects of this kind (plural), or of one of them."""
        ours = f"/apis/{GROUP}/{VERSION}" if any(each.plural == kind for each in KINDS) else "/api/v1"
        return f"{_GROUPS.get(kind, ours)}/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")

    def create(self, kind: str, document: Json) -> Json:
        """Create an object in the namespace of runs, with all rights."""
        answer = self.plane.client.post(self.path(kind), params={"fieldValidation": "Strict"}, json=document)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def get(self, kind: str, name: str) -> Json | None:
        """One object; None where it is not there."""
        answer = self.plane.client.get(self.path(kind, name))
        return dict(answer.json()) if answer.is_success else None

    def list(self, kind: str) -> list[Json]:
        """All of them."""
        return list(self.plane.client.get(self.path(kind)).raise_for_status().json()["items"])

    def secret(self, name: str, data: dict[str, str]) -> None:
        """Create a Secret."""
        self.create("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})

    def scenario(
        self, notes: NotesApp, *, name: str = "notes", surfaces: tuple[str, ...] = ("api",), **spec: Any
    ) -> Json:
        """Create a scenario for the app, with more of a `spec`, and its Secrets; each has buckets of its own."""
        for surface in surfaces:
            tokens = {".".join(user): token for user, token in notes.tokens.items()}
            self.secret(f"sectum-surface-{surface}-{name}", tokens)
        for secret in ("kms-encrypt", "kms-decrypt", "store-evidence", "store-records"):
            self.secret(f"sectum-{secret}-{name}", CREDENTIALS)
        self.secret(f"sectum-signer-{name}", {"private.pem": self.pem.decode()})
        document = notes_scenario(notes.url, surfaces=surfaces, **self._spec(name), **spec)
        for each in document["spec"]["surfaces"]:
            each["credentials"]["secretRef"]["name"] = f"sectum-surface-{each['name']}-{name}"
            each["egress"] = _reaching(notes.url)
        document["metadata"]["name"] = name
        return self.create("isolationscenarios", document)

    def _spec(self, name: str) -> Json:
        kms = {
            "keyId": self.key_id, "region": "us-east-1", "endpoint": self.amazon, "egress": _reaching(self.amazon),
            "encryptSecret": f"sectum-kms-encrypt-{name}", "decryptSecret": f"sectum-kms-decrypt-{name}",
        }  # fmt: skip
        stores: Json = {}
        for role in ("evidence", "records"):
            self.s3().create_bucket(Bucket=f"{role}-{name}")
            stores[role] = {"bucket": f"{role}-{name}", "region": "us-east-1", "endpoint": self.amazon,
                            "egress": _reaching(self.amazon), "secret": f"sectum-store-{role}-{name}"}  # fmt: skip
        return {
            "manifest": {"key": {"awsKms": kms}},
            "evidence": {
                "signer": {"ecKey": {"secretRef": {"name": f"sectum-signer-{name}", "key": "private.pem"}}},
                "store": {"s3": stores["evidence"]},
                "records": {"s3": stores["records"]},
            },
        }

    def s3(self) -> Any:
        """A client of the buckets."""
        return _amazon("s3", self.amazon)

    def stored(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """All objects in a bucket, by name."""
        s3 = self.s3()
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        names = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {name: s3.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}


@contextlib.contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """Everything, for as long as the block."""
    with control_plane(folder) as plane, _amazon_server() as amazon:
        _define(plane.client)
        with controllers(plane):
            _accounts(plane.client)
            coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
            with Kubelet(plane, folder / "node", images=ENTRY, environment=coverage) as node:
                key = _amazon("kms", amazon).create_key()["KeyMetadata"]["KeyId"]
                private = ec.generate_private_key(ec.SECP256R1())
                pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                yield Installation(plane, node, amazon, key, EcKeySigner(private), pem)


@contextlib.contextmanager
def _amazon_server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        # What moto holds belongs to the process, and another module's test was there before.
        httpx.post(f"http://{host}:{port}/moto-api/reset", trust_env=False).raise_for_status()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _amazon(service: str, url: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test-secret-key"}
    return boto3.client(service, region_name="us-east-1", endpoint_url=url, **keys)


def _reaching(url: str) -> list[Json]:
    at = urlsplit(url)
    return [{"cidr": f"{at.hostname}/32", "ports": [at.port]}]


def _define(client: httpx.Client) -> None:
    """Create our kinds and wait until they are served."""
    for path in sorted((ROOT / "crds").iterdir()):
        client.post(_KINDS, json=yaml.safe_load(path.read_text())).raise_for_status()
    deadline = time.monotonic() + 20
    while not all(client.get(f"/apis/{GROUP}/{VERSION}/{kind.plural}").is_success for kind in KINDS):
        assert time.monotonic() < deadline, "our kinds are not served"
        time.sleep(0.05)


def _accounts(client: httpx.Client) -> None:
    """The namespace of runs, its pods' accounts, and what two of them may do."""
    client.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}}).raise_for_status()
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    for name in ACCOUNTS:
        account = {"metadata": {"name": name}}
        client.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", json=account).raise_for_status()
    for name, rules in _RIGHTS.items():
        client.post(f"{rbac}/roles", json={"metadata": {"name": name}, "rules": rules}).raise_for_status()
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        whose = [{"kind": "ServiceAccount", "name": f"sectum-{name}", "namespace": NAMESPACE}]
        bound = {"metadata": {"name": name}, "roleRef": role, "subjects": whose}
        client.post(f"{rbac}/rolebindings", json=bound).raise_for_status()
