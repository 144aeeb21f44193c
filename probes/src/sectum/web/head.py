"""The head of an HTTP answer -> what its status says is wrong, and its texts for the scan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sectum.actions import AnswerKind

_STATUS = {
    401: AnswerKind.UNAUTHENTICATED,
    403: AnswerKind.DENIED,
    404: AnswerKind.NOT_FOUND,
    410: AnswerKind.NOT_FOUND,
    429: AnswerKind.THROTTLED,
}
_CLASS = {2: None, 3: AnswerKind.REDIRECTED, 4: AnswerKind.REJECTED}


def fault_of(status: int) -> AnswerKind | None:
    """What is wrong with an answer of this status; None for 2xx."""
    return _STATUS.get(status, _CLASS.get(status // 100, AnswerKind.SERVER_ERROR))


def head_text(extensions: Mapping[str, Any], fields: Iterable[tuple[bytes, bytes]]) -> str:
    """Reason phrase and header fields, one a line, names as they were spelled."""
    parts = [extensions.get("reason_phrase", b""), *(part for pair in fields for part in pair)]
    return "".join(part.decode("utf-8", "replace") + "\n" for part in parts)
