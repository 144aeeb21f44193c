"""What this program is: for people, and for the chart's test pod."""

from __future__ import annotations

from importlib.metadata import version

import click


@click.command("version")
def command() -> None:
    """Print versions."""
    for name in ("sectum-operator", "sectum", "kopf"):
        click.echo(f"{name} {version(name)}")
