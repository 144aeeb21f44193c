"""Memories, conversations, notes and bulk uploads keep their contract in the hardened build."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from assistant.access import Identity, own
from assistant.config import load_settings
from assistant.documents import Documents
from assistant.embedding import Embedder, Vector
from assistant.ingestion import running_ingestion
from psycopg_pool import ConnectionPool

from tests.stack.running import STACK, Stack, running_stack

KEPT = ["/v1/agent/memories", "/v1/notes"]
BY_MEANING = {"/v1/agent/memories": ("/v1/agent/recall", "cue"), "/v1/notes": ("/v1/notes/search", "query")}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(set={"limits.body_bytes": 4096, "memory.consolidate_seconds": 0.3}) as running:
        yield running


@pytest.fixture
def alice(stack: Stack) -> Iterator[httpx.Client]:
    with stack.http("acme", "alice") as http:
        yield http
        for path in (*KEPT, "/v1/agent/threads", "/v1/documents"):
            for item in http.get(path, params={"limit": 200}).json()["items"]:
                http.delete(f"{path}/{item['id']}")
            assert http.get(path).json()["items"] == []


def create(http: httpx.Client, path: str, title: str, text: str) -> str:
    response = http.post(path, json={"title": title, "text": text})
    assert response.status_code == 201
    return str(response.json()["id"])


def recall(http: httpx.Client, path: str, text: str, k: int = 5) -> list[dict[str, str]]:
    search, name = BY_MEANING[path]
    items: list[dict[str, str]] = http.post(search, json={name: text, "k": k}).json()["items"]
    return items


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("path", KEPT)
def test_what_is_kept_is_read_listed_found_by_meaning_and_really_deleted(alice: httpx.Client, path: str) -> None:
    one = {"title": "Canteen menu\n\nand drinks", "text": "Soup on Monday.\n\nPasta on Tuesday."}
    key = create(alice, path, **one)
    other = create(alice, path, "Winter timetable", "Trains leave every hour.")
    assert alice.get(f"{path}/{key}").json() == {"id": key, **one}
    listed = alice.get(path).json()["items"]
    assert [item["id"] for item in listed] == [other, key]
    assert listed[1] == {"id": key, **one}
    assert len(alice.get(path, params={"limit": 1}).json()["items"]) == 1
    assert recall(alice, path, "what food does the canteen serve", k=1) == [{"id": key, **one}]
    assert alice.delete(f"{path}/{key}").status_code == 204
    assert alice.get(f"{path}/{key}").status_code == 404
    assert alice.delete(f"{path}/{key}").status_code == 404
    assert [item["id"] for item in alice.get(path).json()["items"]] == [other]
    assert "Soup" not in json.dumps(recall(alice, path, "what food does the canteen serve"))


@pytest.mark.parametrize("path", KEPT)
def test_what_is_missing_and_what_is_another_users_look_the_same(stack: Stack, alice: httpx.Client, path: str) -> None:
    key = create(alice, path, "Private", "Mine alone.")
    for who in (("acme", "amir"), ("globex", "bob")):
        with stack.http(*who) as http:
            theirs, missing = (http.get(f"{path}/{each}") for each in (key, uuid.uuid4()))
            assert (theirs.status_code, theirs.text) == (missing.status_code, missing.text)
            assert theirs.status_code == 404
            assert http.delete(f"{path}/{key}").status_code == 404
            assert http.get(path).json() == {"items": []}
            assert recall(http, path, "Private") == []
    assert alice.get(f"{path}/{key}").status_code == 200


def summaries(http: httpx.Client) -> list[dict[str, str]]:
    return [item for item in http.get("/v1/agent/memories").json()["items"] if item["title"].startswith("Summary")]


def test_the_summary_quotes_every_note_and_forgets_a_deleted_one_at_once(alice: httpx.Client) -> None:
    notes = {f"Note {number}": f"The code is {uuid.uuid4().hex}." for number in range(5)}
    keys = [create(alice, "/v1/agent/memories", title, text) for title, text in notes.items()]
    wait_until(lambda: all(text in json.dumps(summaries(alice)) for text in notes.values()))
    (summary,) = summaries(alice)
    assert all(f"{title}: {text}" in summary["text"] for title, text in notes.items())
    # The note itself comes before the summary that quotes it.
    titles = [item["title"] for item in recall(alice, "/v1/agent/memories", "Note 3", k=2)]
    assert titles[0].startswith("Note")
    gone, *left = notes.values()
    alice.delete(f"/v1/agent/memories/{keys[0]}")
    (after,) = summaries(alice)
    assert after["id"] == summary["id"]
    assert gone not in after["text"]
    assert all(text in after["text"] for text in left)
    assert gone not in json.dumps(recall(alice, "/v1/agent/memories", "Note 0", k=50))
    create(alice, "/v1/agent/memories", "Note 5", "The code is another.")
    wait_until(lambda: "another" in summaries(alice)[0]["text"])
    for key in keys[1:]:
        alice.delete(f"/v1/agent/memories/{key}")
    assert summaries(alice)[0]["text"] == "Note 5: The code is another."


def test_deleting_the_last_note_deletes_the_summary(alice: httpx.Client) -> None:
    key = create(alice, "/v1/agent/memories", "Only one", "Text.")
    wait_until(lambda: bool(summaries(alice)))
    alice.delete(f"/v1/agent/memories/{key}")
    assert alice.get("/v1/agent/memories").json() == {"items": []}
    assert recall(alice, "/v1/agent/memories", "Only one") == []


def test_a_note_deleted_before_it_was_summed_up_comes_back_in_no_summary(alice: httpx.Client) -> None:
    key = create(alice, "/v1/agent/memories", "Short-lived", "Text.")
    alice.delete(f"/v1/agent/memories/{key}")
    time.sleep(0.6)
    assert alice.get("/v1/agent/memories").json() == {"items": []}


def say(http: httpx.Client, thread: str, text: str) -> str:
    response = http.post(f"/v1/agent/threads/{thread}/messages", json={"text": text})
    assert response.status_code == 200
    assert response.json()["id"] == thread
    return str(response.json()["reply"])


def test_a_conversation_is_kept_replied_to_from_memory_listed_and_deleted(alice: httpx.Client) -> None:
    first = say(alice, "trip", "What is the reference for the amber kettle archive?")
    assert "amber kettle archive?" in first
    create(alice, "/v1/agent/memories", "Amber kettle archive", "The reference is AK-77.")
    second = say(alice, "trip", "Tell me the reference of the amber kettle archive")
    assert second == "Amber kettle archive: The reference is AK-77."
    wanted = {
        "id": "trip",
        "messages": [
            "What is the reference for the amber kettle archive?",
            first,
            "Tell me the reference of the amber kettle archive",
            second,
        ],
    }
    assert alice.get("/v1/agent/threads/trip").json() == wanted
    say(alice, "second", "Who won the regatta?")
    listed = alice.get("/v1/agent/threads").json()["items"]
    assert [item["id"] for item in listed] == ["second", "trip"]
    assert listed[1] == wanted
    assert alice.delete("/v1/agent/threads/trip").status_code == 204
    assert alice.get("/v1/agent/threads/trip").status_code == 404
    assert alice.delete("/v1/agent/threads/trip").status_code == 404
    assert [item["id"] for item in alice.get("/v1/agent/threads").json()["items"]] == ["second"]
    assert "regatta" not in say(alice, "trip", "Good morning")
    assert len(alice.get("/v1/agent/threads/trip").json()["messages"]) == 2


def test_a_thread_of_the_same_name_is_another_thread_for_another_user(stack: Stack, alice: httpx.Client) -> None:
    say(alice, "plans", "Mine alone.")
    with stack.http("acme", "amir") as amir:
        assert amir.get("/v1/agent/threads/plans").status_code == 404
        assert amir.delete("/v1/agent/threads/plans").status_code == 404
        say(amir, "plans", "Something else.")
        assert "Mine alone." not in amir.get("/v1/agent/threads/plans").text
        assert amir.delete("/v1/agent/threads/plans").status_code == 204
    assert "Mine alone." in alice.get("/v1/agent/threads/plans").text


def test_with_unbound_threads_others_go_on_in_one_but_neither_list_nor_delete_it() -> None:
    with (
        running_stack(set={"security.thread_bound_to_user": False}) as stack,
        stack.http("acme", "alice") as alice,
        stack.http("globex", "bob") as bob,
    ):
        say(alice, "plans", "Mine alone.")
        say(bob, "plans", "And mine.")
        assert "And mine." in alice.get("/v1/agent/threads/plans").text
        assert bob.get("/v1/agent/threads").json() == {"items": []}
        assert bob.delete("/v1/agent/threads/plans").status_code == 404
        assert alice.delete("/v1/agent/threads/plans").status_code == 204
        assert bob.get("/v1/agent/threads/plans").status_code == 404


def ingest(http: httpx.Client, title: str, text: str) -> str:
    response = http.post("/v1/ingest", json={"title": title, "text": text})
    assert response.status_code == 202
    return str(response.json()["id"])


def test_an_upload_becomes_a_document_under_the_id_that_was_returned(stack: Stack, alice: httpx.Client) -> None:
    key = ingest(alice, "Marble anvil audit", "The reference for the marble anvil audit is MA-9.")
    wait_until(lambda: alice.get(f"/v1/documents/{key}").status_code == 200)
    assert [item["id"] for item in alice.get("/v1/documents").json()["items"]] == [key]
    question = {"question": "What is the reference for the marble anvil audit?"}
    assert alice.post("/v1/chat", json=question).json()["sources"] == [{"id": key, "title": "Marble anvil audit"}]
    with stack.sql("acme", "alice") as connection:
        assert connection.execute("SELECT tenant, owner FROM documents").fetchall() == [("acme", "alice")]
    with stack.http("acme", "amir") as amir:
        assert amir.get(f"/v1/documents/{key}").status_code == 404
    assert alice.delete(f"/v1/documents/{key}").status_code == 204
    assert alice.get(f"/v1/documents/{key}").status_code == 404


def test_an_upload_deleted_at_once_never_turns_up(alice: httpx.Client) -> None:
    keys = [ingest(alice, f"Bulk {number}", "Text.") for number in range(30)]
    assert [alice.delete(f"/v1/documents/{key}").status_code for key in keys] == [204] * 30
    time.sleep(0.3)
    assert alice.get("/v1/documents").json()["items"] == []


def test_an_upload_deleted_while_it_waits_is_never_filed(stack: Stack) -> None:
    released = threading.Event()

    class SlowEmbedder(Embedder):
        def document(self, title: str, body: str) -> Vector:
            released.wait(10)
            return super().document(title, body)

    alice, amir = Identity("acme", "alice"), Identity("acme", "amir")
    security = load_settings(STACK / "hardened.toml").security
    with ConnectionPool(stack.admin_dsn, kwargs={"autocommit": True}, open=False) as pool:
        documents = Documents(pool)
        with running_ingestion(documents=documents, embedder=SlowEmbedder(), security=security) as ingestion:
            deleted, left = (ingestion.submit(alice, title="Bulk", text="Text.") for _ in range(2))
            assert not ingestion.cancel(amir, deleted)
            assert ingestion.cancel(alice, deleted)
            assert not ingestion.cancel(alice, deleted)
            released.set()
        assert [document.id for document in documents.page(own(alice), limit=9, after=None).items] == [left]
        documents.delete(alice, left)


def test_requests_at_the_same_time_lose_nothing(stack: Stack, alice: httpx.Client) -> None:
    def work(number: int) -> tuple[str, str, str]:
        with stack.http("acme", "alice") as http:
            keys = create(http, KEPT[0], f"Note {number}", "Text."), create(http, KEPT[1], f"Note {number}", "Text.")
            recall(http, KEPT[0], "Note")
            recall(http, KEPT[1], "Note")
            say(http, "together", f"Message {number}.")
            return *keys, ingest(http, f"Bulk {number}", "Text.")

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(work, range(40)))
    wait_until(lambda: alice.get(f"/v1/documents/{made[-1][2]}").status_code == 200)
    for path, keys in zip((*KEPT, "/v1/documents"), zip(*made, strict=True), strict=True):
        listed = {item["id"] for item in alice.get(path, params={"limit": 200}).json()["items"]}
        assert listed >= set(keys), path
    said = alice.get("/v1/agent/threads/together").json()["messages"]
    assert {f"Message {number}." for number in range(40)} <= set(said)
    assert len(said) == 80


def test_each_start_is_empty(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    paths = (*KEPT, "/v1/agent/threads", "/v1/documents")
    for _ in range(2):
        with running_stack(directory=tmp_path) as stack, stack.http("acme", "alice") as alice:
            assert [alice.get(path).json()["items"] for path in paths] == [[], [], [], []]
            for path in KEPT:
                create(alice, path, "Title", "Text.")
            say(alice, "trip", "Text.")
            ingest(alice, "Title", "Text.")


LONG = json.dumps({"title": "x", "text": "x" * 5000}).encode()


@pytest.mark.parametrize("path", ["/v1/agent/memories", "/v1/notes", "/v1/ingest"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"title": "x"}', 400),
        (b'{"title": "x", "text": " "}', 400),
        (b'{"title": "x", "text": "a\\u0000b"}', 400),
        (json.dumps({"title": "x" * 201, "text": "x"}).encode(), 400),
        (LONG, 413),
    ],
)
def test_what_cannot_be_kept_is_refused(alice: httpx.Client, path: str, body: bytes, status: int) -> None:
    response = alice.post(path, content=body)
    assert response.status_code == status
    assert response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/agent/memories?limit=0", b"", 400),
        ("GET", "/v1/agent/memories?limit=201", b"", 400),
        ("GET", "/v1/agent/memories/not-an-id", b"", 404),
        ("POST", "/v1/agent/recall", b'{"cue": ""}', 400),
        ("POST", "/v1/agent/recall", b'{"cue": "x", "k": 0}', 400),
        ("POST", "/v1/agent/recall", b'{"cue": "x", "k": true}', 400),
        ("POST", "/v1/agent/recall", b'{"cue": "x", "k": 51}', 400),
        ("POST", "/v1/agent/recall", json.dumps({"cue": "x" * 2001}).encode(), 400),
        ("POST", "/v1/agent/threads/a%20b/messages", b'{"text": "x"}', 400),
        ("POST", f"/v1/agent/threads/{'x' * 101}/messages", b'{"text": "x"}', 400),
        ("POST", "/v1/agent/threads/trip/messages", b'{"text": 1}', 400),
        ("POST", "/v1/agent/threads/trip/messages", LONG, 413),
        ("GET", "/v1/agent/threads/nothing", b"", 404),
        ("DELETE", "/v1/agent/threads/nothing", b"", 404),
        ("GET", "/v1/agent/threads?limit=x", b"", 400),
        ("GET", "/v1/notes?limit=x", b"", 400),
        ("GET", "/v1/notes/not-an-id", b"", 404),
        ("DELETE", "/v1/notes/not-an-id", b"", 404),
        ("POST", "/v1/notes/search", b'{"query": 1}', 400),
        ("PUT", "/v1/notes", b"", 405),
    ],
)
def test_a_malformed_request_gets_a_json_error(
    alice: httpx.Client, method: str, path: str, body: bytes, status: int
) -> None:
    response = alice.request(method, path, content=body)
    assert response.status_code == status
    assert response.json()["error"]


@pytest.mark.parametrize("path", ["/v1/agent/memories", "/v1/agent/threads", "/v1/notes"])
def test_nothing_is_shown_without_a_token(stack: Stack, path: str) -> None:
    with httpx.Client(base_url=stack.url, trust_env=False) as http:
        assert http.get(path).status_code == 401
