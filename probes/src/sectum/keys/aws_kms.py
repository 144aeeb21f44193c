"""A key in AWS KMS -> a KeyWrapper: `Encrypt` for who seals, `Decrypt` for who opens, both bound to the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from sectum import aws
from sectum.errors import KeyUnavailable, SealBroken
from sectum.fields import Destinations, Egress, SecretName
from sectum.ports import KeyBackend, KeySpec

_BROKEN = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_TEMPORARY = frozenset(
    {
        "ThrottlingException",
        "KMSInternalException",
        "DependencyTimeoutException",
        "KeyUnavailableException",
        "500",
        "503",
    }
)


class AwsKmsKey:
    """A symmetric key in KMS; the run is its encryption context, which its policy may ask for and its log shows."""

    def __init__(self, spec: AwsKmsSpec, secret: Callable[[str, str], bytes]) -> None:
        self._spec, self._secret = spec, secret
        self.reference = f"aws-kms:{spec.key_id}"

    def wrap(self, data_key: bytes, context: Mapping[str, str]) -> bytes:
        """KMS's ciphertext; raises KeyUnavailable."""
        client = self._client(self._spec.encrypt_secret)
        asked = {"KeyId": self._spec.key_id, "Plaintext": data_key, "EncryptionContext": dict(context)}
        return self._asked(lambda: client.encrypt(**asked)["CiphertextBlob"], "kms:Encrypt")

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The data key; raises SealBroken, KeyUnavailable."""
        client = self._client(self._spec.decrypt_secret)
        asked = {"KeyId": self._spec.key_id, "CiphertextBlob": wrapped, "EncryptionContext": dict(context)}
        return self._asked(lambda: client.decrypt(**asked)["Plaintext"], "kms:Decrypt")

    def _client(self, name: str | None) -> Any:
        import boto3  # it takes a third of a second
        from botocore.config import Config

        found, spec = aws.credentials(self._secret, name), self._spec
        keys = (
            {
                "aws_access_key_id": found.access_key_id,
                "aws_secret_access_key": found.secret_access_key,
                "aws_session_token": found.session_token,
            }
            if found
            else {}
        )
        return boto3.client(
            "kms",
            region_name=spec.region,
            endpoint_url=spec.endpoint,
            config=Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 4}),
            **keys,
        )

    def _asked(self, ask: Callable[[], bytes], what: str) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return ask()
        except ClientError as error:  # its text may name accounts and roles
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _BROKEN:
                raise SealBroken("the data key does not unwrap: another key, another run, or changed bytes") from None
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in _TEMPORARY or status >= 500:
                raise KeyUnavailable(f"KMS failed at {what}; trying again may help", temporary=True) from None
            denied = "Denied" in code or "UnrecognizedClient" in code or status in (401, 403)
            why = "denied" if denied else "refused"
            raise KeyUnavailable(f"KMS {why} {what} on the key of spec.manifest.key.awsKms") from None
        except BotoCoreError:
            raise KeyUnavailable("KMS cannot be reached, or no credentials for it were found", temporary=True) from None


class AwsKmsSpec(KeySpec):
    """A symmetric encryption key in AWS KMS; who seals may only encrypt, who opens only decrypt."""

    key_id: Annotated[str, Field(max_length=190, pattern=r"^[A-Za-z0-9:/_-]+$")]
    """Id, ARN or alias of the key."""
    region: aws.Region
    """Region of the key."""
    endpoint: aws.Endpoint | None = None
    """Another server than AWS's own."""
    encrypt_secret: SecretName | None = None
    """Secret named sectum-kms-encrypt-… with credentials that may only kms:Encrypt; left out: workload identity."""
    decrypt_secret: SecretName | None = None
    """Secret named sectum-kms-decrypt-… with credentials that may only kms:Decrypt; left out: workload identity."""
    egress: Destinations = ()
    """Where KMS is reached from a cluster's pods; needed there."""

    @field_validator("encrypt_secret")
    @classmethod
    def _encrypts(cls, name: str | None) -> str | None:
        return _named(name, "sectum-kms-encrypt-")

    @field_validator("decrypt_secret")
    @classmethod
    def _decrypts(cls, name: str | None) -> str | None:
        return _named(name, "sectum-kms-decrypt-")

    def wrapper(self, secret: Callable[[str, str], bytes]) -> AwsKmsKey:
        """See KeySpec; Secrets are read when the key is used."""
        return AwsKmsKey(self, secret)

    def wrap_secrets(self) -> tuple[str, ...]:
        """See KeySpec."""
        return (self.encrypt_secret,) if self.encrypt_secret else ()

    def unwrap_secrets(self) -> tuple[str, ...]:
        """See KeySpec."""
        return (self.decrypt_secret,) if self.decrypt_secret else ()

    def destinations(self) -> tuple[Egress, ...]:
        """See KeySpec."""
        return self.egress


def _named(name: str | None, prefix: str) -> str | None:
    if name is not None and not name.startswith(prefix):
        raise ValueError(f"the Secret's name must start with {prefix!r}")
    return name


KEY = KeyBackend(
    name="awsKms",
    summary="A symmetric key in AWS KMS. It never leaves KMS; each use of it stands in KMS's log.",
    spec=AwsKmsSpec,
)
