"""`sectum-operator VERB`: each verb is the `command` of the module of its name, which is loaded when it is called."""

from __future__ import annotations

import importlib
import sys

import click
from sectum.errors import SectumError

VERBS = ("drain", "operate", "prepare", "trigger", "version")


class Verbs(click.Group):
    """The operator needs kopf and a queue, a prepare neither."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click.Group."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click.Group."""
        if cmd_name not in VERBS:
            return None
        found: click.Command = importlib.import_module(f"sectum_operator.{cmd_name}").command
        return found


@click.command(cls=Verbs)
def cli() -> None:
    """Runs Sectum's verifications on Kubernetes."""


def main() -> None:
    """The console script; a failure that we know ends with its exit status and one line."""
    try:
        cli(prog_name="sectum-operator")
    except SectumError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
