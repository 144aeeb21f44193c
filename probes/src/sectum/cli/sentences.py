"""A reason -> a sentence for people: what happened, where in the scenario to look, what to do (docs/verdicts.md)."""

from __future__ import annotations

from dataclasses import dataclass

from sectum.plan import SkipReason
from sectum.reasons import Reason


@dataclass(frozen=True, slots=True)
class Sentence:
    """`field` is below `spec.surfaces[N]`, {adapter} being the adapter's name; empty where no field is to blame."""

    what: str
    fix: str
    field: str = ""


_ADAPTER = "adapter.{adapter}"

WHY: dict[Reason, Sentence] = {
    Reason.IDENTITY_UNPROVEN: Sentence(
        "`whoami` is missing, or did not name the asker before and after the trial",
        "give the adapter a `whoami` and check the credentials with `sectum check`",
        f"{_ADAPTER}.whoami",
    ),
    Reason.ECHO: Sentence(
        "the asker had sent a form of what came back, so seeing it proves nothing",
        "look for an endpoint that repeats its questions",
        _ADAPTER,
    ),
    Reason.DECOY_SEEN: Sentence(
        "something that was never planted was found: the surface invents content, or the scan errs",
        "report it with the pack",
    ),
    Reason.NOT_EMPTY: Sentence(
        "a synthetic tenant's place held items before anything was planted",
        "use empty tenants, run `sectum sweep-orphans`, or name the items here",
        "leftovers",
    ),
    Reason.PLANT_FAILED: Sentence(
        "the surface did not accept the documents", "check how documents are written", f"{_ADAPTER}.write"
    ),
    Reason.NO_LOCATION: Sentence(
        "the surface accepted documents, and its answers have no location where the scenario says",
        "compare an answer to a write with this JSONPath",
        f"{_ADAPTER}.write.location",
    ),
    Reason.READ_BACK_FAILED: Sentence(
        "the surface accepted documents and did not give them back to their owner",
        "check how documents are read, or whether the surface forgets what is written",
        f"{_ADAPTER}.fetch",
    ),
    Reason.UNREACHABLE: Sentence(
        "there is no connection to it", "check that it runs, its address, the network and TLS", _ADAPTER
    ),
    Reason.DENIED: Sentence(
        "it refuses a principal's credential", "check the Secret that this names", "credentials.secretRef"
    ),
    Reason.BUDGET: Sentence("its budget is spent", "raise it, or try less; `sectum plan` shows the totals", "budget"),
    Reason.DEADLINE: Sentence("its time is spent", "raise it, or try less", "budget.minutes"),
    Reason.SURFACE_SUFFERS: Sentence(
        "it suffers: it throttled or failed three times running after backoff, or became three times slower",
        "run at a quieter time, or lower this",
        "budget.inFlight",
    ),
    Reason.CANCELLED: Sentence("the run was stopped before these trials ended", "run again"),
    Reason.PROBE_CRASHED: Sentence(
        "a plug-in failed", "report it; the log on stderr names the plug-in and the kind of error"
    ),
    Reason.NOT_RUN: Sentence("an arm of the trial was not played", "see the surface's fault in run.json"),
    Reason.UNFINISHED: Sentence(
        "the process that was at it was lost: killed, out of memory, or never started",
        "look at the events of its Job or at what stopped it, and run again",
    ),
    Reason.RECORDS_BROKEN: Sentence(
        "its signed records are not whole: one is missing, is there twice, or is not this run's",
        "find out who wrote to the record store, and run again",
    ),
    Reason.ANSWER_FAULT: Sentence(
        "answers said nothing about isolation: a timeout, 5xx, 429, 401, a redirect, or malformed or too large",
        "compare what the surface answers with what the adapter expects",
        _ADAPTER,
    ),
    Reason.CONTROL_FAILED: Sentence(
        "the owner did not see his own marker before and after, so that others did not see it means nothing",
        "check how the owner would read it; the surface may answer nobody, or retrieve too little",
        _ADAPTER,
    ),
    Reason.FOREIGN_UNKNOWN: Sentence(
        "items turned up that this run did not plant and the scenario does not name: perhaps a real customer's",
        "use empty tenants, or name them here or under `spec.sharing`",
        "leftovers",
    ),
}

WHY_SKIPPED: dict[SkipReason, str] = {
    SkipReason.DECLARED_SHARING: "shared on purpose",
    SkipReason.EXCLUDED: "excluded by the scenario",
    SkipReason.IMPACT: "its impact is not allowed",
    SkipReason.VERB_MISSING: "the adapter cannot do what it needs",
    SkipReason.NOT_REQUESTED: "not requested",
    SkipReason.NOT_IN_SUBSET: "not in the part that this run is for",
    SkipReason.NO_OTHER_TENANT: "nobody of another tenant to ask",
    SkipReason.NO_OTHER_USER: "no second user of the same tenant to ask",
}


def field_of(why: Sentence, *, number: int, adapter: str) -> str:
    """The path of the field to look at, of the surface of that number; empty if none is to blame."""
    field = why.field.format(adapter=adapter)
    return f"spec.surfaces[{number}].{field}" if field else ""
