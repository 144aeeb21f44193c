"""A run ends in a pack and an empty surface: after success, failure and cancel; and after a kill, once it is swept."""

import asyncio
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from sectum import pipeline, records, series, stages, sweep, verify
from sectum import run as one_run
from sectum.actions import Action, AnswerKind, Principal, Reply, Sink, Verb, Write
from sectum.assembly import Ended
from sectum.clean import Cleaned, clean
from sectum.codec import parse, sha256, unb64
from sectum.errors import ScenarioError, SealBroken, SecretMissing, StoreFault
from sectum.job import Progress
from sectum.keys.unsafe_local import UnsafeLocalKey
from sectum.plan import make_plan
from sectum.reach import Reach
from sectum.scenario import Scenario
from sectum.scenario import parse as parse_scenario
from sectum.secrets_dir import ReadSecret
from sectum.testing import (
    API_VERBS,
    Audience,
    ManualClock,
    MemoryStore,
    MemorySurface,
    memory_scenario,
    memory_secrets,
    try_out,
)

ALL = API_VERBS
FEW = {"acme": ("ann", "ben"), "globex": ("cat",)}
MORE_VERBS = (
    {Verb.RECALL, Verb.RECALL_OPEN},
    {Verb.RECALL, Verb.HISTORY},
    {Verb.ASK_CACHED, Verb.TELL_CACHED},
    {Verb.ASK_CACHED, Verb.EXACT_CACHE},
    {Verb.SEARCH, Verb.CALL, Verb.CORRELATE, Verb.REUSE_SESSION, Verb.PRESENT_TOKEN},
)
LISTED = frozenset({Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.LIST, Verb.DELETE})


def ignore(_step: Progress) -> None:
    """Nobody watches."""


class Killed(BaseException):
    """The process is gone: nothing that it begins after this has an effect."""


class Hook:
    """Counts what a run asks of surface and store; at one place, before or after the effect, something happens."""

    def __init__(self, at: int = -1, *, after: bool = False, then: Callable[[], None] = lambda: None) -> None:
        self.at, self.late, self.then, self.count = at, after, then, 0
        self.dead = False

    def kill(self) -> None:
        self.dead = True

    async def before(self) -> int:
        if self.dead:
            raise Killed
        self.count += 1
        number = self.count
        if number == self.at and not self.late:
            self._now()
        await asyncio.sleep(0)
        if self.dead:
            raise Killed
        return number

    async def after(self, number: int) -> None:
        if number == self.at and self.late:
            self._now()
        await asyncio.sleep(0)
        if self.dead:
            raise Killed

    def _now(self) -> None:
        self.then()
        if self.dead:
            raise Killed


class WatchedSurface(MemorySurface):
    """A surface that tells a hook of every request."""

    hook: Hook

    async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
        number = await self.hook.before()
        reply = await super().answer(asker, action, sink)
        await self.hook.after(number)
        return reply


class WatchedStore(MemoryStore):
    """A store that tells a hook of every call."""

    def __init__(self, hook: Hook) -> None:
        super().__init__()
        self.hook = hook

    async def create(self, name: str, data: bytes) -> str:
        number = await self.hook.before()
        digest = await super().create(name, data)
        await self.hook.after(number)
        return digest


def watched(hook: Hook, **knobs: Any) -> tuple[WatchedSurface, WatchedStore, Scenario]:
    surface = WatchedSurface(**{"verbs": LISTED, **knobs})
    surface.hook = hook
    return surface, WatchedStore(hook), memory_scenario(surface, tenants=FEW)


def steps(**knobs: Any) -> int:
    """How many operations a run takes that nobody disturbs."""
    hook = Hook()
    _, store, scenario = watched(hook, **knobs)
    asyncio.run(try_out(scenario, store=store))
    return hook.count


def run_with(scenario: Scenario, store: MemoryStore, secret: ReadSecret | None = None) -> Ended:
    return asyncio.run(try_out(scenario, store=store, secret=secret))


def series_of(store: MemoryStore) -> list[dict[str, Any]]:
    return [series.peek(data)[0] for name, data in sorted(store.objects.items()) if name.startswith("series/")]


STEPS = steps()
SOME = sorted({*range(1, 30), *range(30, STEPS + 1, 7), *range(STEPS - 12, STEPS + 1)})
"""Places in a run: each of the first and last, and some between."""


# --- the whole --------------------------------------------------------------------------------------------------------


def public_pem(secret: ReadSecret) -> bytes:
    key = load_pem_private_key(secret("sectum-signer-memory", "private.pem"), None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("knobs", [{}, {"leaky_fetch": Audience.EVERYBODY}, {"client_chooses": True}, {"denies": True}])
def test_the_pack_of_a_run_verifies_with_its_key_open_record_and_manifest(knobs: Any, tmp_path: Path) -> None:
    secret, store = memory_secrets(), MemoryStore()
    ended = run_with(memory_scenario(MemorySurface(**knobs), tenants=FEW), store, secret)
    zipped = tmp_path / "pack.zip"
    zipped.write_bytes(store.objects[ended.pack])
    wrapper = UnsafeLocalKey(secret("sectum-key-manifest", "key"))
    checklist = verify.verify(
        zipped,
        key=public_pem(secret),
        open_record=store.objects[ended.open_record],
        manifest=(store.objects[ended.manifest], wrapper),
        allow_unanchored=True,
    )
    assert checklist.verified, str(checklist)
    assert {step.id for step in checklist.steps if step.mark == verify.Mark.OPEN} <= {"timestamp", "log"}


def test_open_is_stored_before_the_first_write_and_close_after_the_pack() -> None:
    order: list[str] = []

    class Ordered(MemoryStore):
        async def create(self, name: str, data: bytes) -> str:
            order.append(name.split("/")[0])
            return await super().create(name, data)

    class Writing(MemorySurface):
        async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
            order.append("write" if isinstance(action, Write) else "other")
            return await super().answer(asker, action, sink)

    store = Ordered()
    ended = run_with(memory_scenario(Writing(verbs=LISTED), tenants=FEW), store)
    assert order.index("manifests") < order.index("series") < order.index("other") < order.index("write")
    assert order[-1] == "series"
    opened, closed = series_of(store)
    assert (opened["schema"], closed["schema"]) == ("sectum.ai/open/v1", "sectum.ai/close/v1")
    assert opened["run"] == closed["run"] == ended.run["run"]
    assert closed["pack"] == sha256(store.objects[ended.pack])
    assert closed["previous"] == sha256(store.objects[ended.open_record])
    assert closed["outcome"] == str(ended.outcome) == "Pass"
    assert opened["plan"] == ended.run["plan"]
    assert opened["plan"]["trials"] == len(ended.run["rows"])


def test_a_series_numbers_its_records_and_chains_them() -> None:
    store, secret = MemoryStore(), memory_secrets()
    for _ in range(3):
        run_with(memory_scenario(MemorySurface(verbs=LISTED), tenants=FEW), store, secret)
    bodies = series_of(store)
    assert [body["sequence"] for body in bodies] == [1, 2, 3, 4, 5, 6]
    stored = [data for name, data in sorted(store.objects.items()) if name.startswith("series/")]
    assert [body["previous"] for body in bodies] == [None, *map(sha256, stored[:-1])]


def test_a_leak_is_recorded_the_moment_it_is_seen() -> None:
    surface, store = MemorySurface(leaky_fetch=Audience.EVERYBODY, verbs=LISTED), MemoryStore()
    ended = run_with(memory_scenario(surface, tenants=FEW), store)
    public = ended.run["manifest"]["publicKey"]
    found = [records.read_record(data, public) for name, data in store.objects.items() if "/probe/" in name]
    chain = sorted(found, key=lambda record: record.number)
    assert [record.number for record in chain] == list(range(len(chain)))
    assert [str(record.kind) for record in chain] == ["start", *["leak"] * len(ended.run["findings"]), "result"]
    assert chain[0].previous is None


def test_nothing_that_is_stored_or_told_has_a_plaintext_a_location_or_a_credential_in_it() -> None:
    manifests: list[Any] = []
    told: list[str] = []
    original = pipeline.draw_manifest

    def remember(*args: Any, **kwargs: Any) -> Any:
        manifests.append(original(*args, **kwargs))
        return manifests[-1]

    surface, store, secret = MemorySurface(leaky_list=Audience.EVERYBODY), MemoryStore(), memory_secrets()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "draw_manifest", remember)
        ended = asyncio.run(
            try_out(
                memory_scenario(surface, tenants=FEW),
                secret=secret,
                store=store,
                observe=lambda step: told.append(repr(step)),
            )
        )
    [manifest] = manifests
    kept = repr(ended) + "".join(told) + "".join(name + repr(data) for name, data in store.objects.items())
    for name, data in store.objects.items():
        if name.endswith(".zip"):
            members = zipfile.ZipFile(io.BytesIO(data))
            kept += "".join(repr(members.read(each)) for each in members.namelist())
        elif name.startswith("work/") and "payload" in (body := _json(data)):
            kept += repr(unb64(body["payload"]))
    hidden = {each.plaintext for each in manifest.markers + manifest.decoys} | {
        each.wanted for each in manifest.markers
    }
    hidden |= {action.location for _, action in surface.received if hasattr(action, "location")}
    hidden |= {
        secret("sectum-surface-memory-tokens", f"{tenant}.{user}").decode() for tenant in FEW for user in FEW[tenant]
    }
    assert len(ended.run["findings"]) > 0
    assert [each for each in hidden if each in kept] == []
    assert manifest.markers[0].id in kept


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return {}


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_secret_that_is_missing_is_told_before_anything_happens() -> None:
    def none(name: str, key: str) -> bytes:
        if name == "sectum-signer-memory":
            return memory_secrets()(name, key)
        raise SecretMissing(f"secretRef {name}/{key}", "cannot be read")

    surface, store = MemorySurface(), MemoryStore()
    with pytest.raises(ScenarioError):
        run_with(memory_scenario(surface), store, none)
    assert (surface.received, store.objects) == ([], {})


BUDGETS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "requests, while planting": ({"requests": 12}, {}, "Budget"),
    "requests, while probing": ({"requests": 60}, {}, "Budget"),
    "writes": ({"writes": 5}, {}, "Budget"),
    "time": ({"minutes": 0.5}, {"slow": 1.0}, "Deadline"),
}


@pytest.mark.parametrize(("budget", "knobs", "reason"), BUDGETS.values(), ids=BUDGETS)
def test_a_spent_budget_is_inconclusive_and_everything_is_removed_all_the_same(
    budget: Any, knobs: Any, reason: str
) -> None:
    time = ManualClock()
    surface = MemorySurface(verbs=LISTED, clock=time.clock, **knobs)
    scenario = memory_scenario(surface, tenants=FEW, surface_fields={"budget": budget})
    ended = asyncio.run(try_out(scenario, clock=time.clock))
    assert ended.run["verdict"] == "Inconclusive"
    assert reason in {each for cell in ended.run["cells"] for each in cell["reasons"]}
    assert ended.run["surfaces"][0]["fault"] == reason
    assert surface.documents == {}
    assert [row["notRemoved"] for row in ended.run["surfaces"]] == [0]


@pytest.mark.parametrize("verb", sorted(ALL))
def test_an_adapter_that_crashes_anywhere_leaves_a_pack_and_no_pass(verb: Verb) -> None:
    surface = MemorySurface(crashes_on=frozenset({verb}))
    ended = run_with(memory_scenario(surface, tenants=FEW), MemoryStore())
    assert ended.run["verdict"] == ("Pass" if verb == Verb.DELETE else "Inconclusive")
    left = ended.run["surfaces"][0]["notRemoved"]
    assert left == len(surface.documents) == (9 if verb == Verb.DELETE else 0)


class _Unopenable(MemorySurface):
    @property
    def unreachable(self) -> bool:  # type: ignore[override]
        raise RuntimeError("words of a server")

    @unreachable.setter
    def unreachable(self, value: bool) -> None:
        """It stays so."""


def test_an_adapter_that_crashes_when_it_is_opened_is_inconclusive() -> None:
    store = MemoryStore()
    ended = run_with(memory_scenario(_Unopenable(), tenants=FEW), store)
    assert {reason for cell in ended.run["cells"] for reason in cell["reasons"]} == {"ProbeCrashed"}
    assert "words of a server" not in repr(store.objects)


@pytest.mark.parametrize("at", ["work/", "/probe/", "packs/"])
def test_a_store_that_fails_ends_the_run_with_its_own_error_and_an_empty_surface(at: str) -> None:
    class Failing(MemoryStore):
        async def create(self, name: str, data: bytes) -> str:
            if at in name and not name.endswith("cleaned"):
                raise StoreFault("it is full")
            return await super().create(name, data)

    surface, store = MemorySurface(leaky_fetch=Audience.EVERYBODY), Failing()
    with pytest.raises(StoreFault):
        run_with(memory_scenario(surface, tenants=FEW), store)
    assert surface.documents == {}
    assert [body["schema"] for body in series_of(store)] == ["sectum.ai/open/v1"]


def test_a_leak_record_that_cannot_be_stored_ends_the_run() -> None:
    class Failing(MemoryStore):
        """Takes the start of a probe, and fails once at the first leak."""

        failed = False

        async def create(self, name: str, data: bytes) -> str:
            kind = parse(unb64(parse(data)["payload"]))["kind"] if "/probe/" in name else ""
            if kind == "leak" and not self.failed:
                self.failed = True
                raise StoreFault("it is full")
            return await super().create(name, data)

    surface = MemorySurface(leaky_fetch=Audience.EVERYBODY)
    with pytest.raises(StoreFault):
        run_with(memory_scenario(surface, tenants=FEW), Failing())
    assert surface.documents == {}


def test_documents_that_are_not_removed_are_counted_and_the_run_stays_an_orphan() -> None:
    surface, store = MemorySurface(keeps_deleted=True, verbs=LISTED), MemoryStore()
    ended = run_with(memory_scenario(surface, tenants=FEW), store)
    [row] = ended.run["surfaces"]
    assert (row["planted"], row["removed"], row["notRemoved"]) == (9, 0, 9)
    assert asyncio.run(sweep.orphans(store)) == [ended.run["run"]]


def test_a_surface_that_cannot_delete_is_said_to_keep_everything() -> None:
    ended = run_with(memory_scenario(MemorySurface(verbs=LISTED - {Verb.DELETE}), tenants=FEW), MemoryStore())
    assert ended.run["surfaces"][0]["notRemoved"] == 9


@pytest.mark.parametrize("errors", range(1, 40, 3))
def test_a_write_that_was_carried_out_and_answered_with_5xx_leaves_nothing(errors: int) -> None:
    surface = MemorySurface(verbs=LISTED)

    def observe(step: Progress) -> None:
        if step.stage == "plant" and step.done == 1:
            surface.server_errors = errors

    scenario = memory_scenario(surface, tenants=FEW, surface_fields={"budget": {"inFlight": 1}})
    asyncio.run(try_out(scenario, observe=observe))
    assert surface.documents == {}


def test_without_a_listing_a_write_answered_with_5xx_is_counted_as_not_removed() -> None:
    surface, store = MemorySurface(verbs=LISTED - {Verb.LIST}), MemoryStore()

    def observe(step: Progress) -> None:
        if step.stage == "plant" and step.done == 8:
            surface.server_errors = 1

    scenario = memory_scenario(surface, tenants=FEW, surface_fields={"budget": {"inFlight": 1}})
    ended = asyncio.run(try_out(scenario, observe=observe, store=store))
    assert ended.run["surfaces"][0]["notRemoved"] >= len(surface.documents)
    assert bool(asyncio.run(sweep.orphans(store))) == bool(ended.run["surfaces"][0]["notRemoved"])


# --- cancelled, killed, swept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", SOME)
def test_a_run_that_is_cancelled_once_cleans_up_and_still_gives_a_pack(at: int) -> None:
    async def cancelled() -> Ended | None:
        task = asyncio.ensure_future(try_out(scenario, store=store))
        hook.then = task.cancel  # type: ignore[assignment]
        try:
            return await task
        except asyncio.CancelledError:
            return None

    hook = Hook(at)
    surface, store, scenario = watched(hook)
    ended = asyncio.run(cancelled())
    assert surface.documents == {}
    if ended is None:
        assert not [action for _, action in surface.received if isinstance(action, Write)]
        assert at < 4, "only before the Open record was stored"
        return
    assert ended.pack in store.objects
    assert series_of(store)[-1]["schema"] == "sectum.ai/close/v1"
    cut_off = {row["outcome"] for row in ended.run["rows"]} != {"Pass"}
    assert ended.run["cancelled"] == cut_off
    assert cut_off or at > STEPS // 2, "only where probing had ended"
    assert ended.run["verdict"] == ("Inconclusive" if cut_off else "Pass")
    assert asyncio.run(sweep.orphans(store)) == []


def swept(scenario: Scenario, store: MemoryStore, secret: ReadSecret) -> int:
    """Sweep every orphan; how many documents are said not to be removed."""
    left = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_run, "parse_scenario", lambda _snapshot: scenario)
        for run_id in asyncio.run(sweep.orphans(store)):
            cleaned = asyncio.run(sweep.sweep(run_id, secret=secret, store=store, observe=ignore))
            left += sum(each.not_removed for each in cleaned.values())
    return left


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", SOME[::2])
@pytest.mark.parametrize("chooses", [False, True], ids=["server-chooses", "client-chooses"])
def test_a_run_that_is_killed_anywhere_is_swept_clean(at: int, late: bool, chooses: bool) -> None:
    hook = Hook(at, after=late)
    hook.then = hook.kill
    surface, store, scenario = watched(hook, client_chooses=chooses)
    secret = memory_secrets()
    with pytest.raises(Killed):
        run_with(scenario, store, secret)
    hook.dead = False
    hook.at = -1
    assert swept(scenario, store, secret) == 0
    assert surface.documents == {}
    assert asyncio.run(sweep.orphans(store)) == []


@pytest.mark.parametrize("at", range(10, 60, 5))
def test_without_a_listing_what_a_kill_may_have_left_is_never_called_clean(at: int) -> None:
    hook = Hook(at, after=True)
    hook.then = hook.kill
    surface, store, scenario = watched(hook, verbs=LISTED - {Verb.LIST})
    secret = memory_secrets()
    with pytest.raises(Killed):
        run_with(scenario, store, secret)
    hook.dead = False
    assert swept(scenario, store, secret) >= len(surface.documents)
    if surface.documents:
        assert asyncio.run(sweep.orphans(store))


@pytest.mark.parametrize("at", SOME[4::6])
def test_a_run_that_is_cancelled_twice_stops_at_once_and_is_swept_clean(at: int) -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(try_out(scenario, store=store, secret=secret))

        def twice() -> None:
            task.cancel()
            asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(task.cancel))

        hook.then = twice
        await task

    hook, secret = Hook(at), memory_secrets()
    surface, store, scenario = watched(hook)
    try:
        asyncio.run(cancelled())
    except asyncio.CancelledError:
        assert swept(scenario, store, secret) == 0
    assert surface.documents == {}


def test_a_run_that_was_abandoned_is_closed_as_abandoned_by_the_next() -> None:
    hook = Hook(30)
    hook.then = hook.kill
    _, store, scenario = watched(hook)
    secret = memory_secrets()
    with pytest.raises(Killed):
        run_with(scenario, store, secret)
    hook.dead = False
    ended = run_with(scenario, store, secret)
    first, closed, second, last = series_of(store)
    assert (closed["schema"], closed["outcome"], closed["pack"]) == ("sectum.ai/close/v1", "Abandoned", None)
    assert closed["run"] == first["run"] != second["run"] == last["run"] == ended.run["run"]
    assert ended.run["surfaces"][0]["fault"] == "NotEmpty", "what the first run left is still there"


class NoClose(MemoryStore):
    """The process is killed when it has stored the pack and before it closes the run."""

    def __init__(self) -> None:
        super().__init__()
        self.dead = True

    async def create(self, name: str, data: bytes) -> str:
        if self.dead and name.startswith("series/") and series.peek(data)[0]["schema"] == series.CLOSE_SCHEMA:
            raise Killed
        return await super().create(name, data)


FOREIGN_PACKS: dict[str, Callable[[MemoryStore, str], bytes | None]] = {
    "no pack": lambda _store, _name: None,
    "no zip": lambda _store, _name: b"{}",
    "changed": lambda store, name: store.objects[name].replace(b"Pass", b"Leak", 1),
    "of another run": lambda store, name: next(
        data for each, data in store.objects.items() if each.endswith(".zip") and each != name
    ),
}


def test_a_run_that_has_a_pack_and_no_close_is_closed_as_what_it_came_to() -> None:
    """Killed in between, a run that was done was called abandoned."""
    store, secret = NoClose(), memory_secrets()
    scenario = memory_scenario(MemorySurface(verbs=LISTED), tenants=FEW)
    with pytest.raises(Killed):
        run_with(scenario, store, secret)
    store.dead = False
    run_with(scenario, store, secret)
    first, closed, second, _ = series_of(store)
    assert (closed["run"], closed["outcome"]) == (first["run"], "Pass")
    assert closed["pack"] == sha256(store.objects[f"packs/{first['run']}.zip"])
    assert first["run"] != second["run"]


@pytest.mark.parametrize("what", FOREIGN_PACKS)
def test_a_run_whose_pack_is_not_its_own_is_closed_as_abandoned(what: str) -> None:
    store, secret = NoClose(), memory_secrets()
    scenario = memory_scenario(MemorySurface(verbs=LISTED), tenants=FEW)
    store.dead = False
    run_with(scenario, store, secret)
    store.dead = True
    with pytest.raises(Killed):
        run_with(scenario, store, secret)
    store.dead = False
    killed = series_of(store)[-1]["run"]
    name = f"packs/{killed}.zip"
    there = FOREIGN_PACKS[what](store, name)
    del store.objects[name]
    if there is not None:
        store.objects[name] = there
    run_with(scenario, store, secret)
    closed = series_of(store)[3]
    assert (closed["run"], closed["outcome"], closed["pack"]) == (killed, "Abandoned", None)


def test_a_run_of_another_signer_is_closed_as_abandoned_whatever_its_pack_says() -> None:
    store = NoClose()
    scenario = memory_scenario(MemorySurface(verbs=LISTED), tenants=FEW)
    with pytest.raises(Killed):
        run_with(scenario, store, memory_secrets())
    store.dead = False
    run_with(scenario, store, memory_secrets())
    assert series_of(store)[1]["outcome"] == "Abandoned"


def test_a_sweep_with_another_key_or_of_a_changed_receipt_is_refused() -> None:
    hook = Hook(45)
    hook.then = hook.kill
    _, store, scenario = watched(hook)
    secret = memory_secrets()
    with pytest.raises(Killed):
        run_with(scenario, store, secret)
    hook.dead = False
    with pytest.raises(SealBroken):
        swept(scenario, store, memory_secrets())
    [receipt, *_] = [name for name in store.objects if "/receipt-" in name]
    store.objects[receipt] = store.objects[receipt][:-1] + bytes([store.objects[receipt][-1] ^ 1])
    with pytest.raises(SealBroken):
        swept(scenario, store, secret)


def test_sweeping_twice_does_no_harm() -> None:
    store, secret = MemoryStore(), memory_secrets()
    surface = MemorySurface(verbs=LISTED)
    scenario = memory_scenario(surface, tenants=FEW)
    ended = run_with(scenario, store, secret)
    assert asyncio.run(sweep.orphans(store)) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_run, "parse_scenario", lambda _snapshot: scenario)
        cleaned = asyncio.run(sweep.sweep(ended.run["run"], secret=secret, store=store, observe=ignore))
    assert cleaned["memory"].not_removed == 0


def test_what_cannot_be_cleaned_up_in_time_is_counted_and_the_pack_still_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(MemorySurface):
        async def answer(self, asker: Principal, action: Action, sink: Sink) -> Reply:
            if type(action).__name__ == "Delete":
                await asyncio.sleep(30)
            return await super().answer(asker, action, sink)

    monkeypatch.setattr(stages, "CLEAN_SECONDS", 0.05)
    store = MemoryStore()
    ended = run_with(memory_scenario(Stuck(verbs=LISTED), tenants=FEW), store)
    assert ended.run["surfaces"][0]["notRemoved"] == 9
    assert asyncio.run(sweep.orphans(store)) == [ended.run["run"]]


@pytest.mark.parametrize("verbs", [API_VERBS, LISTED, *({*LISTED, *more} for more in MORE_VERBS)])
def test_what_the_snapshot_shows_of_a_memory_surface_leads_to_the_same_plan(verbs: Any) -> None:
    """A run goes on from its sealed snapshot alone; the doubles must lead it to the same trials."""
    scenario = memory_scenario(MemorySurface(verbs=frozenset(verbs)), tenants=FEW)
    assert make_plan(parse_scenario(scenario.snapshot())) == make_plan(scenario)


def test_one_surface_that_cannot_be_cleaned_up_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails_at_one(reach: Reach, **rest: Any) -> Cleaned:
        if reach.name == "one":
            raise ZeroDivisionError
        await asyncio.sleep(0.01)
        return await clean(reach, **rest)

    monkeypatch.setattr(stages, "clean", fails_at_one)
    one, other = MemorySurface(verbs=LISTED), MemorySurface(verbs=LISTED)
    with pytest.raises(ZeroDivisionError):
        run_with(memory_scenario({"one": one, "other": other}, tenants=FEW), MemoryStore())
    assert (len(one.documents), len(other.documents)) == (9, 0)


def test_a_surface_that_takes_writes_of_one_surface_for_another_is_seen() -> None:
    """Two surfaces on one shelf, one of which shows everything: the marker of one is found through the other."""
    front, back = MemorySurface(verbs=LISTED), MemorySurface(verbs=LISTED, leaky_list=Audience.EVERYBODY)
    back.documents = front.documents
    back._numbers = front._numbers
    ended = run_with(memory_scenario({"front": front, "back": back}, tenants=FEW), MemoryStore())
    seen = {(finding["surface"], finding["marker"].split("/")[0]) for finding in ended.run["findings"]}
    assert seen == {("back", "front"), ("back", "back")}
    assert front.documents == {}


def test_an_answer_that_is_refused_to_a_principal_is_no_finding() -> None:
    ended = run_with(
        memory_scenario(MemorySurface(answers={Verb.FETCH: AnswerKind.DENIED}), tenants=FEW), MemoryStore()
    )
    assert ended.run["findings"] == []
    assert ended.run["verdict"] == "Inconclusive"
