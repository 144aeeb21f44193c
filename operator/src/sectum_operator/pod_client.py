"""A pod's token -> a client of the API server, once the network lets the pod through; its errors -> ours."""

from __future__ import annotations

import asyncio
import os

import httpx2
from lightkube import Client, KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from sectum.boundary import Address, api_server, opened
from sectum.errors import StoreFault

RunKind = create_namespaced_resource("sectum.ai", "v1alpha1", "VerificationRun", "verificationruns")


def connected() -> Client:
    """A client with the rights of the pod's account."""
    path = os.environ.get("SECTUM_KUBECONFIG")
    client = Client(KubeConfig.from_file(path) if path else KubeConfig.from_service_account(), trust_env=False)
    let_through(api_server())
    return client


def let_through(address: Address | None) -> None:
    """The network plug-in opens a pod's way a moment after its start."""
    if address is not None:
        asyncio.run(opened([address]))


def known(error: Exception) -> Exception:
    """What the API server or the way to it did, without its words."""
    if isinstance(error, ApiError):
        code = error.status.code or 0
        return StoreFault(f"the API server answered {code}", temporary=code >= 500 or code == 429)
    if isinstance(error, httpx2.HTTPError):
        return StoreFault(f"the API server cannot be reached ({type(error).__name__})")
    return error
