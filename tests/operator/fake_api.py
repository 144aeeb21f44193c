"""An API server in memory, as far as the operator uses one, and what a cluster does to Jobs: a pod, an end, a message.

It knows resourceVersions, finalizers, owners and foreground deletion, and can be killed after any write.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sectum_operator.api import (
    EVENTS,
    JOBS,
    NAMESPACE,
    PODS,
    RUNS,
    SCENARIOS,
    AlreadyThere,
    Denied,
    Object,
    Pointer,
    Resource,
    TryAgain,
)
from sectum_operator.stages import Stage, Work, work_of

from tests.operator import cluster

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
DIGEST = "ab" * 32


class Killed(Exception):
    """The operator's process ends here."""


def spelt(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class FakeApi:
    """One namespace."""

    now: datetime = START
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    kill_after: int | None = None
    """The write, counted from 1, after which the process is killed; None: never."""
    refuse: Callable[[Resource, Object], bool] = lambda _kind, _body: False
    terminating: bool = False
    """Is the namespace being deleted?"""
    rights_gone: bool = False
    """Were the operator's Roles in it deleted? What is cluster-wide is left: runs, and the namespace itself."""
    fail: Callable[[], bool] = lambda: False
    """Does the API server answer 500 now?"""
    _version: int = 100
    _made: int = 0

    def clock(self) -> datetime:
        return self.now

    def put(self, kind: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        made = copy.deepcopy(dict(body))
        self._made += 1
        meta = made["metadata"] = {
            "uid": f"00000000-0000-7000-8000-{self._made:012d}", "generation": 1, "namespace": cluster.NAMESPACE,
            "creationTimestamp": spelt(self.now), **made["metadata"],
        }  # fmt: skip
        self.objects[kind.plural, meta["name"]] = made
        self._touch(made)
        return made

    def _touch(self, found: dict[str, Any]) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)

    def all(self, kind: Resource) -> list[dict[str, Any]]:
        return [each for (plural, _), each in self.objects.items() if plural == kind.plural]

    def _wrote(self, what: str) -> None:
        self.writes.append(what)
        if self.kill_after is not None and len(self.writes) == self.kill_after:
            raise Killed(what)

    async def get(self, kind: Resource, namespace: str, name: str) -> Object | None:
        assert namespace == cluster.NAMESPACE
        if kind == NAMESPACE:
            return {"metadata": {"deletionTimestamp": spelt(self.now)} if self.terminating else {}}
        self._allowed(kind)
        return copy.deepcopy(self.objects.get((kind.plural, name)))

    def _allowed(self, kind: Resource, part: str = "") -> None:
        if self.rights_gone and (kind != RUNS or part == "/status"):
            raise Denied(f"403 {kind.plural}{part}", terminating=False)

    async def list(self, kind: Resource, namespace: str, *, labels: str = "", fields: str = "") -> list[Object]:
        assert namespace == cluster.NAMESPACE
        if self.fail():
            raise TryAgain("500")
        self._allowed(kind)
        return [
            copy.deepcopy(each)
            for each in self.all(kind)
            if all(_has(each["metadata"].get("labels", {}), one) for one in labels.split(",") if one)
            and all(_field(each, one) for one in fields.split(",") if one)
        ]

    async def create(self, kind: Resource, namespace: str, body: Object) -> None:
        assert namespace == cluster.NAMESPACE == body["metadata"]["namespace"]
        name = body["metadata"]["name"]
        if self.fail():
            raise TryAgain("500")
        self._allowed(kind)
        if self.terminating and (kind.plural, name) not in self.objects:
            raise Denied("403", terminating=True)
        if self.refuse(kind, body):  # admission comes before the look whether the name is taken
            raise Denied("403", terminating=False)
        if (kind.plural, name) in self.objects:
            raise AlreadyThere(name)
        made = self.put(kind, {key: value for key, value in body.items() if key != "status"})
        if kind == EVENTS:
            made["order"] = len(self.writes)
        self._wrote(f"create {kind.plural} {name}")

    async def replace(
        self, kind: Resource, namespace: str, name: str, *, version: str, pointer: Pointer, value: Any
    ) -> Object:
        found = self.objects.get((kind.plural, name))
        if found is None or self.fail():
            raise TryAgain("404")
        self._allowed(kind, pointer)
        if version != found["metadata"]["resourceVersion"]:
            raise TryAgain("409")
        value = copy.deepcopy(value)
        if pointer in ("/status", "/spec"):
            found[pointer.removeprefix("/")] = value
        elif pointer == "/spec/cancel":
            found["spec"]["cancel"] = value
        elif pointer == "/metadata/annotations":
            found["metadata"]["annotations"] = value
        else:
            added = set(value) - set(found["metadata"].get("finalizers", ()))
            assert not (added and "deletionTimestamp" in found["metadata"])
            found["metadata"]["finalizers"] = value
        self._touch(found)
        self._collect(kind, found)
        self._wrote(f"replace {kind.plural} {name} {pointer}")
        return copy.deepcopy(found)

    async def delete(self, kind: Resource, namespace: str, name: str) -> None:
        if (kind.plural, name) in self.objects:
            self.remove(kind, name, foreground=kind == JOBS)
        self._wrote(f"delete {kind.plural} {name}")

    def remove(self, kind: Resource, name: str, *, foreground: bool = False) -> None:
        """As somebody's `kubectl delete` does."""
        found = self.objects[kind.plural, name]
        found["metadata"].setdefault("deletionTimestamp", spelt(self.now))
        if foreground:
            found["metadata"]["finalizers"] = ["foregroundDeletion"]
        self._touch(found)
        self._collect(kind, found)

    def _collect(self, kind: Resource, found: dict[str, Any]) -> None:
        """What is deleted and held up by nothing goes, and so do those that it owns."""
        meta = found["metadata"]
        if "deletionTimestamp" not in meta or meta.get("finalizers"):
            return
        del self.objects[kind.plural, meta["name"]]
        for each in (RUNS, JOBS, PODS):
            for child in self.all(each):
                if any(owner["uid"] == meta["uid"] for owner in child["metadata"].get("ownerReferences", ())):
                    child["metadata"]["finalizers"] = []
                    self.remove(each, child["metadata"]["name"])


def _has(labels: Mapping[str, str], selector: str) -> bool:
    key, value = selector.split("=")
    return labels.get(key) == value


def _field(found: Object, selector: str) -> bool:
    path, value = selector.split("=")
    at: Any = found
    for part in path.split("."):
        at = at.get(part, {})
    return bool(at == value)


End = str
"""How a Job ends: `ok`, `exit 75`, `oom`, `disrupted`, `deadline`, `vanished`, `hangs`, or `secret`, `image`, `node`,
`quota` for one that waits for that until its deadline."""
WAITING = ("hangs", "secret", "image", "node", "quota")


@dataclass
class Cluster:
    """The rest of a cluster: Job controller, kubelet, and stages that end as `ends` says (else well)."""

    api: FakeApi
    ends: dict[tuple[str, str, int] | tuple[str, str], End] = field(default_factory=dict)
    messages: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    surfaces: tuple[str, ...] = ("api", "search")
    began: list[Work] = field(default_factory=list)
    did: set[tuple[str, str]] = field(default_factory=set)
    """Stages and surfaces that ended well."""

    def end_of(self, work: Work) -> End:
        return self.ends.get((work.stage, work.surface, work.attempt), self.ends.get((work.stage, work.surface), "ok"))

    def message(self, work: Work) -> dict[str, Any]:
        counts = {"planned": 10, "leak": 0, "pass": 10, "inconclusive": 0}
        said: dict[Stage, dict[str, Any]] = {
            Stage.PREPARE: {"trials": 20, "markers": 12, "digest": DIGEST, "surfaces": list(self.surfaces)},
            Stage.OPEN: {"sequence": 4},
            Stage.BASELINE: {"fault": None},
            Stage.PLANT: {"planted": 6, "markers": 6, "fault": None},
            Stage.PROBE: {"verdict": "Pass", "counts": counts, "fault": None},
            Stage.CLEAN: {"removed": 6, "notRemoved": 0},
            Stage.ASSEMBLE: {
                "verdict": self._verdict(), "counts": {**counts, "planned": 20, "pass": 20}, "sequence": 5,
                "uri": "s3://evidence/packs/1.zip", "pack": DIGEST, "run": "cd" * 32, "verified": True,
                "score": 7, "matrix": "/".join(map(self._row, self.surfaces)), "worst": [],
            },
        }  # fmt: skip
        return (
            {"stage": work.stage.value, "ok": True}
            | said[work.stage]
            | self.messages.get((work.stage, work.surface), {})
        )

    def _verdict(self) -> str:
        """As assemble would: Pass only when every stage of every surface has a record of a good end."""
        wanted = {(stage, name) for stage in (Stage.BASELINE, Stage.PLANT, Stage.PROBE) for name in self.surfaces}
        return "Pass" if wanted <= self.did else "Inconclusive"

    def _row(self, name: str) -> str:
        """Of the coverage matrix, one attack class."""
        wanted = {(stage, name) for stage in (Stage.BASELINE, Stage.PLANT, Stage.PROBE)}
        said = (
            self.messages.get((Stage.PROBE, name), {}).get("verdict", "Pass") if wanted <= self.did else "Inconclusive"
        )
        return f"x{said[0]}xxxxxxxxx"

    def jobs(self) -> list[dict[str, Any]]:
        """Those that something can happen to."""
        return [each for each in self.api.all(JOBS) if not _over(each)]

    def advance(self, job: dict[str, Any]) -> bool:
        """The next thing that happens to a Job; False if nothing does before its time."""
        work = work_of(job["metadata"]["labels"])
        assert work
        end, pod = self.end_of(work), self._pod(job)
        if "deletionTimestamp" in job["metadata"]:
            self._gone(job, pod)
            return True
        if pod is None and end != "quota":
            self._schedule(job, work, end)
            return True
        seconds = job["spec"]["activeDeadlineSeconds"]
        if end in WAITING:
            made = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
            if self.api.now < made + timedelta(seconds=seconds):
                return False
            end = "deadline"
        self._end(job, pod, work, end)
        return True

    def _pod(self, job: dict[str, Any]) -> dict[str, Any] | None:
        mine = [p for p in self.api.all(PODS) if p["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]]
        return mine[0] if mine else None

    def _schedule(self, job: dict[str, Any], work: Work, end: End) -> None:
        owner = {"uid": job["metadata"]["uid"]}
        labels = job["metadata"]["labels"]
        name = job["metadata"]["name"] + "-x"
        pod = self.api.put(PODS, {"metadata": {"name": name, "labels": labels, "ownerReferences": [owner]}})
        waits = {
            "secret": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]},
            "image": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "node": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
        }
        pod["status"] = {"phase": "Pending", **waits[end]} if end in waits else {"phase": "Running"}
        if end not in waits:
            self.began.append(work)

    def _gone(self, job: dict[str, Any], pod: dict[str, Any] | None) -> None:
        if pod is not None:
            self.api.remove(PODS, pod["metadata"]["name"])
        job["metadata"]["finalizers"] = []
        self.api.remove(JOBS, job["metadata"]["name"])

    def _end(self, job: dict[str, Any], pod: dict[str, Any] | None, work: Work, end: End) -> None:
        if end == "ok":
            told = json.dumps(self.message(work))
            self.did.add((work.stage, work.surface))
            self._terminated(pod, {"exitCode": 0, "message": told})
            _conclude(job, "Complete", "CompletionsReached", self.api.now)
            return
        reason = {"deadline": "DeadlineExceeded", "disrupted": "PodFailurePolicy"}.get(end, "BackoffLimitExceeded")
        if end in ("deadline", "vanished") and pod is not None:
            self.api.remove(PODS, pod["metadata"]["name"])
        if found := re.fullmatch(r"exit (\d+)", end):
            said = self.messages.get((work.stage, work.surface), {})
            told = json.dumps({"stage": work.stage.value, "ok": False, **said})
            self._terminated(pod, {"exitCode": int(found[1]), "message": told})
        if end == "oom":
            self._terminated(pod, {"exitCode": 137, "reason": "OOMKilled"})
        if end == "disrupted" and pod is not None:
            pod["status"] = {"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}
        _conclude(job, "Failed", reason, self.api.now)

    def _terminated(self, pod: dict[str, Any] | None, state: dict[str, Any]) -> None:
        assert pod is not None
        phase = "Succeeded" if state["exitCode"] == 0 else "Failed"
        pod["status"] = {"phase": phase, "containerStatuses": [{"state": {"terminated": state}}]}


def _over(job: dict[str, Any]) -> bool:
    ended = any(each["status"] == "True" for each in job.get("status", {}).get("conditions", ()))
    return ended and "deletionTimestamp" not in job["metadata"]


def _conclude(job: dict[str, Any], kind: str, reason: str, now: datetime) -> None:
    job["status"] = {
        "conditions": [{"type": kind, "status": "True", "reason": reason, "lastTransitionTime": spelt(now)}]
    }


def world(run: dict[str, Any] | None = None, *, surfaces: tuple[str, ...] = ("api", "search"), **more: Any) -> Cluster:
    """A cluster with a scenario and a run that nobody has looked at."""
    api = FakeApi()
    api.put(SCENARIOS, cluster.scenario(*surfaces))
    api.put(RUNS, run or cluster.run())
    return Cluster(api, surfaces=surfaces, **more)


def the_run(api: FakeApi) -> dict[str, Any] | None:
    return api.objects.get((RUNS.plural, cluster.RUN.name))


def why(run: dict[str, Any] | None, kind: str) -> tuple[str, str] | None:
    """Status and reason of a condition."""
    found = (run or {}).get("status", {}).get("conditions", ())
    return next(((each["status"], each["reason"]) for each in found if each["type"] == kind), None)
