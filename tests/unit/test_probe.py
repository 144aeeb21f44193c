"""Each promise of docs/verdicts.md, on surfaces in memory that keep it or break it in one way."""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sectum import catalog, pipeline
from sectum.actions import (
    AnswerKind,
    Ask,
    AskCached,
    Batch,
    Delete,
    Fetch,
    List,
    Principal,
    Search,
    Verb,
    WhoAmI,
    Write,
)
from sectum.codec import b64
from sectum.finding import existence_shows
from sectum.gate import Gate
from sectum.job import Progress
from sectum.manifest import Manifest, draw_manifest
from sectum.markers import Kind
from sectum.plan import make_plan
from sectum.ports import Arm, ArmView, AskPort, Attack
from sectum.probe import ArmPlay, World, outgoing
from sectum.reach import Reach
from sectum.scan import SIGHTING, Index
from sectum.testing import API_VERBS, Audience, ManualClock, MemoryStore, MemorySurface, memory_scenario, try_out

ANN, BEN, CAT, DAN = (
    Principal(*names) for names in (("acme", "ann"), ("acme", "ben"), ("globex", "cat"), ("globex", "dan"))
)
ALL = API_VERBS
SAME, OTHER = "same-tenant", "other-tenant"
PLAIN = ("boundary-fetch", "entity-bleed", "semantic-cache")
"""What is tried on a MemorySurface as it comes, without further consent."""
GROUPS = {(attack, kind) for attack in PLAIN for kind in (SAME, OTHER)}


def run(
    surface: MemorySurface, observe: Callable[[Progress], None] = lambda _step: None, **spec: Any
) -> dict[str, Any]:
    ended = asyncio.run(try_out(memory_scenario(surface, **spec), observe=observe))
    return ended.run


def outcomes(result: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(cell["attack"], cell["askerKind"]): cell["outcome"] for cell in result["cells"]}


def reasons(result: dict[str, Any]) -> set[str]:
    return {reason for cell in result["cells"] for reason in cell["reasons"]}


def groups(outcome: str, result: dict[str, Any]) -> set[tuple[str, str]]:
    return {group for group, each in outcomes(result).items() if each == outcome}


def test_a_surface_that_keeps_everybody_apart_passes_and_is_left_empty() -> None:
    surface = MemorySurface()
    result = run(surface)
    assert groups("Pass", result) == GROUPS
    assert (result["verdict"], result["findings"], surface.documents) == ("Pass", [], {})
    assert all(len(row["arms"]) == 4 for row in result["rows"])
    assert {arm["identity"] for row in result["rows"] for arm in row["arms"]} == {"proven"}


LEAKS: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "fetch": ({"leaky_fetch": Audience.EVERYBODY}, {("boundary-fetch", SAME), ("boundary-fetch", OTHER)}),
    "fetch in the tenant": ({"leaky_fetch": Audience.TENANT}, {("boundary-fetch", SAME)}),
    "list": ({"leaky_list": Audience.EVERYBODY}, {("boundary-fetch", SAME), ("boundary-fetch", OTHER)}),
    "list in the tenant": ({"leaky_list": Audience.TENANT}, {("boundary-fetch", SAME)}),
    "claims": ({"believes_claims": True}, {("boundary-fetch", SAME), ("boundary-fetch", OTHER)}),
    "cache": ({"shared_cache": Audience.EVERYBODY}, {("semantic-cache", SAME), ("semantic-cache", OTHER)}),
    "cache in the tenant": ({"shared_cache": Audience.TENANT}, {("semantic-cache", SAME)}),
    # Retrieval feeds the cached answers too.
    "search": (
        {"leaky_search": Audience.EVERYBODY},
        {(attack, kind) for attack in ("entity-bleed", "semantic-cache") for kind in (SAME, OTHER)},
    ),
    "search in the tenant": (
        {"leaky_search": Audience.TENANT},
        {("entity-bleed", SAME), ("semantic-cache", SAME)},
    ),
    "search without a cache": (
        {"leaky_search": Audience.EVERYBODY, "verbs": ALL - {Verb.ASK_CACHED}},
        {("entity-bleed", SAME), ("entity-bleed", OTHER)},
    ),
}


@pytest.mark.parametrize(("knobs", "expected"), LEAKS.values(), ids=LEAKS)
def test_a_leak_is_found_in_exactly_the_groups_in_which_it_is(knobs: dict[str, Any], expected: Any) -> None:
    surface = MemorySurface(**knobs)
    result = run(surface)
    assert groups("Leak", result) == expected
    assert groups("Inconclusive", result) == set()
    assert result["verdict"] == "Leak"
    assert surface.documents == {}
    owners = {each["id"]: each["owner"] for each in result["markers"]}
    for finding in result["findings"]:
        assert finding["owner"] == owners[finding["marker"]] != finding["asker"]


def test_every_foreign_marker_in_a_listing_is_a_finding_of_its_own_pair() -> None:
    result = run(MemorySurface(leaky_list=Audience.EVERYBODY), surface_fields={"attacks": ["boundary-fetch"]})
    seen = {(tuple(f["asker"].values()), tuple(f["owner"].values()), f["marker"]) for f in result["findings"]}
    users = [("acme", "ann"), ("acme", "ben"), ("globex", "cat"), ("globex", "dan")]
    assert seen == {
        (asker, tuple(each["owner"].values()), each["id"])
        for asker in users
        for each in result["markers"]
        if asker != tuple(each["owner"].values())
    }


INCONCLUSIVE: dict[str, tuple[dict[str, Any], set[str]]] = {
    "it forgets what is written": ({"forgets_writes": True}, {"ReadBackFailed"}),
    "it forgets, and there is no fetch": (
        {"forgets_writes": True, "verbs": ALL - {Verb.FETCH, Verb.BATCH}},
        {"PositiveControlFailed"},
    ),
    "it is empty to everybody": ({"empty_to_all": True}, {"ReadBackFailed"}),
    "it is empty to everybody, and there is no fetch": (
        {"empty_to_all": True, "verbs": ALL - {Verb.FETCH, Verb.BATCH}},
        {"PositiveControlFailed"},
    ),
    "it repeats the question": ({"echoes": True}, {"ReadBackFailed"}),
    "it repeats the question, and there is no fetch": (
        {"echoes": True, "verbs": ALL - {Verb.FETCH, Verb.BATCH}},
        {"PositiveControlFailed"},
    ),
    "it names somebody else": ({"lies_about_identity": True}, {"IdentityUnproven"}),
    "it loses who asks midway": ({"loses_identity_after": 200}, {"IdentityUnproven"}),
    "it cannot say who asks": ({"verbs": ALL - {Verb.WHOAMI}}, {"IdentityUnproven"}),
    "it is not empty": ({"extra_items": ("somebody's letter",)}, {"NotEmpty"}),
    "it is not there": ({"unreachable": True}, {"Unreachable"}),
    "it refuses every credential": ({"denies": True}, {"Denied"}),
    "it denies listing": ({"answers": {Verb.LIST: AnswerKind.DENIED}}, {"Denied"}),
    "its listing fails": ({"answers": {Verb.LIST: AnswerKind.SERVER_ERROR}}, {"AnswerFault", "SurfaceSuffers"}),
    "its listing is malformed": ({"answers": {Verb.LIST: AnswerKind.MALFORMED}}, {"AnswerFault"}),
    "it accepts no document": ({"answers": {Verb.WRITE: AnswerKind.REJECTED}}, {"PlantFailed"}),
    "it crashes": ({"crashes_on": ALL - {Verb.DELETE}}, {"ProbeCrashed", "IdentityUnproven"}),
}


@pytest.mark.parametrize(("knobs", "expected"), INCONCLUSIVE.values(), ids=INCONCLUSIVE)
def test_what_is_not_earned_is_inconclusive_with_its_reason(knobs: dict[str, Any], expected: set[str]) -> None:
    surface = MemorySurface(**knobs)
    result = run(surface)
    assert set(outcomes(result).values()) == {"Inconclusive"}
    assert result["verdict"] == "Inconclusive"
    assert reasons(result)
    assert reasons(result) <= expected
    assert surface.documents == {}


@pytest.mark.parametrize(
    "kind", [each for each in AnswerKind if each in ("timeout", "redirected", "too-large", "too-deep", "malformed")]
)
@pytest.mark.parametrize("verb", [Verb.SEARCH, Verb.ASK])
def test_an_answer_that_says_nothing_makes_its_attack_inconclusive_and_no_other(kind: AnswerKind, verb: Verb) -> None:
    result = run(MemorySurface(answers={verb: kind}))
    assert groups("Inconclusive", result) == {("entity-bleed", SAME), ("entity-bleed", OTHER)}
    assert reasons(result) == {"AnswerFault"}


@pytest.mark.parametrize("knobs", [{"throttles": 3}, {"server_errors": 3}])
def test_a_few_refusals_for_being_busy_do_not_matter(knobs: dict[str, Any]) -> None:
    assert run(MemorySurface(**knobs))["verdict"] == "Pass"


def test_a_surface_that_fails_all_the_time_is_left_alone() -> None:
    surface = MemorySurface(server_errors=10_000)
    result = run(surface)
    assert set(outcomes(result).values()) == {"Inconclusive"}
    assert len(surface.received) < 100


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Manifest]:
    """The manifests of the test's runs."""
    manifests: list[Manifest] = []

    def remember(*args: Any, **kwargs: Any) -> Manifest:
        manifests.append(draw_manifest(*args, **kwargs))
        return manifests[-1]

    monkeypatch.setattr(pipeline, "draw_manifest", remember)
    return manifests


def turn(surface: MemorySurface, **knobs: Any) -> Callable[[Progress], None]:
    """Turns knobs when everything is planted."""

    def observe(step: Progress) -> None:
        if step.stage == "plant" and step.done == step.total:
            for name, value in knobs.items():
                setattr(surface, name, value)

    return observe


def test_items_that_nobody_knows_end_the_arm_and_are_counted_and_not_kept() -> None:
    surface = MemorySurface()
    result = run(surface, turn(surface, extra_items=("a real customer's letter",)))
    assert groups("Inconclusive", result) == {
        (attack, kind) for attack in ("boundary-fetch", "entity-bleed") for kind in (SAME, OTHER)
    }
    assert groups("Pass", result) == {("semantic-cache", SAME), ("semantic-cache", OTHER)}  # free text: no closed world
    assert reasons(result) == {"ForeignUnknown"}
    assert "letter" not in str(result)
    assert {arm["unknown"] for row in result["rows"] for arm in row["arms"]} == {0, 1}


def test_leftovers_and_shared_items_that_the_scenario_names_are_known() -> None:
    surface = MemorySurface(extra_items=("a notice", "a form"))
    everybody = [{"tenant": "acme"}, {"tenant": "globex"}]
    sharing = [
        {
            "surface": "memory",
            "owner": {"tenant": "acme", "user": "ann"},
            "with": who,
            "items": ["stranger-1"],
            "reason": "r",
        }
        for who in everybody
    ]
    result = run(surface, surface_fields={"leftovers": ["stranger-0"]}, sharing=sharing)
    assert result["verdict"] == "Pass"


def test_what_is_named_for_one_surface_is_unknown_on_another() -> None:
    one, other = MemorySurface(extra_items=("a notice",)), MemorySurface(extra_items=("a letter",))
    declared = {"owner": {"tenant": "acme"}, "with": {"tenant": "globex"}, "items": ["stranger-0"], "reason": "r"}
    sharing = [{"surface": "one", **declared}, {"surface": "one", **declared, "with": {"tenant": "acme"}}]
    ended = asyncio.run(try_out(memory_scenario({"one": one, "other": other}, sharing=sharing)))
    assert {row["name"]: row["fault"] for row in ended.run["surfaces"]} == {"one": None, "other": "NotEmpty"}


def test_what_is_named_for_one_surface_is_unknown_on_another_after_planting_too() -> None:
    one, other = MemorySurface(), MemorySurface()
    declared = {"surface": "one", "owner": {"tenant": "acme"}, "items": ["stranger-0"], "reason": "r"}
    sharing = [{**declared, "with": {"tenant": "acme"}}, {**declared, "with": {"tenant": "globex"}}]

    def observe(step: Progress) -> None:
        turn(one, extra_items=("a notice",))(step)
        turn(other, extra_items=("a letter",))(step)

    fields = {"attacks": ["boundary-fetch"]}
    scenario = memory_scenario({"one": one, "other": other}, sharing=sharing, surface_fields=fields)
    cells = asyncio.run(try_out(scenario, observe=observe)).run["cells"]
    assert {(cell["surface"], *cell["reasons"]) for cell in cells} == {("one",), ("other", "ForeignUnknown")}


def test_what_is_seen_through_a_declared_sharing_is_no_leak() -> None:
    sharing = [{"surface": "memory", "owner": {"tenant": "acme"}, "with": {"tenant": "acme"}, "reason": "one team"}]
    open_in_the_team = dict.fromkeys(("leaky_fetch", "leaky_list", "leaky_search", "shared_cache"), Audience.TENANT)
    result = run(MemorySurface(**open_in_the_team), sharing=sharing)
    assert {finding["owner"]["tenant"] for finding in result["findings"]} == {"globex"}  # it shares nothing
    both = [*sharing, {**sharing[0], "owner": {"tenant": "globex"}, "with": {"tenant": "globex"}}]
    declared = run(MemorySurface(**open_in_the_team), sharing=both)
    assert declared["findings"] == []
    assert declared["verdict"] == "Pass"
    assert {skip["reason"] for skip in declared["skips"] if skip["attack"] in PLAIN} == {"DeclaredSharing"}


def test_a_shared_document_that_is_listed_without_its_text_is_no_unknown() -> None:
    scenario = memory_scenario(MemorySurface())
    plan = make_plan(scenario)
    manifest = draw_manifest(plan, run="r", below=secrets.randbelow)
    markers = {each.id: each for each in manifest.markers + manifest.decoys}
    trial = next(each for each in plan.trials if (each.asker, each.owner) == (ANN, CAT))
    world = World(markers=markers, index=Index({}), planted={("memory", "document-1"): trial.marker.id})
    surface = scenario.surface("memory")
    reach = Reach(surface, Gate(surface.budget, ManualClock().clock), surface.spec.verbs())
    player = ArmPlay(world, reach, trial, Arm.FOREIGN, {"arms": []})
    assert player._is_unknown("document-1", "")
    world.shared = lambda _surface, _asker, _owner: True
    assert not player._is_unknown("document-1", "")


def test_an_excluded_attack_is_not_tried_and_does_not_keep_a_run_from_passing() -> None:
    surface = MemorySurface(leaky_search=Audience.EVERYBODY, verbs=ALL - {Verb.ASK_CACHED})
    result = run(surface, exclusions=[{"surface": "memory", "attack": "entity-bleed", "reason": "known"}])
    assert result["verdict"] == "Pass"
    assert not [action for _, action in surface.received if isinstance(action, (Search, Ask))]
    assert [skip["detail"] for skip in result["skips"] if skip["reason"] == "Excluded"] == ["known"]


def test_an_answer_that_is_missing_or_says_nothing_tells_of_no_existence() -> None:
    """A run that was cancelled said that 404 and no answer at all differ (found by a user)."""
    row = next(each for each in run(MemorySurface(tells_existence=True))["rows"] if existence_shows(each))
    decoy = next(arm for arm in row["arms"] if arm["arm"] == "decoy")
    assert not existence_shows({**row, "fault": "Cancelled"})
    for answers in ([], ["timeout"], ["throttled"]):
        arms = [{**arm, "answers": answers} if arm is decoy else arm for arm in row["arms"]]
        assert not existence_shows({**row, "arms": arms})


def test_with_one_tenant_nothing_between_tenants_is_shown() -> None:
    result = run(MemorySurface(), tenants={"acme": ("ann", "ben")})
    cells = {(cell["attack"], cell["askerKind"]): cell["outcome"] for cell in result["cells"]}
    assert {outcome for (_, kind), outcome in cells.items() if kind == SAME} == {"Pass"}
    assert {outcome for (_, kind), outcome in cells.items() if kind == OTHER} == {"NotCovered"}
    assert result["verdict"] == "Inconclusive"


def test_an_existence_oracle_is_told_and_is_no_leak() -> None:
    result = run(MemorySurface(tells_existence=True))
    assert result["verdict"] == "Pass"
    shows = {(cell["attack"], cell["askerKind"]): cell["existenceShows"] for cell in result["cells"]}
    assert shows["boundary-fetch", OTHER] > 0
    assert shows["entity-bleed", OTHER] == 0


# --- attacks of the tests' own: what the one `ask` does not let them do -----------------------------------------------


def attack_of(attempt: Callable[[ArmView, AskPort], Any], **changes: Any) -> Attack:
    return replace(catalog.attacks()["boundary-fetch"], name="own-attack", attempt=attempt, **changes)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Attack], None]:
    def set_only(attack: Attack) -> None:
        monkeypatch.setattr(catalog, "attacks", lambda: {attack.name: attack})

    return set_only


def test_an_attack_that_raises_is_inconclusive_and_its_words_appear_nowhere(
    only: Callable[[Attack], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(view: ArmView, ask: AskPort) -> None:
        await ask(Fetch(view.target.location))
        raise RuntimeError(f"words of a server about {view.target.location}")

    caplog.set_level(logging.INFO)
    only(attack_of(crash))
    store, surface = MemoryStore(), MemorySurface()
    ended = asyncio.run(try_out(memory_scenario(surface), store=store))
    assert (ended.run["verdict"], reasons(ended.run), surface.documents) == ("Inconclusive", {"ProbeCrashed"}, {})
    assert "RuntimeError" in caplog.text
    everything = caplog.text + repr(store.objects) + repr(ended.run)
    assert "words of a server" not in everything


def test_an_adapter_that_raises_is_inconclusive_and_its_words_appear_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store, surface = MemoryStore(), MemorySurface(crashes_on=frozenset({Verb.SEARCH}))
    ended = asyncio.run(try_out(memory_scenario(surface), store=store))
    assert groups("Inconclusive", ended.run) == {("entity-bleed", SAME), ("entity-bleed", OTHER)}
    assert reasons(ended.run) == {"ProbeCrashed"}
    assert "Notes on the" not in caplog.text + repr(store.objects) + repr(ended.run)


def test_an_attack_that_swallows_what_ask_raises_does_not_pass(only: Callable[[Attack], None]) -> None:
    async def swallow(view: ArmView, ask: AskPort) -> None:
        try:
            await ask(Search("anything"))  # this surface cannot
        except Exception:  # noqa: BLE001
            await ask(Fetch(view.target.location))

    only(attack_of(swallow))
    result = run(MemorySurface(verbs=ALL - {Verb.SEARCH}))
    assert (result["verdict"], reasons(result)) == ("Inconclusive", {"ProbeCrashed"})


def test_after_an_item_that_nobody_knows_an_arm_asks_nothing_more(only: Callable[[Attack], None]) -> None:
    async def twice(_view: ArmView, ask: AskPort) -> None:
        await ask(List())
        await ask(List())

    only(attack_of(twice))
    surface = MemorySurface()
    result = run(surface, turn(surface, extra_items=("a real customer's letter",)))
    assert {tuple(arm["answers"]) for row in result["rows"] for arm in row["arms"]} == {("items",)}
    assert {arm["unknown"] for row in result["rows"] for arm in row["arms"]} == {1}
    assert reasons(result) == {"ForeignUnknown"}


def test_an_attack_that_asks_nothing_does_not_pass(only: Callable[[Attack], None]) -> None:
    async def nothing(_view: ArmView, _ask: AskPort) -> None:
        """It asks nothing."""

    only(attack_of(nothing))
    result = run(MemorySurface())
    assert (result["verdict"], reasons(result)) == ("Inconclusive", {"AnswerFault"})


def spelt(form: Callable[[str], str], surface: MemorySurface) -> Callable[[ArmView, AskPort], Any]:
    """An attack that knows the marker (from a leak of its own, say) and sends it in some form."""

    async def attempt(view: ArmView, ask: AskPort) -> None:
        documents = [each.text for each in surface.documents.values() if view.target.topic in each.text]
        secret = next((text.rpartition(" is ")[2].rstrip(".") for text in documents), "nothing")
        await ask(Search(form(secret)) if not view.arm.by_owner else Fetch(view.target.location))

    return attempt


@pytest.mark.parametrize("form", [str, str.upper, lambda text: b64(text.encode()), lambda text: text[::-1]])
def test_no_arm_but_the_owner_s_can_send_a_form_of_what_it_looks_for(
    form: Callable[[str], str], only: Callable[[Attack], None]
) -> None:
    surface = MemorySurface(leaky_search=Audience.EVERYBODY)
    only(attack_of(spelt(form, surface), own_topic=True))
    result = run(surface)
    assert (result["verdict"], reasons(result), result["findings"]) == ("Inconclusive", {"Echo"}, [])
    assert not [action for _, action in surface.received if isinstance(action, Search)]


def test_an_attack_that_must_send_the_marker_never_finds_content(only: Callable[[Attack], None]) -> None:
    surface = MemorySurface(leaky_fetch=Audience.EVERYBODY)

    async def attempt(view: ArmView, ask: AskPort) -> None:
        await spelt(str, surface)(view, ask)
        await ask(Fetch(view.target.location))

    only(attack_of(attempt, own_topic=True, sends_marker=True))
    result = run(surface)
    assert result["findings"] == []
    assert result["verdict"] == "Inconclusive"
    assert reasons(result) == {"Echo"}


def test_a_marker_of_a_third_party_that_the_asker_had_sent_proves_nothing(only: Callable[[Attack], None]) -> None:
    surface = MemorySurface(leaky_list=Audience.EVERYBODY)

    async def attempt(view: ArmView, ask: AskPort) -> None:
        if view.arm == Arm.FOREIGN and view.target.owner != CAT:
            await ask(Search(next(each.text for each in surface.documents.values() if each.owner == CAT)))
        await ask(Fetch(view.target.location) if view.arm.by_owner else List())

    only(attack_of(attempt))
    result = run(surface)
    senders = [row for row in result["rows"] if any(arm["sent"] for arm in row["arms"])]
    assert {(row["outcome"], row["reason"]) for row in senders} == {("Inconclusive", "Echo")}
    assert {finding["slot"] for finding in result["findings"]}.isdisjoint(row["slot"] for row in senders)


def test_a_decoy_that_is_found_makes_the_trial_inconclusive(drawn: list[Manifest]) -> None:
    surface = MemorySurface()

    def observe(step: Progress) -> None:
        if step.stage == "plant" and step.done == step.total:
            surface.extra_items = tuple(each.document() for each in drawn[-1].decoys)

    result = run(surface, observe, surface_fields={"attacks": ["entity-bleed"]})
    assert result["verdict"] == "Inconclusive"
    assert "DecoySeen" in reasons(result)
    assert result["findings"] == []


# --- what goes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", PLAIN)
def test_no_arm_of_any_attack_sends_a_form_of_any_marker(attack: str, drawn: list[Manifest]) -> None:
    surface = MemorySurface()
    result = run(surface, surface_fields={"attacks": [attack]})
    [manifest] = drawn
    markers = {each.id: (each.spec.kind, each.plaintext) for each in manifest.markers + manifest.decoys}
    index = Index(markers)
    asked = [(who, action) for who, action in surface.received if not isinstance(action, (Write, WhoAmI, Delete))]
    assert len({row["phrasing"] for row in result["rows"]}) > 1
    assert len(asked) >= 4 * len(result["rows"])
    for _, action in asked:
        assert index.sent(outgoing(action) + repr(action)) == {}
    planted = [action for _, action in surface.received if isinstance(action, Write)]
    assert {marker for action in planted for marker in index.sent(outgoing(action))} == {m.id for m in manifest.markers}


SENT = {
    Write("title", "text", "wanted"): "title\ntext",
    Fetch("x"): "x",
    Delete("x"): "x",
    Batch(("x", "y")): "x\ny",
    Search("q"): "q",
    Ask("q"): "q",
    AskCached("q"): "q",
    WhoAmI(): "",
}


@pytest.mark.parametrize(("action", "text"), SENT.items(), ids=lambda each: type(each).__name__)
def test_every_text_of_an_action_is_scanned_before_it_goes_out(action: Any, text: str) -> None:
    assert outgoing(action) == text


def test_every_marker_has_its_four_arms_in_order_and_both_kinds_of_asker() -> None:
    result = run(MemorySurface())
    for row in result["rows"]:
        arms = [(arm["arm"], arm["asker"]) for arm in row["arms"]]
        assert arms == [
            ("owner-before", row["owner"]),
            ("foreign", row["asker"]),
            ("decoy", row["asker"]),
            ("owner-after", row["owner"]),
        ]
    assert Counter(cell["askerKind"] for cell in result["cells"]) == {SAME: 3, OTHER: 3}


def test_free_text_counts_as_tokens_questions_too() -> None:
    result = run(MemorySurface(verbs=frozenset({Verb.WHOAMI, Verb.WRITE, Verb.ASK, Verb.DELETE}), empty_to_all=True))
    question = len("What is the reference for the ?") // 4
    assert result["surfaces"][0]["tokens"] > len(result["rows"]) * 2 * question


def test_a_part_that_an_id_holds_by_chance_makes_no_echo_of_a_sighting_but_half_a_marker_does() -> None:
    index = Index({"m": (Kind.HARD, "0123g56789abkcde")})
    [(marker, parts)] = index.sent("id-0123g-x").items()
    assert (marker, index.weigh("m", parts)) == ("m", 5 * 77 / 16)
    assert 77 - index.weigh("m", parts) >= SIGHTING, "a chance of five characters leaves a sighting"
    assert 77 - index.weigh("m", [*parts, (5, 10)]) < SIGHTING, "ten characters do not"
    assert index.weigh("m", [*parts, *parts, (1, 4)]) == index.weigh("m", parts), "what is sent twice counts once"
