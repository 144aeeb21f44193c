"""The tools keep their contract, for the official client and for whoever sends worse."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.stack.running import NO_TLS, Stack, running_stack
from tests.stack.tool_exposures import BAD_TOKENS
from tests.stack.tooling import SESSION, Tools, http, minted, tools_token

ALICE = ("acme", "alice")
BOB = ("globex", "bob")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(set={"limits.body_bytes": 8192}) as running:
        yield running


@asynccontextmanager
async def official(stack: Stack, who: tuple[str, str]) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {tools_token(stack, who)}"}
    async with (
        httpx2.AsyncClient(headers=headers, verify=NO_TLS, trust_env=False) as web,
        Client(streamable_http_client(f"{stack.url}/mcp", http_client=web)) as client,
    ):
        yield client


async def keep_a_note(stack: Stack) -> None:
    async with official(stack, ALICE) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {"whoami", "save_note", "get_note", "list_notes", "find_notes", "delete_note"}
        assert (await client.call_tool("whoami")).structured_content == {"tenant": "acme", "user": "alice"}
        saved = await client.call_tool("save_note", {"title": "Opening hours", "text": "Nine to five."})
        assert saved.structured_content is not None
        note = {"id": saved.structured_content["id"], "title": "Opening hours", "text": "Nine to five."}
        got = await client.call_tool("get_note", {"id": note["id"]})
        assert got.structured_content == json.loads(got.content[0].text) == note  # type: ignore[union-attr]
        assert (await client.call_tool("list_notes")).structured_content == {"items": [note]}
        found = await client.call_tool("find_notes", {"query": "when is it open"})
        assert found.structured_content == {"items": [note]}
        with_own_name = await client.call_tool("list_notes", {"tenant": "acme", "user": "alice"})
        assert with_own_name.structured_content == {"items": [note]}
        async with official(stack, BOB) as other:
            await refused(other, note["id"])
        assert not (await client.call_tool("delete_note", {"id": note["id"]})).is_error
        assert (await client.call_tool("list_notes")).structured_content == {"items": []}


async def refused(client: Client, key: str) -> None:
    """What is another's and what is missing look the same."""
    for tool in ("get_note", "delete_note"):
        theirs, missing = [await client.call_tool(tool, {"id": each}) for each in (key, str(uuid.uuid4()))]
        assert theirs.is_error
        assert theirs == missing
        assert "no such note" in str(theirs.content)
    named = await client.call_tool("get_note", {"id": key, "tenant": "acme", "user": "alice"})
    assert named.is_error
    assert named.structured_content is None


def test_the_official_client_keeps_finds_and_deletes_a_note(stack: Stack) -> None:
    asyncio.run(keep_a_note(stack))


def test_honest_callers_are_served_by_the_build_with_every_weakness() -> None:
    async def both(running: Stack) -> None:
        await asyncio.gather(*(mine(running, who, 1000 * number) for number, who in enumerate((ALICE, BOB), start=1)))

    async def mine(running: Stack, who: tuple[str, str], first: int) -> None:
        await asyncio.to_thread(work, running, who, first)

    def work(running: Stack, who: tuple[str, str], first: int) -> None:
        with Tools(running, tools_token(running, who)) as tools:
            for number in range(20):
                reply = tools.call("whoami", request_id=first + number).json()["result"]
                assert reply["structuredContent"] == {"tenant": who[0], "user": who[1]}

    with running_stack(config="leaky") as running:
        asyncio.run(both(running))


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_token_that_is_not_good_is_refused(stack: Stack, kind: str) -> None:
    assert_refused(stack, BAD_TOKENS[kind](stack))


def test_a_request_without_a_token_or_with_half_a_token_is_refused(stack: Stack) -> None:
    for token in (None, "x", "x.y.z", tools_token(stack, ALICE)[:-4]):
        assert_refused(stack, token)


def assert_refused(stack: Stack, token: str | None) -> None:
    with Tools(stack, tools_token(stack, ALICE)) as good, http(stack, token) as client:
        for headers in ({}, {SESSION: good.session}):
            for method in ("POST", "GET", "DELETE"):
                answer = client.request(method, "/mcp", json={}, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert good.result("whoami") == {"tenant": "acme", "user": "alice"}


def test_a_token_of_the_testers_own_making_is_as_good_as_the_stacks(stack: Stack) -> None:
    with Tools(stack, minted(stack, BOB)) as tools:
        assert tools.result("whoami") == {"tenant": "globex", "user": "bob"}
    with Tools(stack, minted(stack, ("acme", "nobody"))) as nobody:
        assert nobody.status == 403


def test_a_session_is_for_the_user_who_began_it(stack: Stack) -> None:
    with Tools(stack, tools_token(stack, ALICE)) as alice:
        for who in (BOB, ("acme", "amir")):
            with Tools(stack, tools_token(stack, who), session=alice.session) as thief:
                assert thief.call("whoami").status_code == 404
                assert thief.http.delete("/mcp").status_code == 404
        with Tools(stack, minted(stack, ALICE), session=alice.session) as renewed:
            assert renewed.result("whoami")["user"] == "alice"
        assert alice.http.delete("/mcp").status_code == 200
        assert alice.call("whoami").status_code == 404


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"title": "", "text": "x"}, "title must be a text that is not empty"),
        ({"title": "x", "text": "\x00"}, "text holds a character that cannot be kept"),
        ({"title": "x" * 201, "text": "x"}, "title is longer than 200 characters"),
        ({"title": "x"}, "text"),
    ],
)
def test_an_argument_that_cannot_be_is_an_error_of_the_tool(stack: Stack, arguments: dict[str, Any], says: str) -> None:
    with Tools(stack, tools_token(stack, ALICE)) as tools:
        result = tools.call("save_note", **arguments).json()["result"]
        assert result["isError"] is True
        assert says in result["content"][0]["text"]


def test_what_the_endpoint_does_not_do_has_a_status_of_its_own(stack: Stack) -> None:
    with Tools(stack, tools_token(stack, ALICE)) as tools:
        assert tools.http.get("/mcp").status_code == 405
        assert tools.call("save_note", title="long", text="x" * 9000).status_code == 413
        assert tools.http.post("/mcp", json={}, headers={"mcp-protocol-version": "2026-07-28"}).status_code == 400
        assert tools.http.post("/mcp", content=b"{", headers={"content-type": "application/json"}).status_code == 400
