"""Promise 6 of product.md, sentence by sentence, against MCP servers that say whatever bytes they like."""

import asyncio
import gc
import gzip
import json
import logging
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from sectum.actions import Action, AnswerKind, Fetch, List, WhoAmI
from sectum.ports import Bounds

from tests.surfaces.mcp_servers import (
    HELLO,
    TOKENS,
    NoteServer,
    Talk,
    access,
    encoded,
    hear,
    perform,
    result,
    says,
    serving,
    spec,
)
from tests.surfaces.raw_server import ALICE, BOB, CREDENTIAL, Asked, Handler, Write, answer

MARKER = "KX7-quartz-heron-2291"
LOCATION = "loc-5d3f0b77"
FETCH = Fetch(LOCATION)
SMALL = Bounds(bytes=3000, depth=10, seconds=5)
BRIEF = Bounds(seconds=0.5)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def event(value: Any, *fields: str) -> bytes:
    """A server-sent event."""
    return "".join(f"{field}\n" for field in fields).encode() + b"data: " + encoded(value) + b"\n\n"


def streams(*events: bytes | Callable[[Asked], bytes], ends: bool = True) -> Handler:
    """Answers a call with an event stream."""

    async def handler(asked: Asked, write: Write) -> None:
        await write(STREAM)
        for each in events:
            await write(chunk(each if isinstance(each, bytes) else each(asked)))
        if ends:
            await write(b"0\r\n\r\n")
        else:
            await asyncio.sleep(30)

    return handler


def endless(piece: bytes) -> Handler:
    async def handler(_asked: Asked, write: Write) -> None:
        await write(STREAM)
        while True:
            await write(chunk(piece))

    return handler


def good(asked: Asked) -> bytes:
    return event(result(asked, {"structuredContent": {"id": "1", "text": MARKER}}))


NOTICE = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "y" * 99}}
SAMPLING = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "sampling/createMessage",
    "params": {"messages": [{"role": "user", "content": {"type": "text", "text": MARKER}}], "maxTokens": 1},
}


def clean(heard: Talk, kind: AnswerKind) -> None:
    """It ended as that, left no task behind and went nowhere else."""
    assert heard.reply.kind is kind
    assert heard.left == set()
    assert {asked.target for asked in heard.asked} == {"/mcp"}
    listening = [
        asked for asked in heard.asked if asked.line.startswith("GET") and "last-event-id" not in asked.headers
    ]
    assert listening == []


# --- size


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Oops", "302 Found"])
def test_an_answer_beyond_the_bytes_is_cut_and_what_came_before_the_cut_is_scanned(status: str) -> None:
    heard = hear(says(MARKER.encode() + b"x" * 5000 + b"beyond", status=status), FETCH, bounds=SMALL)
    clean(heard, AnswerKind.TOO_LARGE)
    assert MARKER in heard.text
    assert "beyond" not in heard.text


@pytest.mark.parametrize(
    "piece", [event(NOTICE), b": nothing\n", b"data: " + b"x" * 99, b"\r", b"event: ping\nid: 1\n\n", event(SAMPLING)]
)
def test_an_endless_stream_is_cut(piece: bytes) -> None:
    heard = hear(endless(piece), FETCH, bounds=SMALL)
    clean(heard, AnswerKind.TOO_LARGE)


def test_a_large_stream_costs_no_memory_beyond_the_bound() -> None:
    tracemalloc.start()
    try:
        heard = hear(endless(event(NOTICE) * 100), FETCH, bounds=Bounds(bytes=1 << 16, seconds=10))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    clean(heard, AnswerKind.TOO_LARGE)
    assert most < 8_000_000


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden"])
def test_packing_that_was_not_asked_for_is_malformed_and_no_clean_denial(status: str) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    heard = hear(says(bomb, "Content-Encoding: gzip", status=status), FETCH)
    clean(heard, AnswerKind.MALFORMED)
    assert {asked.headers["accept-encoding"] for asked in heard.asked} == {"identity"}


def test_endless_header_fields_are_refused() -> None:
    async def fields(_asked: Asked, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\n")
        while True:
            await write(b"X-Flood: " + b"f" * 4000 + b"\r\n")

    clean(hear(fields, FETCH, bounds=SMALL), AnswerKind.UNREACHABLE)


# --- depth


@pytest.mark.parametrize("way", ["body", "event", "text"])
def test_an_answer_nested_too_deep_is_not_parsed_and_still_scanned(way: str) -> None:
    deep = "[" * 50_000 + json.dumps(MARKER) + "]" * 50_000
    handler = {
        "body": says(b'{"jsonrpc":"2.0","id":1,"result":' + deep.encode() + b"}"),
        "event": streams(b"data: " + deep.encode() + b"\n\n"),
        "text": says({"content": [{"type": "text", "text": deep}]}),
    }[way]
    heard = hear(handler, FETCH)
    clean(heard, AnswerKind.TOO_DEEP)
    assert MARKER in heard.text


def test_a_stream_that_got_too_deep_is_left_at_once() -> None:
    deep = {**NOTICE, "params": json.loads('{"a":' * 20 + "1" + "}" * 20)}
    began = time.perf_counter()
    clean(hear(streams(event(deep), ends=False), FETCH, bounds=SMALL), AnswerKind.TOO_DEEP)
    assert time.perf_counter() - began < 3


# --- time


def test_a_slow_drip_ends_when_the_time_for_the_whole_answer_is_over() -> None:
    async def drip(_asked: Asked, write: Write) -> None:
        await write(STREAM + chunk(event({"method": MARKER, "jsonrpc": "2.0"})))
        while True:
            await write(chunk(b":\n"))
            await asyncio.sleep(0.05)

    began = time.perf_counter()
    heard = hear(drip, WhoAmI(), bounds=BRIEF)
    clean(heard, AnswerKind.TIMEOUT)
    assert heard.reply.identity is False
    assert MARKER in heard.text
    assert 0.4 < time.perf_counter() - began < 3


def test_what_took_too_long_is_hung_up_on_while_the_client_goes_on() -> None:
    hung_up: list[bool] = []

    async def handler(asked: Asked, write: Write) -> None:
        if asked.json["params"]["name"] == "list_notes":
            await asyncio.sleep(0.2)
            assert hung_up == [True]
            await says({"structuredContent": {"items": []}})(asked, write)
            return
        await write(STREAM)
        try:
            while True:
                await write(chunk(b":\n"))
                await asyncio.sleep(0.01)
        finally:
            hung_up.append(True)

    heard = hear(handler, FETCH, List(), bounds=Bounds(seconds=1))
    assert [reply.kind for reply in heard.replies] == [AnswerKind.TIMEOUT, AnswerKind.EMPTY]


async def silent(_asked: Asked, _write: Write) -> None:
    await asyncio.sleep(30)


@pytest.mark.parametrize("at", ["on_call", "on_hello"])
def test_a_server_that_never_answers_is_a_timeout(at: str) -> None:
    heard = (
        hear(silent, FETCH, bounds=BRIEF) if at == "on_call" else hear(says({}), FETCH, bounds=BRIEF, on_hello=silent)
    )
    clean(heard, AnswerKind.TIMEOUT)


@pytest.mark.parametrize(("retry", "kind"), [(0, AnswerKind.MALFORMED), (999_999_999, AnswerKind.TIMEOUT)])
def test_a_stream_that_wants_to_be_resumed_for_ever_is_not(retry: int, kind: AnswerKind) -> None:
    bounds = Bounds(seconds=3) if kind is AnswerKind.MALFORMED else BRIEF
    heard = hear(streams(event(NOTICE, "id: 1", f"retry: {retry}")), FETCH, bounds=bounds)
    clean(heard, kind)
    assert len(heard.asked) <= 25


def test_a_stream_that_is_resumed_once_is_read_to_its_end() -> None:
    calls: list[Asked] = []

    async def handler(asked: Asked, write: Write) -> None:
        calls.append(asked)
        if asked.body:
            await streams(b"id: 1\nretry: 1\ndata:\n\n")(asked, write)
        else:
            await streams(good(calls[0]))(asked, write)

    heard = hear(handler, FETCH)
    clean(heard, AnswerKind.ITEMS)
    assert calls[1].headers["last-event-id"] == "1"


def test_a_client_that_is_stopped_in_the_middle_leaves_nothing_behind() -> None:
    notes = NoteServer(asks_back=True)

    async def run() -> set[str]:
        async with serving(notes):
            before = asyncio.all_tasks()
            task = asyncio.create_task(perform(spec(url=notes.url), access(ALICE), *[FETCH] * 100))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return {str(each) for each in asyncio.all_tasks() - before if "sectum" in str(each)}

    assert asyncio.run(run()) == set()


# --- where it goes, what it asks


@pytest.mark.parametrize("location", ["/mcp/", "http://127.0.0.1:9/", "//elsewhere.invalid/", "\x01"])
@pytest.mark.parametrize("status", ["301 Moved", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_no_redirect_is_followed_not_even_at_home(location: str, status: str) -> None:
    heard = hear(says(b"", f"Location: {location}", status=status), FETCH)
    assert heard.reply.kind in (AnswerKind.REDIRECTED, AnswerKind.UNREACHABLE)
    assert [asked.target for asked in heard.asked if asked.body and asked.json["method"] == "tools/call"] == ["/mcp"]
    assert {asked.target for asked in heard.asked} == {"/mcp"}


@pytest.mark.filterwarnings("ignore:.*deprecated:mcp.MCPDeprecationWarning")
def test_a_server_that_asks_for_sampling_elicitation_and_roots_is_declined_and_answers_all_the_same() -> None:
    notes = NoteServer(asks_back=True)
    notes.notes["note-000001"] = (ALICE, "t", MARKER)

    async def run() -> Talk:
        async with serving(notes):
            return await perform(spec(url=notes.url), access(ALICE), Fetch("note-000001"))

    heard = asyncio.run(run())
    assert heard.reply.kind is AnswerKind.ITEMS
    assert [each.partition(":")[0] for each in notes.said_no] == ["sampling", "elicitation", "roots"]
    assert heard.left == set()


def test_a_flood_of_requests_by_the_server_is_answered_so_far_and_no_further() -> None:
    heard = hear(streams(*[event({**SAMPLING, "id": number}) for number in range(100)], good), FETCH)
    clean(heard, AnswerKind.ITEMS)
    declined = [asked.json for asked in heard.asked if asked.body and "error" in asked.json]
    assert len(declined) == 20
    assert {each["error"]["code"] for each in declined} == {-32601}
    assert MARKER not in json.dumps(declined)


@pytest.mark.parametrize("session", ["a b", "x" * 2000, "\xe9"])
def test_a_session_id_that_is_none_is_malformed(session: str) -> None:
    clean(hear(says({}), FETCH, on_hello=says(HELLO, f"Mcp-Session-Id: {session}")), AnswerKind.MALFORMED)


# --- broken and mischievous answers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"jsonrpc": "2.0"}',
        b'{"jsonrpc": "2.0", "id": 1, "result": 5}',
        b'{"jsonrpc": "1.0", "id": 1, "result": {}}',
        b'{"jsonrpc": "2.0", "id": 1, "error": "no"}',
        b"\xff\xfe{\0}\0",
        b'{"jsonrpc": "2.0", "id": {}, "method": "tools/call"}',
    ],
)
@pytest.mark.parametrize("as_event", [False, True])
def test_what_is_no_answer_is_malformed_at_once(body: bytes, as_event: bool) -> None:
    began = time.perf_counter()
    clean(hear(streams(b"data: " + body + b"\n\n") if as_event else says(body), FETCH), AnswerKind.MALFORMED)
    assert time.perf_counter() - began < 5


def test_a_server_that_says_back_what_it_was_sent_ends_at_once() -> None:
    async def echo(asked: Asked, write: Write) -> None:
        await write(answer(asked.body, "Content-Type: application/json"))

    heard = hear(echo, FETCH)
    clean(heard, AnswerKind.MALFORMED)
    assert LOCATION in heard.text


@pytest.mark.parametrize("content_type", ["text/html", "", "application/jsonp"])
def test_another_type_of_content_is_malformed(content_type: str) -> None:
    heard = hear(says({"structuredContent": {"id": "1", "text": MARKER}}, f"Content-Type: {content_type}"), FETCH)
    assert heard.reply.kind in (AnswerKind.MALFORMED, AnswerKind.ITEMS)
    assert MARKER in heard.text


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_are_scanned_however_they_are_cut_and_whatever_ends_their_lines(ending: str, size: int) -> None:
    async def handler(asked: Asked, write: Write) -> None:
        text = json.dumps(result(asked, {"structuredContent": {"id": "1", "text": "MARKER"}}))
        text = text.replace("MARKER", "\\u004bX7-quartz-heron-2291").replace(', "id"', f',{ending}data: "id"')
        data = f": hallo{ending}data: {text}{ending}{ending}".encode()
        await write(STREAM)
        for start in range(0, len(data), size):
            await write(chunk(data[start : start + size]))
            await asyncio.sleep(0)
        await write(b"0\r\n\r\n")

    heard = hear(handler, FETCH)
    clean(heard, AnswerKind.ITEMS)
    assert MARKER in heard.text
    assert "hallo" in heard.text


def test_an_event_that_the_server_broke_off_is_scanned() -> None:
    heard = hear(streams(f'data: "{MARKER}'.encode()), FETCH)
    clean(heard, AnswerKind.MALFORMED)
    assert MARKER in heard.text


def test_a_session_that_the_server_breaks_off_is_opened_again() -> None:
    async def hang_up(_asked: Asked, _write: Write) -> None:
        raise ConnectionResetError

    heard = hear(hang_up, FETCH, List())
    assert [reply.kind for reply in heard.replies] == [AnswerKind.UNREACHABLE] * 2


# --- silence

SECRETS = (CREDENTIAL, LOCATION, MARKER)
BAD: list[Handler] = [
    says({"structuredContent": {"id": LOCATION, "text": MARKER}}),
    says(MARKER.encode()),
    says(b'{"jsonrpc": "2.0", "id": "' + MARKER.encode() + b'", "result": 5}'),
    says({"error": MARKER}, f"X-Debug: {MARKER}", status=f"500 {MARKER}"),
    says(b"", f"Location: http://{MARKER}.invalid/", status="307 Temporary Redirect"),
    says({}, f"Content-Type: {MARKER}"),
    streams(b"event: " + MARKER.encode() + b"\ndata: {}\n\n"),
    streams(b"data: " + MARKER.encode() + b"\n\n"),
    streams(event(SAMPLING), good),
    says({}, f"Set-Cookie: a={MARKER}; Max-Age={MARKER}; Expires={MARKER}"),
]
ACTIONS: tuple[Action, ...] = (WhoAmI(), FETCH, List(), Fetch(LOCATION, token="foreign-key", as_if=BOB))


def shown(*texts: str) -> list[str]:
    return [secret for secret in SECRETS if any(secret in text for text in texts)]


@pytest.mark.parametrize("handler", BAD)
def test_nothing_is_logged_or_shown_of_what_is_sent_and_what_comes_back(
    handler: Handler, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    heard = hear(
        handler, *ACTIONS, bounds=Bounds(seconds=2), on_hello=says(HELLO, f"Mcp-Session-Id: {MARKER}"), tokens=TOKENS
    )
    gc.collect()  # exceptions that nobody retrieved are logged when their task goes
    assert len(heard.replies) == len(ACTIONS)
    assert shown(caplog.text, *capfd.readouterr(), *map(repr, heard.replies)) == []


def test_the_look_at_logs_sees_what_the_sdk_would_show(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="mcp.client")
    caplog.set_level(logging.DEBUG)
    hear(says({"structuredContent": {"id": LOCATION, "text": MARKER}}), FETCH)
    hear(streams(b"data: " + MARKER.encode() + b"\n\n"), FETCH)
    assert set(shown(caplog.text)) == {LOCATION, MARKER}


@pytest.mark.parametrize("name", ["mcp.client.streamable_http", "httpx2", "httpcore2.http11"])
def test_the_sdks_loggers_are_quiet_whatever_the_root_logger_lets_through(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert not logging.getLogger(name).isEnabledFor(logging.CRITICAL)


def test_no_object_of_the_adapter_shows_anything_in_its_repr() -> None:
    async def reprs() -> list[str]:
        async with spec().session(access(ALICE, CREDENTIAL)) as client:
            pending = [asyncio.create_task(client.perform(action, str)) for action in ACTIONS[:3]]
            await asyncio.sleep(0)
            texts = [repr(client), *map(repr, pending), *map(repr, asyncio.all_tasks())]
            await asyncio.gather(*pending)
            return texts

    assert shown(*asyncio.run(reprs())) == []
