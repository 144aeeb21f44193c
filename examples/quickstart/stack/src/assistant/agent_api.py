"""Turn HTTP requests into calls of the agent's memories, conversations and notes."""

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from assistant import inputs

if TYPE_CHECKING:
    from assistant.app import Call

THREAD_ID = re.compile(r"[A-Za-z0-9._~:-]{1,100}")


def routes(endpoint: Callable[["Callable[[Call], Response]"], Any]) -> list[Route]:
    return [
        Route("/v1/agent/memories", endpoint(create_memory), methods=["POST"]),
        Route("/v1/agent/memories", endpoint(list_memories), methods=["GET"]),
        Route("/v1/agent/memories/{id}", endpoint(get_memory), methods=["GET"]),
        Route("/v1/agent/memories/{id}", endpoint(delete_memory), methods=["DELETE"]),
        Route("/v1/agent/recall", endpoint(recall), methods=["POST"]),
        Route("/v1/agent/threads", endpoint(list_threads), methods=["GET"]),
        Route("/v1/agent/threads/{id}", endpoint(get_thread), methods=["GET"]),
        Route("/v1/agent/threads/{id}", endpoint(delete_thread), methods=["DELETE"]),
        Route("/v1/agent/threads/{id}/messages", endpoint(say), methods=["POST"]),
        Route("/v1/notes", endpoint(create_note), methods=["POST"]),
        Route("/v1/notes", endpoint(list_notes), methods=["GET"]),
        Route("/v1/notes/search", endpoint(search_notes), methods=["POST"]),
        Route("/v1/notes/{id}", endpoint(get_note), methods=["GET"]),
        Route("/v1/notes/{id}", endpoint(delete_note), methods=["DELETE"]),
    ]


def create_memory(call: "Call") -> Response:
    title, text = inputs.new_document(call.body, call.services.settings.limits)
    return JSONResponse({"id": call.services.agent.remember(call.identity, title=title, text=text)}, status_code=201)


def list_memories(call: "Call") -> Response:
    limit = inputs.list_limit(call.request.query_params, call.services.settings.limits)
    return _items(call.services.agent.memories.newest(call.identity, limit=limit))


def get_memory(call: "Call") -> Response:
    return _one(call.services.agent.memories.get(call.identity, call.request.path_params["id"]), "memory")


def delete_memory(call: "Call") -> Response:
    return _gone(call.services.agent.memories.delete(call.identity, call.request.path_params["id"]), "memory")


def recall(call: "Call") -> Response:
    cue, count = inputs.by_meaning(call.body, "cue", call.services.settings.limits)
    return _items(call.services.agent.memories.recall(call.identity, cue, limit=count))


def list_threads(call: "Call") -> Response:
    limit = inputs.list_limit(call.request.query_params, call.services.settings.limits)
    return _items(call.services.agent.conversations.own(call.identity, limit=limit))


def get_thread(call: "Call") -> Response:
    return _one(call.services.agent.conversations.get(call.identity, call.request.path_params["id"]), "thread")


def delete_thread(call: "Call") -> Response:
    return _gone(call.services.agent.conversations.delete(call.identity, call.request.path_params["id"]), "thread")


def say(call: "Call") -> Response:
    thread_id = call.request.path_params["id"]
    if not THREAD_ID.fullmatch(thread_id):
        raise inputs.BadRequest("a thread's id is of letters, digits and ._~:- and not longer than 100 characters")
    text = inputs.message(call.body)
    return JSONResponse(
        {"id": thread_id, "reply": call.services.agent.conversations.say(call.identity, thread_id, text)}
    )


def create_note(call: "Call") -> Response:
    title, text = inputs.new_document(call.body, call.services.settings.limits)
    return JSONResponse({"id": call.services.agent.notes.add(call.identity, title=title, text=text)}, status_code=201)


def list_notes(call: "Call") -> Response:
    limit = inputs.list_limit(call.request.query_params, call.services.settings.limits)
    return _items(call.services.agent.notes.newest(call.identity, limit=limit))


def search_notes(call: "Call") -> Response:
    query, count = inputs.by_meaning(call.body, "query", call.services.settings.limits)
    return _items(call.services.agent.notes.search(call.identity, query, limit=count))


def get_note(call: "Call") -> Response:
    key = inputs.document_id(call.request.path_params["id"])
    return _one(call.services.agent.notes.get(call.identity, str(key)) if key else None, "note")


def delete_note(call: "Call") -> Response:
    key = inputs.document_id(call.request.path_params["id"])
    return _gone(key is not None and call.services.agent.notes.delete(call.identity, str(key)), "note")


def _items(found: list[Any]) -> Response:
    return JSONResponse({"items": [asdict(each) for each in found]})


def _one(found: Any, kind: str) -> Response:
    if found is None:
        raise HTTPException(404, f"no such {kind}")
    return JSONResponse(asdict(found))


def _gone(deleted: Any, kind: str) -> Response:
    if not deleted:
        raise HTTPException(404, f"no such {kind}")
    return Response(status_code=204)
