"""What the http adapter sends for a scenario, and what it makes of well-meant answers."""

import uuid
from typing import Any

import jsonpath
import pytest
from pydantic import ValidationError
from sectum.actions import (
    VERB_OF,
    Action,
    AnswerKind,
    Ask,
    AskCached,
    Batch,
    Delete,
    Fetch,
    History,
    List,
    Recall,
    Search,
    Verb,
    WhoAmI,
    Write,
)
from sectum.catalog import adapters
from sectum.ports import AdapterSpec, Bounds
from sectum.web.jsonpaths import find

from tests.surfaces.raw_server import BOB, CREDENTIAL, answer, hear, says

WHOAMI = {"request": {"path": "/v1/me"}, "expect": {"$.tenant": "{tenant}", "$.user": "{user}"}}
API: dict[str, Any] = {
    "headers": {"Authorization": "Bearer {credential}"},
    "whoami": WHOAMI,
    "write": {
        "request": {"method": "POST", "path": "/v1/d", "json": {"title": "{title}", "text": "{text}", "n": [1, None]}},
        "location": "$.id",
    },
    "fetch": {"request": {"path": "/v1/{tenant}/d/{location}"}},
    "batch": {
        "request": {"method": "POST", "path": "/v1/batch", "json": {"ids": "{locations}"}},
        "items": "$.items[*]",
    },
    "list": {"request": {"path": "/v1/d", "query": {"limit": 100}}, "items": "$.items[*]", "next": "$.next"},
    "search": {"request": {"path": "/v1/s", "query": {"q": "{query}"}}, "items": "$.hits[*].doc", "id": "$.key"},
    "ask": {
        "request": {
            "method": "POST",
            "path": "/v1/chat",
            "headers": {"Cache-Control": "no-cache"},
            "json": {"question": "{question}"},
        },
        "answer": "$.answer",
        "citations": "$.sources[*]",
    },
    "askCached": {
        "request": {"method": "POST", "path": "/v1/chat", "json": {"question": "{question}"}},
        "cached": {"$.cached": "true"},
    },
    "recall": {
        "request": {
            "method": "POST",
            "path": "/v1/memories/search",
            "json": {"cue": "{cue}", "agent": "{tenant}-desk"},
        },
        "items": "$.memories[*]",
    },
    "history": {"request": {"path": "/v1/threads/{location}"}, "items": "$.messages[*]", "id": "$.thread"},
    "delete": {"request": {"method": "DELETE", "path": "/v1/d/{location}"}},
    "claims": [
        {"name": "gateway", "headers": {"X-Tenant": "{owner.tenant}", "X-User": "{owner.user}"}},
        {"name": "filter", "query": {"owner": "{owner.user}"}},
        {"name": "field", "json": {"tenant": "{owner.tenant}"}},
        {"name": "path", "asOwner": True},
    ],
}


def spec(**changes: Any) -> AdapterSpec:
    fields = {"origin": "http://127.0.0.1:1", **API, **changes}
    return adapters()["http"].spec.model_validate({name: value for name, value in fields.items() if value is not None})


def problem(**changes: Any) -> str:
    """The one complaint about a scenario, as `field: message`."""
    with pytest.raises(ValidationError) as caught:
        spec(**changes)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])) + ": " + error["msg"]


# --- requests

SENT = [
    (WhoAmI(), "GET /v1/me", None),
    (Write(title="T", text="x", wanted="w"), "POST /v1/d", {"title": "T", "text": "x", "n": [1, None]}),
    (Fetch("7"), "GET /v1/acme/d/7", None),
    (Fetch("a/b?c#d%2F é"), "GET /v1/acme/d/a%2Fb%3Fc%23d%252F%20%C3%A9", None),
    (Fetch("../../admin"), "GET /v1/acme/d/..%2F..%2Fadmin", None),
    (Batch(("7", "8")), "POST /v1/batch", {"ids": ["7", "8"]}),
    (List(), "GET /v1/d?limit=100", None),
    (Search("a&b=c {user}"), "GET /v1/s?q=a%26b%3Dc+%7Buser%7D", None),
    (Ask('say "{user}"'), "POST /v1/chat", {"question": 'say "{user}"'}),
    (Delete("7"), "DELETE /v1/d/7", None),
    (Recall("the jade kettle"), "POST /v1/memories/search", {"cue": "the jade kettle", "agent": "acme-desk"}),
    (History("acme/7"), "GET /v1/threads/acme%2F7", None),
    (History("7", claim="filter", as_if=BOB), "GET /v1/threads/7?owner=bob", None),
    (Fetch("7", claim="filter", as_if=BOB), "GET /v1/acme/d/7?owner=bob", None),
    (Fetch("7", claim="path", as_if=BOB), "GET /v1/globex/d/7", None),
    (Fetch("7", claim="field", as_if=BOB), "GET /v1/acme/d/7", {"tenant": "globex"}),
    (Batch(("7",), claim="field", as_if=BOB), "POST /v1/batch", {"ids": ["7"], "tenant": "globex"}),
]


@pytest.mark.parametrize(("action", "line", "body"), SENT)
def test_an_action_becomes_the_request_that_the_scenario_describes(action: Action, line: str, body: Any) -> None:
    (asked,) = hear(answer({}), action, **API).asked
    assert asked.line == f"{line} HTTP/1.1"
    assert (asked.json if asked.body else None) == body
    assert asked.headers["authorization"] == f"Bearer {CREDENTIAL}"


def test_a_claim_is_added_to_one_request_only() -> None:
    first, second = hear(answer({}), List(claim="gateway", as_if=BOB), List(), **API).asked
    assert (first.headers["x-tenant"], first.headers["x-user"]) == ("globex", "bob")
    assert "x-tenant" not in second.headers


def test_the_cache_header_belongs_to_ask_alone() -> None:
    first, second = hear(answer({}), Ask("q"), AskCached("q"), **API).asked
    assert first.headers["cache-control"] == "no-cache"
    assert "cache-control" not in second.headers


def test_cookies_stay_with_the_session() -> None:
    first, second = hear(answer({"id": "7"}, "Set-Cookie: s=1; Path=/"), Fetch("7"), Fetch("7"), **API).asked
    assert "cookie" not in first.headers
    assert second.headers["cookie"] == "s=1"


@pytest.mark.parametrize("location", ["", ".", ".."])
def test_a_location_that_would_move_the_path_is_not_sent(location: str) -> None:
    heard = hear(answer({}), Delete(location), Fetch(location), **API)
    assert [reply.kind for reply in heard.replies] == [AnswerKind.REJECTED] * 2
    assert heard.asked == []


@pytest.mark.parametrize("location", ["a\r\nX-Evil: 1", "a\nb", "a\0b", " a", "a\x7f"])
def test_a_value_that_would_break_out_of_its_header_is_not_sent(location: str) -> None:
    fetch = {"request": {"path": "/d", "headers": {"X-Id": "{location}"}}}
    heard = hear(answer({}), Fetch(location), fetch=fetch)
    assert heard.reply.kind is AnswerKind.REJECTED
    assert heard.asked == []


def test_client_chosen_locations_are_used_and_reported() -> None:
    wanted = str(uuid.uuid4())
    put = {"request": {"method": "PUT", "path": "/d/{wanted}", "json": {"text": "{text}"}}}
    heard = hear(answer(b"", status="201 Created"), Write(title="t", text="x", wanted=wanted), write=put)
    assert heard.asked[0].line.startswith(f"PUT /d/{wanted} ")
    assert (heard.reply.kind, heard.reply.location) == (AnswerKind.ITEMS, wanted)
    assert spec(write=put).client_chooses_location()
    assert not spec().client_chooses_location()


# --- answers

STATUSES = [
    ("401 No", AnswerKind.UNAUTHENTICATED),
    ("403 No", AnswerKind.DENIED),
    ("404 No", AnswerKind.NOT_FOUND),
    ("410 No", AnswerKind.NOT_FOUND),
    ("400 No", AnswerKind.REJECTED),
    ("422 No", AnswerKind.REJECTED),
    ("429 No", AnswerKind.THROTTLED),
    ("500 No", AnswerKind.SERVER_ERROR),
    ("503 No", AnswerKind.SERVER_ERROR),
    ("304 No", AnswerKind.REDIRECTED),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_each_status_has_its_kind(status: str, kind: AnswerKind) -> None:
    reply = hear(answer({"id": "7"}, status=status), Fetch("7"), **API).reply
    assert (reply.kind, reply.items) == (kind, ())


ANSWERS: list[tuple[Action, Any, AnswerKind, list[str] | None]] = [
    (Fetch("7"), {"id": "7", "text": "x"}, AnswerKind.ITEMS, ["7"]),
    (Fetch("7"), {"id": 7}, AnswerKind.ITEMS, ["7"]),
    (Fetch("7"), None, AnswerKind.EMPTY, []),
    (Fetch("7"), {}, AnswerKind.MALFORMED, []),
    (Fetch("7"), {"id": None}, AnswerKind.MALFORMED, []),
    (Fetch("7"), {"id": True}, AnswerKind.MALFORMED, []),
    (Fetch("7"), {"id": ""}, AnswerKind.MALFORMED, []),
    (Fetch("7"), b"no json", AnswerKind.MALFORMED, []),
    (Fetch("7"), b"", AnswerKind.MALFORMED, []),
    (Batch(("7",)), {"items": [{"id": "7"}, None, {"id": "8"}]}, AnswerKind.ITEMS, ["7", "8"]),
    (Batch(("7",)), {"items": []}, AnswerKind.EMPTY, []),
    (Batch(("7",)), {"items": None}, AnswerKind.EMPTY, []),
    (Batch(("7",)), {"items": "none"}, AnswerKind.MALFORMED, []),
    (Batch(("7",)), {"errors": []}, AnswerKind.MALFORMED, []),
    (Batch(("7",)), {}, AnswerKind.MALFORMED, []),
    (Search("q"), {"hits": [{"doc": {"key": "1"}}]}, AnswerKind.ITEMS, ["1"]),
    (Search("q"), {"hits": []}, AnswerKind.EMPTY, []),
    (Search("q"), {"hits": [{"other": 1}]}, AnswerKind.MALFORMED, []),
    (List(), {"items": [{"id": "1"}], "next": None}, AnswerKind.ITEMS, ["1"]),
    (Ask("q"), {"answer": "yes", "sources": [{"id": "1"}]}, AnswerKind.ITEMS, ["1"]),
    (Ask("q"), {"answer": "yes", "sources": []}, AnswerKind.ITEMS, []),
    (Ask("q"), {"answer": " \n", "sources": []}, AnswerKind.EMPTY, []),
    (Ask("q"), {"answer": "", "sources": [{"id": "1"}]}, AnswerKind.ITEMS, ["1"]),
    (Ask("q"), {"answer": "yes"}, AnswerKind.MALFORMED, None),
    (Ask("q"), {"sources": []}, AnswerKind.MALFORMED, None),
    (AskCached("q"), {"answer": "yes"}, AnswerKind.ITEMS, None),
    (AskCached("q"), {"answer": "yes", "cached": False}, AnswerKind.ITEMS, None),
    (AskCached("q"), {"answer": "yes", "cached": "TRUE"}, AnswerKind.ITEMS, None),
    (AskCached("q"), {"answer": "yes", "cached": [True]}, AnswerKind.ITEMS, None),
    (AskCached("q"), {"answer": "yes", "cached": True}, AnswerKind.CACHED, None),
    (AskCached("q"), b"just text", AnswerKind.MALFORMED, None),
    (AskCached("q"), b" ", AnswerKind.EMPTY, None),
    (Recall("q"), {"memories": [{"id": "1", "text": "x"}]}, AnswerKind.ITEMS, ["1"]),
    (Recall("q"), {"memories": []}, AnswerKind.EMPTY, []),
    (Recall("q"), {}, AnswerKind.MALFORMED, []),
    (History("7"), {"messages": [{"thread": "7", "text": "x"}] * 2}, AnswerKind.ITEMS, ["7", "7"]),
    (History("7"), {"messages": []}, AnswerKind.EMPTY, []),
    (History("7"), {"detail": "no such thread"}, AnswerKind.MALFORMED, []),
    (Delete("7"), b"", AnswerKind.EMPTY, None),
    (Delete("7"), {"deleted": True}, AnswerKind.EMPTY, None),
    (Write(title="t", text="x", wanted="w"), {"id": 12}, AnswerKind.ITEMS, None),
    (Write(title="t", text="x", wanted="w"), {"ok": True}, AnswerKind.MALFORMED, None),
    (Write(title="t", text="x", wanted="w"), {"id": "i" * 3000}, AnswerKind.MALFORMED, None),
]


@pytest.mark.parametrize(("action", "said", "kind", "locations"), ANSWERS)
def test_an_answer_is_read_as_the_scenario_promises(
    action: Action, said: Any, kind: AnswerKind, locations: list[str] | None
) -> None:
    reply = hear(answer(said), action, **API).reply
    assert reply.kind is kind
    assert (None if reply.items is None else [item.location for item in reply.items]) == locations


PLAIN = {"request": API["askCached"]["request"]}


@pytest.mark.parametrize(("said", "kind"), [(b"just text", AnswerKind.ITEMS), (b" ", AnswerKind.EMPTY)])
def test_an_answer_in_plain_text_is_read_where_nothing_else_is_promised(said: bytes, kind: AnswerKind) -> None:
    assert hear(answer(said), AskCached("q"), askCached=PLAIN).reply.kind is kind


def test_a_cached_answer_keeps_its_citations_and_a_blank_one_is_empty() -> None:
    asked = {**API["askCached"], "answer": "$.answer", "citations": "$.sources[*]"}
    cited = {"answer": "", "sources": [{"id": "1"}], "cached": True}
    reply = hear(answer(cited), AskCached("q"), askCached=asked).reply
    assert (reply.kind, [item.location for item in reply.items or ()]) == (AnswerKind.CACHED, ["1"])
    blank = {"answer": " ", "sources": [], "cached": True}
    assert hear(answer(blank), AskCached("q"), askCached=asked).reply.kind is AnswerKind.EMPTY


def test_a_written_document_whose_location_is_not_where_the_scenario_says_is_malformed() -> None:
    write = {**API["write"], "location": "$.document.id"}
    reply = hear(answer({"id": "7"}, status="201 Created"), Write(title="t", text="x", wanted="w"), write=write).reply
    assert (reply.kind, reply.location) == (AnswerKind.MALFORMED, None)


def test_whoami_is_proven_by_the_expected_values() -> None:
    assert hear(answer({"tenant": "acme", "user": "alice"}), WhoAmI(), **API).reply.identity is True


def test_a_server_that_hangs_up_is_unreachable() -> None:
    async def hang_up(_asked: object, _write: object) -> None:
        raise ConnectionResetError

    assert hear(hang_up, Fetch("7"), **API).reply.kind is AnswerKind.UNREACHABLE


# --- pages

NEXT = [
    ("/v1/d?page=2", "/v1/d?page=2"),
    ("?page=2", "/v1/d?page=2"),
    ("d?page=2", "/v1/d?page=2"),
]


@pytest.mark.parametrize(("link", "target"), NEXT)
def test_a_next_link_is_followed_with_the_claim_still_on(link: str, target: str) -> None:
    pages = says(answer({"items": [{"id": "1"}], "next": link}), answer({"items": [{"id": "2"}]}))
    heard = hear(pages, List(claim="filter", as_if=BOB), **API)
    assert heard.asked[1].target == f"{target}&owner=bob"
    assert heard.asked[1].headers["authorization"] == f"Bearer {CREDENTIAL}"
    assert [item.location for item in heard.reply.items or ()] == ["1", "2"]


def test_a_next_cursor_goes_into_its_parameter() -> None:
    listing = {**API["list"], "nextParam": "cursor"}
    pages = says(answer({"items": [{"id": "1"}], "next": "a=/&b"}), answer({"items": [], "next": ""}))
    heard = hear(pages, List(), **{**API, "list": listing})
    assert heard.asked[1].target == "/v1/d?limit=100&cursor=a%3D%2F%26b"
    assert heard.reply.kind is AnswerKind.ITEMS


def test_a_fault_on_a_later_page_keeps_what_was_found() -> None:
    pages = says(answer({"items": [{"id": "1"}], "next": "?p=2"}), answer(b"", status="500 Oops"))
    reply = hear(pages, List(), bounds=Bounds(), **API).reply
    assert reply.kind is AnswerKind.SERVER_ERROR
    assert len(reply.items or ()) == 1


# --- scenarios

VERBS = ["write", "fetch", "batch", "list", "search", "ask", "recall", "history", "delete", "whoami"]
ALL = frozenset(VERB_OF.values()) | {Verb.TELL_CACHED}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_left_out_is_not_among_the_verbs(verb: str) -> None:
    assert spec().verbs() == ALL
    assert spec(**{verb: None}).verbs() == ALL - {Verb(verb)}


def test_only_an_answer_cache_that_the_scenario_can_tell_apart_tells() -> None:
    assert spec(askCached=None).verbs() == ALL - {Verb.ASK_CACHED, Verb.TELL_CACHED}
    assert spec(askCached=PLAIN).verbs() == ALL - {Verb.TELL_CACHED}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"origin": "api.example.com"}, "origin: Value error, must be scheme, host and port only"),
    ({"origin": "https://api.example.com/v1"}, "origin: Value error, must be scheme"),
    ({"origin": "https://a:b@api.example.com"}, "origin: Value error, must be scheme"),
    ({"origin": "ftp://api.example.com"}, "origin: Value error, must be scheme"),
    ({"origin": "http://[::bad"}, "origin: Value error, is no URL"),
    ({"fetch": {"request": {"path": "/d/{id}"}}}, "fetch: Value error, path mentions {id}; known here: location, ten"),
    ({"fetch": {"request": {"path": "/d", "headers": {"A": "{credential}"}}}}, "headers mentions {credential}; known"),
    ({"fetch": {"request": {"path": "/d", "query": {"a": "{locations}"}}}}, "query mentions {locations}"),
    ({"batch": {"request": {"path": "/{locations}"}}}, "{locations} must stand alone"),
    ({"batch": {"request": {"path": "/", "json": {"a": "x{locations}"}}}}, "{locations} must stand alone"),
    ({"fetch": {"request": {"path": "d"}}}, "fetch.request.path: String should match"),
    ({"fetch": {"request": {"path": "/d?x=1"}}}, "fetch.request.path: String should match"),
    ({"fetch": {"request": {"path": "/d"}, "id": "id"}}, "fetch.id: Value error, is no JSONPath"),
    ({"fetch": {"request": {"path": "/d"}, "items": "$.["}}, "fetch.items: Value error, is no JSONPath"),
    ({"fetch": {"request": {"path": "/d", "headers": {"a b": "c"}}}}, "fetch.request.headers.a b"),
    ({"fetch": {"request": {"path": "/d", "headers": {"Content-Length": "1"}}}}, "is not yours to set"),
    ({"headers": {"A": "{password}"}}, "headers mentions {password}; known here: credential, tenant, user"),
    ({"whoami": {"request": {"path": "/me"}, "expect": {}}}, "whoami.expect: Dictionary should have at least 1"),
    ({"whoami": {**WHOAMI, "expect": {"$.a": "{tenant}"}}}, "whoami: Value error, expect proves no user"),
    ({"whoami": {**WHOAMI, "expect": {"$.a": "yes"}}}, "whoami: Value error, expect proves no tenant"),
    ({"whoami": {**WHOAMI, "expect": {"$.a": "{x}"}}}, "whoami: Value error, expect mentions {x}"),
    ({"write": {"request": {"method": "POST", "path": "/d"}}}, "write: Value error, location is missing"),
    ({"askCached": {**PLAIN, "cached": {}}}, "askCached.cached: Dictionary should have at least 1"),
    ({"askCached": {**PLAIN, "cached": {"$..a": "true"}}}, "askCached.cached.$..a"),
    ({"askCached": {**PLAIN, "cached": {"$.a": "{question}"}}}, "askCached: Value error, cached mentions {question}"),
    ({"ask": {**PLAIN, "cached": {"$.a": "true"}}}, "ask.cached: Extra inputs"),
    ({"claims": [{"name": "a", "headers": {"A": "b"}}]}, "claims.0: Value error, claims nothing"),
    ({"claims": [{"name": "a", "json": "{owner.user}"}]}, "claims.0: Value error, json: must be an object"),
    ({"claims": [{"name": "a", "headers": {"A": "{location}"}}]}, "claims.0: Value error, headers mentions {location}"),
    ({"claims": [{"name": "a", "asOwner": True}] * 2}, "claims: two have one name"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_scenario_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    assert message in problem(**changes)


PATHS = ["$[0]", "$[-1]", "$[5]", "$[-5]", "$[1:]", "$[:-1]", "$[::-1]", "$[::0]", "$[0, 2]", "$[*]", "$[2]['a', 'b']"]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_finds_what_the_library_finds(path: str) -> None:
    document = ["x", "y", {"a": "1", "b": "2"}]
    found = find(path, document)
    assert found == jsonpath.compile(path, strict=True).findall(document)


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "Cookie", "X-Auth-Token"])
def test_a_credential_spelt_out_in_the_scenario_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="looks like a credential"):
        adapters()["http"].spec.model_validate({"origin": "http://127.0.0.1", "headers": {name: "Bearer abc"}})
