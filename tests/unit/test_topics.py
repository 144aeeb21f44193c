"""Topics are told apart by every pair of their words, and there are enough of them."""

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sectum import topics


@given(st.integers(0, 2**32), st.integers(0, 200))
def test_no_two_topics_share_two_words(seed: int, count: int) -> None:
    drawn = topics.draw(count, below=random.Random(seed).randrange)
    assert len(drawn) == len(set(drawn)) == count
    words = [frozenset(topic.split()) for topic in drawn]
    assert all(len(each) == 3 for each in words)
    assert all(len(one & other) < 2 for one, other in combinations(words, 2))


def test_there_are_enough_topics_for_the_largest_run() -> None:
    drawn = topics.draw(topics.MOST, below=random.Random(7).randrange)
    assert len(set(drawn)) == topics.MOST >= 1500


def test_more_topics_than_there_are_is_an_error_and_no_endless_search() -> None:
    with pytest.raises(ValueError, match="at most"):
        topics.draw(topics.MOST + 1, below=random.Random(7).randrange)
    with pytest.raises(ValueError, match="repeats itself"):
        topics.draw(2, below=lambda _n: 0)
