"""An attack imports from a short list and nothing else: import-linter forbids by name, this test allows by name."""

import ast
from pathlib import Path

import pytest

ATTACKS = Path(__file__).parents[2] / "probes" / "src" / "sectum" / "attacks"
ALLOWED = {f"sectum.{name}" for name in ("actions", "errors", "markers", "plan", "ports", "stats")} | {
    "__future__", "collections", "dataclasses", "enum", "functools", "itertools", "json", "math", "re", "statistics",
    "string", "textwrap", "typing", "unicodedata",
}  # fmt: skip


def strangers(source: str) -> set[str]:
    """What the source imports, at any depth, that an attack has no business with."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return {name for name in names if not any(name == each or name.startswith(f"{each}.") for each in ALLOWED)}


@pytest.mark.parametrize("path", sorted(ATTACKS.glob("*.py")), ids=lambda path: path.name)
def test_an_attack_imports_only_from_the_list(path: Path) -> None:
    assert strangers(path.read_text()) == set()


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "from time import monotonic",
        "import httpx",
        "from sectum import manifest",
        "from sectum.surfaces import rest",
        "from . import entity_bleed",
        "def f():\n    import socket",
    ],
)
def test_the_list_keeps_out_what_it_should(line: str) -> None:
    assert strangers(line)
