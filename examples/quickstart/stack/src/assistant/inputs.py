"""Parse what a caller sends, once and strictly, into the values that the endpoints work with."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from assistant.config import NAME, Limits
from assistant.documents import Position

DEFAULT_PAGE = 50
DEFAULT_RESULTS = 5


class BadRequest(Exception):
    """The request is malformed; the message says where."""


class TooLarge(Exception):
    """The body is larger than the service takes."""


@dataclass(frozen=True)
class ListQuery:
    limit: int
    after: Position | None
    owner: str | None

    def following(self, position: Position) -> str:
        """Return the query string of the page behind `position`."""
        parameters = {"limit": str(self.limit), "cursor": position.encode()}
        if self.owner is not None:
            parameters["owner"] = self.owner
        return urlencode(parameters)


async def read_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
    return bytes(body)


def new_document(body: bytes, limits: Limits) -> tuple[str, str]:
    return titled(_object(body), limits)


def titled(fields: Mapping[str, Any], limits: Limits) -> tuple[str, str]:
    title = _text(fields, "title")
    if len(title) > limits.title_characters:
        raise BadRequest(f"title is longer than {limits.title_characters} characters")
    return title, _text(fields, "text")


def question(body: bytes, limits: Limits) -> str:
    text = _text(_object(body), "question")
    if len(text) > limits.question_characters:
        raise BadRequest(f"question is longer than {limits.question_characters} characters")
    return text


def batch_ids(body: bytes, limits: Limits) -> list[uuid.UUID]:
    """Return the ids that can be ids; another string is one that no document has."""
    ids = _object(body).get("ids")
    if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
        raise BadRequest("ids must be a list of strings")
    if len(ids) > limits.batch:
        raise BadRequest(f"ids holds more than {limits.batch}")
    return [parsed for parsed in map(document_id, ids) if parsed is not None]


def document_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def list_query(parameters: Mapping[str, str], limits: Limits) -> ListQuery:
    cursor = parameters.get("cursor")
    owner = parameters.get("owner")
    if owner is not None and not all(NAME.fullmatch(part) for part in owner.split("/", maxsplit=1)):
        raise BadRequest("owner must be user or tenant/user")
    try:
        after = None if cursor is None else Position.decode(cursor)
    except ValueError:
        raise BadRequest("cursor is not one that a list returned") from None
    return ListQuery(_count(parameters, "limit", default=DEFAULT_PAGE, most=limits.page), after, owner)


def search_query(parameters: Mapping[str, str], limits: Limits) -> tuple[str, int]:
    text = parameters.get("q", "").strip()
    if not text:
        raise BadRequest("q is missing")
    if len(text) > limits.question_characters:
        raise BadRequest(f"q is longer than {limits.question_characters} characters")
    return text, _count(parameters, "k", default=DEFAULT_RESULTS, most=limits.search)


def list_limit(parameters: Mapping[str, str], limits: Limits) -> int:
    return _count(parameters, "limit", default=DEFAULT_PAGE, most=limits.page)


def by_meaning(body: bytes, name: str, limits: Limits) -> tuple[str, int]:
    """Return what to look for, which stands under `name`, and how many to return at most."""
    fields = _object(body)
    text = _text(fields, name)
    if len(text) > limits.question_characters:
        raise BadRequest(f"{name} is longer than {limits.question_characters} characters")
    count = fields.get("k", min(DEFAULT_RESULTS, limits.search))
    if type(count) is not int or not 1 <= count <= limits.search:
        raise BadRequest(f"k must be a number from 1 to {limits.search}")
    return text, count


def message(body: bytes) -> str:
    return _text(_object(body), "text")


def wants_fresh(cache_control: str) -> bool:
    """Whether a request asks to be answered without the cache (RFC 9111, section 5.2.1)."""
    return bool({"no-cache", "no-store"} & {part.strip().lower() for part in cache_control.split(",")})


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object")
    return fields


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BadRequest(f"{name} must be a text that is not empty")
    # PostgreSQL keeps neither NUL nor half a surrogate pair.
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise BadRequest(f"{name} holds a character that cannot be kept")
    return value


def _count(parameters: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    text = parameters.get(name)
    if text is None:
        return min(default, most)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise BadRequest(f"{name} must be a number from 1 to {most}")
    return int(text)
