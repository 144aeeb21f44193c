"""A stage's termination message -> what may be shown and scheduled by it. It is not trusted, and it is no evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sectum.fields import NAME_PATTERN
from sectum.finding import Outcome

from sectum_operator.resources import Digests
from sectum_operator.statuses import Counts, Matrix, Verdict

MAX_BYTES = 4096
"""What the kubelet keeps of one; a stage writes less than 1 KiB."""
_CAMEL = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_URI = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[\x21-\x7e]{1,2000}")
_MOST = 10_000_000
_SQUARES = 64
VERDICTS: dict[str, Verdict] = {"Leak": Outcome.LEAK, "Inconclusive": Outcome.INCONCLUSIVE, "Pass": Outcome.PASS}


@dataclass(frozen=True, slots=True)
class Message:
    """What a stage said at its end; what is missing or misshapen is None."""

    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Did it do its work?"""
        return self.values.get("ok") is True

    @property
    def reason(self) -> str | None:
        """Why not, or what was wrong with the surface."""
        for key in ("reason", "fault"):
            value = self.values.get(key)
            if isinstance(value, str) and _CAMEL.fullmatch(value):
                return value
        return None

    @property
    def text(self) -> str:
        """Why not, for people; printable and short."""
        value = self.values.get("message")
        told = "".join(each if each.isprintable() else " " for each in value[:512]) if isinstance(value, str) else ""
        return told.strip()

    @property
    def verdict(self) -> Verdict | None:
        """Leak, Inconclusive or Pass."""
        return VERDICTS.get(str(self.values.get("verdict")))

    @property
    def counts(self) -> Counts | None:
        """How trials ended."""
        given = self.values.get("counts")
        try:
            return Counts.model_validate(given) if isinstance(given, dict) else None
        except ValidationError:
            return None

    def number(self, key: str) -> int:
        """A count; 0 where there is none."""
        value = self.values.get(key)
        return value if type(value) is int and 0 <= value <= _MOST else 0

    @property
    def surfaces(self) -> tuple[str, ...] | None:
        """Names of the surfaces that have trials."""
        given = self.values.get("surfaces")
        if not isinstance(given, list) or len(given) > 26:
            return None
        return tuple(each for each in given if isinstance(each, str) and re.fullmatch(NAME_PATTERN, each))


@dataclass(frozen=True, slots=True)
class Assembled:
    """What `assemble` says that it stored, read back and verified."""

    verdict: Verdict
    counts: Counts | None
    uri: str
    digests: Digests
    score: int | None = None
    matrix: Matrix | None = None


def assembled(message: Message | None) -> Assembled | None:
    """None unless everything is there and it says that the stored bytes verify."""
    if message is None or not message.ok or message.values.get("verified") is not True or message.verdict is None:
        return None
    uri = message.values.get("uri")
    if not isinstance(uri, str) or not _URI.fullmatch(uri):
        return None
    try:
        digests = Digests.model_validate({"pack": message.values.get("pack"), "run": message.values.get("run")})
    except ValidationError:
        return None
    score = message.values.get("score")
    scored = score if type(score) is int and 0 <= score <= 100 else None
    return Assembled(message.verdict, message.counts, uri, digests, scored, _matrix(message))


def _matrix(message: Message) -> Matrix | None:
    """None if any of it is misshapen: half a matrix would be taken for a whole one."""
    worst = message.values.get("worst")
    try:
        short = worst[:_SQUARES] if isinstance(worst, list) else []
        return Matrix.model_validate({"letters": message.values.get("matrix"), "worst": short})
    except ValidationError:
        return None


def read_message(text: object, stage: str) -> Message | None:
    """The message of that stage; None for anything else."""
    if not isinstance(text, str) or len(text) > MAX_BYTES:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return Message(values) if isinstance(values, dict) and values.get("stage") == stage else None
