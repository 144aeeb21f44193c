"""The pgvector adapter against a real PostgreSQL: what it asks, as whom, and what it makes of every refusal."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from sectum.actions import (
    Action,
    AnswerKind,
    Ask,
    Batch,
    Delete,
    Fetch,
    List,
    Principal,
    Reply,
    Search,
    Session,
    Verb,
    WhoAmI,
    Write,
)
from sectum.catalog import adapters
from sectum.errors import SurfaceFault
from sectum.ports import Access, AdapterSpec, Bounds
from sectum.vectors import hashed_words

from tests.surfaces.conftest import Server

ALICE, BOB = Principal("acme", "alice"), Principal("globex", "bob")
PASSWORD = "pw-77aa31"
SCHEMA = f"""
DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app;
CREATE TABLE app.documents (id uuid PRIMARY KEY, tenant text, owner text, title text, body text, embedding vector(64));
CREATE TABLE app.notes (id bigserial PRIMARY KEY, tenant text, owner text, title text, body text);
CREATE TABLE app.names (id text PRIMARY KEY, tenant text, owner text, title text, body text);
DO $$ DECLARE r text; BEGIN
  FOREACH r IN ARRAY ARRAY['acme_alice', 'globex_bob'] LOOP
    EXECUTE format('DROP ROLE IF EXISTS %I', r);
    EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', r, '{PASSWORD}');
    EXECUTE format('GRANT USAGE ON SCHEMA app TO %I', r);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON app.documents, app.notes, app.names TO %I', r);
    EXECUTE format('GRANT USAGE ON SEQUENCE app.notes_id_seq TO %I', r);
  END LOOP; END $$;
"""
BY_ROLE = """
ALTER TABLE app.documents ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.documents USING (tenant || '_' || owner = current_user);
"""
BY_SETTING = """
ALTER TABLE app.documents ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.documents USING (tenant = current_setting('app.tenant', true));
"""
ROW = {"tenant": "{tenant}", "owner": "{user}", "title": "{title}"}
TENANT = {"app.tenant": "{tenant}"}
CLAIM = {"name": "tenant-setting", "settings": {"app.tenant": "{owner.tenant}"}}

Body = Callable[[Session], Awaitable[Any]]


@pytest.fixture
def server(postgres: Server) -> Iterator[Server]:
    postgres.sql(f"DROP OWNED BY {', '.join(_roles(postgres))} CASCADE" if _roles(postgres) else "SELECT 1")
    postgres.sql(SCHEMA)
    yield postgres
    gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename IN ('acme_alice', 'globex_bob')"
    deadline = time.monotonic() + 5  # a backend takes a moment to end after its client said goodbye
    while not postgres.sql(gone)[0][0]:
        assert time.monotonic() < deadline, "a session left a connection behind"
        time.sleep(0.02)


def _roles(server: Server) -> list[str]:
    return [name for (name,) in server.sql("SELECT rolname FROM pg_roles WHERE rolname IN ('acme_alice','globex_bob')")]


def spec(server: Server, **changes: Any) -> AdapterSpec:
    fields: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "dbname": "postgres",
        "table": "app.documents",
        "columns": {"id": "id", "text": "body", "vector": "embedding"},
        "dimensions": 64,
        "values": ROW,
        **changes,
    }
    return adapters()["pgvector"].spec.model_validate(fields)


async def within(
    spec: AdapterSpec, body: Body, *, who: Principal = ALICE, bounds: Bounds | None = None, password: str = PASSWORD
) -> Any:
    async with spec.session(Access(who, password, bounds or Bounds())) as session:
        return await body(session)


def perform(
    spec: AdapterSpec, *actions: Action, who: Principal = ALICE, bounds: Bounds | None = None
) -> tuple[list[Reply], str]:
    pieces: list[str] = []

    async def body(session: Session) -> list[Reply]:
        return [await session.perform(action, pieces.append) for action in actions]

    return asyncio.run(within(spec, body, who=who, bounds=bounds)), "".join(pieces)


def doc(text: str = "a note on herons", wanted: str | None = None) -> Write:
    return Write(title="Note", text=text, wanted=wanted or str(uuid.uuid4()))


def locations(reply: Reply) -> list[str]:
    return sorted(item.location for item in reply.items or ())


# --- verbs


@pytest.mark.parametrize("table", ["documents", "notes", "names"])
def test_a_document_is_written_read_in_every_way_and_deleted(server: Server, table: str) -> None:
    id_type = {"documents": "uuid", "notes": "bigint", "names": "text"}[table]
    vector = "embedding" if table == "documents" else None
    columns = {"id": "id", "text": "body", "vector": vector}
    place = spec(server, table=f"app.{table}", idType=id_type, columns=columns)
    (wrote,), _ = perform(place, doc("KX7 heron"))
    assert wrote.kind is AnswerKind.ITEMS
    where = wrote.location or ""
    reads: list[Action] = [Fetch(where), Batch((where,)), List(), *([Search("heron")] if vector else [])]
    replies, text = perform(place, *reads)
    assert [(reply.kind, locations(reply)) for reply in replies] == [(AnswerKind.ITEMS, [where])] * len(reads)
    assert text.count("KX7 heron\n") == len(reads)
    replies, _ = perform(place, Delete(where), Delete(where), Fetch(where), List())
    assert [reply.kind.value for reply in replies] == ["empty", "not-found", "empty", "empty"]
    assert (Verb.SEARCH in place.verbs()) is bool(vector)
    assert place.client_chooses_location() is (table != "notes")


def test_the_further_columns_are_filled(server: Server) -> None:
    wanted = str(uuid.uuid4())
    perform(spec(server), doc(wanted=wanted))
    assert server.sql("SELECT id::text, tenant, owner, title FROM app.documents") == [(wanted, "acme", "alice", "Note")]


@pytest.mark.parametrize("distance", ["cosine", "l2", "inner"])
def test_a_search_finds_the_nearest_words_first(server: Server, distance: str) -> None:
    texts = ["grey herons wade in the river", "quarterly revenue of the bakery", "a heron by the river bank"]
    place = spec(server, distance=distance, topK=2)
    replies, _ = perform(place, *[doc(text) for text in texts], Search("heron river bank"))
    assert [item.text for item in replies[-1].items or ()] == [texts[2], texts[0]]


@pytest.mark.parametrize(("distance", "first"), [("cosine", "short"), ("l2", "near"), ("inner", "long")])
def test_a_search_orders_by_the_distance_that_the_scenario_names(server: Server, distance: str, first: str) -> None:
    asked = hashed_words("heron", 64)
    place = next(index for index, value in enumerate(asked) if value)
    rows = {"short": (0.01, 0.0), "near": (0.95, 0.31), "long": (9.0, 4.36)}  # along the question, across it
    for name, (along, across) in rows.items():
        vector = [0.0] * 64
        vector[place], vector[place - 1] = along * asked[place], across
        server.sql(f"INSERT INTO app.documents (id, body, embedding) VALUES (gen_random_uuid(), '{name}', '{vector}')")
    (reply,), _ = perform(spec(server, distance=distance), Search("heron"))
    assert next(item.text for item in reply.items or ()) == first


def test_names_that_need_quotes_are_quoted(server: Server) -> None:
    server.sql('CREATE TABLE app."My Docs; DROP" ("Id $1" text, "It\'s" text)')
    server.sql('GRANT ALL ON app."My Docs; DROP" TO acme_alice')
    columns = {"id": "Id $1", "text": "It's", "vector": None}
    place = spec(server, table="app.My Docs; DROP", columns=columns, idType="text", values={})
    evil = "'; DROP TABLE app.documents; --"
    replies, _ = perform(place, doc(evil, wanted=evil), Fetch(evil), Batch((evil, "%s")), Delete(evil))
    assert [reply.kind.value for reply in replies] == ["items", "items", "items", "empty"]


def test_a_unix_socket_is_reached_by_its_folder(server: Server) -> None:
    replies, _ = perform(spec(server, host=str(server.sockets)), WhoAmI())
    assert replies[0].identity is True


# --- isolation is the customer's


def both(server: Server, **changes: Any) -> tuple[Reply, ...]:
    """Alice writes one document; what Bob gets by id, batch, list, search and by claim."""
    wanted = str(uuid.uuid4())
    place = spec(server, claims=[CLAIM], **changes)
    perform(place, doc("a heron", wanted))
    actions = [Fetch(wanted), Batch((wanted,)), List(), Search("a heron")]
    claimed = [Fetch(wanted, claim="tenant-setting", as_if=ALICE), List(claim="tenant-setting", as_if=ALICE)]
    replies, _ = perform(place, *actions, *claimed, List(), who=BOB)
    return tuple(replies)


def test_without_row_level_security_all_is_seen_because_no_filter_is_added(server: Server) -> None:
    assert {reply.kind for reply in both(server)} == {AnswerKind.ITEMS}


def test_row_level_security_by_role_hides_all_and_a_claim_changes_nothing(server: Server) -> None:
    server.sql(BY_ROLE)
    assert {reply.kind for reply in both(server)} == {AnswerKind.EMPTY}


def test_row_level_security_by_a_setting_is_got_round_by_a_claim_for_one_statement_only(server: Server) -> None:
    server.sql(BY_SETTING)
    kinds = [reply.kind.value for reply in both(server, settings=TENANT)]
    assert kinds == ["empty"] * 4 + ["items"] * 2 + ["empty"]


def test_what_a_policy_or_a_privilege_refuses_is_denied(server: Server) -> None:
    server.sql(BY_ROLE)
    server.sql("REVOKE DELETE ON app.documents FROM acme_alice")
    foreign = spec(server, values={**ROW, "tenant": "globex"})
    replies, _ = perform(foreign, doc(), Delete(str(uuid.uuid4())))
    assert [reply.kind for reply in replies] == [AnswerKind.DENIED] * 2


# --- identity


def test_whoami_proves_role_and_settings(server: Server) -> None:
    place = spec(server, settings=TENANT, whoami={"settings": TENANT})
    assert perform(place, WhoAmI())[0][0].identity is True


def test_whoami_fails_where_the_session_has_other_settings(server: Server) -> None:
    for settings in ({}, {"app.tenant": "globex"}):
        place = spec(server, settings=settings, whoami={"settings": TENANT})
        assert perform(place, WhoAmI())[0][0].identity is False


def test_whoami_fails_where_the_server_makes_the_login_another_role(server: Server) -> None:
    server.sql("GRANT globex_bob TO acme_alice; ALTER ROLE acme_alice SET role = globex_bob")
    assert perform(spec(server), WhoAmI())[0][0].identity is False


def test_a_setting_with_every_sign_in_it_arrives(server: Server) -> None:
    odd = {"app.odd": "%s '\\ \" {tenant}"}
    assert perform(spec(server, settings=odd, whoami={"settings": odd}), WhoAmI())[0][0].identity is True


# --- refusals

REFUSED = [
    ({"table": "app.nothing"}, List(), AnswerKind.REJECTED),
    ({"columns": {"id": "id", "text": "nothing"}}, List(), AnswerKind.REJECTED),
    ({"dimensions": 65}, doc(), AnswerKind.REJECTED),
    ({"dimensions": 65}, Search("x"), AnswerKind.REJECTED),
    ({"table": "pg_authid", "columns": {"id": "oid", "text": "rolname"}, "idType": "text"}, List(), AnswerKind.DENIED),
    ({}, Fetch("no-uuid"), AnswerKind.REJECTED),
    ({}, Batch((str(uuid.uuid4()), "no-uuid")), AnswerKind.REJECTED),
    ({"table": "app.notes", "idType": "bigint"}, Fetch("1 OR 1=1"), AnswerKind.REJECTED),
    ({"table": "app.names", "idType": "text"}, Fetch("a\0b"), AnswerKind.REJECTED),
    ({}, doc("a\0b"), AnswerKind.REJECTED),
]


@pytest.mark.parametrize(("changes", "action", "kind"), REFUSED)
def test_a_refusal_has_its_kind_and_the_session_goes_on(
    server: Server, changes: dict[str, Any], action: Action, kind: AnswerKind
) -> None:
    perform(spec(server), doc())
    replies, _ = perform(spec(server, **changes), action, WhoAmI())
    assert (replies[0].kind, replies[1].identity) == (kind, True)


def test_what_an_error_tells_is_scanned(server: Server) -> None:
    wanted = str(uuid.uuid4())
    replies, text = perform(spec(server), doc(wanted=wanted), doc(wanted=wanted))
    assert replies[1].kind is AnswerKind.REJECTED
    assert f"({wanted}) already exists" in text


def test_a_verb_that_a_table_has_not_is_a_programming_error(server: Server) -> None:
    with pytest.raises(ValueError, match="cannot do Ask"):
        perform(spec(server), Ask("q"))


FAULTS = [
    ({}, "wrong", "Denied: role"),
    ({"role": "{tenant}_{user}_nobody"}, PASSWORD, "Denied: role"),
    ({"role": "{tenant}_{user}_barred"}, PASSWORD, "Denied: role"),
    ({}, "", "Denied: role"),
    ({"dbname": "nothing"}, PASSWORD, "Denied: role"),
    ({"port": 1}, PASSWORD, "Unreachable: host, port"),
    ({"host": "/nowhere"}, PASSWORD, "Unreachable: host, port"),
    ({"sslmode": "require"}, PASSWORD, "Unreachable: host, port or sslmode"),
    ({"settings": {"work_mem": "no"}}, PASSWORD, "Denied: settings"),
]


@pytest.mark.parametrize(("changes", "password", "message"), FAULTS)
def test_a_session_that_cannot_be_opened_names_the_fields(
    server: Server, changes: dict[str, Any], password: str, message: str
) -> None:
    async def body(_session: Session) -> None:
        raise AssertionError

    with pytest.raises(SurfaceFault, match=message) as caught:
        asyncio.run(within(spec(server, **changes), body, password=password))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- bounds


def test_more_bytes_than_the_bound_are_cut_by_the_server(server: Server) -> None:
    server.sql(
        "INSERT INTO app.documents (id, body) SELECT gen_random_uuid(), repeat('x', 1000) FROM generate_series(1, 50)"
    )
    (reply,), text = perform(spec(server), List(), bounds=Bounds(bytes=3500))
    assert (reply.kind, len(reply.items or ())) == (AnswerKind.TOO_LARGE, 4)
    assert len(text) < 5000


def test_one_long_text_is_cut(server: Server) -> None:
    server.sql("INSERT INTO app.documents (id, body) VALUES (gen_random_uuid(), 'KX7' || repeat('y', 9000))")
    (reply,), text = perform(spec(server), List(), bounds=Bounds(bytes=1000))
    assert reply.kind is AnswerKind.TOO_LARGE
    assert "KX7" in text
    assert len(text) < 1100


def test_more_rows_than_the_pages_hold_are_too_large(server: Server) -> None:
    server.sql("INSERT INTO app.documents (id, body) SELECT gen_random_uuid(), 'x' FROM generate_series(1, 250)")
    (reply,), _ = perform(spec(server), List(), bounds=Bounds(pages=2))
    assert (reply.kind, len(reply.items or ())) == (AnswerKind.TOO_LARGE, 201)


def test_a_slow_statement_is_stopped_by_the_server_and_the_session_goes_on(server: Server) -> None:
    server.sql("CREATE VIEW app.slow AS SELECT gen_random_uuid() AS id, pg_sleep(9)::text AS body")
    server.sql("GRANT SELECT ON app.slow TO acme_alice")
    began = time.perf_counter()
    place = spec(server, table="app.slow", columns={"id": "id", "text": "body", "vector": None})
    replies, _ = perform(place, List(), WhoAmI(), bounds=Bounds(seconds=0.5))
    assert (replies[0].kind, replies[1].identity) == (AnswerKind.TIMEOUT, True)
    assert time.perf_counter() - began < 2


def test_a_lost_connection_is_unreachable(server: Server) -> None:
    async def body(session: Session) -> list[AnswerKind]:
        await session.perform(WhoAmI(), lambda _: None)
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'acme_alice'")
        replies = await asyncio.gather(*(session.perform(List(), lambda _: None) for _ in range(4)))
        return [reply.kind for reply in replies]

    assert asyncio.run(within(spec(server), body)) == [AnswerKind.UNREACHABLE] * 4


class Proxy:
    """Passes bytes on to the server, each way after a delay, until it is told to fall silent."""

    def __init__(self, port: int, delay: float = 0.0) -> None:
        self.port, self.delay, self.silent = port, delay, False
        self.tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_exception: object) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self.port)
        self.tasks += [asyncio.create_task(self._pass(reader, forth)), asyncio.create_task(self._pass(back, writer))]

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                await asyncio.sleep(self.delay / 2)
                if not self.silent:
                    writer.write(data)
        finally:
            writer.close()


def test_a_server_that_falls_silent_is_a_timeout_for_all_and_then_unreachable(server: Server) -> None:
    async def body() -> list[str]:
        proxy = Proxy(server.port)
        async with proxy as port:

            async def talk(session: Session) -> list[str]:
                await session.perform(WhoAmI(), lambda _: None)
                proxy.silent = True
                replies = await asyncio.gather(*(session.perform(List(), lambda _: None) for _ in range(3)))
                replies.append(await session.perform(List(), lambda _: None))
                return [reply.kind.value for reply in replies]

            kinds: list[str] = await within(
                spec(server, port=port, sslmode="disable"), talk, bounds=Bounds(seconds=0.2)
            )
            return kinds

    began = time.perf_counter()
    assert asyncio.run(body()) == ["timeout"] * 3 + ["unreachable"]
    assert time.perf_counter() - began < 6


# --- many at once on one session


def test_eight_actions_at_once_get_each_its_own_answer(server: Server) -> None:
    async def body(session: Session) -> None:
        wanted = [str(uuid.uuid4()) for _ in range(8)]
        await asyncio.gather(*(session.perform(doc(f"text {each}", each), lambda _: None) for each in wanted))
        sinks: list[list[str]] = [[] for _ in wanted]
        pairs = zip(wanted, sinks, strict=True)
        replies = await asyncio.gather(*(session.perform(Fetch(each), sink.append) for each, sink in pairs))
        for each, sink, reply in zip(wanted, sinks, replies, strict=True):
            assert locations(reply) == [each]
            assert "".join(sink).split() == [each, "text", each]

    asyncio.run(within(spec(server), body))
    assert server.sql("SELECT count(*) FROM app.documents") == [(8,)]


def test_one_failure_among_many_at_once_is_that_ones_alone_and_nothing_is_done_twice(server: Server) -> None:
    async def body(session: Session) -> list[str]:
        twice = str(uuid.uuid4())
        writes: list[Action] = [doc() for _ in range(6)]
        actions = [*writes[:3], doc("first", twice), doc("second", twice), Fetch(twice), *writes[3:], Delete(twice)]
        replies = await asyncio.gather(*(session.perform(action, lambda _: None) for action in actions))
        return [reply.kind.value for reply in replies]

    kinds = asyncio.run(within(spec(server), body))
    assert kinds == ["items"] * 4 + ["rejected", "items"] + ["items"] * 3 + ["empty"]
    assert server.sql("SELECT count(*) FROM app.documents") == [(6,)]


def test_a_claim_among_many_at_once_is_that_ones_alone(server: Server) -> None:
    server.sql(BY_SETTING)
    place = spec(server, settings=TENANT, claims=[CLAIM])
    perform(place, doc())

    async def body(session: Session) -> list[str]:
        plain, claimed = List(), List(claim="tenant-setting", as_if=ALICE)
        actions = [plain, plain, claimed, plain, claimed, claimed, plain, plain]
        replies = await asyncio.gather(*(session.perform(action, lambda _: None) for action in actions))
        return [reply.kind.value for reply in replies]

    assert asyncio.run(within(place, body, who=BOB)) == [
        *("empty", "empty", "items", "empty", "items", "items", "empty", "empty")
    ]


def test_an_action_is_one_round_trip_and_many_at_once_are_two(server: Server) -> None:
    async def timed(session: Session, *actions: Action) -> float:
        began = time.perf_counter()
        await asyncio.gather(*(session.perform(action, lambda _: None) for action in actions))
        return (time.perf_counter() - began) / 0.1

    async def body() -> list[float]:
        async with Proxy(server.port, delay=0.1) as port:
            place = spec(server, port=port, sslmode="disable", claims=[CLAIM])

            async def talk(session: Session) -> list[float]:
                one = [doc(), Fetch(str(uuid.uuid4())), List(), Search("x"), Delete(str(uuid.uuid4())), WhoAmI()]
                single = [await timed(session, action) for action in one]
                claimed = await timed(session, List(claim="tenant-setting", as_if=BOB))
                return [max(single), claimed, await timed(session, *[doc() for _ in range(40)])]

            trips: list[float] = await within(place, talk)
            return trips

    single, claimed, many = asyncio.run(body())
    assert 1 <= single < 1.9
    assert 1 <= claimed < 1.9
    assert 1 <= many < 2.9


def test_an_action_that_is_given_up_before_it_is_sent_is_not_sent(server: Server) -> None:
    body_of_nap = "BEGIN PERFORM pg_sleep(.3); RETURN NEW; END"
    server.sql(f"CREATE FUNCTION app.nap() RETURNS trigger LANGUAGE plpgsql AS $$ {body_of_nap} $$")
    server.sql("CREATE TRIGGER nap BEFORE INSERT ON app.documents FOR EACH ROW EXECUTE FUNCTION app.nap()")

    async def body(session: Session) -> None:
        first = asyncio.create_task(session.perform(doc("first"), lambda _: None))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(session.perform(doc("second"), lambda _: None))
        await asyncio.sleep(0.05)
        second.cancel()
        await first
        await session.perform(WhoAmI(), lambda _: None)

    asyncio.run(within(spec(server), body))
    assert server.sql("SELECT body FROM app.documents") == [("first",)]


# --- scenarios

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"role": "{tenant}_{name}"}, "role mentions {name}; known here: tenant, user"),
    ({"role": "app"}, "role proves no tenant"),
    ({"role": "{tenant}"}, "role proves no user"),
    ({"values": {"tenant": "{owner.tenant}"}}, "values mentions {owner.tenant}"),
    ({"settings": {"app.tenant": "{title}"}}, "settings mentions {title}"),
    ({"whoami": {"settings": {"app.tenant": "{x}"}}}, "whoami.settings mentions {x}"),
    ({"claims": [{"name": "a", "settings": {"app.tenant": "{tenant}"}}]}, "claim nothing"),
    ({"claims": [CLAIM, CLAIM]}, "two have one name"),
    ({"settings": {"app tenant": "x"}}, "String should match pattern"),
    ({"host": "a,b"}, "String should match pattern"),
    ({"table": "a.b.c"}, "String should match pattern"),
    ({"table": "a%b"}, "String should match pattern"),
    ({"table": 'a"b'}, "String should match pattern"),
    ({"dimensions": 0}, "greater than or equal to 1"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_scenario_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(Server(1, None, 0), **changes)  # type: ignore[arg-type]
    (error,) = caught.value.errors()
    assert message in error["msg"]
