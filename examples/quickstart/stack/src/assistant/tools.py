"""Turn a user's calls into notes kept, found and deleted: the tools that an agent is given, by the MCP SDK."""

from collections.abc import Sequence

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from assistant import access, inputs
from assistant.access import Identity, Scope
from assistant.config import Limits, Security
from assistant.documents import Document, Documents, Match
from assistant.embedding import Embedder


class Caller(BaseModel):
    tenant: str
    user: str


class NoteId(BaseModel):
    id: str


class Note(BaseModel):
    id: str
    title: str
    text: str


class Notes(BaseModel):
    items: list[Note]


class NoteTools:
    """One method a tool; the SDK takes names, arguments and descriptions from them and runs each call in a thread."""

    def __init__(self, *, notes: Documents, embedder: Embedder, security: Security, limits: Limits) -> None:
        self._notes = notes
        self._embedder = embedder
        self._security = security
        self._limits = limits

    def whoami(self, ctx: Context) -> Caller:
        """Say for whom the tools act."""
        identity = _identity(ctx)
        return Caller(tenant=identity.tenant, user=identity.user)

    def save_note(self, ctx: Context, title: str, text: str) -> NoteId:
        """Keep a note of your own."""
        try:
            inputs.titled({"title": title, "text": text}, self._limits)
        except inputs.BadRequest as error:
            raise ToolError(str(error)) from error
        embedding = self._embedder.document(title, text)
        return NoteId(id=str(self._notes.add(_identity(ctx), title=title, body=text, embedding=embedding)))

    # `id` is what the tool's callers know the argument as.
    def get_note(self, ctx: Context, id: str, tenant: str | None = None, user: str | None = None) -> Note:  # noqa: A002
        """Read one of your notes."""
        note_id = inputs.document_id(id)
        note = self._notes.get(self._scope(ctx, tenant, user), note_id) if note_id else None
        if note is None:
            raise ToolError("no such note")
        return _shown(note)

    def list_notes(self, ctx: Context, tenant: str | None = None, user: str | None = None) -> Notes:
        """List your notes, the newest first."""
        page = self._notes.page(self._scope(ctx, tenant, user), limit=self._limits.page, after=None)
        return _all_shown(page.items)

    def find_notes(self, ctx: Context, query: str, tenant: str | None = None, user: str | None = None) -> Notes:
        """Find the five of your notes that are nearest to a query in meaning."""
        scope = self._scope(ctx, tenant, user)
        try:
            text, count = inputs.search_query({"q": query}, self._limits)
        except inputs.BadRequest as error:
            raise ToolError(str(error)) from error
        return _all_shown(self._notes.nearest(scope, self._embedder.question(text), limit=count))

    def delete_note(self, ctx: Context, id: str) -> NoteId:  # noqa: A002
        """Delete one of your notes."""
        note_id = inputs.document_id(id)
        if note_id is None or not self._notes.delete(_identity(ctx), note_id):
            raise ToolError("no such note")
        return NoteId(id=str(note_id))

    def _scope(self, ctx: Context, tenant: str | None, user: str | None) -> Scope:
        scope = access.note_scope(_identity(ctx), self._security, tenant=tenant, user=user)
        if scope is None:
            raise ToolError("these notes are not yours to read")
        return scope


def create_tools_server(tools: NoteTools) -> MCPServer:
    server = MCPServer("assistant-tools", version="1.0.0", log_level="WARNING", subscriptions=False)
    for tool in (
        tools.whoami,
        tools.save_note,
        tools.get_note,
        tools.list_notes,
        tools.find_notes,
        tools.delete_note,
    ):
        server.add_tool(tool)
    return server


def _identity(ctx: Context) -> Identity:
    """Return whom the endpoint has found out the request to be from."""
    request = ctx.request_context.request
    assert request is not None  # noqa: S101 - every request comes by HTTP
    identity: Identity = request.state.identity
    return identity


def _shown(note: Document | Match) -> Note:
    return Note(id=str(note.id), title=note.title, text=note.body)


def _all_shown(notes: Sequence[Document | Match]) -> Notes:
    return Notes(items=[_shown(note) for note in notes])
