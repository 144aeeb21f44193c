"""A JSONPath and a document -> the nodes that it finds, in bounded time."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError
from jsonpath.segments import JSONPathChildSegment, JSONPathSegment
from jsonpath.selectors import IndexSelector, NameSelector, SliceSelector, WildcardSelector
from pydantic import AfterValidator, Field

from sectum.actions import Item
from sectum.web.documents import BrokenPromise, TooManyItems, clean, leaves

_MOST_ITEMS = 10_000
_RFC9535 = JSONPathEnvironment(strict=True)
_SELECTORS = (NameSelector, IndexSelector, SliceSelector, WildcardSelector)


@cache
def _compiled(path: str) -> JSONPath:
    """Raises ValueError for what is no RFC 9535 path, or one whose time a hostile answer could blow up."""
    try:
        compiled = _RFC9535.compile(path)
    except JSONPathError:
        raise ValueError("is no JSONPath (RFC 9535), for example $.items[*]") from None
    plain = isinstance(compiled, JSONPath) and all(
        isinstance(segment, JSONPathChildSegment) and all(isinstance(each, _SELECTORS) for each in segment.selectors)
        for segment in compiled.segments
    )
    if not plain:
        raise ValueError("may only use names, indexes, slices and [*]: no filters and no '..'")
    assert isinstance(compiled, JSONPath)  # noqa: S101 (narrows the type for mypy)
    return compiled


def _checked_path(path: str) -> str:
    _compiled(path)
    return path


Path = Annotated[str, Field(max_length=512), AfterValidator(_checked_path)]
"""A JSONPath of a scenario."""


def _step(segment: JSONPathSegment, nodes: list[Any]) -> list[Any]:
    """The children that one segment picks; the library's own walk takes 20 times as long and parses strings again."""
    picked: list[Any] = []
    for node in nodes:
        for selector in segment.selectors:
            if isinstance(selector, NameSelector) and isinstance(node, dict) and selector.name in node:
                picked.append(node[selector.name])
            elif isinstance(selector, IndexSelector) and isinstance(node, list):
                picked += node[selector.index :][:1] if -len(node) <= selector.index else []
            elif isinstance(selector, SliceSelector) and isinstance(node, list):
                picked += node[selector.slice] if selector.slice.step != 0 else []
            elif isinstance(selector, WildcardSelector) and isinstance(node, dict | list):
                picked += node.values() if isinstance(node, dict) else node
    return picked


def find(path: str, document: Any) -> list[Any]:
    """What the path finds; raises BrokenPromise where there is no JSON."""
    if document is ...:
        raise BrokenPromise
    nodes = [document]
    for segment in _compiled(path).segments:
        nodes = _step(segment, nodes)
    return nodes


def rows_at(path: str, document: Any) -> list[Any]:
    """What the path finds, nulls left out; raises BrokenPromise unless it ends in something or in an empty list."""
    if document is ...:
        raise BrokenPromise
    nodes = [document]
    for segment in _compiled(path).segments:
        inner = _step(segment, nodes)
        if not inner and str(segment) == "[*]" and all(node in ([], {}, None) for node in nodes):
            return []
        if not inner:
            raise BrokenPromise
        nodes = inner
    return [node for node in nodes if node is not None]


def text_at(path: str, document: Any) -> str:
    """The one text there, as a location; raises BrokenPromise."""
    found = find(path, document)
    if len(found) != 1 or not isinstance(found[0], str) or not 0 < len(found[0]) <= 2048:
        raise BrokenPromise
    return clean(found[0])


def items_at(path: str, id_path: str, document: Any) -> tuple[Item, ...]:
    """The items there, each with the location that `id_path` finds in it; raises BrokenPromise."""
    rows = rows_at(path, document)
    if len(rows) > _MOST_ITEMS:
        raise TooManyItems
    return tuple(Item(text_at(id_path, row), clean("\n".join(leaves(row)))) for row in rows)
