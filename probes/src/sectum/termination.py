"""How a pod's process ends -> what is left of it: an exit status, a termination message, log lines. No content in any.

The exit status says whether another attempt may go better; the operator reads it, and the message for display.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from sectum.errors import KeyUnavailable, SectumError, StoreFault

CRASHED, CONFIGURATION, NOT_VERIFIED, TEMPORARY = 1, 3, 12, 75
_BYTES = 1000
_SHORTENED = ("worst", "message")
_LOG = logging.getLogger("sectum.termination")

Message = dict[str, Any]


def status_of(cause: BaseException) -> int:
    """The exit status that an exception ends a process with."""
    if isinstance(cause, (StoreFault, KeyUnavailable)):
        return TEMPORARY if cause.temporary else CONFIGURATION
    return cause.exit_status if isinstance(cause, SectumError) else CRASHED


def of_failure(cause: BaseException) -> tuple[int, Message]:
    """Status and message of an exception; its own text only where it is known to hold no content."""
    reason = type(cause).__name__
    known = isinstance(cause, SectumError)
    message = str(cause) if known else "this is a bug; the log names the place"
    _LOG.error("%s: %s%s", reason, message, "" if known else _where(cause))
    return status_of(cause), {"reason": reason, "message": message}


def _where(cause: BaseException) -> str:
    """File and line of a crash, without a word of what it says: that may be a server's."""
    trace = cause.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})" if trace else ""


def leave(message: Message) -> None:
    """Write the termination message, one line of JSON below a kilobyte; too long a text or list loses its end."""
    text = json.dumps(message, separators=(",", ":"))
    while len(text) > _BYTES and (name := next((each for each in _SHORTENED if message.get(each)), "")):
        # ASCII: a letter that is none takes six
        message = {**message, name: message[name][: len(message[name]) * 3 // 4]}
        text = json.dumps(message, separators=(",", ":"))
    path = Path(os.environ.get("SECTUM_TERMINATION_LOG", "/dev/termination-log"))
    try:
        path.write_text(text)
    except OSError:
        print(text, file=sys.stderr)  # noqa: T201  (started by hand)


class _Lines(logging.Formatter):
    def __init__(self, bound: dict[str, str]) -> None:
        super().__init__()
        self._bound = bound

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object; a traceback, whose text may hold content, is left out."""
        said = {"time": self.formatTime(record), "level": record.levelname.lower(), **self._bound}
        return json.dumps({**said, "logger": record.name, "message": record.getMessage()})


def log_as_json(bound: dict[str, str]) -> None:
    """Send Sectum's log lines to stderr, each with what is `bound`; silence libraries that repeat servers' words."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines(bound))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for own in ("sectum", "sectum_operator"):
        logging.getLogger(own).setLevel(logging.INFO)
    for library in ("asyncio", "psycopg", "httpx", "httpx2", "httpcore", "mcp", "boto3", "botocore", "urllib3"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
