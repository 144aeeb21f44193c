"""Scanning: every form of every long enough part is seen, nothing else is, and no text costs more than its length."""

import base64
import json
import random
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sectum.forms import TRANSFORMATIONS, Transformation
from sectum.markers import WORDS, Kind, draw, units
from sectum.scan import BLOCK, OVERLAP, Index, Sighting

RANDOM = random.Random(20260101)
MARKERS = {f"{kind}-{n}": (kind, draw(kind, below=RANDOM.randrange)) for kind in Kind for n in range(5)}
INDEX = Index(MARKERS)
SIGHT = {Kind.HARD: 10, Kind.ENTITY: 4, Kind.SECRET: 15}  # units: the fewest of 48 bits
PART = {Kind.HARD: 5, Kind.ENTITY: 2, Kind.SECRET: 8}  # of 24
PAIRS = list(product(TRANSFORMATIONS, repeat=2))

kinds = st.sampled_from(list(Kind))
seeds = st.integers(min_value=0, max_value=2**64)
pairs = st.sampled_from(PAIRS)


def part(marker: str, start: int, stop: int) -> str:
    """The part of a marker from one unit that carries bits to another."""
    kind, plaintext = MARKERS[marker]
    drawn = [unit.text for unit in units(kind, plaintext) if unit.bits]
    return (" " if kind is Kind.ENTITY else "").join(drawn[start:stop])


def length(kind: Kind) -> int:
    return {Kind.HARD: 16, Kind.ENTITY: 6, Kind.SECRET: 22}[kind]


def form(text: str, inner: Transformation, outer: Transformation, rng: random.Random) -> str:
    return outer.apply(inner.apply(text, rng.randrange), rng.randrange)


def read(*answers: str, index: Index = INDEX) -> tuple[Sighting, ...]:
    """Read answers as one arm; return what the last one shows."""
    reader, found = index.reader(), ()
    for answer in answers:
        reader.feed(answer)
        found = reader.end_answer()
    return found


def names(sightings: tuple[Sighting, ...]) -> list[str]:
    return [sighting.marker for sighting in sightings]


# --- what is seen -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("inner", TRANSFORMATIONS, ids=lambda row: row.name)
def test_the_shortest_part_is_seen_in_every_form(kind: Kind, inner: Transformation) -> None:
    rng = random.Random(f"{kind} {inner.name}")
    shortest = SIGHT[kind]
    for outer, start in product(TRANSFORMATIONS, range(length(kind) - shortest + 1)):
        marker = f"{kind}-{rng.randrange(5)}"
        text = form(part(marker, start, start + shortest), inner, outer, rng)
        assert names(read(f"See {text} there")) == [marker], (inner.name, outer.name, start)


@given(kind=kinds, pair=pairs, seed=seeds, left=st.text(), right=st.text(), data=st.data())
def test_any_part_in_any_text_cut_anywhere_is_seen(kind, pair, seed, left, right, data) -> None:
    rng = random.Random(seed)
    marker = f"{kind}-{rng.randrange(5)}"
    start = data.draw(st.integers(0, length(kind) - SIGHT[kind]))
    stop = data.draw(st.integers(start + SIGHT[kind], length(kind)))
    answer = f"{left} {form(part(marker, start, stop), *pair, rng)} {right}".encode("utf-8", "replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=6)))
    reader = INDEX.reader()
    for begin, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        reader.feed(answer[begin:end])
    (sighting,) = reader.end_answer()
    kind_bits = sum(unit.bits for unit in units(kind, part(marker, start, stop)))
    assert sighting.marker == marker
    assert int(kind_bits) <= sighting.bits <= 80
    assert not sighting.split


@pytest.mark.parametrize("before", ["", "abcdefg ", "abcdefgh ", "abcdefghi ", "abcdefghij "])
@pytest.mark.parametrize("change", [str, str.lower, lambda text: text[::-1]], ids=["as is", "case", "reversal"])
def test_base64_is_seen_wherever_its_groups_of_four_begin(before: str, change) -> None:
    encoded = base64.b64encode(part("hard-0", 0, 10).encode()).decode()
    assert names(read(f"{before}{change(encoded)} {before}")) == ["hard-0"]


PLAIN = [row for row in TRANSFORMATIONS if row.name not in ("url-escape", "json-escape")]


@given(kind=kinds, outer=st.sampled_from(PLAIN), seed=seeds, left=st.text(), right=st.text())
def test_a_form_is_seen_with_no_space_around_it(kind, outer, seed, left, right) -> None:
    rng = random.Random(seed)
    answer = left + form(part(f"{kind}-0", 0, SIGHT[kind]), TRANSFORMATIONS[0], outer, rng) + right
    assert names(read(answer)) == [f"{kind}-0"]


@pytest.mark.parametrize("filler", ["x", "é", " lorem ipsum", "QUJD", "6a", "%20", "\\n"])
@pytest.mark.parametrize("before", [BLOCK - 2900, BLOCK - 1400, BLOCK - 10, BLOCK, 2 * BLOCK - OVERLAP - 8])
def test_a_form_across_blocks_is_seen(filler: str, before: int) -> None:
    escape = TRANSFORMATIONS[8].apply
    longest = escape(escape(part("entity-0", 0, 6), lambda n: n - 1), lambda n: n - 1)
    assert len(longest) > 2000
    for text, marker in ((part("hard-0", 0, 16), "hard-0"), (longest, "entity-0")):
        answer = (filler * before)[:before] + " " + text + " " + (filler * before)[: before // 2]
        reader = INDEX.reader()
        for start in range(0, len(answer), 1000):
            reader.feed(answer[start : start + 1000])
        assert names(reader.end_answer()) == [marker]


HARD = "7k3m9q2w8x4z5v6t"
ENTITY = "Thornbury Ashcombe Caldwick Fernhaven Hartwell Pemford"
SECRET = "ZZ007305918264018273645501"
KNOWN = Index({"hard": (Kind.HARD, HARD), "entity": (Kind.ENTITY, ENTITY), "secret": (Kind.SECRET, SECRET)})


@pytest.mark.parametrize(
    ("answer", "marker", "undone"),
    [
        (f"the code is {HARD}.", "hard", ()),
        ("the code is 7K3M-9Q2W-8X4Z-5V6T", "hard", ()),
        ("７ｋ３ｍ９ｑ２ｗ８ｘ４ｚ", "hard", ()),
        ("7\u200bk\u200b3\u200bm\u200b9q2w8x\u20604z5v", "hard", ()),
        ("N2szbTlxMnc4eDR6NXY2dA==", "hard", ("base64",)),
        ("token=eyJub3RlIjoiN2szbTlxMnc4eDR6NXY2dCJ9&x", "hard", ("base64",)),  # {"note":"…"}
        ("n2szbtlxmnc4edr6nxy2da==", "hard", ("case", "base64")),
        ("TjJzemJUbHhNbmM0ZURSNk5YWTJkQT09", "hard", ("base64", "base64")),
        ("376b336d3971327738783478", "hard", ("hex",)),
        ("%37%6B%33%6D%39%71%32%77%38%78%34%7A", "hard", ("url-escape",)),
        ("".join(f"\\u{ord(c):04X}" for c in HARD), "hard", ("json-escape",)),
        ("t6v5z4x8w2q9m3k7", "hard", ("reversal",)),
        ("0Zjd1oHN4hzdyEXOtNza3ASY", "hard", ("reversal", "base64")),
        ("THORNBURY, ASHCOMBE, CALDWICK & FERNHAVEN LLP", "entity", ()),
        ("Тhоrnbury Аshсоmbe Сaldwiсk Fеrnhavеn", "entity", ()),  # some letters Cyrillic
        (r"Thornbury\nAshcombe\nCaldwick\nFernhaven", "entity", ("json-escape",)),
        ("Thornbury%20Ashcombe%20Caldwick%20Fernhaven", "entity", ("url-escape",)),
        ("/firms/thornbury_ashcombe_caldwick_fernhaven/", "entity", ()),
        ("IBAN ZZ00 7305 9182 6401 8273 6455 01", "secret", ()),
        ("7305918264018273", "secret", ()),
    ],
)
def test_forms_known_from_the_field_are_seen(answer: str, marker: str, undone: tuple[str, ...]) -> None:
    assert [(found.marker, found.form) for found in read(answer, index=KNOWN)] == [(marker, undone)]


def test_bits_are_those_of_the_longest_part_rounded_down() -> None:
    assert [sighting.bits for sighting in read("7305918264018273", index=KNOWN)] == [53]  # 16 digits
    assert [sighting.bits for sighting in read(f"{HARD[:11]} … {HARD}", index=KNOWN)] == [77]


def test_chunks_may_be_text_or_bytes_and_cut_a_letter() -> None:
    reader = INDEX.reader()
    wide = TRANSFORMATIONS[2].apply(part("hard-1", 0, 16), lambda n: 0).encode()
    reader.feed(part("hard-0", 0, 7))
    reader.feed(part("hard-0", 7, 16).encode() + wide[:10])
    reader.feed(wide[10:])
    reader.feed(b"\xff\xfe\xc3")
    reader.feed(part("secret-0", 0, 22))
    assert names(reader.end_answer()) == ["hard-0", "hard-1", "secret-0"]


# --- what is not seen, or not yet -------------------------------------------------------------------------------------


@given(kind=kinds, pair=pairs, seed=seeds, data=st.data())
def test_parts_of_24_bits_are_no_sighting_but_count_as_sent(kind, pair, seed, data) -> None:
    rng = random.Random(seed)
    marker = f"{kind}-{rng.randrange(5)}"
    size = data.draw(st.integers(PART[kind], SIGHT[kind] - 1))
    start = data.draw(st.integers(0, length(kind) - size))
    text = f"vu {form(part(marker, start, start + size), *pair, rng)} uv"  # u is in no marker
    assert read(text) == ()
    assert marker in INDEX.sent(text)


@given(kind=kinds, pair=pairs, seed=seeds, data=st.data())
def test_parts_below_24_bits_are_nothing(kind, pair, seed, data) -> None:
    rng = random.Random(seed)
    start = data.draw(st.integers(0, length(kind) - PART[kind] + 1))
    text = f"vu {form(part(f'{kind}-0', start, start + PART[kind] - 1), *pair, rng)} uv"
    assert read(text) == ()
    assert f"{kind}-0" not in INDEX.sent(text)


def test_what_is_sent_is_found_behind_the_first_block_too() -> None:
    assert INDEX.sent("x" * 3 * BLOCK + part("hard-0", 3, 8)) == {"hard-0": {(3, 8)}}
    assert INDEX.sent("") == {}


H8, H6, H11 = part("hard-0", 0, 8), part("hard-0", 8, 14), part("hard-0", 11, 16)


@pytest.mark.parametrize(
    ("answers", "bits"),
    [
        ([f"{H8} and {H6}!", ""], None),  # told with the answer that completes it, not again
        ([f"{H8} and {H6}!", H6], None),  # nor when a part of it is repeated
        ([f"it ends in {H6} and starts with {H8}"], 67),
        ([H8, f"then {H6}"], 67),
        ([H6, H8], 67),
        ([H8, "nothing", H6], None),  # three answers
        ([H8, H8], None),  # the same twice
        ([H8, part("hard-0", 4, 12)], None),  # 38 + 38 bits, but 57 without what is in both
        ([H8, part("hard-0", 5, 14)], 67),
        ([H8, part("hard-0", 8, 12)], None),  # 19 bits are no part
        ([H8, part("hard-1", 8, 13)], None),  # another marker's
        ([part("hard-0", 0, 5), f"{part('hard-0', 5, 10)[::-1]} {H11}"], 72),
        (
            [part("hard-0", 4, 9), f"{part('hard-0', 8, 13)} and {part('hard-0', 0, 5)}"],
            None,
        ),  # 48 of 62 in whole parts
        ([part("entity-0", 0, 2), part("entity-0", 2, 4)], None),  # 24 + 24
        ([part("entity-0", 0, 2), part("entity-0", 3, 6)], None),  # 24 + 36
        ([part("entity-0", 0, 2), part("entity-0", 4, 6) + ". " + part("entity-0", 2, 4)], 72),
        ([part("secret-0", 0, 11), part("secret-0", 11, 22)], 73),
        ([part("secret-0", 0, 8), part("secret-0", 8, 19)], None),  # 63.1
    ],
)
def test_split_parts(answers: list[str], bits: int | None) -> None:
    found = read(*answers)
    assert [(sighting.bits, sighting.split) for sighting in found] == ([] if bits is None else [(bits, True)])


def test_parts_next_to_each_other_are_one_part() -> None:
    assert [sighting.split for sighting in read(f"{H8} {H6}")] == [False]


def test_three_short_parts_in_a_very_long_answer_could_be_chance() -> None:
    parts = " ; ".join((part("hard-0", 10, 15), part("hard-0", 5, 10), part("hard-0", 0, 5)))
    assert [sighting.bits for sighting in read(parts)] == [72]
    assert read(parts + " ~" * 2_000_000) == ()


@pytest.fixture(scope="module")
def thousand() -> Index:
    rng = random.Random(7)
    kinds = list(Kind)
    return Index({str(n): (kinds[n % 3], draw(kinds[n % 3], below=rng.randrange)) for n in range(1000)})


def english(rng: random.Random, size: int) -> str:
    words = [word.strip() for word in Path(__file__).read_text().split()] + list(WORDS[::7])
    return " ".join(rng.choices(words, k=size // 8))


@pytest.mark.parametrize(
    "make",
    [
        lambda rng, size: "".join(rng.choices("0123456789abcdefghjkmnpqrstvwxyz", k=size)),
        lambda rng, size: base64.b64encode(rng.randbytes(size * 3 // 4)).decode(),
        lambda rng, size: rng.randbytes(size // 2).hex(),
        lambda rng, size: "".join(rng.choices("0123456789", k=size)),
        english,
        lambda rng, size: " ".join(draw(rng.choice(list(Kind)), below=rng.randrange) for _ in range(size // 32)),
    ],
    ids=["base32", "base64", "hex", "digits", "english", "markers of other runs"],
)
def test_nothing_is_seen_in_5_mb_without_markers(thousand: Index, make) -> None:
    reader = thousand.reader()
    text = make(random.Random(3), 5_000_000)
    for start in range(0, len(text), 100_000):
        reader.feed(text[start : start + 100_000])
    assert reader.end_answer() == ()


# --- what it costs, and keeps -----------------------------------------------------------------------------------------


def wrapped(size: int) -> str:
    text = "x"
    while len(text) < size:
        text = base64.b64encode(text.encode() * 3).decode()
    return text[:size]


@pytest.mark.parametrize(
    "make",
    [
        lambda size: "%25" * (size // 3),
        lambda size: "\\u005c" * (size // 6),
        lambda size: "\\" * size,
        lambda size: "%5c%75" * (size // 6),
        lambda size: "aGVsbG8" * (size // 7),
        lambda size: base64.b64encode((b"%61\\u0061" * size)[: size * 3 // 4]).decode(),
        lambda size: "3631" * (size // 4),
        wrapped,
        lambda size: "a" + "\u0315\u0300" * (size // 2),
        lambda size: (part("hard-0", 0, 16) + " ") * (size // 17),
        lambda size: "Thornbury" * (size // 9),
        lambda size: "ﷺ" * size,
    ],
    ids=[
        *("percent", "json", "backslashes", "both", "base64", "escapes in base64", "hex", "base64 in base64"),
        *("combining marks", "markers", "words", "ligatures"),
    ],
)
def test_the_work_on_a_hostile_text_grows_as_its_length(make) -> None:
    small, large = INDEX.reader(), INDEX.reader()
    small.feed(make(2**18))
    large.feed(make(2**20))
    assert large.places <= 4.5 * small.places + OVERLAP
    assert large.places <= 50 * 2**20


def test_nothing_of_a_text_is_kept_when_the_answer_ended() -> None:
    reader = INDEX.reader()
    reader.feed("confidential " * 20_000 + H8)
    reader.end_answer()
    kept = {name: getattr(reader, name) for name in type(reader).__slots__ if name != "_index"}
    assert kept.pop("_before") == {0: {(0, 8): ()}}
    assert not kept.pop("_pending")
    assert "confid" not in repr(kept)


def test_no_representation_or_error_shows_a_plaintext() -> None:
    reader = KNOWN.reader()
    reader.feed(HARD + ENTITY + SECRET)
    texts = [repr(KNOWN), repr(reader), repr(reader.end_answer()), str(KNOWN)]
    with pytest.raises(ValueError, match="marker m7 ") as refused:
        Index({"m7": (Kind.HARD, "not a hard marker")})
    texts.append(f"{refused.value!r} {refused.value.__cause__}")
    for secret in (HARD, *ENTITY.split(), SECRET[4:], "not a hard marker"):
        assert not any(secret in text for text in texts)


@given(st.text())
@example("")
@example("\\u00")
@example("%")
def test_no_text_makes_a_reader_fail(text: str) -> None:
    assert read(text, json.dumps(text)) == ()


def test_an_index_without_markers_sees_nothing() -> None:
    assert read("anything", index=Index({})) == ()
    assert Index({}).sent("anything") == {}
