"""A text -> a vector of its hashed words, for stores that search by vectors."""

from __future__ import annotations

import hashlib
import math
import re


def hashed_words(text: str, dimensions: int) -> list[float]:
    """Each word adds ±1 at a place its hash picks; then length 1.

    Isolation does not depend on the model that made a vector; this one needs none, and near texts share words.
    """
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [""]:
        digest = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
        vector[(digest >> 1) % dimensions] += 1.0 if digest & 1 else -1.0
    length = math.hypot(*vector) or 1.0  # words can cancel each other out
    return [value / length for value in vector]
