"""Open and Close records bind a run to its plan and to the record before it."""

import asyncio

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sectum import dsse, series
from sectum.codec import NotCanonical, canonical, parse, sha256
from sectum.signers.ec_key import EcKeySigner
from sectum.testing import MemoryStore, memory_secrets

PEM = memory_secrets()("sectum-signer-x", "private.pem")
PRIVATE = load_pem_private_key(PEM, None)
assert isinstance(PRIVATE, ec.EllipticCurvePrivateKey)
SIGNER = EcKeySigner(PRIVATE)


def verify(data: bytes, signature: bytes) -> bool:
    assert isinstance(PRIVATE, ec.EllipticCurvePrivateKey)
    PRIVATE.public_key().verify(signature, data, ec.ECDSA(hashes.SHA256()))
    return True


OPEN = series.open_record(
    signer=SIGNER,
    run="r",
    at="2026-01-01T00:00:00.000Z",
    scenario={"name": "x", "digest": "0" * 64},
    occasion=series.occasion(slot="2026-01-01T00:00:00Z", refused=[("2025-12-01T00:00:00Z", "ConcurrencyForbidden")]),
    subset=None,
    plan={"root": "1" * 64, "trials": 7},
    manifest={"root": "2" * 64, "hash": "3" * 64, "key": "k", "publicKey": "p"},
    alpha={"spent": 0, "reserved": 0},
    sequence=3,
    previous="4" * 64,
)


def test_an_open_record_is_signed_and_says_what_the_run_is_bound_to() -> None:
    body = parse(dsse.open_envelope(parse(OPEN), payload_type=series.OPEN_TYPE, verify=verify, keyid=SIGNER.keyid))
    assert body == {
        "schema": "sectum.ai/open/v1",
        "run": "r",
        "at": "2026-01-01T00:00:00.000Z",
        "scenario": {"name": "x", "digest": "0" * 64},
        "occasion": {
            "uid": None,
            "generation": None,
            "slot": "2026-01-01T00:00:00Z",
            "refused": [{"slot": "2025-12-01T00:00:00Z", "reason": "ConcurrencyForbidden"}],
        },
        "subset": None,
        "plan": {"root": "1" * 64, "trials": 7},
        "manifest": {"root": "2" * 64, "hash": "3" * 64, "key": "k", "publicKey": "p"},
        "alpha": {"spent": 0, "reserved": 0},
        "sequence": 3,
        "previous": "4" * 64,
    }
    assert series.peek(OPEN) == (body, sha256(OPEN))


def test_a_close_record_names_outcome_and_pack() -> None:
    close = series.close_record(signer=SIGNER, run="r", at="t", outcome="Pass", pack="5" * 64, sequence=4, previous="6")
    body = parse(dsse.open_envelope(parse(close), payload_type=series.CLOSE_TYPE, verify=verify, keyid=SIGNER.keyid))
    assert (body["schema"], body["outcome"], body["pack"]) == ("sectum.ai/close/v1", "Pass", "5" * 64)
    assert (body["sequence"], body["previous"], body["run"]) == (4, "6", "r")


class Yielding(MemoryStore):
    """Lets others go first before each call."""

    async def create(self, name: str, data: bytes) -> str:
        await asyncio.sleep(0)
        return await super().create(name, data)


def sequence_of(store: MemoryStore) -> list[tuple[int, str | None]]:
    bodies = [series.peek(data)[0] for _, data in sorted(store.objects.items())]
    return [(body["sequence"], body["previous"]) for body in bodies]


def test_records_that_are_appended_at_once_make_one_chain() -> None:
    async def append() -> None:
        await asyncio.gather(
            *(series.close(store, SIGNER, "series/", run=f"r{n}", at="t", outcome="Pass", pack=None) for n in range(5))
        )

    store = Yielding()
    asyncio.run(append())
    assert sorted(store.objects) == [f"series/{number:06d}.json" for number in range(1, 6)]
    digests = [sha256(data) for _, data in sorted(store.objects.items())]
    assert sequence_of(store) == list(zip(range(1, 6), ["", *digests[:-1]], strict=True))


def test_a_record_that_was_taken_away_leaves_a_gap_and_the_next_run_goes_on() -> None:
    # It looked for a free name after as many as there were, for ever.
    store = MemoryStore()
    for number in range(3):
        asyncio.run(series.close(store, SIGNER, "series/", run=f"r{number}", at="t", outcome="Pass", pack=None))
    del store.objects["series/000002.json"]
    store.objects["series/notes.txt"] = b"somebody else's"
    last = sha256(store.objects["series/000003.json"])
    assert (
        asyncio.run(series.close(store, SIGNER, "series/", run="r3", at="t", outcome="Pass", pack=None))
        == "series/000004.json"
    )
    assert series.peek(store.objects["series/000004.json"])[0]["previous"] == last


def test_what_a_years_runs_spent_adds_up_whatever_lies_before_the_newest_open_record_of_the_year() -> None:
    store = MemoryStore()

    def add(number: int, body: dict[str, object]) -> None:
        envelope = dsse.envelope(
            series.OPEN_TYPE, canonical({"run": "r", "sequence": 1, **body}), sign=SIGNER.sign, keyid=""
        )
        store.objects[f"series/{number:06d}.json"] = canonical(envelope)

    def spent(year: str) -> float:
        return asyncio.run(series.spent(store, "series/", year))

    assert spent("2026") == 0
    add(1, {"schema": series.OPEN_SCHEMA, "at": "2025-12-31T23:59:00.000Z", "alpha": {"spent": 0.5, "reserved": 0.25}})
    add(2, {"schema": series.CLOSE_SCHEMA, "at": "2026-01-01T00:10:00.000Z", "alpha": {"spent": 0.125}})
    assert (spent("2025"), spent("2026")) == (0, 0.125)
    add(3, {"schema": series.OPEN_SCHEMA, "at": "2026-02-01T00:00:00.000Z", "alpha": {"spent": 0.125, "reserved": 1}})
    add(4, {"schema": series.CLOSE_SCHEMA, "at": "2026-02-01T00:10:00.000Z", "alpha": {"spent": 0.25}})
    assert (spent("2026"), spent("2027")) == (0.375, 0)


def test_a_closed_series_is_not_closed_again() -> None:
    store = MemoryStore()
    close_abandoned(store)
    assert store.objects == {}
    asyncio.run(series.close(store, SIGNER, "series/", run="r", at="t", outcome="Pass", pack=None))
    close_abandoned(store)
    assert list(store.objects) == ["series/000001.json"]


def close_abandoned(store: MemoryStore, **packs: tuple[str, str]) -> None:
    async def end_of(run: str, open_data: bytes) -> tuple[str, str] | None:
        assert series.peek(open_data)[0]["run"] == run
        return packs.get(run)

    asyncio.run(series.close_abandoned(store, SIGNER, "series/", at="t", end_of=end_of))


def opened(run: str, sequence: int) -> bytes:
    body = series.peek(OPEN)[0] | {"run": run, "sequence": sequence}
    return canonical(dsse.envelope(series.OPEN_TYPE, canonical(body), sign=SIGNER.sign, keyid=SIGNER.keyid))


def test_every_run_that_is_open_is_closed_wherever_its_record_is_and_as_what_its_pack_says() -> None:
    """Two that were opened at the same time: the first stayed open for ever."""
    store = MemoryStore()
    for number, run in enumerate("abcd", 1):
        store.objects[f"series/{number:06d}.json"] = opened(run, number)
    asyncio.run(series.close(store, SIGNER, "series/", run="b", at="t", outcome="Leak", pack="5" * 64))
    close_abandoned(store, c=("Pass", "6" * 64))
    close_abandoned(store)
    bodies = [series.peek(data)[0] for _, data in sorted(store.objects.items())[4:]]
    assert [(each["run"], each["outcome"], each["pack"]) for each in bodies] == [
        ("b", "Leak", "5" * 64),
        ("a", "Abandoned", None),
        ("c", "Pass", "6" * 64),
        ("d", "Abandoned", None),
    ]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"payload":5}', b'{"payload":"e30="}', b'{"payload":"W10="}'])
def test_what_is_no_record_of_a_series_is_refused(data: bytes) -> None:
    with pytest.raises(NotCanonical):
        series.peek(data)


def test_a_run_is_closed_once_whoever_comes_second() -> None:
    store = MemoryStore()
    first = asyncio.run(series.close(store, SIGNER, "series/a/", run="r", at="t", outcome="Pass", pack="5" * 64))
    again = asyncio.run(series.close(store, SIGNER, "series/a/", run="r", at="u", outcome="Leak", pack=None))
    assert (first, again) == ("series/a/000001.json",) * 2
    assert list(store.objects) == [first]


def test_a_series_in_a_folder_of_its_own_knows_no_other() -> None:
    store = MemoryStore()
    asyncio.run(series.close(store, SIGNER, "series/", run="r", at="t", outcome="Pass", pack=None))
    asyncio.run(series.close(store, SIGNER, "series/a/", run="r", at="t", outcome="Pass", pack=None))
    asyncio.run(series.close(store, SIGNER, "series/a/b/", run="r", at="t", outcome="Pass", pack=None))
    assert sorted(store.objects) == ["series/000001.json", "series/a/000001.json", "series/a/b/000001.json"]
    assert {previous for _, previous in sequence_of(store)} == {""}
