"""A local key file -> a KeyWrapper. Unsafe: whoever reads the file can open the manifest; a KMS key cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sectum.codec import canonical, sha256
from sectum.errors import ScenarioError, SealBroken
from sectum.fields import SecretRef
from sectum.ports import KeyBackend, KeySpec

_NONCE = 12


class UnsafeLocalKey:
    """AES-256-GCM key wrapping with a key of 32 bytes in memory; the context is bound as associated data."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.reference = f"unsafe-local-key:sha256:{sha256(b'sectum key reference' + key)[:32]}"

    def wrap(self, data_key: bytes, context: Mapping[str, str]) -> bytes:
        """Nonce ‖ ciphertext ‖ tag."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data_key, canonical(dict(context)))

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The data key; raises SealBroken."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], canonical(dict(context)))
        except (InvalidTag, ValueError):
            raise SealBroken("the data key does not unwrap: another key, another run, or changed bytes") from None


class UnsafeLocalKeySpec(KeySpec):
    """A key file; for trying things out, not for production."""

    secret_ref: SecretRef
    """Secret that holds 32 random bytes."""

    def wrapper(self, secret: Callable[[str, str], bytes]) -> UnsafeLocalKey:
        """Read the key; raises ScenarioError when it is not 32 bytes."""
        key = secret(self.secret_ref.name, self.secret_ref.key)
        if len(key) != 32:
            raise ScenarioError(
                "spec.manifest.key.unsafeLocalKey.secretRef",
                "is not a key of 32 bytes",
                "make one with `sectum keygen`",
            )
        return UnsafeLocalKey(key)

    def local_only(self) -> bool:
        """See KeySpec: who could seal could open, too."""
        return True


KEY = KeyBackend(
    name="unsafeLocalKey",
    summary="A key of 32 bytes in a file. For trying things out: who reads the file opens the manifest.",
    spec=UnsafeLocalKeySpec,
)
