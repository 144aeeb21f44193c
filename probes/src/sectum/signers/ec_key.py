"""A P-256 private key in PEM -> a Signer."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import field_validator

from sectum.codec import sha256
from sectum.errors import ScenarioError
from sectum.fields import SecretRef
from sectum.ports import SignerBackend, SignerSpec


class EcKeySigner:
    """ECDSA over P-256 with SHA-256."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        public = key.public_key()
        self.keyid = sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        self.public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        """A DER signature."""
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


class EcKeySpec(SignerSpec):
    """A P-256 key of one's own."""

    secret_ref: SecretRef
    """Secret named sectum-signer-… that holds the private key in PEM (PKCS#8)."""

    @field_validator("secret_ref")
    @classmethod
    def _of_a_signer(cls, reference: SecretRef) -> SecretRef:
        if not reference.name.startswith("sectum-signer-"):
            raise ValueError("the Secret's name must start with 'sectum-signer-'")
        return reference

    def signer(self, secret: Callable[[str, str], bytes]) -> EcKeySigner:
        """Read the key; raises ScenarioError when it is not a P-256 key."""
        field = "spec.evidence.signer.ecKey.secretRef"
        try:
            key = load_pem_private_key(secret(self.secret_ref.name, self.secret_ref.key), None)
        except (ValueError, TypeError):
            raise ScenarioError(
                field, "is not an unencrypted private key in PEM", "make one with `sectum keygen`"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ScenarioError(field, "is not a P-256 key", "make one with `sectum keygen`")
        return EcKeySigner(key)

    def secrets(self) -> tuple[str, ...]:
        """See SignerSpec."""
        return (self.secret_ref.name,)


SIGNER = SignerBackend(name="ecKey", summary="A P-256 private key of one's own, as PEM in a Secret.", spec=EcKeySpec)
