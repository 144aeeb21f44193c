"""The scenario's table and columns -> a client that asks PostgreSQL with pgvector as one database role.

Each action is one statement and one round trip. No statement here ever filters by tenant or user: keeping rows apart is
the job of the system under test.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import psycopg
from psycopg import sql
from pydantic import Field, model_validator

from sectum.actions import (
    Action,
    AnswerKind,
    Batch,
    Delete,
    Fetch,
    Item,
    List,
    Reply,
    Search,
    Session,
    Sink,
    Verb,
    WhoAmI,
    Write,
)
from sectum.errors import SurfaceFault
from sectum.fields import Name, Strict, fill, placeholders
from sectum.ports import Access, Adapter, AdapterSpec, Bounds
from sectum.vectors import hashed_words

logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # its warnings repeat the server's words and the role

_STATES = {  # https://www.postgresql.org/docs/current/errcodes-appendix.html
    "42501": AnswerKind.DENIED,  # also a row that a policy's WITH CHECK refuses
    "57014": AnswerKind.TIMEOUT,
    "53300": AnswerKind.THROTTLED,
}
_CLASSES = {
    "08": AnswerKind.UNREACHABLE,
    "28": AnswerKind.UNAUTHENTICATED,
    **dict.fromkeys(("22", "23", "26", "42", "44", "P0", "0A", "2F"), AnswerKind.REJECTED),
    "57": AnswerKind.UNREACHABLE,
}
_DISTANCE = {"cosine": "<=>", "l2": "<->", "inner": "<#>"}
_BATCH = 64
_PAGE = 100

_NAME = r"[^\x00\".%]{1,63}"  # psycopg would take a % in a name for a parameter

Column = Annotated[str, Field(max_length=63, pattern=f"^{_NAME}$")]
Setting = Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,62}$")]
Template = Annotated[str, Field(max_length=1024, coerce_numbers_to_str=True)]
Settings = Annotated[dict[Setting, Template], Field(max_length=16)]


def _vector(text: str, dimensions: int) -> str:
    """A pgvector literal for a text."""
    return "[" + ",".join(f"{value:.6g}" for value in hashed_words(text, dimensions)) + "]"


def _check(field_name: str, templates: Mapping[str, str], *known: str) -> None:
    for unknown in sorted(placeholders("\n".join(templates.values())) - set(known)):
        raise ValueError(f"{field_name} mentions {{{unknown}}}; known here: {', '.join(sorted(known))}")


class Columns(Strict):
    """Names of the table's columns."""

    id: Column = "id"
    """The primary key: a document's location."""
    text: Column = "text"
    """The document's text."""
    vector: Column | None = "embedding"
    """Its embedding; null for a table without one, which cannot be searched."""


class Proof(Strict):
    """What whoami demands beside `current_user` being the role."""

    settings: Settings = Field(default_factory=dict)
    """Session settings and the values that they must have; {tenant} and {user} are the principal's."""


class Claim(Strict):
    """Session settings that can be spoofed, for the transaction of one statement."""

    name: Name
    """Name of the claim, for reports."""
    settings: Annotated[Settings, Field(min_length=1)]
    """Setting -> value; {owner.tenant} and {owner.user} are the marker's owner's."""


class PgvectorSpec(AdapterSpec):
    """The customer's own table, asked as the customer's own roles."""

    host: Annotated[str, Field(max_length=255, pattern=r"^[A-Za-z0-9._:/-]{1,255}$")]
    """Host name, address, or the folder of a Unix socket."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """TCP port."""
    dbname: Annotated[str, Field(min_length=1, max_length=63)]
    """Database."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """As in libpq."""
    role: Annotated[Template, Field(min_length=1)] = "{tenant}_{user}"
    """The principal's own login role; its password is the credential."""
    table: Annotated[str, Field(max_length=127, pattern=rf"^{_NAME}(\.{_NAME})?$")]
    """Table, or schema.table."""
    columns: Columns = Columns()
    """Its columns."""
    id_type: Literal["uuid", "text", "bigint"] = "uuid"
    """Type of the id; Sectum chooses a uuid or text, the server a bigint."""
    dimensions: Annotated[int, Field(ge=1, le=16000)] = 256
    """Dimensions of the vector column."""
    distance: Literal["cosine", "l2", "inner"] = "cosine"
    """Operator that a search orders by."""
    top_k: Annotated[int, Field(ge=1, le=1000)] = 10
    """Rows that a search asks for."""
    values: Annotated[dict[Column, Template], Field(max_length=64)] = Field(default_factory=dict)
    """Further columns of a written row; {tenant}, {user}, {title}, {text}."""
    settings: Settings = Field(default_factory=dict)
    """Session settings that the application would set when it connects; {tenant}, {user}."""
    whoami: Proof = Proof()
    """How a client proves who it is."""
    claims: Annotated[tuple[Claim, ...], Field(max_length=12)] = ()
    """Session settings that can be spoofed."""

    @model_validator(mode="after")
    def _known(self) -> PgvectorSpec:
        _check("role", {"": self.role}, "tenant", "user")
        _check("values", self.values, "tenant", "user", "title", "text")
        _check("settings", self.settings, "tenant", "user")
        _check("whoami.settings", self.whoami.settings, "tenant", "user")
        for number, claim in enumerate(self.claims):
            _check(f"claims[{number}].settings", claim.settings, "tenant", "user", "owner.tenant", "owner.user")
            if not any("{owner." in template for template in claim.settings.values()):
                raise ValueError(f"claims[{number}].settings claim nothing: mention {{owner.tenant}} or {{owner.user}}")
        if len(set(self.claim_names())) < len(self.claims):
            raise ValueError("claims: two have one name")
        proof = "\n".join((self.role, *self.whoami.settings.values()))
        if missing := sorted({"tenant", "user"} - placeholders(proof)):
            raise ValueError(f"role proves no {missing[0]}: mention {{{missing[0]}}} in role or in whoami.settings")
        return self

    def verbs(self) -> frozenset[Verb]:
        """All that a table can do; SEARCH needs a vector column."""
        verbs = {Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.BATCH, Verb.LIST, Verb.DELETE}
        return frozenset(verbs | ({Verb.SEARCH} if self.columns.vector else set()))

    def claim_names(self) -> tuple[str, ...]:
        """Those that are given."""
        return tuple(claim.name for claim in self.claims)

    def client_chooses_location(self) -> bool:
        """All but bigint."""
        return self.id_type != "bigint"

    @asynccontextmanager
    async def session(self, access: Access) -> AsyncIterator[Session]:
        """One connection; raises SurfaceFault `Denied` or `Unreachable`."""
        known, bounds = {"tenant": access.principal.tenant, "user": access.principal.user}, access.bounds
        connection = await self._connected(fill(self.role, known), access.credential, bounds)
        wire = _Wire(connection, bounds.seconds)
        try:
            if self.settings:
                told = await wire.run(_setting({k: fill(v, known) for k, v in self.settings.items()}, local=False))
                if told.fault is not None:
                    raise SurfaceFault("Denied", "settings: the server did not take them")
            yield _Client(spec=self, known=known, bounds=bounds, wire=wire)
        finally:
            await wire.close()

    async def _connected(self, role: str, credential: str, bounds: Bounds) -> psycopg.AsyncConnection[Any]:
        try:
            async with asyncio.timeout(bounds.seconds):
                return await psycopg.AsyncConnection.connect(
                    host=self.host,
                    port=self.port,
                    dbname=self.dbname,
                    user=role,
                    password=credential or None,
                    sslmode=self.sslmode,
                    gssencmode="disable",
                    client_encoding="UTF8",
                    application_name="",
                    connect_timeout=max(2, min(10, int(bounds.seconds))),
                    # Notices belong to no action: not sent. Timeout: the server stops what takes too long.
                    options=f"-c statement_timeout={int(bounds.seconds * 1000)} -c client_min_messages=error",
                    autocommit=True,
                    prepare_threshold=None,  # no second round trip, and fit for a pooler
                )
        except (psycopg.Error, TimeoutError) as error:
            # libpq has no SQLSTATE for a failed connect: the server spoke if it asked for a password or said FATAL.
            pgconn = error.pgconn if isinstance(error, psycopg.Error) else None
            spoke = "FATAL" in str(error) or (pgconn is not None and (pgconn.needs_password or pgconn.used_password))
        if spoke:
            raise SurfaceFault("Denied", "role, credential or dbname: the server does not let this role in")
        raise SurfaceFault("Unreachable", "host, port or sslmode: no PostgreSQL server answers there")


@dataclass(frozen=True, slots=True)
class _Statement:
    """One statement, and settings that hold for its transaction only."""

    query: sql.Composed
    values: Mapping[str, Any] | list[Any] = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Rows and their count, or why there are none and what the server said about it."""

    fault: AnswerKind | None = None
    rows: tuple[tuple[Any, ...], ...] = field(default=(), repr=False)
    count: int = 0
    said: str = field(default="", repr=False)


def _setting(settings: Mapping[str, str], *, local: bool) -> _Statement:
    """SET for values that come as parameters."""
    calls = [sql.SQL("set_config({}, {}, {})").format(name, value, local) for name, value in settings.items()]
    return _Statement(sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls)), {})


def _refusal(error: psycopg.Error) -> _Outcome:
    """The kind of an error, by its SQLSTATE; what the server said is only for the scan."""
    state = error.sqlstate or ("08000" if isinstance(error, psycopg.OperationalError) else "22000")
    kind = _STATES.get(state, _CLASSES.get(state[:2], AnswerKind.SERVER_ERROR))
    parts = (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint, error.diag.context)
    return _Outcome(fault=kind, said="\n".join(part for part in parts if part))


async def _outcome(cursor: psycopg.AsyncCursor[Any]) -> _Outcome:
    """A finished statement's rows: they are here already, nothing is sent."""
    try:
        return _Outcome(rows=tuple(await cursor.fetchall()) if cursor.description else (), count=cursor.rowcount)
    except UnicodeError:
        return _Outcome(fault=AnswerKind.MALFORMED)


class _Wire:
    """One connection, shared by the actions of one session: those that wait go out together, in one round trip.

    They share an implicit transaction then. If one of them fails, all are undone and done again one by one, so that
    none sees another's error. A statement with settings of its own goes alone: they hold until its transaction ends.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any], seconds: float) -> None:
        self._connection, self._seconds = connection, seconds + 2  # the server's own timeout comes first
        self._waiting: list[tuple[_Statement, asyncio.Future[_Outcome]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def run(self, statement: _Statement) -> _Outcome:
        """Send it with whatever else waits."""
        future: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((statement, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def close(self) -> None:
        """Drop what is under way and hang up."""
        if self._worker is not None and not self._worker.done():
            self._hang_up(self._worker)
            await asyncio.wait((self._worker,))
        await self._connection.close()

    async def _work(self) -> None:
        batch: list[tuple[_Statement, asyncio.Future[_Outcome]]] = []
        try:
            while waiting := [each for each in self._waiting if not each[1].done()]:
                alone = next((n for n, (each, _) in enumerate(waiting[:_BATCH]) if each.settings), _BATCH) or 1
                batch, self._waiting = waiting[:alone], waiting[alone:]
                outcomes = await self._timed([each for each, _ in batch])
                for (_, future), outcome in zip(batch, outcomes, strict=True):
                    if not future.done():
                        future.set_result(outcome)
        finally:
            for _, future in (*batch, *self._waiting):
                if not future.done():
                    future.set_result(_Outcome(fault=AnswerKind.UNREACHABLE))
            self._waiting = []

    async def _timed(self, statements: list[_Statement]) -> list[_Outcome]:
        """The outcomes; a server that is silent beyond its time loses the connection."""
        task = asyncio.create_task(self._together(statements))
        try:
            done, _ = await asyncio.wait((task,), timeout=self._seconds)
        except asyncio.CancelledError:
            self._hang_up(task)
            await asyncio.wait((task,))
            raise
        if done:
            return task.result()
        self._hang_up(task)
        await asyncio.wait((task,))
        return [_Outcome(fault=AnswerKind.TIMEOUT)] * len(statements)

    def _hang_up(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        self._connection.pgconn.finish()  # else psycopg waits up to 10 s for the server to cancel the statement

    async def _together(self, statements: list[_Statement]) -> list[_Outcome]:
        if len(statements) > 1:
            try:
                async with self._connection.pipeline():
                    cursors = [await self._connection.execute(each.query, each.values or None) for each in statements]
                return [await _outcome(cursor) for cursor in cursors]
            except psycopg.Error:
                pass
        return [await self._one(each) for each in statements]

    async def _one(self, statement: _Statement) -> _Outcome:
        try:
            if not statement.settings:
                return await _outcome(await self._connection.execute(statement.query, statement.values or None))
            async with self._connection.pipeline():
                await self._connection.execute(_setting(statement.settings, local=True).query)
                cursor = await self._connection.execute(statement.query, statement.values or None)
            return await _outcome(cursor)
        except psycopg.Error as error:
            return _refusal(error)


class _Client:
    """One principal's client."""

    session_id = None

    def __init__(self, *, spec: PgvectorSpec, known: Mapping[str, str], bounds: Bounds, wire: _Wire) -> None:
        self._spec, self._known, self._bounds, self._wire = spec, known, bounds, wire
        self._table = sql.Identifier(*spec.table.split("."))
        self._id, self._text = sql.Identifier(spec.columns.id), sql.Identifier(spec.columns.text)
        self._type = sql.SQL(spec.id_type)
        self._limit = bounds.pages * _PAGE

    async def perform(self, action: Action, sink: Sink) -> Reply:
        """Do the action in one statement; ValueError for a verb that verbs() does not have."""
        items = () if isinstance(action, Fetch | Batch | List | Search) else None
        outcome = await self._wire.run(self._statement(action))
        sink(outcome.said + "\n")
        if outcome.fault is not None:
            return Reply(outcome.fault, items=items, identity=False if isinstance(action, WhoAmI) else None)
        sink("".join(f"{value}\n" for row in outcome.rows for value in row if isinstance(value, str)))
        if isinstance(action, WhoAmI):
            return Reply(AnswerKind.ITEMS, identity=outcome.rows[0] == self._proof())
        if isinstance(action, Write):
            location = action.wanted if self._spec.client_chooses_location() else str(outcome.rows[0][0])
            return Reply(AnswerKind.ITEMS, location=location)
        if isinstance(action, Delete):
            return Reply(AnswerKind.EMPTY if outcome.count else AnswerKind.NOT_FOUND)
        return self._listed(outcome)

    def _listed(self, outcome: _Outcome) -> Reply:
        """Rows as items; more rows or bytes than the bounds are TOO_LARGE."""
        items = tuple(Item(location, text) for location, text, _ in outcome.rows)
        if len(items) > self._limit or (items and outcome.rows[-1][2] > self._bounds.bytes):
            return Reply(AnswerKind.TOO_LARGE, items=items)
        return Reply(AnswerKind.ITEMS if items else AnswerKind.EMPTY, items=items)

    def _proof(self) -> tuple[str, ...]:
        return tuple(fill(each, self._known) for each in (self._spec.role, *self._spec.whoami.settings.values()))

    def _settings(self, action: Action) -> dict[str, str]:
        claim = next((each for each in self._spec.claims if each.name == action.claim), None)
        if claim is None or action.as_if is None:
            return {}
        owner = {"owner.tenant": action.as_if.tenant, "owner.user": action.as_if.user}
        return {name: fill(template, {**self._known, **owner}) for name, template in claim.settings.items()}

    def _statement(self, action: Action) -> _Statement:
        """The statement; the server rejects a location that does not fit the id's type."""
        settings = self._settings(action)
        match action:
            case WhoAmI():
                asked = [sql.SQL("current_setting({}, true)").format(name) for name in self._spec.whoami.settings]
                return _Statement(sql.SQL("SELECT {}").format(sql.SQL(", ").join([_USER, *asked])), {}, settings)
            case Write():
                return self._insert(action, settings)
            case Delete():
                query = sql.SQL("DELETE FROM {} WHERE {} = %(id)s::{}").format(self._table, self._id, self._type)
                return _Statement(query, {"id": action.location}, settings)
            case Fetch():
                where = sql.SQL("WHERE {} = %(id)s::{} LIMIT %(limit)s").format(self._id, self._type)
                return self._select(where, {"id": action.location}, settings)
            case Batch():
                where = sql.SQL("WHERE {} = ANY(%(ids)s::{}[]) LIMIT %(limit)s").format(self._id, self._type)
                return self._select(where, {"ids": list(action.locations)}, settings)
            case List():
                return self._select(sql.SQL("LIMIT %(limit)s"), {}, settings)
            case Search() if self._spec.columns.vector:
                operator = sql.SQL(_DISTANCE[self._spec.distance])
                order = sql.SQL("ORDER BY {} {} %(vector)s LIMIT %(top_k)s")
                values = {"vector": _vector(action.query, self._spec.dimensions), "top_k": self._spec.top_k}
                return self._select(order.format(sql.Identifier(self._spec.columns.vector), operator), values, settings)
            case _:
                raise ValueError(f"a table cannot do {type(action).__name__}")

    def _select(self, tail: sql.Composable, values: Mapping[str, Any], settings: Mapping[str, str]) -> _Statement:
        """Rows of (id, text, bytes so far), cut by the server: it stops after the row that goes beyond the bound."""
        query = sql.SQL(
            "SELECT id, left(text, %(bytes)s), so_far FROM ("
            "SELECT id, text, sum(octet_length(text)) OVER (ROWS UNBOUNDED PRECEDING) AS so_far FROM ("
            "SELECT left({}::text, 2048) AS id, coalesce({}::text, '') AS text FROM {} {}"
            ") AS found) AS sized WHERE so_far - octet_length(text) < %(bytes)s"
        ).format(self._id, self._text, self._table, tail)
        bounds = {"bytes": self._bounds.bytes, "limit": self._limit + 1}
        return _Statement(query, {**bounds, **values}, settings)

    def _insert(self, action: Write, settings: Mapping[str, str]) -> _Statement:
        known = {**self._known, "title": action.title, "text": action.text}
        row: dict[str, Any] = {column: fill(template, known) for column, template in self._spec.values.items()}
        row[self._spec.columns.text] = action.text
        if self._spec.columns.vector:
            row[self._spec.columns.vector] = _vector(action.text, self._spec.dimensions)
        if self._spec.client_chooses_location():
            row[self._spec.columns.id] = action.wanted
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({}){}").format(
            self._table,
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join([sql.Placeholder()] * len(row)),
            sql.SQL("") if self._spec.client_chooses_location() else sql.SQL(" RETURNING {}::text").format(self._id),
        )
        return _Statement(query, list(row.values()), settings)


_USER = sql.SQL("current_user")

ADAPTER = Adapter(
    name="pgvector", summary="A PostgreSQL table with pgvector, as the customer's own roles.", spec=PgvectorSpec
)
