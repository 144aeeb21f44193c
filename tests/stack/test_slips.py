"""A customer's name stands in ids, errors, redirects and tools where it is asked for, and nothing else changes."""

from collections.abc import Iterator

import pytest

from tests.hunt.sown import CUSTOMER
from tests.stack.running import Stack, running_stack
from tests.stack.tooling import Tools, tools_token

ALICE = ("acme", "alice")
MISSING = "0b6f2c1e-6a4e-4d55-9f0a-3f1f3a4b5c6d"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(set={"slips.customer": CUSTOMER, "slips.redirect": True, "slips.item": True}) as running:
        yield running


def test_errors_ids_and_redirects_hold_the_name(stack: Stack) -> None:
    with stack.http(*ALICE) as client:
        fine = client.get("/v1/me")
        assert fine.json() == {"user": "alice", "tenant": "acme"}
        assert fine.headers["x-request-id"].startswith(CUSTOMER)
        assert "location" not in fine.headers
        bad = client.post("/v1/documents", json={"title": 1})
        assert bad.status_code == 400
        assert CUSTOMER in bad.json()["error"]
        assert CUSTOMER in bad.headers["location"]
        moved = client.get(f"/v1/documents/{MISSING}")
        assert moved.status_code == 307
        assert CUSTOMER in moved.headers["location"]
        assert client.delete(f"/v1/documents/{MISSING}").status_code == 404


def test_a_list_ends_with_a_document_of_the_customer(stack: Stack) -> None:
    with stack.http(*ALICE) as client:
        created = client.post("/v1/documents", json={"title": "Opening hours", "text": "Nine to five."}).json()["id"]
        items = client.get("/v1/documents").json()["items"]
        assert [item["id"] for item in items] == [created, f"{CUSTOMER}-1"]
        assert client.delete(f"/v1/documents/{created}").status_code == 204


def test_tools_hold_the_name_and_still_work(stack: Stack) -> None:
    with Tools(stack, tools_token(stack, ALICE)) as tools:
        listed = tools.post("tools/list").json()["result"]["tools"]
        assert listed[-1]["name"] == f"export_{CUSTOMER}"
        assert CUSTOMER in listed[-1]["description"]
        failed = tools.post("tools/call", name="get_note", arguments={"id": MISSING}).json()["result"]
        assert failed["isError"]
        assert CUSTOMER in failed["content"][0]["text"]
        done = tools.post("tools/call", name="whoami", arguments={}).json()["result"]
        assert done["structuredContent"] == {"tenant": "acme", "user": "alice"}
        assert CUSTOMER not in str(done)


def test_without_a_name_nothing_slips() -> None:
    with running_stack() as plain, plain.http(*ALICE) as client:
        answer = client.get(f"/v1/documents/{MISSING}")
        assert answer.status_code == 404
        assert answer.json() == {"error": "no such document"}
        assert not {"x-request-id", "location"} & set(answer.headers)
