"""What a stage takes over from records of others: what was spent, found and planted, and which attempt came before."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sectum.actions import Action, Principal, Recall, Reply, Sink, Verb, Write
from sectum.codec import sha256
from sectum.job import Job
from sectum.pipeline import unsealed
from sectum.records import RecordKind, Stage
from sectum.resume import receipts, resume
from sectum.run import read_run
from sectum.testing import Audience, ManualClock, MemorySurface, memory_scenario, memory_secrets

from tests import pods
from tests.pods import Pods

VERBS = frozenset({Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.LIST, Verb.DELETE})
FEW = {"acme": ("ann",), "globex": ("cat",)}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Pods]:
    with pods.pods(scenario(MemorySurface(verbs=VERBS)), memory_secrets(), tmp_path) as made:
        yield made


def scenario(surface: MemorySurface, **fields: Any) -> Any:
    return memory_scenario(surface, tenants=FEW, surface_fields=fields, evidence=dict(pods.EVIDENCE))


def job(run: Pods, attempt: int = 1) -> Job:
    """As a pod has it before it takes over anything."""
    sealed = (run.mounts / "manifest" / "sealed.json").read_bytes()
    about = read_run(sealed, store=run.work, work=run.work, origin="cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sectum.pipeline.open_clock", lambda: ManualClock().clock)
        made = unsealed(about, secret=run.secret, observe=lambda _step: None, surfaces=("memory",))
    made.attempt = attempt
    return made


def resumed(run: Pods, stage: Stage, attempt: int = 1) -> Job:
    made = job(run, attempt)
    asyncio.run(resume(made, stage, "memory"))
    return made


def test_the_first_stage_takes_over_nothing(run: Pods) -> None:
    made = resumed(run, Stage.BASELINE)
    found = made.found["memory"]
    assert (made.before, made.chains, found.fault, found.spent.requests, found.baseline) == ({}, {}, None, 0, ())


def test_what_was_spent_counts_towards_the_budget_of_those_that_follow(run: Pods) -> None:
    run.play("open")
    run.wave("baseline")
    run.wave("plant")
    done = [*run.recorded("baseline", "memory"), *run.recorded("plant", "memory")]
    results = [each.body for each in done if each.kind == RecordKind.RESULT]
    found = resumed(run, Stage.PROBE).found["memory"]
    assert found.spent.requests == sum(each["requests"] for each in results) > 0
    assert found.spent.writes == 6
    assert found.fault is None


def test_a_budget_that_planting_spent_leaves_none_for_probing(tmp_path: Path) -> None:
    surface = MemorySurface(verbs=VERBS)
    with pods.pods(scenario(surface, budget={"requests": 40}), memory_secrets(), tmp_path) as run:
        told = run.whole()
    assert told["surfaces"][0]["fault"] == "Budget"
    assert told["verdict"] == "Inconclusive"
    assert surface.documents == {}
    probing = sum(each.body["requests"] for each in run.recorded("probe", "memory") if each.kind == RecordKind.RESULT)
    assert 0 < probing < 40


@pytest.mark.parametrize(("stage", "needs"), [(Stage.PLANT, ["baseline"]), (Stage.PROBE, ["baseline", "plant"])])
def test_without_the_stages_before_nothing_is_done_and_cleaning_all_the_same(
    run: Pods, stage: Stage, needs: list[str]
) -> None:
    run.play("open")
    for each in needs:
        assert resumed(run, stage).found["memory"].fault == "Unfinished"
        run.wave(each)
    assert resumed(run, stage).found["memory"].fault is None
    assert resumed(run, Stage.CLEAN).found["memory"].fault is None


def test_an_attempt_names_the_last_record_of_every_stage_whatever_its_number(run: Pods) -> None:
    run.play("open")
    run.wave("baseline", attempt=2)
    [last] = [name for name, data in run.work.objects.items() if pods.payload(data)["kind"] == "result"]
    assert resumed(run, Stage.PLANT, attempt=5).before == {(Stage.BASELINE, "memory"): last.rsplit("/", 1)[1]}
    run.wave("plant", attempt=5)
    [start, result] = run.recorded("plant", "memory")
    nothing = dict.fromkeys(map(str, Stage))
    assert (start.attempt, start.body["after"]) == (5, nothing | {"baseline": last.rsplit("/", 1)[1]})
    run.wave("probe")
    run.wave("clean")
    after = run.recorded("clean", "memory")[0].body["after"]
    stored = {sha256(data): pods.payload(data) for data in run.work.objects.values() if pods.is_record(data)}
    named = {stage: stored[digest] for stage, digest in after.items() if digest}
    assert {stage: (each["stage"], each["kind"]) for stage, each in named.items()} == {
        stage: (stage, "result") for stage in ("baseline", "plant", "probe")
    }
    assert named["plant"]["previous"] == result.previous


@pytest.mark.parametrize("stage", ["baseline", "plant", "probe"])
def test_what_had_come_to_its_end_is_not_done_again(run: Pods, stage: str) -> None:
    """Its exit got lost; one more attempt could be taken away, and this one would stand."""
    run.play("open")
    for each in ("baseline", "plant", "probe"):
        run.wave(each)
        if each == stage:
            break
    first, before = run.ended[-1][1], dict(run.work.objects)
    assert run.play(stage, "memory", attempt=2).message == first.message
    assert run.work.objects == before
    assert run.play(stage, "memory").message == first.message, "started again under its own number"
    assert run.work.objects == before


def test_of_several_attempts_at_planting_the_later_location_counts_and_none_is_forgotten(run: Pods) -> None:
    """Numbers of attempts are numbers: the tenth comes after the second."""
    made = job(run)
    marker = made.markers_of("memory")[0].id
    for attempt in (2, 10):
        name = f"{made.sealed_under('memory', attempt)}receipt-{attempt}"
        sealed = made.sealer("memory", attempt).seal([marker, f"place-{attempt}"])
        asyncio.run(run.work.create(name, sealed))
    found = asyncio.run(receipts(made, "memory"))
    assert (found.locations, found.earlier) == ({marker: "place-10"}, {(marker, "place-2")})
    found = asyncio.run(receipts(made, "memory", after=2))
    assert (found.locations, found.earlier) == ({marker: "place-10"}, set())
    found = asyncio.run(receipts(made, "memory", after=10))
    assert (found.began, found.newest) == (False, 10)


UNLISTED = VERBS - {Verb.LIST}


def planted_twice(tmp_path: Path, surface: MemorySurface, between: Callable[[Pods], None]) -> tuple[Pods, Any]:
    """A run whose first planting is stopped, and what its pack says; `between` is what happens before the second."""
    with pods.pods(scenario(surface), memory_secrets(), tmp_path) as run:
        run.play("open")
        run.wave("baseline")
        run.wave("plant")
        taken = [name for name in run.work.objects if "/plant/" in name and is_result(run.work.objects[name])]
        del run.work.objects[taken[0]]  # the same as if it had been lost
        between(run)
        run.play("plant", "memory", attempt=2)
        run.wave("probe")
        surface.keeps_deleted = False
        run.wave("clean", attempt=9)
        return run, run.assembled()


def is_result(data: bytes) -> bool:
    return pods.is_record(data) and pods.payload(data)["kind"] == "result"


def not_cleaned(_run: Pods) -> None:
    """The second attempt follows at once."""


def cleaned(run: Pods) -> None:
    run.wave("clean")


def cleaned_and_lost(run: Pods) -> None:
    run.wave("clean")
    taken = [name for name in run.work.objects if "/clean/" in name and is_result(run.work.objects[name])]
    del run.work.objects[taken[0]]


@pytest.mark.parametrize(("between", "keeps"), [(not_cleaned, False), (cleaned_and_lost, False), (cleaned, True)])
def test_where_documents_may_be_left_nothing_is_planted_again_and_the_last_cleaning_knows_them(
    between: Callable[[Pods], None], keeps: bool, tmp_path: Path
) -> None:
    surface = MemorySurface(verbs=UNLISTED, keeps_deleted=keeps)
    run, told = planted_twice(tmp_path, surface, between)
    assert len([action for _, action in surface.received if isinstance(action, Write)]) == 6
    assert run.recorded("plant", "memory")[-1].body["fault"] == "NotEmpty"
    assert {(row["outcome"], row["fault"]) for row in told["rows"]} == {("Inconclusive", "NotEmpty")}
    assert surface.documents == {}
    assert run.recorded("clean", "memory")[-2].body["documents"] == 6


def test_where_cleaning_left_nothing_it_is_planted_again_and_the_first_places_are_left_alone(tmp_path: Path) -> None:
    """Nothing that was removed already counts as not removed because nothing lists."""
    surface = MemorySurface(verbs=UNLISTED)
    run, told = planted_twice(tmp_path, surface, cleaned)
    part = told["surfaces"][0]
    assert told["verdict"] == "Pass"
    assert (part["planted"], part["removed"], part["notRemoved"]) == (6, 12, 0)
    assert surface.documents == {}
    assert run.recorded("clean", "memory")[-2].body["documents"] == 6


def test_what_was_planted_twice_in_spite_of_all_is_removed_twice(tmp_path: Path) -> None:
    """Where the first planting's records were taken away, its receipts still tell."""
    surface = MemorySurface(verbs=UNLISTED)

    def forget(run: Pods) -> None:
        for name in [name for name in run.work.objects if "/plant/" in name]:
            del run.work.objects[name]

    run, _ = planted_twice(tmp_path, surface, forget)
    assert run.recorded("clean", "memory")[-1].body["removed"] == 12
    assert surface.documents == {}


def test_what_is_being_cleaned_up_is_not_probed_any_more(run: Pods) -> None:
    run.play("open")
    for stage in ("baseline", "plant", "clean"):
        run.wave(stage)
    assert resumed(run, Stage.PROBE).found["memory"].fault == "Unfinished"


def test_what_waits_for_a_surface_to_settle_waits_in_another_process_too(tmp_path: Path) -> None:
    """What shows only after a while would be missed otherwise, and pass."""
    verbs = VERBS | {Verb.RECALL}
    time = ManualClock()

    class Slow(MemorySurface):
        async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
            settled = time.seconds >= 30
            self.leaky_recall = Audience.EVERYBODY if settled and isinstance(action, Recall) else Audience.OWNER
            return await super().answer(asker, action, sink)

    fields = {"attacks": ["memory-contamination"], "settleSeconds": 30}
    slow = scenario(Slow(verbs=verbs), **fields)
    with pytest.MonkeyPatch.context() as patch, pods.pods(slow, memory_secrets(), tmp_path) as run:
        patch.setattr("sectum.pipeline.open_clock", lambda: time.clock)
        told = run.whole()
    leaking = {row["phrasing"] for row in told["rows"] if row["outcome"] == "Leak"}
    assert leaking == {row["phrasing"] for row in told["rows"] if row["phrasing"].endswith("-later")} != set()
