"""A pack's path and what its verifier holds -> the Case that every check looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sectum.codec import NotCanonical, parse
from sectum.pack import BUNDLE
from sectum.ports import KeyWrapper
from sectum.sign import Bundle, PublicKey, open_bundle


class Failed(Exception):
    """✗: the pack is not what it should be."""


class Undecided(Exception):
    """–: nothing that the verifier holds can tell."""


@dataclass(slots=True)
class Case:
    """What the verifier holds, and what earlier steps read out of the pack."""

    pack: Path | bytes
    """Path of the zip or folder, or the zip's bytes."""
    key: PublicKey | None
    open_record: bytes | None
    sealed: tuple[bytes, KeyWrapper] | None
    members: dict[str, bytes] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def bundle(self) -> Bundle:
        """The pack's bundle; raises Failed."""
        if BUNDLE not in self.members:
            raise Failed(f"there is no {BUNDLE}")
        try:
            return open_bundle(self.members[BUNDLE])
        except NotCanonical as error:
            raise Failed(f"{BUNDLE}: {error}") from None

    def statement(self) -> dict[str, Any]:
        """What the bundle says that was signed; raises Failed."""
        try:
            value = parse(self.bundle().statement)
        except NotCanonical:
            raise Failed("what was signed is not canonical JSON") from None
        if not isinstance(value, dict) or set(value) != {"_type", "subject", "predicateType", "predicate"}:
            raise Failed("what was signed is no Statement")
        return value
