"""The verbs of the command line, put together."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import UnsupportedOperation
from typing import Any

import click

from sectum.cli import checking, keys, listing, planning, running, verifying
from sectum.cli.faults import explain
from sectum.cli.settings import NARROWEST, Settings, common

STATUS = """\b
Exit status:
   0  Pass: every requested trial passed
  10  Leak
  11  Inconclusive, or something requested was not covered
   2  wrong usage      3  wrong scenario or configuration
  12  evidence not verified      1  anything else
"""


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
            sys.stdout.flush()
        except Exception as error:  # noqa: BLE001  (the last resort: one line and a status)
            status = explain(error, settings)
        sys.exit(status if isinstance(status, int) else 0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one needs them."""
        return list(self.commands)


def _program() -> str:
    name = os.path.basename(sys.argv[0])
    return "kubectl sectum" if name.startswith("kubectl-sectum") else "sectum"


@click.group(
    cls=Sectum, epilog=STATUS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(package_name="sectum", prog_name="sectum", message="%(prog)s %(version)s")
@common(hidden=False)
def app() -> None:
    """Find out, and prove, whether a multi-tenant AI system keeps its tenants apart."""


for verb in (
    keys.keygen,
    planning.plan,
    checking.check,
    running.run,
    verifying.verify,
    running.sweep_orphans,
    listing.surfaces,
    listing.attacks,
    listing.schema,
    listing.version,
    listing.completion,
):
    app.add_command(verb)
