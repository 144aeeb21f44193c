"""An IsolationScenario as it is -> its status, its CronJob, and no more ended runs than it wants kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sectum_operator.acceptance import accept
from sectum_operator.api import CRONJOBS, RUNS, SCENARIOS, AlreadyThere, Api, Denied, Object
from sectum_operator.children import as_json
from sectum_operator.cronjobs import cron_job_name
from sectum_operator.history import expired
from sectum_operator.jobs import Images
from sectum_operator.readiness import stands
from sectum_operator.reasons import Cause
from sectum_operator.schedule import AGAIN, Scheduling, scheduling
from sectum_operator.telling import condition

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scenarios:
    """Looks after scenarios, one look at a time for each."""

    api: Api
    images: Images
    clock: Callable[[], datetime]

    async def look(self, namespace: str, name: str) -> float | None:
        """Do what a scenario needs now; seconds after which to look again. Raises ApiFault."""
        live = await self.api.get(SCENARIOS, namespace, name)
        if live is None or "deletionTimestamp" in live["metadata"]:
            return None  # its CronJob goes with it; its runs go on
        now = self.clock().replace(microsecond=0)
        runs = await self.api.list(RUNS, namespace, fields=f"spec.scenarioRef.name={name}")
        found = accept(live)
        made = await self._scheduled(live, scheduling(
            live, found, await self.api.get(CRONJOBS, namespace, cron_job_name(name, live["metadata"]["uid"])),
            images=self.images, now=now,
        ), now)  # fmt: skip
        status = stands(live, found, runs, now=now)
        conditions = condition(
            status.conditions, "Scheduled", made.status, made.reason, made.message, now=now,
            generation=live["metadata"].get("generation", 0),
        )  # fmt: skip
        told = as_json(status.model_copy(update={"conditions": conditions}))
        if told != live.get("status"):
            version = live["metadata"]["resourceVersion"]
            await self.api.replace(SCENARIOS, namespace, name, version=version, pointer="/status", value=told)
        for each in expired(runs, live["spec"]):
            log.info("%s is beyond what is kept and deleted", each, extra={"run": f"{namespace}/{each}"})
            await self.api.delete(RUNS, namespace, each)
        return (made.wake - now).total_seconds() if made.wake else None

    async def _scheduled(self, live: Object, made: Scheduling, now: datetime) -> Scheduling:
        """Do it; what became of it."""
        namespace = live["metadata"]["namespace"]
        if made.delete:
            await self.api.delete(CRONJOBS, namespace, made.delete)
        if made.create:
            try:
                with suppress(AlreadyThere):
                    await self.api.create(CRONJOBS, namespace, made.create)
            except Denied as error:
                if error.terminating:
                    return made
                log.warning("the CronJob was denied: %s", error)
                return Scheduling("False", Cause.DENIED, str(error), wake=now + AGAIN)
        return made
