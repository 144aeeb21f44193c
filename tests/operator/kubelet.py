"""Pods on a real API server -> local processes: a scheduler and kubelet for tests, on a machine without containers.

    with control_plane(folder) as plane:
        ...                                     # apply CRDs, then
        images = {IMAGE: [sys.executable, "-m", "sectum.stage"]}
        with controllers(plane), Kubelet(plane, folder / "node", images=images) as node:
            held = node.inject(Fault.HELD_MOUNT, labels={"sectum.ai/stage": "probe"})
            ...                                 # create Jobs; look at node.runs, node.logs()
            held.lift()

A pod's one container runs as the command that `images` has for its image, followed by its args, with the environment
that its `env` says, PATH, TMPDIR and

- SECTUM_MOUNTS: the folder that stands for /var/run/sectum, in which mounted Secrets lie as they would there;
- SECTUM_TERMINATION_LOG: the file that stands for /dev/termination-log; its last 4 KiB become the pod's message;
- SECTUM_KUBECONFIG, where the pod mounts a ServiceAccount's token: a kubeconfig with a real token bound to the pod.

As the real one it waits for missing Secrets and images, terminates with SIGTERM, grace and SIGKILL, and reports phases,
conditions, exit codes, reasons and timestamps. It supports **no claim** about NetworkPolicies (processes reach whatever
the machine reaches), images and their digests, users, capabilities, read-only roots, resource limits, how Secrets and
tokens are mounted (modes, updates, isolation from other pods), what the node authorizer lets a kubelet read, and RBAC
beyond what the API server checks of a token. What it cannot do it refuses: see `Unsupported`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests.operator import pod_process, pod_status
from tests.operator.control_plane import ControlPlane
from tests.operator.pod_process import Process, Unsupported
from tests.operator.pod_status import End

Json = dict[str, Any]
TICK = 0.04
"""Seconds between two looks at a pod's process."""
NODE = "test-node"
_ENDED = ("Succeeded", "Failed")
_LOST = (httpx.codes.NOT_FOUND, httpx.codes.CONFLICT)
_STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


class Fault(StrEnum):
    """What can be made to happen to a pod."""

    UNSCHEDULABLE = "Unschedulable"
    """Gets no node until the injection is lifted."""
    HELD_MOUNT = "HeldMount"
    """Stays ContainerCreating until the injection is lifted."""
    OOM_KILLED = "OOMKilled"
    """The running process is killed: 137, OOMKilled."""
    EVICTED = "Evicted"
    """Killed by a node under pressure: Failed, with the condition DisruptionTarget; also before it has started."""
    VANISHED = "Vanished"
    """Killed, and its object removed with no status and past its finalizers, as with a lost node's pod."""


_HOLDING = {Fault.UNSCHEDULABLE, Fault.HELD_MOUNT}


@dataclass(eq=False)
class PodRun:
    """One pod and what its container did; kept after the pod has gone."""

    pod: Json
    """As it was first seen."""
    folder: Path
    command: list[str] = field(default_factory=list)
    started: float | None = None
    """time.monotonic() of the process's start."""
    exit_code: int | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The pod's."""
        return dict(self.pod["metadata"].get("labels") or {})

    @property
    def log(self) -> str:
        """What the process wrote so far to its standard output and error."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it has all of these labels."""
        return labels.items() <= self.labels.items()


def _at_once(_run: PodRun) -> bool:
    return True


@dataclass(eq=False)
class Injection:
    """A fault in force for the pods that have `labels`: of them `times` at most, each as soon as `when` says so."""

    fault: Fault
    labels: Mapping[str, str]
    times: int
    when: Callable[[PodRun], bool]
    met: list[PodRun] = field(default_factory=list)
    """The pods that it has happened to, in order."""
    lifted: threading.Event = field(default_factory=threading.Event)

    def lift(self) -> None:
        """From now on it happens to no pod, and those that it holds go on."""
        self.lifted.set()

    def hits(self, run: PodRun) -> bool:
        """Whether it is to happen to this pod now."""
        if self.lifted.is_set() or not run.matches(self.labels):
            return False
        if run in self.met:
            return self.fault in _HOLDING
        if len(self.met) >= self.times or not self.when(run):
            return False
        self.met.append(run)
        return True


class _Gone(Exception):
    """The pod's object is no more, or has been replaced."""


class _Stopped(Exception):
    """The kubelet is."""


class _Struck(Exception):
    """A fault that ends the pod's life."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class _Deleted(Exception):
    """Somebody wants the pod to end."""


class Kubelet:
    """A node and whatever runs on it, for as long as the block; nothing that it started outlives it."""

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        *,
        images: Mapping[str, Sequence[str]],
        environment: Mapping[str, str] | None = None,
        url: str | None = None,
        name: str = NODE,
    ) -> None:
        """`images`: reference -> entry point, looked up whenever a pod starts; of others it says ImagePullBackOff.

        `environment` is added to every process's (coverage wants some); `url` stands in pods' kubeconfigs, for a proxy.
        A second kubelet on one server needs a `name` of its own and gets the pods that name it.
        """
        self.plane, self.folder, self.images, self.url, self.name = plane, folder, images, url, name
        self.environment = dict(environment or {})
        self.client = plane.connect()
        self.stopping = threading.Event()
        self.runs: list[PodRun] = []
        """Every pod so far, in the order in which they were seen."""
        self._injections: list[Injection] = []
        self._lock = threading.Lock()
        self._newest: dict[str, Json | None] = {}
        self._threads: list[threading.Thread] = []
        self._crashes: list[Exception] = []

    def inject(
        self,
        fault: Fault,
        *,
        labels: Mapping[str, str],
        times: int = 1_000,
        when: Callable[[PodRun], bool] = _at_once,
    ) -> Injection:
        """Make this happen to pods with these labels, also to those that are there already."""
        injection = Injection(fault, labels, times, when)
        with self._lock:
            self._injections.append(injection)
        return injection

    def alive(self) -> list[PodRun]:
        """Those whose process runs."""
        return [run for run in self.runs if run.started is not None and run.exit_code is None]

    def logs(self) -> str:
        """All that the processes wrote, for a failing test's message."""
        told = []
        for run in self.runs:
            told.append(f"--- {run.pod['metadata']['name']} {run.command} -> {run.exit_code}\n{run.log}")
        return "\n".join(told)

    def __enter__(self) -> Kubelet:
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        room = {"cpu": "64", "memory": "64Gi", "pods": "500"}
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}, "status": status}
        self.call("POST", "/api/v1/nodes", json=node, fine=(httpx.codes.CONFLICT,))
        self._start(self._watch, name="kubelet-watch")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        for thread in list(self._threads):
            thread.join(20)
        self.client.close()
        if kind is None and self._crashes:
            raise self._crashes[0]

    def _start(self, target: Callable[..., None], *arguments: object, name: str) -> None:
        thread = threading.Thread(target=self._guarded, args=(target, *arguments), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, target: Callable[..., None], *arguments: object) -> None:
        """What goes wrong in a thread fails the test, at the end of the block."""
        try:
            target(*arguments)
        except _Stopped:
            pass
        except Exception as error:  # noqa: BLE001
            self._crashes.append(error)

    def call(self, method: str, path: str, *, fine: tuple[int, ...] = (), **options: Any) -> httpx.Response:
        """One request, again until the server answers; statuses other than success and `fine` raise."""
        while not self.stopping.is_set():
            with contextlib.suppress(httpx.TransportError):
                answer = self.client.request(method, path, **options)
                if answer.status_code < 500 and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    return answer if answer.status_code in fine else answer.raise_for_status()
            self.stopping.wait(0.1)
        raise _Stopped

    def _watch(self) -> None:
        """Follow all pods; after an interruption or a 410, list again and notice who has gone meanwhile."""
        with self.plane.connect() as client:
            client.timeout = httpx.Timeout(10, read=1)
            while not self.stopping.is_set():
                listed = self.call("GET", "/api/v1/pods").json()
                there = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
                for pod in there.values():
                    self._see(pod)
                for uid in [uid for uid, pod in self._newest.items() if pod is not None and uid not in there]:
                    self._newest[uid] = None
                self._follow(client, listed["metadata"]["resourceVersion"])

    def _follow(self, client: httpx.Client, version: str) -> None:
        while not self.stopping.is_set():
            asked = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
            with (
                contextlib.suppress(httpx.ReadTimeout),  # a second in which nothing happened
                client.stream("GET", "/api/v1/pods", params=asked) as answer,
            ):
                for line in answer.iter_lines():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] == "DELETED":
                        self._newest[event["object"]["metadata"]["uid"]] = None
                    elif event["type"] != "BOOKMARK":
                        self._see(event["object"])

    def _see(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        new = uid not in self._newest
        if new or self._newest[uid] is not None:
            self._newest[uid] = pod
        if new and pod["spec"].get("nodeName", self.name) == self.name and pod["status"].get("phase") not in _ENDED:
            run = PodRun(pod, self.folder / f"{pod['metadata']['namespace']}.{pod['metadata']['name']}.{uid[:8]}")
            self.runs.append(run)
            self._start(_Life(self, run).live, name=f"pod-{pod['metadata']['name']}")

    def newest(self, run: PodRun) -> Json:
        """The pod as it was last seen."""
        pod = self._newest[run.pod["metadata"]["uid"]]
        if pod is None:
            raise _Gone
        return pod

    def struck(self, run: PodRun, faults: Sequence[Fault]) -> Fault | None:
        """The first injection of these faults that is to happen to the pod now."""
        with self._lock:
            return next((each.fault for each in self._injections if each.fault in faults and each.hits(run)), None)


class _Life:
    """One pod from its first sight to its last status, in a thread of its own."""

    def __init__(self, kubelet: Kubelet, run: PodRun) -> None:
        self._kubelet, self._run = kubelet, run
        names = run.pod["metadata"]
        self._uid: str = names["uid"]
        self._namespace = f"/api/v1/namespaces/{names['namespace']}"
        self._path = f"{self._namespace}/pods/{names['name']}"
        self._process: Process | None = None
        self._begun: datetime | None = None

    def live(self) -> None:
        """Everything, in order."""
        try:
            end = self._until_ended()
            if end:
                self._report(end)
            self._leave()
        except _Gone:
            pass
        finally:
            if self._process:
                self._process.clear()
                self._run.exit_code = self._process.ended()

    def _until_ended(self) -> End | None:
        try:
            self._schedule()
            self._container = pod_process.container(self._pod())
            self._prepare()
            return self._watch_over()
        except Unsupported as error:
            self._set(
                pod_status.waiting(self._pod()["spec"]["containers"][0], "CreateContainerConfigError", str(error))
            )
            raise
        except _Deleted:
            return self._terminate()
        except _Struck as struck:
            return self._strike(struck.fault)

    def _schedule(self) -> None:
        told = False
        while self._kubelet.struck(self._run, [Fault.UNSCHEDULABLE]):
            if not told:
                self._set(pod_status.unschedulable())
                told = True
            self._pause()
        if not self._pod()["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": self._kubelet.name}
            names = {"name": self._run.pod["metadata"]["name"], "uid": self._uid}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": names, "target": target}
            self._kubelet.call("POST", f"{self._path}/binding", json=binding, fine=_LOST)
        while not self._pod()["spec"].get("nodeName"):
            self._pause()

    def _prepare(self) -> None:
        """Wait until everything is there that the process needs, then start it."""
        told, folder, pod = "", self._run.folder, self._pod()
        pod_process.lay_out(folder)
        env = pod_process.environment(pod, folder, self._kubelet.environment)
        while missing := self._missing(pod):
            if missing[1] != told:
                told = missing[1]
                self._set(pod_status.waiting(self._container, *missing))
                self._tell("FailedMount" if missing[0] == "ContainerCreating" else "Failed", told)
            self._pause(0.15)
        self._run.command = [*self._kubelet.images[self._container["image"]], *(self._container.get("args") or ())]
        self._begun = datetime.now(UTC)
        self._process = Process(self._run.command, folder, env)
        self._run.started = time.monotonic()
        self._set(pod_status.running(self._container, self._begun))

    def _missing(self, pod: Json) -> tuple[str, str] | None:
        """Reason and message of the first thing that is not there yet."""
        if self._kubelet.struck(self._run, [Fault.HELD_MOUNT]):
            return "ContainerCreating", "MountVolume.SetUp failed: the test wants it so"
        for name, below, optional, mode in pod_process.secrets_of(pod):
            answer = self._kubelet.call("GET", f"{self._namespace}/secrets/{name}", fine=(httpx.codes.NOT_FOUND,))
            if answer.is_success:
                data = {key: base64.b64decode(each) for key, each in (answer.json().get("data") or {}).items()}
                pod_process.write_secret(self._run.folder / "mounts" / below, data, mode)
            elif not optional:
                return "ContainerCreating", f'MountVolume.SetUp failed for a volume: secret "{name}" not found'
        if (asked := pod_process.audience_of(pod)) and not self._account(pod, asked):
            return "ContainerCreating", "MountVolume.SetUp failed for a volume: no token for the ServiceAccount"
        image = self._container["image"]
        return None if image in self._kubelet.images else ("ImagePullBackOff", f'Back-off pulling image "{image}"')

    def _account(self, pod: Json, asked: Json) -> bool:
        """Write the kubeconfig with the account's token, bound to this pod as the real kubelet's."""
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": self._uid}
        audiences = {"audiences": [asked["audience"]]} if "audience" in asked else {}
        spec = {"expirationSeconds": asked.get("expirationSeconds", 3600), "boundObjectRef": bound, **audiences}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"{self._namespace}/serviceaccounts/{pod['spec']['serviceAccountName']}/token"
        answer = self._kubelet.call("POST", path, json=request, fine=(httpx.codes.NOT_FOUND,))
        if not answer.is_success:
            return False
        self._kubelet.plane.kubeconfig(
            self._run.folder / "kubeconfig",
            token=answer.json()["status"]["token"],
            url=self._kubelet.url,
            namespace=pod["metadata"]["namespace"],
        )
        return True

    def _watch_over(self) -> End:
        while (code := self._running().ended()) is None:
            self._pause(TICK, running=True)
        return self._end(code)

    def _terminate(self) -> End:
        """SIGTERM, the grace that whoever deleted the pod has left it, SIGKILL."""
        if not self._process:
            return End(None)
        grace = self._pod()["metadata"].get("deletionGracePeriodSeconds") or 0
        deadline = time.monotonic() + grace
        if grace:
            self._process.stop()
        while self._process.ended() is None and time.monotonic() < deadline:
            self._sleep(TICK)
        return self._end(self._process.kill())

    def _strike(self, fault: Fault) -> End | None:
        code = self._process.kill() if self._process else None
        if fault is Fault.VANISHED:
            self._call("PATCH", json={"metadata": {"uid": self._uid, "finalizers": None}}, headers=_STRATEGIC)
            self._remove()
            raise _Gone
        return self._end(code, oom=fault is Fault.OOM_KILLED, evicted=fault is Fault.EVICTED)

    def _end(self, code: int | None, **how: bool) -> End:
        self._run.exit_code = code
        message = self._process.message() if self._process else ""
        return End(code, message, self._begun, **how)

    def _report(self, end: End) -> None:
        self._set(pod_status.ended(self._pod()["spec"]["containers"][0], end))

    def _leave(self) -> None:
        """Let a deletion finish that came before the last status; one that comes after it needs nobody."""
        if "deletionTimestamp" in self._call("GET").json()["metadata"]:
            self._remove()

    def _remove(self) -> None:
        self._call("DELETE", json={"gracePeriodSeconds": 0, "preconditions": {"uid": self._uid}})

    def _pod(self) -> Json:
        return self._kubelet.newest(self._run)

    def _running(self) -> Process:
        assert self._process
        return self._process

    def _pause(self, seconds: float = TICK, *, running: bool = False) -> None:
        """Wait a little; raises whatever ends the pod's life meanwhile."""
        self._sleep(seconds)
        if "deletionTimestamp" in self._pod()["metadata"]:
            raise _Deleted
        faults = [Fault.EVICTED, Fault.VANISHED, *([Fault.OOM_KILLED] if running else [])]
        if fault := self._kubelet.struck(self._run, faults):
            raise _Struck(fault)

    def _sleep(self, seconds: float) -> None:
        if self._kubelet.stopping.wait(seconds):
            raise _Stopped

    def _set(self, status: Json) -> None:
        body = {"metadata": {"uid": self._uid}, "status": status}
        self._call("PATCH", "/status", json=body, headers=_STRATEGIC)

    def _tell(self, reason: str, message: str) -> None:
        names = self._run.pod["metadata"]
        about = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": names["name"],
            "namespace": names["namespace"],
            "uid": self._uid,
        }
        now = pod_status.at(datetime.now(UTC))
        event = {
            "apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "kubelet-"}, "involvedObject": about,
            "type": "Warning", "reason": reason, "message": message, "source": {"component": "kubelet"},
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        }  # fmt: skip
        self._kubelet.call("POST", f"{self._namespace}/events", json=event, fine=(403, 404))

    def _call(self, method: str, below: str = "", **options: Any) -> httpx.Response:
        """A request about the pod itself; where it has gone or been replaced, so has its life here."""
        answer = self._kubelet.call(method, self._path + below, fine=_LOST, **options)
        if answer.status_code in _LOST:
            raise _Gone
        return answer
