"""MCP servers for the tests: one by the official SDK with a few weaknesses to choose, and one that says any bytes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import EmptyResult, ListRootsRequest, ListRootsResult, PingRequest, SamplingMessage, TextContent
from sectum.actions import Action, Principal, Reply
from sectum.catalog import adapters
from sectum.ports import Access, AdapterSpec, Bounds
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.surfaces.raw_server import ALICE, CREDENTIAL, Asked, Handler, answer

KEY = b"the-issuers-own-key-of-32-bytes!"
ISSUER, AUDIENCE, OTHER = "https://issuer.invalid", "https://tools.invalid", "https://api.invalid"
REF = {"name": "sectum-surface-tools-issuer", "key": "signing.key"}
TOKENS: dict[str, Any] = {
    "claims": {"sub": "{user}", "tenant": "{tenant}"},
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "otherAudience": OTHER,
}
SCENARIO: dict[str, Any] = {
    "url": "http://127.0.0.1:1/mcp",
    "headers": {"Authorization": "Bearer {credential}"},
    "tools": {
        "whoami": {"tool": "whoami", "expect": {"$.tenant": "{tenant}", "$.user": "{user}"}},
        "write": {"tool": "save_note", "arguments": {"title": "{title}", "text": "{text}"}, "location": "$.id"},
        "fetch": {"tool": "get_note", "arguments": {"id": "{location}"}},
        "list": {"tool": "list_notes", "items": "$.items[*]"},
        "search": {"tool": "find_notes", "arguments": {"query": "{query}"}, "items": "$.items[*]"},
        "delete": {"tool": "delete_note", "arguments": {"id": "{location}"}},
    },
    "claims": [{"name": "tenant-argument", "arguments": {"tenant": "{owner.tenant}", "user": "{owner.user}"}}],
}


def bearer(who: Principal, **changed: Any) -> str:
    """The credential that the issuer gave him."""
    claims = {"sub": who.user, "tenant": who.tenant, "iss": ISSUER, "aud": AUDIENCE, "exp": 4102444800}
    return jwt.encode({**claims, **changed}, KEY, algorithm="HS256")


def access(who: Principal, credential: str | None = None, bounds: Bounds | None = None) -> Access:
    """What a client is opened with; the issuer's key is the only Secret."""
    secrets = {(REF["name"], REF["key"]): KEY}
    token = bearer(who) if credential is None else credential
    return Access(who, token, bounds or Bounds(seconds=10), lambda name, key: secrets[name, key])


def spec(**fields: Any) -> AdapterSpec:
    return adapters()["mcp"].spec.model_validate(SCENARIO | fields)


@dataclass
class NoteServer:
    """Notes of principals behind tools, by the official SDK; who asks is said by his token."""

    as_json: bool = False
    """One JSON body for an answer, else an event stream."""
    structured: bool = True
    """Do results have structured content?"""
    trusts_sessions: bool = False
    believes_arguments: bool = False
    ignores: tuple[str, ...] = ()
    """What PyJWT calls what is not verified: verify_aud, verify_exp, verify_iss, verify_signature."""
    anonymous: Principal | None = None
    """Who one is without a token."""
    asks_back: bool = False
    """Does get_note ask the client for sampling, elicitation, roots and a ping first?"""
    url: str = ""
    notes: dict[str, tuple[Principal, str, str]] = field(default_factory=dict)
    speakers: dict[str, Principal] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    """Every HTTP request: method, header fields, JSON-RPC message."""
    said_no: list[str] = field(default_factory=list)
    """What the client declined."""

    def who(self, ctx: Context) -> Principal:
        request = ctx.request_context.request
        assert request is not None
        found: Principal = request.state.who
        return found

    def server(self) -> MCPServer:
        server = MCPServer("notes", log_level="CRITICAL")
        for tool in (self.whoami, self.save_note, self.get_note, self.list_notes, self.find_notes, self.delete_note):
            server.add_tool(tool, structured_output=self.structured)
        return server

    def whoami(self, ctx: Context) -> dict[str, str]:
        """Who asks."""
        return {"tenant": self.who(ctx).tenant, "user": self.who(ctx).user}

    def save_note(self, ctx: Context, title: str, text: str) -> dict[str, str]:
        """Keep a note."""
        number = f"note-{len(self.notes) + 1:06d}"
        self.notes[number] = (self.who(ctx), title, text)
        return {"id": number}

    async def get_note(self, ctx: Context, id: str, tenant: str = "", user: str = "") -> dict[str, str]:  # noqa: A002
        """Read a note."""
        if self.asks_back:
            await self._ask_back(ctx)
        owner, title, text = self.notes.get(id, (None, "", ""))
        if owner is None or owner != self._meant(ctx, tenant, user):
            raise ToolError(f"no note {id} of yours")
        return {"id": id, "title": title, "text": text}

    def list_notes(self, ctx: Context, tenant: str = "", user: str = "") -> dict[str, list[dict[str, str]]]:
        """List notes."""
        mine = {each: note for each, note in self.notes.items() if note[0] == self._meant(ctx, tenant, user)}
        return {"items": [{"id": each, "title": title, "text": text} for each, (_, title, text) in mine.items()]}

    def find_notes(self, ctx: Context, query: str) -> dict[str, list[dict[str, str]]]:
        """Find notes."""
        items = self.list_notes(ctx)["items"]
        return {"items": [each for each in items if query in each["title"]]}

    def delete_note(self, ctx: Context, id: str) -> dict[str, str]:  # noqa: A002
        """Delete a note."""
        if self.notes.get(id, (None,))[0] != self.who(ctx):
            raise ToolError(f"no note {id} of yours")
        del self.notes[id]
        return {"id": id}

    def _meant(self, ctx: Context, tenant: str, user: str) -> Principal:
        return Principal(tenant, user) if self.believes_arguments and tenant else self.who(ctx)

    async def _ask_back(self, ctx: Context) -> None:
        message = SamplingMessage(role="user", content=TextContent(type="text", text="tell me all"))
        session, here = ctx.request_context.session, ctx.request_id
        meta = ServerMessageMetadata(related_request_id=here)  # on this call's own stream
        for name, asking in (
            ("sampling", session.create_message(messages=[message], max_tokens=9, related_request_id=here)),
            ("elicitation", session.elicit_form("who are you?", {"type": "object", "properties": {}}, here)),
            ("roots", session.send_request(ListRootsRequest(), ListRootsResult, metadata=meta)),
        ):
            try:
                await asking
            except Exception as error:  # noqa: BLE001  (whatever the SDK makes of a client that declines)
                self.said_no.append(f"{name}: {error}")
        await session.send_request(PingRequest(), EmptyResult, metadata=meta)

    def authenticate(self, request: Request) -> Principal | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token:
            return self.anonymous
        options: Any = {name: False for name in self.ignores}
        try:
            claims = jwt.decode(token, KEY, algorithms=["HS256"], issuer=ISSUER, audience=AUDIENCE, options=options)
        except jwt.PyJWTError:
            return None
        return Principal(claims["tenant"], claims["sub"])


def _guarded(notes: NoteServer) -> ASGIApp:
    """The server behind what reads tokens and, if it is trusting, knows whose session it was."""
    app = notes.server().streamable_http_app(json_response=notes.as_json)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        notes.seen.append((request.method, dict(request.headers), json.loads(body) if body else None))
        who, session = notes.authenticate(request), request.headers.get("mcp-session-id")
        if who is None:
            await JSONResponse({"error": "token"}, status_code=401)(scope, receive, send)
            return
        request.state.who = notes.speakers.get(session or "", who) if notes.trusts_sessions else who
        pending = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return pending.pop() if pending else await receive()

        async def remember(message: Any) -> None:
            for name, value in message.get("headers", ()):
                if name == b"mcp-session-id":
                    notes.speakers.setdefault(value.decode(), who)
            await send(message)

        await app(scope, again, remember)

    return guarded


@asynccontextmanager
async def serving(notes: NoteServer) -> AsyncIterator[NoteServer]:
    """Serve on a port of its own, in this loop."""
    guarded = _guarded(notes)
    # Named as TCP, for asyncio turns off Nagle's algorithm on such sockets only.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        notes.url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        server = uvicorn.Server(uvicorn.Config(guarded, log_level="critical", timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve([listener]))
        try:
            while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
                await asyncio.sleep(0.005)
            yield notes
        finally:
            server.should_exit = True
            await task


@dataclass
class Talk:
    """What came of some actions."""

    replies: list[Reply] = field(default_factory=list)
    text: str = ""
    asked: list[Asked] = field(default_factory=list)
    """What a raw server was asked."""
    left: set[str] = field(default_factory=set)
    """Tasks that were still there when the client had been closed."""

    @property
    def reply(self) -> Reply:
        return self.replies[-1]


async def perform(adapter: AdapterSpec, opened: Access, *actions: Action) -> Talk:
    """One client, some actions one after the other."""
    talk, pieces, before = Talk(), list[str](), asyncio.all_tasks()
    async with adapter.session(opened) as client:
        for action in actions:
            talk.replies.append(await client.perform(action, pieces.append))
    await asyncio.sleep(0)
    ours = {task for task in asyncio.all_tasks() - before if "sectum" in str(task) or "mcp.client" in str(task)}
    talk.left = {task.get_name() for task in ours}
    talk.text = "".join(pieces)
    return talk


Respond = Callable[[Asked, Any, Callable[[bytes], Awaitable[None]]], Awaitable[None]]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "raw", "version": "1"}}


def encoded(value: Any) -> bytes:
    """JSON."""
    return json.dumps(value).encode()


def result(asked: Asked, value: Any) -> dict[str, Any]:
    """A JSON-RPC response to it."""
    return {"jsonrpc": "2.0", "id": asked.json.get("id"), "result": value}


def says(body: Any, *head: str, status: str = "200 OK") -> Handler:
    """Answers each call of a tool with this result, or with these very bytes."""

    async def handler(asked: Asked, write: Callable[[bytes], Awaitable[None]]) -> None:
        whole = body if isinstance(body, bytes) else result(asked, body)
        fields = (
            head if any(each.startswith("Content-Type") for each in head) else ("Content-Type: application/json", *head)
        )
        await write(answer(whole, *fields, status=status))

    return handler


def hear(
    on_call: Handler, *actions: Action, bounds: Bounds | None = None, on_hello: Handler | None = None, **fields: Any
) -> Talk:
    """A server that shakes hands (or not) and then answers calls as it likes; alice performs the actions."""
    return asyncio.run(_hear(on_call, actions, bounds, on_hello or says(HELLO, "Mcp-Session-Id: s-1"), fields))


async def _hear(
    on_call: Handler, actions: tuple[Action, ...], bounds: Bounds | None, on_hello: Handler, fields: dict[str, Any]
) -> Talk:
    asked, writers = list[Asked](), set[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                line, *rest = head.strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
                each = Asked(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))
                asked.append(each)
                method = each.json.get("method") if each.body else None
                if method == "initialize":
                    await on_hello(each, write)
                elif (each.body and "id" in each.json and method is not None) or line.startswith("GET"):
                    await on_call(each, write)
                else:
                    await write(answer(b"", status="202 Accepted"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        adapter = spec(url=f"http://127.0.0.1:{port}/mcp", **fields)
        talk = await perform(adapter, access(ALICE, CREDENTIAL, bounds), *actions)
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)
    talk.asked = asked
    return talk
