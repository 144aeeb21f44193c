"""Each setting, switched off alone, shows a document to exactly those it should not, and in exactly these ways."""

import uuid
from collections.abc import Callable

import httpx
import psycopg
import pytest

from tests.stack.running import Stack, running_stack
from tests.stack.tool_exposures import tool_exposures

OWNER = ("acme", "alice")
ASKERS = {"same": ("acme", "amir"), "other": ("globex", "bob")}
TITLE = "Copper kettle festival"
QUESTION = "What is the reference for the copper kettle festival?"
PARAPHRASE = "Tell me the reference of the copper kettle festival"
GATEWAY = {"X-Tenant": "acme", "X-User": "alice"}

# A way to look for the document: client, its id, what was sent; returns all that came back.
Look = Callable[[httpx.Client, str], str]
HTTP_LOOKS: dict[str, Look] = {
    "get": lambda http, key: http.get(f"/v1/documents/{key}").text,
    "batch": lambda http, key: http.post("/v1/documents/batch", json={"ids": [key]}).text,
    "list": lambda http, _: http.get("/v1/documents").text,
    "list of tenant/owner": lambda http, _: http.get("/v1/documents", params={"owner": "acme/alice"}).text,
    "list of owner": lambda http, _: http.get("/v1/documents", params={"owner": "alice"}).text,
    "search": lambda http, _: http.get("/v1/search", params={"q": QUESTION}).text,
    "chat": lambda http, _: chat(http, QUESTION, fresh=True),
    "get, headers": lambda http, key: http.get(f"/v1/documents/{key}", headers=GATEWAY).text,
    "list, headers": lambda http, _: http.get("/v1/documents", headers=GATEWAY).text,
    "batch, headers": lambda http, key: http.post("/v1/documents/batch", json={"ids": [key]}, headers=GATEWAY).text,
    "search, headers": lambda http, _: http.get("/v1/search", params={"q": QUESTION}, headers=GATEWAY).text,
    "chat, headers": lambda http, _: chat(http, QUESTION, fresh=True, headers=GATEWAY),
}

BOTH = ("same", "other")


def seen(*looks: str, by: tuple[str, ...]) -> set[tuple[str, str]]:
    return {(look, asker) for look in looks for asker in by}


# The headers change nothing unless they are trusted, so that a look with headers sees what the look without them sees.
EXPECTED: dict[str, set[tuple[str, str]]] = {
    "row_level_security": seen("sql", by=BOTH),
    "rls_per_user": seen("sql", by=("same",)),
    "object_owner_check": seen("get", "get, headers", by=BOTH),
    "batch_owner_check": seen("batch", "batch, headers", by=BOTH),
    "list_per_user": seen("list", "list, headers", "list of owner", "list of tenant/owner", by=("same",)),
    "tenant_from_token": seen(
        "get, headers", "list, headers", "batch, headers", "search, headers", "chat, headers", by=BOTH
    ),
    "owner_filter_checked": seen("list of tenant/owner", by=BOTH) | seen("list of owner", by=("same",)),
    "search_per_user": seen("search", "search, headers", by=BOTH),
    "retrieval_per_user": seen("chat", "chat, headers", by=("same",)),
    "retrieval_per_tenant": seen("chat", "chat, headers", by=BOTH),
    "cache_per_tenant": seen("cached", by=BOTH),
    "cache_per_user": seen("cached", by=("same",)),
}
ALL_LOOKS = {"sql", "cached", *HTTP_LOOKS}


def chat(http: httpx.Client, question: str, *, fresh: bool = False, headers: dict[str, str] | None = None) -> str:
    control = {"Cache-Control": "no-cache"} if fresh else {}
    return http.post("/v1/chat", json={"question": question}, headers={**control, **(headers or {})}).text


def exposures(stack: Stack) -> set[tuple[str, str]]:
    """Plant one document, look for it in every way as everybody, and return the looks that found it."""
    secret = f"ref{uuid.uuid4().hex}"
    with stack.http(*OWNER) as owner:
        text = f"The reference for the copper kettle festival is {secret}."
        key = owner.post("/v1/documents", json={"title": TITLE, "text": text}).json()["id"]
        found = {(look, "owner") for look, look_for in HTTP_LOOKS.items() if secret in look_for(owner, key)}
        found |= {("sql", "owner")} if secret in by_sql(stack, OWNER) else set()
        for asker, who in ASKERS.items():
            with stack.http(*who) as http:
                found |= {(look, asker) for look, look_for in HTTP_LOOKS.items() if secret in look_for(http, key)}
            found |= {("sql", asker)} if secret in by_sql(stack, who) else set()
        warm = owner.post("/v1/chat", json={"question": QUESTION}).json()
        assert secret in warm["answer"]
        assert warm["cached"] is False
        found |= {(look, "owner") for look in from_cache(owner, secret)}
        for asker, who in ASKERS.items():
            with stack.http(*who) as http:
                found |= {(look, asker) for look in from_cache(http, secret)}
    owner_looks = {look for look, asker in found if asker == "owner"}
    assert owner_looks == ALL_LOOKS, "the owner himself must find his document in every way"
    return {(look, asker) for look, asker in found if asker != "owner"}


def from_cache(http: httpx.Client, secret: str) -> set[str]:
    """Ask once, for the answer may go to a cache of the asker's own."""
    reply = http.post("/v1/chat", json={"question": PARAPHRASE}).json()
    return {"cached"} if reply["cached"] and secret in reply["answer"] else set()


def by_sql(stack: Stack, who: tuple[str, str]) -> str:
    with stack.sql(*who) as connection:
        return str(connection.execute("SELECT title, body FROM documents").fetchall())


@pytest.mark.parametrize("switch", EXPECTED)
def test_a_setting_switched_off_alone_exposes_exactly_what_it_guards(switch: str) -> None:
    with running_stack(set={f"security.{switch}": False}) as stack:
        assert exposures(stack) == EXPECTED[switch]
        assert tool_exposures(stack) == set()


def test_the_hardened_build_exposes_nothing() -> None:
    with running_stack() as stack:
        assert exposures(stack) == set()


def test_the_leaky_build_exposes_all_of_it() -> None:
    with running_stack(config="leaky") as stack:
        assert exposures(stack) >= set().union(*EXPECTED.values())


def test_two_builds_run_side_by_side() -> None:
    with running_stack() as hardened, running_stack(config="leaky") as leaky:
        assert hardened.url != leaky.url
        assert hardened.postgres["port"] != leaky.postgres["port"]
        for stack in (hardened, leaky):
            with stack.http(*OWNER) as http:
                assert http.get("/v1/me").json() == {"user": "alice", "tenant": "acme"}


def test_a_member_writes_own_rows_only() -> None:
    insert = "INSERT INTO documents (id, tenant, owner, title, body) VALUES (%s, %s, %s, 'note', 'text')"
    with running_stack() as stack, stack.sql(*OWNER) as alice, stack.http(*OWNER) as http:
        chosen = uuid.uuid4()
        alice.execute(insert, (chosen, "acme", "alice"))
        assert http.get(f"/v1/documents/{chosen}").json() == {"id": str(chosen), "title": "note", "text": "text"}
        for tenant, owner in (("acme", "amir"), ("globex", "bob"), ("globex", "alice")):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                alice.execute(insert, (uuid.uuid4(), tenant, owner))
        for forbidden in (
            "UPDATE documents SET owner = 'amir'",
            "UPDATE members SET tenant = 'globex'",
            "INSERT INTO members VALUES ('acme_alice2', 'globex', 'x')",
            "ALTER TABLE documents DISABLE ROW LEVEL SECURITY",
            "SET ROLE app",
            "SET ROLE assistant_owner",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                alice.execute(forbidden)
        assert alice.execute("SELECT role FROM members").fetchall() == [("acme_alice",)]
        with stack.sql("acme", "amir") as amir:
            assert amir.execute("DELETE FROM documents").rowcount == 0
        assert alice.execute("DELETE FROM documents").rowcount == 1


def test_the_service_is_neither_superuser_nor_owner_of_its_table() -> None:
    with running_stack() as stack, psycopg.connect(stack.admin_dsn) as admin:
        roles = admin.execute("SELECT rolname FROM pg_roles WHERE rolsuper OR rolbypassrls").fetchall()
        owner = admin.execute("SELECT tableowner, rowsecurity FROM pg_tables WHERE tablename = 'documents'").fetchall()
        forced = admin.execute("SELECT relforcerowsecurity FROM pg_class WHERE relname = 'documents'").fetchone()
    assert roles == [("postgres",)]
    assert owner == [("assistant_owner", True)]
    assert forced == (True,)
