"""A field's path and the YAML that it is in -> line and column."""

from __future__ import annotations

import yaml


def place(text: str, field: str) -> tuple[int, int] | None:
    """Where the field stands, counted from one; of a missing field, where its parent does; None if it is no path."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    mark = None
    rest = field
    while node is not None and rest:
        step = _step(node, rest)
        if step is None:
            break
        node, mark, rest = step
    return (mark.line + 1, mark.column + 1) if mark is not None else None


def _step(node: yaml.Node, path: str) -> tuple[yaml.Node, yaml.Mark, str] | None:
    """One key or index further: its value, where it stands, and what is left of the path."""
    if isinstance(node, yaml.SequenceNode) and path.startswith("["):
        index, _, rest = path[1:].partition("]")
        if index.isdecimal() and int(index) < len(node.value):
            item = node.value[int(index)]
            return item, item.start_mark, rest.removeprefix(".")
        return None
    if isinstance(node, yaml.MappingNode):
        # Keys may hold dots (a JSONPath is one); the longest that fits is meant.
        for key, value in sorted(node.value, key=lambda pair: -len(str(pair[0].value))):
            name = str(key.value)
            rest = path.removeprefix(name)
            if path.startswith(name) and (not rest or rest[0] in ".["):
                return value, key.start_mark, rest.removeprefix(".")
    return None
