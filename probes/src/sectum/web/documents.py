"""The text of an answer -> a JSON document within bounds, and every string in it for the scan."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from sectum.actions import AnswerKind

_TOKENS = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class BrokenPromise(Exception):
    """A 2xx answer is not what the scenario says; carries nothing of it but the kind that it is instead."""

    kind = AnswerKind.MALFORMED


class TooManyItems(BrokenPromise):
    """There are more items than an answer may have."""

    kind = AnswerKind.TOO_LARGE


class Number(str):
    """A number as it was spelt: digits may be a marker's, and a float would lose some."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """`document` is Ellipsis when the text is no JSON or nested too deep; `text` is what there is to scan."""

    document: Any = field(repr=False)
    text: str = field(repr=False)
    too_deep: bool = False


def parse(text: str, *, depth: int) -> Parsed:
    """The document and its leaves, one a line; or the text as it came."""
    if _nesting(text, depth) > depth:
        return Parsed(..., clean(text), too_deep=True)
    lost: list[Any] = []

    def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for key, value in pairs:
            if key in named:  # a parser that takes the first of two equal keys would show what is overwritten here
                lost.append([key, named[key]])
            named[key] = value
        return named

    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=Number
        )
    except ValueError:
        return Parsed(..., clean(text))
    return Parsed(document, clean("\n".join(leaves([document, *lost]))))


def clean(text: str) -> str:
    """Lone surrogates, which JSON can spell, replaced: they cannot be encoded again."""
    return text.encode("utf-8", "replace").decode()


def leaves(document: Any) -> list[str]:
    """Every string, key and number of a document, in its order."""
    found, stack = [], [document]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            found.append(node)
        elif isinstance(node, list):
            stack.extend(reversed(node))
        elif isinstance(node, dict):
            for key, value in reversed(node.items()):
                stack += (value, key)
    return found


def _nesting(text: str, limit: int) -> int:
    """How deep its brackets nest, or `limit` + 1 as soon as it is deeper."""
    depth = deepest = 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        depth += 1 if first in "[{" else -1 if first in "]}" else 0
        deepest = max(deepest, depth)
        if deepest > limit:
            break
    return deepest
