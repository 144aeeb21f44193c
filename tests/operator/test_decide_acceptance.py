"""What a run needs to be accepted, and what a scenario is told when the cluster cannot take it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sectum_operator.acceptance import accept
from sectum_operator.api import JOBS, RUNS, SCENARIOS
from sectum_operator.apply import Writer
from sectum_operator.decide import SCENARIO_PATIENCE, decide
from sectum_operator.observe import observe
from sectum_operator.readiness import stands
from sectum_operator.scenarios import Scenarios
from sectum_operator.stages import FINALIZER

from tests.operator import cluster, samples
from tests.operator.fake_api import START, Cluster, spelt, the_run, why, world
from tests.operator.test_operator_runs import begun

Change = Callable[[dict[str, Any]], Any]


def without(*path: str | int) -> Change:
    def change(found: Any) -> None:
        for part in path[:-1]:
            found = found[part]
        del found[path[-1]]

    return change


def setting(value: Any, *path: str | int) -> Change:
    def change(found: Any) -> None:
        for part in path[:-1]:
            found = found[part]
        found[path[-1]] = value

    return change


LOCAL_KEY = {"unsafeLocalKey": {"secretRef": {"name": "sectum-key-manifest", "key": "key"}}}
S3 = {"bucket": "evidence", "egress": [cluster.OUTSIDE]}
CASES: dict[str, tuple[Change, str, str]] = {
    "a local key": (setting(LOCAL_KEY, "spec", "manifest", "key"), "NotForCluster", "spec.manifest.key.unsafeLocalKey"),
    "a key somewhere": (
        without("spec", "manifest", "key", "awsKms", "egress"), "NotForCluster", "spec.manifest.key.awsKms.egress",
    ),
    "no store": (without("spec", "evidence", "store"), "NotForCluster", "spec.evidence.store"),
    "no records": (without("spec", "evidence", "records"), "NotForCluster", "spec.evidence.records"),
    "a folder": (
        setting({"local": {"folder": "/x"}}, "spec", "evidence", "store"), "ScenarioInvalid", "evidence.store",
    ),
    "a store somewhere": (without("spec", "evidence", "records", "s3", "egress"), "NotForCluster", "evidence.records"),
    "a store's Secret that probes may mount": (
        setting({"s3": {**S3, "secret": "sectum-store-records-b"}}, "spec", "evidence", "store"), "NotForCluster",
        "sectum-store-evidence-",
    ),
    "a records' Secret that probes may not mount": (
        setting({"s3": {**S3, "secret": "sectum-store-evidence-b"}}, "spec", "evidence", "records"), "NotForCluster",
        "sectum-store-records-",
    ),
    "a surface somewhere": (without("spec", "surfaces", 1, "egress"), "NotForCluster", "spec.surfaces[1].egress"),
    "a misspelt JSONPath": (
        setting("$[", "spec", "surfaces", 0, "adapter", "http", "list", "items"), "ScenarioInvalid",
        "adapter.http.list",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason", "named"), CASES.values(), ids=CASES)
def test_a_scenario_that_the_cluster_cannot_take_is_refused_with_the_field(
    change: Change, reason: str, named: str
) -> None:
    there = world()
    change(there.api.objects[SCENARIOS.plural, "minimal"])
    looked(there)
    run = the_run(there.api)
    assert why(run, "Accepted") == ("False", reason)
    assert why(run, "Complete") == ("True", reason)
    assert run
    assert run["status"]["phase"] == "Failed"
    assert named in run["status"]["conditions"][0]["message"]
    assert there.api.all(JOBS) == []
    scenario = there.api.objects[SCENARIOS.plural, "minimal"]
    asyncio.run(Scenarios(there.api, cluster.IMAGES, there.api.clock).look(cluster.NAMESPACE, "minimal"))
    assert why(scenario, "Ready") == ("False", reason)
    assert named in scenario["status"]["conditions"][0]["message"]


def writer(there: Cluster) -> Writer:
    return Writer(there.api, cluster.IMAGES, there.api.clock)


def looked(there: Cluster, times: int = 1) -> float | None:
    wake = None
    for _ in range(times):
        wake = asyncio.run(writer(there).run(cluster.NAMESPACE, cluster.RUN.name))
    return wake


def test_the_quickstart_is_fine_locally_and_refused_here() -> None:
    there = world()
    there.api.objects[SCENARIOS.plural, "minimal"]["spec"] = samples.quickstart()["spec"]
    looked(there)
    assert why(the_run(there.api), "Accepted") == ("False", "NotForCluster")


@pytest.mark.parametrize(
    ("subset", "named"),
    [({"surfaces": ["api", "serch"]}, "'search'"), ({"attacks": ["entity-bled"]}, "'entity-bleed'")],
)
def test_a_subset_of_what_the_scenario_has_not_is_refused_with_what_was_meant(
    subset: dict[str, Any], named: str
) -> None:
    there = world(cluster.run(subset=subset))
    looked(there)
    run = the_run(there.api)
    assert run
    assert why(run, "Accepted") == ("False", "SubsetUnknown")
    assert named in run["status"]["conditions"][0]["message"]


def test_only_the_subset_s_surfaces_get_jobs() -> None:
    there = world(cluster.run(subset={"surfaces": ["search"]}), surfaces=("api", "search"))
    there.surfaces = ("search",)
    for _ in range(40):
        looked(there)
        for job in there.jobs():
            there.advance(job)
    assert {work.surface for work in there.began} == {"", "search"}
    assert why(the_run(there.api), "Complete") == ("True", "Pass")


def test_a_scenario_may_come_two_minutes_after_its_run_and_no_later() -> None:
    there = world()
    scenario = there.api.objects.pop((SCENARIOS.plural, "minimal"))
    wake = looked(there)
    assert why(the_run(there.api), "Accepted") == ("Unknown", "ScenarioNotFound")
    assert wake
    assert wake <= 5
    there.api.objects[SCENARIOS.plural, "minimal"] = scenario
    looked(there)
    assert why(the_run(there.api), "Accepted") == ("True", "Accepted")

    late = world()
    del late.api.objects[SCENARIOS.plural, "minimal"]
    late.api.now += SCENARIO_PATIENCE
    looked(late)
    assert why(the_run(late.api), "Complete") == ("True", "ScenarioNotFound")


def test_suspended_or_cancelled_from_the_beginning_a_run_gets_no_jobs() -> None:
    suspended = world(cluster.run(suspend=True))
    assert looked(suspended, 3) is None
    assert why(the_run(suspended.api), "Accepted") == ("Unknown", "Suspended")
    cancelled = world(cluster.run(cancel=True))
    looked(cancelled, 3)
    assert why(the_run(cancelled.api), "Complete") == ("True", "Cancelled")
    assert suspended.api.all(JOBS) == cancelled.api.all(JOBS) == []


def other(there: Cluster, name: str, *, older: bool, **status: Any) -> None:
    made = cluster.run()
    made["metadata"] |= {"name": name, "uid": f"uid-{name}",
                         "creationTimestamp": spelt(START + timedelta(seconds=-5 if older else 5))}  # fmt: skip
    made["status"] = {"conditions": [
        {"type": kind, "status": value, "reason": "X", "lastTransitionTime": spelt(START)}
        for kind, value in status.items()
    ]}  # fmt: skip
    there.api.put(RUNS, made)


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize(
    ("status", "accepted"),
    [({"Accepted": "True"}, ("False", "ConcurrencyForbidden")),
     ({"Accepted": "True", "Complete": "True"}, ("True", "Accepted")),
     ({"Accepted": "False", "Complete": "True"}, ("True", "Accepted"))],
)  # fmt: skip
def test_a_scenario_has_one_active_run(status: dict[str, str], accepted: tuple[str, str], older: bool) -> None:
    there = world()
    other(there, "other", older=older, **status)
    looked(there, 3)
    assert why(the_run(there.api), "Accepted") == accepted
    if accepted[0] == "False":
        assert there.api.all(JOBS) == []


def test_of_two_that_are_not_decided_the_older_goes_first_and_is_not_waited_for_for_ever() -> None:
    there = world()
    other(there, "other", older=True)
    looked(there)
    assert why(the_run(there.api), "Accepted") == ("Unknown", "Waiting")
    there.api.now += timedelta(minutes=10)
    looked(there)
    assert why(the_run(there.api), "Accepted") == ("True", "Accepted")


def test_what_was_accepted_is_kept_with_the_run_and_later_changes_do_not_reach_it() -> None:
    there = world()
    looked(there)
    run = the_run(there.api)
    assert run
    kept = run["status"]["scenario"]
    assert (kept["uid"], kept["generation"]) == (cluster.SCENARIO_UID, 3)
    assert kept["snapshot"]["spec"]["manifest"]["key"]["awsKms"]["keyId"] == "alias/sectum"
    del there.api.objects[SCENARIOS.plural, "minimal"]
    looked(there)
    [job] = there.api.all(JOBS)
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][-2:] == ["--generation", "3"]


def test_a_snapshot_that_this_version_cannot_read_ends_the_run() -> None:
    there = world()
    looked(there)
    run = the_run(there.api)
    assert run
    run["status"]["scenario"]["snapshot"]["spec"]["surfaces"] = []
    looked(there)
    assert why(run, "Complete") == ("True", "SnapshotUnreadable")


def newer(run: dict[str, Any]) -> None:
    """As a version that knows more phases, outcomes and forms of reasons would have left it."""
    run["status"]["phase"] = "Levitating"
    run["status"]["conditions"].append(
        {"type": "Level", "status": "High", "reason": "no-camel", "lastTransitionTime": spelt(START)}
    )


SPOILS: list[Change] = [setting([], "status", "scenario", "snapshot", "spec", "surfaces"), newer]


@pytest.mark.parametrize("spoil", SPOILS, ids=["snapshot", "status"])
@pytest.mark.parametrize(
    ("stage", "end"), [("baseline", "ok"), ("plant", "hangs"), ("probe", "ok"), ("probe", "hangs"), ("clean", "ok")]
)
def test_a_run_that_cannot_be_read_ends_when_none_of_its_jobs_runs(stage: str, end: str, spoil: Change) -> None:
    there = world(ends={(stage, name): end for name in ("api", "search")})
    while not begun(there, stage):
        looked(there)
        for job in there.jobs():
            there.advance(job)
    run = the_run(there.api)
    assert run
    planted = FINALIZER in run["metadata"].get("finalizers", ())
    assert planted == (stage != "baseline")
    spoil(run)
    for _ in range(100):
        wake = looked(there)
        if why(run, "Complete") == ("True", "SnapshotUnreadable"):
            break
        assert (FINALIZER in run["metadata"].get("finalizers", ())) == planted, "while something runs"
        if not any([there.advance(job) for job in there.jobs()]):
            assert wake
            there.api.now += timedelta(seconds=wake)
    assert there.api.now - START < timedelta(minutes=2), "what probes is not waited for"
    assert there.jobs() == []
    assert run["metadata"].get("finalizers", []) == []
    assert ({work.surface for work in there.began if work.stage == "clean"} == {"api", "search"}) == (stage == "clean")
    told = next(each["message"] for each in run["status"]["conditions"] if each["type"] == "Complete")
    assert ("on api, search: clean it up by hand" in told) == planted


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_whose_status_cannot_be_read_holds_up_no_deleted_namespace(ended: bool) -> None:
    there = world()
    while not begun(there, "probe"):
        looked(there)
        for job in there.jobs():
            there.advance(job)
    run = the_run(there.api)
    assert run
    assert FINALIZER in run["metadata"]["finalizers"]
    newer(run)
    if ended:
        next(each for each in run["status"]["conditions"] if each["type"] == "Complete")["status"] = "True"
    else:
        there.api.terminating = there.api.rights_gone = True
    run["metadata"]["deletionTimestamp"] = spelt(there.api.now)
    looked(there)
    assert the_run(there.api) is None


def test_a_run_and_a_scenario_status_that_cannot_be_read_do_not_stop_the_scenario() -> None:
    def ended(name: str, at: int) -> dict[str, Any]:
        made = cluster.run()
        made["metadata"]["name"] = name
        made["status"] = {
            "startedAt": spelt(START), "finishedAt": spelt(START + timedelta(hours=at)), "verdict": "Pass",
            "conditions": [{"type": "Complete", "status": "True", "reason": "X", "lastTransitionTime": spelt(START)}],
        }  # fmt: skip
        return made

    first, other = ended("first", 1), ended("other", 2)
    newer(other)
    scenario = cluster.scenario()
    scenario["status"] = {"trend": "Sideways", "score": 71, "conditions": [{"type": "Level", "status": "High"}]}
    status = stands(scenario, accept(scenario), [other, first], now=START)
    assert status.last_run
    assert status.last_run.name == "first"
    assert [each.type for each in status.conditions] == ["Ready", "Passing"]
    scenario["status"]["score"] = 71
    assert stands(scenario, accept(scenario), [], now=START).score == 71


def test_deciding_changes_nothing_and_says_the_same_again() -> None:
    run, scenario = cluster.run(), cluster.scenario()
    seen = observe(run, scenario=scenario, jobs=(), pods=(), runs=(), now=START)
    assert decide(seen, START) == decide(seen, START)
    assert (run, scenario) == (cluster.run(), cluster.scenario())


def test_a_scenario_shows_the_newest_run_that_ended_though_it_was_deleted_since() -> None:
    def ended(name: str, at: timedelta, **status: Any) -> dict[str, Any]:
        made = cluster.run()
        made["metadata"]["name"] = name
        made["status"] = {
            "startedAt": spelt(START), "finishedAt": spelt(START + at), **status,
            "conditions": [{"type": "Complete", "status": "True", "reason": "X", "lastTransitionTime": spelt(START)}],
        }  # fmt: skip
        return made

    first, second = (
        ended("first", timedelta(hours=1), verdict="Pass"),
        ended("second", timedelta(hours=2), verdict="Leak"),
    )
    refused = ended("refused", timedelta(hours=3))
    del refused["status"]["startedAt"]
    scenario = cluster.scenario()
    status = stands(scenario, accept(scenario), [second, refused, first], now=START)
    assert status.last_run
    assert (status.last_run.name, status.last_run.verdict) == ("second", "Leak")
    scenario["status"] = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert stands(scenario, accept(scenario), [first], now=START) == status
