"""A good object -> what a compromised operator would make of it: one change each, and the fence that refuses it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.chart.cluster import OPERATOR
from tests.chart.samples import Document

GONE = object()
Part = str | int
Verb = Literal["create", "patch", "delete"]


@dataclass(frozen=True, slots=True)
class Escape:
    """What is tried, as whom, and the name of the validation that has to refuse it."""

    fence: str
    why: str
    document: Document
    verb: Verb = "create"
    patch: Document = field(default_factory=dict)
    account: str = OPERATOR

    def __str__(self) -> str:
        return f"{self.fence}: {self.why}"


def but(document: Document, *path: Part, to: Any) -> Document:
    """The document with another value in one place, with one more item in a list, or with nothing there."""
    made = copy.deepcopy(document)
    node: Any = made
    for part in path[:-1]:
        node = node[part]
    if to is GONE:
        del node[path[-1]]
    elif isinstance(node, list) and path[-1] == len(node):
        node.append(to)
    else:
        node[path[-1]] = to
    return made


def also(document: Document, *path: Part, item: Any) -> Document:
    """The document with one more item in one of its lists, or one more item as the list."""
    made = copy.deepcopy(document)
    node: Any = made
    for part in path[:-1]:
        node = node[part]
    node.setdefault(path[-1], []).append(item) if isinstance(node, dict) else node[int(path[-1])].append(item)
    return made
