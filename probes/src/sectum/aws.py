"""A Secret with AWS's credentials -> the three strings of them; without a Secret, workload identity finds its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from sectum.errors import SecretMissing

Region = Annotated[str, Field(max_length=40, pattern=r"^[a-z0-9-]+$")]
Endpoint = Annotated[str, Field(max_length=512, pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$")]
"""Scheme, host and port of a server that speaks AWS's protocol."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def credentials(secret: Callable[[str, str], bytes], name: str | None) -> Credentials | None:
    """The keys accessKeyId, secretAccessKey and, if it is there, sessionToken of the Secret; raises SecretMissing."""
    if name is None:
        return None

    def text(key: str) -> str:
        try:
            return secret(name, key).decode("ascii").strip()
        except UnicodeDecodeError:
            raise SecretMissing(f"secret {name}/{key}", "is not ASCII text") from None

    try:
        token: str | None = text("sessionToken")
    except SecretMissing:
        token = None
    return Credentials(text("accessKeyId"), text("secretAccessKey"), token)
