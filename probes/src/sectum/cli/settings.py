"""Options that every verb takes -> consoles and logging that keep them."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar, cast

import click
from rich.console import Console

from sectum.errors import UsageError

NARROWEST = 120
"""Columns where there is no terminal to ask."""
_TALKATIVE = ("httpx", "httpcore", "httpx2", "httpcore2", "mcp", "psycopg", "psycopg.pool", "asyncio")
"""Loggers that put requests, headers, rows or exception texts into their lines."""

_PADDING = re.compile(r" +$", re.MULTILINE)

Function = TypeVar("Function", bound=Callable[..., Any] | click.Command)


@dataclass(slots=True)
class Settings:
    """What the whole command line goes by."""

    no_color: bool = False
    debug: bool = False
    log_level: str = "WARNING"
    unsafe_debug_logs: bool = False
    source: tuple[str, str] | None = None
    """Name and text of the scenario's file, for errors by line."""

    def out(self) -> Console:
        """Where the result goes: stdout."""
        return _console(sys.stdout, self.no_color)

    def err(self) -> Console:
        """Where everything else goes: stderr."""
        return _console(sys.stderr, self.no_color)

    def begin(self) -> None:
        """Set logging up and say aloud what is unsafe; raises UsageError."""
        if self.log_level == "DEBUG" and not self.unsafe_debug_logs:
            raise UsageError("--log-level DEBUG may show content; if that is meant, add --unsafe-debug-logs")
        if self.unsafe_debug_logs:
            say("warning: --unsafe-debug-logs: logs may show markers, locations and what the surfaces answer")
        if self.debug:
            say("warning: --debug: tracebacks may show markers, credentials and what the surfaces answer")
        logging.basicConfig(level=self.log_level, handlers=[_Lines(self.debug)], force=True)
        for name in _TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))  # an adapter may have silenced it


class _Lines(logging.Handler):
    """One line a record on stderr; of an exception only its type, since its text may hold content."""

    def __init__(self, debug: bool) -> None:
        super().__init__()
        self._debug = debug

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        what = "a background task failed" if record.name == "asyncio" and not self._debug else record.getMessage()
        say(f"{record.levelname.lower()}: {record.name}: {what}" + (f" ({kind.__name__})" if kind else ""))


def say(line: str) -> None:
    """A line on stderr."""
    click.echo(printable(line), err=True)


def printable(text: str) -> str:
    """The text without control characters: a name in a scenario can hold escape bytes too."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


class _Trimmed:
    """A stream for tables that are read by programs: lines without the blanks that pad their last column."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(_PADDING.sub("", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _console(stream: TextIO, no_color: bool) -> Console:
    """Colours and width of a terminal; nothing but text for a pipe, NO_COLOR, --no-color and dumb terminals."""
    terminal = stream.isatty()
    plain = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Console(
        file=stream if terminal else cast(TextIO, _Trimmed(stream)),
        force_terminal=terminal and not plain,
        force_interactive=terminal and not plain,
        width=None if terminal else max(NARROWEST, _columns()),
        highlight=False,
        markup=False,
        emoji=False,
    )


def _columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() else 0


def common(*, hidden: bool) -> Callable[[Function], Function]:
    """The options of `Settings`; they may stand before and after the verb, and its help does not repeat them."""

    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value and parameter.name:
            setattr(ctx.ensure_object(Settings), parameter.name, value)

    def flag(name: str, text: str) -> Callable[[Function], Function]:
        return click.option(name, is_flag=True, expose_value=False, callback=keep, hidden=hidden, help=text)

    def decorate(function: Function) -> Function:
        level = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)
        text = "Least level of the logs on stderr (WARNING)."
        options = [
            flag("--no-color", "No colours and no escape bytes, as with NO_COLOR."),
            click.option("--log-level", type=level, expose_value=False, callback=keep, hidden=hidden, help=text),
            flag("--unsafe-debug-logs", "Allow --log-level DEBUG, whose lines may show content."),
            flag("--debug", "Show tracebacks of errors. They may show content."),
        ]
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


class Subcommand(click.Command):
    """A verb: takes the common options too, and begins with them applied."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        common(hidden=True)(self)

    def invoke(self, ctx: click.Context) -> Any:
        """Set up, then the verb."""
        ctx.ensure_object(Settings).begin()
        return super().invoke(ctx)
