"""Stage records are signed by the run's key, and read back only as they were signed."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sectum import dsse
from sectum.codec import NotCanonical, b64, canonical, parse, sha256, unb64
from sectum.records import RECORD_TYPE, Record, RecordKind, Signed, read_record, run_key_id, sign_record

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes(31) + bytes([each])) for each in (1, 2))


def public(key: Ed25519PrivateKey) -> str:
    return b64(key.public_key().public_bytes_raw())


RECORD = Record(
    run="r",
    manifest="0" * 64,
    stage="probe",
    surface="api",
    attempt=1,
    kind=RecordKind.LEAK,
    number=2,
    previous="1" * 64,
    pod=None,
    image=None,
    body={"rows": [1, "x", None]},
)
SIGNED = sign_record(RECORD, KEY)


@pytest.mark.parametrize("kind", RecordKind)
def test_a_record_is_read_back_as_it_was_signed(kind: RecordKind) -> None:
    record = replace(RECORD, kind=kind)
    assert read_record(sign_record(record, KEY), public(KEY)) == record
    signed = Signed(record, sign_record(record, KEY))
    assert signed.name == f"probe-api-1-000002-{kind}-{sha256(signed.data)[:16]}.json"


def test_a_record_of_another_key_is_refused() -> None:
    with pytest.raises(NotCanonical, match="another key"):
        read_record(SIGNED, public(OTHER))
    forged = dsse.envelope(RECORD_TYPE, b"{}", sign=OTHER.sign, keyid=run_key_id(public(KEY)))
    with pytest.raises(NotCanonical, match="does not verify"):
        read_record(canonical(forged), public(KEY))


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_any_byte_of_a_record_that_is_changed_is_refused(place: int, by: int) -> None:
    with pytest.raises(NotCanonical):
        read_record(SIGNED[:place] + bytes([SIGNED[place] ^ by]) + SIGNED[place + 1 :], public(KEY))


WHOLE = parse(unb64(parse(SIGNED)["payload"]))
MISSHAPEN: dict[str, Any] = {
    "a list": [],
    "a field missing": {name: value for name, value in WHOLE.items() if name != "body"},
    "a field more": {**WHOLE, "extra": 1},
    "an unknown kind": {**WHOLE, "kind": "boast"},
    "no kind": {**WHOLE, "kind": None},
}


@pytest.mark.parametrize("payload", MISSHAPEN.values(), ids=MISSHAPEN)
def test_what_the_run_s_key_signed_but_is_no_record_is_refused(payload: Any) -> None:
    envelope = dsse.envelope(RECORD_TYPE, canonical(payload), sign=KEY.sign, keyid=run_key_id(public(KEY)))
    with pytest.raises(NotCanonical):
        read_record(canonical(envelope), public(KEY))


@pytest.mark.parametrize("key", ["", "AAAA", "not base64", b64(bytes(33))])
def test_a_public_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(NotCanonical):
        read_record(SIGNED, key)
