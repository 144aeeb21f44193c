"""A manifest opens with its key alone, shows any change, and gives nothing away when it is shown."""

import secrets
import traceback
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sectum import merkle
from sectum.codec import b64, canonical, parse, sha256
from sectum.errors import NotVerified, ScenarioError, SealBroken
from sectum.keys.unsafe_local import UnsafeLocalKey
from sectum.manifest import Manifest, Sealer, belongs, draw_manifest, header, seal, unseal
from sectum.plan import DECOY, Plan, make_plan
from sectum.testing import MemorySurface, memory_scenario

KEY, OTHER_KEY = UnsafeLocalKey(bytes(32)), UnsafeLocalKey(bytes(31) + b"\1")
DATA_KEY = bytes(range(32))
RUN = "01976f3a-5c00-7abc-8def-0123456789ab"
PLAN = make_plan(memory_scenario(MemorySurface()))


def drawn(run: str = RUN, plan: Plan = PLAN) -> Manifest:
    return draw_manifest(plan, run=run, below=secrets.randbelow)


MANIFEST = drawn()
SEALED = seal(MANIFEST, data_key=DATA_KEY, key=KEY, header={"scenario": {"name": "x"}})


def plaintexts(manifest: Manifest) -> list[str]:
    return [each.plaintext for each in manifest.markers + manifest.decoys]


def test_what_was_sealed_is_unsealed_with_its_data_key() -> None:
    opened, data_key = unseal(SEALED, KEY)
    assert data_key == DATA_KEY
    assert opened.plaintext() == MANIFEST.plaintext()
    assert (opened.run, opened.markers, opened.decoys) == (MANIFEST.run, MANIFEST.markers, MANIFEST.decoys)
    assert (opened.salt, opened.root(), opened.salted_hash()) == (
        MANIFEST.salt,
        MANIFEST.root(),
        MANIFEST.salted_hash(),
    )
    assert opened.public_key() == MANIFEST.public_key()


def test_the_clear_header_names_what_the_rest_is_bound_to() -> None:
    assert header(SEALED) == {
        "scenario": {"name": "x"},
        "run": RUN,
        "key": KEY.reference,
        "publicKey": MANIFEST.public_key(),
        "root": MANIFEST.root(),
        "hash": MANIFEST.salted_hash(),
        "leaves": b64(b"".join(each.leaf() for each in MANIFEST.markers + MANIFEST.decoys)),
    }


@settings(max_examples=400)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_any_byte_that_is_changed_is_refused(place: int, by: int) -> None:
    changed = SEALED[:place] + bytes([SEALED[place] ^ by]) + SEALED[place + 1 :]
    with pytest.raises(SealBroken):
        unseal(changed, KEY)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"5", SEALED[:-1], SEALED + b" ", SEALED[1:], b'{"header":{}}'])
def test_what_is_no_sealed_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(SealBroken):
        unseal(data, KEY)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(SealBroken):
        unseal(SEALED, OTHER_KEY)


def test_a_data_key_that_was_wrapped_for_another_run_does_not_open_it() -> None:
    box = parse(SEALED)
    box["wrappedKey"] = b64(KEY.wrap(DATA_KEY, {"run": "another"}))
    with pytest.raises(SealBroken):
        unseal(canonical(box), KEY)


def test_a_header_of_another_run_does_not_open_it() -> None:
    box = parse(SEALED)
    box["header"]["run"] = "another"
    box["wrappedKey"] = b64(KEY.wrap(DATA_KEY, {"run": "another"}))
    with pytest.raises(SealBroken):
        unseal(canonical(box), KEY)


class _Forged(Manifest):
    """Claims another root than its markers have."""

    __slots__ = ()

    def root(self) -> str:
        return "0" * 64


def test_a_header_that_does_not_fit_the_content_is_refused_though_it_was_sealed_with_the_right_key() -> None:
    forged = _Forged(MANIFEST.run, MANIFEST.salt, MANIFEST.run_key, MANIFEST.markers, MANIFEST.decoys)
    with pytest.raises(SealBroken, match="does not fit"):
        unseal(seal(forged, data_key=DATA_KEY, key=KEY, header={}), KEY)


def test_the_salted_hash_is_the_same_however_the_manifest_is_wrapped() -> None:
    again = seal(MANIFEST, data_key=secrets.token_bytes(32), key=OTHER_KEY, header={})
    opened, _ = unseal(again, OTHER_KEY)
    assert again != SEALED
    assert opened.salted_hash() == header(again)["hash"] == header(SEALED)["hash"]
    assert header(SEALED)["hash"] == sha256(b"sectum manifest v1\x00" + MANIFEST.salt + MANIFEST.plaintext())
    assert replace(MANIFEST, salt=bytes(32)).salted_hash() != MANIFEST.salted_hash()


def test_a_manifest_belongs_to_its_own_pack_and_to_no_other() -> None:
    root, salted_hash = MANIFEST.root(), MANIFEST.salted_hash()
    assert belongs(SEALED, KEY, root=root, salted_hash=salted_hash).run == RUN
    with pytest.raises(NotVerified, match="another run"):
        belongs(SEALED, KEY, root="0" * 64, salted_hash=salted_hash)
    with pytest.raises(NotVerified, match="another run"):
        belongs(SEALED, KEY, root=root, salted_hash="0" * 64)
    with pytest.raises(SealBroken):
        belongs(SEALED, OTHER_KEY, root=root, salted_hash=salted_hash)


def test_a_commitment_is_opened_by_its_salt_alone_and_is_a_leaf_of_the_root() -> None:
    marker = MANIFEST.markers[0]
    body = canonical([marker.id, str(marker.spec.kind), str(marker.spec.owner), marker.plaintext])
    assert marker.commitment() == merkle.leaf(marker.salt + body).hex()
    leaves = [bytes.fromhex(each.commitment()) for each in MANIFEST.markers + MANIFEST.decoys]
    assert merkle.root(leaves).hex() == MANIFEST.root()
    salts = [each.salt for each in MANIFEST.markers + MANIFEST.decoys]
    assert len(set(salts)) == len(salts)
    assert {len(salt) for salt in salts} == {32}


def test_no_two_runs_have_a_marker_a_location_a_salt_or_a_key_in_common() -> None:
    one, other = drawn(), drawn()
    assert set(plaintexts(one)).isdisjoint(plaintexts(other))
    assert len(set(plaintexts(one))) == len(plaintexts(one))
    assert {each.wanted for each in one.markers}.isdisjoint(each.wanted for each in other.markers)
    assert {each.salt for each in one.markers}.isdisjoint(each.salt for each in other.markers)
    assert one.public_key() != other.public_key()
    assert one.salt != other.salt


def test_a_manifest_follows_its_plan() -> None:
    assert tuple(each.spec for each in MANIFEST.markers) == PLAN.markers
    assert tuple(each.spec for each in MANIFEST.decoys) == PLAN.decoys
    assert {each.spec.owner for each in MANIFEST.decoys} == {DECOY}
    assert {each.topic for each in MANIFEST.decoys}.isdisjoint(each.topic for each in MANIFEST.markers)
    marker = MANIFEST.markers[0]
    assert marker.plaintext in marker.document()
    assert marker.topic in marker.document()


def secrets_of(manifest: Manifest) -> set[str]:
    found = {b64(manifest.salt), manifest.salt.hex(), repr(manifest.salt), b64(manifest.run_key.private_bytes_raw())}
    for each in manifest.markers + manifest.decoys:
        found |= {each.plaintext, each.wanted, b64(each.salt), each.salt.hex(), repr(each.salt)}
    return found


def test_nothing_that_is_shown_has_a_secret_in_it() -> None:
    sealer = Sealer(DATA_KEY, run=RUN, surface="s", attempt=1)
    shown = "".join(map(repr, [MANIFEST, *MANIFEST.markers, *MANIFEST.decoys, KEY, sealer, PLAN]))
    shown += SEALED.decode()
    assert not [secret for secret in secrets_of(MANIFEST) if secret in shown]
    assert MANIFEST.markers[0].topic in shown  # the scan would find something
    for data_key in (b64(DATA_KEY), DATA_KEY.hex(), repr(DATA_KEY)):
        assert data_key not in shown


def all_of(error: BaseException | None) -> str:
    """Text of an exception, of all that it came from, and of all that those carry."""
    if error is None:
        return ""
    told = "".join(traceback.format_exception(error)) + repr(error.args) + repr(vars(error))
    return told + all_of(error.__cause__) + all_of(error.__context__)


def test_no_exception_has_a_secret_in_it() -> None:
    sealer, other = (Sealer(DATA_KEY, run=run, surface="s", attempt=1) for run in (RUN, "another"))
    attempts: list[tuple[Any, ...]] = [
        (unseal, SEALED, OTHER_KEY),
        (unseal, SEALED[:-9] + bytes([SEALED[-9] ^ 1]) + SEALED[-8:], KEY),
        (other.unseal, sealer.seal(MANIFEST.markers[0].wanted)),
    ]
    for function, *arguments in attempts:
        with pytest.raises(SealBroken) as caught:
            function(*arguments)
        assert not [secret for secret in secrets_of(MANIFEST) if secret in all_of(caught.value)]


def test_a_manifest_that_would_not_fit_into_a_secret_is_refused() -> None:
    count = 900 * 1024 // 100
    marker = MANIFEST.markers[0]
    many = tuple(replace(marker, salt=secrets.token_bytes(32), plaintext=secrets.token_hex(60)) for _ in range(count))
    with pytest.raises(ScenarioError, match=r"spec\.trials"):
        seal(replace(MANIFEST, markers=many), data_key=DATA_KEY, key=KEY, header={})


VALUES = [["a", "b"], {"x": [1, None]}, "", 0]


@pytest.mark.parametrize("value", VALUES)
def test_a_sealed_intent_is_opened_by_its_own_run_surface_and_attempt_alone(value: Any) -> None:
    bound = {"run": RUN, "surface": "s", "attempt": 1}
    sealed = Sealer(DATA_KEY, **bound).seal(value)
    assert Sealer(DATA_KEY, **bound).unseal(sealed) == value
    assert Sealer(DATA_KEY, **bound).seal(value) != sealed
    for change in ({"run": "r"}, {"surface": "t"}, {"attempt": 2}):
        with pytest.raises(SealBroken):
            Sealer(DATA_KEY, **{**bound, **change}).unseal(sealed)
    with pytest.raises(SealBroken):
        Sealer(bytes(32), **bound).unseal(sealed)


@given(st.data())
def test_any_byte_of_a_sealed_intent_that_is_changed_is_refused(data: st.DataObject) -> None:
    sealer = Sealer(DATA_KEY, run=RUN, surface="s", attempt=1)
    sealed = sealer.seal(["marker", "location"])
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:place] + bytes([sealed[place] ^ data.draw(st.integers(1, 255))]) + sealed[place + 1 :]
    for broken in (changed, sealed[:place], b""):
        with pytest.raises(SealBroken):
            sealer.unseal(broken)
