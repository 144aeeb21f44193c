"""An HTTP server that says exactly the bytes a test gives it, and an adapter session that asks it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sectum.actions import Action, Principal, Reply
from sectum.catalog import adapters
from sectum.ports import Access, AdapterSpec, Bounds

Write = Callable[[bytes], Awaitable[None]]
Handler = Callable[["Asked", Write], Awaitable[None]]
ALICE = Principal("acme", "alice")
BOB = Principal("globex", "bob")
CREDENTIAL = "credential-c4f9e1"


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Heard:
    """What came of some actions: replies, all the sink took, what the server was asked."""

    replies: list[Reply] = field(default_factory=list)
    text: str = ""
    asked: list[Asked] = field(default_factory=list)

    @property
    def reply(self) -> Reply:
        return self.replies[-1]


def answer(body: bytes | Any, *head: str, status: str = "200 OK") -> bytes:
    """A whole response; anything but bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *head]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


def says(*answers: bytes) -> Handler:
    """Says one answer after the other, the last one for ever."""
    left = list(answers)

    async def handler(_asked: Asked, write: Write) -> None:
        await write(left.pop(0) if len(left) > 1 else left[0])

    return handler


def hear(
    handler: Handler | bytes, *actions: Action, adapter: str = "http", bounds: Bounds | None = None, **fields: Any
) -> Heard:
    """Serve, perform the actions one after the other as acme/alice, and stop."""
    spec = adapters()[adapter].spec.model_validate({"origin": "http://127.0.0.1", **fields})
    return asyncio.run(_hear(says(handler) if isinstance(handler, bytes) else handler, actions, bounds, spec))


async def _hear(handler: Handler, actions: tuple[Action, ...], bounds: Bounds | None, spec: AdapterSpec) -> Heard:
    heard, writers = Heard(), set[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                line, *rest = head.strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
                asked = Asked(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))
                heard.asked.append(asked)
                await handler(asked, write)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    spec = spec.model_copy(update={"origin": f"http://127.0.0.1:{port}"})
    pieces: list[str] = []
    try:
        async with spec.session(Access(ALICE, CREDENTIAL, bounds or Bounds())) as session:
            for action in actions:
                heard.replies.append(await session.perform(action, pieces.append))
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)
    heard.text = "".join(pieces)
    return heard
