"""DSSE envelopes: the specification's own example, and whatever is not such an envelope is refused."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from sectum import dsse
from sectum.codec import NotCanonical, b64, unb64

TYPE, PAYLOAD = "http://example.com/HelloWorld", b"hello world"


def by(key: bytes) -> Callable[[bytes], bytes]:
    return lambda data: hmac.digest(key, data, hashlib.sha256)


def checks(key: bytes) -> Callable[[bytes, bytes], bool]:
    return lambda data, signature: hmac.compare_digest(by(key)(data), signature)


def an_envelope() -> dict[str, Any]:
    return dsse.envelope(TYPE, PAYLOAD, sign=by(b"mine"), keyid="k1")


def test_the_encoding_is_that_of_the_specification() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md#test-vectors
    assert dsse.pae(TYPE, PAYLOAD) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert dsse.pae("ä", b"") == b"DSSEv1 2 \xc3\xa4 0 "  # lengths are bytes'


def test_the_signature_of_the_specification_verifies_over_our_encoding() -> None:
    x = 46950820868899156662930047687818585632848591499744589407958293238635476079160
    y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
    raw = unb64("A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==")
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    key.verify(signature, dsse.pae(TYPE, PAYLOAD), ec.ECDSA(hashes.SHA256()))


def test_what_was_enveloped_comes_out_again() -> None:
    assert dsse.open_envelope(an_envelope(), payload_type=TYPE, verify=checks(b"mine"), keyid="k1") == PAYLOAD
    assert dsse.open_envelope(an_envelope(), payload_type=TYPE, verify=checks(b"mine")) == PAYLOAD


def test_another_key_is_refused() -> None:
    with pytest.raises(NotCanonical):
        dsse.open_envelope(an_envelope(), payload_type=TYPE, verify=checks(b"other"))
    with pytest.raises(NotCanonical, match="another key"):
        dsse.open_envelope(an_envelope(), payload_type=TYPE, verify=checks(b"mine"), keyid="k2")


SIGNATURE = an_envelope()["signatures"][0]
BROKEN: dict[str, Any] = {
    "another payload": {"payload": b64(b"hello World")},
    "a payload spelt in another way": {"payload": an_envelope()["payload"].rstrip("=")},
    "no text as payload": {"payload": 5},
    "another type": {"payloadType": "http://example.com/Hello"},
    "no type": {"payloadType": None},
    "no signature": {"signatures": []},
    "the signature twice": {"signatures": [SIGNATURE, SIGNATURE]},
    "no list of signatures": {"signatures": 5},
    "a signature that is none": {"signatures": [5]},
    "a signature without key": {"signatures": [{"sig": SIGNATURE["sig"]}]},
    "a signature with more in it": {"signatures": [{**SIGNATURE, "cert": ""}]},
    "a signature that is no text": {"signatures": [{**SIGNATURE, "sig": 5}]},
    "a changed signature": {"signatures": [{**SIGNATURE, "sig": b64(bytes(32))}]},
    "more in it": {"extra": 1},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_an_envelope_that_was_changed_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(NotCanonical):
        dsse.open_envelope({**an_envelope(), **change}, payload_type=TYPE, verify=checks(b"mine"))


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, {"payload": "", "payloadType": TYPE}])
def test_what_is_no_envelope_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        dsse.open_envelope(value, payload_type=TYPE, verify=checks(b"mine"))
