"""Turn settings and a directory into a running assistant: database, HTTP, and a file that says where they are."""

import contextlib
import json
import os
import secrets
import signal
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import uvicorn
from psycopg_pool import ConnectionPool

from assistant.agent import load_libraries, running_agent
from assistant.answering import Assistant
from assistant.app import Services, create_app
from assistant.auth import ALGORITHM, Authenticator, issue_token, read_or_create_key
from assistant.cache import SemanticCache
from assistant.child import HOST
from assistant.chroma import Chroma, running_chroma
from assistant.config import Account, Settings
from assistant.documents import Documents
from assistant.embedding import Embedder
from assistant.ingestion import running_ingestion
from assistant.postgres import DATABASE, Postgres, running_postgres
from assistant.schema import APP_ROLE, create_schema
from assistant.tools import NoteTools, create_tools_server
from assistant.tools_auth import ToolsAuthenticator
from assistant.tools_endpoint import ToolsEndpoint
from assistant.vectors import VectorGateway, all_databases


def serve(settings: Settings, *, directory: Path, host: str = HOST, port: int, postgres_port: int) -> None:
    """Run until SIGTERM or SIGINT, which the caller turns into an exception."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listening(host, port))
        chroma = stack.enter_context(running_chroma(directory))
        # The database starts in processes of its own: time to import what takes long.
        loading = stack.enter_context(ThreadPoolExecutor(1)).submit(load_libraries, directory)
        postgres = stack.enter_context(running_postgres(directory, port=postgres_port))
        passwords = {account: secrets.token_urlsafe(24) for account in settings.accounts}
        app_password = secrets.token_urlsafe(24)
        with psycopg.connect(postgres.admin_dsn) as admin:
            create_schema(admin, app_password=app_password, member_passwords=passwords, security=settings.security)
        pool = stack.enter_context(_pool(postgres, app_password))
        key_file = directory / "token.key"
        key = read_or_create_key(key_file)
        chroma.create(all_databases(settings.accounts, settings.security))
        loading.result()
        services = stack.enter_context(_services(settings, pool=pool, chroma=chroma, key=key, directory=directory))
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(services),
                access_log=False,
                log_level="warning",
                lifespan="on",
                timeout_graceful_shutdown=5,
            )
        )
        # From here on the kernel queues connections until the server takes them.
        listener.listen(128)
        address, taken = listener.getsockname()
        url = f"http://{HOST if address == '0.0.0.0' else address}:{taken}"  # noqa: S104 - compared, not bound
        # Once we say where we are, a signal only tells the server to end: what a handler raises is lost where Python
        # ignores exceptions, as in the callback of a weak reference, and then nothing would ever stop us.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)
        ready = describe(settings, url=url, postgres=postgres, passwords=passwords, key_file=key_file)
        stack.enter_context(_announced(directory / "ready.json", ready))
        print(f"listening on {url}", flush=True)
        server.run(sockets=[listener])


def describe(
    settings: Settings, *, url: str, postgres: Postgres, passwords: Mapping[Account, str], key_file: Path
) -> dict[str, object]:
    """Return what a user of this machine needs to connect, credentials included."""
    tokens, key = settings.tokens, key_file.read_bytes()
    return {
        "url": url,
        "postgres": {"host": HOST, "port": postgres.port, "dbname": DATABASE},
        "users": [
            {
                "tenant": account.tenant,
                "user": account.user,
                "token": issue_token(account, key=key, tokens=tokens, audience=tokens.audience),
                "tools_token": issue_token(account, key=key, tokens=tokens, audience=tokens.tools_audience),
                "role": account.role,
                "password": password,
            }
            for account, password in passwords.items()
        ],
        "admin_dsn": postgres.admin_dsn,
        # For whoever may issue tokens of his own.
        "issuer": {
            "name": tokens.issuer,
            "algorithm": ALGORITHM,
            "key_file": str(key_file),
            "audience": tokens.audience,
            "tools_audience": tokens.tools_audience,
        },
    }


@contextlib.contextmanager
def _services(
    settings: Settings, *, pool: ConnectionPool, chroma: Chroma, key: bytes, directory: Path
) -> Iterator[Services]:
    embedder = Embedder()
    documents = Documents(pool)
    cache = SemanticCache(directory / "cache", embedder=embedder, settings=settings.cache)
    security, limits = settings.security, settings.limits
    authenticator, tools_authenticator = _authenticators(settings, key)
    notes = NoteTools(notes=Documents(pool, table="tool_notes"), embedder=embedder, security=security, limits=limits)
    tools = ToolsEndpoint(
        create_tools_server(notes), authenticator=tools_authenticator, security=security, limits=limits
    )
    vectors = VectorGateway(chroma, authenticator=authenticator, security=security, limits=limits)
    with (
        running_agent(settings, pool=pool, embedder=embedder) as agent,
        running_ingestion(documents=documents, embedder=embedder, security=security) as ingestion,
    ):
        yield Services(
            settings=settings,
            authenticator=authenticator,
            documents=documents,
            embedder=embedder,
            assistant=Assistant(documents=documents, embedder=embedder, cache=cache, retrieval=settings.retrieval),
            agent=agent,
            ingestion=ingestion,
            tools=tools,
            vectors=vectors.routes(),
            running=(tools.running, vectors.running),
        )


def _authenticators(settings: Settings, key: bytes) -> tuple[Authenticator, ToolsAuthenticator]:
    """Return the check of the API and that of the tools."""
    tokens, security, accounts = settings.tokens, settings.security, frozenset(settings.accounts)
    # Where the tools pass their callers' tokens on, the API takes tokens that were issued for the tools.
    passed_on = () if security.tools_exchange_token else (tokens.tools_audience,)
    api = Authenticator(
        key=key,
        issuer=tokens.issuer,
        audiences=(tokens.audience, *passed_on),
        accounts=accounts,
        tenant_from_token=security.tenant_from_token,
    )
    own = Authenticator(key=key, issuer=tokens.issuer, audiences=(tokens.tools_audience,), accounts=accounts)
    return api, ToolsAuthenticator(own=own, documents_api=api, security=security)


def _pool(postgres: Postgres, password: str) -> ConnectionPool:
    return ConnectionPool(
        postgres.dsn(user=APP_ROLE, password=password),
        min_size=4,
        max_size=16,
        kwargs={"autocommit": True},
        open=False,
    )


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    # Named as TCP, for asyncio turns off Nagle's algorithm on such sockets only.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        yield listener


@contextlib.contextmanager
def _announced(path: Path, ready: Mapping[str, object]) -> Iterator[None]:
    """Put the file there whole, for the owner's eyes only, and take it away at the end."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(ready, file, indent=2)
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
