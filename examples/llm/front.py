"""An assistant over its users' notes, with OpenAI's chat endpoint in front and llama.cpp behind.

    python front.py leaky|hardened --port 8775 --model-port 8776 --weights FILE --ready FILE

The two builds differ by one thing: whether the retrieval is told whose notes it may look through.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from model import Model
from notes import Account, Note, Notes
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

ACCOUNTS = (Account("acme", "alice"), Account("acme", "amir"), Account("globex", "bob"))
MOST_NOTES = 3
NAME = "gemma-3-270m"


class Front:
    """The endpoints."""

    def __init__(self, model: Model, tokens: dict[str, Account], *, filtered: bool) -> None:
        self._model, self._tokens, self._filtered, self._notes = model, tokens, filtered, Notes()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/me", self.me),
                Route("/v1/notes", self.add, methods=["POST"]),
                Route("/v1/notes", self.list_own),
                Route("/v1/notes/{id}", self.get),
                Route("/v1/notes/{id}", self.delete, methods=["DELETE"]),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
            ]
        )

    async def me(self, request: Request) -> Response:
        caller = self._caller(request)
        return JSONResponse({"tenant": caller.tenant, "user": caller.user})

    async def add(self, request: Request) -> Response:
        caller, body = self._caller(request), await request.json()
        note = self._notes.add(caller, title=str(body["title"]), text=str(body["text"]))
        return JSONResponse({"id": note.id}, status_code=201)

    async def list_own(self, request: Request) -> Response:
        return JSONResponse({"items": [_shown(note) for note in self._notes.of(self._caller(request))]})

    async def get(self, request: Request) -> Response:
        note = self._notes.get(self._caller(request), request.path_params["id"])
        return JSONResponse(_shown(note)) if note else JSONResponse({"detail": "no such note"}, status_code=404)

    async def delete(self, request: Request) -> Response:
        found = self._notes.delete(self._caller(request), request.path_params["id"])
        return Response(status_code=204 if found else 404)

    async def chat(self, request: Request) -> Response:
        caller, body = self._caller(request), await request.json()
        question = str(body["messages"][-1]["content"])
        notes = self._notes.relevant(question, owner=caller if self._filtered else None, most=MOST_NOTES)
        answer = self._answer(notes, question)
        if body.get("stream"):
            return StreamingResponse(_events(answer), media_type="text/event-stream")
        message = {"role": "assistant", "content": "".join([piece async for piece in answer])}
        return JSONResponse(_completion("chat.completion", {"message": message, "finish_reason": "stop"}))

    async def _answer(self, notes: list[Note], question: str) -> AsyncIterator[str]:
        """What the model says to each note, one after the other."""
        for note in notes:
            async for piece in self._model.quote(note.text, question):
                yield piece
            yield "\n"
        if not notes:
            yield "There is no note on that."

    def _caller(self, request: Request) -> Account:
        caller = self._tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if caller is None:
            raise HTTPException(401)
        return caller


async def _events(answer: AsyncIterator[str]) -> AsyncIterator[str]:
    """The answer as chunks of server-sent events."""
    name = f"chatcmpl-{uuid.uuid4()}"
    async for piece in answer:
        chunk = _completion("chat.completion.chunk", {"delta": {"content": piece}, "finish_reason": None}, name=name)
        yield f"data: {json.dumps(chunk)}\n\n"
    last = _completion("chat.completion.chunk", {"delta": {}, "finish_reason": "stop"}, name=name)
    yield f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n"


def _completion(kind: str, choice: dict[str, Any], *, name: str = "chatcmpl-0") -> dict[str, Any]:
    about = {"id": name, "object": kind, "created": int(time.time()), "model": NAME}
    return {**about, "choices": [{"index": 0, **choice}]}


def _shown(note: Note) -> dict[str, str]:
    return {"id": note.id, "title": note.title, "text": note.text}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("build", choices=["leaky", "hardened"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model-port", type=int, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--ready", type=Path, required=True)
    given = parser.parse_args()
    tokens = {secrets.token_urlsafe(24): account for account in ACCOUNTS}
    front = Front(Model(given.weights, port=given.model_port), tokens, filtered=given.build == "hardened")
    config = uvicorn.Config(front.app(), host="127.0.0.1", port=given.port, log_level="warning", access_log=False)
    users = [{"tenant": who.tenant, "user": who.user, "token": token} for token, who in tokens.items()]
    unfinished = given.ready.with_suffix(".part")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps({"users": users}))
    os.replace(unfinished, given.ready)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
