"""The operator against an API server in memory: runs from creation to end; the rows of the failure table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sectum_operator.api import EVENTS, JOBS, PACKS, POLICIES, RUNS, Denied, TryAgain
from sectum_operator.apply import Writer
from sectum_operator.children import pack_names
from sectum_operator.stages import FINALIZER, Stage, work_of

from tests.operator import cluster
from tests.operator.fake_api import Cluster, Killed, the_run, why, world

Watch = Callable[[Cluster], None]


async def drive(there: Cluster, *, watch: Watch = lambda _: None, rounds: int = 900) -> dict[str, Any] | None:
    """Let operator and cluster go on by turns until the run has ended and nothing is to be done; the run."""
    api = there.api
    writer = Writer(api, cluster.IMAGES, api.clock)
    for _ in range(rounds):
        try:
            wake = await writer.run(cluster.NAMESPACE, cluster.RUN.name)
        except Killed:
            api.kill_after, writer = None, Writer(api, cluster.IMAGES, api.clock)
            api.now += timedelta(seconds=5)
            continue
        watch(there)
        run = the_run(api)
        if run is None or ((why(run, "Complete") or ("", ""))[0] == "True" and FINALIZER not in finalizers(run)):
            return run
        moved = [there.advance(job) for job in there.jobs()]
        if not any(moved):
            assert wake is not None, f"stuck: {run['status']}"
            api.now += timedelta(seconds=max(wake, 1))
    raise AssertionError(f"no end: {the_run(api)}")


def finalizers(run: dict[str, Any]) -> list[str]:
    return list(run["metadata"].get("finalizers", ()))


def driven(there: Cluster, watch: Watch = lambda _: None) -> dict[str, Any]:
    run = asyncio.run(drive(there, watch=watch))
    assert run is not None
    return run


def works(there: Cluster) -> list[str]:
    return [str(work_of(each["metadata"]["labels"])) for each in there.api.all(JOBS)]


def surface(run: dict[str, Any], name: str) -> tuple[str, str | None]:
    [found] = [each for each in run["status"]["surfaces"] if each["name"] == name]
    return found.get("verdict"), found.get("reason")


def test_a_run_goes_through_its_stages_and_ends_with_a_pack() -> None:
    there = world()
    run = driven(there)
    assert works(there) == [
        "prepare", "open", "baseline api", "baseline search", "plant api", "plant search", "probe api", "probe search",
        "clean api", "clean search", "assemble",
    ]  # fmt: skip
    status = run["status"]
    assert (status["phase"], status["verdict"]) == ("Complete", "Pass")
    assert (status["score"], status["matrix"]["letters"]) == (7, "xPxxxxxxxxx/xPxxxxxxxxx")
    assert status["pack"] == {"name": "nightly-1", "uri": "s3://evidence/packs/1.zip", "sha256": "ab" * 32}
    assert {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]} == {
        "Accepted": ("True", "Accepted"), "Progressing": ("False", "Ended"), "Complete": ("True", "Pass"),
        "EvidenceStored": ("True", "Stored"), "CleanedUp": ("True", "Removed"),
    }  # fmt: skip
    assert [surface(run, name) for name in ("api", "search")] == [("Pass", None), ("Pass", None)]
    [pack] = there.api.all(PACKS)
    assert pack["spec"]["runRef"] == {"name": "nightly-1", "uid": cluster.RUN_UID}
    assert [each["status"] for each in pack["status"]["conditions"]] == ["True"] * 3
    assert len(there.api.all(POLICIES)) == 5
    assert finalizers(run) == []


def test_a_wave_begins_when_every_job_of_the_one_before_has_ended() -> None:
    there = world()

    def watch(there: Cluster) -> None:
        stages = [work_of(each["metadata"]["labels"]) for each in there.jobs()]
        assert len({work.stage for work in stages if work}) <= 1

    driven(there, watch)


def test_the_finalizer_stands_from_the_first_plant_to_the_end() -> None:
    there = world()

    def watch(there: Cluster) -> None:
        run = the_run(there.api)
        assert run is not None
        begun = {work.stage for each in there.api.all(JOBS) if (work := work_of(each["metadata"]["labels"]))}
        ended = (why(run, "Complete") or ("",))[0] == "True"
        assert (FINALIZER in finalizers(run)) is (Stage.PLANT in begun and not ended)

    driven(there, watch)


def test_events_are_posted_once_each() -> None:
    there = world()
    driven(there)
    reasons = [each["reason"] for each in sorted(there.api.all(EVENTS), key=lambda each: each["order"])]
    assert reasons == [
        "Accepted", "Preparing", "Opening", "Baseline", "Planting", "Probing", "Cleaning", "Removed", "Assembling",
        "Pass",
    ]  # fmt: skip


def test_after_the_end_nothing_is_written() -> None:
    there = world()
    driven(there)
    before = list(there.api.writes)
    asyncio.run(Writer(there.api, cluster.IMAGES, there.api.clock).run(cluster.NAMESPACE, cluster.RUN.name))
    assert there.api.writes == before


def test_between_two_changes_nothing_is_written() -> None:
    there = world()

    async def twice() -> None:
        writer = Writer(there.api, cluster.IMAGES, there.api.clock)
        for _ in range(4):
            await writer.run(cluster.NAMESPACE, cluster.RUN.name)
        before = list(there.api.writes)
        await writer.run(cluster.NAMESPACE, cluster.RUN.name)
        assert there.api.writes == before

    asyncio.run(twice())


# What ends how -> Complete's reason, reason of surface api, CleanedUp's reason, attempts of the stage. One row of
# ARCHITECTURE.md's table each.
SURFACE_ENDS = {
    "exit 75": "Temporary", "disrupted": "Disrupted", "exit 3": "ScenarioWrong", "exit 12": "NotVerified",
    "exit 1": "Crashed", "oom": "OOMKilled", "deadline": "DeadlineExceeded", "vanished": "Vanished",
    "secret": "SecretMissing", "image": "ImagePullFailed", "node": "Unschedulable", "quota": "PodNotCreated",
    "hangs": "DeadlineExceeded",
}  # fmt: skip
RETRIED = ("exit 75", "disrupted")


@pytest.mark.parametrize("stage", ["baseline", "plant", "probe"])
@pytest.mark.parametrize("end", SURFACE_ENDS)
def test_a_failure_of_one_surface_ends_that_surface_and_the_run_goes_on(stage: str, end: str) -> None:
    there = world(ends={(stage, "api"): end})
    run = driven(there)
    assert surface(run, "api") == ("Inconclusive", SURFACE_ENDS[end])
    assert surface(run, "search")[0] == "Pass"
    assert why(run, "Complete") == ("True", "Inconclusive")
    tries = [each for each in works(there) if each.startswith(f"{stage} api")]
    assert len(tries) == (3 if end in RETRIED else 1)
    cleans = [each for each in works(there) if each.startswith("clean api")]
    planted = {"baseline": 0, "plant": len(tries), "probe": 1}[stage]
    assert len(cleans) == planted, "as often as planting began"
    assert why(run, "CleanedUp") == ("True", "Removed")


@pytest.mark.parametrize("stage", ["baseline", "plant", "probe"])
@pytest.mark.parametrize("end", RETRIED)
def test_what_passes_is_tried_again_and_leaves_nothing_behind_on_the_surface(stage: str, end: str) -> None:
    there = world(ends={(stage, "api", 1): end, (stage, "api", 2): end})
    run = driven(there)
    assert why(run, "Complete") == ("True", "Pass")
    order = [each for each in works(there) if "api" in each and each.split()[0] in ("plant", "clean")]
    if stage == "plant":
        assert order == [
            "plant api", "clean api", "plant api (attempt 2)", "clean api (attempt 2)", "plant api (attempt 3)",
            "clean api (attempt 3)",
        ]  # fmt: skip


ALONE = {
    ("prepare", "exit 3"): "PrepareFailed", ("prepare", "exit 75"): "PrepareFailed",
    ("prepare", "oom"): "PrepareFailed",
    ("prepare", "secret"): "PrepareFailed", ("prepare", "quota"): "PrepareFailed", ("open", "exit 3"): "OpenFailed",
    ("open", "exit 12"): "OpenFailed", ("open", "exit 75"): "TimedOut", ("open", "secret"): "OpenFailed",
    ("assemble", "exit 1"): "AssembleFailed", ("assemble", "exit 12"): "AssembleFailed",
    ("assemble", "exit 75"): "AssembleFailed", ("assemble", "secret"): "AssembleFailed",
    ("assemble", "oom"): "AssembleFailed",
}  # fmt: skip


@pytest.mark.parametrize(("stage", "end"), ALONE)
def test_a_run_without_its_manifest_its_opening_or_its_pack_fails_with_the_reason(stage: str, end: str) -> None:
    there = world(ends={(stage, ""): end})
    run = driven(there)
    assert why(run, "Complete") == ("True", ALONE[stage, end])
    assert why(run, "EvidenceStored") == ("False", "NotOpened" if stage == "prepare" else "NoPack")
    assert run["status"]["phase"] == "Failed"
    assert "verdict" not in run["status"]
    assert there.api.all(PACKS) == []
    last = works(there)[-1].split()[0]
    assert last == stage, "nothing after it"
    waited = there.api.now - cluster_start()
    assert waited <= timedelta(hours=30)


def cluster_start() -> Any:
    return world().api.now


@pytest.mark.parametrize("stage", ["open", "assemble"])
def test_a_store_that_comes_back_within_a_day_is_waited_for(stage: str) -> None:
    there = world(ends={(stage, "", attempt): "exit 75" for attempt in range(1, 9)})
    run = driven(there)
    assert why(run, "Complete") == ("True", "Pass")


def test_a_result_that_was_lost_is_asked_for_again() -> None:
    there = world(messages={("assemble", ""): {"verified": False}})

    def watch(there: Cluster) -> None:
        if any("assemble (attempt 2)" in each for each in works(there)):
            there.messages.clear()

    assert why(driven(there, watch), "Complete") == ("True", "Pass")


@pytest.mark.parametrize("end", ["exit 1", "exit 75", "oom", "vanished", "secret"])
def test_cleaning_is_tried_four_times_and_then_the_pack_is_made_all_the_same(end: str) -> None:
    there = world(ends={("clean", "api"): end})
    run = driven(there)
    assert len([each for each in works(there) if each.startswith("clean api")]) == 4
    assert why(run, "CleanedUp") == ("False", "CleanFailed")
    assert why(run, "Complete") == ("True", "Pass")
    assert finalizers(run) == []


def test_what_cannot_be_removed_is_said() -> None:
    there = world(messages={("clean", "api"): {"notRemoved": 2}})
    assert why(driven(there), "CleanedUp") == ("False", "NotRemoved")


def test_a_surface_with_a_fault_before_planting_is_not_planted_in() -> None:
    there = world(messages={("baseline", "api"): {"fault": "NotEmpty"}})
    run = driven(there)
    assert surface(run, "api") == ("Inconclusive", "NotEmpty")
    assert not any(each in works(there) for each in ("plant api", "probe api", "clean api"))


def test_a_job_that_the_fence_denies_ends_its_surface() -> None:
    there = world()
    there.api.refuse = lambda kind, body: (
        kind == JOBS
        and "-probe-" in body["metadata"]["name"]
        and (body["metadata"]["labels"]["sectum.ai/surface"] == "api")
    )
    run = driven(there)
    assert surface(run, "api") == ("Inconclusive", "JobDenied")
    assert why(run, "Complete") == ("True", "Inconclusive")


@pytest.mark.parametrize(("kind", "ended"), [(POLICIES, "PrepareFailed"), (JOBS, "PrepareFailed")])
def test_a_run_of_which_everything_is_denied_ends(kind: Any, ended: str) -> None:
    there = world()
    there.api.refuse = lambda found, _body: found == kind
    assert why(driven(there), "Complete") == ("True", ended)


def test_each_network_policy_is_asked_for_once_and_again_where_somebody_deleted_it() -> None:
    there, asked, gone = world(), list[str](), list[str]()

    def refuse(kind: Any, body: Any) -> bool:
        asked.extend([body["metadata"]["name"]] if kind == POLICIES else [])
        return False

    def watch(there: Cluster) -> None:
        if begun(there, "open") and not gone:
            gone.append(there.api.all(POLICIES)[0]["metadata"]["name"])
            there.api.remove(POLICIES, gone[0])

    there.api.refuse = refuse
    assert why(driven(there, watch), "Complete") == ("True", "Pass")
    assert sorted(asked) == sorted([each["metadata"]["name"] for each in there.api.all(POLICIES)] + gone)


def test_a_network_policy_that_a_fence_would_refuse_by_now_stays_and_a_foreign_one_is_not_taken() -> None:
    there = world()
    there.api.refuse = lambda kind, _body: kind == POLICIES and begun(there, "prepare")
    assert why(driven(there), "Complete") == ("True", "Pass")

    other = world()
    [first, *_] = there.api.all(POLICIES)
    other.api.put(POLICIES, {"metadata": {"name": first["metadata"]["name"], "labels": first["metadata"]["labels"]}})
    run = driven(other)
    assert why(run, "Complete") == ("True", "PrepareFailed")
    assert "NameTaken" in run["status"]["conditions"][2]["message"]


@pytest.mark.parametrize("taken", [False, True])
def test_an_evidence_pack_that_is_refused_holds_nothing_up(*, taken: bool) -> None:
    there = world()
    if taken:
        other = {"runRef": {"name": "x", "uid": "another"}, "scenarioRef": {"name": "x"}}
        for name in pack_names(cluster.RUN):
            there.api.put(PACKS, {"metadata": {"name": name}, "spec": other})
    there.api.refuse = lambda kind, _body: kind == PACKS
    run = driven(there)
    assert why(run, "Complete") == ("True", "Pass")
    assert why(run, "EvidenceStored") == ("True", "Stored")
    told = next(each["message"] for each in run["status"]["conditions"] if each["type"] == "EvidenceStored")
    assert "there is no EvidencePack of it" in told
    assert run["status"]["pack"]["uri"] == "s3://evidence/packs/1.zip"
    assert finalizers(run) == []


@pytest.mark.parametrize("stage", ["clean", "assemble"])
def test_cleaning_and_assembling_that_are_denied_are_asked_for_again_and_the_run_says_so(stage: str) -> None:
    there = world()
    there.api.refuse = lambda kind, body: kind == JOBS and f"-{stage}" in body["metadata"]["name"]
    with pytest.raises(TryAgain):
        driven(there)
    run = the_run(there.api)
    assert run
    assert why(run, "Progressing") == ("True", "JobDenied")
    assert FINALIZER in finalizers(run)
    there.api.refuse = lambda _kind, _body: False
    assert why(driven(there), "Complete") == ("True", "Pass")


def test_a_job_of_that_name_which_is_not_ours_is_not_adopted() -> None:
    there = world()
    first = asyncio.run(names_of(there))
    other = world()
    other.api.put(JOBS, {"metadata": {"name": first, "labels": {}}, "spec": {}, "status": {"conditions": [
        {"type": "Complete", "status": "True"}]}})  # fmt: skip
    run = driven(other)
    assert why(run, "Complete") == ("True", "PrepareFailed")
    assert "NameTaken" in run["status"]["conditions"][2]["message"]


async def names_of(there: Cluster) -> str:
    writer = Writer(there.api, cluster.IMAGES, there.api.clock)
    for _ in range(2):
        await writer.run(cluster.NAMESPACE, cluster.RUN.name)
    [job] = there.api.all(JOBS)
    return str(job["metadata"]["name"])


def patched(there: Cluster, **spec: Any) -> None:
    run = the_run(there.api)
    assert run is not None
    run["spec"] |= spec
    there.api._touch(run)


def begun(there: Cluster, stage: str) -> bool:
    return any(each.startswith(stage) for each in works(there)) or any(work.stage == stage for work in there.began)


STOPS = ["prepare", "open", "baseline", "plant", "probe", "clean", "assemble"]


@pytest.mark.parametrize("stage", STOPS)
def test_cancelled_a_run_stops_probing_cleans_up_and_is_assembled(stage: str) -> None:
    there = world()

    def watch(there: Cluster) -> None:
        if begun(there, stage):
            patched(there, cancel=True)

    run = driven(there, watch)
    check_stopped(there, run, stage, "Cancelled")


@pytest.mark.parametrize("stage", ["baseline", "plant", "probe"])
def test_after_its_timeout_a_run_does_the_same(stage: str) -> None:
    there = world(cluster.run(timeout="10m"), ends={(stage, "api"): "hangs"})
    check_stopped(there, driven(there), stage, "TimedOut")


def check_stopped(there: Cluster, run: dict[str, Any], stage: str, reason: str) -> None:
    opened, planted = stage != "prepare", stage in ("plant", "probe", "clean", "assemble")
    if not opened:
        assert why(run, "Complete") == ("True", reason)
        assert works(there) == []
        return
    whole = stage in ("clean", "assemble")
    assert why(run, "Complete") == ("True", "Pass" if whole else "Inconclusive")
    assert why(run, "EvidenceStored") == ("True", "Stored")
    assert sum(each.startswith("assemble") for each in works(there)) == 1
    assert any(each.startswith("clean api") for each in works(there)) is planted
    assert finalizers(run) == []
    if not whole:
        assert surface(run, "api") == ("Inconclusive", reason)


@pytest.mark.parametrize("stage", STOPS)
@pytest.mark.parametrize("end", ["ok", "exit 1", "hangs"])
def test_deleted_a_run_is_held_up_for_cleaning_and_no_longer(stage: str, end: str) -> None:
    there = world(ends={("clean", "api"): end})
    when: list[Any] = []

    def watch(there: Cluster) -> None:
        if begun(there, stage) and not when:
            when.append(there.api.now)
            there.api.remove(RUNS, cluster.RUN.name)

    run = asyncio.run(drive(there, watch=watch))
    if when:
        assert run is None
        assert there.api.now - when[0] <= timedelta(minutes=31)
    cleaned = {work.surface for work in there.began if work.stage == "clean"}
    assert cleaned == ({"api", "search"} if stage in ("plant", "probe", "clean", "assemble") else set())


@pytest.mark.parametrize("rights_gone", [True, False])
@pytest.mark.parametrize("stage", ["plant", "probe", "clean"])
def test_in_a_namespace_that_is_deleted_a_run_is_let_go_at_the_next_look(stage: str, *, rights_gone: bool) -> None:
    there = world(ends={("clean", "api"): "hangs"})
    went: list[str] = []

    def watch(there: Cluster) -> None:
        if begun(there, stage) and not went:
            there.api.terminating, there.api.rights_gone = True, rights_gone
            there.api.remove(RUNS, cluster.RUN.name)
            went.extend(there.api.writes)
            assert FINALIZER in finalizers(the_run(there.api) or {"metadata": {}}), "or nothing was to be let go"

    start = there.api.now
    assert asyncio.run(drive(there, watch=watch)) is None
    assert there.api.now - start < timedelta(minutes=2)
    assert there.api.writes[len(went) :] == [f"replace verificationruns {cluster.RUN.name} /metadata/finalizers"]


def test_a_deleted_run_without_rights_on_anything_else_is_kept_while_its_namespace_stays() -> None:
    there = world()
    there.api.put(RUNS, {**cluster.run(), "metadata": {**cluster.run()["metadata"], "finalizers": [FINALIZER]}})
    there.api.remove(RUNS, cluster.RUN.name)
    there.api.rights_gone = True
    with pytest.raises(Denied):
        asyncio.run(Writer(there.api, cluster.IMAGES, there.api.clock).run(cluster.NAMESPACE, cluster.RUN.name))
    assert finalizers(the_run(there.api) or {}) == [FINALIZER]


@pytest.mark.parametrize("planted", [True, False])
@pytest.mark.parametrize("end", ["ok", "exit 75", "exit 1", "hangs"])
def test_deleted_while_it_is_assembled_a_run_still_gets_its_evidence_pack(end: str, *, planted: bool) -> None:
    faults = {} if planted else {("baseline", name): {"fault": "NotEmpty"} for name in ("api", "search")}
    ends = {("assemble", ""): end} if end == "hangs" else {("assemble", "", 1): end}
    there = world(ends=ends, messages=faults)
    when: list[Any] = []

    def watch(there: Cluster) -> None:
        if any(work.stage == Stage.ASSEMBLE for work in there.began) and not when:
            when.append(there.api.now)
            there.api.remove(RUNS, cluster.RUN.name)

    assert asyncio.run(drive(there, watch=watch)) is None
    assert there.api.now - when[0] <= timedelta(minutes=31)
    assert len(there.api.all(PACKS)) == (end in ("ok", "exit 75"))
    assert any(work.stage == Stage.PLANT for work in there.began) is planted


def test_deleted_before_assemble_has_begun_a_run_gets_no_pack() -> None:
    there = world()

    def watch(there: Cluster) -> None:
        if begun(there, "clean") and the_run(there.api) and not begun(there, "assemble"):
            there.api.remove(RUNS, cluster.RUN.name)

    assert asyncio.run(drive(there, watch=watch)) is None
    assert not begun(there, "assemble")


def test_an_evidence_pack_that_was_stored_is_named_however_late_the_operator_comes_back() -> None:
    there = world()
    until_assembled(there)
    there.api.remove(RUNS, cluster.RUN.name)
    there.api.now += timedelta(days=2)
    assert asyncio.run(drive(there)) is None
    assert len(there.api.all(PACKS)) == 1


def until_assembled(there: Cluster) -> None:
    """The Job of assemble has ended, and the operator does not know it yet."""
    writer = Writer(there.api, cluster.IMAGES, there.api.clock)
    while ("assemble", "") not in there.did:
        asyncio.run(writer.run(cluster.NAMESPACE, cluster.RUN.name))
        for job in there.jobs():
            there.advance(job)


def test_in_a_namespace_that_is_deleted_before_the_run_is_nothing_is_held_up() -> None:
    there = world()

    def watch(there: Cluster) -> None:
        if begun(there, "probe") and not there.api.terminating:
            there.api.terminating = True
            for job in there.api.all(JOBS):
                job["metadata"]["finalizers"] = []
                there.api.remove(JOBS, job["metadata"]["name"])
            there.api.remove(RUNS, cluster.RUN.name)

    start = there.api.now
    assert asyncio.run(drive(there, watch=watch)) is None
    assert there.api.now - start < timedelta(minutes=2)


def test_suspended_a_run_starts_nothing_and_its_timeout_goes_on() -> None:
    there = world(cluster.run(timeout="10m"))

    def watch(there: Cluster) -> None:
        if begun(there, "plant"):
            patched(there, suspend=True)

    run = driven(there, watch)
    assert not begun(there, "probe")
    assert surface(run, "api") == ("Inconclusive", "TimedOut")
    assert why(run, "CleanedUp") == ("True", "Removed")


@pytest.mark.parametrize("stage", ["prepare", "open", "baseline", "plant", "probe", "clean"])
def test_jobs_that_somebody_deletes_never_make_a_pass_and_the_run_ends(stage: str) -> None:
    there = world()
    hit: list[str] = []

    def watch(there: Cluster) -> None:
        for job in there.api.all(JOBS):
            work = work_of(job["metadata"]["labels"])
            if work and work.stage == stage and work in there.began and not hit:
                hit.append(job["metadata"]["name"])
                there.ends[stage, work.surface, 1] = "vanished"
                there.api.remove(JOBS, job["metadata"]["name"])

    driven(there, watch)
    assert hit


def test_all_jobs_deleted_while_probing_what_was_planted_is_cleaned_up() -> None:
    there = world()
    hit: list[str] = []

    def watch(there: Cluster) -> None:
        if begun(there, "probe") and not hit:
            for job in there.api.all(JOBS):
                hit.append(job["metadata"]["name"])
                there.api.remove(JOBS, job["metadata"]["name"])

    run = driven(there, watch)
    assert {work.surface for work in there.began if work.stage == "clean"} == {"api", "search"}
    assert [work.stage for work in there.began].count(Stage.PREPARE) == 1, "nothing is begun again"
    assert why(run, "CleanedUp") == ("True", "Removed")
    assert len(there.api.all(PACKS)) == 1


def test_killed_after_any_write_the_end_is_the_same() -> None:
    whole = world()
    wanted = outcome(whole, driven(whole))
    for number in range(1, len(whole.api.writes) + 1):
        there = world()
        there.api.kill_after = number
        assert outcome(there, driven(there)) == wanted, f"killed after {whole.api.writes[number - 1]}"


def test_killed_after_any_write_of_a_cancelled_run_the_end_is_the_same() -> None:
    def watch(there: Cluster) -> None:
        if begun(there, "probe"):
            patched(there, cancel=True)

    whole = world()
    wanted = outcome(whole, driven(whole, watch))
    for number in range(1, len(whole.api.writes) + 1):
        there = world()
        there.api.kill_after = number
        assert outcome(there, driven(there, watch)) == wanted, f"killed after {whole.api.writes[number - 1]}"


def outcome(there: Cluster, run: dict[str, Any]) -> Any:
    """All that may not depend on when the operator was killed."""
    status = {key: value for key, value in run["status"].items() if key not in ("startedAt", "finishedAt")}
    status["conditions"] = [
        {key: value for key, value in each.items() if key != "lastTransitionTime"} for each in status["conditions"]
    ]
    events = sorted((each["reason"], each["note"]) for each in there.api.all(EVENTS))
    return status, sorted(works(there)), sorted(map(str, there.began)), len(there.api.all(PACKS)), events


@pytest.mark.parametrize(
    ("letter", "worst", "shown"),
    [("L", "1.0.2.", ("Leak", None)), ("I", "1.0.2.RecordsBroken", ("Inconclusive", "RecordsBroken"))],
)
def test_at_the_end_a_surface_is_shown_as_the_pack_says(letter: str, worst: str, shown: tuple[str, str | None]) -> None:
    """A probe that was lost may have seen a leak; one that saw none may have been taken records away from."""
    there = world()
    told = {"verdict": "Leak" if letter == "L" else "Inconclusive", "worst": [worst]}
    there.messages[Stage.ASSEMBLE, ""] = {**told, "matrix": f"x{letter}xxxxxxxxx/xPxxxxxxxxx"}
    run = driven(there)
    assert [surface(run, name) for name in ("api", "search")] == [shown, ("Pass", None)]
