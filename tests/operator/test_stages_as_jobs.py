"""The Jobs that the operator would create, as processes under Kubernetes' own controllers, lead to a signed pack."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sectum.codec import sha256
from sectum.plan import make_plan
from sectum.scenario import Scenario
from sectum.verify import verify
from sectum_operator.jobs import job
from sectum_operator.prepare import scenario_of
from sectum_operator.stages import RunId, Stage, Work

from tests.notes_app import running_notes_app
from tests.operator.installation import IMAGES, NAMESPACE, Installation, installed

pytestmark = pytest.mark.timeout(180)
Json = dict[str, Any]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("cluster")) as here:
        yield here


def ended(here: Installation, names: list[str]) -> dict[str, Json]:
    """The termination messages of these Jobs' pods, once all of them have ended."""
    deadline = time.monotonic() + 60
    while True:
        jobs = {each["metadata"]["name"]: each for each in here.list("jobs")}
        done = [_is_done(jobs[name]) for name in names]
        if all(done):
            break
        assert time.monotonic() < deadline, here.node.logs()
        time.sleep(0.1)
    messages = {}
    for pod in here.list("pods"):
        if (name := pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]) in names:
            end = pod["status"]["containerStatuses"][0]["state"]["terminated"]
            messages[name] = {**json.loads(end.get("message", "{}")), "exit": end["exitCode"]}
    return messages


def _is_done(document: Json) -> bool:
    return any(
        each["type"] in ("Complete", "Failed") and each["status"] == "True"
        for each in document.get("status", {}).get("conditions") or ()
    )


def play(here: Installation, run: RunId, scenario: Scenario, generation: int) -> dict[Stage, dict[str, Json]]:
    """Wave by wave, without an operator; what each stage said, by surface."""
    said: dict[Stage, dict[str, Json]] = {}
    for stage in Stage:
        names = {}
        for surface in [each.name for each in scenario.spec.surfaces] if stage.of_surface else [""]:
            made = job(run, scenario, Work(stage, surface, 1), images=IMAGES, generation=generation)
            here.create("jobs", made)
            names[made["metadata"]["name"]] = surface
        said[stage] = {names[name]: message for name, message in ended(here, list(names)).items()}
        assert all(each.get("ok") for each in said[stage].values()), f"{said}\n{here.node.logs()}"
    return said


@pytest.mark.parametrize(("leaky", "verdict"), [(True, "Leak"), (False, "Pass")])
def test_a_whole_run_leads_to_a_signed_pack(here: Installation, tmp_path: Path, *, leaky: bool, verdict: str) -> None:
    name = verdict.lower()
    with running_notes_app(leaky=leaky) as notes:
        about = here.scenario(notes, name=name, surfaces=("api", "cache"))
        made = here.create(
            "verificationruns",
            {
                "apiVersion": "sectum.ai/v1alpha1",
                "kind": "VerificationRun",
                "metadata": {"name": name},
                "spec": {"scenarioRef": {"name": name}},
            },
        )
        run = RunId(NAMESPACE, name, made["metadata"]["uid"])
        said = play(here, run, scenario_of(about), about["metadata"]["generation"])
        assert not notes.documents, "something was left in the app"
    plan = make_plan(scenario_of(about))
    counts = {"trials": len(plan.trials), "markers": len(plan.markers), "surfaces": ["api", "cache"]}
    assert said[Stage.PREPARE][""].items() >= counts.items()
    assert said[Stage.ASSEMBLE][""]["verdict"] == verdict
    [pack] = [data for file, data in here.stored(f"evidence-{name}", "packs/").items() if file.endswith(".zip")]
    assert sha256(pack) == said[Stage.ASSEMBLE][""]["pack"]
    path = tmp_path / "pack.zip"
    path.write_bytes(pack)
    opened = next(iter(here.stored(f"evidence-{name}", "series/").values()))
    checked = verify(path, key=here.signer.public_pem, open_record=opened, allow_unanchored=True)
    assert checked.verified, str(checked)
    assert checked.verdict == verdict
