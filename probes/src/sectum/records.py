"""What a stage did -> a signed, create-only record: proof against whoever handles it later, the operator too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sectum import dsse
from sectum.codec import NotCanonical, b64, canonical, parse, sha256, unb64

RECORD_TYPE = "application/vnd.sectum.record+json"


class Stage(StrEnum):
    """The stages that touch surfaces, in their order."""

    BASELINE = "baseline"
    PLANT = "plant"
    PROBE = "probe"
    CLEAN = "clean"


class RecordKind(StrEnum):
    """What a record says."""

    START = "start"  # written before the attempt's first request
    LEAK = "leak"  # written the moment one is seen
    RESULT = "result"  # written at the attempt's end


@dataclass(frozen=True, slots=True)
class Runner:
    """Where a stage ran: UID of its pod, and its image by digest; a local run has neither."""

    pod: str | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One statement of one stage on one surface; `previous` is the digest of the attempt's record before this one."""

    run: str
    manifest: str
    stage: str
    surface: str
    attempt: int
    kind: RecordKind
    number: int
    previous: str | None
    pod: str | None
    image: str | None
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Signed:
    """A record and its bytes."""

    record: Record
    data: bytes

    @property
    def digest(self) -> str:
        """Hex SHA-256 of its bytes."""
        return sha256(self.data)

    @property
    def name(self) -> str:
        """Its file's name in a pack: sorts by stage, surface, attempt and number."""
        each = self.record
        return f"{each.stage}-{each.surface}-{each.attempt}-{each.number:06d}-{each.kind}-{self.digest[:16]}.json"


def place(run: str, stage: str, surface: str, attempt: int) -> str:
    """Where an attempt's records are stored, each under its digest."""
    return f"work/{run}/{stage}/{surface}/{attempt}/"


def sign_record(record: Record, run_key: Ed25519PrivateKey) -> bytes:
    """A DSSE envelope in canonical JSON, signed by the run's key."""
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    payload = canonical({**values, "kind": str(record.kind)})
    keyid = run_key_id(b64(run_key.public_key().public_bytes_raw()))
    return canonical(dsse.envelope(RECORD_TYPE, payload, sign=run_key.sign, keyid=keyid))


def read_record(data: bytes, public_key: str) -> Record:
    """The record, if the run's key signed it; raises NotCanonical."""
    verify = verify_with_run_key(public_key)
    payload = dsse.open_envelope(parse(data), payload_type=RECORD_TYPE, verify=verify, keyid=run_key_id(public_key))
    values = parse(payload)
    try:
        return Record(**{**values, "kind": RecordKind(values["kind"])})
    except (KeyError, TypeError, ValueError):
        raise NotCanonical("the run's key signed it, but it is no record") from None


def run_key_id(public_key: str) -> str:
    """Hex SHA-256 of the run's public key: names the key in records."""
    return sha256(unb64(public_key))


def verify_with_run_key(public_key: str) -> Callable[[bytes, bytes], bool]:
    """A check of signatures by the run's key, for `dsse.open_envelope`; raises NotCanonical for what is no key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(unb64(public_key))
    except ValueError:
        raise NotCanonical("the run's public key is not one of Ed25519") from None

    def verify(message: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return verify
