"""Markers: what is drawn, how much it carries, and that nothing gives it away."""

import random
import re
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sectum.forms import fold, skeleton
from sectum.markers import ALPHABET, WORDS, Kind, draw, units

seeds = st.integers(min_value=0)

GRAMMAR = {
    Kind.HARD: (re.compile("[0-9a-hjkmnp-tv-z]{16}"), 77.0),
    Kind.ENTITY: (re.compile("[A-Z][a-z]{6,13}( [A-Z][a-z]{6,13}){5}"), 72.0),
    Kind.SECRET: (re.compile("ZZ00[0-9]{22}"), 22 * log2(10)),
}


@pytest.mark.parametrize("kind", Kind)
@given(seed=seeds)
def test_what_is_drawn_is_of_its_grammar_and_carries_its_bits(kind: Kind, seed: int) -> None:
    plaintext = draw(kind, below=random.Random(seed).randrange)
    pattern, bits = GRAMMAR[kind]
    assert pattern.fullmatch(plaintext)
    assert sum(unit.bits for unit in units(kind, plaintext)) == pytest.approx(bits)
    assert bits >= 64


@pytest.mark.parametrize("kind", Kind)
def test_nothing_but_below_decides_what_is_drawn_and_each_draw_is_of_the_full_range(kind: Kind) -> None:
    asked: list[int] = []
    first = draw(kind, below=lambda n: asked.append(n) or 0)
    assert draw(kind, below=lambda n: 0) == first
    assert draw(kind, below=lambda n: n - 1) != first
    assert asked == {Kind.HARD: [32, 32, 32, 32, 16] * 3 + [32], Kind.ENTITY: [4096] * 6, Kind.SECRET: [10] * 22}[kind]


@given(seed=seeds)
def test_no_part_of_a_hard_marker_that_counts_can_be_in_a_uuid_or_a_digest(seed: int) -> None:
    plaintext = draw(Kind.HARD, below=random.Random(seed).randrange)
    assert not re.search("[0-9a-f]{5}", plaintext)


@pytest.mark.parametrize("kind", Kind)
@given(seed=seeds)
def test_no_marker_names_the_product_or_looks_like_a_test(kind: Kind, seed: int) -> None:
    plaintext = draw(kind, below=random.Random(seed).randrange).lower().replace(" ", "")
    assert not re.search("sectum|canary|marker|tenant|secret", plaintext)


def test_the_secret_prefix_can_be_no_account() -> None:
    """ISO 7064 MOD 97-10: check digits are 98 less a remainder of 0 to 96, so 02 to 98."""
    assert 0 not in {98 - remainder for remainder in range(97)}
    assert all(unit.bits == 0 for unit in units(Kind.SECRET, "ZZ00"))


def test_folding_keeps_all_letters_and_all_words_apart() -> None:
    assert len(ALPHABET) == 32
    assert skeleton(fold(ALPHABET)).decode() == ALPHABET
    assert len(WORDS) == 4096 == len({skeleton(fold(word)) for word in WORDS})


def test_words_without_separators_can_be_read_in_one_way_only() -> None:
    words = {skeleton(fold(word)) for word in WORDS}
    starts = {word[:cut] for word in words for cut in range(1, len(word))}
    ends = {word[cut:] for word in words for cut in range(1, len(word))}
    assert not [word for word in words for cut in range(1, len(word)) if word[:cut] in ends and word[cut:] in starts]
    assert not words & (starts | ends)
    assert not {word[::-1] for word in words} & words


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.HARD, "7K3m9q2w8x4z5v6t"),
        (Kind.HARD, "7k3m9q2w8x4z5v6u"),
        (Kind.ENTITY, "Thornbury  Ashcombe"),
        (Kind.ENTITY, "Thornbury Nosuchword"),
        (Kind.SECRET, "ZZ01123"),
        (Kind.SECRET, "ZZ00 1234"),
    ],
)
def test_a_text_outside_the_grammar_is_refused_and_not_repeated(kind: Kind, text: str) -> None:
    with pytest.raises(ValueError, match="grammar") as refused:
        units(kind, text)
    assert text not in str(refused.value)


def test_no_unit_shows_its_text() -> None:
    assert "Thornbury" not in repr(units(Kind.ENTITY, "Thornbury Ashcombe"))
