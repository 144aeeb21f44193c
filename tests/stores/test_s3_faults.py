"""An S3 server that fails half-way: what was done counts, what may go better is told from what will not."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sectum.codec import sha256
from sectum.errors import AlreadyStored, NotStored, StoreFault

from tests.between import CUT, DONE_AND_CUT, DONE_AND_FAILED, HALF, THROUGH, Act, Asked, between, self_signed
from tests.stores.s3_server import ACCESS, S3, SECRET
from tests.stores.test_s3 import faults, opened, prefix, quick

Script = Callable[[Asked], Act]
TAG = (("ETag", '"1"'),)
TOLD = "words-of-the-server-41c7"


def says(status: int, code: str = "SomeCode") -> Act:
    return Act(status=status, body=f"<Error><Code>{code}</Code><Message>{TOLD}</Message></Error>".encode())


def first(method: str, act: Act) -> Script:
    """Does `act` to the first request of a method, lets all others through."""
    return lambda asked: act if (asked.method, asked.number) == (method, 1) else THROUGH


LANDED = {
    "cut": DONE_AND_CUT,
    "failed": DONE_AND_FAILED,
    "busy": Act(hand_on=True, status=503),
    "half": Act(hand_on=True, status=500, body=b"<Error>" * 99, half=True),
}


@pytest.mark.parametrize("act", LANDED.values(), ids=LANDED)
def test_a_put_that_landed_though_its_answer_was_lost_is_stored(s3: S3, act: Act) -> None:
    with between(first("PUT", act), port=s3.port) as proxy:
        objects = quick(opened(proxy.origin, prefix=prefix()))
        assert asyncio.run(objects.create("a", b"mine")) == sha256(b"mine")
        assert proxy.methods() == ["PUT", "PUT", "GET", "GET"]


def test_a_put_whose_answers_are_all_lost_is_temporary_and_may_be_kept_later(s3: S3) -> None:
    here = prefix()
    with between(lambda asked: DONE_AND_CUT if asked.method == "PUT" else CUT, port=s3.port) as proxy:
        with pytest.raises(StoreFault) as fault:
            asyncio.run(quick(opened(proxy.origin, prefix=here)).create("a", b"mine"))
        assert fault.value.temporary
    later = opened(s3.endpoint, prefix=here)
    assert asyncio.run(later.read("a")) == b"mine"
    with pytest.raises(AlreadyStored):
        asyncio.run(later.create("a", b"mine"))


def test_another_writers_object_is_not_taken_for_ours_after_a_lost_answer(s3: S3) -> None:
    here = prefix()
    asyncio.run(opened(s3.endpoint, prefix=here).create("a", b"another's"))
    for act in (CUT, *LANDED.values()):
        with between(first("PUT", act), port=s3.port) as proxy, pytest.raises(AlreadyStored):
            asyncio.run(quick(opened(proxy.origin, prefix=here)).create("a", b"mine"))


def test_a_conflict_is_another_put_under_way_and_no_object(s3: S3) -> None:
    conflict = says(409, "ConditionalRequestConflict")
    with between(first("PUT", conflict), port=s3.port) as proxy:
        assert asyncio.run(quick(opened(proxy.origin, prefix=prefix())).create("a", b"x")) == sha256(b"x")
    with between(conflict) as server:
        [put, *_] = faults(quick(opened(server.origin)))
        assert put.temporary
        assert server.methods()[:4] == ["PUT"] * 4


@pytest.mark.parametrize("act", [CUT, HALF, says(500), says(503, "SlowDown")], ids=["cut", "half", "500", "503"])
def test_reading_and_listing_are_tried_again(s3: S3, act: Act) -> None:
    here = prefix()
    asyncio.run(opened(s3.endpoint, prefix=here).create("series/1", b"bytes" * 1000))
    with between(first("GET", act), port=s3.port) as proxy:
        assert asyncio.run(quick(opened(proxy.origin, prefix=here)).read("series/1")) == b"bytes" * 1000
    with between(first("GET", act), port=s3.port) as proxy:
        assert asyncio.run(quick(opened(proxy.origin, prefix=here)).names("series/")) == ["series/1"]


TEMPORARY = {"cut": CUT, "500": says(500), "502": says(502), "503": says(503), "429": says(429), "408": says(408),
             "409": says(409)}  # fmt: skip
FINAL = {"400": says(400), "401": says(401), "403": says(403, "AccessDenied"), "501": says(501), "301": says(301),
         "418": says(418), "no bucket": says(404, "NoSuchBucket")}  # fmt: skip


@pytest.mark.parametrize("act", TEMPORARY.values(), ids=TEMPORARY)
def test_what_may_go_better_is_tried_four_times_and_then_temporary(act: Act) -> None:
    with between(act) as server:
        for fault in faults(quick(opened(server.origin))):
            assert fault.temporary
            quiet(fault)
        assert server.methods() == ["PUT"] * 4 + ["GET"] * 8


@pytest.mark.parametrize("act", FINAL.values(), ids=FINAL)
def test_what_will_not_go_better_is_tried_once_and_final(act: Act) -> None:
    with between(act) as server:
        for fault in faults(quick(opened(server.origin))):
            assert not fault.temporary
            quiet(fault)
        assert server.methods() == ["PUT", "GET", "GET"]


def quiet(fault: StoreFault) -> None:
    """Neither the server's words nor its address nor a credential is in it."""
    for word in (TOLD, ACCESS, SECRET, "127.0.0.1", "http://", "Code"):
        assert word not in str(fault)
    assert fault.__suppress_context__
    assert fault.__cause__ is None


def test_a_missing_object_is_none_of_these() -> None:
    with between(says(404, "NoSuchKey")) as server, pytest.raises(NotStored):
        asyncio.run(opened(server.origin).read("a"))


def test_a_server_that_says_yes_to_everything_stores_nothing() -> None:
    portal = Act(status=200, body=b"<html>log in here</html>", headers=TAG)
    with between(portal) as server, pytest.raises(StoreFault, match="reads back as other bytes"):
        asyncio.run(opened(server.origin).create("a", b"x"))


def test_an_object_that_is_gone_at_once_is_not_stored() -> None:
    with (
        between(
            lambda asked: Act(status=200, headers=TAG) if asked.method == "PUT" else says(404, "NoSuchKey")
        ) as server,
        pytest.raises(StoreFault, match="was stored and is not there"),
    ):
        asyncio.run(opened(server.origin).create("a", b"x"))


def test_a_certificate_that_nobody_knows_is_final(tmp_path: Path) -> None:
    with between(says(200), certificate=self_signed(tmp_path)) as server:
        for fault in faults(opened(server.origin)):
            assert not fault.temporary
            assert "certificate is not trusted" in str(fault)
        assert server.asked == []


def test_a_slow_answer_is_waited_for(s3: S3) -> None:
    with between(first("PUT", Act(hand_on=True, seconds=1.5)), port=s3.port) as proxy:
        assert asyncio.run(opened(proxy.origin, prefix=prefix()).create("a", b"x")) == sha256(b"x")
        assert proxy.methods() == ["PUT", "GET"]
