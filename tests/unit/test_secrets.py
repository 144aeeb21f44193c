"""Secrets are read from a folder laid out as mounted Secrets; what is missing or no key is an error with a fix."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from sectum.actions import Principal
from sectum.codec import sha256
from sectum.errors import ScenarioError, SealBroken, SecretMissing
from sectum.keys.unsafe_local import UnsafeLocalKey, UnsafeLocalKeySpec
from sectum.reach import credential
from sectum.secrets_dir import ReadSecret, secrets_in
from sectum.signers.ec_key import EcKeySpec
from sectum.testing import MemorySurface, memory_scenario, memory_secrets

KEY_SPEC = UnsafeLocalKeySpec.model_validate({"secretRef": {"name": "sectum-key-manifest", "key": "key"}})
SIGNER_SPEC = EcKeySpec.model_validate({"secretRef": {"name": "sectum-signer-x", "key": "private.pem"}})
CONTEXT = {"run": "r"}


def gives(data: bytes) -> ReadSecret:
    return lambda _name, _key: data


def pem(key: Any, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return data


def test_a_secret_is_the_file_of_its_name_and_key(tmp_path: Path) -> None:
    (tmp_path / "name").mkdir()
    (tmp_path / "name" / "key").write_bytes(b"\x00value\n")
    assert secrets_in(tmp_path)("name", "key") == b"\x00value\n"


@pytest.mark.parametrize(("name", "key"), [("name", "other"), ("other", "key"), ("folder", "")])
def test_a_secret_that_is_not_there_is_named_with_the_file_to_make(tmp_path: Path, name: str, key: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SecretMissing, match=f"put it into the file {name}/{key} of the folder"):
        secrets_in(tmp_path)(name, key)


def test_each_principal_has_a_credential_of_its_own() -> None:
    surface = memory_scenario(MemorySurface()).surface("memory")
    asked = []

    def secret(name: str, key: str) -> bytes:
        asked.append((name, key))
        return b" token\n"

    assert credential(surface, Principal("acme", "ann"), secret) == "token"
    assert asked == [("sectum-surface-memory-tokens", "acme.ann")]


def test_a_credential_that_is_no_text_is_an_error_that_does_not_show_it() -> None:
    surface = memory_scenario(MemorySurface()).surface("memory")
    with pytest.raises(SecretMissing, match="not UTF-8") as caught:
        credential(surface, Principal("acme", "ann"), gives(b"hunter2\xff"))
    assert "hunter2" not in str(caught.value)


def test_a_data_key_is_unwrapped_by_the_key_and_context_that_wrapped_it() -> None:
    key, data_key = KEY_SPEC.wrapper(memory_secrets()), bytes(range(32))
    wrapped = key.wrap(data_key, CONTEXT)
    assert key.unwrap(wrapped, CONTEXT) == data_key
    assert data_key not in wrapped
    assert key.wrap(data_key, CONTEXT) != wrapped
    with pytest.raises(SealBroken):
        key.unwrap(wrapped, {"run": "another"})
    with pytest.raises(SealBroken):
        UnsafeLocalKey(bytes(32)).unwrap(wrapped, CONTEXT)


@given(st.integers(0, 59), st.integers(1, 255))
def test_a_wrapped_key_that_was_changed_or_cut_is_refused(place: int, by: int) -> None:
    key = UnsafeLocalKey(bytes(32))
    wrapped = key.wrap(bytes(32), CONTEXT)
    for broken in (wrapped[:place] + bytes([wrapped[place] ^ by]) + wrapped[place + 1 :], wrapped[:place]):
        with pytest.raises(SealBroken):
            key.unwrap(broken, CONTEXT)


def test_a_key_s_reference_tells_keys_apart_and_is_not_the_key() -> None:
    one, other = UnsafeLocalKey(b"a" * 32), UnsafeLocalKey(b"b" * 32)
    assert one.reference != other.reference
    assert one.reference == UnsafeLocalKey(b"a" * 32).reference
    assert one.reference.startswith("unsafe-local-key:sha256:")
    assert sha256(b"a" * 32)[:8] not in one.reference


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(33), b"0" * 64])
def test_a_key_of_another_length_is_refused_with_a_fix(data: bytes) -> None:
    with pytest.raises(ScenarioError, match="32 bytes; make one with `sectum keygen`") as caught:
        KEY_SPEC.wrapper(gives(data))
    assert caught.value.field == "spec.manifest.key.unsafeLocalKey.secretRef"


def test_a_signature_verifies_with_the_public_half_that_its_id_names() -> None:
    secret = memory_secrets()
    signer = SIGNER_SPEC.signer(secret)
    private = load_pem_private_key(secret("sectum-signer-x", "private.pem"), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    public = private.public_key()
    public.verify(signer.sign(b"data"), b"data", ec.ECDSA(hashes.SHA256()))
    assert signer.keyid == sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


P256 = ec.generate_private_key(ec.SECP256R1())
NO_SIGNER = {
    "nothing": b"",
    "no key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "a public key": P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "an encrypted key": pem(P256, b"password"),
    "another curve": pem(ec.generate_private_key(ec.SECP384R1())),
    "an RSA key": pem(rsa.generate_private_key(65537, 2048)),
}


@pytest.mark.parametrize("data", NO_SIGNER.values(), ids=NO_SIGNER)
def test_what_is_no_p_256_key_is_refused_with_a_fix(data: bytes) -> None:
    with pytest.raises(ScenarioError, match="make one with `sectum keygen`") as caught:
        SIGNER_SPEC.signer(gives(data))
    assert caught.value.field == "spec.evidence.signer.ecKey.secretRef"
