"""What an answer's JSON holds is scanned whole, and no answer makes more of it than it has."""

import json

from sectum.web.documents import parse


def test_a_value_that_a_second_equal_key_overwrites_is_scanned_too() -> None:
    parsed = parse('{"a": "first", "b": {"c": "x", "c": "y"}, "a": "last"}', depth=10)
    assert parsed.document == {"a": "last", "b": {"c": "y"}}
    assert {"first", "last", "x", "y"} <= set(parsed.text.split("\n"))


def test_equal_keys_at_every_level_make_no_more_text_than_there_is() -> None:
    """Sixty levels of equal keys once made 62 MB of a megabyte."""
    inner = json.dumps("z" * 1000)
    for _ in range(60):
        inner = f'{{"k": 1, "k": {inner}}}'
    parsed = parse(inner, depth=64)
    assert len(parsed.text) < 2 * len(inner)
    assert parsed.text.count("z" * 1000) == 1
