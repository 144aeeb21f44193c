"""The endpoints keep their contract in the hardened build."""

import json
import uuid
from collections.abc import Iterator

import httpx
import jwt
import pytest

from tests.stack.running import Stack, running_stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(set={"limits.body_bytes": 4096}) as running:
        yield running


@pytest.fixture
def alice(stack: Stack) -> Iterator[httpx.Client]:
    with stack.http("acme", "alice") as http:
        yield http


def create(http: httpx.Client, title: str, text: str) -> str:
    response = http.post("/v1/documents", json={"title": title, "text": text})
    assert response.status_code == 201
    return str(response.json()["id"])


def test_a_document_is_created_read_and_deleted(alice: httpx.Client) -> None:
    key = create(alice, "Opening hours", "Nine to five.")
    assert alice.get(f"/v1/documents/{key}").json() == {"id": key, "title": "Opening hours", "text": "Nine to five."}
    assert alice.delete(f"/v1/documents/{key}").status_code == 204
    assert alice.get(f"/v1/documents/{key}").status_code == 404
    assert alice.delete(f"/v1/documents/{key}").status_code == 404


def test_what_is_missing_and_what_is_another_users_look_the_same(stack: Stack, alice: httpx.Client) -> None:
    key = create(alice, "Private", "Mine alone.")
    for who in (("acme", "amir"), ("globex", "bob")):
        with stack.http(*who) as http:
            theirs, missing = (http.get(f"/v1/documents/{each}") for each in (key, uuid.uuid4()))
            assert (theirs.status_code, theirs.text) == (missing.status_code, missing.text)
            assert theirs.status_code == 404
            assert http.delete(f"/v1/documents/{key}").status_code == 404
    assert alice.get(f"/v1/documents/{key}").status_code == 200


def test_a_list_goes_page_by_page_through_every_document_once(stack: Stack) -> None:
    with stack.http("hooli", "dina") as http:
        created = [create(http, f"Note {number}", "text") for number in range(7)]
        for owner in ({}, {"owner": "dina"}, {"owner": "hooli/dina"}):
            seen, url = [], str(httpx.URL("/v1/documents", params={"limit": 3, **owner}))
            while url:
                page = http.get(url).json()
                assert len(page["items"]) <= 3
                seen += [item["id"] for item in page["items"]]
                url = page["next"]
            assert seen == created[::-1]
        assert http.get("/v1/documents", params={"owner": "dave"}).json() == {"items": [], "next": None}


def test_a_batch_returns_what_there_is_in_the_order_asked_for(alice: httpx.Client) -> None:
    first, second = create(alice, "One", "1"), create(alice, "Two", "2")
    ids = [second, str(uuid.uuid4()), "no id", first, second]
    items = alice.post("/v1/documents/batch", json={"ids": ids}).json()["items"]
    assert [item["id"] for item in items] == [second, first]


def test_search_puts_the_nearest_document_first(alice: httpx.Client) -> None:
    create(alice, "Winter timetable", "Trains leave every hour.")
    wanted = create(alice, "Canteen menu", "Soup on Monday, pasta on Tuesday.")
    items = alice.get("/v1/search", params={"q": "what food does the canteen serve", "k": 2}).json()["items"]
    assert len(items) == 2
    assert items[0]["id"] == wanted
    assert items[0]["score"] > items[1]["score"]


def test_an_answer_quotes_its_sources_and_is_given_again_from_the_cache(alice: httpx.Client) -> None:
    key = create(alice, "Northern glacier archive", "The reference for the northern glacier archive is NG-4471.")
    first = alice.post("/v1/chat", json={"question": "What is the reference for the northern glacier archive?"}).json()
    assert "NG-4471" in first["answer"]
    assert {"id": key, "title": "Northern glacier archive"} in first["sources"]
    assert first["cached"] is False
    again = alice.post("/v1/chat", json={"question": "Tell me the reference of the northern glacier archive"}).json()
    assert again == {**first, "cached": True}
    alice.delete(f"/v1/documents/{key}")
    after = alice.post("/v1/chat", json={"question": "What is the reference for the northern glacier archive?"}).json()
    assert after["cached"] is False
    assert "NG-4471" not in after["answer"]


def test_no_cache_neither_reads_nor_writes_the_cache(alice: httpx.Client) -> None:
    create(alice, "Marble harbour treaty", "The reference for the marble harbour treaty is MH-1203.")
    ask = {"json": {"question": "What is the reference for the marble harbour treaty?"}}
    fresh = {"Cache-Control": "no-cache"}
    replies = [alice.post("/v1/chat", headers=headers, **ask).json() for headers in (fresh, {}, {}, fresh)]
    assert [reply["cached"] for reply in replies] == [False, False, True, False]
    assert all("MH-1203" in reply["answer"] for reply in replies)


def test_a_question_without_a_relevant_document_finds_nothing_and_is_not_cached(stack: Stack) -> None:
    with stack.http("initech", "chen") as http:
        replies = [http.post("/v1/chat", json={"question": "Who won the regatta?"}).json() for _ in range(2)]
    assert [(reply["sources"], reply["cached"]) for reply in replies] == [([], False)] * 2
    assert replies[0]["answer"].startswith("I found nothing")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/documents", b"{", 400),
        ("POST", "/v1/documents", b"[]", 400),
        ("POST", "/v1/documents", b'{"title": "x"}', 400),
        ("POST", "/v1/documents", b'{"title": 1, "text": "x"}', 400),
        ("POST", "/v1/documents", b'{"title": "x", "text": "a\\u0000b"}', 400),
        ("POST", "/v1/documents", b'{"title": "x", "text": "\\ud800"}', 400),
        ("POST", "/v1/documents", json.dumps({"title": "x" * 201, "text": "x"}).encode(), 400),
        ("POST", "/v1/documents", json.dumps({"title": "x", "text": "x" * 5000}).encode(), 413),
        ("POST", "/v1/documents/batch", b'{"ids": "x"}', 400),
        ("POST", "/v1/documents/batch", json.dumps({"ids": ["x"] * 101}).encode(), 400),
        ("GET", "/v1/documents?limit=0", b"", 400),
        ("GET", "/v1/documents?limit=x", b"", 400),
        ("GET", "/v1/documents?cursor=x", b"", 400),
        ("GET", "/v1/documents?owner=a/b/c", b"", 400),
        ("GET", "/v1/documents/not-an-id", b"", 404),
        ("GET", "/v1/search", b"", 400),
        ("GET", "/v1/search?q=x&k=51", b"", 400),
        ("POST", "/v1/chat", b'{"question": " "}', 400),
        ("GET", "/v1/nothing", b"", 404),
        ("PUT", "/v1/me", b"", 405),
    ],
)
def test_a_malformed_request_gets_a_json_error(
    alice: httpx.Client, method: str, path: str, body: bytes, status: int
) -> None:
    response = alice.request(method, path, content=body)
    assert response.status_code == status
    assert response.json()["error"]


def test_a_token_is_checked_in_every_part(stack: Stack) -> None:
    key = (stack.directory / "token.key").read_bytes()
    good = jwt.decode(stack.users[0].token, options={"verify_signature": False})
    cases = [
        (None, 401),
        ({**good, "exp": 1}, 401),
        ({**good, "iss": "https://elsewhere.example"}, 401),
        ({**good, "aud": "other-api"}, 401),
        ({name: good[name] for name in good if name != "tenant"}, 401),
        ({**good, "sub": "mallory"}, 403),
        ({**good, "tenant": "globex"}, 403),
        (good, 200),
    ]
    with httpx.Client(base_url=stack.url, trust_env=False) as http:
        assert http.get("/healthz").json() == {"status": "ok"}
        for claims, status in cases:
            headers = {} if claims is None else {"Authorization": f"Bearer {jwt.encode(claims, key, 'HS256')}"}
            assert http.get("/v1/me", headers=headers).status_code == status, claims
        other_key = jwt.encode(good, b"x" * 32, "HS256")
        assert http.get("/v1/me", headers={"Authorization": f"Bearer {other_key}"}).status_code == 401


def test_the_headers_of_a_gateway_are_ignored(stack: Stack, alice: httpx.Client) -> None:
    gateway = {"X-Tenant": "globex", "X-User": "bob"}
    assert alice.get("/v1/me", headers=gateway).json() == {"user": "alice", "tenant": "acme"}
