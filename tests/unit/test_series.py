"""Open and Close records bind a run to its plan and to the record before it."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sectum import dsse, series
from sectum.codec import parse, sha256
from sectum.signers.ec_key import EcKeySigner
from sectum.testing import memory_secrets

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
    plan={"root": "1" * 64, "trials": 7},
    manifest={"root": "2" * 64, "hash": "3" * 64, "key": "k", "publicKey": "p"},
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
        "plan": {"root": "1" * 64, "trials": 7},
        "manifest": {"root": "2" * 64, "hash": "3" * 64, "key": "k", "publicKey": "p"},
        "sequence": 3,
        "previous": "4" * 64,
    }
    assert series.peek(OPEN) == (body, sha256(OPEN))


def test_a_close_record_names_outcome_and_pack() -> None:
    close = series.close_record(signer=SIGNER, run="r", at="t", outcome="Pass", pack="5" * 64, sequence=4, previous="6")
    body = parse(dsse.open_envelope(parse(close), payload_type=series.CLOSE_TYPE, verify=verify, keyid=SIGNER.keyid))
    assert (body["schema"], body["outcome"], body["pack"]) == ("sectum.ai/close/v1", "Pass", "5" * 64)
    assert (body["sequence"], body["previous"], body["run"]) == (4, "6", "r")
