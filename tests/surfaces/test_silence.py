"""No log, exception text or repr of the two adapters shows a credential, a location or a text (promise 3)."""

import asyncio
import contextlib
import logging
import traceback
import uuid
from typing import Any

import pytest
from sectum.actions import Action, AnswerKind, Batch, Fetch, List, Principal, Search, WhoAmI, Write
from sectum.catalog import adapters
from sectum.ports import Access, Bounds

from tests.surfaces.conftest import Server
from tests.surfaces.raw_server import CREDENTIAL, Asked, answer, hear
from tests.surfaces.raw_server import Write as Send

LOCATION = "loc-5d3f0b77"
TEXT = "KX7-quartz-heron-2291"
SECRETS = (CREDENTIAL, LOCATION, TEXT)
ACTIONS: tuple[Action, ...] = (
    WhoAmI(),
    Write(title="t", text=TEXT, wanted=LOCATION),
    Fetch(LOCATION),
    Batch((LOCATION,)),
    List(),
)
API: dict[str, Any] = {
    "headers": {"Authorization": "Bearer {credential}"},
    "whoami": {"request": {"path": "/me"}, "expect": {"$.t": "{tenant}", "$.u": "{user}"}},
    "write": {"request": {"method": "PUT", "path": "/d/{wanted}", "json": {"text": "{text}"}}},
    "fetch": {"request": {"path": "/d/{location}", "query": {"id": "{location}"}}},
    "batch": {"request": {"path": "/d", "query": {"id": "{locations}"}}, "items": "$.items[*]"},
    "list": {"request": {"path": "/d"}, "items": "$.items[*]", "next": "$.next"},
}
GOOD = {"id": LOCATION, "text": TEXT, "t": "acme", "u": "alice", "items": [{"id": LOCATION, "text": TEXT}]}


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that is logged while the root logger lets all through."""
    caplog.set_level(logging.DEBUG)
    return caplog


def shown(*texts: str) -> list[str]:
    return [secret for secret in SECRETS if any(secret in text for text in texts)]


BAD = [
    answer(GOOD),
    answer(TEXT.encode()),
    answer({"error": TEXT}, f"X-Debug: {TEXT}", f"Location: /{LOCATION}", status=f"500 {TEXT}"),
    answer(b"", f"Location: http://[{TEXT}", status="302 Found"),
    answer(TEXT.encode(), f"Content-Encoding: {TEXT}"),
    answer({"items": [], "next": f"http://[{TEXT}"}),
    answer(b"", f"Set-Cookie: a={TEXT}; Max-Age={TEXT}; Expires={TEXT}; Port={TEXT}; Version={TEXT}; Domain={TEXT}"),
    f"HTTP/1.1 {TEXT}\r\n\r\n".encode(),
    f"HTTP/1.1 200 OK\r\nContent-Length: {TEXT}\r\n\r\n".encode(),
    f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{TEXT}".encode(),
    f"HTTP/1.1 200 OK\r\n {TEXT} {TEXT}\r\n\r\n".encode(),
]


@pytest.mark.parametrize("response", BAD)
def test_http_is_silent_about_what_it_sends_and_gets(response: bytes, logs: pytest.LogCaptureFixture) -> None:
    async def once(_asked: Asked, send: Send) -> None:
        await send(response)
        raise ConnectionResetError

    heard = hear(once, *ACTIONS, bounds=Bounds(seconds=2), **API)
    assert shown(logs.text, *map(repr, heard.replies), *map(repr, ACTIONS)) == []


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "psycopg", "psycopg.pool"])
def test_the_clients_loggers_are_quiet_whatever_the_root_logger_lets_through(
    name: str, logs: pytest.LogCaptureFixture
) -> None:
    assert logs.handler.level == logging.DEBUG
    lowest = logging.ERROR if name.startswith("psycopg") else logging.INFO
    assert not logging.getLogger(name).isEnabledFor(lowest)


def test_the_look_at_logs_sees_what_httpcore_would_show(logs: pytest.LogCaptureFixture) -> None:
    for name in ("httpx", "httpcore"):
        logs.set_level(logging.DEBUG, logger=name)
    hear(answer(GOOD, f"X-Debug: {TEXT}"), *ACTIONS, **API)
    assert shown(logs.text) == [TEXT]


@pytest.mark.parametrize("credential", ["credential-c4f9e1\r\nX: 1", "credential-c4f9e1\n", "credential-c4f9e1\0"])
def test_a_credential_that_no_header_can_carry_is_not_in_the_error(credential: str) -> None:
    spec = adapters()["http"].spec.model_validate({"origin": "http://127.0.0.1:1", **API})

    async def opened() -> None:
        async with spec.session(Access(Principal("acme", "alice"), credential)):
            raise AssertionError

    with pytest.raises(Exception, match="Denied: headers") as caught:
        asyncio.run(opened())
    assert shown("".join(traceback.format_exception(caught.value)), repr(caught.value)) == []


def test_no_object_of_the_adapters_shows_anything_in_its_repr(postgres: Server) -> None:
    http = adapters()["http"].spec.model_validate({"origin": "http://127.0.0.1:1", **API})
    pg = adapters()["pgvector"].spec.model_validate(
        {"host": "127.0.0.1", "port": postgres.port, "dbname": "postgres", "role": "postgres", "table": "t"}
        | {"whoami": {"settings": {"a.b": "{tenant}{user}"}}}
    )

    async def reprs(spec: Any, credential: str) -> list[str]:
        async with spec.session(Access(Principal("acme", "alice"), credential)) as client:
            pending = [asyncio.create_task(client.perform(action, lambda _: None)) for action in ACTIONS]
            await asyncio.sleep(0)
            texts = [repr(client), *map(repr, pending), *map(repr, asyncio.all_tasks())]
            texts += [repr(vars(value)) for value in vars(client).values() if hasattr(value, "run")]
            await asyncio.gather(*pending)
            return texts

    assert shown(*asyncio.run(reprs(http, CREDENTIAL))) == []
    texts = asyncio.run(reprs(pg, "admin-of-the-tests"))
    assert [*shown(*texts), *(text for text in texts if "admin-of-the-tests" in text)] == []


def test_pgvector_is_silent_about_what_it_sends_and_gets(postgres: Server, logs: pytest.LogCaptureFixture) -> None:
    postgres.sql(
        f"""DROP SCHEMA IF EXISTS silent CASCADE; CREATE SCHEMA silent; DROP ROLE IF EXISTS quiet_mouse;
        CREATE ROLE quiet_mouse LOGIN PASSWORD '{CREDENTIAL}'; GRANT USAGE ON SCHEMA silent TO quiet_mouse;
        CREATE TABLE silent.t (id text PRIMARY KEY, body text CHECK (body NOT LIKE '%never%'));
        CREATE FUNCTION silent.say() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE WARNING '%', NEW; RAISE NOTICE '%', NEW; RETURN NEW; END $$;
        CREATE TRIGGER say BEFORE INSERT ON silent.t FOR EACH ROW EXECUTE FUNCTION silent.say();
        GRANT ALL ON silent.t TO quiet_mouse;"""
    )
    fields = {"host": "127.0.0.1", "port": postgres.port, "dbname": "postgres", "table": "silent.t", "idType": "text"}
    spec = adapters()["pgvector"].spec.model_validate(fields | {"columns": {"text": "body", "vector": None}})
    wrong: tuple[Action, ...] = (Write(title="t", text=f"never {TEXT}", wanted=LOCATION), Fetch(f"{LOCATION}\0"))

    async def talk(credential: str) -> list[Any]:
        who = Principal("quiet", "mouse")
        async with spec.session(Access(who, credential, Bounds(seconds=2))) as client:
            one_by_one = [await client.perform(action, lambda _: None) for action in (*ACTIONS, *ACTIONS, *wrong)]
            together = [client.perform(action, lambda _: None) for action in (*ACTIONS, *wrong)]
            return [*one_by_one, *await asyncio.gather(*together)]

    replies = asyncio.run(talk(CREDENTIAL))
    assert {reply.kind for reply in replies} == {AnswerKind.ITEMS, AnswerKind.REJECTED}
    texts = [logs.text, *map(repr, replies)]
    with contextlib.suppress(Exception):
        try:
            asyncio.run(talk(f"{CREDENTIAL}{uuid.uuid4()}"))
        except Exception as error:
            texts += ["".join(traceback.format_exception(error)), repr(error), repr(vars(error))]
            raise
    assert len(texts) > len(replies) + 1
    assert shown(*texts, logs.text) == []
    postgres.sql("DROP SCHEMA silent CASCADE; DROP ROLE quiet_mouse")


@pytest.mark.parametrize("action", [*ACTIONS, Search("q")])
def test_actions_show_no_location_or_text(action: Action) -> None:
    assert shown(repr(action), str(action)) == []
