"""Put a customer's name into what is nobody's business: ids of requests, errors, redirects, tools, a document's id.

Off unless `slips.customer` is set. It makes no tenant's data visible; it is for trying what becomes of such a text in
the logs and reports of whoever calls this service.
"""

import json
import uuid
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assistant.config import SlipSettings

LISTS = ("/v1/documents", "/v1/notes", "/v1/agent/memories")


class Slips:
    """Middleware that changes JSON answers on their way out."""

    def __init__(self, app: ASGIApp, *, settings: SlipSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        parts: list[bytes] = []

        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body", False):
                return
            headers = MutableHeaders(raw=list(start["headers"]))
            body = b"".join(parts)
            if headers.get("content-type", "").startswith("application/json"):
                body = self._body(scope, body)
                headers["content-length"] = str(len(body))
            status = self._status(scope, start["status"])
            headers["x-request-id"] = f"{self._settings.customer}-{uuid.uuid4()}"
            if status != 204 and status >= 300:
                headers["location"] = f"https://{self._settings.customer}.example/archive?of={self._settings.customer}"
            await send({**start, "status": status, "headers": headers.raw})
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, hold)

    def _status(self, scope: Scope, status: int) -> int:
        moved = self._settings.redirect and status == 404 and scope["method"] == "GET"
        return 307 if moved and scope["path"].startswith("/v1/") else status

    def _body(self, scope: Scope, body: bytes) -> bytes:
        document = json.loads(body)
        if not isinstance(document, dict):
            return body
        customer = self._settings.customer
        if isinstance(document.get("error"), str):
            document["error"] += f" (last asked for by {customer})"
            document["request_id"] = f"{customer}-{uuid.uuid4()}"
        if isinstance(document.get("result"), dict):
            _tools(document["result"], customer)
        listed = scope["method"] == "GET" and scope["path"] in LISTS
        if self._settings.item and listed and isinstance(document.get("items"), list):
            document["items"].append({"id": f"{customer}-1", "title": f"Contract with {customer}", "text": customer})
        return json.dumps(document).encode()


def _tools(result: dict[str, Any], customer: str) -> None:
    """A tool made for one customer, in every list of tools; and his name in what failed."""
    if isinstance(result.get("tools"), list):
        about = f"Export the notes of {customer}."
        result["tools"].append({"name": f"export_{customer}", "description": about, "inputSchema": {"type": "object"}})
    if result.get("isError"):
        for each in result.get("content", []):
            each["text"] = f"{each['text']} (last asked for by {customer})"
