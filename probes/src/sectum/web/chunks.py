"""The chunks of a streamed document -> one document, and its strings put together again for the scan."""

from __future__ import annotations

import json
from typing import Any

from sectum.web.documents import Number


class Strings:
    """What the chunks' strings say when those at one place are put together, in the order in which they came.

    A place is a path of names; elements of lists are told apart by their `index` alone. Outside `choices`, where
    servers repeat ids and names in every chunk, what only repeats is taken once.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[int, str], int] = {}
        self._parts: list[list[str]] = []

    def add(self, chunk: dict[str, Any]) -> None:
        """Take one more chunk."""
        self._take(chunk, -1, deltas=False)

    def texts(self) -> list[str]:
        """One text for each place where there were several strings."""
        return ["".join(parts) for parts in self._parts if len(parts) > 1]

    def _take(self, node: Any, place: int, *, deltas: bool) -> None:
        if isinstance(node, dict):
            for name, value in node.items():
                self._take(value, self._below(place, name), deltas=deltas or name == "choices")
        elif isinstance(node, list):
            for each in node:
                index = each.get("index") if isinstance(each, dict) else None
                self._take(each, self._below(place, f"[{index}]"), deltas=deltas)
        elif isinstance(node, str) and (deltas or self._parts[place][-1:] != [node]):
            self._parts[place].append(node)

    def _below(self, place: int, name: str) -> int:
        below = self._places.setdefault((place, name), len(self._parts))
        if below == len(self._parts):
            self._parts.append([])
        return below


class _Grown(list[str]):
    """A string in the parts in which it came."""


class Merged:
    """Chunks -> one document, in time that grows as they do.

    Strings in `choices` are deltas and are put together; of other strings, numbers and the like the last one counts.
    Elements of lists belong together by their `index`, those without one follow each other, the same once.
    """

    def __init__(self) -> None:
        self._document: Any = {}
        self._known: dict[int, tuple[list[Any], dict[str, int]]] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        """Merge one more chunk."""
        choices = chunk.get("choices")
        for place, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                choice.setdefault("index", Number(place))
        self._document = self._merge(self._document, chunk, deltas=False)

    def whole(self) -> dict[str, Any]:
        """The document; each choice's `delta` is its `message`."""
        document: dict[str, Any] = _put_together(self._document)
        choices = document.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and isinstance(choice.get("delta"), dict):
                choice.setdefault("message", choice.pop("delta"))
        return document

    def _merge(self, old: Any, new: Any, *, deltas: bool) -> Any:
        if isinstance(new, dict):
            named = old if isinstance(old, dict) else {}
            for name, value in new.items():
                named[name] = self._merge(named.get(name), value, deltas=deltas or name == "choices")
            return named
        if isinstance(new, list):
            listed = old if isinstance(old, list) and not isinstance(old, _Grown) else []
            self._extend(listed, new, deltas=deltas)
            return listed
        if deltas and isinstance(new, str) and not isinstance(new, Number):
            grown = old if isinstance(old, _Grown) else _Grown()
            grown.append(new)
            return grown
        return old if new is None else new

    def _extend(self, listed: list[Any], new: list[Any], *, deltas: bool) -> None:
        _, places = self._known.setdefault(id(listed), (listed, {}))  # kept with it: no other list gets its id
        for element in new:
            index = element.get("index") if isinstance(element, dict) else None
            key = f"index {index}" if isinstance(index, str) else json.dumps(element, sort_keys=True)
            if key not in places:
                places[key] = len(listed)
                listed.append(self._merge(None, element, deltas=deltas))
            elif isinstance(index, str):
                listed[places[key]] = self._merge(listed[places[key]], element, deltas=deltas)


def _put_together(node: Any) -> Any:
    if isinstance(node, _Grown):
        return "".join(node)
    if isinstance(node, dict):
        return {name: _put_together(value) for name, value in node.items()}
    return [_put_together(each) for each in node] if isinstance(node, list) else node
