"""The chroma adapter against Chroma's own server: open to all, behind a checking front, and against hostile answers."""

import asyncio
import itertools
import os
import traceback
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
    WhoAmI,
    Write,
)
from sectum.catalog import adapters
from sectum.errors import SurfaceFault
from sectum.ports import Access, AdapterSpec, Bounds

from tests.surfaces.chroma_server import API, Chroma, Front, fronted, running
from tests.surfaces.raw_server import CREDENTIAL, Asked, answer, hear
from tests.surfaces.raw_server import Write as Send

ALICE, BOB = Principal("acme", "alice"), Principal("globex", "bob")
BY_PATH = {"name": "path", "tenant": "{owner.tenant}", "database": "{owner.user}"}
BY_FILTER = {"name": "filter", "where": {"$and": [{"tenant": "{owner.tenant}"}, {"owner": {"$eq": "{owner.user}"}}]}}
ROW = {"tenant": "{tenant}", "owner": "{user}", "title": "{title}", "shared": False, "rank": 1}

Body = Callable[[Session], Awaitable[Any]]


@pytest.fixture(scope="module")
def chroma() -> Iterator[Chroma]:
    with running() as server:
        yield server


@pytest.fixture
def front(chroma: Chroma) -> Iterator[Front]:
    with fronted(chroma) as front:
        yield front


_numbers = itertools.count()


@pytest.fixture
def shared(chroma: Chroma) -> dict[str, Any]:
    """One collection for everybody, as a careless application has it."""
    name = f"shared-{next(_numbers)}"
    chroma.create("default_tenant", "default_database", name)
    return {"origin": chroma.origin, "collection": name}


@pytest.fixture
def own(chroma: Chroma, front: Front) -> dict[str, Any]:
    """A database for each, behind a front that looks who asks."""
    name = f"own-{next(_numbers)}"
    for who in (ALICE, BOB):
        chroma.create(who.tenant, who.user, name)
    return {
        "origin": front.origin,
        "prefix": "/chroma",
        "headers": {"Authorization": "Bearer {credential}"},
        "tenant": "{tenant}",
        "database": "{user}",
        "collection": name,
    }


def spec(place: dict[str, Any], **changes: Any) -> AdapterSpec:
    fields = {"dimensions": 64, "metadata": ROW, "claims": [BY_PATH, BY_FILTER], **place, **changes}
    return adapters()["chroma"].spec.model_validate(fields)


async def within(
    spec: AdapterSpec,
    body: Body,
    *,
    who: Principal = ALICE,
    bounds: Bounds | None = None,
    credential: str | None = None,
) -> Any:
    token = f"token-of-{who.tenant}.{who.user}" if credential is None else credential
    async with spec.session(Access(who, token, bounds or Bounds())) as session:
        return await body(session)


def perform(spec: AdapterSpec, *actions: Action, **how: Any) -> tuple[list[Reply], str]:
    pieces: list[str] = []

    async def body(session: Session) -> list[Reply]:
        return [await session.perform(action, pieces.append) for action in actions]

    return asyncio.run(within(spec, body, **how)), "".join(pieces)


def kinds(spec: AdapterSpec, *actions: Action, **how: Any) -> list[str]:
    return [reply.kind.value for reply in perform(spec, *actions, **how)[0]]


def doc(text: str = "a note on herons", wanted: str | None = None) -> Write:
    return Write(title="Note", text=text, wanted=wanted or str(uuid.uuid4()))


def locations(reply: Reply) -> list[str]:
    return sorted(item.location for item in reply.items or ())


# --- verbs


@pytest.mark.parametrize("place", ["shared", "own"])
def test_a_record_is_written_read_in_every_way_and_deleted(place: str, request: pytest.FixtureRequest) -> None:
    where, adapter = str(uuid.uuid4()), spec(request.getfixturevalue(place))
    reads: list[Action] = [Fetch(where), Batch((where, "nothing")), List(), Search("heron")]
    (wrote, *replies), text = perform(adapter, doc("KX7 heron", where), *reads)
    assert (wrote.kind, wrote.location) == (AnswerKind.ITEMS, where)
    assert [(reply.kind, locations(reply)) for reply in replies] == [(AnswerKind.ITEMS, [where])] * 4
    assert text.count("KX7 heron\n") == 4
    assert kinds(adapter, Delete(where), Fetch(where), List(), Search("heron")) == ["empty"] * 4
    assert adapter.client_chooses_location()


def test_the_metadata_is_written_read_and_part_of_an_items_text(chroma: Chroma, shared: dict[str, Any]) -> None:
    (_, reply), text = perform(spec(shared), doc("KX7 heron"), List())
    (item,) = reply.items or ()
    assert item.text.startswith("KX7 heron\n")
    assert {"acme", "alice", "Note"} <= set(item.text.split("\n"))
    path = "/tenants/default_tenant/databases/default_database/collections"
    found = chroma.ask("GET", f"{path}/{shared['collection']}")["id"]
    (metadata,) = chroma.ask("POST", f"{path}/{found}/get", {})["metadatas"]
    assert metadata == {"tenant": "acme", "owner": "alice", "title": "Note", "shared": False, "rank": 1}
    assert "Note\n" in text


def test_a_record_without_metadata_is_written_too(shared: dict[str, Any]) -> None:
    (_, reply), _ = perform(spec(shared, metadata={}), doc("KX7"), List())
    assert [item.text for item in reply.items or ()] == ["KX7"]


def test_a_batch_reads_several_at_once(shared: dict[str, Any]) -> None:
    wanted = sorted(str(uuid.uuid4()) for _ in range(3))
    replies, _ = perform(spec(shared), *[doc(wanted=each) for each in wanted], Batch(tuple(wanted[:2])))
    assert locations(replies[-1]) == wanted[:2]


def test_a_search_finds_the_nearest_words_first(shared: dict[str, Any]) -> None:
    texts = ["grey herons wade in the river", "quarterly revenue of the bakery", "a heron by the river bank"]
    adapter = spec(shared, topK=2, metadata={})
    replies, _ = perform(adapter, *[doc(text) for text in texts], Search("heron river bank"))
    assert [item.text for item in replies[-1].items or ()] == [texts[2], texts[0]]


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_a_listing_goes_through_all_pages(shared: dict[str, Any], page: int) -> None:
    wanted = sorted(str(uuid.uuid4()) for _ in range(5))
    replies, _ = perform(spec(shared, page=page), *[doc(wanted=each) for each in wanted], List())
    assert (replies[-1].kind, locations(replies[-1])) == (AnswerKind.ITEMS, wanted)


def test_more_pages_than_the_bound_are_too_large(shared: dict[str, Any]) -> None:
    replies, _ = perform(spec(shared, page=1), *[doc() for _ in range(4)], List(), bounds=Bounds(pages=3))
    assert (replies[-1].kind, len(replies[-1].items or ())) == (AnswerKind.TOO_LARGE, 3)


def test_the_collection_is_looked_up_once_a_client_and_path(front: Front, own: dict[str, Any]) -> None:
    claimed = List(claim="path", as_if=ALICE)  # her own place under the other way to name it
    perform(spec(own), WhoAmI(), doc(), Fetch("1"), Search("x"), claimed, Delete("1"))
    lookups = [asked for asked in front.asked if asked.startswith("GET") and "/collections/" in asked]
    assert lookups == [f"GET /chroma{API}/tenants/acme/databases/alice/collections/{own['collection']}"]
    assert len(front.asked) == 8  # the listing's second page is empty


def test_a_collection_that_was_made_anew_is_found_again(chroma: Chroma, shared: dict[str, Any]) -> None:
    async def body(session: Session) -> list[str]:
        said = [await session.perform(doc(), lambda _: None)]
        chroma.ask("DELETE", f"/tenants/default_tenant/databases/default_database/collections/{shared['collection']}")
        said.append(await session.perform(List(), lambda _: None))
        chroma.create("default_tenant", "default_database", shared["collection"])
        said += [await session.perform(action, lambda _: None) for action in (List(), doc(), List())]
        return [reply.kind.value for reply in said]

    assert asyncio.run(within(spec(shared), body)) == ["items", "not-found", "empty", "items", "items"]


def test_eight_actions_at_once_get_each_its_own_answer(shared: dict[str, Any]) -> None:
    async def body(session: Session) -> None:
        wanted = [str(uuid.uuid4()) for _ in range(8)]
        await asyncio.gather(*(session.perform(doc(f"text {each}", each), lambda _: None) for each in wanted))
        replies = await asyncio.gather(*(session.perform(Fetch(each), lambda _: None) for each in wanted))
        assert [locations(reply) for reply in replies] == [[each] for each in wanted]

    asyncio.run(within(spec(shared), body))


def test_a_verb_that_a_collection_has_not_is_a_programming_error(shared: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot do Ask"):
        perform(spec(shared), Ask("q"))


# --- isolation is the customer's

READS = (Fetch, Batch, List, Search)


def others(place: dict[str, Any], *, claim: str | None = None) -> list[str]:
    """Alice writes one record; how Bob's requests for it end, by id, batch, list and search."""
    wanted, adapter = str(uuid.uuid4()), spec(place)
    perform(adapter, doc("a heron", wanted))
    how: dict[str, Any] = {"claim": claim, "as_if": ALICE} if claim else {}
    actions = [Fetch(wanted, **how), Batch((wanted,), **how), List(**how), Search("a heron", **how)]
    return kinds(adapter, *actions, who=BOB)


def test_one_collection_for_all_shows_all_because_no_filter_is_added(shared: dict[str, Any]) -> None:
    assert others(shared) == ["items"] * 4


def test_a_database_for_each_behind_a_checking_front_shows_nothing(own: dict[str, Any]) -> None:
    assert others(own) == ["empty"] * 4
    assert others(own, claim="path") == ["denied"] * 4
    assert others(own, claim="filter") == ["empty"] * 4


def test_a_database_for_each_without_a_front_is_got_round_by_a_claim_for_one_request_only(
    chroma: Chroma, own: dict[str, Any]
) -> None:
    open_to_all = {**own, "origin": chroma.origin, "prefix": ""}
    assert others(open_to_all) == ["empty"] * 4
    assert others(open_to_all, claim="path") == ["items"] * 4
    adapter, claimed = spec(open_to_all), List(claim="path", as_if=ALICE)
    assert kinds(adapter, List(), claimed, List(), claimed, who=BOB) == ["empty", "items", "empty", "items"]


def test_a_claimed_filter_is_sent_with_reads_and_finds_what_it_names(shared: dict[str, Any]) -> None:
    adapter, his = spec(shared), str(uuid.uuid4())
    perform(adapter, doc(), doc())
    replies, _ = perform(adapter, doc(wanted=his), List(), List(claim="filter", as_if=BOB), who=BOB)
    assert [len(reply.items or ()) for reply in replies[1:]] == [3, 1]
    for action in (Fetch(his, claim="filter", as_if=ALICE), List(claim="filter", as_if=Principal("acme", "nobody"))):
        assert kinds(adapter, action) == ["empty"]


def test_claimed_header_fields_and_collections_are_sent_and_looked_up_apart(own: dict[str, Any]) -> None:
    claims = [{"name": "header", "headers": {"X-Tenant": "{owner.tenant}"}}]
    claims += [{"name": "name", "collection": "notes-of-{owner.user}"}]  # type: ignore[dict-item]
    asked: list[Asked] = []

    async def handler(each: Asked, send: Send) -> None:
        asked.append(each)
        await send(answer({"id": str(uuid.uuid4()), "ids": []}))

    as_bob: dict[str, Any] = {"as_if": BOB}
    actions = [List(), List(claim="header", **as_bob), List(claim="name", **as_bob), List()]
    hear(handler, *actions, adapter="chroma", **{**own, "claims": claims, "dimensions": 4})
    assert ["x-tenant" in each.headers for each in asked] == [*[False] * 2, *[True] * 2, *[False] * 3]
    assert asked[2].headers["x-tenant"] == "globex"
    assert asked[4].target.endswith("/databases/alice/collections/notes-of-bob")


def test_a_claim_that_no_header_can_carry_is_not_asked_without_it(shared: dict[str, Any]) -> None:
    broken = {"name": "header", "headers": {"X-Tenant": "a\n{owner.tenant}"}}
    assert kinds(spec(shared, claims=[broken]), List(claim="header", as_if=BOB), List()) == ["rejected", "empty"]


# --- identity


def test_the_servers_identity_proves_who_asks(own: dict[str, Any]) -> None:
    (reply,), _ = perform(spec(own), WhoAmI())
    assert (reply.kind, reply.identity) == (AnswerKind.ITEMS, True)
    assert [reply.identity for reply in perform(spec(own), WhoAmI(), credential="token-of-globex.bob")[0]] == [False]


def test_a_server_that_knows_nobody_proves_nothing(shared: dict[str, Any]) -> None:
    assert perform(spec(shared), WhoAmI())[0][0].identity is False


def test_whoami_may_be_asked_elsewhere(own: dict[str, Any]) -> None:
    async def handler(asked: Asked, send: Send) -> None:
        assert asked.line == "GET /v1/me HTTP/1.1"
        await send(answer({"who": "acme/alice"}))

    whoami = {"path": "/v1/me", "expect": {"$.who": "{tenant}/{user}"}}
    heard = hear(handler, WhoAmI(), adapter="chroma", **{**own, "whoami": whoami, "dimensions": 4})
    assert heard.reply.identity is True


# --- refusals

ALL: tuple[Action, ...] = (doc(), Fetch("1"), Batch(("1",)), List(), Search("x"), Delete("1"))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"collection": "nothing-here"}, "not-found"),
        ({"database": "nobody"}, "denied"),
        ({"tenant": "globex"}, "denied"),
        ({"headers": {}}, "unauthenticated"),
    ],
)
def test_a_collection_that_cannot_be_looked_up_is_that_kind_of_answer(
    own: dict[str, Any], changes: dict[str, Any], kind: str
) -> None:
    replies, _ = perform(spec(own, **changes), *ALL)
    assert [reply.kind.value for reply in replies] == [kind] * len(ALL)
    assert [reply.items for reply in replies] == [None, (), (), (), (), None]


def test_a_database_that_is_not_there_is_not_found(shared: dict[str, Any]) -> None:
    assert kinds(spec(shared, database="nothing-here"), *ALL) == ["not-found"] * len(ALL)


def test_vectors_of_another_length_are_rejected_and_the_session_goes_on(shared: dict[str, Any]) -> None:
    perform(spec(shared), doc())
    assert kinds(spec(shared, dimensions=65), doc(), Search("x"), List()) == ["rejected", "rejected", "items"]


def test_a_server_that_is_not_there_is_unreachable(shared: dict[str, Any]) -> None:
    adapter = spec(shared, origin="http://127.0.0.1:1")
    assert kinds(adapter, WhoAmI(), *ALL) == ["unreachable"] * (len(ALL) + 1)


# --- hostile answers; the client itself is tested in test_http_hostile.py

MARKER = "KX7-quartz-heron-2291"
ID = "6f6d25b7-0000-4000-8000-000000000000"
FOUND = answer({"id": ID, "name": "notes"})
BASE: dict[str, Any] = {"adapter": "chroma", "collection": "notes", "dimensions": 4}
SMALL = Bounds(bytes=4000, depth=10, pages=4, seconds=5)


def told(response: bytes, *actions: Action, bounds: Bounds = SMALL, **fields: Any) -> Any:
    """The lookup is answered well; then one response for all."""

    async def handler(asked: Asked, send: Send) -> None:
        await send(FOUND if asked.line.startswith("GET") else response)

    return hear(handler, *actions, bounds=bounds, **{**BASE, **fields})


BROKEN_LOOKUPS: list[Any] = [
    *({}, [], None, "x", 7, {"id": None}, {"id": 7}, {"id": [ID]}, {"id": ""}, {"id": "../../../reset"}),
    *({"id": f"{ID}/../x"}, {"id": f"{ID}\n"}, {"id": "http://evil.example/"}, {"id": ID.replace("0", "٠")}),
]


@pytest.mark.parametrize("said", BROKEN_LOOKUPS)
def test_a_lookup_that_gives_no_id_is_malformed_and_nothing_more_is_asked(said: Any) -> None:
    heard = hear(answer(said), *ALL, bounds=SMALL, **BASE)
    assert [reply.kind for reply in heard.replies] == [AnswerKind.MALFORMED] * len(ALL)
    assert {asked.line.split(" ")[0] for asked in heard.asked} == {"GET"}


BROKEN_READS: list[Any] = [
    *({}, [], None, "x", b"<html>", {"ids": None}, {"ids": "1"}, {"ids": [1]}, {"ids": [None]}, {"ids": [""]}),
    *({"ids": ["x" * 2049]}, {"ids": {"0": "1"}}, {"ids": ["1"], "documents": []}, {"ids": [], "documents": ["x"]}),
    *({"ids": ["1"], "documents": ["x", "y"]}, {"ids": ["1"], "documents": "x"}, {"ids": ["1"], "documents": [{}]}),
    *({"ids": ["1"], "metadatas": []}, {"ids": ["1"], "metadatas": {}}, {"ids": ["1"], "documents": [7]}),
]


@pytest.mark.parametrize("said", BROKEN_READS)
def test_records_that_do_not_fit_together_are_malformed(said: Any) -> None:
    heard = told(answer(said), Fetch("1"), Batch(("1",)), List())
    assert [(reply.kind, reply.items) for reply in heard.replies] == [(AnswerKind.MALFORMED, ())] * 3


@pytest.mark.parametrize(
    "said",
    [
        *({"ids": ["1"]}, {"ids": []}, {"ids": [["1"], ["2"]]}, {"ids": [["1"]], "documents": []}, {"ids": [None]}),
        *({"ids": [["1"]], "documents": [["x", "y"]]}, {"ids": [["1"]], "metadatas": ["x"]}, {"ids": [[["1"]]]}, {}),
    ],
)
def test_search_results_that_do_not_fit_together_are_malformed(said: Any) -> None:
    assert told(answer(said), Search("x")).reply.kind is AnswerKind.MALFORMED


def test_texts_and_metadata_that_are_left_out_or_null_are_no_fault() -> None:
    for said in ({"ids": ["1"]}, {"ids": ["1"], "documents": None, "metadatas": [None]}):
        reply = told(answer(said), Fetch("1")).reply
        assert (reply.kind, locations(reply)) == (AnswerKind.ITEMS, ["1"])
    assert told(answer({"ids": [[]], "documents": [[]]}), Search("x")).reply.kind is AnswerKind.EMPTY


SPOKEN: list[tuple[bytes, str, str]] = [
    (answer(MARKER.encode() + b"x" * 9000), "too-large", "too-large"),
    (answer(b"[" * 100 + f'"{MARKER}"'.encode() + b"]" * 100), "too-deep", "too-deep"),
    (answer(b"", f"Location: http://127.0.0.1:9/{MARKER}", status="307 Temp"), "redirected", "redirected"),
    (answer({"error": MARKER}, status="403 Forbidden"), "denied", "denied"),
    (answer({"error": MARKER}, status="404 Not Found"), "not-found", "not-found"),
    (answer({"error": MARKER}, status="400 Bad"), "rejected", "rejected"),
    (answer({"error": MARKER}, status="429 Slow"), "throttled", "throttled"),
    (answer({"error": MARKER}, status="500 Oops"), "server-error", "server-error"),
    (answer({"ids": ["1"], "documents": [MARKER]}), "items", "malformed"),
    (answer({"ids": ["1"], "metadatas": [{"a": {MARKER: 1}}]}), "items", "malformed"),
    (answer({"ids": [], "uris": [MARKER]}), "empty", "malformed"),
]


@pytest.mark.parametrize(("response", "kind", "looked_up"), SPOKEN)
def test_every_answer_has_its_kind_and_is_scanned_the_lookups_too(response: bytes, kind: str, looked_up: str) -> None:
    heard = told(response, Fetch("1"))
    assert (heard.reply.kind.value, MARKER in heard.text) == (kind, True)
    heard = hear(response, Fetch("1"), bounds=SMALL, **BASE)
    assert (heard.reply.kind.value, MARKER in heard.text, len(heard.asked)) == (looked_up, True, 1)


def test_a_slow_drip_ends_when_the_time_for_lookup_and_request_together_is_over() -> None:
    async def handler(asked: Asked, send: Send) -> None:
        await asyncio.sleep(0.3)
        await send(FOUND if asked.line.startswith("GET") else answer({"ids": []}))

    heard = hear(handler, Fetch("1"), Fetch("1"), bounds=Bounds(seconds=0.5), **BASE)
    assert [reply.kind.value for reply in heard.replies] == ["timeout", "empty"]


def page_of(asked: Asked, size: int = 900) -> bytes:
    return answer({"ids": [f"at-{asked.json['offset']}"], "documents": ["z" * size]})


def test_the_pages_of_one_listing_share_the_bounds() -> None:
    async def handler(asked: Asked, send: Send) -> None:
        await send(FOUND if asked.line.startswith("GET") else page_of(asked))

    heard = hear(handler, List(), bounds=Bounds(bytes=2500, pages=20), **BASE)
    assert (heard.reply.kind, locations(heard.reply)) == (AnswerKind.TOO_LARGE, ["at-0", "at-1"])
    heard = hear(handler, List(), bounds=SMALL, **BASE)
    assert (heard.reply.kind, len(heard.asked)) == (AnswerKind.TOO_LARGE, 1 + SMALL.pages)


def test_a_server_that_gives_less_than_a_page_is_asked_on_and_one_that_repeats_itself_is_not() -> None:
    async def short(asked: Asked, send: Send) -> None:
        more = not asked.line.startswith("GET") and asked.json["offset"] < 2
        await send(FOUND if asked.line.startswith("GET") else page_of(asked) if more else answer({"ids": []}))

    heard = hear(short, List(), bounds=SMALL, **BASE)
    assert (heard.reply.kind, locations(heard.reply)) == (AnswerKind.ITEMS, ["at-0", "at-1"])
    heard = told(answer({"ids": ["1", "1"]}), List())
    assert (heard.reply.kind, locations(heard.reply), len(heard.asked)) == (AnswerKind.ITEMS, ["1"], 3)


def test_more_items_than_fit_are_too_large() -> None:
    heard = told(answer({"ids": [str(each) for each in range(10_001)]}), List(), bounds=Bounds())
    assert heard.reply.kind is AnswerKind.TOO_LARGE


@pytest.mark.parametrize("said", [{}, [], "acme", {"tenant": "acme"}, {"tenant": "acme", "user_id": ["alice"]}])
def test_whoami_is_not_proven_by_less_than_the_expected_values(said: Any) -> None:
    assert hear(answer(said), WhoAmI(), bounds=SMALL, **BASE).reply.identity is False


def test_cookies_stay_with_the_session_and_location_and_text_are_sent_as_they_are() -> None:
    async def handler(_asked: Asked, send: Send) -> None:
        await send(answer({"id": ID}, "Set-Cookie: s=1; Path=/"))

    odd = '../"x{user}?'
    _, first, second = hear(handler, doc(odd, odd), Delete(odd), **BASE).asked
    assert (first.headers["cookie"], second.headers["cookie"]) == ("s=1", "s=1")
    assert (first.json["ids"], first.json["documents"], second.json) == ([odd], [odd], {"ids": [odd]})
    assert first.target == f"{API}/tenants/default_tenant/databases/default_database/collections/{ID}/add"


# --- silence


def test_nothing_that_is_sent_or_said_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secrets = ("loc-5d3f0b77", MARKER, CREDENTIAL)
    actions = (doc(MARKER, "loc-5d3f0b77"), Fetch("loc-5d3f0b77"), List(), WhoAmI())
    headers = {"X-Chroma-Token": "{credential}"}
    for response in (answer({"ids": ["loc-5d3f0b77"], "documents": [MARKER]}), answer(MARKER.encode(), status="500 x")):
        heard = told(response, *actions, headers=headers)
        assert heard.asked[0].headers["x-chroma-token"] == CREDENTIAL
        texts = [caplog.text, *map(repr, heard.replies)]
        assert [secret for secret in secrets if any(secret in text for text in texts)] == []


@pytest.mark.parametrize("credential", ["credential-c4f9e1\r\nX: 1", "credential-c4f9e1\0"])
def test_a_credential_that_no_header_can_carry_is_not_in_the_error(own: dict[str, Any], credential: str) -> None:
    with pytest.raises(SurfaceFault, match="Denied: headers") as caught:
        perform(spec(own), WhoAmI(), credential=credential)
    assert "c4f9e1" not in "".join(traceback.format_exception(caught.value))


# --- scenarios

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"origin": "ftp://x"}, "scheme, host and port only"),
    ({"origin": "http://a:b@x"}, "scheme, host and port only"),
    ({"prefix": "chroma"}, "should match pattern"),
    ({"prefix": "/chroma/"}, "should match pattern"),
    ({"prefix": "/a/../b"}, "no part that is . or .."),
    ({"prefix": "/a?b"}, "should match pattern"),
    ({"tenant": "{name}"}, "tenant mentions {name}; known here: tenant, user"),
    ({"database": "{owner.user}"}, "database mentions {owner.user}"),
    ({"collection": "{credential}"}, "collection mentions {credential}"),
    ({"collection": ".."}, "no part that is . or .."),
    ({"collection": ""}, "at least 1 character"),
    ({"headers": {"X-Chroma-Token": "abc"}}, "looks like a credential"),
    ({"headers": {"X-A": "{title}"}}, "headers mentions {title}"),
    ({"metadata": {"a": "{credential}"}}, "metadata mentions {credential}"),
    ({"dimensions": 0}, "greater than or equal to 1"),
    ({"page": 0}, "greater than or equal to 1"),
    ({"whoami": {"expect": {"$.t": "{tenant}"}}}, "expect proves no user"),
    ({"whoami": {"expect": {"$..t": "{tenant}{user}"}}}, "may only use names"),
    ({"whoami": {"expect": {"$.t": "{tenant}{credential}"}}}, "expect mentions {credential}"),
    ({"whoami": {"path": "me"}}, "should match pattern"),
    ({"claims": [{"name": "a"}]}, "claims nothing"),
    ({"claims": [{"name": "a", "tenant": "{tenant}"}]}, "claims nothing"),
    ({"claims": [{"name": "a", "where": {"t": ["{owner.x}"]}}]}, "where mentions {owner.x}"),
    ({"claims": [{"name": "a", "where": {}}]}, "at least 1 item"),
    ({"claims": [{"name": "a", "headers": {"X-Token": "abc", "X-T": "{owner.user}"}}]}, "looks like a credential"),
    ({"claims": [{"name": "a", "headers": {"X-A": "{credential}{owner.user}"}}]}, "headers mentions {credential}"),
    ({"claims": [BY_PATH, BY_PATH]}, "two have one name"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_scenario_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec({"origin": "http://127.0.0.1", "collection": "notes"}, **changes)
    (error,) = caught.value.errors()
    assert message in error["msg"]


def test_the_server_ends_with_the_block_also_when_a_test_fails() -> None:
    with pytest.raises(ZeroDivisionError), running() as server:
        1 / 0  # noqa: B018
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
