"""A run that has ended in the cluster -> what a person wants to know: verdict, surfaces, why not, where the pack is."""

from __future__ import annotations

from pathlib import Path
from shlex import join
from typing import Any

from rich.console import Console
from rich.text import Text

from sectum.cli import show
from sectum.cli.cluster import Kubectl
from sectum.cli.cluster_ending import Ending
from sectum.cli.cluster_objects import Run, SurfaceResult
from sectum.cli.sentences import WHY, Sentence
from sectum.finding import Outcome
from sectum.reasons import Reason

SIGNER = "SIGNER.pem.pub"
WHOSE = "the signer's public key, from whoever vouches for it; not from the cluster"
_OF_THE_CLUSTER = Sentence("a Job of it did not do its work", "look at the run's Events: kubectl describe it")
_LONGEST = 500
"""Characters shown of a condition's message; `kubectl describe` has all."""


def document(run: Run, end: Ending | None, kubectl: Kubectl) -> dict[str, Any]:
    """For machines: the run in short. A status is for display, evidence is the pack alone."""
    status, pack = run.status, run.status.pack
    counts = {"planned": 0, "leak": 0, "pass": 0, "inconclusive": 0} | status.counts.model_dump(by_alias=True)
    return {
        "run": run.metadata.name,
        "namespace": run.metadata.namespace,
        "uid": run.metadata.uid,
        "scenario": run.spec.scenario_ref.name,
        "phase": status.phase,
        "verdict": str(status.verdict) if status.verdict else None,
        "exitStatus": end.exit_status if end else None,
        "reason": end.reason if end else None,
        "message": end.message if end else None,
        "started": status.started_at.isoformat() if status.started_at else None,
        "finished": status.finished_at.isoformat() if status.finished_at else None,
        "counts": counts,
        "surfaces": [each.model_dump(by_alias=True, mode="json") for each in status.surfaces],
        "pack": {"name": pack.name, "uri": pack.uri, "sha256": pack.sha256} if pack else None,
        "next": _next(run, end, kubectl),
    }


def _next(run: Run, end: Ending | None, kubectl: Kubectl) -> list[str]:
    """Commands, in the order in which one wants them."""
    name, pack = run.metadata.name, run.status.pack
    if end is None:
        return [kubectl.plugin("follow", name), cancel(name, kubectl)]
    if pack is not None:
        return [
            kubectl.plugin("fetch", pack.name),
            join(verify(Path(f"{pack.name}.zip"), Path(f"{pack.name}.open.json"))),
        ]
    return [" ".join(["kubectl describe verificationruns.sectum.ai", name, *kubectl.options()])]


def cancel(name: str, kubectl: Kubectl) -> str:
    """The command that asks a run to end."""
    where = "".join(f" {word}" for word in kubectl.options())
    return f'kubectl patch verificationruns.sectum.ai {name}{where} --type merge -p \'{{"spec":{{"cancel":true}}}}\''


def verify(pack: Path, opened: Path | None) -> list[str]:
    """The command that checks a fetched pack; whose key is trusted, nobody but the verifier can say."""
    record = ["--open", str(opened)] if opened else []
    return ["sectum", "verify", str(pack), "--key", SIGNER, *record, "--allow-unanchored"]


def draw(console: Console, run: Run, end: Ending, *, kubectl: Kubectl) -> None:
    """The scorecard of a run in the cluster."""
    console.print(_headline(run, end))
    if run.status.verdict is None or end.title not in set(Outcome):
        _cause(console, end)
    if run.status.surfaces:
        console.print()
        console.print(_surfaces(run))
    _reasons(console, run)
    _left(console, run)
    if run.status.pack is not None:
        show.heading(console, "Evidence")
        show.command(console, f"{run.status.pack.name}   {run.status.pack.uri or ''}".rstrip())
    show.heading(console, "Next")
    for command in _next(run, end, kubectl):
        show.command(console, command)
    if run.status.pack is not None:
        show.indented(console, show.dim(f"{SIGNER}: {WHOSE}"))


def _headline(run: Run, end: Ending) -> Text:
    known = end.title in show.MARKS
    title = show.outcome(end.title) if known else Text(f"{show.MARKS['Leak']} {end.title}", style="red")
    title.stylize("bold")
    status, counts = run.status, run.status.counts
    facts = [run.metadata.name, *([f"{counts.planned} trials"] if counts.planned else [])]
    facts += [f"{counts.leak} leaking"] if counts.leak else []
    if status.started_at and status.finished_at:
        facts.append(_duration((status.finished_at - status.started_at).total_seconds()))
    stopped = Text("   cancelled", style="yellow") if end.reason == Reason.CANCELLED else Text("")
    return Text.assemble(title, (f"   {' · '.join(facts)}", "dim"), stopped)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _cause(console: Console, end: Ending) -> None:
    """Why there is no verdict, in the operator's words."""
    message = end.message[:_LONGEST] + ("…" if len(end.message) > _LONGEST else "")
    reason = end.reason or "no reason is given"
    show.indented(console, Text.assemble((reason, "bold"), f": {message}" if message else ""))


def _surfaces(run: Run) -> Any:
    numbers = ["trials", "leaking", "inconclusive"]
    return show.table(["surface", "verdict", *numbers, "reason"], map(_row, run.status.surfaces), right=numbers)


def _row(surface: SurfaceResult) -> list[show.Cell]:
    counts = surface.counts
    verdict = show.outcome(str(surface.verdict)) if surface.verdict else Text("–", style="dim")
    numbers: list[show.Cell] = [counts.planned, counts.leak, counts.inconclusive]
    return [surface.name, verdict, *numbers, surface.reason or ""]


def _reasons(console: Console, run: Run) -> None:
    """What each reason means and what to do, once, with the surfaces that have it."""
    surfaces: dict[str, list[str]] = {}
    for surface in run.status.surfaces:
        if surface.reason:
            surfaces.setdefault(surface.reason, []).append(surface.name)
    if not surfaces:
        return
    show.heading(console, "Why inconclusive")
    for reason, names in surfaces.items():
        show.indented(console, Text.assemble((", ".join(names), "bold"), show.plain(f": {reason}")))
        why = WHY[Reason(reason)] if reason in set(Reason) else _OF_THE_CLUSTER
        field = f"spec.surfaces[].{why.field.replace('{adapter}', '*')}" if why.field else ""
        show.advice(console, why.what, fix=why.fix.replace("run `sectum sweep-orphans`, ", ""), field=field)


def _left(console: Console, run: Run) -> None:
    """What the run could not remove again."""
    cleaned = run.status.condition("CleanedUp")
    if cleaned is None or cleaned.status != "False":
        return
    show.heading(console, "Left behind")
    show.indented(console, Text(f"{cleaned.reason}: {cleaned.message[:_LONGEST]}".rstrip(": "), style="yellow"))
