"""Be a client of the stack's tools or its vector store, with any bearer; plain HTTP, so that all can be tried."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import jwt

from tests.stack.running import NO_TLS, Stack

VERSION = "2025-11-25"
SESSION = "mcp-session-id"
DIMENSIONS = 256


def http(stack: Stack, token: str | None) -> httpx.Client:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=stack.url, headers=headers, verify=NO_TLS, trust_env=False, timeout=30)


def tools_token(stack: Stack, who: tuple[str, str]) -> str:
    return stack.user(*who).tools_token


def minted(stack: Stack, who: tuple[str, str], *, key: bytes | None = None, **claims: object) -> str:
    """Return a token for the tools like the stack's own, but for what is named; an empty key leaves it unsigned."""
    tenant, user = who
    now = int(time.time())
    good = {
        "iss": stack.issuer["name"],
        "aud": stack.issuer["tools_audience"],
        "sub": user,
        "tenant": tenant,
        "iat": now,
        "exp": now + 600,
    }
    if key == b"":
        return jwt.encode({**good, **claims}, None, algorithm="none")
    if key is None:
        with open(stack.issuer["key_file"], "rb") as file:
            key = file.read()
    return jwt.encode({**good, **claims}, key, algorithm=stack.issuer["algorithm"])


class Tools:
    """A session with the tools; `session` takes part in one that another client began."""

    def __init__(self, stack: Stack, token: str | None, *, session: str | None = None) -> None:
        self.http = http(stack, token)
        self.http.headers["Accept"] = "application/json, text/event-stream"
        self._last_id = 0
        if session is None:
            opened = self.post("initialize", protocolVersion=VERSION, capabilities={}, clientInfo=CLIENT)
            self.status, session = opened.status_code, opened.headers.get(SESSION)
        if session is not None:
            self.session = self.http.headers[SESSION] = session
            self.http.headers["mcp-protocol-version"] = VERSION

    def __enter__(self) -> "Tools":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def post(self, method: str, *, request_id: int | None = None, **params: object) -> httpx.Response:
        self._last_id += 1
        message = {"jsonrpc": "2.0", "id": request_id or self._last_id, "method": method, "params": params}
        return self.http.post("/mcp", json=message)

    def call(self, name: str, *, request_id: int | None = None, **arguments: object) -> httpx.Response:
        return self.post("tools/call", request_id=request_id, name=name, arguments=arguments)

    def result(self, name: str, **arguments: object) -> Mapping[str, Any]:
        """Return what a call that is to succeed returns."""
        answer = self.call(name, **arguments).json()["result"]
        assert not answer["isError"], answer
        content: Mapping[str, Any] = answer["structuredContent"]
        return content


CLIENT = {"name": "test", "version": "1"}


def vector(number: int) -> list[float]:
    return [1.0 if position == number else 0.0 for position in range(DIMENSIONS)]


def collections(who: tuple[str, str]) -> str:
    tenant, user = who
    return f"/chroma/api/v2/tenants/{tenant}/databases/{user}/collections"


def records(client: httpx.Client, who: tuple[str, str]) -> str:
    """Return the address of a user's records."""
    return f"{collections(who)}/{client.get(f'{collections(who)}/notes').json()['id']}"
