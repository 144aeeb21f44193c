"""Wherever a text is put, however it is spelt and packed, the search finds it, and only what is there."""

import base64
import bz2
import gzip
import io
import json
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from urllib.parse import quote

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sectum.markers import Kind, draw

from tests.hunt.planting import pdf
from tests.hunt.report import findings, shown
from tests.hunt.search import Piece, Search
from tests.hunt.texts import Text, gather

DRAW = random.Random(20261125)
TEXTS = gather(
    [
        *(
            Text("marker", f"m{n}", draw(kind, below=DRAW.randrange).encode(), marker=kind)
            for n, kind in enumerate(Kind)
        ),
        Text("location", "uuid", b"0b6f2c1e-6a4e-4d55-9f0a-3f1f3a4b5c6d"),
        Text("credential", "token", b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"),
        Text("credential", "password", 'p4ss wörd/with?signs&more"<'.encode()),
        Text("salt", "bytes", DRAW.randbytes(32)),
        Text("sown", "customer", b"northwind-harbour-7731"),
    ]
)
SEARCH = Search(TEXTS)
OWN = Search(TEXTS, with_parts=False)
"""Without Sectum's scan: what the hunt knows by itself."""


def zipped(data: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("run.json", data)
    return archive.getvalue()


def tarred(data: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as members:
        about = tarfile.TarInfo("run.json")
        about.size = len(data)
        members.addfile(about, io.BytesIO(data))
    return archive.getvalue()


def lines(data: bytes) -> bytes:
    return base64.encodebytes(b"\n".join([b"x" * 150, data, b"y" * 150]))


Change = Callable[[bytes], bytes]
SPELLINGS: dict[str, Change] = {
    "plain": lambda value: value,
    "upper case": bytes.upper,
    "broken lines": lambda value: value[:5] + b"\n  " + value[5:],
    "reversed": lambda value: value[::-1],
    "hex": lambda value: value.hex().encode(),
    "HEX": lambda value: value.hex().upper().encode(),
    "URL": lambda value: quote(value, safe="").encode(),
    "URL throughout": lambda value: "".join(f"%{byte:02X}" for byte in value).encode(),
    "\\x": lambda value: "".join(f"\\x{byte:02x}" for byte in value).encode(),
    "base64": base64.b64encode,
    "base64 after one": lambda value: base64.b64encode(b"x" + value),
    "base64 after two": lambda value: base64.b64encode(b"xy" + value + b"z"),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(b"\xff\xfe\xfd" + value),
    "base64 of its reverse": lambda value: base64.b64encode(value[::-1]),
    "base64 in lines": lines,
}
TEXT_SPELLINGS: dict[str, Change] = {
    "JSON": lambda value: json.dumps(value.decode()).encode(),
    "JSON in JSON in JSON": lambda value: json.dumps(json.dumps(json.dumps(value.decode()))).encode(),
    "JSON throughout": lambda value: "".join(f"\\u{ord(letter):04x}" for letter in value.decode()).encode(),
    "UTF-16": lambda value: value.decode().encode("utf-16-le"),
    "UTF-16, the other order": lambda value: value.decode().encode("utf-16-be"),
}
PACKINGS: dict[str, Change] = {
    "as it is": lambda data: data,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "zlib, fast": lambda data: zlib.compress(data, 1),
    "zstd": zstandard.compress,
    "zip": zipped,
    "tar": tarred,
    "base64": base64.b64encode,
    "hex": lambda data: data.hex().encode(),
    "JSON": lambda data: json.dumps({"a": data.decode("latin-1")}).encode("latin-1"),
}


def names(search: Search, data: bytes) -> set[str]:
    return {hit.text.name for hit in search.piece(Piece("objects", "somewhere", data))}


def possible(text: Text, spelling: str) -> bool:
    """Raw bytes have no case, no characters, and no line that may be broken."""
    binary = text.kind == "salt"
    odd = text.name == "password"  # not ASCII: whoever writes it in capitals or UTF-16 changes bytes
    return not (binary and spelling in (*TEXT_SPELLINGS, "upper case")) and not (odd and spelling.startswith("UTF-16"))


@pytest.mark.parametrize("spelling", {**SPELLINGS, **TEXT_SPELLINGS})
def test_every_text_is_found_in_every_spelling(spelling: str) -> None:
    spell = {**SPELLINGS, **TEXT_SPELLINGS}[spelling]
    for text in TEXTS.all:
        if possible(text, spelling):
            assert names(OWN, b"about " + spell(text.value) + b", it said") == {text.name}


@settings(deadline=None, max_examples=300)
@given(
    which=st.integers(0, len(TEXTS.all) - 1),
    spelling=st.sampled_from(list(SPELLINGS)),
    packings=st.lists(st.sampled_from(list(PACKINGS)), max_size=3),
    before=st.binary(max_size=300),
    after=st.binary(max_size=300),
)
@example(0, "plain", ["zlib"], b"", b"")  # "(x", too, could be a header of zlib: it hid the real one behind it
def test_a_text_is_found_wherever_it_is_put(
    which: int, spelling: str, packings: list[str], before: bytes, after: bytes
) -> None:
    text = TEXTS.all[which]
    if not possible(text, spelling):
        return
    data = b"(" + SPELLINGS[spelling](text.value) + b")"
    for packing in packings:
        data = PACKINGS[packing](data)
    whole = {"zip", "tar"} & set(packings[-1:])  # of these the hunt wants the whole file
    assert names(OWN, data if whole else before + b"(" + data + b")" + after) == {text.name}


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=3000))
def test_nothing_is_found_where_nothing_is(data: bytes) -> None:
    assert names(SEARCH, data) == set()
    assert names(SEARCH, base64.b64encode(zlib.compress(data))) == set()


def test_a_stream_that_breaks_off_is_searched_as_far_as_it_goes() -> None:
    text = TEXTS.all[0]
    packed = gzip.compress(DRAW.randbytes(2000) + text.value + DRAW.randbytes(3000))
    assert names(OWN, packed[:-1500]) == {text.name}
    assert names(OWN, packed[:4000] + b"\0" * 96 + packed[4096:]) == {text.name}


def test_a_text_across_the_chunks_of_a_large_piece_is_found() -> None:
    text, size = TEXTS.all[3], 4 * 2**20
    for at in (size - 1, size - len(text.value) + 1, size):
        data = bytearray(b"." * (size + 100))
        data[at : at + len(text.value)] = text.value
        [hit] = [hit for hit in OWN.piece(Piece("etcd", "db", bytes(data))) if hit.form == "plain"]
        assert hit.at == (at, at + len(text.value))


def test_a_part_of_a_marker_that_proves_enough_is_found_too() -> None:
    by_kind = {text.marker: text for text in TEXTS.all if text.marker}
    entity, secret = by_kind[Kind.ENTITY], by_kind[Kind.SECRET]
    assert names(SEARCH, b" ".join(entity.value.split()[1:6])) == {entity.name}
    assert names(SEARCH, b"no. " + secret.value[-16:]) == {secret.name}
    assert names(SEARCH, b" ".join(entity.value.split()[:2])) == set()


def test_pages_and_metadata_of_a_pdf_in_a_pack_are_searched() -> None:
    for text in TEXTS.all:
        if text.marker:
            assert names(OWN, zipped(pdf(text.value.decode()))) == {text.name}


def test_what_is_not_undone_is_known() -> None:
    """bzip2 is nothing that Kubernetes, Helm or a pack uses."""
    assert names(SEARCH, bz2.compress(TEXTS.all[3].value * 3)) == set()


def test_a_report_shows_no_value_even_where_a_name_is_one() -> None:
    text = TEXTS.all[3]
    hits = SEARCH.piece(Piece("objects", f"configmaps/runs/{text.value.decode()}", b"nothing"))
    assert {hit.text for hit in hits} == {text}
    assert text.value.decode() not in shown(SEARCH, hits[0].where)
    assert shown(SEARCH, "configmaps/runs/a") == "configmaps/runs/a"
    assert findings(SEARCH, []) == ""


def test_the_same_value_of_two_secrets_belongs_into_both_and_short_ones_are_named() -> None:
    one = Text("credential", "a", b"same-value", frozenset({"secrets/runs/a"}))
    two = Text("credential", "b", b"same-value", frozenset({"secrets/runs/b"}))
    texts = gather([one, two, Text("location", "c", b"4711")])
    assert [text.homes for text in texts.all] == [frozenset({"secrets/runs/a", "secrets/runs/b"})]
    assert texts.too_short == ("location c",)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("packing", ["base64", "hex", "as it is"])
def test_what_is_as_large_as_a_sealed_manifest_takes_seconds(packing: str) -> None:
    """Once a pattern for lines of base64 took quadratic time, and false streams were searched for more of them."""
    data = PACKINGS[packing](DRAW.randbytes(700_000)) + TEXTS.all[0].value
    assert names(SEARCH, data) == {TEXTS.all[0].name}
