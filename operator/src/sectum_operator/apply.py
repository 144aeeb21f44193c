"""The only writer: a run as it is -> what `decide` says, done. Everything can be done again, after any of its calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from sectum_operator import jobs
from sectum_operator.api import (
    EVENTS,
    JOBS,
    NAMESPACE,
    PACKS,
    PODS,
    POLICIES,
    RUNS,
    SCENARIOS,
    AlreadyThere,
    Api,
    ApiFault,
    Denied,
    Object,
    Pointer,
    Resource,
    TryAgain,
)
from sectum_operator.children import (
    as_json,
    event,
    evidence_pack,
    pack_names,
    pack_status,
    with_pack_name,
)
from sectum_operator.decide import Decision, decide
from sectum_operator.history import surplus, untold
from sectum_operator.jobs import Images, Manifest
from sectum_operator.messages import Assembled
from sectum_operator.observe import Observed, observe, owned, run_ended
from sectum_operator.reasons import Cause, Why
from sectum_operator.stages import FINALIZER, RUN_UID, Stage, Work, job_name
from sectum_operator.statuses import PackStatus, RunStatus
from sectum_operator.telling import condition

log = logging.getLogger(__name__)
_INSISTING = timedelta(hours=72 + 24)
"""For how long cleaning up and storing evidence are asked for again where denied: the longest run, and a day."""
_ROUNDS = 64
"""How often a run is decided anew in one go because something was denied: once for each of its Jobs would be enough."""


class Insisting(TryAgain):
    """A Job was denied that is not given up for that."""


class NotOurs(ApiFault):
    """There is an object of a name that we need, and it is not this run's."""


@dataclass(slots=True)
class Writer:
    """Reads everything, decides, writes once."""

    api: Api
    images: Images
    clock: Callable[[], datetime]
    instance: str = "operator"
    told: Callable[[str, RunStatus, RunStatus], None] = lambda *_: None
    """Hears of each status of a run that was written: the namespace, what was said before, what is now."""
    _accepting: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)

    async def run(self, namespace: str, name: str) -> float | None:
        """Do what a run needs now; seconds after which to look again. Raises ApiFault."""
        live = await self.api.get(RUNS, namespace, name)
        if live is None:
            return None
        async with self._alone(live):
            return await self._reconcile(namespace, name)

    def _alone(self, live: Object) -> AbstractAsyncContextManager[None]:
        """Of two runs of one scenario, one is accepted before the other is looked at."""
        key = (live["metadata"]["namespace"], live["spec"]["scenarioRef"]["name"])
        return self._accepting.setdefault(key, asyncio.Lock())

    async def _reconcile(self, namespace: str, name: str) -> float | None:
        denied: dict[Work, Cause] = {}
        terminating = False
        for _ in range(_ROUNDS):
            live = await self.api.get(RUNS, namespace, name)
            if live is None:
                return None
            now = self.clock()
            terminating = terminating or await self._terminating(live)
            seen = await self._observe(live, now, terminating=terminating)
            seen = replace(seen, denied=dict(denied), terminating=terminating)
            decision = decide(seen, now)
            version = live["metadata"]["resourceVersion"]
            if decision.finalizer:
                version = await self._set_finalizer(live, version, stands=True)
            try:
                refused = await self._start(seen, decision)
            except Insisting as error:
                await self._finish(live, seen, _shown(decision, seen, error, now), version)
                raise
            if refused is None:
                await self._finish(live, seen, decision, version)
                return max((decision.wake - now).total_seconds(), 0.1) if decision.wake else None
            denied |= refused
            terminating = terminating or not refused
        raise NotOurs(f"{namespace}/{name}: too much of it was denied")

    async def _terminating(self, live: Object) -> bool:
        """Does its namespace go, and wait for this run? Asked first: of all else the rights may have gone before it."""
        meta = live["metadata"]
        if "deletionTimestamp" not in meta or FINALIZER not in meta.get("finalizers", ()):
            return False
        try:
            found = await self.api.get(NAMESPACE, meta["namespace"], "")
        except Denied:
            return False
        return found is not None and "deletionTimestamp" in found["metadata"]

    async def _observe(self, live: Object, now: datetime, *, terminating: bool) -> Observed:
        meta, namespace = live["metadata"], live["metadata"]["namespace"]
        if terminating or run_ended(live):
            return observe(live, scenario=None, jobs=(), pods=(), runs=(), now=now)
        mine, scenario = f"{RUN_UID}={meta['uid']}", live["spec"]["scenarioRef"]["name"]
        children = await self.api.list(JOBS, namespace, labels=mine)
        about = await self.api.get(SCENARIOS, namespace, scenario)
        alone = children and not (about and about["spec"].get("concurrencyPolicy") == "Replace")
        runs = [] if alone else await self.api.list(RUNS, namespace, fields=f"spec.scenarioRef.name={scenario}")
        pods = await self.api.list(PODS, namespace, labels=mine)
        seen = observe(live, scenario=about, jobs=children, pods=pods, runs=runs, now=now)
        return replace(seen, refused=untold(runs))

    async def _start(self, seen: Observed, decision: Decision) -> dict[Work, Cause] | None:
        """Create what is to be started; what was denied, if anything was: nothing named where the namespace goes."""
        if not decision.start or decision.scenario is None or seen.status.scenario is None:
            return None
        denied: dict[Work, Cause] = {}
        try:
            await self._open(seen, jobs.policies(seen.run, decision.scenario, decision.surfaces))
        except (Denied, NotOurs) as error:
            self._insist(seen, decision.start, error)
            return _denied(error, decision.start)
        for work in decision.start:
            generation = seen.status.scenario.generation
            made = jobs.job(seen.run, decision.scenario, work, images=self.images, generation=generation)
            try:
                if await self._own(JOBS, seen, made):
                    _say(seen, f"{work} was started", work)
            except (Denied, NotOurs) as error:
                _say(seen, f"{work} was not started: {error}", work)
                self._insist(seen, (work,), error)
                found = _denied(error, (work,))
                if not found:
                    return found
                denied |= found
        return denied or None

    async def _open(self, seen: Observed, policies: list[Manifest]) -> None:
        """Create the NetworkPolicies that are missing; one that is there stays, whatever a fence says of it by now."""
        listed = await self.api.list(POLICIES, seen.run.namespace, labels=f"{RUN_UID}={seen.run.uid}")
        there = {each["metadata"]["name"] for each in listed if owned(each["metadata"], seen.run.uid)}
        for policy in policies:
            if policy["metadata"]["name"] not in there:
                await self._own(POLICIES, seen, policy)

    def _insist(self, seen: Observed, works: tuple[Work, ...], error: Denied | NotOurs) -> None:
        """Cleaning up and storing evidence are not given up because a quota or a fence says no for now.

        Raises Insisting, for as long as evidence is waited for; nothing where the namespace goes.
        """
        since = seen.status.started_at or seen.created
        matters = all(work.stage in (Stage.CLEAN, Stage.ASSEMBLE) for work in works)
        if matters and isinstance(error, Denied) and not error.terminating and self.clock() < since + _INSISTING:
            raise Insisting(str(error))

    async def _own(self, kind: Resource, seen: Observed, body: Manifest) -> bool:
        """Create a child, or find it made before; raises NotOurs. Was it made now?"""
        namespace, name = seen.run.namespace, body["metadata"]["name"]
        try:
            await self.api.create(kind, namespace, body)
        except AlreadyThere:
            found = await self.api.get(kind, namespace, name)
            if found and not owned(found["metadata"], seen.run.uid):
                raise NotOurs(f"{kind.plural} {name} is not this run's") from None
            return False
        return True

    async def _finish(self, live: Object, seen: Observed, decision: Decision, version: str) -> None:
        """What is to be deleted, then the pack, the Events, the status; the finalizer last."""
        for name in decision.delete:
            _say(seen, f"{name} is deleted")
            await self.api.delete(JOBS, seen.run.namespace, name)
        status = decision.status
        if decision.evidence and status:
            status = await self._named(seen, decision.evidence, status)
        for said in decision.events:
            _say(seen, f"{said.reason}: {said.message}")
            await self._post(event(seen.run, said, now=self.clock(), instance=self.instance), seen)
        if status:
            version = await self._tell(RUNS, live, status, version)
            self.told(seen.run.namespace, seen.status, status)
        if decision.finalizer is False:
            await self._set_finalizer(live, version, stands=False)
        if decision.evidence:
            await self._forget_packs(seen)

    async def _tell(self, kind: Resource, live: Object, status: BaseModel, version: str) -> str:
        """The one status write; none where nothing changed."""
        told = as_json(status)
        if told == live.get("status"):
            return version
        return await self._replace(kind, live, version, "/status", told)

    async def _set_finalizer(self, live: Object, version: str, *, stands: bool) -> str:
        others = [each for each in live["metadata"].get("finalizers", ()) if each != FINALIZER]
        wanted = [*others, FINALIZER] if stands else others
        return await self._replace(RUNS, live, version, "/metadata/finalizers", wanted)

    async def _replace(self, kind: Resource, live: Object, version: str, pointer: Pointer, value: Any) -> str:
        """The object's version afterwards."""
        meta = live["metadata"]
        written = await self.api.replace(
            kind, meta["namespace"], meta["name"], version=version, pointer=pointer, value=value
        )
        return str(written["metadata"]["resourceVersion"])

    async def _named(self, seen: Observed, evidence: Assembled, status: RunStatus) -> RunStatus:
        """The status with the EvidencePack's name. One that is refused holds nothing up: the pack is in the store."""
        try:
            return with_pack_name(status, await self._pack(seen, evidence))
        except (Denied, NotOurs) as error:
            told = f"in the store, read back and verified; there is no EvidencePack of it: {error}"
            _say(seen, told)
            made = condition(
                status.conditions,
                "EvidenceStored",
                "True",
                Why.STORED,
                told,
                now=self.clock(),
                generation=seen.generation,
            )
            return status.model_copy(update={"conditions": made})

    async def _pack(self, seen: Observed, evidence: Assembled) -> str:
        """The EvidencePack, made or found made; its name."""
        for name in pack_names(seen.run):
            with suppress(AlreadyThere):
                await self.api.create(PACKS, seen.run.namespace, evidence_pack(seen, evidence, name))
            found = await self.api.get(PACKS, seen.run.namespace, name)
            if found and found["spec"]["runRef"]["uid"] == seen.run.uid:
                await self._tell_of_pack(found, evidence)
                return name
        raise NotOurs(f"EvidencePack {seen.run.name} is another run's")

    async def _forget_packs(self, seen: Observed) -> None:
        """One more of the scenario's is there: the objects of the oldest go, and nothing in the store."""
        mine = f"spec.scenarioRef.name={seen.spec.scenario_ref.name}"
        for name in surplus(await self.api.list(PACKS, seen.run.namespace, fields=mine)):
            _say(seen, f"EvidencePack {name} is beyond what is kept and deleted")
            await self.api.delete(PACKS, seen.run.namespace, name)

    async def _tell_of_pack(self, found: Object, evidence: Assembled) -> None:
        meta, before = found["metadata"], PackStatus.model_validate(found.get("status") or {})
        now, generation = self.clock().replace(microsecond=0), meta.get("generation", 1)
        made = pack_status(evidence, before, now=now, generation=generation)
        await self._tell(PACKS, found, made, meta["resourceVersion"])

    async def _post(self, body: Manifest, seen: Observed) -> None:
        """An Event, for display; a run does not wait for it."""
        try:
            await self.api.create(EVENTS, seen.run.namespace, body)
        except AlreadyThere:
            return
        except ApiFault as error:
            _say(seen, f"an Event was not posted: {error}")


def _shown(decision: Decision, seen: Observed, error: Insisting, now: datetime) -> Decision:
    """The decision, whose status says what keeps it from being done."""
    if decision.status is None:
        return decision
    made = condition(
        decision.status.conditions, "Progressing", "True", Cause.DENIED, str(error), now=now, generation=seen.generation
    )
    return replace(decision, status=decision.status.model_copy(update={"conditions": made}))


def _denied(error: ApiFault, works: tuple[Work, ...]) -> dict[Work, Cause]:
    """What cannot be started, and why; empty where the namespace is being deleted."""
    if isinstance(error, Denied) and error.terminating:
        return {}
    return dict.fromkeys(works, Cause.NAME_TAKEN if isinstance(error, NotOurs) else Cause.DENIED)


def _say(seen: Observed, told: str, work: Work | None = None) -> None:
    extra: Mapping[str, str] = {"run": f"{seen.run.namespace}/{seen.run.name}", "uid": seen.run.uid}
    about = {"stage": work.stage.value, "surface": work.surface, "job": job_name(seen.run, work)} if work else {}
    log.info(told, extra={**extra, **about})
