"""What a page offers to copy runs: each scenario passes against the hardened stack, with its hosts filled in."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sectum.scenario import parse
from sectum.testing import MemoryStore, memory_secrets, try_out

from tests.docs.test_pages import scenario_to_copy
from tests.quickstart.quick import ROOT
from tests.stack.running import Stack, running_stack

PAGES = [
    *sorted((ROOT / "docs" / "attacks").glob("*.md")),
    ROOT / "docs" / "surfaces" / "chroma.md",
    ROOT / "docs" / "surfaces" / "mcp.md",
]
"""The pages of http and pgvector show all that there is to set; the quickstart's own scenario runs these adapters. The
openai page's endpoint needs a language model: tests/llm."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as running:
        yield running


def here(stack: Stack, adapter: dict[str, Any]) -> dict[str, Any]:
    """The adapter with the stack's own addresses and settings in place of the page's examples."""
    for kind, spec in adapter.items():
        if "origin" in spec:
            spec["origin"] = stack.url
        if kind == "chroma":
            spec["dimensions"] = 256
        if kind == "mcp":
            spec["url"] = f"{stack.url}/mcp"
            spec["tokens"] |= {"issuer": stack.issuer["name"], "audience": stack.issuer["tools_audience"]}
    return adapter


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_scenario_that_a_page_offers_passes_on_the_hardened_stack(page: Path, stack: Stack) -> None:
    document = json.loads(json.dumps(scenario_to_copy(page).snapshot()))
    for surface in document["spec"]["surfaces"]:
        here(stack, surface["adapter"])
        surface["budget"]["inFlight"] = 4
    others = memory_secrets()

    def secret(name: str, key: str) -> bytes:
        if name == "sectum-surface-tools-issuer":
            return Path(stack.issuer["key_file"]).read_bytes()
        if name.startswith("sectum-surface-"):
            user = stack.user(*key.split("."))
            return (user.tools_token if name.startswith("sectum-surface-tools") else user.token).encode()
        return others(name, key)

    result = asyncio.run(try_out(parse(document), secret=secret, store=MemoryStore())).run
    wrong = [(row["surface"], row["phrasing"], row["reason"]) for row in result["rows"] if row["outcome"] != "Pass"]
    assert (wrong[:3], result["verdict"]) == ([], "Pass")
    assert len(result["rows"]) >= 6


def test_every_page_of_an_attack_is_run() -> None:
    assert {re.sub(r"\.md$", "", page.name) for page in PAGES} >= {
        page.stem for page in (ROOT / "docs" / "attacks").glob("*.md")
    }
