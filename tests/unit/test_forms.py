"""Forms: the numbered list, and that each row is undone by what says it undoes it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sectum.forms import (
    HOMOGLYPHS,
    TRANSFORMATIONS,
    ZERO_WIDTH,
    base64_runs,
    fold,
    skeleton,
    undo,
    undo_cased_base64,
)

BY_NAME = {row.name: row for row in TRANSFORMATIONS}
SPELLINGS = ("identity", "case", "width", "zero-width", "homoglyphs")
ENCODINGS = ("base64", "hex", "url-escape", "json-escape")
seeds = st.integers(min_value=0)
words = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=6, max_size=40)


def test_the_list_is_numbered_and_named_as_the_documents_cite_it() -> None:
    assert [(row.number, row.name) for row in TRANSFORMATIONS] == list(
        enumerate((*SPELLINGS, "base64", "hex", "url-escape", "json-escape", "reversal"), start=1)
    )


def first(n: int) -> int:
    return 0


def last(n: int) -> int:
    return n - 1


@pytest.mark.parametrize(
    ("name", "below", "expected"),
    [
        ("identity", first, "Acme 7k"),
        ("case", first, "ACME 7K"),
        ("case", lambda n: min(n - 1, 1), "acme 7k"),
        ("width", first, "Ａｃｍｅ　７ｋ"),
        ("zero-width", last, "".join(letter + "\u00ad\u00ad" for letter in "Acme 7k")),
        ("homoglyphs", lambda n: min(n - 1, 1), "Асме 7к"),
        ("base64", first, "QWNtZSA3aw=="),
        ("base64", last, "LS1BY21lIDdrLS0"),
        ("hex", first, "41636d6520376b"),
        ("hex", last, "41636D6520376B"),
        ("url-escape", last, "%41%63%6D%65%20%37%6B"),
        ("url-escape", lambda n: 0 if n == 3 else 1, "Acme%207k"),
        ("json-escape", lambda n: n - 1 if n == 3 else 0, r"\u0041\u0063\u006d\u0065\u0020\u0037\u006b"),
        ("reversal", first, "k7 emcA"),
    ],
)
def test_a_transformation_does_what_its_name_says(name: str, below, expected: str) -> None:
    assert BY_NAME[name].apply("Acme 7k", below) == expected


@pytest.mark.parametrize("outer", SPELLINGS)
@pytest.mark.parametrize("inner", SPELLINGS)
@given(text=words, seed=seeds)
def test_folding_undoes_two_spellings(inner: str, outer: str, text: str, seed: int) -> None:
    below = random.Random(seed).randrange
    form = BY_NAME[outer].apply(BY_NAME[inner].apply(text, below), below)
    assert skeleton(fold(form)) == skeleton(fold(text))


@pytest.mark.parametrize("name", ENCODINGS)
@given(text=words, seed=seeds)
def test_undoing_an_encoding_gives_its_text(name: str, text: str, seed: int) -> None:
    form = BY_NAME[name].apply(text, random.Random(seed).randrange)
    assert form == text or any(found == name and text.encode() in decoded for found, decoded in undo(form.encode()))


@given(text=st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=6, max_size=16), seed=seeds)
def test_base64_of_small_letters_is_read_without_its_case(text: str, seed: int) -> None:
    below = random.Random(seed).randrange
    form = BY_NAME["case"].apply(BY_NAME["base64"].apply(text, below), below)
    assert text.encode() in undo_cased_base64(base64_runs(form.encode()))


def test_a_homoglyph_stands_for_one_letter_and_is_none_of_ascii() -> None:
    twins = [twin for twins in HOMOGLYPHS.values() for twin in twins]
    assert len(twins) == len(set(twins))
    assert not any(twin.isascii() for twin in twins)
    assert all(fold(twin).decode() == letter for letter, twins in HOMOGLYPHS.items() for twin in twins)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("𝐀𝓬𝗆ⅇ", b"Acme"),  # mathematical letters
        ("Ａｃｍｅ　１", b"Acme 1"),
        ("Асме", b"Acme"),  # Cyrillic
        ("Zürich", b"Zurich"),
        ("é", b"e"),
        (ZERO_WIDTH + "\u202e\ud800漢字😀", b""),
        ("①ﬁ", b"1fi"),
    ],
)
def test_what_stands_for_ascii_is_read_as_ascii_and_the_rest_left_out(text: str, read: bytes) -> None:
    assert fold(text) == read


@given(st.text(), st.text())
def test_it_does_not_matter_where_a_text_is_cut_before_folding(left: str, right: str) -> None:
    assert fold(left) + fold(right) == fold(left + right)


@given(st.binary().map(lambda text: text.decode("latin-1")))
def test_no_text_makes_reading_fail(text: str) -> None:
    for _, decoded in undo(fold(text)):
        skeleton(decoded).decode("ascii")
    skeleton(undo_cased_base64(base64_runs(fold(text)))).decode("ascii")
