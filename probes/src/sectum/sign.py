"""A pack's members -> an in-toto Statement over them, signed, in a Sigstore bundle; and back, checked against a key.

Bundle: https://github.com/sigstore/protobuf-specs, v0.3, with a public key and neither log entry nor timestamp yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from sectum import dsse
from sectum.codec import NotCanonical, canonical, parse, sha256, unb64
from sectum.errors import UsageError
from sectum.pack import BUNDLE, statement
from sectum.ports import Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_ENVELOPE = {"payload", "payloadType", "signatures"}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The key that the verifier holds and trusts."""

    keyid: str
    """Hex SHA-256 of its SubjectPublicKeyInfo in DER."""
    verify: Callable[[bytes, bytes], bool]
    """(message, signature in DER) -> does it verify by ECDSA on P-256 with SHA-256?"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A well-formed bundle; nothing about it is trusted before `signed_by` said yes."""

    hint: str
    """The pack's own word on which key signed it."""
    statement: bytes
    """The Statement's bytes as they were signed."""
    envelope: Mapping[str, Any]

    def signed_by(self, key: PublicKey) -> bool:
        """Does this key's signature stand over the Statement?"""
        try:
            dsse.open_envelope(self.envelope, payload_type=PAYLOAD_TYPE, verify=key.verify, keyid="")
        except NotCanonical:
            return False
        return True


def public_key(pem: bytes) -> PublicKey:
    """A P-256 public key in PEM; raises UsageError for anything else."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError):
        raise UsageError("the key is not a public key in PEM; give the .pub file") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError("the key is not a P-256 key")

    def verify(message: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    return PublicKey(sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)), verify)


def sign_statement(members: Mapping[str, bytes], run: Mapping[str, Any], signer: Signer) -> dict[str, bytes]:
    """The members and, over all of them, the signed bundle."""
    return {**members, BUNDLE: bundle(statement(run, members), signer)}


def bundle(payload: bytes, signer: Signer) -> bytes:
    """A Sigstore bundle over a Statement, in canonical JSON.

    The envelope's own `keyid` stays empty: cosign 3 compares a filled one with an identifier of its own making and
    then counts no signature. `publicKey.hint` names the key instead.
    """
    envelope = dsse.envelope(PAYLOAD_TYPE, payload, sign=signer.sign, keyid="")
    material = {"publicKey": {"hint": signer.keyid}, "tlogEntries": []}
    return canonical({"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope})


def open_bundle(data: bytes) -> Bundle:
    """The bundle, if it is one that `bundle` could have written; else NotCanonical. Checks no signature."""
    value = parse(data)
    wanted = {"mediaType": BUNDLE_TYPE, "verificationMaterial": None, "dsseEnvelope": None}
    if not isinstance(value, dict) or set(value) != set(wanted) or value["mediaType"] != BUNDLE_TYPE:
        raise NotCanonical("not a Sigstore bundle v0.3")
    material, envelope = value["verificationMaterial"], value["dsseEnvelope"]
    hint = material["publicKey"].get("hint") if _has(material, "publicKey", "tlogEntries") else None
    if not isinstance(hint, str) or material != {"publicKey": {"hint": hint}, "tlogEntries": []}:
        raise NotCanonical("the bundle names no public key, or holds more than one")
    if not is_envelope(envelope) or envelope["payloadType"] != PAYLOAD_TYPE:
        raise NotCanonical("the bundle holds no DSSE envelope of a Statement with one signature")
    return Bundle(hint, unb64(envelope["payload"]), envelope)


def is_envelope(value: Any) -> bool:
    """Is it shaped as a DSSE envelope with one signature, so that `dsse.open_envelope` can take it?"""
    if not isinstance(value, dict) or set(value) != _ENVELOPE:
        return False
    signatures = value["signatures"]
    one = isinstance(signatures, list) and len(signatures) == 1 and isinstance(signatures[0], dict)
    return (
        one
        and set(signatures[0]) == {"keyid", "sig"}
        and all(isinstance(each, str) for each in [value["payload"], value["payloadType"], *signatures[0].values()])
    )


def _has(value: Any, *names: str) -> bool:
    """Is it an object of exactly these members, the first an object too?"""
    return isinstance(value, dict) and set(value) == set(names) and isinstance(value[names[0]], dict)
