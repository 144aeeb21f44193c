"""A good object and its schema -> objects that are wrong in one way each, with the field that a refusal must name."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Part = str | int
Schema = dict[str, Any]
_OTHER_TYPE: dict[str, Any] = {
    "string": {"no": "string"},
    "integer": "no-integer",
    "number": "no-number",
    "boolean": "no-boolean",
    "array": "no-array",
    "object": "no-object",
}
_GONE = object()


@dataclass(frozen=True)
class Bad:
    """An object, what is wrong with it, and the field that the refusal has to name."""

    why: str
    field: str
    document: dict[str, Any]


def written(path: tuple[Part, ...]) -> str:
    """A path as the API server writes it."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def changed(document: dict[str, Any], path: tuple[Part, ...], value: Any) -> dict[str, Any]:
    """The document with another value in one place, or with nothing there."""
    made = copy.deepcopy(document)
    node: Any = made
    for part in path[:-1]:
        node = node[part]
    if value is _GONE:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return made


def generated(document: dict[str, Any], schema: Schema) -> Iterator[Bad]:
    """Every fault that the schema tells how to make, once for each node of the schema that the document reaches."""
    met: set[tuple[tuple[str, ...], str]] = set()
    for path, node, value in _nodes(document, schema, ()):
        if path[0] not in ("spec", "status"):
            continue
        place = tuple("*" if isinstance(part, int) else part for part in path)
        for why, where, bad in _faults(node, value):
            if (place, why) not in met:
                met.add((place, why))
                yield Bad(why, written((*path, *where)), changed(document, (*path, *where), bad))


def _nodes(value: Any, schema: Schema, path: tuple[Part, ...]) -> Iterator[tuple[tuple[Part, ...], Schema, Any]]:
    """Every value that the schema says something about, with its place."""
    if path:
        yield path, schema, value
    if isinstance(value, dict):
        for key, below in value.items():
            inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if inner:
                yield from _nodes(below, inner, (*path, key))
    for number, below in enumerate(value if isinstance(value, list) and "items" in schema else ()):
        yield from _nodes(below, schema["items"], (*path, number))


def _faults(schema: Schema, value: Any) -> Iterator[tuple[str, tuple[Part, ...], Any]]:
    """What can be wrong at one node: why, where below it, and the value to put there."""
    if "type" in schema:
        yield "another type", (), _OTHER_TYPE[schema["type"]]
    for key in schema.get("required", ()):
        yield f"without {key}", (key,), _GONE
    if "properties" in schema:
        yield "an unknown key", ("noSuchKey",), 1
    if "enum" in schema:
        yield "not in the enumeration", (), "no-such-value"
    yield from ((why, (), bad) for why, bad in _beyond(schema, value))


def _beyond(schema: Schema, value: Any) -> Iterator[tuple[str, Any]]:
    """Values just outside a bound."""
    if "maxLength" in schema:
        yield "too long", "a" * (schema["maxLength"] + 1)
    if schema.get("minLength"):
        yield "too short", ""
    if "pattern" in schema:
        yield "against the pattern", ' "\n'
    if "maxItems" in schema and value:
        yield "too many items", [value[0]] * (schema["maxItems"] + 1)
    if schema.get("minItems"):
        yield "too few items", []
    if schema.get("maxProperties") and value:
        yield (
            "too many keys",
            {f"key-{number}": next(iter(value.values())) for number in range(schema["maxProperties"] + 1)},
        )
    if "additionalProperties" in schema and "x-kubernetes-validations" in schema and value:  # which are about its keys
        yield "a key that is too long", {**value, "k" * 2049: next(iter(value.values()))}
    if schema.get("x-kubernetes-list-type") in ("map", "set") and value:
        yield "an item twice", [value[0], value[0]]
    yield from _beyond_range(schema)


def _beyond_range(schema: Schema) -> Iterator[tuple[str, Any]]:
    """Numbers just outside."""
    if "maximum" in schema:
        yield "above the maximum", schema["maximum"] + 1
    if "minimum" in schema:
        yield "below the minimum", schema["minimum"] - 1
