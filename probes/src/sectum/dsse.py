"""Payload bytes -> a DSSE envelope over them, and back (the DSSE protocol, v1: signature over PAE)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sectum.codec import NotCanonical, b64, unb64


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: what is really signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope(payload_type: str, payload: bytes, *, sign: Callable[[bytes], bytes], keyid: str) -> dict[str, Any]:
    """An envelope with one signature, as JSON types; `sign` gets the PAE."""
    return {
        "payload": b64(payload),
        "payloadType": payload_type,
        "signatures": [{"keyid": keyid, "sig": b64(sign(pae(payload_type, payload)))}],
    }


def open_envelope(
    value: Any, *, payload_type: str, verify: Callable[[bytes, bytes], bool], keyid: str | None = None
) -> bytes:
    """The payload of an envelope whose one signature `verify(pae, signature)` accepts; else NotCanonical.

    Payload bytes are returned as they were signed and must be parsed as such, never re-serialised.
    """
    match value:
        case {"payload": str(), "payloadType": kind, "signatures": [{"keyid": str(), "sig": str()} as signature]}:
            whole = len(value) == 3 and len(signature) == 2 and kind == payload_type
        case _:
            whole = False
    if not whole:
        raise NotCanonical(f"not a DSSE envelope of {payload_type} with one signature")
    if keyid is not None and signature["keyid"] != keyid:
        raise NotCanonical("the envelope names another key")
    payload = unb64(value["payload"])
    if not verify(pae(payload_type, payload), unb64(signature["sig"])):
        raise NotCanonical("the signature does not verify")
    return payload
