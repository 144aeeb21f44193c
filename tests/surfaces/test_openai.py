"""The openai adapter against a server that says whatever bytes it likes: what it asks, joins, scans and makes of it."""

import asyncio
import json
import logging
import time
from typing import Any

import pytest
from pydantic import ValidationError
from sectum.actions import Action, AnswerKind, Ask, AskCached, Fetch, List, Reply, Verb, WhoAmI
from sectum.actions import Write as WriteDocument
from sectum.catalog import adapters
from sectum.markers import Kind
from sectum.ports import AdapterSpec, Bounds
from sectum.scan import Index

from tests.surfaces.raw_server import BOB, CREDENTIAL, Asked, Heard, Write, answer, hear

MARKER = "kx77v2m4t8hn3wpz"
CHAT: dict[str, Any] = {
    "headers": {"Authorization": "Bearer {credential}"},
    "model": "small",
    "ask": {},
    "askCached": {"cached": {"$.cached": "true"}},
    "citations": "$.citations[*]",
}
PLAIN: dict[str, Any] = {"model": "small", "ask": {}}
SMALL = Bounds(bytes=20_000, depth=10, seconds=5)


def delta(content: Any, **fields: Any) -> dict[str, Any]:
    return {"id": "c-1", "model": "small", "choices": [{"index": 0, "delta": {"content": content}}], **fields}


def stream(
    *told: Any, done: bool = True, head: str = "Content-Type: text/event-stream", status: str = "200 OK"
) -> bytes:
    """A stream of chunks; bytes are sent as they are."""
    lines = [each if isinstance(each, bytes) else b"data: " + json.dumps(each).encode() + b"\n\n" for each in told]
    return answer(b"".join(lines) + (b"data: [DONE]\n\n" if done else b""), head, status=status)


def ask(handler: Any, action: Action | None = None, bounds: Bounds = SMALL, **fields: Any) -> Heard:
    return hear(handler, action or Ask("q"), adapter="openai", bounds=bounds, **(fields or PLAIN))


def seen(heard: Heard) -> bool:
    """Would a run's scan see the marker in what the sink took?"""
    reader = Index({"m": (Kind.HARD, MARKER)}).reader()
    reader.feed(heard.text)
    return bool(reader.end_answer())


def spec(**changes: Any) -> AdapterSpec:
    return adapters()["openai"].spec.model_validate({"origin": "http://127.0.0.1:1", **CHAT, **changes})


def locations(reply: Reply) -> list[str] | None:
    return None if reply.items is None else [item.location for item in reply.items]


# --- requests


def test_a_question_becomes_a_streaming_chat_completion_of_the_principal() -> None:
    (asked,) = ask(stream(delta("yes")), Ask('say "{user}"'), **{**CHAT, "citations": None}).asked
    assert asked.line == "POST /v1/chat/completions HTTP/1.1"
    assert asked.headers["authorization"] == f"Bearer {CREDENTIAL}"
    assert asked.headers["accept"] == "text/event-stream, application/json"
    assert asked.json == {
        "model": "small",
        "messages": [{"role": "user", "content": 'say "{user}"'}],
        "stream": True,
        "max_tokens": 256,
        "temperature": 0,
    }


def test_every_field_of_the_request_is_the_scenarios() -> None:
    fields = {
        "model": "{tenant}-small",
        "path": "/{tenant}/chat",
        "system": "You help {user}.",
        "stream": False,
        "maxTokens": None,
        "temperature": None,
        "json": {"max_completion_tokens": 9, "metadata": {"who": "{user}"}},
        "askCached": {"headers": {"X-Cache": "on"}, "query": {"v": "1"}, "json": {"cache": {"use": True}}},
    }
    (asked,) = ask(answer({}), AskCached("q"), **fields).asked
    assert asked.line == "POST /acme/chat?v=1 HTTP/1.1"
    assert (asked.headers["accept"], asked.headers["x-cache"]) == ("application/json", "on")
    assert asked.json == {
        "model": "acme-small",
        "messages": [{"role": "system", "content": "You help alice."}, {"role": "user", "content": "q"}],
        "stream": False,
        "max_completion_tokens": 9,
        "metadata": {"who": "alice"},
        "cache": {"use": True},
    }


def test_the_two_ways_of_asking_differ_by_what_the_scenario_gives_each() -> None:
    fields = {**PLAIN, "ask": {"headers": {"Cache-Control": "no-cache"}}, "askCached": {}}
    first, second = hear(stream(delta("x")), Ask("q"), AskCached("q"), adapter="openai", **fields).asked
    assert first.headers["cache-control"] == "no-cache"
    assert "cache-control" not in second.headers


def test_a_claim_spoofs_the_endpoints_user_field() -> None:
    claims = [{"name": "user-field", "json": {"user": "{owner.user}"}}, {"name": "model", "asOwner": True}]
    fields = {**PLAIN, "model": "{tenant}-tuned", "claims": claims}
    plain, claimed, owned = hear(
        stream(delta("x")),
        Ask("q"),
        Ask("q", claim="user-field", as_if=BOB),
        Ask("q", claim="model", as_if=BOB),
        adapter="openai",
        **fields,
    ).asked
    assert "user" not in plain.json
    assert claimed.json["user"] == "bob"
    assert (plain.json["model"], owned.json["model"]) == ("acme-tuned", "globex-tuned")


def test_the_documents_behind_it_are_reached_as_by_the_http_adapter() -> None:
    documents: dict[str, Any] = {
        "whoami": {"request": {"path": "/me"}, "expect": {"$.t": "{tenant}", "$.u": "{user}"}},
        "write": {"request": {"method": "POST", "path": "/d", "json": {"text": "{text}"}}, "location": "$.id"},
        "fetch": {"request": {"path": "/d/{location}"}},
        "list": {"request": {"path": "/d"}, "items": "$.items[*]"},
        "delete": {"request": {"method": "DELETE", "path": "/d/{location}"}},
    }
    said = answer({"t": "acme", "u": "alice", "id": "7", "items": [{"id": "7"}]})
    actions = (WhoAmI(), WriteDocument(title="t", text="x", wanted="w"), Fetch("7"), List())
    heard = hear(said, *actions, adapter="openai", **PLAIN, **documents)
    assert [reply.kind for reply in heard.replies] == [AnswerKind.ITEMS] * 4
    assert (heard.replies[0].identity, heard.replies[1].location) == (True, "7")
    verbs = {Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.LIST, Verb.DELETE, Verb.ASK}
    assert spec(askCached=None, **documents).verbs() == verbs


def test_verbs_are_the_ways_of_asking_that_are_given() -> None:
    assert spec().verbs() == {Verb.ASK, Verb.ASK_CACHED, Verb.TELL_CACHED}
    assert spec(askCached={}).verbs() == {Verb.ASK, Verb.ASK_CACHED}
    assert spec(ask=None).verbs() == {Verb.ASK_CACHED, Verb.TELL_CACHED}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"ask": None, "askCached": None}, "give ask, askCached or both"),
    ({"json": {"messages": []}}, "json: Value error, messages is not to be set here"),
    ({"ask": {"json": {"stream": False}}}, "ask.json: Value error, stream is not to be set here"),
    ({"ask": {"json": ["a"]}}, "ask.json: Value error, must be an object"),
    ({"ask": {"headers": {"A": "{credential}"}}}, "ask: Value error, headers mentions {credential}"),
    ({"ask": {"headers": {"X-Api-Key": "abc"}}}, "looks like a credential"),
    ({"system": "about {question}"}, "system mentions {question}"),
    ({"model": "{x}"}, "model mentions {x}"),
    ({"json": {"a": ["{x}"]}}, "json mentions {x}"),
    ({"path": "v1"}, "path: String should match"),
    ({"askCached": {"cached": {"$.a": "{question}"}}}, "askCached: Value error, cached mentions {question}"),
    ({"ask": {"cached": {"$.a": "1"}}}, "ask.cached: Extra inputs"),
    ({"citations": "$..a"}, "citations: Value error, may only use names"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_scenario_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(**changes)
    (error,) = caught.value.errors()
    assert message in ".".join(map(str, error["loc"])) + ": " + error["msg"]


# --- answers


WHOLE = {"id": "c-1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}}]}
WITHOUT: list[tuple[Any, AnswerKind]] = [
    (WHOLE, AnswerKind.ITEMS),
    ({"choices": [{"message": {"role": "assistant", "content": " "}}]}, AnswerKind.EMPTY),
    ({"choices": [{"message": {"role": "assistant", "content": None}}]}, AnswerKind.EMPTY),
    ({"choices": [{"message": {"content": None, "tool_calls": [{"function": {"name": "f"}}]}}]}, AnswerKind.ITEMS),
    ({"choices": []}, AnswerKind.MALFORMED),
    ({"choices": [{"text": "yes"}]}, AnswerKind.MALFORMED),
    ({"choices": "yes"}, AnswerKind.MALFORMED),
    ({}, AnswerKind.MALFORMED),
    ([], AnswerKind.MALFORMED),
    (b"yes", AnswerKind.MALFORMED),
    ({"error": {"message": "overloaded"}}, AnswerKind.SERVER_ERROR),
    ({**WHOLE, "error": None}, AnswerKind.ITEMS),
]


@pytest.mark.parametrize(("said", "kind"), WITHOUT)
def test_an_answer_without_a_stream_is_read(said: Any, kind: AnswerKind) -> None:
    assert ask(answer(said), model="small", ask={}, stream=False).reply.kind is kind


def test_a_whole_answer_instead_of_a_stream_is_malformed_and_the_other_way_round() -> None:
    assert ask(answer(WHOLE)).reply.kind is AnswerKind.MALFORMED
    assert ask(stream(delta("yes")), model="small", ask={}, stream=False).reply.kind is AnswerKind.MALFORMED


STREAMS: list[tuple[str, tuple[Any, ...], AnswerKind]] = [
    ("two chunks", (delta("ye"), delta("s")), AnswerKind.ITEMS),
    ("role first", (delta(None), delta("s")), AnswerKind.ITEMS),
    ("blank", (delta(" "), delta("")), AnswerKind.EMPTY),
    ("usage and more without choices", (delta("s"), {"usage": {"n": 1}}, {"choices": []}), AnswerKind.ITEMS),
    ("last without delta", (delta("s"), {"choices": [{"index": 0, "finish_reason": "stop"}]}), AnswerKind.ITEMS),
    (
        "no index",
        ({"choices": [{"delta": {"content": "s"}}]}, {"choices": [{"finish_reason": "stop"}]}),
        AnswerKind.ITEMS,
    ),
    ("comments and ids", (b": ping\n\n", b"id: 1\nretry: 5\n", delta("s")), AnswerKind.ITEMS),
    ("carriage returns", (b'data:{"choices":[{"delta":{"content":"s"}}]}\r\n\r\n',), AnswerKind.ITEMS),
    ("two lines of data", (b'data: {"choices":\ndata: [{"delta":{"content":"s"}}]}\n\n',), AnswerKind.ITEMS),
    ("no choice at all", ({"usage": {}},), AnswerKind.MALFORMED),
    ("nothing", (), AnswerKind.MALFORMED),
    ("a bad line", (delta("s"), b"data: {oops\n\n"), AnswerKind.MALFORMED),
    ("a bad line first", (b"data: \n\n", delta("s")), AnswerKind.MALFORMED),
    ("text", (delta("s"), b'data: "text"\n\n'), AnswerKind.MALFORMED),
    ("choices of something else", (delta("s"), {"choices": {}}), AnswerKind.MALFORMED),
    ("a delta of something else", (delta("s"), {"choices": [{"delta": "s"}]}), AnswerKind.MALFORMED),
    ("an end in between", (delta("s"), b"data: [DONE]\n\n", delta("s")), AnswerKind.MALFORMED),
    ("too deep", (delta("s"), delta([[[[[[[[[]]]]]]]]])), AnswerKind.TOO_DEEP),
    ("an error", (delta("s"), {"error": {"message": "out of memory"}}), AnswerKind.SERVER_ERROR),
    ("an event of error", (delta("s"), b"event: error\ndata: {}\n\n"), AnswerKind.SERVER_ERROR),
]


@pytest.mark.parametrize(("told", "kind"), [each[1:] for each in STREAMS], ids=[each[0] for each in STREAMS])
def test_a_stream_is_read(told: tuple[Any, ...], kind: AnswerKind) -> None:
    heard = ask(stream(*told, delta("kx77v2m4"), delta("t8hn3wpz")) if kind in FAULTY else stream(*told))
    assert heard.reply.kind is kind
    assert kind not in FAULTY or told == () or seen(heard)


FAULTY = (AnswerKind.TOO_DEEP, AnswerKind.SERVER_ERROR)


@pytest.mark.parametrize("done", [b"", b"data: [DONE", b"data: [done]\n\n", b": [DONE]\n\n"])
def test_a_stream_without_its_end_is_malformed_and_was_scanned(done: bytes) -> None:
    heard = ask(stream(delta("kx77v2m4"), delta("t8hn3wpz"), done, done=False))
    assert heard.reply.kind is AnswerKind.MALFORMED
    assert seen(heard)


def test_a_stream_that_ends_with_its_end_and_no_blank_line_is_whole() -> None:
    assert ask(stream(delta("yes"), b"data: [DONE]", done=False)).reply.kind is AnswerKind.ITEMS


def test_a_chunked_stream_that_breaks_off_is_malformed_and_was_scanned() -> None:
    async def half(_asked: Asked, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in ("kx77v2m4", "t8hn3wpz"):
            line = b"data: " + json.dumps(delta(part)).encode() + b"\n\n"
            await write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        raise ConnectionResetError

    heard = ask(half)
    assert heard.reply.kind is AnswerKind.MALFORMED
    assert seen(heard)


CITED = [
    ([delta("y", citations=[{"id": "1"}]), delta("s", citations=[{"id": "1"}, {"id": "2"}])], ["1", "2"]),
    ([delta("y", citations=[{"id": "1"}]), delta("s", citations=[{"id": "2"}])], ["1", "2"]),
    ([{"citations": [{"id": 7}]}, delta("s")], ["7"]),
    ([delta("s", citations=[])], []),
]


@pytest.mark.parametrize(("told", "found"), CITED)
def test_citations_of_all_chunks_are_the_closed_worlds_items(told: list[Any], found: list[str]) -> None:
    reply = ask(stream(*told), **CHAT).reply
    assert (reply.kind, locations(reply)) == (AnswerKind.ITEMS, found)


def test_citations_may_stand_in_the_joined_message() -> None:
    first, second = delta("s"), delta("s")
    first["choices"][0]["delta"]["context"] = {"citations": [{"id": "1"}]}
    second["choices"][0]["delta"]["context"] = {"citations": [{"id": "2"}]}
    reply = ask(stream(first, second), **{**CHAT, "citations": "$.choices[0].message.context.citations[*]"}).reply
    assert locations(reply) == ["1", "2"]


def test_promised_citations_that_are_not_there_are_malformed() -> None:
    assert ask(stream(delta("s")), **CHAT).reply.kind is AnswerKind.MALFORMED


@pytest.mark.parametrize(
    ("action", "cached", "kind"),
    [
        (AskCached("q"), True, AnswerKind.CACHED),
        (AskCached("q"), False, AnswerKind.ITEMS),
        (AskCached("q"), None, AnswerKind.ITEMS),
        (Ask("q"), True, AnswerKind.ITEMS),
    ],
)
def test_an_answer_tells_that_it_was_cached(action: Action, cached: bool | None, kind: AnswerKind) -> None:
    heard = ask(stream(delta("y", citations=[]), delta("s", cached=cached)), action, **CHAT)
    assert (heard.reply.kind, locations(heard.reply)) == (kind, [])


def test_what_every_chunk_repeats_is_one_value() -> None:
    fields = {**PLAIN, "askCached": {"cached": {"$.x_cache": "hit"}}}
    heard = ask(stream(delta("y", x_cache="hit"), delta("s", x_cache="hit")), AskCached("q"), **fields)
    assert heard.reply.kind is AnswerKind.CACHED


# --- what is seen

HALVES = ("kx77v2m4", "t8hn3wpz")


def said_at(*place: Any) -> list[dict[str, Any]]:
    """Two chunks with a half of the marker each, at one place."""
    chunks = []
    for half in HALVES:
        node: Any = half
        for step in reversed(place):
            node = [node] if step == "*" else {step: node}
        chunks.append(node)
    return chunks


HIDDEN = {
    "content": [delta(half) for half in HALVES],
    "every character": [delta(letter) for letter in MARKER],
    "no index": [{"choices": [{"delta": {"content": half}}]} for half in HALVES],
    "parts of content": [delta([{"type": "text", "text": half}]) for half in HALVES],
    "reasoning": [{"choices": [{"index": 0, "delta": {"reasoning_content": half}}]} for half in HALVES],
    "arguments of a tool call": [
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"arguments": half}}]}}]}
        for half in HALVES
    ],
    "the second choice": [
        {"choices": [{"index": at, "delta": {"content": text}} for at, text in ((0, "so"), (1, half))]}
        for half in HALVES
    ],
    "an unknown field": said_at("x_extension", "deep", "*", "text"),
    "one citation": [delta("s", citations=[{"id": "1", "text": MARKER}])],
    "a key": [delta("s", **{MARKER: 1})],
    "a comment": [f": {MARKER}\n\n".encode(), delta("s")],
    "the name of an event": [f"event: {MARKER}\n".encode(), delta("s")],
    "an unknown line": [f"{MARKER}\n".encode(), delta("s")],
    "a bad line": [f"data: {{{MARKER}\n\n".encode()],
    "an equal key": [f'data: {{"a": "{MARKER}", "a": 1}}\n\n'.encode()],
    "an event cut off": [f'data: {{"choices": [{{"delta": {{"content": "{MARKER}'.encode()],
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_marker_is_seen_wherever_a_stream_can_hide_it(where: str) -> None:
    assert seen(ask(stream(*HIDDEN[where])))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Content-Type: text/html", "200 OK"),
        ("X-None: 1", "200 OK"),
        ("Content-Type: application/json", "403 Forbidden"),
        ("Content-Type: text/event-stream", "404 Not Found"),
    ],
)
def test_a_split_marker_is_seen_whatever_the_answer_calls_itself(head: str, status: str) -> None:
    heard = ask(stream(*HIDDEN["every character"], head=head, status=status))
    assert heard.reply.kind in (AnswerKind.MALFORMED, AnswerKind.DENIED, AnswerKind.NOT_FOUND)
    assert seen(heard)


def test_equal_deltas_are_all_put_together() -> None:
    assert "hahaha" in ask(stream(*[delta("ha")] * 3)).text


def test_two_choices_do_not_run_into_one_another() -> None:
    chunks = [{"choices": [{"index": place, "delta": {"content": half}}]} for place, half in enumerate(HALVES)]
    assert MARKER not in ask(stream(*chunks)).text


def test_a_header_is_scanned() -> None:
    assert seen(ask(answer(b"", f"X-Debug: {MARKER}")))


# --- hostile


def test_an_endless_stream_is_cut_and_what_came_was_scanned() -> None:
    async def endless(_asked: Asked, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for chunk in HIDDEN["every character"]:
            await write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        while True:
            await write(b"data: " + json.dumps(delta("y" * 500)).encode() + b"\n\n")

    heard = ask(endless)
    assert heard.reply.kind is AnswerKind.TOO_LARGE
    assert seen(heard)


def test_a_stream_that_never_ends_and_says_little_is_a_timeout_and_was_scanned() -> None:
    async def drip(_asked: Asked, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for chunk in HIDDEN["content"]:
            await write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        while True:
            await write(b": ping\n\n")
            await asyncio.sleep(0.05)

    began = time.perf_counter()
    heard = ask(drip, bounds=Bounds(seconds=0.5))
    assert heard.reply.kind is AnswerKind.TIMEOUT
    assert seen(heard)
    assert time.perf_counter() - began < 2


def test_a_huge_delta_is_cut() -> None:
    heard = ask(stream(delta(MARKER + "x" * 50_000)))
    assert heard.reply.kind is AnswerKind.TOO_LARGE
    assert seen(heard)


FULL = 1 << 20
FLOODS = {
    "empty objects": b"data:{}\n\n",
    "one letter each": b'data:{"choices":[{"delta":{"content":"x"}}]}\n\n',
    "an index each": b'data:{"choices":[%s]}\n\n' % b",".join(b'{"index":%d,"delta":{}}' % at for at in range(20_000)),
    "a growing list": b'data:{"citations":["'
    + b"x" * (FULL // 2)
    + b'"]}\n\n'
    + b'data:{"citations":["a"]}\n\n' * 20_000,
    "a growing string": b'data:{"a":"'
    + b"x" * (FULL // 2)
    + b'"}\n\n'
    + b'data:{"a":"b"}\n\ndata:{"a":"c"}\n\n' * 16_000,
    "other lines": b":\n" * (FULL // 2),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_full_sized_stream_is_read_in_bounded_time(flood: str) -> None:
    body = (FLOODS[flood] * FULL)[: FULL - 100] if len(FLOODS[flood]) < 1000 else FLOODS[flood][: FULL - 100]
    began = time.perf_counter()
    ask(answer(body, "Content-Type: text/event-stream"), bounds=Bounds(bytes=FULL))
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temp", "308 Perm"])
def test_no_redirect_is_followed(status: str) -> None:
    heard = ask(answer(b"", f"Location: http://127.0.0.1:9/?{MARKER}", status=status))
    assert heard.reply.kind is AnswerKind.REDIRECTED
    assert seen(heard)
    assert len(heard.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("401 No", AnswerKind.UNAUTHENTICATED),
        ("403 No", AnswerKind.DENIED),
        ("404 No", AnswerKind.NOT_FOUND),
        ("400 No", AnswerKind.REJECTED),
        ("429 No", AnswerKind.THROTTLED),
        ("500 No", AnswerKind.SERVER_ERROR),
    ],
)
def test_each_status_has_its_kind_with_and_without_an_error_object(status: str, kind: AnswerKind) -> None:
    for said in (b"", {"error": {"message": MARKER}}):
        heard = ask(answer(said, status=status))
        assert (heard.reply.kind, heard.reply.items) == (kind, None)
    assert seen(heard)


def test_nothing_is_said_of_the_credential_or_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hostile = (
        stream(*HIDDEN["content"]),
        stream(b"data: {" + MARKER.encode() + b"\n\n"),
        answer({"error": {"message": MARKER}}, f"X-Debug: {MARKER}", status="500 Oops"),
        f"HTTP/1.1 {MARKER}\r\n\r\n".encode(),
    )
    for response in hostile:

        async def once(_asked: Asked, write: Write, response: bytes = response) -> None:
            await write(response)
            raise ConnectionResetError

        heard = ask(once, bounds=Bounds(seconds=2), **CHAT)
        said = caplog.text + repr(heard.replies)
        assert [secret for secret in (CREDENTIAL, MARKER) if secret in said] == []
