"""Keep documents, or the tools' notes, in PostgreSQL and find them again: by id, page by page, and by meaning."""

import base64
import binascii
import datetime
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from psycopg import sql
from psycopg.rows import class_row, scalar_row
from psycopg_pool import ConnectionPool

from assistant.access import Identity, Scope
from assistant.embedding import Vector


@dataclass(frozen=True)
class Document:
    id: uuid.UUID
    title: str
    body: str


@dataclass(frozen=True)
class Match:
    """A document and how near it is to what was looked for; the score is a cosine similarity."""

    id: uuid.UUID
    title: str
    body: str
    score: float


@dataclass(frozen=True)
class Position:
    """Where a page ends; the next one begins behind it."""

    created_at: datetime.datetime
    id: uuid.UUID

    def encode(self) -> str:
        return base64.urlsafe_b64encode(f"{self.created_at.isoformat()} {self.id}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, cursor: str) -> "Position":
        """Raise ValueError where the cursor is not one of ours."""
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError("not a cursor") from error
        moment, _, document = text.partition(" ")
        return cls(datetime.datetime.fromisoformat(moment), uuid.UUID(document))


@dataclass(frozen=True)
class _Listed:
    id: uuid.UUID
    title: str
    body: str
    created_at: datetime.datetime


@dataclass(frozen=True)
class Page:
    items: Sequence[Document]
    next: Position | None


class Documents:
    """Every read takes the scope that it stays within."""

    def __init__(self, pool: ConnectionPool, *, table: str = "documents") -> None:
        self._pool = pool
        self._table = sql.Identifier(table)

    def add(self, identity: Identity, *, title: str, body: str, embedding: Vector) -> uuid.UUID:
        insert = sql.SQL(
            "INSERT INTO {} (tenant, owner, title, body, embedding) VALUES (%s, %s, %s, %s, %s) RETURNING id"
        ).format(self._table)
        with self._pool.connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
            cursor.execute(insert, (identity.tenant, identity.user, title, body, _literal(embedding)))
            return cast("uuid.UUID", cursor.fetchone())

    def file(
        self, uploader: Identity, document_id: uuid.UUID, *, shared: bool, title: str, body: str, embedding: Vector
    ) -> None:
        """Add what was uploaded under the id that it was given: as the uploader's own, or as shared knowledge."""
        columns = "uploader_tenant, uploader" if shared else "tenant, owner"
        insert = sql.SQL(
            "INSERT INTO documents (id, {}, title, body, embedding) VALUES (%s, %s, %s, %s, %s, %s)"
        ).format(sql.SQL(columns))
        with self._pool.connection() as connection:
            connection.execute(insert, (document_id, uploader.tenant, uploader.user, title, body, _literal(embedding)))

    def get(self, scope: Scope, document_id: uuid.UUID) -> Document | None:
        return next(iter(self.batch(scope, [document_id])), None)

    def batch(self, scope: Scope, ids: Sequence[uuid.UUID]) -> list[Document]:
        """Return those of `ids` that exist within the scope, in the order asked for."""
        where, parameters = _within(scope)
        query = sql.SQL("SELECT id, title, body FROM {} WHERE id = ANY(%s) AND {}").format(self._table, where)
        with self._pool.connection() as connection, connection.cursor(row_factory=class_row(Document)) as cursor:
            found = {document.id: document for document in cursor.execute(query, [list(ids), *parameters])}
        return [found[document_id] for document_id in dict.fromkeys(ids) if document_id in found]

    def page(self, scope: Scope, *, limit: int, after: Position | None) -> Page:
        """Return documents of the scope, the newest first."""
        where, parameters = _within(scope)
        if after is not None:
            where = sql.SQL("{} AND (created_at, id) < (%s, %s)").format(where)
            parameters = [*parameters, after.created_at, after.id]
        query = sql.SQL(
            "SELECT id, title, body, created_at FROM {} WHERE {} ORDER BY created_at DESC, id DESC LIMIT %s"
        ).format(self._table, where)
        with self._pool.connection() as connection, connection.cursor(row_factory=class_row(_Listed)) as cursor:
            rows = cursor.execute(query, [*parameters, limit + 1]).fetchall()
        shown = rows[:limit]
        more = len(rows) > limit
        return Page(
            items=[Document(row.id, row.title, row.body) for row in shown],
            next=Position(shown[-1].created_at, shown[-1].id) if more else None,
        )

    def nearest(self, scope: Scope, embedding: Vector, *, limit: int, shared: bool = False) -> list[Match]:
        """Return the documents of the scope nearest to a vector; an exact scan, ties by id, so always the same.

        `shared` adds the knowledge that belongs to no tenant.
        """
        where, parameters = _within(scope)
        if shared:
            where = sql.SQL("({} OR tenant IS NULL)").format(where)
        query = sql.SQL(
            "SELECT id, title, body, 1 - (embedding <=> %s::vector) AS score FROM {}"
            " WHERE embedding IS NOT NULL AND {} ORDER BY score DESC, id LIMIT %s"
        ).format(self._table, where)
        with self._pool.connection() as connection, connection.cursor(row_factory=class_row(Match)) as cursor:
            return cursor.execute(query, [_literal(embedding), *parameters, limit]).fetchall()

    def delete(self, identity: Identity, document_id: uuid.UUID) -> bool:
        """Delete a document of one's own; False where there is none."""
        where, parameters = _within(Scope(identity.tenant, identity.user))
        delete = sql.SQL("DELETE FROM {} WHERE id = %s AND {}").format(self._table, where)
        with self._pool.connection() as connection:
            return connection.execute(delete, [document_id, *parameters]).rowcount == 1


def _within(scope: Scope) -> tuple[sql.Composable, list[Any]]:
    """Documents of a tenant or owner are also those that they uploaded as shared knowledge."""
    owned, owned_by = _matching({"tenant": scope.tenant, "owner": scope.owner})
    uploaded, uploaded_by = _matching({"uploader_tenant": scope.tenant, "uploader": scope.owner})
    return sql.SQL("({} OR {})").format(owned, uploaded), [*owned_by, *uploaded_by]


def _matching(values: Mapping[str, str | None]) -> tuple[sql.Composable, list[Any]]:
    wanted = {column: value for column, value in values.items() if value is not None}
    conditions = [sql.SQL("{} = %s").format(sql.Identifier(column)) for column in wanted]
    return sql.SQL(" AND ").join(conditions or [sql.SQL("true")]), list(wanted.values())


def _literal(embedding: Iterable[float]) -> str:
    return json.dumps([round(float(number), 6) for number in embedding])
