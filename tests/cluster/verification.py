"""A VerificationRun on the cluster: begun, waited for, and looked at when it has ended."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.cluster.demo import Demo

STAGES = ("prepare", "open", "baseline", "plant", "probe", "clean", "assemble")
SECONDS = 240
Object = dict[str, Any]


def label(found: Object, name: str) -> str:
    return str(found["metadata"].get("labels", {}).get(f"sectum.ai/{name}", ""))


@dataclass
class Verification:
    """One run, and what the API server knows of it."""

    demo: Demo
    scenario: Object
    name: str
    uid: str = ""

    @property
    def namespace(self) -> str:
        """That of its scenario."""
        return str(self.scenario["metadata"]["namespace"])

    @property
    def prefix(self) -> str:
        """Of what it stores, in both buckets."""
        return str(self.scenario["spec"]["evidence"]["store"]["s3"]["prefix"])

    def object(self) -> Object:
        return self.demo.one("verificationrun", self.name, "-n", self.namespace)

    def _mine(self, kind: str) -> list[Object]:
        return self.demo.objects(kind, "-n", self.namespace, "-l", f"sectum.ai/run-uid={self.uid}")

    def jobs(self) -> list[Object]:
        return self._mine("jobs")

    def pods(self) -> list[Object]:
        return self._mine("pods")

    def policies(self) -> list[Object]:
        return self._mine("networkpolicies")

    def pod(self, stage: str, surface: str = "", *, runs: bool = True, seconds: float = SECONDS) -> Object:
        """The pod of that stage, once it runs; else as soon as it is there."""

        def found() -> Object | None:
            for each in self.pods():
                whose = (label(each, "stage"), label(each, "surface"))
                if whose == (stage, surface) and (not runs or each["status"].get("phase") == "Running"):
                    return each
            return None

        return self.until(found, f"a pod of {stage} {surface}", seconds=seconds)

    def until(self, look: Callable[[], Any], what: str, *, seconds: float = SECONDS) -> Any:
        """What `look` finds, as soon as it finds something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := look():
                return found
            time.sleep(0.5)
        raise AssertionError(f"{self.name}: within {seconds:.0f} s there was not {what}; it stands so: {self.told()}")

    def told(self) -> str:
        """Where it stands, for messages."""
        status = self.object().get("status", {})
        shown = {key: status.get(key) for key in ("phase", "verdict", "surfaces", "conditions")}
        return json.dumps(shown)

    def conditions(self) -> dict[str, tuple[str, str]]:
        """Type -> status and reason."""
        found = self.object().get("status", {}).get("conditions", [])
        return {each["type"]: (each["status"], each["reason"]) for each in found}

    def surface(self, name: str) -> tuple[str | None, str | None]:
        """Verdict and reason of a surface."""
        for each in self.object().get("status", {}).get("surfaces", []):
            if each["name"] == name:
                return each.get("verdict"), each.get("reason")
        return None, None

    def says(self, reason: str, *, seconds: float = SECONDS) -> None:
        """Wait until the run shows that reason as what it waits for."""
        self.until(lambda: self.conditions().get("Progressing", ("", ""))[1] == reason, reason, seconds=seconds)

    def done(self, stage: str, *, seconds: float = SECONDS) -> None:
        """Wait until every Job of the stage that is there has done its work."""

        def look() -> bool:
            found = [each for each in self.jobs() if label(each, "stage") == stage]
            return bool(found) and all(each["status"].get("succeeded") for each in found)

        self.until(look, f"an end of {stage}", seconds=seconds)

    def attempts(self, stage: str) -> list[int]:
        """Numbers of the stage's Jobs."""
        return sorted(int(label(each, "attempt")) for each in self.jobs() if label(each, "stage") == stage)

    def suspend(self, *, held: bool) -> None:
        """No further stage begins until it is let go."""
        self._change({"suspend": held})

    def cancel(self) -> None:
        """Stop probing, clean up, close."""
        self._change({"cancel": True})

    def _change(self, spec: Object) -> None:
        patch = json.dumps({"spec": spec})
        self.demo.kubectl("patch", "verificationrun", self.name, "-n", self.namespace, "--type=merge", "-p", patch)

    def reached(self, stage: str, *, seconds: float = SECONDS) -> None:
        """Wait until a Job of the stage is there."""
        self.until(lambda: any(label(each, "stage") == stage for each in self.jobs()), stage, seconds=seconds)

    def ended(self, *, seconds: float = SECONDS) -> Object:
        """The run at its end."""

        def look() -> Object | None:
            run = self.object()
            return run if run.get("status", {}).get("phase") in ("Complete", "Failed") else None

        return self.until(look, "an end", seconds=seconds)

    def packs(self) -> list[Object]:
        """Its EvidencePacks."""
        return [
            each
            for each in self.demo.objects("evidencepacks", "-n", self.namespace)
            if each["spec"]["runRef"]["uid"] == self.uid
        ]


def begin(demo: Demo, scenario: Object, *, timeout: str = "10m") -> Verification:
    """Apply the scenario and a run of it, under a name of its own; what earlier tests left of it goes first."""
    namespace = scenario["metadata"]["namespace"]
    earlier = [
        each["metadata"]["name"]
        for each in demo.objects("verificationruns", "-n", namespace)
        if each["spec"]["scenarioRef"]["name"] == scenario["metadata"]["name"]
    ]
    if earlier:
        demo.kubectl("delete", "verificationruns", *earlier, "-n", namespace, "--wait", "--timeout=120s")
    demo.kubectl("apply", "-f", "-", text=json.dumps(scenario))
    name = f"{scenario['metadata']['name']}-{uuid.uuid4().hex[:6]}"
    run = {
        "apiVersion": "sectum.ai/v1alpha1",
        "kind": "VerificationRun",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"scenarioRef": {"name": scenario["metadata"]["name"]}, "timeout": timeout},
    }
    demo.kubectl("create", "-f", "-", text=json.dumps(run))
    made = Verification(demo, scenario, name)
    made.uid = made.object()["metadata"]["uid"]
    return made
