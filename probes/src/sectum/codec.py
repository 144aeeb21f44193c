"""Python values -> canonical JSON (RFC 8785) and digests, and back without tolerance."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import rfc8785

from sectum.errors import SectumError


class NotCanonical(SectumError):
    """Bytes are not the canonical form (RFC 8785) of the value that they carry."""


def canonical(value: Any) -> bytes:
    """Encode JSON types (and tuples) as RFC 8785; raises rfc8785.CanonicalizationError for anything else."""
    return rfc8785.dumps(value)


def parse(data: bytes) -> Any:
    """Decode bytes that must be canonical: duplicate keys, spaces and other spellings raise NotCanonical."""
    try:
        value = json.loads(data)
        same = canonical(value) == data
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise NotCanonical("not JSON in canonical form (RFC 8785)") from error
    if not same:
        raise NotCanonical("not in canonical form (RFC 8785)")
    return value


def sha256(data: bytes) -> str:
    """Lower-case hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """Hex SHA-256 of the canonical form."""
    return sha256(canonical(value))


def b64(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    """The one spelling that `b64` writes; anything else raises NotCanonical (RFC 4648 section 3.5: no spare bits)."""
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise NotCanonical("not base64") from error
    if b64(data) != text:
        raise NotCanonical("not canonical base64")
    return data
