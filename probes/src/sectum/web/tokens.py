"""What the scenario says on the server's tokens -> forged ones, each wrong in one way and in another's name."""

from __future__ import annotations

import secrets
import uuid
from functools import cache
from typing import Annotated, Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import Field, model_validator

from sectum.actions import Principal
from sectum.fields import SecretRef, Strict, Text, fill, placeholders
from sectum.web.templates import PRINCIPAL, Template, check_template, named

_ALWAYS = ("none", "unsigned", "foreign-key")
_BY_THE_ISSUER = ("wrong-audience", "wrong-issuer", "expired")
"""Forged tokens that only the issuer's own key can sign."""
GENUINE = "genuine"
"""A token in which nothing is wrong: the control of those."""
_LONG_AGO = 3600
"""Seconds since which an expired token is out of date: more than any leeway."""


class KeyRef(Strict):
    """Where a key is."""

    secret_ref: SecretRef
    """Secret named sectum-surface-<surface>-…"""


class Tokens(Strict):
    """How tokens are forged for the run: each wrong in one way, in another's name, and good for a minute."""

    claims: Annotated[dict[Text, Template], Field(min_length=1, max_length=32)]
    """Claims that name the principal; {tenant} and {user} must both be mentioned."""
    issuer: Text
    """The right `iss`."""
    audience: Text
    """The right `aud`."""
    algorithm: Literal["HS256", "ES256", "RS256"] = "HS256"
    """How the server's tokens are signed."""
    key_id: Text | None = None
    """`kid` in the header."""
    issuer_key: KeyRef | None = None
    """The issuer's own key, PEM or for HS256 its bytes; without it only what needs no issuer is forged."""
    other_audience: Text = "https://other-audience.invalid"
    """A wrong `aud`: best another service of the same issuer."""
    lifetime_seconds: Annotated[int, Field(ge=10, le=600)] = 60
    """How long a forged token is good for."""

    @model_validator(mode="after")
    def _known(self) -> Tokens:
        for name, template in self.claims.items():
            check_template(f"claims.{name}", template, PRINCIPAL)
        if missing := sorted(PRINCIPAL - placeholders("\n".join(self.claims.values()))):
            raise ValueError(f"claims name no {missing[0]}: let one mention {{{missing[0]}}}")
        if reserved := sorted(self.claims.keys() & {"iss", "aud", "exp", "iat", "nbf", "jti"}):
            raise ValueError(f"claims.{reserved[0]} is not yours to set: it is what is forged")
        if self.other_audience == self.audience:
            raise ValueError("otherAudience is the right one")
        return self

    def names(self) -> tuple[str, ...]:
        """Those that can be forged."""
        return _ALWAYS + (_BY_THE_ISSUER if self.issuer_key else ())

    def forged(self, name: str, who: Principal, *, key: bytes | None, now: int) -> str:
        """A token in the name of `who`, wrong in the way that its name says; raises jwt.PyJWTError for a bad key."""
        claims = {claim: fill(template, named(who)) for claim, template in self.claims.items()}
        began = now - _LONG_AGO - self.lifetime_seconds if name == "expired" else now
        claims |= {"iss": self.issuer, "aud": self.audience, "jti": uuid.uuid4().hex}
        claims |= {"aud": self.other_audience} if name == "wrong-audience" else {}
        claims |= {"iss": "https://other-issuer.invalid"} if name == "wrong-issuer" else {}
        times = {"iat": began, "exp": began + self.lifetime_seconds}
        algorithm: str = self.algorithm
        signing: Any = key
        if name == "unsigned":
            algorithm, signing = "none", None
        elif name == "foreign-key":
            signing = _own_key(self.algorithm)
        header = {"kid": self.key_id} if self.key_id else None
        return jwt.encode({**claims, **times}, signing, algorithm=algorithm, headers=header)


@cache
def _own_key(algorithm: str) -> Any:
    """A key that no issuer knows, of this process."""
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else secrets.token_bytes(32)
