"""A tiny multi-tenant notes service for tests, with a knob for each way in which a surface can misbehave.

`with running_notes_app(leaky=True) as notes:` serves it on a free port in a thread; `notes_scenario(notes.url)` is a
scenario for it as a dict, and `write_secrets(folder, notes)` the folder for `--secrets` (keys are `sectum keygen`'s).
"""

import contextlib
import itertools
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

USERS = tuple((tenant, user) for tenant in ("acme", "globex") for user in ("ann", "ben"))
User = tuple[str, str]


@dataclass
class Note:
    id: str
    owner: User
    title: str
    text: str

    def shown(self) -> dict[str, str]:
        return {"id": self.id, "title": self.title, "text": self.text}


@dataclass
class NotesApp:
    """The running service: what it holds can be looked at from the test."""

    leaky: bool = False
    """Ignores who asks: fetch, batch, list, search, ask and the answer cache know no owner."""
    forgetful: bool = False
    """Says 201 to every write and stores nothing."""
    always_empty: bool = False
    """Answers 200 with nothing to everybody, save for whoami."""
    echo: bool = False
    """Answers every question with the question, every fetch with the id, and nothing of what was written."""
    failing: bool = False
    """500 to everything but whoami."""
    keeps_deleted: bool = False
    """Refuses to delete, with 403."""
    delay: float = 0.0
    """Seconds that each request takes."""
    say: str = ""
    """Put into every answer and error: text that must never be shown by who reads it."""
    url: str = ""
    documents: dict[str, Note] = field(default_factory=dict)
    cache: dict[tuple[User | None, frozenset[str]], dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method and path of every request so far."""
    tokens: dict[User, str] = field(default_factory=lambda: {user: secrets.token_urlsafe(24) for user in USERS})

    def visible(self, user: User) -> list[Note]:
        return [note for note in list(self.documents.values()) if self.leaky or note.owner == user]

    def matching(self, user: User, question: str) -> list[Note]:
        """The notes that share most words with the question."""
        asked = _words(question)
        scored = [(len(asked & _words(f"{note.title} {note.text}")), note) for note in self.visible(user)]
        return [note for score, note in sorted(scored, key=lambda each: -each[0])[:16] if score > 2]


@contextlib.contextmanager
def running_notes_app(**knobs: Any) -> Iterator[NotesApp]:
    """Serve the app on 127.0.0.1 for as long as the block."""
    notes = NotesApp(**knobs)
    listener = socket.create_server(("127.0.0.1", 0))
    notes.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(_app(notes), log_level="critical", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < deadline, "the notes app did not start"
            time.sleep(0.005)
        yield notes
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
        listener.close()


def notes_scenario(
    url: str, *, surfaces: tuple[str, ...] = ("api",), attacks: tuple[str, ...] | None = None, **spec: Any
) -> dict[str, Any]:
    """A scenario for the app, ready for `yaml.safe_dump`; `spec` replaces or adds keys of its `spec`.

    `surfaces` are of: api (write, fetch, batch, list, search, delete), assistant (ask), cache (askCached).
    """
    adapters = {"api": _api, "assistant": _assistant, "cache": _cache}
    kinds = {"api": "api", "assistant": "rag-pipeline", "cache": "semantic-cache"}
    tenants: dict[str, list[dict[str, str]]] = {}
    for tenant, user in USERS:
        tenants.setdefault(tenant, []).append({"name": user})
    return {
        "apiVersion": "sectum.ai/v1alpha1",
        "kind": "IsolationScenario",
        "metadata": {"name": "notes"},
        "spec": {
            "tenants": [{"name": tenant, "users": users} for tenant, users in tenants.items()],
            "surfaces": [
                {
                    "name": name,
                    "kind": kinds[name],
                    "credentials": {"secretRef": {"name": f"sectum-surface-{name}-tokens", "key": "{tenant}.{user}"}},
                    "adapter": {"http": {**_common(url), **adapters[name]()}},
                    **({"attacks": list(attacks)} if attacks else {}),
                }
                for name in surfaces
            ],
            "manifest": {"key": {"unsafeLocalKey": {"secretRef": {"name": "sectum-key-manifest", "key": "key"}}}},
            "evidence": {"signer": {"ecKey": {"secretRef": {"name": "sectum-signer-notes", "key": "private.pem"}}}},
            **spec,
        },
    }


def write_secrets(folder: Path, notes: NotesApp, *, surfaces: tuple[str, ...] = ("api",)) -> Path:
    """Every user's token for every surface, laid out for `--secrets`; returns the folder."""
    for surface, (user, token) in itertools.product(surfaces, notes.tokens.items()):
        path = folder / f"sectum-surface-{surface}-tokens" / ".".join(user)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(token)
    return folder


def _common(url: str) -> dict[str, Any]:
    return {
        "origin": url,
        "headers": {"Authorization": "Bearer {credential}"},
        "whoami": {"request": {"path": "/me"}, "expect": {"$.tenant": "{tenant}", "$.user": "{user}"}},
        "write": {
            "request": {"method": "POST", "path": "/notes", "json": {"title": "{title}", "text": "{text}"}},
            "location": "$.id",
        },
        "delete": {"request": {"method": "DELETE", "path": "/notes/{location}"}},
    }


def _api() -> dict[str, Any]:
    items = {"items": "$.items[*]", "id": "$.id"}
    return {
        "fetch": {"request": {"path": "/notes/{location}"}, "items": "$", "id": "$.id"},
        "batch": {"request": {"method": "POST", "path": "/batch", "json": {"ids": "{locations}"}}, **items},
        "list": {"request": {"path": "/notes"}, **items},
        "search": {"request": {"path": "/search", "query": {"q": "{query}"}}, **items},
    }


def _assistant() -> dict[str, Any]:
    request = {"method": "POST", "path": "/ask", "json": {"question": "{question}"}}
    return {"ask": {"request": request, "citations": "$.sources[*]", "id": "$.id"}}


def _cache() -> dict[str, Any]:
    request = {"method": "POST", "path": "/cached", "json": {"question": "{question}"}}
    return {"askCached": {"request": request, "citations": "$.sources[*]", "id": "$.id"}}


def _app(notes: NotesApp) -> Starlette:
    def route(path: str, answer: Any, *methods: str) -> Route:
        async def handle(request: Request) -> Response:
            notes.requests.append(f"{request.method} {request.url.path}")
            await anyio.sleep(notes.delay)
            bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
            user = next((user for user, token in notes.tokens.items() if secrets.compare_digest(token, bearer)), None)
            if user is None:
                return JSONResponse({"error": f"who are you? {notes.say}"}, 401)
            if notes.failing and answer is not _me:
                return JSONResponse({"error": notes.say}, 500)
            body = await request.json() if request.method == "POST" else {}
            status, content = answer(notes, user, {**request.path_params, **request.query_params, **body})
            if notes.always_empty and answer is not _me:
                status, content = 200, {}
            extra = {"note": notes.say} if notes.say else {}
            return JSONResponse({**content, **extra}, status)

        return Route(path, handle, methods=list(methods))

    return Starlette(
        routes=[
            route("/me", _me, "GET"),
            route("/notes", _write, "POST"),
            route("/notes", _list, "GET"),
            route("/notes/{id}", _fetch, "GET"),
            route("/notes/{id}", _delete, "DELETE"),
            route("/batch", _batch, "POST"),
            route("/search", _search, "GET"),
            route("/ask", _ask, "POST"),
            route("/cached", _cached, "POST"),
        ]
    )


Answered = tuple[int, dict[str, Any]]


def _me(_notes: NotesApp, user: User, _sent: dict[str, Any]) -> Answered:
    return 200, {"tenant": user[0], "user": user[1]}


def _write(notes: NotesApp, user: User, sent: dict[str, Any]) -> Answered:
    note = Note(secrets.token_hex(8), user, sent["title"], sent["text"])
    if not notes.forgetful:
        notes.documents[note.id] = note
    return 201, {"id": note.id}


def _fetch(notes: NotesApp, user: User, sent: dict[str, Any]) -> Answered:
    if notes.echo:
        return 200, Note(sent["id"], user, sent["id"], sent["id"]).shown()
    found = [note for note in notes.visible(user) if note.id == sent["id"]]
    return (200, found[0].shown()) if found else (404, {})


def _list(notes: NotesApp, user: User, _sent: dict[str, Any]) -> Answered:
    return 200, {"items": [note.shown() for note in notes.visible(user)]}


def _batch(notes: NotesApp, user: User, sent: dict[str, Any]) -> Answered:
    return 200, {"items": [note.shown() for note in notes.visible(user) if note.id in sent["ids"]]}


def _search(notes: NotesApp, user: User, sent: dict[str, Any]) -> Answered:
    if notes.echo:
        return 200, {"items": [], "query": sent["q"]}
    return 200, {"items": [note.shown() for note in notes.matching(user, sent["q"])]}


def _ask(notes: NotesApp, user: User, sent: dict[str, Any]) -> Answered:
    if notes.echo:
        return 200, {"answer": sent["question"], "sources": []}
    found = notes.matching(user, sent["question"])
    return 200, {"answer": " ".join(note.text for note in found), "sources": [{"id": note.id} for note in found]}


def _cached(notes: NotesApp, user: User, sent: dict[str, Any]) -> Answered:
    """An answer cache that takes any question of the same content words for the same."""
    key = (None if notes.leaky else user, _words(sent["question"]))
    if key not in notes.cache:
        notes.cache[key] = _ask(notes, user, sent)[1]
    return 200, notes.cache[key]


def _delete(notes: NotesApp, user: User, sent: dict[str, Any]) -> Answered:
    note = notes.documents.get(sent["id"])
    if note is None or note.owner != user:
        return 404, {}
    if notes.keeps_deleted:
        return 403, {}
    del notes.documents[sent["id"]]
    return 200, {}


def _words(text: str) -> frozenset[str]:
    """The content words of a text."""
    plain = "".join(letter if letter.isalnum() or letter == "-" else " " for letter in text.lower())
    return frozenset(plain.split()) - {"the", "a", "is", "of", "for", "on", "what", "which", "tell", "me", "we", "do"}
