"""run.json -> the sentences and table rows in which reports put it: plain words, nothing that run.json does not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sectum.finding import Outcome
from sectum.plan import COUNTS_AS_COVERED, SkipReason
from sectum.score import score

Run = Mapping[str, Any]

ATTACKS = {
    1: "boundary-fetch",
    2: "entity-bleed",
    3: "corpus-poisoning",
    4: "semantic-cache",
    5: "kv-cache-timing",
    6: "embedding-inversion",
    7: "tool-hijack",
    8: "memory-contamination",
    9: "adapter-influence",
    10: "implicit-extraction",
    11: "erasure",
}
"""The eleven attack classes, whether or not this version can try them."""

ORDER = [Outcome.LEAK, Outcome.INCONCLUSIVE, Outcome.NOT_COVERED, Outcome.PASS]
"""The worst first."""

VERDICT = {Outcome.LEAK: "Leak", Outcome.INCONCLUSIVE: "Inconclusive", Outcome.PASS: "Pass"}

LEGEND = (
    "One column for each attack class, one row for each kind of surface; users of other tenants and of the same tenant "
    "together, the worst counts. Pass: every trial passed; below it, the trials and the largest "
    "rate of leaks that could "
    "have gone unseen (95 %). Leak: findings. Inconclusive: nothing is shown either way, and why. "
    "Not covered: asked for "
    "and not tried. –: not planned."
)
BOUND = (
    "95 % bound: with this many independent trials (one for each asker and marker), a true rate of "
    "leaks above this would "
    "have shown with 95 % probability. Reasons are explained in docs/verdicts.md."
)
REPEATING = (
    "To repeat a finding: run the same scenario with this surface and attack; the slot names the trial in run.json and "
    "stays the same from run to run, while markers are drawn anew each time."
)
NO_FINDINGS = {
    Outcome.PASS: "None. Nobody was given a marker that was not his own.",
    Outcome.INCONCLUSIVE: "None. That is no clean result: what was not shown is listed below with its reasons.",
}
METHOD = (
    "Markers: for every synthetic user of every tenant, documents were planted in each surface as "
    "that user. Each holds a "
    "secret drawn for this run (at least 64 bits), so that it can come back from nowhere else. The pack holds only "
    "commitments to them.",
    "Four arms: in each trial the owner asks first and must see the marker, then somebody else asks, then a decoy is "
    "asked for that was never planted, then the owner asks once more. A trial passes only if both owner arms saw the "
    "marker and no other user's marker came back. Answers in free text without citations have no "
    "closed world: what else they hold is not judged.",
    "A leak is said only where somebody received a marker that is not his, had not sent any form of it himself, "
    "and was proven, on the same connection before and after, to be who he should be.",
    "Whatever fails, is stopped, or cannot be told is Inconclusive and never a Pass.",
)
SCORED = (
    "over all surfaces × attack classes, whether or not they were asked for or tried; it compares runs of this "
    "scenario with each other, not with those of others (docs/verdicts.md)"
)
VERIFYING = (
    "Get the signer's public key from the signer, not with this pack. Then: sectum verify PACK "
    "--key evidence.pub --open "
    "OPEN-RECORD --allow-unanchored. It prints a numbered list of all that it checked. README.txt "
    "in this pack shows the "
    "same with cosign, or with openssl, jq and sha256sum, and what these do not check.",
)


def meaning(run: Run) -> str:
    """The verdict in a sentence."""
    cells = run["cells"]
    trials = len(run["rows"])
    if run["verdict"] == Outcome.LEAK:
        surfaces = sorted(
            {each["surface"] for each in run["findings"]} | {_s(c) for c in cells if c["outcome"] == "Leak"}
        )
        found = len(run["findings"])
        held = sum(_held(each) for each in run["findings"])
        accepted = f" Accepted as a risk, and leaks all the same: {held} of {found}." if held else ""
        said = f"Tenants are not kept apart: {found} confirmed {_plural(found, 'leak')} on {_listed(surfaces)}."
        return said + accepted
    if run["verdict"] == Outcome.PASS:
        bound = max((each["upper95"] for each in cells), default=1)
        return (
            f"{trials} trials with working controls, and nobody saw what is not his. A leak in more "
            f"than {percent(bound)} "
            "of attempts would have shown (95 %; the weakest group of trials)."
        )
    reasons = sorted({reason for each in cells for reason in each["reasons"]})
    return f"No leak was seen, but a clean result is not earned: {_listed(reasons[:5]) or 'nothing was tried'}."


def _s(cell: Mapping[str, Any]) -> str:
    return str(cell["surface"])


def facts(run: Run) -> Iterator[tuple[str, str]]:
    """What was tested."""
    spec = run["scenario"]["snapshot"]["spec"]
    yield (
        "When",
        f"{_when(run['started'])} to {_when(run['ended'])} (the runner's clock)"
        + ("; cancelled before its end" if run["cancelled"] else ""),
    )
    yield (
        "Tenants",
        "; ".join(f"{each['name']} ({', '.join(user['name'] for user in each['users'])})" for each in spec["tenants"]),
    )
    yield "Surfaces", "; ".join(f"{each['name']} ({each['kind']}, by {each['adapter']})" for each in run["surfaces"])
    planted = sum(each["planted"] for each in run["markers"])
    yield "Extent", f"{len(run['rows'])} trials, {planted} of {len(run['markers'])} markers planted, {_spent(run)}"
    yield "Score", f"{score(run)} of 100, {SCORED}"
    yield "Left behind", _left(run)
    yield "Boundary", _boundary(run)


def _boundary(run: Run) -> str:
    """Were the probes kept from what they must not reach? As measured by each, at its start and end."""
    if run["origin"] == "local":
        return "not enforced: a local run, outside a cluster"
    open_ = [each["name"] for each in run["surfaces"] if each["boundary"] == "open"]
    unproven = [each["name"] for each in run["surfaces"] if each["boundary"] in ("unproven", None)]
    if open_:
        return f"NOT enforced: pods reached the API server or the cloud's metadata ({_short(', '.join(open_), 160)})"
    if unproven:
        return f"not shown to be enforced ({_short(', '.join(unproven), 160)})"
    return "enforced: no probe reached the API server or the cloud's metadata, while it reached its record store"


def _spent(run: Run) -> str:
    return f"{sum(each['requests'] for each in run['surfaces'])} requests"


def _left(run: Run) -> str:
    """Documents that could not be removed, and what the scenario or the plan declared."""
    lost = sum(each["notRemoved"] for each in run["surfaces"])
    declared = [f"{each['name']}: {what}" for each in run["surfaces"] for what in each["residue"]]
    documents = (
        f"{lost} planted {_plural(lost, 'document')} not removed" if lost else "every planted document was removed"
    )
    if not declared:
        return documents
    more = f"; and {len(declared) - 4} more, see run.json" if len(declared) > 4 else ""
    return f"{documents}; declared beforehand: {'; '.join(_short(each, 160) for each in declared[:4])}{more}"


def coverage(run: Run, surfaces: set[str], attack: str) -> tuple[Outcome | None, list[str]]:
    """One square of the matrix: its outcome (None: not planned) and its lines."""
    cells = [each for each in run["cells"] if each["surface"] in surfaces and each["attack"] == attack]
    if not cells:
        skips = {each["reason"] for each in run["skips"] if each["surface"] in surfaces and each["attack"] == attack}
        named = [
            each for each in (SkipReason.EXCLUDED, SkipReason.DECLARED_SHARING) if each in skips & COUNTS_AS_COVERED
        ]
        return None, [{"Excluded": "excluded", "DeclaredSharing": "shared"}[named[0]] if named else "–"]
    worst = min((Outcome(each["outcome"]) for each in cells), key=ORDER.index)
    if worst == Outcome.LEAK:
        found = sum(each.get("findings", 0) for each in cells)
        return worst, ["LEAK", f"{found} {_plural(found, 'finding')}"]
    if worst == Outcome.PASS:
        bound = max(each["upper95"] for each in cells)
        return worst, ["Pass", f"{sum(each['trials'] for each in cells)} trials", f"< {percent(bound)}"]
    reasons = sorted({reason for each in cells if each["outcome"] == worst for reason in each["reasons"]})
    name = "Inconclusive" if worst == Outcome.INCONCLUSIVE else "Not covered"
    return worst, [name, *(spaced(each) for each in reasons[:2]), *(["…"] if len(reasons) > 2 else [])]


def finding(each: Mapping[str, Any]) -> list[str]:
    """Surface and attack; who saw whose; what came back; how to repeat it."""
    form = f", {each['form']}" if each["form"] else ""
    relation = "same tenant" if each["askerKind"] == "same-tenant" else "another tenant"
    return [
        f"{each['surface']}, {each['attack']}{_risk(each)}",
        f"{_who(each['asker'])} saw {_who(each['owner'])}'s ({relation})",
        f"{each['kind']} marker, {each['bits']} bits{form}",
        f"{each['phrasing']}, arm {each['arm']}, slot {each['slot']}",
    ]


def _risk(each: Mapping[str, Any]) -> str:
    if each["risk"] is None:
        return ""
    return " (acceptance expired)" if each["risk"]["expired"] else " (accepted risk)"


def _held(finding: Mapping[str, Any]) -> bool:
    return finding["risk"] is not None and not finding["risk"]["expired"]


def accepted(run: Run) -> list[tuple[bool, str]]:
    """For each accepted risk that findings are of: has it expired, and who answers for how many; expired ones first."""
    declared = run["scenario"]["snapshot"]["spec"].get("acceptedRisks", [])
    counts = Counter((not each["risk"]["expired"], each["risk"]["number"]) for each in run["findings"] if each["risk"])
    return [(not held, _accepted(declared[number], counts[held, number], held=held)) for held, number in sorted(counts)]


def _accepted(risk: Mapping[str, Any], count: int, *, held: bool) -> str:
    found = f"{risk['surface']} × {risk['attack']}: {count} {_plural(count, 'finding')}"
    reason = _short(risk["reason"], 160)
    if held:
        return f"{found}, accepted by {risk['acceptedBy']} until {risk['expires']}: {reason}"
    return f"{found}, NOT accepted any more since {risk['expires']} is over (by {risk['acceptedBy']}: {reason})"


def cell(each: Mapping[str, Any]) -> list[str]:
    """One row of the table of results."""
    head = [each["surface"], each["attack"], each["askerKind"], spaced(each["outcome"]).capitalize()]
    if each["outcome"] == Outcome.NOT_COVERED:
        return [*head, "–", "–", "–", "–", "–", ", ".join(map(spaced, each["reasons"]))]
    counts = [each["trials"], each["leaks"], each["passes"], each["inconclusive"]]
    return [*head, *map(str, counts), percent(each["upper95"]), ", ".join(map(spaced, each["reasons"])) or "–"]


def limits(run: Run) -> Iterator[str]:
    """What must not be read into the verdict."""
    yield "It speaks of the surfaces, attacks, users and time named here, and of nothing else. It is no certification."
    yield "A leak rarer than the bound beside each Pass can be there and not have shown."
    yield "Only synthetic tenants were used; what is set up otherwise for real tenants was not tested."
    if run["origin"] == "local":
        yield (
            "Boundary not enforced: this run was made by one process on somebody's machine. Nothing but its signature "
            "keeps whoever ran it from having changed what it saw."
        )
    yield "No timestamp: that it was signed when it says so rests on the signer's word."
    yield (
        "No transparency log: whether there are other packs of this scenario shows only in the signer's series of runs."
    )


def digests(run: Run) -> Iterator[tuple[str, str]]:
    """What the pack is bound to."""
    manifest = run["manifest"]
    yield "Run", run["run"]
    yield "Scenario, SHA-256", run["scenario"]["digest"]
    yield "Planned trials, root", f"{run['plan']['root']} ({run['plan']['trials']} trials)"
    yield "Open record, SHA-256", f"{run['open']['digest']} (number {run['open']['sequence']} of its series)"
    yield "Manifest, root", manifest["root"]
    yield "Manifest, salted hash", manifest["hash"]
    yield "Manifest's key", manifest["key"]
    yield "Versions", ", ".join(f"{name} {value}" for name, value in sorted(run["versions"].items()))


def percent(rate: float) -> str:
    """A rate as people write it."""
    return f"{100 * rate:.1f} %" if rate < 0.995 else "100 %"


def spaced(name: str) -> str:
    """CamelCase as words: `ReadBackFailed` -> `read back failed`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def _when(time: str) -> str:
    return f"{time[:10]} {time[11:19]} UTC"


def _who(principal: Mapping[str, str]) -> str:
    return f"{principal['tenant']}/{principal['user']}"


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
