"""Stages in processes of their own come to what one process comes to, whatever is lost; and what each says last."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sectum import pod, sweep
from sectum.actions import Action, Delete, Principal, Reply, Sink, Verb
from sectum.assembly import Ended
from sectum.codec import canonical, sha256
from sectum.container import to_zip
from sectum.coverage import brief
from sectum.errors import KeyUnavailable, StoreFault
from sectum.gate import Clock
from sectum.records import RecordKind
from sectum.scenario import parse
from sectum.score import score
from sectum.testing import Audience, MemoryStore, MemorySurface, memory_scenario, memory_secrets, try_out

from tests import notes_app, pods
from tests.pods import Pods

FEW = {"acme": ("ann", "ben"), "globex": ("cat",)}
SEARCHED = frozenset({Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.LIST, Verb.SEARCH, Verb.DELETE})
ASKED = {"attacks": ["boundary-fetch", "corpus-poisoning"], "budget": {"requests": 3000}}
CONSENT = ["read", "write-own", "visible-to-others"]


SERIES = "series/None/in-memory/"
"""The scenario of these tests is of no namespace."""


class Killed(BaseException):
    """The process is gone."""


class Surface(MemorySurface):
    """A surface to whose requests something may happen."""

    before: Callable[[Principal, Action], None] = staticmethod(lambda _asker, _action: None)

    async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
        self.before(asker, action)
        await asyncio.sleep(0)  # a signal is heard between two requests
        return await super().answer(asker, action, sink)


def surface(**knobs: Any) -> Surface:
    return Surface(**{"verbs": SEARCHED, **knobs})


@contextmanager
def prepared(folder: Path, surfaces: Surface | dict[str, Surface], **fields: Any) -> Iterator[Pods]:
    scenario = memory_scenario(
        surfaces,
        tenants=FEW,
        surface_fields={**ASKED, **fields},
        evidence=dict(pods.EVIDENCE),
        allowImpact=CONSENT,
    )
    with pods.pods(scenario, memory_secrets(), folder) as run:
        yield run


def whole(surfaces: Surface | dict[str, Surface]) -> Ended:
    scenario = memory_scenario(surfaces, tenants=FEW, surface_fields=ASKED, allowImpact=CONSENT)
    return asyncio.run(try_out(scenario))


def by_slot(run: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {row["slot"]: (row["outcome"], row["reason"]) for row in run["rows"]}


def reasons(run: dict[str, Any], name: str = "memory") -> set[str | None]:
    return {row["reason"] for row in run["rows"] if row["surface"] == name}


# --- the same as in one process ---------------------------------------------------------------------------------------

KNOBS: dict[str, dict[str, Any]] = {
    "isolated": {},
    "leaky": {"leaky_fetch": Audience.EVERYBODY, "leaky_search": Audience.TENANT},
    "forgetful": {"forgets_writes": True},
    "unreachable": {"unreachable": True},
    "lying": {"lies_about_identity": True},
    "not empty": {"extra_items": ("of a stranger",)},
    "keeping": {"keeps_deleted": True},
}


@pytest.mark.parametrize("knobs", KNOBS)
def test_stage_by_stage_comes_to_what_one_process_comes_to(knobs: str, tmp_path: Path) -> None:
    with prepared(tmp_path, surface(**KNOBS[knobs])) as run:
        apart = run.whole()
    together = whole(surface(**KNOBS[knobs])).run
    assert by_slot(apart) == by_slot(together)
    assert apart["verdict"] == together["verdict"]
    named = ("surface", "attack", "asker", "owner", "marker")
    assert [[each[name] for name in named] for each in apart["findings"]] == unordered(
        [[each[name] for name in named] for each in together["findings"]],
        like=[[each[name] for name in named] for each in apart["findings"]],
    )
    for name in ("fault", "planted", "removed", "notRemoved", "writes"):
        assert [each[name] for each in apart["surfaces"]] == [each[name] for each in together["surfaces"]], name
    assert (apart["origin"], together["origin"]) == ("cluster", "local")
    assert [each["boundary"] for each in apart["surfaces"]] == ["enforced"]


def unordered(values: list[Any], *, like: list[Any]) -> list[Any]:
    """The values, in the order of others where they are the same ones: which is seen first is chance."""
    return like if sorted(map(str, values)) == sorted(map(str, like)) else values


@pytest.mark.parametrize("leaky", [False, True], ids=["isolated", "leaky"])
def test_a_server_over_http_stage_by_stage_comes_to_what_one_process_comes_to(leaky: bool, tmp_path: Path) -> None:
    made = memory_secrets()
    with notes_app.running_notes_app(leaky=leaky) as notes:

        def secret(name: str, key: str) -> bytes:
            token = notes.tokens.get(tuple(key.split("."))) if name.startswith("sectum-surface-") else None  # type: ignore[arg-type]
            return token.encode() if token is not None else made(name, key)

        scenario = parse(notes_app.notes_scenario(notes.url, surfaces=("api", "cache"), evidence=dict(pods.EVIDENCE)))
        with pods.pods(scenario, secret, tmp_path, parsed=True) as run:
            apart = run.whole()
        assert notes.documents == {}
        notes.cache.clear()
        together = asyncio.run(try_out(scenario, secret=secret, clock=open_clock_of_a_loop())).run
    assert by_slot(apart) == by_slot(together)
    assert apart["verdict"] == together["verdict"] == ("Leak" if leaky else "Pass")


def open_clock_of_a_loop() -> Clock:
    """The real one: a server takes real time."""
    return Clock(now=time.monotonic, busy=time.thread_time, sleep=asyncio.sleep)


def test_surfaces_that_share_a_store_are_seen_to_across_processes(tmp_path: Path) -> None:
    front, back = surface(), surface(leaky_list=Audience.EVERYBODY)
    back.documents, back._numbers = front.documents, front._numbers
    with prepared(tmp_path, {"front": front, "back": back}) as run:
        apart = run.whole()
    seen = {(each["surface"], each["marker"].split("/")[0]) for each in apart["findings"]}
    assert seen == {("back", "front"), ("back", "back")}
    assert front.documents == {}


def test_a_stage_says_what_it_did(tmp_path: Path) -> None:
    with prepared(tmp_path, surface(leaky_fetch=Audience.EVERYBODY)) as run:
        told = run.whole()
    said = {stage: {"surface": None, **each.message} for stage, each in run.ended}
    counts = {"planned": len(told["rows"])} | {
        name: sum(row["outcome"] == name.capitalize() for row in told["rows"])
        for name in ("leak", "pass", "inconclusive")
    }
    assert said["open"].items() >= {"stage": "open", "ok": True, "sequence": 1}.items()
    assert said["baseline"].items() >= {"stage": "baseline", "ok": True, "fault": None}.items()
    assert said["plant"].items() >= {"planted": 9, "markers": 9, "fault": None}.items()
    assert said["probe"].items() >= {"verdict": "Leak", "counts": counts, "fault": None}.items()
    assert said["clean"].items() >= {"removed": 9, "notRemoved": 0}.items()
    assert said["assemble"]["run"] == sha256(canonical(told))
    assert said["assemble"].items() >= {"verdict": "Leak", "counts": counts, "verified": True, "sequence": 1}.items()
    assert said["assemble"]["score"] == score(told) < 100
    assert said["assemble"].items() >= brief(told).items()
    assert said["assemble"]["uri"] == f"s3://evidence/packs/{run.run}.zip"


def test_nothing_that_a_pod_says_or_stores_has_a_marker_or_a_credential_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with prepared(tmp_path, surface(leaky_fetch=Audience.EVERYBODY)) as run:
        run.whole()
        stored = {**run.packs.objects, **run.work.objects}
        kept = "".join(name + repr(data) for name, data in stored.items())
        kept += "".join(str(pods.payload(data)) for data in run.work.objects.values() if pods.is_record(data))
        kept += "".join(each.said for _, each in run.ended) + "".join(capsys.readouterr())
        names = [f"{who.tenant}.{who.user}" for who in run.scenario.principals]
        hidden = {run.secret("sectum-surface-memory-tokens", name).decode() for name in names}
    hidden |= {each.plaintext for each in (*run.manifest.markers, *run.manifest.decoys)}
    assert [each for each in hidden if each in kept] == []
    assert run.manifest.markers[0].id in kept
    assert all(len(each.said.encode()) < 1024 and each.said.count("\n") == 0 for _, each in run.ended)


def test_every_record_names_pod_and_image(tmp_path: Path) -> None:
    with prepared(tmp_path, surface()) as run:
        run.whole()
        found = [each for stage in pods.SURFACE_STAGES for each in run.recorded(stage, "memory")]
    assert {each.image for each in found} == {"registry.test/sectum-probes@sha256:" + "0" * 64}
    assert None not in {each.pod for each in found}


# --- stages that were lost --------------------------------------------------------------------------------------------


@contextmanager
def killed(run: Pods, one: Surface, when: Callable[[dict[str, Any]], bool], *, before: bool = False) -> Iterator[None]:
    """From the storing of the record on for which `when` holds, nothing has an effect any more."""
    create, asked = run.work.create, one.before
    dead = False

    def gone(_asker: Principal, _action: Action) -> None:
        raise Killed

    async def store(name: str, data: bytes) -> str:
        nonlocal dead
        now = dead or (pods.is_record(data) and when(pods.payload(data)))
        if now and (dead or before):
            dead, one.before = True, gone
            raise Killed
        digest = await create(name, data)
        if now:
            dead, one.before = True, gone
            raise Killed
        return digest

    run.work.create = store  # type: ignore[method-assign]
    with pytest.raises(Killed):
        yield
    run.work.create = create  # type: ignore[method-assign]
    one.before = asked


def lose(run: Pods, one: Surface, stage: str, *, at: str, before: bool = False) -> None:
    """Play a stage that is killed when it has stored a record of kind `at`, or just before."""
    with killed(run, one, lambda record: (record["stage"], record["kind"]) == (stage, at), before=before):
        run.play(stage, "memory")


def test_a_probe_that_is_killed_after_its_leak_record_is_a_leak(tmp_path: Path) -> None:
    leaky = surface(leaky_fetch=Audience.EVERYBODY)
    with prepared(tmp_path, leaky) as run:
        run.play("open")
        run.wave("baseline")
        run.wave("plant")
        lose(run, leaky, "probe", at="leak")
        run.wave("clean")
        told = run.assembled()
        [leak] = [each for each in run.recorded("probe", "memory") if each.kind == RecordKind.LEAK]
    assert told["verdict"] == "Leak"
    assert by_slot(told)[leak.body["slot"]] == ("Leak", None)
    assert {row["outcome"] for row in told["rows"]} == {"Leak", "Inconclusive"}
    assert reasons(told) == {None, "Unfinished"}
    assert told["surfaces"][0]["fault"] == "Unfinished"
    assert leaky.documents == {}


def test_after_a_probe_that_was_lost_another_may_find_more_and_nothing_is_clean(tmp_path: Path) -> None:
    leaky = surface(leaky_fetch=Audience.EVERYBODY)
    with prepared(tmp_path, leaky) as run:
        run.play("open")
        run.wave("baseline")
        run.wave("plant")
        lose(run, leaky, "probe", at="leak")
        leaky.leaky_fetch = Audience.OWNER  # by chance it does not show again
        run.wave("probe", attempt=2)
        run.wave("clean")
        told = run.assembled()
    outcomes = [outcome for outcome, _ in by_slot(told).values()]
    assert (outcomes.count("Leak"), outcomes.count("Pass")) == (1, 0), "the lost one may have seen what is not told"
    assert {row["attempt"] for row in told["rows"]} == {1, 2}
    assert told["surfaces"][0]["fault"] == "Unfinished"


@pytest.mark.parametrize("stage", ["baseline", "plant", "probe"])
@pytest.mark.parametrize("how", ["never began", "lost at once", "lost before its result"])
def test_a_stage_that_never_ended_leaves_its_surface_unfinished(stage: str, how: str, tmp_path: Path) -> None:
    one, other = surface(), surface()
    with prepared(tmp_path, {"memory": one, "other": other}) as run:
        run.play("open")
        for each in pods.SURFACE_STAGES:
            run.play(each, "other")
            if each != stage:
                assert run.play(each, "memory").status == 0
            elif how == "lost at once":
                lose(run, one, stage, at="start")
            elif how == "lost before its result":
                lose(run, one, stage, at="result", before=True)
        told = run.assembled()
    assert reasons(told) == {"Unfinished"}
    assert reasons(told, "other") == {None}
    assert told["verdict"] == "Inconclusive"
    assert one.documents == {}


def test_planting_is_tried_again_after_cleaning_and_a_pod_that_never_started_does_not_matter(tmp_path: Path) -> None:
    one = surface()
    with prepared(tmp_path, one) as run:
        run.play("open")
        run.wave("baseline", attempt=2)  # the first found no node
        lose(run, one, "plant", at="result", before=True)
        assert len(one.documents) > 0
        run.wave("clean")
        assert one.documents == {}
        run.wave("plant", attempt=2)
        run.wave("probe")
        run.wave("clean", attempt=2)
        told = run.assembled()
    assert told["verdict"] == "Pass"
    assert {row["attempt"] for row in told["rows"]} == {1}
    assert told["surfaces"][0]["notRemoved"] == 0
    assert told["surfaces"][0]["removed"] > told["surfaces"][0]["planted"] == 9
    assert one.documents == {}


@pytest.mark.parametrize("last", ["never began", "is lost at once", "left something"])
def test_what_was_planted_after_a_whole_cleaning_is_swept_where_no_cleaning_followed(last: str, tmp_path: Path) -> None:
    one = surface()
    with prepared(tmp_path, one) as run:
        run.play("open")
        run.wave("baseline")
        assert orphans(run) == [run.run], "where work/ was not copied nothing counts as cleaned"
        lose(run, one, "plant", at="result", before=True)
        run.wave("clean")
        assert orphans(run) == []
        run.wave("plant", attempt=2)
        if last == "is lost at once":
            with killed(run, one, lambda record: record["attempt"] == 2 and record["stage"] == "clean"):
                run.play("clean", "memory", attempt=2)
        elif last == "left something":
            one.keeps_deleted = True
            run.wave("clean", attempt=2)
            one.keeps_deleted = False
        assert one.documents
        assert orphans(run) == [run.run]
        copy = copied(run)
        asyncio.run(sweep.sweep(run.run, secret=run.secret, store=copy, observe=lambda _step: None))
        assert one.documents == {}
        assert asyncio.run(sweep.orphans(copy)) == []
        run.wave("clean", attempt=3)
        assert orphans(run) == []


def copied(run: Pods) -> MemoryStore:
    """Copies of both stores in one, as they are swept by hand."""
    both = MemoryStore()
    both.objects = {**run.packs.objects, **run.work.objects}
    return both


def orphans(run: Pods) -> list[str]:
    return asyncio.run(sweep.orphans(copied(run)))


@pytest.mark.parametrize("stage", ["plant", "probe"])
def test_a_stage_whose_store_fails_for_a_moment_says_that_it_was_cut_off(stage: str, tmp_path: Path) -> None:
    """What it had not done looked like all that there was to do."""
    leaky = surface(leaky_fetch=Audience.EVERYBODY)
    with prepared(tmp_path, leaky) as run:
        create = run.work.create

        async def fails_once(name: str, data: bytes) -> str:
            kind = pods.payload(data)["kind"] if pods.is_record(data) else name.rsplit("/", 1)[1][:7]
            if kind in ("receipt", "leak"):
                run.work.create = create  # type: ignore[method-assign]
                raise StoreFault("not now", temporary=True)
            return await create(name, data)

        run.play("open")
        for each in pods.SURFACE_STAGES:
            if each == stage:
                run.work.create = fails_once  # type: ignore[method-assign]
            assert run.play(each, "memory").status == (75 if each == stage else 0)
        [start, *_, result] = run.recorded(stage, "memory")
        told = run.assembled()
    assert (start.kind, result.body["fault"]) == (RecordKind.START, "Unfinished")
    assert told["surfaces"][0]["fault"] == ("Unfinished" if stage == "plant" else "RecordsBroken")
    assert not [row for row in told["rows"] if row["outcome"] == "Pass"]


# --- stopped by a signal ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["baseline", "plant", "probe"])
def test_a_stage_that_is_told_to_stop_records_what_it_did(stage: str, tmp_path: Path) -> None:
    one = surface()
    with prepared(tmp_path, one) as run:
        run.play("open")
        for each in pods.SURFACE_STAGES:
            requests = 0

            def stop(_asker: Principal, _action: Action, each: str = each) -> None:
                nonlocal requests
                requests += 1
                if (each, requests) == (stage, 8):
                    signal.raise_signal(signal.SIGTERM)

            one.before = stop
            ended = run.play(each, "memory")
            assert run.recorded(each, "memory")[-1].kind == RecordKind.RESULT
            if each == stage:
                assert (ended.status, ended.message["reason"]) == (75, "Stopped")
            else:
                assert ended.status == 0
        told = run.assembled()
    assert told["cancelled"]
    assert told["verdict"] == "Inconclusive"
    assert reasons(told) <= {"Cancelled", None}
    assert one.documents == {}


def test_a_probe_that_was_told_to_stop_and_is_tried_again_is_whole(tmp_path: Path) -> None:
    one = surface()
    with prepared(tmp_path, one) as run:
        run.play("open")
        run.wave("baseline")
        run.wave("plant")
        requests = 0

        def stop(_asker: Principal, _action: Action) -> None:
            nonlocal requests
            requests += 1
            if requests == 8:
                signal.raise_signal(signal.SIGTERM)

        one.before = stop
        assert run.play("probe", "memory").status == 75
        run.wave("probe", attempt=2)
        run.wave("clean")
        told = run.assembled()
    assert (told["verdict"], told["cancelled"]) == ("Pass", False)
    assert {row["attempt"] for row in told["rows"]} == {2}


def test_cleaning_that_is_told_to_stop_asks_for_another_attempt(tmp_path: Path) -> None:
    one = surface()
    with prepared(tmp_path, one) as run:
        run.play("open")
        for each in ("baseline", "plant", "probe"):
            run.play(each, "memory")
        one.before = lambda _asker, action: signal.raise_signal(signal.SIGTERM) if isinstance(action, Delete) else None
        ended = run.play("clean", "memory")
        assert (ended.status, ended.message["reason"]) == (75, "Stopped")
        assert len(one.documents) > 0
        one.before = Surface.before
        assert run.play("clean", "memory", 2).message["notRemoved"] == 0
        told = run.assembled()
    assert told["verdict"] == "Pass"
    assert told["surfaces"][0]["notRemoved"] == 0


def test_a_stage_that_is_told_to_stop_before_it_began_ends_in_a_word(tmp_path: Path) -> None:
    with prepared(tmp_path, surface()) as run:
        names = run.packs.names

        async def stopped(prefix: str) -> list[str]:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
            return await names(prefix)

        run.packs.names = stopped  # type: ignore[method-assign]
        ended = run.play("open")
    assert (ended.status, ended.message["reason"], ended.message["ok"]) == (75, "Stopped", False)


# --- exit statuses ----------------------------------------------------------------------------------------------------


def failing(run: Pods, error: Exception) -> None:
    async def create(name: str, data: bytes) -> str:
        raise error

    run.work.create = create  # type: ignore[method-assign]


def _not_mounted(run: Pods) -> None:
    (run.mounts / "manifest" / "sealed.json").unlink()


def _of_another_run(run: Pods) -> None:
    run.run = run.run[:-1] + ("0" if run.run[-1] != "0" else "1")


def _another_key(run: Pods) -> None:
    (run.mounts / "secrets" / "sectum-key-manifest" / "key").write_bytes(b"w" * 32)


def _no_credential(run: Pods) -> None:
    (run.mounts / "secrets" / "sectum-surface-memory-tokens" / "acme.ann").unlink()


def _crash(run: Pods) -> None:
    failing(run, ZeroDivisionError("words of a server"))


ENDS: dict[str, tuple[Callable[[Pods], None], int, str]] = {
    "no manifest": (_not_mounted, 3, "ScenarioError"),
    "another run's manifest": (_of_another_run, 12, "NotVerified"),
    "another key": (_another_key, 12, "SealBroken"),
    "no credential": (_no_credential, 3, "SecretMissing"),
    "a store that fails": (lambda run: failing(run, StoreFault("work/… cannot be stored")), 75, "StoreFault"),
    "a store that refuses": (lambda run: failing(run, StoreFault("no", temporary=False)), 3, "StoreFault"),
    "a key service that fails": (lambda run: failing(run, KeyUnavailable("KMS", temporary=True)), 75, "KeyUnavailable"),
    "a key service that refuses": (lambda run: failing(run, KeyUnavailable("KMS")), 3, "KeyUnavailable"),
    "a crash": (_crash, 1, "ZeroDivisionError"),
}


@pytest.mark.parametrize("case", ENDS)
def test_the_exit_status_says_whether_another_attempt_may_go_better(case: str, tmp_path: Path) -> None:
    spoil, status, reason = ENDS[case]
    with prepared(tmp_path, surface()) as run:
        spoil(run)
        ended = run.play("baseline", "memory")
    assert (ended.status, ended.message["ok"], ended.message["reason"]) == (status, False, reason)
    assert ended.message["stage"] == "baseline"
    assert "words of a server" not in ended.said


def test_a_surface_that_the_scenario_does_not_name_is_refused(tmp_path: Path) -> None:
    with prepared(tmp_path, surface()) as run:
        ended = run.play("plant", "other")
        assert (ended.status, ended.message["reason"]) == (3, "ScenarioError")


@pytest.mark.parametrize("argv", [["open", "--surface", "x"], ["plant"], ["boast"], []])
def test_arguments_that_are_none_are_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit):
        pod.main([*argv, "--run", "x"])


def test_a_long_message_is_cut_and_stays_json(tmp_path: Path) -> None:
    with prepared(tmp_path, surface()) as run:
        failing(run, StoreFault("ä" * 5000))
        ended = run.play("plant", "memory")
    assert len(ended.said.encode()) < 1024
    assert json.loads(ended.said)["reason"] == "StoreFault"


def test_who_touches_a_surface_needs_no_way_to_the_packs(tmp_path: Path) -> None:
    with prepared(tmp_path, surface()) as run:
        run.play("open")
        (run.mounts / "secrets" / "sectum-store-evidence-test" / "accessKeyId").unlink()
        (run.mounts / "secrets" / "sectum-signer-memory" / "private.pem").unlink()
        before = dict(run.packs.objects)
        run.waited_for.clear()
        for stage in pods.SURFACE_STAGES:
            assert run.play(stage, "memory").status == 0
        assert run.packs.objects == before
        assert run.waited_for == [("s3.us-east-1.amazonaws.com", 443)] * 4, "of the records alone"
        assert run.play("assemble").status == 3


# --- opened and assembled once ----------------------------------------------------------------------------------------


def test_opened_twice_is_opened_once(tmp_path: Path) -> None:
    with prepared(tmp_path, surface()) as run:
        first, again = run.play("open"), run.play("open")
        assert first.message == again.message
        assert [name for name in run.packs.objects if name.startswith("series/")] == [
            "series/None/in-memory/000001.json"
        ]


def test_assembled_twice_is_one_pack(tmp_path: Path) -> None:
    with prepared(tmp_path, surface()) as run:
        run.whole()
        before = dict(run.packs.objects)
        again = run.play("assemble")
        assert again.message == run.ended[-2][1].message
        assert run.packs.objects == before
        zips = [name for name in before if name.endswith(".zip")]
        assert zips == [f"packs/{run.run}.zip"]
        assert sorted(name for name in before if name.startswith("packs/")) == zips


@pytest.mark.parametrize("what", ["bytes", "a zip", "a pack of another signer", "a pack of another run"])
def test_another_object_under_the_pack_s_name_is_not_adopted(what: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    with prepared(tmp_path / "other", surface()) as other:
        other.whole()
        foreign = other.packs.objects[f"packs/{other.run}.zip"]
    with prepared(tmp_path / "one", surface()) as run:
        run.play("open")
        for stage in pods.SURFACE_STAGES:
            run.play(stage, "memory")
        there = {"bytes": b"{}", "a zip": to_zip({"a": b"b"})}.get(what, foreign)
        if what == "a pack of another run":
            signer = (other.mounts / "secrets" / "sectum-signer-memory" / "private.pem").read_bytes()
            (run.mounts / "secrets" / "sectum-signer-memory" / "private.pem").write_bytes(signer)
        run.packs.objects[f"packs/{run.run}.zip"] = there
        ended = run.play("assemble")
        assert (ended.status, ended.message["ok"]) == (12, False)
        assert run.packs.objects[f"packs/{run.run}.zip"] == there


def test_a_run_that_was_never_opened_is_not_assembled(tmp_path: Path) -> None:
    with prepared(tmp_path, surface()) as run:
        ended = run.play("assemble")
        assert (ended.status, ended.message["reason"]) == (12, "NotVerified")


# --- what lies in the store -------------------------------------------------------------------------------------------


def _lying_there(run: Pods, other: Pods, what: str) -> None:
    """Put an object among the first surface's records of probing."""
    folder = f"work/{run.run}/probe/memory/1/"
    mine = next(data for name, data in run.work.objects.items() if name.startswith(folder))
    beside = next(data for name, data in run.work.objects.items() if name.startswith(f"work/{run.run}/probe/other/"))
    theirs = next(data for name, data in other.work.objects.items() if f"{other.run}/probe/memory/" in name)
    planted = next(data for name, data in run.work.objects.items() if name.startswith(f"work/{run.run}/plant/memory/"))
    objects = {
        "of another key": theirs,
        "of another surface": beside,
        "of another stage": planted,
        "no record": b"{}",
        "nothing": b"",
        "its own twice": mine,
    }
    data = objects[what]
    name = folder + ("f" * 64 if what == "its own twice" else sha256(data))
    run.work.objects[name] = data


FOREIGN = ["of another key", "of another surface", "of another stage", "no record", "nothing", "its own twice"]


@pytest.mark.parametrize("what", FOREIGN)
def test_an_object_that_is_no_record_of_the_place_keeps_its_surface_from_passing(what: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    with prepared(tmp_path / "other", surface()) as other:
        other.whole()
    with prepared(tmp_path / "one", {"memory": surface(), "other": surface()}) as run:
        run.play("open")
        for stage in pods.SURFACE_STAGES:
            run.wave(stage)
        _lying_there(run, other, what)
        told = run.assembled()
    assert reasons(told) == {"RecordsBroken"}
    assert reasons(told, "other") == {None}
    assert [each["fault"] for each in told["surfaces"]] == ["RecordsBroken", None]
    assert told["verdict"] == "Inconclusive"


@pytest.mark.parametrize("stage", ["baseline", "plant", "probe"])
def test_a_record_that_was_taken_away_keeps_its_surface_from_passing(stage: str, tmp_path: Path) -> None:
    leaky = surface(leaky_fetch=Audience.EVERYBODY)
    with prepared(tmp_path, leaky) as run:
        run.play("open")
        for each in pods.SURFACE_STAGES:
            run.wave(each)
        names = [name for name in run.work.objects if f"/{stage}/memory/" in name]
        first = next(name for name in names if pods.payload(run.work.objects[name])["kind"] == "start")
        del run.work.objects[first]
        told = run.assembled()
    assert {row["outcome"] for row in told["rows"]} == {"Leak", "Inconclusive"}
    assert told["surfaces"][0]["fault"] == "RecordsBroken"
