"""A bucket of S3, or of a server that speaks its protocol -> a Store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from obstore.store import S3Store
from pydantic import Field, field_validator

from sectum import aws
from sectum.fields import Destinations, Egress, SecretName
from sectum.ports import StoreBackend, StoreSpec
from sectum.store import ObjectStoreOf

_SECONDS = 30
"""For one request; a pack has megabytes."""
_WHATEVER_THE_ENVIRONMENT_SAYS = {
    "conditional_put": "etag",
    "request_payer": False,
    "s3_express": False,
    "skip_signature": False,
    "unsigned_payload": False,
}
"""obstore reads every option that is left out from AWS_… variables; one of them turns create-only puts off."""


class S3Spec(StoreSpec):
    """A bucket; objects in it are only ever created."""

    bucket: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """Name of the bucket."""
    prefix: Annotated[str, Field(max_length=256, pattern=r"^([A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)?$")] = ""
    """Folder in the bucket; each scenario needs one of its own."""
    region: aws.Region = "us-east-1"
    """Region of the bucket."""
    endpoint: aws.Endpoint | None = None
    """Another server than AWS's own, such as https://s3.example.test:9000; its buckets are asked for by path."""
    secret: SecretName | None = None
    """Secret named sectum-store-… with the keys accessKeyId and secretAccessKey; left out: workload identity."""
    egress: Destinations = ()
    """Where the bucket is reached from a cluster's pods; needed there."""

    @field_validator("secret")
    @classmethod
    def _of_a_store(cls, name: str | None) -> str | None:
        if name is not None and not name.startswith("sectum-store-"):
            raise ValueError("the Secret's name must start with 'sectum-store-'")
        return name

    def open(self, secret: Callable[[str, str], bytes]) -> ObjectStoreOf:
        """See StoreSpec; raises SecretMissing."""
        endpoint = self._origin()
        said: Any = {
            "region": self.region,
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,  # in the environment it would outdo the other one
            "virtual_hosted_style_request": False,
            "checksum_algorithm": "SHA256",
            **_WHATEVER_THE_ENVIRONMENT_SAYS,
        }
        return ObjectStoreOf(
            S3Store(
                self.bucket,
                prefix=self.prefix or None,
                config=said,
                client_options={
                    "allow_http": endpoint.startswith("http://"),
                    "connect_timeout": f"{aws.CONNECT_SECONDS}s",
                    "timeout": f"{_SECONDS}s",
                },
                credential_provider=aws.source(aws.credentials(secret, self.secret)),
                retry_config={"max_retries": 0},  # ObjectStoreOf tries again itself, and knows that it did
            )
        )

    def _origin(self) -> str:
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return self.endpoint or f"https://s3.{self.region}.{domain}"

    def uri(self, name: str) -> str:
        """See StoreSpec."""
        return "/".join(filter(None, ("s3:/", self.bucket, self.prefix, name)))

    def address(self) -> tuple[str, int]:
        """See StoreSpec."""
        url = urlsplit(self._origin())
        return str(url.hostname), url.port or (443 if url.scheme == "https" else 80)

    def secrets(self) -> tuple[str, ...]:
        """See StoreSpec."""
        return (self.secret,) if self.secret else ()

    def destinations(self) -> tuple[Egress, ...]:
        """See StoreSpec."""
        return self.egress


STORE = StoreBackend(name="s3", summary="A bucket of S3, or of a server that speaks its protocol.", spec=S3Spec)
