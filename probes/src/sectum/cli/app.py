"""The verbs of the command line, put together; a verb's module is imported when it is used."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from io import UnsupportedOperation
from typing import Any

import click

from sectum.cli.faults import explain
from sectum.cli.settings import NARROWEST, Settings, common
from sectum.errors import UsageError

STATUS = """\b
Exit status:
   0  Pass: every requested trial passed
  10  Leak
  11  Inconclusive, or something requested was not covered
   2  wrong usage      3  wrong scenario or configuration
  12  evidence not verified      1  anything else
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a verb is defined, and what the list of verbs says of it."""

    module: str
    attribute: str
    summary: str


VERBS = {
    "keygen": Place("keys", "keygen", "Make the scenario's missing local keys."),
    "plan": Place("planning", "plan", "Show what a run will do. Touches nothing."),
    "check": Place("checking", "check", "Connect as every user and say what works. Writes nothing."),
    "run": Place("running", "run", "Verify a scenario and write a signed evidence pack."),
    "verify": Place("verifying", "verify", "Check an evidence pack offline, step by step."),
    "sweep-orphans": Place("running", "sweep_orphans", "Remove what killed runs left in the surfaces."),
    "surfaces": Place("listing", "surfaces", "List and explain the adapters."),
    "attacks": Place("listing", "attacks", "List and explain the attack classes."),
    "schema": Place("listing", "schema", "Print the JSON schema of an IsolationScenario."),
    "version": Place("listing", "version", "Print versions."),
    "completion": Place("listing", "completion", "Print the completion script of a shell."),
}
"""In the order in which one needs them."""


class Sectum(click.Group):
    """Turns every ending into one of the documented exit statuses."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> None:
        """Run and exit; nothing is ever a traceback, unless --debug."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, UnsupportedOperation):
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        settings = Settings()
        extra = {**extra, "standalone_mode": False, "complete_var": "_SECTUM_COMPLETE", "obj": settings}
        if not sys.stdout.isatty():
            extra.setdefault("terminal_width", NARROWEST)
        try:
            status = super().main(args, prog_name or _program(), **extra)
        except Exception as error:  # noqa: BLE001  (the last resort: one line and a status)
            status = explain(error, settings)
        sys.exit(status if isinstance(status, int) else 0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs' names."""
        return list(VERBS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is meant; for one that is not there, the nearest is named."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            close = get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"verbs: {', '.join(VERBS)}"
            raise UsageError(f"no verb is named {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name, imported now."""
        place = VERBS.get(cmd_name)
        if place is None:
            return None
        found: click.Command = getattr(import_module(f"sectum.cli.{place.module}"), place.attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, place.summary) for name, place in VERBS.items()])


def _program() -> str:
    name = os.path.basename(sys.argv[0])
    return "kubectl sectum" if name.startswith("kubectl-sectum") else "sectum"


@click.group(
    cls=Sectum,
    epilog=STATUS,
    subcommand_metavar="VERB [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": NARROWEST},
)
@click.version_option(package_name="sectum", prog_name="sectum", message="%(prog)s %(version)s")
@common(hidden=False)
def app() -> None:
    """Find out, and prove, whether a multi-tenant AI system keeps its tenants apart."""
