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

from sectum.cli.cluster import PLUGIN, options
from sectum.cli.faults import explain
from sectum.cli.settings import NARROWEST, Settings, common
from sectum.errors import UsageError

STATUS = """\b
Exit status:
   0  Pass: every requested trial passed
  10  Leak
  11  Inconclusive, or something requested was not covered
   2  wrong usage      3  wrong scenario or configuration
  12  evidence not verified     13  is-ours: no run's      1  anything else
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
    "diff": Place("diffing", "diff", "Compare two evidence packs, trial by trial."),
    "sweep-orphans": Place("running", "sweep_orphans", "Remove what killed runs left in the surfaces."),
    "is-ours": Place("alarms", "is_ours", "Tell whether what tripped an alarm belongs to a run. Writes nothing."),
    "surfaces": Place("listing", "surfaces", "List and explain the adapters."),
    "attacks": Place("listing", "attacks", "List and explain the attack classes."),
    "schema": Place("listing", "schema", "Print the JSON schema of an IsolationScenario."),
    "version": Place("listing", "version", "Print versions."),
    "completion": Place("listing", "completion", "Print the completion script of a shell."),
}
"""In the order in which one needs them."""

IN_CLUSTER = {
    "run": Place("cluster_run", "run", "Verify a scenario in the cluster; --wait follows it to its verdict."),
    "follow": Place("cluster_run", "follow_run", "Follow a run to its verdict."),
    "status": Place("cluster_packs", "status", "List the scenarios with the verdict of their last run."),
    "packs": Place("cluster_packs", "packs", "List the evidence packs, newest first."),
    "fetch": Place("cluster_fetch", "fetch", "Download a pack and say how to verify it."),
    **{name: VERBS[name] for name in ("verify", "diff", "plan", "surfaces", "attacks", "schema", "version")},
}
"""The verbs of `kubectl sectum`: those that ask the cluster, then what one wants beside it."""


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

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The common options; as a plug-in of kubectl those of the cluster, too."""
        cluster = _cluster_options.params if ctx.info_name == PLUGIN else []
        return [*cluster, *super().get_params(ctx)]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs' names."""
        return list(_verbs(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is meant; for one that is not there, the nearest is named."""
        verbs = _verbs(ctx)
        if args and args[0] not in verbs and not args[0].startswith("-"):
            raise UsageError(f"no verb is named {args[0]!r}; {_instead(args[0], verbs)}")
        if verbs is VERBS and args[:1] == ["run"] and args[1:] and not args[1].startswith("-"):
            name = args[1] if args[1].isprintable() else "SCENARIO"
            raise UsageError(
                f"`sectum run` takes a file, -f FILE, and runs it from here; in a cluster: {PLUGIN} run {name}"
            )
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name, imported now."""
        place = _verbs(ctx).get(cmd_name)
        if place is None:
            return None
        found: click.Command = getattr(import_module(f"sectum.cli.{place.module}"), place.attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, place.summary) for name, place in _verbs(ctx).items()])


def _verbs(ctx: click.Context) -> dict[str, Place]:
    """What there is to do depends on the name that the program is called by."""
    return IN_CLUSTER if ctx.find_root().info_name == PLUGIN else VERBS


def _instead(verb: str, verbs: dict[str, Place]) -> str:
    """The nearest verb, or that the other program has it."""
    other, program = (VERBS, "sectum") if verbs is IN_CLUSTER else (IN_CLUSTER, PLUGIN)
    if verb in other:
        return f"it is one of the other program: {program} {verb}"
    close = get_close_matches(verb, verbs, n=1)
    return f"did you mean {close[0]!r}?" if close else f"verbs: {', '.join(verbs)}"


def _program() -> str:
    name = os.path.basename(sys.argv[0])
    return PLUGIN if name.startswith("kubectl-sectum") else "sectum"


@click.command()
@options(everywhere=True)
def _cluster_options() -> None:
    """Holds the options of a cluster, for the group to take."""


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
