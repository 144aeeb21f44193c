"""`sectum-operator drain`: before the operator goes, runs in flight end, or are let go; it says what they leave.

The hook of `helm uninstall` is this. While it waits the operator is still there, and does what cancelled runs need.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from sectum.errors import UsageError

from sectum_operator.api import RUNS, Api, ApiFault, Denied, Object, Pointer, connect
from sectum_operator.observe import condition_of, run_ended
from sectum_operator.settings import read_namespaces
from sectum_operator.stages import FINALIZER, LET_GO

Say = Callable[[str], None]
PAUSE = timedelta(seconds=2)
"""Between two looks."""
LAST = timedelta(seconds=30)
"""For letting go what has not ended, should the API server not do it at once."""
_UNITS = {"s": 1, "m": 60}
ADVICE = """\
No operator cleans up after these runs now. Either install the chart again, under the same name in the same
namespace: the operator goes on with these runs, cleans up and stores their packs. Do not delete them before that.
Or clean up by hand, with copies of the scenario's stores and `sectum sweep-orphans`: docs/chart.md, "Uninstalling".
Until one of both is done, the next run of such a scenario finds its surfaces NotEmpty."""


@click.command("drain")
@click.option("--timeout", default="4m", show_default=True, help="For how long to wait for runs: 90s, 4m; 0 for not.")
def command(timeout: str) -> None:
    """Cancel the runs of the namespaces that SECTUM_NAMESPACES names, wait for them, let go what has not ended."""
    namespaces, seconds = read_namespaces(os.environ), seconds_of(timeout)
    asyncio.run(_connected(namespaces, seconds))


def seconds_of(timeout: str) -> int:
    """0, 90s, 4m; raises UsageError."""
    if timeout == "0":
        return 0
    if not re.fullmatch(r"[1-9][0-9]{0,3}[sm]", timeout):
        raise UsageError(f"--timeout: {timeout!r} is no time such as 90s or 4m, or 0")
    return int(timeout[:-1]) * _UNITS[timeout[-1]]


async def _connected(namespaces: Iterable[str], seconds: int) -> None:
    api = connect()
    try:
        await drain(api, namespaces, seconds=seconds, say=click.echo)
    finally:
        await api.close()


async def drain(api: Api, namespaces: Iterable[str], *, seconds: float, say: Say) -> None:
    """Until no run is in flight, or all that are have been let go; raises ApiFault where that could not be done."""
    clock = asyncio.get_running_loop().time
    until, told, left = clock() + seconds, dict[str, str](), dict[str, Object]()
    while True:
        late = clock() >= until
        try:
            going = await _in_flight(api, namespaces, say)  # each time anew: somebody may have begun another one
            _tell(going, told, say)
            if not going or (late and not any(map(_held, going.values()))):
                break
            for name, run in going.items():
                version = await _cancel(api, run)
                if late and _held(run):
                    await _let_go(api, run, version)
                    left[name] = run
        except ApiFault as error:
            if clock() >= until + LAST.total_seconds():
                raise
            say(f"again in {PAUSE.total_seconds():.0f} s: {error}")
        await asyncio.sleep(PAUSE.total_seconds())
    kept = {name: run for name, run in left.items() if name in going or "deletionTimestamp" in run["metadata"]}
    _report({**going, **kept}, say)


async def _in_flight(api: Api, namespaces: Iterable[str], say: Say) -> dict[str, Object]:
    """By namespace and name."""
    found: dict[str, Object] = {}
    for namespace in namespaces:
        try:
            listed = await api.list(RUNS, namespace)
        except Denied as error:  # the namespace, our Role in it or the kind went before
            say(f"{namespace}: no run can be looked at ({error})")
            continue
        found |= {
            f"{namespace}/{each['metadata']['name']}": each for each in listed if _held(each) or not run_ended(each)
        }
    return found


def _held(run: Object) -> bool:
    return FINALIZER in run["metadata"].get("finalizers", ())


async def _cancel(api: Api, run: Object) -> str:
    """Its version afterwards."""
    meta = run["metadata"]
    if run["spec"].get("cancel") or "deletionTimestamp" in meta or run_ended(run):
        return str(meta["resourceVersion"])
    return await _replace(api, run, meta["resourceVersion"], "/spec/cancel", value=True)


async def _let_go(api: Api, run: Object, version: str) -> None:
    """It keeps a mark, by which an operator that comes later knows that it may have to be cleaned up after."""
    meta = run["metadata"]
    if "deletionTimestamp" not in meta:
        marks = {**meta.get("annotations", {}), LET_GO: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        version = await _replace(api, run, version, "/metadata/annotations", value=marks)
    others = [each for each in meta["finalizers"] if each != FINALIZER]
    await _replace(api, run, version, "/metadata/finalizers", value=others)


async def _replace(api: Api, run: Object, version: str, pointer: Pointer, *, value: Any) -> str:
    meta = run["metadata"]
    written = await api.replace(
        RUNS, meta["namespace"], meta["name"], version=version, pointer=pointer, value=value
    )  # fmt: skip
    return str(written["metadata"]["resourceVersion"])


def _tell(going: Mapping[str, Object], told: dict[str, str], say: Say) -> None:
    """What has changed since it was told."""
    for name in told.keys() - going.keys():
        say(f"{name}: has ended")
        del told[name]
    for name, run in going.items():
        phase = str(run.get("status", {}).get("phase", "Pending"))
        if told.get(name) != phase:
            say(f"{name}: {phase}" + ("" if name in told else ", and told to stop"))
            told[name] = phase


def _report(left: Mapping[str, Object], say: Say) -> None:
    if not left:
        say("no run is in flight")
        return
    for name, run in left.items():
        say(f"LEFT {name} ({run.get('status', {}).get('phase', 'Pending')}): {_remains(run)}")
    say(ADVICE)


def _remains(run: Object) -> str:
    """Where what it planted may still be: names alone."""
    cleaned = condition_of(run, "CleanedUp")
    if cleaned.get("status") == "True":
        return "what it planted is gone; its pack may not be stored"
    if not cleaned and not _held(run):
        return "nothing was planted"
    names = ", ".join(each["name"] for each in run.get("status", {}).get("surfaces", ()))
    return f"what it planted may still be on {f'the surfaces {names}' if names else 'its surfaces'}"
