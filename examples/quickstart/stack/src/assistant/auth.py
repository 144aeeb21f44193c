"""Turn a bearer token into the identity that a request runs under, and accounts into tokens."""

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jwt

from assistant.access import Identity
from assistant.config import NAME, Account, Tokens

ALGORITHM = "HS256"


class Unauthenticated(Exception):
    """There is no token, or it is not one of ours, or it has expired."""


class Forbidden(Exception):
    """The token is good, but nobody has that account."""


class BadHeader(Exception):
    """A header does not hold a name."""


def read_or_create_key(path: Path) -> bytes:
    """Return the signing key, made on the first start and readable by the owner only."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()


def issue_token(account: Account, *, key: bytes, tokens: Tokens, audience: str) -> str:
    now = int(time.time())
    claims = {
        "iss": tokens.issuer,
        "aud": audience,
        "sub": account.user,
        "tenant": account.tenant,
        "iat": now,
        "exp": now + tokens.lifetime_seconds,
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("a bearer token is needed")
    return token.strip()


class Authenticator:
    """Knows the key and the accounts; asked once for each request."""

    def __init__(
        self,
        *,
        key: bytes,
        issuer: str,
        audiences: Sequence[str],
        accounts: frozenset[Account],
        tenant_from_token: bool = True,
    ) -> None:
        self._key = key
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._accounts = accounts
        self._tenant_from_token = tenant_from_token

    def identify(self, headers: Mapping[str, str]) -> Identity:
        identity = self.from_token(headers)
        if self._tenant_from_token:
            return identity
        # The gateway in front of us has checked the caller and says whom a request is for.
        return Identity(
            _name(headers.get("x-tenant", identity.tenant)),
            _name(headers.get("x-user", identity.user)),
        )

    def from_token(self, headers: Mapping[str, str]) -> Identity:
        token = bearer(headers)
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audiences,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "tenant"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated("the token is not valid") from error
        return self.known(claims)

    def known(self, claims: Mapping[str, Any]) -> Identity:
        account = Account(str(claims["tenant"]), str(claims["sub"]))
        if account not in self._accounts:
            raise Forbidden("no such account")
        return Identity(account.tenant, account.user)


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise BadHeader("X-Tenant and X-User hold names")
    return value
