"""A key in AWS KMS -> a KeyWrapper: `Encrypt` for who seals, `Decrypt` for who opens, both bound to the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from sectum import aws
from sectum.errors import KeyUnavailable, SealBroken
from sectum.fields import Destinations, Egress, SecretName
from sectum.ports import KeyBackend, KeySpec

_BROKEN = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_TEMPORARY = frozenset(
    {
        "DependencyTimeoutException",
        "KMSInternalException",
        "KeyUnavailableException",
        "LimitExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_WHY = {
    "NotFoundException": "there is no such key in that region",
    "DisabledException": "the key is disabled",
    "KMSInvalidStateException": "the key is disabled, pending deletion or not ready",
    "InvalidKeyUsageException": "it is no symmetric key for encryption",
    "ExpiredTokenException": "the credentials have expired",
    "UnrecognizedClientException": "the credentials are not known there",
    "InvalidSignatureException": "the secret access key is wrong, or this machine's clock",
    "IncompleteSignature": "the access key is not one",
    "InvalidClientTokenId": "the credentials are not known there",
    "SignatureDoesNotMatch": "the secret access key is wrong, or this machine's clock",
}
_FIELD = "spec.manifest.key.awsKms"


class AwsKmsKey:
    """A symmetric key in KMS; the run is its encryption context, which its policy may ask for and its log shows."""

    def __init__(self, spec: AwsKmsSpec, secret: Callable[[str, str], bytes]) -> None:
        self._spec, self._secret = spec, secret
        self.reference = f"aws-kms:{spec.key_id}"

    def wrap(self, data_key: bytes, context: Mapping[str, str]) -> bytes:
        """KMS's ciphertext; raises KeyUnavailable."""
        asked = {"KeyId": self._spec.key_id, "Plaintext": data_key, "EncryptionContext": dict(context)}
        return self._asked("encrypt", self._spec.encrypt_secret, asked, "CiphertextBlob")

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The data key; raises SealBroken, KeyUnavailable."""
        asked = {"KeyId": self._spec.key_id, "CiphertextBlob": wrapped, "EncryptionContext": dict(context)}
        return self._asked("decrypt", self._spec.decrypt_secret, asked, "Plaintext")

    def _asked(self, operation: str, name: str | None, asked: dict[str, Any], wanted: str) -> bytes:
        """One call; whatever goes wrong is said in our words, for theirs name accounts, roles and hosts."""
        session = aws.session(aws.credentials(self._secret, name))
        from botocore import exceptions, parsers

        what = f"kms:{operation.capitalize()}"
        try:
            client = session.create_client("kms", region_name=self._spec.region, endpoint_url=self._spec.endpoint)
            answer: bytes = getattr(client, operation)(**asked)[wanted]
        except exceptions.ClientError as error:
            raise _answered(error.response, what) from None
        except (exceptions.BotoCoreError, parsers.ResponseParserError, LookupError, TypeError, ValueError) as error:
            raise _unanswered(error, what, f"{_FIELD}.{operation}Secret") from None
        return answer


def _answered(response: Mapping[str, Any], what: str) -> KeyUnavailable | SealBroken:
    """KMS's refusal in our words."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BROKEN:
        return SealBroken("the data key does not unwrap: another key, another run, or changed bytes")
    if code in _TEMPORARY or status >= 500 or status == 429:
        return KeyUnavailable(f"KMS failed at {what}; trying again may help", temporary=True)
    denied = "Denied" in code or status in (401, 403)
    why = _WHY.get(code) or ("these credentials may not" if denied else f"it answers HTTP {status}")
    return KeyUnavailable(f"KMS {'denies' if denied else 'refuses'} {what} on the key of {_FIELD}: {why}")


def _unanswered(error: Exception, what: str, field: str) -> KeyUnavailable:
    """Why there is no answer of KMS's, in our words."""
    from botocore import exceptions

    nobody = (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.ProfileNotFound)
    if isinstance(error, nobody):
        return KeyUnavailable(f"no credentials for {what} were found; give {field}, or this process an identity")
    if isinstance(error, exceptions.SSLError):
        return KeyUnavailable(f"the server of {_FIELD} shows a certificate that is not trusted here")
    source = (exceptions.CredentialRetrievalError, exceptions.MetadataRetrievalError)
    if isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError, *source)):
        who = "KMS, or the source of its credentials,"
        return KeyUnavailable(f"{who} cannot be reached for {what}; trying again may help", temporary=True)
    return KeyUnavailable(f"what answers to {what} at {_FIELD} is not KMS, or its fields are wrong")


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

    def address(self) -> tuple[str, int]:
        """See KeySpec."""
        url = urlsplit(self.endpoint or f"https://kms.{self.region}.amazonaws.com")
        return str(url.hostname), url.port or (443 if url.scheme == "https" else 80)

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
