"""Rates come with the uncertainty that the literature gives for them."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sectum.stats import upper_bound, wilson


# Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3
@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_the_published_ones(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=5e-5)


def test_without_trials_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert upper_bound(0, 0) == 1.0


@pytest.mark.parametrize(
    ("hits", "trials", "bound"),
    [(0, 1, 0.95), (0, 10, 0.2589), (0, 59, 0.0495), (0, 300, 0.00994), (1, 10, 0.3942), (5, 5, 1.0)],
)
def test_upper_bounds_are_those_of_clopper_and_pearson(hits: int, trials: int, bound: float) -> None:
    assert upper_bound(hits, trials) == pytest.approx(bound, abs=5e-5)


@given(st.data(), st.integers(1, 60))
def test_at_the_upper_bound_so_few_hits_have_a_chance_of_one_in_twenty(draw: st.DataObject, trials: int) -> None:
    hits = draw.draw(st.integers(0, trials - 1))
    rate = Fraction(upper_bound(hits, trials))
    tail = sum(comb(trials, count) * rate**count * (1 - rate) ** (trials - count) for count in range(hits + 1))
    assert float(tail) == pytest.approx(0.05, rel=1e-6)


def test_the_upper_bound_of_many_hits_in_many_trials_is_above_the_rate() -> None:
    # (1 - rate)^trials underflowed, and the bound fell to the rate itself.
    assert upper_bound(600, 1000) == pytest.approx(0.62574, abs=5e-5)
    assert 0.5 < upper_bound(50_000, 100_000) < 0.51


@given(st.data(), st.integers(1, 2000))
def test_intervals_hold_the_rate_and_grow_with_the_hits(draw: st.DataObject, trials: int) -> None:
    hits = draw.draw(st.integers(0, trials))
    low, high = wilson(hits, trials)
    assert 0 <= low <= hits / trials + 1e-12
    assert hits / trials - 1e-12 <= high <= 1
    assert hits / trials <= upper_bound(hits, trials) <= 1
    if hits:
        assert upper_bound(hits - 1, trials) <= upper_bound(hits, trials)
