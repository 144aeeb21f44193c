"""The gateway to the vector store keeps its contract, for the official client and for whoever sends worse."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.stack.running import Stack, running_stack
from tests.stack.tool_exposures import BAD_TOKENS
from tests.stack.tooling import DIMENSIONS, collections, http, records, vector

ALICE = ("acme", "alice")
BOB = ("globex", "bob")
HEAD = "/chroma/api/v2"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(set={"limits.vectors_bytes": 100_000}) as running:
        yield running


@pytest.fixture
def alice(stack: Stack) -> Iterator[httpx.Client]:
    with stack.http(*ALICE) as client:
        yield client


def test_records_are_added_found_and_deleted(alice: httpx.Client) -> None:
    at = records(alice, ALICE)
    first, second = (f"r{uuid.uuid4().hex}" for _ in range(2))
    both = {"ids": [first, second], "embeddings": [vector(1), vector(2)], "documents": ["one", "two"]}
    assert alice.post(f"{at}/add", json=both).status_code == 201
    assert alice.post(f"{at}/upsert", json={**both, "documents": ["one", "deux"]}).status_code == 200
    assert alice.get(f"{at}/count").json() == 2
    assert alice.post(f"{at}/get", json={"ids": [second]}).json()["documents"] == ["deux"]
    nearest = alice.post(f"{at}/query", json={"query_embeddings": [vector(1)], "n_results": 1}).json()
    assert (nearest["ids"], nearest["distances"]) == ([[first]], [[pytest.approx(0, abs=1e-5)]])
    assert alice.post(f"{at}/delete", json={"ids": [first, second]}).status_code == 200
    assert alice.get(f"{at}/count").json() == 0


def test_the_collection_is_there_from_the_start_with_its_dimensions(alice: httpx.Client) -> None:
    (collection,) = alice.get(collections(ALICE)).json()
    assert (collection["name"], collection["dimension"]) == ("notes", DIMENSIONS)
    assert collection["configuration_json"]["hnsw"]["space"] == "cosine"
    wrong = {"ids": ["x"], "embeddings": [[1.0, 2.0]]}
    assert alice.post(f"{collections(ALICE)}/{collection['id']}/add", json=wrong).status_code == 400


def test_the_token_says_who_one_is(alice: httpx.Client) -> None:
    identity = {"user_id": "alice", "tenant": "acme", "databases": ["alice"]}
    gateway = {"X-Tenant": "globex", "X-User": "bob"}
    assert alice.get(f"{HEAD}/auth/identity", headers=gateway).json() == identity


def test_another_tenant_or_database_is_forbidden_whatever_the_request(stack: Stack, alice: httpx.Client) -> None:
    with stack.http(*BOB) as bob:
        bobs = records(bob, BOB)
    for who in (BOB, ("acme", "amir"), ("globex", "alice"), ("default_tenant", "default_database"), ("no", "such")):
        at = f"{collections(who)}/{bobs.rpartition('/')[2]}"
        for method, path in (
            ("GET", collections(who).removesuffix("/collections")),
            ("GET", collections(who)),
            ("POST", collections(who)),
            ("GET", f"{collections(who)}/notes"),
            ("GET", f"{at}/count"),
            *(("POST", f"{at}/{verb}") for verb in ("add", "upsert", "get", "query", "delete")),
        ):
            answer = alice.request(method, path, json={"name": "notes"})
            assert answer.status_code == (404 if who == ("no", "such") else 403), (method, path)
    assert alice.get(f"{HEAD}/tenants/globex").status_code == 403


def test_a_collection_of_another_database_is_not_found_by_its_id(stack: Stack, alice: httpx.Client) -> None:
    with stack.http(*BOB) as bob:
        bobs = records(bob, BOB).rpartition("/")[2]
    for verb in ("add", "upsert", "get", "query", "delete"):
        body = {"ids": ["x"], "embeddings": [vector(1)], "query_embeddings": [vector(1)]}
        assert alice.post(f"{collections(ALICE)}/{bobs}/{verb}", json=body).status_code == 404
    assert alice.get(f"{collections(ALICE)}/{bobs}/count").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/tenants/acme/databases/%2e%2e/collections",
        "/tenants/acme/databases/alice%2f..%2fbob/collections",
        "/tenants/acme/databases/alice/collections/..%2f..%2fbob%2fcollections",
        "/tenants/acme/databases/alice/collections/notes%3fx",
        "/tenants",
        "/reset",
        "/tenants/acme/databases/alice/collections/notes/search",
    ],
)
def test_no_other_part_of_the_store_is_within_reach(alice: httpx.Client, path: str) -> None:
    for method in ("GET", "POST"):
        assert alice.request(method, HEAD + path).status_code in (403, 404, 405)


@pytest.mark.parametrize("path", ["/auth/identity", "/heartbeat", "/tenants/acme", "/tenants/acme/databases/alice"])
def test_nobody_comes_in_without_a_good_token(stack: Stack, path: str) -> None:
    bad = [make(stack) for kind, make in BAD_TOKENS.items() if kind != "for the API"]
    for token in (None, "x.y.z", stack.user(*ALICE).tools_token, *bad):
        with http(stack, token) as client:
            answer = client.get(HEAD + path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"


def test_what_is_too_large_is_refused_in_either_direction(alice: httpx.Client) -> None:
    at = records(alice, ALICE)
    ids = [f"r{uuid.uuid4().hex}" for _ in range(3)]
    large = {"ids": ids[:1], "embeddings": [vector(1)], "documents": ["x" * 100_000]}
    assert alice.post(f"{at}/add", json=large).status_code == 413
    for key in ids:
        record = {"ids": [key], "embeddings": [vector(1)], "documents": ["x" * 50_000]}
        assert alice.post(f"{at}/add", json=record).status_code == 201
    assert alice.post(f"{at}/get", json={"ids": ids[:1]}).status_code == 200
    assert alice.post(f"{at}/get", json={"ids": ids}).status_code == 502
    assert alice.post(f"{at}/delete", json={"ids": ids}).status_code == 200


OFFICIAL = """
import sys
import chromadb

host, port, token = sys.argv[1:]
client = chromadb.HttpClient(
    host=f"http://{host}:{port}/chroma",
    port=int(port),
    headers={"Authorization": f"Bearer {token}"},
    tenant="acme",
    database="alice",
    settings=chromadb.Settings(anonymized_telemetry=False),
)
more = client.get_or_create_collection("more", embedding_function=None)
more.add(ids=["a"], embeddings=[[1.0, 0.0]], documents=["text"])
assert more.get()["documents"] == ["text"]
print(sorted(collection.name for collection in client.list_collections()))
"""


def test_the_official_client_works_through_the_gateway(stack: Stack) -> None:
    # In a process of its own, for it leaves its connections open.
    where = urlsplit(stack.url)
    command = [sys.executable, "-c", OFFICIAL, str(where.hostname), str(where.port), stack.user(*ALICE).token]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "['more', 'notes']\n", done.stderr
