"""Calls of the Kubernetes API -> JSON objects, and one of few errors. What it may do is said by the chart's roles."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import httpx2
from lightkube import KubeConfig
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from sectum.errors import SectumError

Object = Mapping[str, Any]
Pointer = Literal["/status", "/metadata/finalizers", "/metadata/annotations", "/spec", "/spec/cancel"]
"""What is changed of objects that are there: a spec of the Lease only, the last and annotations by `drain` alone."""
_CHUNK = 500
_JSON_PATCH = {"Content-Type": "application/json-patch+json"}
_FOREGROUND = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
"""A Job is there until its pods are gone."""


class ApiFault(SectumError):
    """The API server did not do what was asked."""


class TryAgain(ApiFault):
    """It may do so later: a conflict, overload, a lost connection."""


class AlreadyThere(ApiFault):
    """There is an object of that name."""


class Denied(ApiFault):
    """It refuses: a role, an admission policy, a quota, a schema."""

    def __init__(self, message: str, *, terminating: bool) -> None:
        super().__init__(message)
        self.terminating = terminating
        """Because the namespace is being deleted."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object, as its URL names it."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Of the kind's objects in a namespace, or of one."""
        root = f"/apis/{self.group}" if self.group else "/api"
        parts = (root, self.version, "namespaces", namespace, self.plural, name, subresource)
        return "/".join(each for each in parts if each)


RUNS = Resource("sectum.ai", "v1alpha1", "verificationruns")
SCENARIOS = Resource("sectum.ai", "v1alpha1", "isolationscenarios")
PACKS = Resource("sectum.ai", "v1alpha1", "evidencepacks")
JOBS = Resource("batch", "v1", "jobs")
CRONJOBS = Resource("batch", "v1", "cronjobs")
PODS = Resource("", "v1", "pods")
POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies")
EVENTS = Resource("events.k8s.io", "v1", "events")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
NAMESPACE = Resource("", "v1", "")
"""The namespace itself, without a name: its URL is that of what is in it, cut short."""


class Api(Protocol):
    """What the operator asks of the API server; each call raises ApiFault."""

    async def get(self, kind: Resource, namespace: str, name: str) -> Object | None:
        """The object; None if there is none."""
        ...

    async def list(self, kind: Resource, namespace: str, *, labels: str = "", fields: str = "") -> list[Object]:
        """All objects that the selectors select; raises Denied where there is no such kind, too."""
        ...

    async def create(self, kind: Resource, namespace: str, body: Object) -> None:
        """A new object; raises AlreadyThere, Denied."""
        ...

    async def replace(
        self, kind: Resource, namespace: str, name: str, *, version: str, pointer: Pointer, value: Any
    ) -> Object:
        """Set one part of the object as it is in that version; raises TryAgain where it has changed since."""
        ...

    async def delete(self, kind: Resource, namespace: str, name: str) -> None:
        """Delete it, dependants first; nothing if there is none."""
        ...


class KubeApi:
    """The API server, over HTTP."""

    def __init__(self, client: httpx2.AsyncClient, requested: Callable[[str, int], None] = lambda *_: None) -> None:
        self._client, self._requested = client, requested
        """The latter is told of each request: its method, and the status of the answer; 0 where there is none."""

    async def get(self, kind: Resource, namespace: str, name: str) -> Object | None:
        """See Api."""
        answer = await self._send("GET", kind.path(namespace, name))
        if answer.status_code == httpx2.codes.NOT_FOUND:
            return None
        return _object(_good(answer))

    async def list(self, kind: Resource, namespace: str, *, labels: str = "", fields: str = "") -> list[Object]:
        """See Api."""
        found: list[Object] = []
        query = {"limit": str(_CHUNK), "labelSelector": labels, "fieldSelector": fields}
        while True:
            given = {key: value for key, value in query.items() if value}
            answer = await self._send("GET", kind.path(namespace), query=given)
            if answer.status_code == httpx2.codes.NOT_FOUND:
                raise Denied(f"there is no kind {kind.plural}", terminating=False)
            page = _object(_good(answer))
            found += page["items"]
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return found

    async def create(self, kind: Resource, namespace: str, body: Object) -> None:
        """See Api."""
        answer = await self._send("POST", kind.path(namespace), body=body)
        if answer.status_code == httpx2.codes.CONFLICT:
            raise AlreadyThere(f"{kind.plural}: there is one of that name")
        _good(answer)

    async def replace(
        self, kind: Resource, namespace: str, name: str, *, version: str, pointer: Pointer, value: Any
    ) -> Object:
        """See Api. A JSON patch, since a merge patch would drop the nulls in a status; 409 for another version."""
        body = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": pointer, "value": value},
        ]
        path = kind.path(namespace, name, "status" if pointer == "/status" else "")
        return _object(_good(await self._send("PATCH", path, body=body, headers=_JSON_PATCH)))

    async def delete(self, kind: Resource, namespace: str, name: str) -> None:
        """See Api."""
        answer = await self._send("DELETE", kind.path(namespace, name), body=_FOREGROUND)
        if answer.status_code != httpx2.codes.NOT_FOUND:
            _good(answer)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:  # fmt: skip
        content = None if body is None else json.dumps(body).encode()
        told = {"Content-Type": "application/json", **(headers or {})} if content else {}
        try:
            answer = await self._client.request(method, path, content=content, params=query, headers=told)
        except httpx2.TransportError as error:
            self._requested(method, 0)
            raise TryAgain(f"{method} {path}: {type(error).__name__}") from error
        self._requested(method, answer.status_code)
        return answer


def connect(requested: Callable[[str, int], None] = lambda *_: None) -> KubeApi:
    """As the pod's service account, else as KUBECONFIG says."""
    config = KubeConfig.from_env().get()
    if config is None:
        raise TryAgain("no cluster is configured")
    return KubeApi(AsyncClient(config, ConnectionParams(timeout=httpx2.Timeout(30))), requested)


def _good(answer: httpx2.Response) -> httpx2.Response:
    """An answer that is none of the errors."""
    if answer.is_success:
        return answer
    told = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {_message(answer)}"
    if answer.status_code in (httpx2.codes.FORBIDDEN, httpx2.codes.UNPROCESSABLE_CONTENT, httpx2.codes.BAD_REQUEST):
        raise Denied(told, terminating="NamespaceTerminating" in answer.text)
    raise TryAgain(told)


def _object(answer: httpx2.Response) -> Object:
    try:
        found: Object = answer.json()
    except ValueError as error:
        raise TryAgain(f"{answer.request.url.path}: an answer that is no JSON") from error
    return found


def _message(answer: httpx2.Response) -> str:
    try:
        return str(answer.json().get("message", ""))[:500]
    except ValueError:
        return ""
