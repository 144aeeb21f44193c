"""Log records -> one line of JSON each on stderr, with run and surface where they have them."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

_FIELDS = ("run", "uid", "stage", "surface", "job")


class JsonLines(logging.Formatter):
    """Time, level, logger, message, and what the record is about."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name in _FIELDS if (value := getattr(record, name, ""))},
        }
        if record.exc_info and record.exc_info[1]:
            told["exception"] = _where(record.exc_info[1])
        return json.dumps(told, ensure_ascii=False)


def _where(error: BaseException) -> str:
    """Kind and places of a crash, without a word of what it says: that may be an object's content."""
    frames = [f"{Path(each.filename).name}:{each.lineno}" for each in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__} at {' < '.join(reversed(frames))}"


def log_json() -> None:
    """All loggers; kopf says nothing below a warning, and never an object."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("kopf", "httpx2", "httpcore2", "aiohttp"):
        logging.getLogger(name).setLevel(logging.WARNING)
