"""A VerificationRun and its scenario -> the run's sealed manifest, in a Secret: what the prepare Job does.

It may encrypt under the customer's key and create that one Secret; it can neither decrypt, sign, nor read a Secret.
"""

from __future__ import annotations

import base64
import logging
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import httpx2
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.resources.core_v1 import Secret
from sectum import series, termination
from sectum.codec import digest
from sectum.errors import ScenarioError
from sectum.manifest import header
from sectum.pipeline import draw
from sectum.plan import Subset
from sectum.scenario import Scenario, parse
from sectum.secrets_dir import secrets_in

from sectum_operator.pod_client import RunKind, connected, known, let_through

GROUP, VERSION = "sectum.ai", "v1alpha1"
SECRET_TYPE = "sectum.ai/manifest"  # noqa: S105  (no password)
_LOG = logging.getLogger(__name__)

_Scenario = create_namespaced_resource(GROUP, VERSION, "IsolationScenario", "isolationscenarios")


class Changed(ScenarioError):
    """The run or its scenario is not the one that was accepted."""


def prepare(*, run: str, uid: str, generation: int) -> int:
    """Draw, seal and store the manifest of a run; the exit status, with a termination message."""
    termination.log_as_json({"run": uid, "stage": "prepare"})
    try:
        status, message = (
            0,
            _prepared(connected(), os.environ["SECTUM_NAMESPACE"], run=run, uid=uid, generation=generation),
        )
    except Exception as error:  # noqa: BLE001  (the last resort: a status and a message)
        status, message = termination.of_failure(known(error))
    termination.leave({"stage": "prepare", "ok": status == 0, **message})
    return status


def _prepared(client: Client, namespace: str, *, run: str, uid: str, generation: int) -> dict[str, Any]:
    found = _got(client, RunKind, run, namespace)
    if found["metadata"]["uid"] != uid:
        raise Changed("the VerificationRun", "is another one of the same name")
    about = _got(client, _Scenario, found["spec"]["scenarioRef"]["name"], namespace)
    accepted = found.get("status", {}).get("scenario", {}).get("uid", about["metadata"]["uid"])
    if about["metadata"]["generation"] != generation or about["metadata"]["uid"] != accepted:
        raise Changed("the IsolationScenario", "was changed after the run was accepted", "make a new run")
    scenario = scenario_of(about)
    subset = Subset.out_of(found["spec"].get("subset"))
    secrets = Path(os.environ.get("SECTUM_MOUNTS", "/var/run/sectum")) / "secrets"
    key = scenario.spec.manifest.spec.wrapper(secrets_in(secrets))
    let_through(scenario.spec.manifest.spec.address())
    slot = found["spec"].get("slot")
    try:
        datetime.fromisoformat(slot or "1970-01-01T00:00:00Z")
    except ValueError:
        raise Changed("spec.slot", "is no moment", "leave it out of a run that is made by hand") from None
    occasion = series.occasion(
        uid=about["metadata"]["uid"],
        generation=generation,
        slot=slot,
        refused=[(each["slot"], each["reason"]) for each in found.get("status", {}).get("refused", ())],
    )
    manifest, _, sealed = draw(scenario, key, run_id=uid, subset=subset, occasion=occasion)
    _store(client, namespace, run, uid, sealed)
    with_trials = {marker.spec.surface for marker in manifest.markers}  # there are markers where there are trials
    return {
        "trials": header(sealed)["plan"]["trials"],
        "markers": len(manifest.markers),
        "digest": digest(scenario.snapshot()),
        "surfaces": [each.name for each in scenario.spec.surfaces if each.name in with_trials],
    }


def _got(client: Client, kind: type[GenericNamespacedResource], name: str, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(kind, name, namespace=namespace).to_dict()  # type: ignore[no-untyped-call]
    return found


def scenario_of(about: Mapping[str, Any]) -> Scenario:
    """An IsolationScenario as the API server has it -> the Scenario in it; raises ScenarioError."""
    metadata = {name: about["metadata"][name] for name in ("name", "namespace")}
    return parse({**{name: about[name] for name in ("apiVersion", "kind", "spec")}, "metadata": metadata})


def _store(client: Client, namespace: str, run: str, uid: str, sealed: bytes) -> None:
    owner = OwnerReference(
        apiVersion=f"{GROUP}/{VERSION}",
        kind="VerificationRun",
        name=run,
        uid=uid,
        controller=True,
        blockOwnerDeletion=False,
    )
    secret = Secret(
        metadata=ObjectMeta(name=f"sectum-manifest-{uid}", namespace=namespace, ownerReferences=[owner]),
        type=SECRET_TYPE,
        immutable=True,
        data={"sealed.json": base64.b64encode(sealed).decode()},
    )
    try:
        client.create(secret)
    except ApiError as error:
        # Of this name only this run's prepare can make one, says the fence: an earlier attempt did.
        if error.status.code != httpx2.codes.CONFLICT:
            raise
        _LOG.info("the manifest is there already")


@click.command("prepare")
@click.option("--run", required=True, metavar="NAME", help="Name of the VerificationRun.")
@click.option("--uid", required=True, help="Its UID.")
@click.option("--generation", required=True, type=int, help="Generation of the scenario that was accepted.")
def command(*, run: str, uid: str, generation: int) -> None:
    """Draw, seal and store a run's manifest, as the prepare Job does."""
    sys.exit(prepare(run=run, uid=uid, generation=generation))
