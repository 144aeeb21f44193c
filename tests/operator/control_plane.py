"""A real etcd and kube-apiserver on loopback, for as long as a test module needs them; no Docker, no kubelet.

The binaries are those that KUBEBUILDER_ASSETS names, as for any project that tests with controller-runtime's envtest.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

SECONDS = 40
"""Until both must be up; they take five on an idle machine."""
_NEEDED = ("etcd", "kube-apiserver")


def assets() -> Path:
    """The folder of the binaries; skips the tests, with what to do, where there is none."""
    folder = os.environ.get("KUBEBUILDER_ASSETS", "")
    if folder and all(os.access(Path(folder) / name, os.X_OK) for name in _NEEDED):
        return Path(folder)
    found = (
        f"KUBEBUILDER_ASSETS={folder} lacks one of {', '.join(_NEEDED)}" if folder else "KUBEBUILDER_ASSETS is unset"
    )
    pytest.skip(
        f"NOT TESTED against a real API server: {found}. `setup-envtest use -p path` prints a folder to set it to "
        "(https://book.kubebuilder.io/reference/envtest), or name any folder with these binaries in it"
    )


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
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[httpx.Client]:
    """A client with all rights on a fresh API server whose data and logs lie in `folder`."""
    binaries = assets()
    etcd, peer, port = _free_ports(3)
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},tester,tester,system:masters\n")
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "accounts.pem").write_bytes(pem)
    store = f"http://127.0.0.1:{etcd}"
    with contextlib.ExitStack() as stack:
        options = {
            "data-dir": folder / "etcd", "listen-client-urls": store, "advertise-client-urls": store,
            "listen-peer-urls": f"http://127.0.0.1:{peer}", "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
            "initial-cluster": f"default=http://127.0.0.1:{peer}", "unsafe-no-fsync": "true",
        }  # fmt: skip
        database = stack.enter_context(_started(_command(binaries / "etcd", options), folder / "etcd.log"))
        options = {
            "etcd-servers": store, "bind-address": "127.0.0.1", "advertise-address": "127.0.0.1", "secure-port": port,
            "cert-dir": folder / "certificates", "token-auth-file": folder / "tokens.csv",
            "authorization-mode": "RBAC", "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": folder / "accounts.pem",
            "service-account-signing-key-file": folder / "accounts.pem",
            "service-cluster-ip-range": "10.96.0.0/24", "disable-admission-plugins": "ServiceAccount",
            "endpoint-reconciler-type": "none", "allow-privileged": "true",
        }  # fmt: skip
        server = stack.enter_context(
            _started(_command(binaries / "kube-apiserver", options), folder / "kube-apiserver.log")
        )
        client = _client(folder, f"https://127.0.0.1:{port}", token, (database, server))
        stack.callback(client.close)
        yield client
    shutil.rmtree(folder / "etcd", ignore_errors=True)


def _command(binary: Path, options: dict[str, object]) -> list[str]:
    return [str(binary), *(f"--{name}={value}" for name, value in options.items())]


def _client(folder: Path, url: str, token: str, processes: tuple[subprocess.Popen[bytes], ...]) -> httpx.Client:
    """A client of the server, once it is ready."""
    certificate, deadline = folder / "certificates" / "apiserver.crt", time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes), f"a process ended; see {folder}/*.log"
        with contextlib.suppress(httpx.TransportError, ssl.SSLError, OSError):
            context = ssl.create_default_context(cafile=str(certificate))
            client = httpx.Client(
                base_url=url, verify=context, headers={"Authorization": f"Bearer {token}"}, timeout=20, trust_env=False
            )
            if client.get("/readyz").status_code == httpx.codes.OK:
                return client
            client.close()
        time.sleep(0.1)
    raise AssertionError(f"no API server after {SECONDS} s; see {folder}/*.log")
