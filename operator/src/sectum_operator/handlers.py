"""What changes in the cluster -> keys in the work queue. kopf is the watch client, and nothing more.

Its traps are left alone (change handlers copy specs into annotations, daemons and timers set finalizers, indexes start
slowly, what vanishes while a watch is broken is never reported): handlers of events only, and a full listing every few
minutes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import kopf
from lightkube import KubeConfig
from sectum.errors import UsageError

from sectum_operator.api import RUNS, SCENARIOS, Api, ApiFault, Object, Resource
from sectum_operator.inventory import Inventory
from sectum_operator.settings import Settings
from sectum_operator.stages import API_VERSION, RUN
from sectum_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)
RELIST = timedelta(minutes=5)
_GROUP, _VERSION = API_VERSION.split("/")


class Kind(StrEnum):
    """What can be looked at."""

    RUN = "VerificationRun"
    SCENARIO = "IsolationScenario"


class Key(NamedTuple):
    """An object that needs a look."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(slots=True)
class Known:
    """The objects that we know to be there, and when all of them were last counted."""

    queue: WorkQueue[Key]
    clock: Callable[[], float]
    keys: set[Key] = field(default_factory=set)
    counted: float = 0.0
    inventory: Inventory = field(default_factory=lambda: Inventory(time.time))

    def changed(self, key: Key, body: Object, *, gone: bool) -> None:
        """A watch has told of it."""
        (self.keys.discard if gone else self.keys.add)(key)
        self.queue.add(key)
        self.inventory.told(key.kind, body, gone=gone)

    async def relist(self, api: Api, namespaces: Iterable[str]) -> None:
        """Look at everything that is there, and once more at what no watch has said to be gone.

        Raises ApiFault where something could not be listed, once it has seen to the rest: in a namespace that is being
        deleted, runs are still listed when nothing else is.
        """
        found: set[Key] = set()
        fault: ApiFault | None = None
        for namespace in namespaces:
            for kind, resource in _LISTED.items():
                try:
                    listed = await api.list(resource, namespace)
                except ApiFault as error:
                    fault = error
                    found |= {each for each in self.keys if (each.kind, each.namespace) == (kind, namespace)}
                else:
                    found |= {Key(kind, namespace, each["metadata"]["name"]) for each in listed}
                    self.inventory.listed(kind, namespace, listed)
        ghosts = self.keys - found
        if ghosts:
            log.info("%d objects had gone without notice", len(ghosts))
        self.keys = found
        for key in found | ghosts:
            self.queue.add(key)
        if fault:
            raise fault
        self.counted = self.clock()
        self.inventory.listed_at = self.inventory.clock()

    def fresh(self) -> bool:
        """Was everything counted lately, and are the watches alive?"""
        longest = 3 * RELIST.total_seconds()
        since = [at for kind in Kind for at in self.inventory.unannounced(kind)]
        heard = self.inventory.clock() - min(since) < longest if since else True
        return heard and self.clock() - self.counted < longest


_LISTED: Mapping[Kind, Resource] = {Kind.RUN: RUNS, Kind.SCENARIO: SCENARIOS}


async def relist_for_ever(known: Known, api: Api, namespaces: Iterable[str]) -> None:
    """Every few minutes; sooner after a failure."""
    while True:
        try:
            await known.relist(api, namespaces)
        except ApiFault as error:
            log.warning("relist: %s", error)
            await asyncio.sleep(15)
        else:
            await asyncio.sleep(RELIST.total_seconds())


def registry(known: Known) -> kopf.OperatorRegistry:
    """The handlers: each puts a key into the queue and returns."""
    made = kopf.OperatorRegistry()
    event: Any = kopf.on.event

    async def run(name: str, namespace: str, spec: Object, body: Object, type: str | None, **_: Any) -> None:  # noqa: A002
        known.changed(Key(Kind.RUN, namespace, name), body, gone=type == "DELETED")
        if of := spec.get("scenarioRef", {}).get("name"):
            known.queue.add(Key(Kind.SCENARIO, namespace, of))

    async def scenario(name: str, namespace: str, body: Object, type: str | None, **_: Any) -> None:  # noqa: A002
        known.changed(Key(Kind.SCENARIO, namespace, name), body, gone=type == "DELETED")

    async def child(namespace: str, labels: Mapping[str, str], **_: Any) -> None:
        if name := labels.get(RUN):
            known.queue.add(Key(Kind.RUN, namespace, name))

    event(_GROUP, _VERSION, RUNS.plural, registry=made, id="run")(run)
    event(_GROUP, _VERSION, SCENARIOS.plural, registry=made, id="scenario")(scenario)
    event("batch", "v1", "jobs", registry=made, id="job", labels={RUN: kopf.PRESENT})(child)
    event("", "v1", "pods", registry=made, id="pod", labels={RUN: kopf.PRESENT})(child)

    @kopf.on.probe(registry=made, id="counted")
    async def counted(**_: Any) -> str:
        if not known.fresh():
            raise kopf.PermanentError("nothing was counted for a while, or a watch has missed what a listing showed")
        return "lately"

    @kopf.on.login(registry=made, id="login")
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return connection()

    return made


def watch_settings() -> kopf.OperatorSettings:
    """kopf's: no scanning for kinds and namespaces, no posting, no peering."""
    made = kopf.OperatorSettings()
    made.scanning.disabled = True
    made.posting.enabled = False
    made.peering.standalone = True
    made.watching.chunk_size = 500
    made.watching.label_selectors["jobs"] = RUN
    made.watching.label_selectors["pods"] = RUN
    made.queueing.idle_timeout = 0.1
    return made


async def watch(known: Known, settings: Settings) -> None:
    """Until SIGTERM or SIGINT; raises what kopf dies of."""
    await kopf.operator(
        registry=registry(known),
        settings=watch_settings(),
        namespaces=settings.namespaces,
        standalone=True,
        liveness_endpoint=settings.health,
    )


def connection() -> kopf.ConnectionInfo:
    """As `api.connect` connects; asked again when a token has expired."""
    config = KubeConfig.from_env().get()
    if config is None or config.user is None:
        raise UsageError("no cluster is configured: set KUBECONFIG")
    cluster, user = config.cluster, config.user
    token = Path(user.token_file).read_text().strip() if user.token_file else user.token
    return kopf.ConnectionInfo(
        server=cluster.server,
        ca_path=str(config.abs_file(cluster.certificate_auth)) if cluster.certificate_auth else None,
        ca_data=cluster.certificate_auth_data,
        insecure=cluster.insecure,
        token=token,
        certificate_path=str(config.abs_file(user.client_cert)) if user.client_cert else None,
        certificate_data=user.client_cert_data,
        private_key_path=str(config.abs_file(user.client_key)) if user.client_key else None,
        private_key_data=user.client_key_data,
        default_namespace=config.namespace,
    )
