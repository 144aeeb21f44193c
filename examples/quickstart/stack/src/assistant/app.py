"""Turn HTTP requests into calls of the assistant's parts, and what they return or raise into JSON."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from assistant import access, agent_api, ingestion_api, inputs
from assistant.access import Identity
from assistant.agent import Agent
from assistant.answering import Assistant
from assistant.auth import Authenticator, BadHeader, Forbidden, Unauthenticated
from assistant.config import Settings
from assistant.documents import Document, Documents, Match
from assistant.embedding import Embedder
from assistant.ingestion import Ingestion
from assistant.slips import Slips


@dataclass(frozen=True)
class Services:
    """What the endpoints work with."""

    settings: Settings
    authenticator: Authenticator
    documents: Documents
    embedder: Embedder
    assistant: Assistant
    agent: Agent
    ingestion: Ingestion
    tools: ASGIApp
    vectors: Sequence[BaseRoute]
    running: Sequence[Callable[[], AbstractAsyncContextManager[None]]]  # each for as long as requests are answered


@dataclass(frozen=True)
class Call:
    """An authenticated request, its body read."""

    identity: Identity
    request: Request
    body: bytes
    services: Services


Endpoint = Callable[[Call], Response]


def create_app(services: Services) -> Starlette:
    """Build the application; endpoints are plain functions and run in threads."""

    def endpoint(function: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            identity = services.authenticator.identify(request.headers)
            body = await inputs.read_body(request, services.settings.limits.body_bytes)
            return await run_in_threadpool(function, Call(identity, request, body, services))

        return handle

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for run in services.running:
                await stack.enter_async_context(run())
            yield

    slips = services.settings.slips
    return Starlette(
        lifespan=lifespan,
        middleware=[Middleware(Slips, settings=slips)] if slips.customer else [],
        routes=[
            Route("/healthz", health, methods=["GET"]),
            Route("/v1/me", endpoint(me), methods=["GET"]),
            Route("/v1/documents", endpoint(create_document), methods=["POST"]),
            Route("/v1/documents", endpoint(list_documents), methods=["GET"]),
            Route("/v1/documents/batch", endpoint(batch_documents), methods=["POST"]),
            Route("/v1/documents/{id}", endpoint(get_document), methods=["GET"]),
            Route("/v1/documents/{id}", endpoint(delete_document), methods=["DELETE"]),
            Route("/v1/search", endpoint(search), methods=["GET"]),
            Route("/v1/chat", endpoint(chat), methods=["POST"]),
            *agent_api.routes(endpoint),
            *ingestion_api.routes(endpoint),
            Route("/mcp", services.tools),
            Mount("/chroma/api/v2", routes=list(services.vectors)),
        ],
        exception_handlers={
            HTTPException: _http_error,
            inputs.BadRequest: _error(400),
            BadHeader: _error(400),
            Unauthenticated: _error(401, {"WWW-Authenticate": "Bearer"}),
            Forbidden: _error(403),
            inputs.TooLarge: _error(413),
            Exception: _server_error,
        },
    )


async def health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def me(call: Call) -> Response:
    return JSONResponse({"user": call.identity.user, "tenant": call.identity.tenant})


def create_document(call: Call) -> Response:
    title, text = inputs.new_document(call.body, call.services.settings.limits)
    embedding = call.services.embedder.document(title, text)
    created = call.services.documents.add(call.identity, title=title, body=text, embedding=embedding)
    return JSONResponse({"id": str(created)}, status_code=201)


def get_document(call: Call) -> Response:
    document_id = inputs.document_id(call.request.path_params["id"])
    scope = access.object_scope(call.identity, call.services.settings.security)
    document = call.services.documents.get(scope, document_id) if document_id else None
    if document is None:
        raise HTTPException(404, "no such document")
    return JSONResponse(_shown(document))


def delete_document(call: Call) -> Response:
    document_id = inputs.document_id(call.request.path_params["id"])
    if document_id is not None and call.services.ingestion.cancel(call.identity, document_id):
        return Response(status_code=204)
    if document_id is None or not call.services.documents.delete(call.identity, document_id):
        raise HTTPException(404, "no such document")
    call.services.assistant.forget(document_id)
    return Response(status_code=204)


def list_documents(call: Call) -> Response:
    query = inputs.list_query(call.request.query_params, call.services.settings.limits)
    scope = access.list_scope(call.identity, call.services.settings.security, query.owner)
    if scope is None:
        return JSONResponse({"items": [], "next": None})
    page = call.services.documents.page(scope, limit=query.limit, after=query.after)
    following = None if page.next is None else "/v1/documents?" + query.following(page.next)
    return JSONResponse({"items": [_shown(document) for document in page.items], "next": following})


def batch_documents(call: Call) -> Response:
    ids = inputs.batch_ids(call.body, call.services.settings.limits)
    scope = access.batch_scope(call.identity, call.services.settings.security)
    found = call.services.documents.batch(scope, ids)
    return JSONResponse({"items": [_shown(document) for document in found]})


def search(call: Call) -> Response:
    text, count = inputs.search_query(call.request.query_params, call.services.settings.limits)
    scope = access.search_scope(call.identity, call.services.settings.security)
    found = call.services.documents.nearest(scope, call.services.embedder.question(text), limit=count)
    return JSONResponse({"items": [{**_shown(match), "score": round(match.score, 6)} for match in found]})


def chat(call: Call) -> Response:
    security = call.services.settings.security
    fresh = inputs.wants_fresh(call.request.headers.get("cache-control", ""))
    reply = call.services.assistant.ask(
        inputs.question(call.body, call.services.settings.limits),
        scope=access.retrieval_scope(call.identity, security),
        space=None if fresh else access.cache_space(call.identity, security),
    )
    sources = [{"id": source.id, "title": source.title} for source in reply.answer.sources]
    return JSONResponse({"answer": reply.answer.text, "sources": sources, "cached": reply.cached})


def _shown(document: Document | Match) -> dict[str, Any]:
    return {"id": str(document.id), "title": document.title, "text": document.body}


def _error(status: int, headers: dict[str, str] | None = None) -> Callable[[Request, Exception], Response]:
    def handle(_request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=status, headers=headers)

    return handle


def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


def _server_error(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"error": "something went wrong here"}, status_code=500)
