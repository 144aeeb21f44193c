"""A result -> stdout: a table for people, JSON or YAML for machines, bare names for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
import yaml
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sectum.cli.settings import Settings, printable

FORMATS = ("table", "wide", "json", "yaml", "name")

STYLES = {"Pass": "green", "Leak": "bold red", "Inconclusive": "yellow", "NotCovered": "yellow"}
MARKS = {"Pass": "✓", "Leak": "✗", "Inconclusive": "?", "NotCovered": "–"}

Cell = str | int | Text
Draw = Callable[[Console, bool], None]
"""(where to, wide?) -> drawn."""


def emit(output: str, *, settings: Settings, document: Any, names: Iterable[str], draw: Draw) -> None:
    """Write the result in the format that was asked for."""
    if output == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif output == "yaml":
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=NARROW_YAML), nl=False)
    elif output == "name":
        for name in names:
            click.echo(printable(name))
    else:
        draw(settings.out(), output == "wide")


NARROW_YAML = 120


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Iterable[str] = ()) -> Table:
    """A calm table: headings, no frame; the columns named in `right` hold numbers."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    numbers = set(right)
    for column in columns:
        number = column in numbers
        grid.add_column(column.upper(), justify="right" if number else "left", overflow="fold", no_wrap=number)
    for row in rows:
        grid.add_row(*(each if isinstance(each, Text) else Text(printable(str(each))) for each in row))
    return grid


def outcome(name: str) -> Text:
    """A verdict with its mark and colour."""
    return Text(f"{MARKS[name]} {name}", style=STYLES[name])


def heading(console: Console, text: str) -> None:
    """A line over a section."""
    console.print()
    console.print(Text(printable(text), style="bold"))


def indented(console: Console, *parts: Any, by: int = 2) -> None:
    """Below a heading, some columns in, wrapped lines too."""
    for part in parts:
        console.print(Padding(part, (0, 0, 0, by), expand=False))


def advice(console: Console, meaning: str, *, fix: str, field: str) -> None:
    """What happened, and below it what to do and where in the scenario."""
    indented(console, plain(meaning), by=4)
    arrow = Table.grid(padding=(0, 1, 0, 0))
    arrow.add_row(Text("→", style="cyan"), plain(fix))
    if field:
        arrow.add_row("", dim(field))
    indented(console, arrow, by=4)


def dim(text: str) -> Text:
    """Something that may be overlooked."""
    return Text(printable(text), style="dim")


def plain(text: str) -> Text:
    """Text as it is."""
    return Text(printable(text))


def command(console: Console, words: str) -> None:
    """A command to be copied: never wrapped."""
    console.print(Text(f"  {printable(words)}"), soft_wrap=True)
