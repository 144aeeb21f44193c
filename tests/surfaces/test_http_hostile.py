"""Promise 6 of product.md, sentence by sentence, against a server that says whatever bytes it likes."""

import asyncio
import gzip
import json
import pickle
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from sectum.actions import Action, AnswerKind, Ask, Fetch, List, Search, WhoAmI
from sectum.ports import Bounds

from tests.surfaces.raw_server import Asked, Write, answer, hear, says

MARKER = "KX7-quartz-heron-2291"
FETCH: dict[str, Any] = {"fetch": {"request": {"path": "/d/{location}"}}}
LIST: dict[str, Any] = {"list": {"request": {"path": "/d"}, "items": "$.items[*]", "next": "$.next"}}
SMALL = Bounds(bytes=2000, depth=10, pages=4, seconds=5)
BRIEF = Bounds(seconds=0.5)


def fetch(response: bytes, bounds: Bounds = SMALL) -> Any:
    return hear(response, Fetch("1"), bounds=bounds, **FETCH)


# --- size


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Oops", "302 Found"])
def test_an_answer_beyond_the_bytes_is_cut_and_what_came_before_the_cut_is_scanned(status: str) -> None:
    heard = fetch(answer(MARKER.encode() + b"x" * 5000 + b"beyond", status=status))
    assert heard.reply.kind is AnswerKind.TOO_LARGE
    assert MARKER in heard.text
    assert "beyond" not in heard.text


def test_an_endless_answer_is_cut() -> None:
    async def endless(_asked: Asked, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await write(b"400\r\n" + b"y" * 0x400 + b"\r\n")

    assert hear(endless, Fetch("1"), bounds=SMALL, **FETCH).reply.kind is AnswerKind.TOO_LARGE


def test_the_pages_of_one_listing_share_the_bound_on_bytes() -> None:
    async def pages(asked: Asked, write: Write) -> None:
        await write(answer({"items": [{"id": "1", "text": "z" * 900}], "next": f"{asked.target}x"}))

    heard = hear(pages, List(), bounds=Bounds(bytes=2000, pages=20), **LIST)
    assert heard.reply.kind is AnswerKind.TOO_LARGE
    assert len(heard.asked) == 3


def test_a_gzip_bomb_is_counted_unpacked() -> None:
    bomb = gzip.compress(MARKER.encode() + b"\0" * 50_000_000)
    tracemalloc.start()
    try:
        heard = fetch(answer(bomb, "Content-Encoding: gzip"), Bounds(bytes=1 << 16))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert heard.reply.kind is AnswerKind.TOO_LARGE
    assert MARKER in heard.text
    assert most < 4_000_000


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd", "gzip"])
def test_packing_that_was_not_asked_for_and_cannot_be_read_is_malformed(coding: str) -> None:
    heard = fetch(answer({"id": "1"}, f"Content-Encoding: {coding}"))
    assert heard.reply.kind is AnswerKind.MALFORMED
    assert heard.asked[0].headers["accept-encoding"] == "identity"


def test_gzip_is_read_and_what_follows_its_end_is_not_overlooked() -> None:
    document = gzip.compress(json.dumps({"id": "1", "text": MARKER}).encode())
    assert MARKER in fetch(answer(document, "Content-Encoding: gzip")).text
    assert fetch(answer(document + gzip.compress(b"more"), "Content-Encoding: gzip")).reply.kind is AnswerKind.MALFORMED


def test_endless_header_fields_are_refused() -> None:
    async def fields(_asked: Asked, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\n")
        while True:
            await write(b"X-Flood: " + b"f" * 4000 + b"\r\n")

    assert hear(fields, Fetch("1"), bounds=SMALL, **FETCH).reply.kind is AnswerKind.UNREACHABLE


def test_a_flood_of_cookies_is_forgotten() -> None:
    cookies = [f"Set-Cookie: c{number}={'v' * 20}; Path=/" for number in range(100)]
    heard = hear(answer({"id": "1"}, *cookies), Fetch("1"), Fetch("1"), bounds=SMALL, **FETCH)
    assert "cookie" not in heard.asked[1].headers


# --- depth


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_an_answer_nested_too_deep_is_not_parsed_and_still_scanned(brackets: tuple[str, str]) -> None:
    deep = brackets[0] * 100_000 + json.dumps(MARKER) + brackets[1] * 100_000
    heard = fetch(answer(deep.encode()), Bounds())
    assert heard.reply.kind is AnswerKind.TOO_DEEP
    assert MARKER in heard.text


def test_brackets_inside_strings_do_not_nest() -> None:
    heard = fetch(answer({"id": "1", "text": '[{"' * 100 + "\\"}))
    assert heard.reply.kind is AnswerKind.ITEMS


# --- time


def test_a_slow_drip_ends_when_the_time_for_the_whole_answer_is_over() -> None:
    async def drip(_asked: Asked, write: Write) -> None:
        await write(f"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{MARKER}".encode())
        while True:
            await write(b".")
            await asyncio.sleep(0.05)

    began = time.perf_counter()
    heard = hear(drip, Fetch("1"), bounds=BRIEF, **FETCH)
    assert heard.reply.kind is AnswerKind.TIMEOUT
    assert MARKER in heard.text
    assert 0.4 < time.perf_counter() - began < 1.5


def test_a_server_that_never_answers_is_a_timeout() -> None:
    async def silent(_asked: Asked, _write: Write) -> None:
        await asyncio.sleep(30)

    assert hear(silent, Fetch("1"), bounds=BRIEF, **FETCH).reply.kind is AnswerKind.TIMEOUT


@pytest.mark.parametrize(
    ("path", "document"),
    [("$.items[*]", b'{"items":[' + b"1," * 400_000 + b"1]}"), ("$[*][*][*]", b"[" + b"[[]]," * 190_000 + b"[[]]]")],
)
def test_a_full_sized_answer_of_many_items_is_read_in_bounded_time(path: str, document: bytes) -> None:
    search: dict[str, Any] = {"search": {"request": {"path": "/s"}, "items": path, "id": "$"}}
    began = time.perf_counter()
    heard = hear(answer(document), Search("q"), bounds=Bounds(), **search)
    assert heard.reply.kind in (AnswerKind.TOO_LARGE, AnswerKind.EMPTY)
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("path", ["$..id", "$.a[?@.b]", "$[?match(@.x, '(a+)+')]", "$[?@ == $.y]"])
def test_a_path_whose_time_an_answer_could_blow_up_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="names, indexes, slices"):
        hear(answer({}), fetch={"request": {"path": "/"}, "id": path})


# --- no redirect or next link leaves the origin


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temp", "308 Perm"])
@pytest.mark.parametrize("where", ["http://127.0.0.1:9/away", "/elsewhere", "http://[::bad", "//evil.example/"])
def test_no_redirect_is_followed_and_its_header_fields_are_scanned(status: str, where: str) -> None:
    heard = fetch(answer(b"", f"Location: {where}?{MARKER}", status=status))
    assert heard.reply.kind is AnswerKind.REDIRECTED
    assert MARKER in heard.text
    assert len(heard.asked) == 1


@pytest.mark.parametrize(
    "link",
    [
        "http://evil.example/d?page=2",
        "//evil.example/d",
        "https://127.0.0.1/d",
        "http://127.0.0.1:9/d",
        "http://evil.example:{port}/d",
        "//evil.example:{port}/d",
        "https://127.0.0.1:{port}/d",
        "http://alice@127.0.0.1:{port}/d",
        "http://127.0.0.1:{port}@evil.example/d",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "\\\\evil.example\\d",
    ],
)
def test_no_next_link_leaves_the_origin(link: str) -> None:
    async def page(asked: Asked, write: Write) -> None:
        port = asked.headers["host"].rpartition(":")[2]
        await write(answer({"items": [{"id": "1"}], "next": link.replace("{port}", port)}))

    heard = hear(page, List(), bounds=SMALL, **LIST)
    assert heard.reply.kind in (AnswerKind.REDIRECTED, AnswerKind.TOO_LARGE, AnswerKind.ITEMS)
    assert heard.reply.items is not None
    assert all(asked.headers["host"].startswith("127.0.0.1:") for asked in heard.asked)
    if "\\" not in link:  # backslashes are a path here, on our own origin
        assert heard.reply.kind is AnswerKind.REDIRECTED
        assert len(heard.asked) == 1


@pytest.mark.parametrize("link", ["http://[::bad", "http://a\r\nb/", {"a": 1}, True, "x" * 3000])
def test_a_next_link_that_is_none_is_malformed(link: Any) -> None:
    heard = hear(answer({"items": [], "next": link}), List(), **LIST)
    assert heard.reply.kind is AnswerKind.MALFORMED


def test_an_endless_loop_of_next_links_ends() -> None:
    round_trip = says(
        answer({"items": [{"id": "1"}], "next": "/d?page=2"}), answer({"items": [{"id": "2"}], "next": "/d?page=2"})
    )
    heard = hear(round_trip, List(), bounds=SMALL, **LIST)
    assert heard.reply.kind is AnswerKind.ITEMS
    assert len(heard.asked) == 2


def test_pages_without_an_end_are_too_large() -> None:
    async def pages(asked: Asked, write: Write) -> None:
        await write(answer({"items": [{"id": asked.target}], "next": f"{asked.target}x"}))

    heard = hear(pages, List(), bounds=SMALL, **LIST)
    assert heard.reply.kind is AnswerKind.TOO_LARGE
    assert len(heard.asked) == SMALL.pages
    assert len(heard.reply.items or ()) == SMALL.pages


# --- nothing is unpickled or evaluated


class _Mine:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('os').system('true')",)


EVENTS: set[tuple[str, str]] = set()
WATCHED = (
    "pickle.find_class",
    "exec",
    "compile",
    "os.system",
    "os.exec",
    "subprocess.Popen",
    "import",
    "marshal.loads",
)
WATCHING = False


def _audit(event: str, arguments: Any) -> None:
    if WATCHING and event in WATCHED:
        EVENTS.add((event, str(arguments[:1])))


sys.addaudithook(_audit)


def watched(act: Callable[[], Any]) -> set[tuple[str, str]]:
    """The events of interest while it acts."""
    global WATCHING
    EVENTS.clear()
    WATCHING = True
    try:
        act()
    finally:
        WATCHING = False
    return set(EVENTS)


EVIL = [
    answer(pickle.dumps(_Mine()), "Content-Type: application/python-pickle"),
    answer(b"!!python/object/apply:os.system ['true']", "Content-Type: application/yaml"),
    answer({"id": "__import__('os').system('true')", "text": "{user.__class__} ${7*7} {{7*7}} %s"}),
    answer(b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "Content-Type: application/xml"),
    answer(b"\xe9t\xe9", "Content-Type: text/plain; charset=rot13"),
    answer(b"\xe9t\xe9", "Content-Type: application/json; charset=zlib_codec", "Content-Encoding: bz2"),
    answer({"py/object": "os.system", "__proto__": {"a": 1}, "id": "$.id", "$ref": "file:///etc/passwd"}),
]


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_is_unpickled_or_evaluated(evil: bytes) -> None:
    harmless = answer({"id": "1"})
    fetch(harmless)  # what is imported on first use is here now; some imports happen on every call
    usual = watched(lambda: fetch(harmless))
    assert watched(lambda: fetch(evil)) - usual == set()


def test_the_watch_sees_an_unpickling() -> None:
    seen = {event for event, _ in watched(lambda: pickle.loads(pickle.dumps(_Mine())))}
    assert {"pickle.find_class", "exec", "compile", "os.system"} <= seen


def test_a_string_is_parsed_as_json_once_only() -> None:
    heard = fetch(answer(json.dumps('{"id": "inner"}')))
    assert heard.reply.kind is AnswerKind.MALFORMED


# --- what is seen


@pytest.mark.parametrize(
    "response",
    [
        answer({"id": "1", MARKER: 1}),
        answer({"id": "1", "deep": [[{"a": {"b": MARKER}}]]}),
        answer({"id": "1"}, f"X-Debug: {MARKER}"),
        answer({"id": "1"}, f"X-{MARKER}: 1"),
        answer({"id": "1"}, f"Set-Cookie: s={MARKER}"),
        answer({"id": "1"}, status=f"200 {MARKER}"),
        answer(b"", f"Location: /d/{MARKER}", status="201 Created"),
        answer({"error": MARKER}, status="403 Forbidden"),
        answer(f"<html>{MARKER}".encode(), status="500 Oops"),
        answer(MARKER.encode("utf-16")),
        answer(b"\xef\xbb\xbf" + MARKER.encode()),
        answer(b"a\0" + MARKER.encode()),
        answer(b"\xff\xfe\xfd" + MARKER.encode()),
        answer(f'{{"a": "{MARKER}", "a": 1, "id": "1"}}'.encode()),
        answer(json.dumps({"id": "1", "a": MARKER}).replace("q", "\\u0071").encode()),
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + MARKER.encode(),
    ],
)
def test_a_marker_is_seen_wherever_an_answer_can_hide_it(response: bytes) -> None:
    async def once(_asked: Asked, write: Write) -> None:
        await write(response)
        raise ConnectionResetError

    assert MARKER in hear(once, Fetch("1"), bounds=SMALL, **FETCH).text


def test_numbers_are_seen_digit_by_digit_as_they_were_sent() -> None:
    heard = fetch(answer(b'{"id": 1, "card": 40000012345678901234567890.10, "big": ' + b"9" * 1500 + b"}"))
    assert "40000012345678901234567890.10" in heard.text
    assert "9" * 1500 in heard.text


def test_leaves_are_kept_apart() -> None:
    heard = fetch(answer({"id": "1", "a": "KX7-quartz", "b": "-heron-2291"}))
    assert MARKER not in heard.text
    assert "KX7-quartz\n" in heard.text


def test_half_a_surrogate_pair_can_be_encoded_again() -> None:
    heard = fetch(answer(b'{"id": "\\ud800", "text": "\\ud800"}'))
    assert heard.reply.items is not None
    (heard.text + heard.reply.items[0].location + heard.reply.items[0].text).encode()


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 9 x\r\n\r\n", b""])
def test_what_is_no_http_is_unreachable(garbage: bytes) -> None:
    async def once(_asked: Asked, write: Write) -> None:
        await write(garbage)
        raise ConnectionResetError

    assert hear(once, Fetch("1"), bounds=SMALL, **FETCH).reply.kind is AnswerKind.UNREACHABLE


# --- an answer that everybody gets proves nothing

ECHO = {
    "whoami": {"request": {"path": "/me"}, "expect": {"$.t": "{tenant}", "$.u": "{user}"}},
    "ask": {"request": {"path": "/q", "query": {"q": "{question}"}}},
}


@pytest.mark.parametrize(
    "said", [{}, {"t": "acme"}, {"t": "acme", "u": "bob"}, {"t": ["acme"], "u": "alice"}, [], "acme", None, 1]
)
def test_whoami_is_not_proven_by_less_than_the_expected_values(said: Any) -> None:
    assert hear(answer(said), WhoAmI(), bounds=SMALL, **ECHO).reply.identity is False


def test_whoami_is_not_proven_by_one_value_among_others() -> None:
    expect = {"$.t[*]": "{tenant}", "$.u": "{user}"}
    whoami = {"request": {"path": "/me"}, "expect": expect}
    heard = hear(answer({"t": ["acme", "globex"], "u": "alice"}), WhoAmI(), whoami=whoami)
    assert heard.reply.identity is False


@pytest.mark.parametrize("action", [WhoAmI(), Ask("x")])
def test_an_echo_is_text_for_the_sink_and_no_proof(action: Action) -> None:
    async def echo(asked: Asked, write: Write) -> None:
        await write(answer(f"{asked.line} {asked.headers}".encode()))

    heard = hear(echo, action, bounds=SMALL, **ECHO)
    assert heard.reply.identity in (None, False)
    assert "GET /" in heard.text
