"""Canonical JSON (RFC 8785) and base64 have one spelling each, and no other is read."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sectum.codec import NotCanonical, b64, canonical, digest, parse, sha256, unb64

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    # A whole number from 2^53 to 10^21 is written without a point, and refused when it is read.
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda each: not 2**53 <= abs(each) < 1e21)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)

# RFC 8785, appendix B
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_rfc_8785_writes_them(bits: str, text: str) -> None:
    assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


def test_the_example_of_rfc_8785_comes_out_as_printed_there() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(value) == expected.encode()


def test_keys_are_sorted_by_utf_16_code_units() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    order = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]  # RFC 8785, section 3.2.3
    assert list(parse(canonical(dict.fromkeys(names, 0)))) == order


@given(JSON)
def test_what_is_written_is_read_back_and_written_the_same(value: object) -> None:
    assert parse(canonical(value)) == value
    assert canonical(parse(canonical(value))) == canonical(value)


OTHER_SPELLINGS = [
    b'{"a":1 }',
    b'{"a":1}\n',
    b'{"b":1,"a":2}',
    b'{"a":1,"a":1}',
    b'{"a":1,"a":2}',
    b"[1.0]",
    b"[1e0]",
    b"[-0]",
    b"[NaN]",
    b"[1e999]",
    b"[9007199254740993]",
    b'["\\u0061"]',
    b'["\\/"]',
    b'["\\ud800"]',
    b'\xef\xbb\xbf{"a":1}',
    '{"a":1}'.encode("utf-16"),
    b'["\xff"]',
    b"",
    b"nul",
    b"1" * 5000,
    b"[" * 100_000,
]


@pytest.mark.parametrize("data", OTHER_SPELLINGS, ids=lambda data: repr(data[:20]))
def test_any_other_spelling_of_a_value_is_refused(data: bytes) -> None:
    with pytest.raises(NotCanonical):
        parse(data)


@given(st.binary(max_size=40))
def test_base64_is_read_back(data: bytes) -> None:
    assert unb64(b64(data)) == data


@pytest.mark.parametrize(
    "text",
    ["QQ", "QR==", "QQ==\n", " QQ==", "QUJ=", "QUI", "QUI==", "-_-_", "Q Q==", "QQ==QQ==", "ä", None, 5, b"QQ=="],
)
def test_base64_has_one_spelling_and_no_spare_bits(text: str) -> None:
    with pytest.raises(NotCanonical):
        unb64(text)


@given(st.binary(min_size=1, max_size=30), st.data())
def test_no_letter_of_a_base64_text_can_be_changed_unseen(data: bytes, draw: st.DataObject) -> None:
    text = b64(data)
    place = draw.draw(st.integers(0, len(text) - 1))
    letter = draw.draw(st.sampled_from(sorted(set("ABZaz09+/= \n") - {text[place]})))
    with suppress(NotCanonical):
        assert unb64(text[:place] + letter + text[place + 1 :]) != data


def test_a_digest_is_that_of_the_canonical_form() -> None:
    assert digest({"b": 1, "a": 2}) == sha256(b'{"a":2,"b":1}')
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
