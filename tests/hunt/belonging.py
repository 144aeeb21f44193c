"""A hit -> whether the text belongs there. Everything else is a finding."""

from __future__ import annotations

from collections.abc import Collection

from tests.hunt.search import Hit

AT_HOME_IN_THE_SYSTEM = frozenset({"credential", "sown"})
"""The system under test has its tenants' credentials and texts itself; markers are only in what it stores."""


def belongs(hit: Hit, *, systems: Collection[str]) -> bool:
    """By the object that the bytes are of, never by what stands around the text."""
    if hit.piece.holder in hit.text.homes:
        return True
    return hit.text.kind in AT_HOME_IN_THE_SYSTEM and hit.piece.namespace in systems
