"""What is typed after `kubectl sectum` -> completions, as kubectl asks its plug-ins for them.

kubectl's own completion calls `kubectl_complete-sectum` with the words so far, the last one unfinished, and reads lines
as cobra prints them: value, tab, help; last a colon and a directive
(https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/#using-plugins-with-shell-completion).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from click.shell_completion import CompletionItem, ShellComplete

from sectum.cli.app import app
from sectum.cli.cluster import PLUGIN
from sectum.cli.settings import Settings, printable
from sectum.errors import SectumError

_FILES, _NO_FILES, _FOLDERS = 0, 4, 16
"""Cobra's directives: let the shell complete files, do not, only folders."""


def answer(words: Sequence[str]) -> Iterator[str]:
    """The lines that kubectl reads."""
    asked = ShellComplete(app, {"obj": Settings()}, PLUGIN, "_SECTUM_COMPLETE")
    try:
        found = asked.get_completions(list(words[:-1]), words[-1] if words else "")
    except (SectumError, click.ClickException):
        found = []
    kinds = {item.type for item in found}
    yield from (_line(item) for item in found if item.type == "plain")
    yield f":{_FILES if 'file' in kinds else _FOLDERS if 'dir' in kinds else _NO_FILES}"


def _line(item: CompletionItem) -> str:
    text = printable(str(item.value))
    return f"{text}\t{printable(item.help)}" if item.help else text
