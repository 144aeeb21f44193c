"""Turn HTTP requests into calls of the tools: who asks, in which session, and which reply is whose."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from assistant.access import Identity
from assistant.config import Limits, Security
from assistant.tools_auth import ToolsAuthenticator

# Refused requests and what tools raise are answers; nobody who starts the service wants a line for each.
logging.getLogger("mcp.server.streamable_http_manager").setLevel(logging.ERROR)

SESSIONS = 10_000
TOGETHER_SECONDS = 0.01  # replies that are ready within this time leave together


class SharedReplies:
    """The replies of all sessions in one place, each under the id of its request, until it is their turn to leave."""

    def __init__(self) -> None:
        self._ready: dict[str, list[HandlerResult]] = {}

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method != "tools/call":
            return await call_next(ctx)
        key = str(ctx.request_id)
        reply = await call_next(ctx)
        self._ready.setdefault(key, []).append(reply)
        try:
            await asyncio.sleep(TOGETHER_SECONDS)
        finally:
            reply = self._ready[key].pop()
            if not self._ready[key]:
                del self._ready[key]
        return reply


class ToolsEndpoint:
    """The ASGI application at /mcp: sessions by the SDK's streamable HTTP, each reply one JSON body."""

    def __init__(
        self, server: MCPServer, *, authenticator: ToolsAuthenticator, security: Security, limits: Limits
    ) -> None:
        if not security.tools_replies_per_session:
            server.middleware.append(SharedReplies())  # else each session's replies are the SDK's business
        # Called for the session manager that comes of it: we have an application of our own.
        server.streamable_http_app(
            json_response=True,
            max_request_body_size=limits.body_bytes,
            max_sessions=SESSIONS,
            # A cluster calls us by other names than localhost. A browser that was led here has no bearer token to send.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        self._sessions = server.session_manager
        self._authenticator = authenticator
        self._bound = security.tools_session_bound
        self._speakers: dict[str, Identity] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._sessions.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        identity = self._authenticator.identify(headers)
        refusal = _refusal(scope["method"], headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        session = headers.get(MCP_SESSION_ID_HEADER)
        if self._bound:
            scope["user"] = _user(identity)  # the SDK lets nobody but a session's first user into it
        elif session is not None:
            identity = self._speakers.get(session, identity)
        scope.setdefault("state", {})["identity"] = identity

        async def remember(message: Message) -> None:
            if message["type"] == "http.response.start" and session is None and not self._bound:
                self._remember(Headers(raw=message["headers"]).get(MCP_SESSION_ID_HEADER), identity)
            await send(message)

        await self._sessions.handle_request(scope, receive, remember)

    def _remember(self, session: str | None, identity: Identity) -> None:
        if session is None:
            return
        if len(self._speakers) >= SESSIONS:
            del self._speakers[next(iter(self._speakers))]
        self._speakers[session] = identity


def _refusal(method: str, headers: Headers) -> JSONResponse | None:
    """Refuse versions of the protocol without sessions, and the stream of a server that never speaks first."""
    version = headers.get("mcp-protocol-version")
    if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
        data = {"supported": list(HANDSHAKE_PROTOCOL_VERSIONS), "requested": version}
        error = {"code": UNSUPPORTED_PROTOCOL_VERSION, "message": "Unsupported protocol version", "data": data}
        return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=400)
    if method not in ("POST", "DELETE"):
        return JSONResponse({"error": "Method Not Allowed"}, status_code=405, headers={"Allow": "POST, DELETE"})
    return None


def _user(identity: Identity) -> AuthenticatedUser:
    return AuthenticatedUser(AccessToken(token="", client_id=identity.tenant, subject=identity.user, scopes=[]))
