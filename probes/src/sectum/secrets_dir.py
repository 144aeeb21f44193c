"""A folder laid out as mounted Secrets, DIR/<name>/<key> -> a reader of secretRefs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sectum.errors import SecretMissing

ReadSecret = Callable[[str, str], bytes]
"""(name of the Secret, key) -> its bytes; raises SecretMissing."""


def secrets_in(folder: Path) -> ReadSecret:
    """Reads from `folder`; names come out of a validated SecretRef and hold no slash."""

    def read(name: str, key: str) -> bytes:
        path = folder / name / key
        try:
            return path.read_bytes()
        except OSError:
            fix = f"put it into the file {name}/{key} of the folder given by --secrets"
            raise SecretMissing(f"secretRef {name}/{key}", "cannot be read", fix) from None

    return read
