"""Turn a caller's requests for vectors into requests to Chroma, within the database that the caller may use."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from assistant import inputs
from assistant.access import Identity
from assistant.auth import Authenticator, Forbidden
from assistant.chroma import COLLECTION, NO_TLS, Chroma, Database
from assistant.config import Account, Limits, Security

SHARED = Database("shared", "shared")
ABOUT = ("/heartbeat", "/version", "/pre-flight-checks")
VERBS = ("add", "upsert", "get", "query", "delete")
# What Chroma takes as the name of a tenant, a database or a collection; an id looks like one.
SEGMENT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")
JSON = {"Content-Type": "application/json"}
TIMEOUT_SECONDS = 30.0


def all_databases(accounts: Sequence[Account], security: Security) -> list[Database]:
    """Return those that are to exist from the start."""
    own = [Database(account.tenant, account.user) for account in accounts]
    return own if security.vectors_collection_per_user else [*own, SHARED]


def used_database(identity: Identity, security: Security, *, asked: Database) -> Database | None:
    """Return where a request goes that names `asked`. None: not allowed."""
    if security.vectors_database_checked and asked != Database(identity.tenant, identity.user):
        return None
    return asked if security.vectors_collection_per_user else SHARED


class VectorGateway:
    """That part of Chroma's API that is about records and where they are; the token alone says who asks."""

    def __init__(self, chroma: Chroma, *, authenticator: Authenticator, security: Security, limits: Limits) -> None:
        self._authenticator = authenticator
        self._security = security
        self._bytes = limits.vectors_bytes
        self._http = httpx.AsyncClient(base_url=chroma.url, verify=NO_TLS, trust_env=False, timeout=TIMEOUT_SECONDS)
        self._known: set[tuple[Database, str]] = set()  # collections stay for good, each in its database

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._http:
            yield

    def routes(self) -> list[BaseRoute]:
        database = "/tenants/{tenant}/databases/{database}"
        collections = f"{database}/collections"
        records = [Route(f"{collections}/{{id}}/{verb}", self.records, methods=["POST"]) for verb in VERBS]
        return [
            *(Route(path, self.about, methods=["GET"]) for path in ABOUT),
            Route("/auth/identity", self.identity, methods=["GET"]),
            Route("/tenants/{tenant}", self.tenant, methods=["GET"]),
            Route(database, self.database, methods=["GET"]),
            Route(collections, self.collections, methods=["GET"]),
            Route(collections, self.create, methods=["POST"]),
            Route(f"{collections}/{{name}}", self.collection, methods=["GET"]),
            *records,
            Route(f"{collections}/{{id}}/count", self.records, methods=["GET"]),
        ]

    async def about(self, request: Request) -> Response:
        self._authenticator.from_token(request.headers)
        return await self._pass_on(request, request.url.path.rpartition("/api/v2")[2])

    async def identity(self, request: Request) -> Response:
        identity = self._authenticator.from_token(request.headers)
        return JSONResponse({"user_id": identity.user, "tenant": identity.tenant, "databases": [identity.user]})

    async def tenant(self, request: Request) -> Response:
        identity = self._authenticator.from_token(request.headers)
        tenant = _segment(request, "tenant")
        if self._security.vectors_database_checked and tenant != identity.tenant:
            raise Forbidden("not your tenant")
        return await self._pass_on(request, f"/tenants/{tenant}")

    async def database(self, request: Request) -> Response:
        return await self._pass_on(request, self._used(request).path)

    async def collections(self, request: Request) -> Response:
        return await self._pass_on(request, f"{self._used(request).path}/collections", query=request.url.query)

    async def create(self, request: Request) -> Response:
        used = self._used(request)
        if used == SHARED:
            return await self._pass_on(request, f"{used.path}/collections/{COLLECTION}", method="GET")
        return await self._pass_on(request, f"{used.path}/collections")

    async def collection(self, request: Request) -> Response:
        used = self._used(request)
        name = COLLECTION if used == SHARED else _segment(request, "name")
        return await self._pass_on(request, f"{used.path}/collections/{name}")

    async def records(self, request: Request) -> Response:
        used = self._used(request)
        if used == SHARED:
            collection = await self._shared_id()
        else:
            collection = _segment(request, "id")
            await self._check(used, collection)
        verb = request.url.path.rpartition("/")[2]
        return await self._pass_on(request, f"{used.path}/collections/{collection}/{verb}")

    def _used(self, request: Request) -> Database:
        identity = self._authenticator.from_token(request.headers)
        asked = Database(_segment(request, "tenant"), _segment(request, "database"))
        used = used_database(identity, self._security, asked=asked)
        if used is None:
            raise Forbidden("not your database")
        return used

    async def _check(self, used: Database, collection: str) -> None:
        """Chroma finds a collection by its id alone, in whatever database it is: see that it is in this one."""
        if (used, collection) not in self._known:
            self._known |= {(used, found["id"]) for found in await self._all_collections(used)}
        if (used, collection) not in self._known:
            raise HTTPException(404, "no such collection")

    async def _shared_id(self) -> str:
        ids = [str(found["id"]) for found in await self._all_collections(SHARED)]
        return ids[0]

    async def _all_collections(self, used: Database) -> list[dict[str, Any]]:
        answer = await self._http.get(f"{used.path}/collections")
        found: list[dict[str, Any]] = answer.json() if answer.is_success else []
        return found

    async def _pass_on(self, request: Request, path: str, *, method: str | None = None, query: str = "") -> Response:
        body = await inputs.read_body(request, self._bytes)
        method = method or request.method
        try:
            async with self._http.stream(
                method, f"{path}?{query}" if query else path, content=None if method == "GET" else body, headers=JSON
            ) as answer:
                content = bytearray()
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > self._bytes:
                        raise HTTPException(502, f"the answer is larger than {self._bytes} bytes")
        except httpx.HTTPError as error:
            raise HTTPException(502, "the vector store does not answer") from error
        return Response(bytes(content), status_code=answer.status_code, media_type="application/json")


def _segment(request: Request, name: str) -> str:
    segment: str = request.path_params[name]
    if not SEGMENT.fullmatch(segment):
        raise HTTPException(404, f"no such {name}")
    return segment
