"""`sectum check`: connects as every principal and says what works. Writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from sectum.actions import Action, AnswerKind, List, Principal, Reply, Verb, WhoAmI
from sectum.cli import show
from sectum.cli.loading import FILE, OUTPUT, SECRETS, load, secrets_folder
from sectum.cli.sentences import WHY, Sentence, field_of
from sectum.cli.settings import Settings, Subcommand
from sectum.cli.signals import interruptible
from sectum.errors import ScenarioError, SurfaceFault
from sectum.gate import Gate, Stopped
from sectum.job import open_clock
from sectum.ports import Access
from sectum.reach import Reach, credential, named_items, not_empty, secret_faults
from sectum.reasons import Reason
from sectum.scenario import Scenario, Surface
from sectum.secrets_dir import ReadSecret, secrets_in

_NO_ANSWER = {AnswerKind.UNREACHABLE, AnswerKind.TIMEOUT}
_REFUSED = {AnswerKind.UNAUTHENTICATED, AnswerKind.DENIED}
NO_CREDENTIAL = "SecretMissing"
"""No reason of a run: a run that lacks a credential does not begin."""
_NO_CREDENTIAL = Sentence("a credential cannot be read", "", "credentials.secretRef")
_STEPS = ("credential", "reachable", "identity", "empty")


@click.command(cls=Subcommand)
@FILE
@SECRETS
@OUTPUT
@click.pass_obj
def check(settings: Settings, *, file: str, secrets: Path | None, output: str) -> int:
    """Connect to every surface as every user and say what works. Writes nothing.

    Exit status 0 if a run could give a verdict everywhere, 11 if not, 3 if a run would not begin: a Secret is missing.
    """
    loaded = load(file, settings)
    secret = secrets_in(secrets_folder(secrets, loaded.folder))
    document = interruptible(
        lambda: _check(loaded.scenario, secret), first=lambda: None, second=lambda: None, unfinished="stopped"
    )
    show.emit(
        output,
        settings=settings,
        document=document,
        names=[f"{row['surface']}/{row['principal']}" for row in document["principals"] if row["reason"] is None],
        draw=lambda console, _wide: _draw(console, document),
    )
    if document["missing"] or any(key["fix"] for key in document["keys"]):
        return ScenarioError.exit_status
    return 0 if document["ready"] else 11


async def _check(scenario: Scenario, secret: ReadSecret) -> dict[str, Any]:
    keys = _keys(scenario, secret)
    found = await asyncio.gather(
        *(_surface(scenario, number, surface, secret) for number, surface in enumerate(scenario.spec.surfaces))
    )
    principals = [row for rows in found for row in rows]
    missing = [{"field": each.field, "fix": str(each)} for each in secret_faults(scenario, secret)]
    return {
        "scenario": scenario.metadata.name,
        "ready": not missing
        and all(row["reason"] is None for row in principals)
        and all(key["fix"] is None for key in keys),
        "keys": keys,
        "missing": missing,
        "surfaces": [
            {
                "surface": each.name,
                "adapter": each.adapter_name,
                "verbs": sorted(map(str, each.spec.verbs())),
                "claims": list(each.spec.claim_names()),
                "tokens": list(each.spec.token_names()),
                "settleSeconds": each.settle_seconds,
            }
            for each in scenario.spec.surfaces
        ],
        "principals": principals,
    }


def _keys(scenario: Scenario, secret: ReadSecret) -> list[dict[str, Any]]:
    """Can the manifest's key and the signer be opened? Their references are no secrets."""

    def opened(what: str, open_it: Callable[[], str]) -> dict[str, Any]:
        try:
            return {"key": what, "reference": open_it(), "fix": None}
        except ScenarioError as error:
            return {"key": what, "reference": None, "fix": str(error)}

    return [
        opened("manifest key", lambda: scenario.spec.manifest.spec.wrapper(secret).reference),
        opened("signer", lambda: scenario.spec.evidence.spec.signer(secret).keyid),
    ]


async def _surface(scenario: Scenario, number: int, surface: Surface, secret: ReadSecret) -> list[dict[str, Any]]:
    reach = Reach(surface, Gate(surface.budget, open_clock()), surface.spec.verbs())
    async with AsyncExitStack() as stack:
        rows = await asyncio.gather(*(_principal(scenario, reach, who, secret, stack) for who in scenario.principals))
    for row in rows:
        if row["reason"] is not None:
            why = _why(row["reason"])
            row["field"] = field_of(why, number=number, adapter=surface.adapter_name)
            row["fix"] = row["fix"] or why.fix
    return rows


async def _principal(
    scenario: Scenario, reach: Reach, who: Principal, secret: ReadSecret, stack: AsyncExitStack
) -> dict[str, Any]:
    """One user on one surface; each step is True, False, or None where it could not be tried."""
    row: dict[str, Any] = {"surface": reach.name, "principal": str(who), **dict.fromkeys(_STEPS)}

    def end(reason: str | None, *, fix: str | None = None, **steps: bool) -> dict[str, Any]:
        return {**row, **steps, "reason": str(reason) if reason else None, "field": "", "fix": fix}

    try:
        key = credential(reach.surface, who, secret)
        row["credential"] = True
        client = reach.surface.spec.session(Access(who, key, secret=secret))
        reach.sessions[who] = await stack.enter_async_context(client)
        return await _answers(scenario, reach, who, end)
    except ScenarioError as error:
        return end(NO_CREDENTIAL, fix=str(error), credential=False)
    except UnicodeDecodeError:
        return end(NO_CREDENTIAL, fix="the credential is not UTF-8 text", credential=False)
    except SurfaceFault as fault:
        denied = fault.reason == Reason.DENIED
        return end(Reason.DENIED if denied else Reason.UNREACHABLE, fix=fault.hint or None, reachable=denied)
    except Stopped as stop:
        return end(stop.reason)


async def _answers(
    scenario: Scenario, reach: Reach, who: Principal, end: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """What whoami and the listing say."""
    if Verb.WHOAMI not in reach.verbs:
        return end(Reason.IDENTITY_UNPROVEN, identity=False)
    reply = await _send(reach, who, WhoAmI())
    if reply.kind in _NO_ANSWER:
        return end(Reason.UNREACHABLE, reachable=False)
    if reply.identity is not True:
        return end(
            Reason.DENIED if reply.kind in _REFUSED else Reason.IDENTITY_UNPROVEN, reachable=True, identity=False
        )
    if Verb.LIST not in reach.verbs:
        return end(None, reachable=True, identity=True)
    reply = await _send(reach, who, List())
    steps = {"reachable": True, "identity": True}
    fault = not_empty(reply, named_items(scenario, reach.surface, who))
    if fault not in (None, Reason.NOT_EMPTY):
        return end(fault, **steps)
    return end(fault, **steps, empty=fault is None)


async def _send(reach: Reach, who: Principal, action: Action) -> Reply:
    return await reach.gate.send(lambda: reach.sessions[who].perform(action, lambda _text: None))


def _draw(console: Console, document: dict[str, Any]) -> None:
    rows = [
        [row["surface"], row["principal"], *(_mark(row[step]) for step in _STEPS), _state(row)]
        for row in document["principals"]
    ]
    keys = [[key["key"], _mark(key["fix"] is None), key["reference"] or key["fix"]] for key in document["keys"]]
    console.print(show.table(["surface", "user", "credential", "reachable", "identity", "empty place", "state"], rows))
    show.heading(console, "Verbs")
    show.indented(
        console,
        show.table(
            ["surface", "adapter", "can", "spoofed fields", "forged tokens", "settles in"],
            (_offer(each) for each in document["surfaces"]),
        ),
    )
    show.heading(console, "Keys")
    show.indented(console, show.table(["key", "", "reference"], keys))
    fixes = dict.fromkeys(
        (row["surface"], row["reason"], row["field"], row["fix"]) for row in document["principals"] if row["reason"]
    )
    rest = [each for each in document["missing"] if each["field"] not in {field for *_, field, _ in fixes}]
    if fixes or rest:
        show.heading(console, "What to do")
    for each in rest:
        show.indented(console, Text.assemble(("→ ", "cyan"), show.plain(each["fix"])))
    for surface, reason, field, fix in fixes:
        show.indented(console, Text.assemble((surface, "bold"), f": {reason}"))
        show.advice(console, _why(reason).what, fix=fix, field=field)


def _offer(surface: dict[str, Any]) -> list[show.Cell]:
    listed = [", ".join(surface[what]) or "–" for what in ("verbs", "claims", "tokens")]
    return [surface["surface"], surface["adapter"], *listed, f"{surface['settleSeconds']:g} s"]


def _why(reason: str) -> Sentence:
    return _NO_CREDENTIAL if reason == NO_CREDENTIAL else WHY[Reason(reason)]


def _mark(works: bool | None) -> Text:
    if works is None:
        return Text("–", style="dim")
    return Text("✓", style="green") if works else Text("✗", style="bold red")


def _state(row: dict[str, Any]) -> Text:
    return Text("ready", style="green") if row["reason"] is None else Text(row["reason"], style="yellow")
