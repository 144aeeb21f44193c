"""A run about to start, or ended -> Open and Close records: what makes picking the good run show."""

from __future__ import annotations

from typing import Any

from sectum import dsse
from sectum.codec import canonical, parse, sha256, unb64
from sectum.ports import Signer

OPEN_TYPE = "application/vnd.sectum.open+json"
CLOSE_TYPE = "application/vnd.sectum.close+json"


def open_record(
    *,
    signer: Signer,
    run: str,
    at: str,
    scenario: dict[str, str],
    plan: dict[str, Any],
    manifest: dict[str, str],
    sequence: int,
    previous: str | None,
) -> bytes:
    """Signed before the first write: binds the run to its plan, its manifest and its key.

    Args:
        scenario: `name` and `digest` (hex SHA-256 of the canonical snapshot).
        plan: `root` (hex) and `trials` (count).
        manifest: `root`, `hash` (hex), `key` (reference) and `publicKey` (base64).
        previous: hex SHA-256 of the series' record before this one.
    """
    body = {
        "schema": "sectum.ai/open/v1",
        "run": run,
        "at": at,
        "scenario": scenario,
        "plan": plan,
        "manifest": manifest,
        "sequence": sequence,
        "previous": previous,
    }
    return canonical(dsse.envelope(OPEN_TYPE, canonical(body), sign=signer.sign, keyid=signer.keyid))


def close_record(
    *, signer: Signer, run: str, at: str, outcome: str, pack: str | None, sequence: int, previous: str
) -> bytes:
    """Signed after the pack was stored: `outcome` is the run's verdict; `pack` the hex SHA-256 of its zip."""
    body = {
        "schema": "sectum.ai/close/v1",
        "run": run,
        "at": at,
        "outcome": outcome,
        "pack": pack,
        "sequence": sequence,
        "previous": previous,
    }
    return canonical(dsse.envelope(CLOSE_TYPE, canonical(body), sign=signer.sign, keyid=signer.keyid))


def peek(record: bytes) -> tuple[dict[str, Any], str]:
    """Body (signature not checked) and digest of a stored record, to write the next one after it."""
    body: dict[str, Any] = parse(unb64(parse(record)["payload"]))
    return body, sha256(record)
