"""What the operator creates beside Jobs: EvidencePacks and Events, and a status as JSON. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from sectum_operator.decide import Event
from sectum_operator.jobs import Manifest
from sectum_operator.messages import Assembled
from sectum_operator.observe import Observed
from sectum_operator.reasons import Why
from sectum_operator.stages import API_VERSION, RUN_UID, RunId, owned_labels
from sectum_operator.statuses import Conditions, PackStatus, RunStatus
from sectum_operator.telling import condition

REPORTER = "sectum.ai/operator"


def pack_names(run: RunId) -> tuple[str, str]:
    """The run's own, and one for when another run of that name has left its pack behind."""
    return run.name, f"{run.name}-{run.uid[:8]}"


def evidence_pack(seen: Observed, evidence: Assembled, name: str) -> Manifest:
    """It outlives the run, which it is the evidence of: so it has no owner."""
    resolved = seen.status.scenario
    return {
        "apiVersion": API_VERSION,
        "kind": "EvidencePack",
        "metadata": {"name": name, "namespace": seen.run.namespace, "labels": owned_labels(seen.run)},
        "spec": {
            "runRef": {"name": seen.run.name, "uid": seen.run.uid},
            "scenarioRef": {
                "name": seen.spec.scenario_ref.name,
                "uid": resolved.uid if resolved else "",
                "generation": resolved.generation if resolved else 0,
            },
            "digests": {"pack": evidence.digests.pack, "run": evidence.digests.run},
            "uri": evidence.uri,
        },
    }


def pack_status(evidence: Assembled, before: PackStatus, *, now: datetime, generation: int) -> PackStatus:
    """What assemble says that it did to the pack."""
    made: Conditions = before.conditions
    for kind, reason, told in (
        ("Signed", Why.SIGNED, "by the scenario's signer"),
        ("Stored", Why.STORED, "create-only"),
        ("Verified", Why.VERIFIED, "the stored bytes were read back"),
    ):
        made = condition(made, kind, "True", reason, told, now=now, generation=generation)
    return before.model_copy(
        update={"verdict": evidence.verdict, "conditions": made, "observed_generation": generation}
    )


def event(run: RunId, said: Event, *, now: datetime, instance: str) -> Manifest:
    """One that is posted once, however often it is posted: its name is made of what it says."""
    told = "\n".join((run.uid, said.type, said.reason, said.message))
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{run.name}.{hashlib.sha256(told.encode()).hexdigest()[:16]}",
            "namespace": run.namespace,
            "labels": {RUN_UID: run.uid},
        },
        "type": said.type,
        "reason": said.reason,
        "note": said.message[:1000],
        "action": "Verify",
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": REPORTER,
        "reportingInstance": instance[:128],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": "VerificationRun",
            "namespace": run.namespace,
            "name": run.name,
            "uid": run.uid,
        },
    }


def as_json(status: BaseModel) -> dict[str, Any]:
    """A status as the API server keeps it."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def with_pack_name(status: RunStatus, name: str) -> RunStatus:
    """The status, naming the EvidencePack as it is called."""
    pack = status.pack.model_copy(update={"name": name}) if status.pack else None
    return status.model_copy(update={"pack": pack})
