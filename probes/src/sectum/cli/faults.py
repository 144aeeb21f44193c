"""An exception -> one line about it, one about what to do next, and the exit status."""

from __future__ import annotations

import os
import traceback

import click

from sectum.cli.lines import place
from sectum.cli.settings import Settings, say
from sectum.errors import ScenarioError, SectumError


class Stopped(SectumError):
    """Ctrl-C came before there was anything to write."""


def explain(error: BaseException, settings: Settings) -> int:
    """Say on stderr what went wrong; never an exception's text that could hold content, unless --debug."""
    if settings.debug and not isinstance(error, (click.ClickException, click.Abort)):
        say("".join(traceback.format_exception(error)).replace("\n", os.linesep))
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, click.Abort):
        say("error: interrupted")
        return 1
    cause = _first(error)
    if isinstance(cause, SectumError):
        _known(cause, settings)
        return cause.exit_status
    if isinstance(cause, OSError) and isinstance(cause.filename, (str, bytes, os.PathLike)):
        say(f"error: {os.fsdecode(cause.filename)}: {os.strerror(cause.errno or 0)}")
        return 1
    say(f"error: {type(cause).__name__}{_where(cause)}; this is a bug")
    say("next: report it; --debug shows a traceback, which may hold content")
    return 1


def _first(error: BaseException) -> BaseException:
    """Out of groups: the first SectumError, else the first of all."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    known = error.subgroup(SectumError)
    inner = (known or error).exceptions[0]
    return _first(inner)


def _usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    say(f"error: {_one_line(error.format_message())}")
    if context is not None:
        say(f"next: {context.command_path} --help")
    return error.exit_code


def _known(error: SectumError, settings: Settings) -> None:
    message = str(error)
    problem, fix = message, ""
    if isinstance(error, ScenarioError):
        said = message.removeprefix(f"{error.field}: ")
        problem, _, fix = said.partition("; ")
        problem = f"{_where_in_file(error.field, settings)}{error.field}: {problem}"
    elif "; " in message:
        problem, _, fix = message.partition("; ")
    say(f"error: {_one_line(problem)}")
    if fix:
        say(f"next: {_one_line(fix)}")


def _where_in_file(field: str, settings: Settings) -> str:
    """`scenario.yaml:14:7: `, where the field stands there."""
    if settings.source is None:
        return ""
    name, text = settings.source
    found = place(text, field)
    return f"{name}:{found[0]}:{found[1]}: " if found else f"{name}: "


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _where(error: BaseException) -> str:
    """The line of the library that raised: no content in it."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}sectum{os.sep}" in frame.filename
    ]
    if not frames:
        return ""
    name = frames[-1].filename.rsplit(f"{os.sep}sectum{os.sep}", 1)[1]
    return f" in sectum/{name}:{frames[-1].lineno}"
