"""A real etcd, kube-apiserver and, if wanted, kube-controller-manager on loopback; no Docker, no kubelet.

The binaries are those that KUBEBUILDER_ASSETS names, as for any project that tests with controller-runtime's envtest,
or those of `binaries`. `kubelet.py` runs the pods.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.operator import binaries

SECONDS = 40
"""Until both must be up; they take five on an idle machine."""
SERVER = ("etcd", "kube-apiserver")
CONTROLLERS = (
    "job-controller", "cronjob-controller", "garbage-collector-controller", "namespace-controller",
    "ttl-after-finished-controller", "serviceaccount-controller",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running API server and what its clients need."""

    folder: Path
    url: str
    client: httpx.Client
    """With all rights."""
    token: str = field(repr=False)
    """The same identity's."""

    @property
    def certificate(self) -> Path:
        """What the server's own must chain to."""
        return _certificate(self.folder)

    def connect(self, token: str | None = None) -> httpx.Client:
        """One more client: of whoever `token` belongs to, or with all rights."""
        return _connect(self.url, certificate=self.certificate, token=token or self.token)

    def kubeconfig(
        self, path: Path, *, token: str | None = None, url: str | None = None, namespace: str = "default"
    ) -> Path:
        """Write a kubeconfig for the same; `url` is that of a proxy on the way to the server."""
        cluster = {"server": url or self.url}
        if cluster["server"].startswith("https:"):
            cluster["certificate-authority"] = str(self.certificate)
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token or self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        }  # fmt: skip
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
        return path

    def token_of(self, namespace: str, account: str) -> str:
        """An hour's token of a ServiceAccount that exists."""
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.client.post(path, json=asked).raise_for_status().json()["status"]["token"])


def assets() -> Path:
    """The folder of the server's binaries; skips the tests where there is none."""
    return binaries.assets(*SERVER)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def _started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone afterwards, whatever happens."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(2)  # an API server would wait for whoever still watches, and its data goes with it
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[httpx.Client]:
    """A client with all rights on a fresh API server whose data and logs lie in `folder`; pods need no account."""
    with control_plane(folder, accounts=False) as plane:
        yield plane.client


@contextlib.contextmanager
def control_plane(folder: Path, *, accounts: bool = True) -> Iterator[ControlPlane]:
    """A fresh API server; with `accounts` a pod has a ServiceAccount, which must exist, as in every cluster.

    The accounts named "default" are made by `controllers`; until then no pod can be created.
    """
    found = assets()
    etcd, peer, port = _free_ports(3)
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},tester,tester,system:masters\n")
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "accounts.pem").write_bytes(pem)
    store = f"http://127.0.0.1:{etcd}"
    with contextlib.ExitStack() as stack:
        options: dict[str, object] = {
            "data-dir": folder / "etcd", "listen-client-urls": store, "advertise-client-urls": store,
            "listen-peer-urls": f"http://127.0.0.1:{peer}", "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
            "initial-cluster": f"default=http://127.0.0.1:{peer}", "unsafe-no-fsync": "true",
        }  # fmt: skip
        database = stack.enter_context(_started(_command(found / "etcd", options), folder / "etcd.log"))
        options = {
            "etcd-servers": store, "bind-address": "127.0.0.1", "advertise-address": "127.0.0.1", "secure-port": port,
            "cert-dir": folder / "certificates", "token-auth-file": folder / "tokens.csv",
            "authorization-mode": "RBAC", "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": folder / "accounts.pem",
            "service-account-signing-key-file": folder / "accounts.pem",
            "service-cluster-ip-range": "10.96.0.0/24", "endpoint-reconciler-type": "none", "allow-privileged": "true",
            **({} if accounts else {"disable-admission-plugins": "ServiceAccount"}),
        }  # fmt: skip
        server = stack.enter_context(
            _started(_command(found / "kube-apiserver", options), folder / "kube-apiserver.log")
        )
        plane = _ready(folder, f"https://127.0.0.1:{port}", token, (database, server))
        stack.callback(plane.client.close)
        yield plane
    shutil.rmtree(folder / "etcd", ignore_errors=True)


@contextlib.contextmanager
def controllers(plane: ControlPlane) -> Iterator[None]:
    """Kubernetes' own controllers of Jobs, ownership, namespaces and accounts, on the server of `plane`.

    Create custom resources' definitions before: the garbage collector looks for new kinds twice a minute only.
    """
    binary = binaries.assets(*SERVER, "kube-controller-manager") / "kube-controller-manager"
    options: dict[str, object] = {
        "kubeconfig": plane.kubeconfig(plane.folder / "controllers.kubeconfig"), "controllers": ",".join(CONTROLLERS),
        "leader-elect": "false", "secure-port": 0, "kube-api-qps": 200, "kube-api-burst": 400,
    }  # fmt: skip
    log = plane.folder / "kube-controller-manager.log"
    with _started(_command(binary, options), log) as process:
        deadline = time.monotonic() + SECONDS
        while plane.client.get("/api/v1/namespaces/default/serviceaccounts/default").status_code != httpx.codes.OK:
            assert process.poll() is None, f"it ended; see {log}"
            assert time.monotonic() < deadline, f"no account after {SECONDS} s; see {log}"
            time.sleep(0.1)
        yield


def _command(binary: Path, options: dict[str, object]) -> list[str]:
    return [str(binary), *(f"--{name}={value}" for name, value in options.items())]


def _certificate(folder: Path) -> Path:
    return folder / "certificates" / "apiserver.crt"


def _connect(url: str, *, certificate: Path, token: str) -> httpx.Client:
    context, headers = ssl.create_default_context(cafile=str(certificate)), {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, verify=context, headers=headers, timeout=20, trust_env=False)


def _ready(folder: Path, url: str, token: str, processes: tuple[subprocess.Popen[bytes], ...]) -> ControlPlane:
    """The server, once it is ready."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes), f"a process ended; see {folder}/*.log"
        with contextlib.suppress(httpx.TransportError, ssl.SSLError, OSError):
            client = _connect(url, certificate=_certificate(folder), token=token)
            if client.get("/readyz").status_code == httpx.codes.OK:
                return ControlPlane(folder, url, client, token)
            client.close()
        time.sleep(0.1)
    raise AssertionError(f"no API server after {SECONDS} s; see {folder}/*.log")
