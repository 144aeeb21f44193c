"""Two runs -> what changed: nothing that was not tried again is ever an improvement, and no leak is overlooked."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from sectum import pack
from sectum.cli.app import app
from sectum.codec import sha256
from sectum.container import from_zip
from sectum.diff import Change, compare
from sectum.ports import Arm
from sectum.scenario import Scenario

from tests import runs

SCENARIO = runs.scenario()
GROUPS = ("leakNotTriedAgain", "new", "persisting", "lostCoverage", "fixed", "gainedCoverage")


def third(trial: runs.Trial) -> runs.Row:
    """A trial that passes, in which something of a third party turns up: a leak, though not the one looked for."""
    row = runs.clean_row(trial)
    other = next(
        each.id
        for each in runs.make_plan(SCENARIO).markers
        if each.surface == trial.surface and each.owner not in (trial.asker, trial.owner)
    )
    row["arms"][1] = runs.arm(trial, Arm.FOREIGN, seen=[other])
    return row


def void(trial: runs.Trial) -> runs.Row:
    """A marker came back, and so did one that was never planted: nothing of it can be relied on."""
    row = runs.leak_row(trial)
    row["arms"][2] = runs.arm(trial, Arm.DECOY, seen=[trial.decoy.id])
    return row


PLAYS = {
    "Pass": runs.clean_row,
    "Leak": runs.leak_row,
    "third": third,
    "Inconclusive": lambda trial: runs.fault_row(trial, "Budget"),
    "void": void,
}


@cache
def trials() -> tuple[runs.Trial, ...]:
    return runs.make_plan(SCENARIO).trials


def run(first: str = "Pass", *, rest: str = "Pass", about: Scenario = SCENARIO) -> dict[str, Any]:
    """A run whose first trial (of the sample scenario's order) came to `first`."""
    slot = trials()[0].slot
    return runs.sample(about, play=lambda _n, trial: PLAYS[first if trial.slot == slot else rest](trial)).run


def of(change: str, told: dict[str, Any]) -> dict[str, Any]:
    """The one group of that change."""
    [group] = [each for each in told["groups"] if each["change"] == change]
    return dict(group)


BECOMES = [
    ("Pass", "Pass", None, False),
    ("Pass", "Leak", "new", True),
    ("Pass", "third", "new", True),
    ("Pass", "Inconclusive", "lostCoverage", True),
    ("Leak", "Leak", "persisting", False),
    ("Leak", "third", "persisting", False),
    ("Leak", "Pass", "fixed", False),
    ("third", "Pass", "fixed", False),
    ("Leak", "Inconclusive", "leakNotTriedAgain", True),
    ("Leak", "void", "leakNotTriedAgain", True),
    ("third", "Inconclusive", "leakNotTriedAgain", True),
    ("Inconclusive", "Leak", "new", True),
    ("void", "Leak", "new", True),
    ("Inconclusive", "Pass", "gainedCoverage", False),
    ("Inconclusive", "void", None, False),
]


@pytest.mark.parametrize(("was", "is_", "change", "worse"), BECOMES)
def test_a_trial_that_was_and_is(was: str, is_: str, change: str | None, worse: bool) -> None:
    told = compare(run(was), run(is_))
    assert told["worse"] is worse
    assert [each["change"] for each in told["groups"]] == ([change] if change else [])
    if change:
        group = of(change, told)
        assert (group["trials"], group["slots"]) == (1, [trials()[0].slot])
        assert told["counts"][change] == 1


def test_a_group_names_the_pair_to_which_the_marker_really_belongs_and_why_it_is_not_known_again() -> None:
    trial = trials()[0]
    group = of("leakNotTriedAgain", compare(run("third"), run("Inconclusive")))
    assert group["worst"]["asker"] == {"tenant": trial.asker.tenant, "user": trial.asker.user}
    assert group["worst"]["owner"] != {"tenant": trial.owner.tenant, "user": trial.owner.user}
    assert (group["reasons"], group["before"]["Leak"], group["after"]["Inconclusive"]) == (["Budget"], 1, 1)


def test_of_several_pairs_one_between_tenants_is_the_example() -> None:
    group = compare(run(), run("Leak", rest="Leak"))["groups"][0]
    assert group["worst"]["askerKind"] == "other-tenant"
    assert group["pairs"] == 6


def changed(**spec: Any) -> Scenario:
    return runs.scenario(**spec)


ATTACK = trials()[0].attack
AWAY = [
    ("excluded", changed(exclusions=[{"surface": "api", "attack": ATTACK, "reason": "-"}]), "Excluded"),
    ("the surface gone", changed(kinds=["semantic-cache"]), "NotPlanned"),
    ("the tenant gone", changed(tenants={"globex": ["bob"], "initech": ["ivy"]}), "NotPlanned"),
    (
        "declared as shared",
        changed(sharing=[{"surface": "api", "owner": {"tenant": t}, "with": {"tenant": t}, "reason": "-"}
                         for t in ("acme", "globex")]),
        "DeclaredSharing",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("about", "reason"), [each[1:] for each in AWAY], ids=[each[0] for each in AWAY])
def test_a_leak_that_is_not_planned_any_more_is_not_fixed_but_not_tried_again(about: Scenario, reason: str) -> None:
    told = compare(run("Leak"), run(about=about))
    group = of("leakNotTriedAgain", told)
    assert told["groups"][0] == group, "it comes first"
    assert group["reasons"] == [reason]
    assert told["worse"]
    assert told["counts"]["fixed"] == 0
    assert told["scenario"]["changed"]
    assert told["scenario"]["onlyBefore"] > 0


def test_a_third_partys_leak_that_is_declared_as_shared_since_is_not_fixed() -> None:
    trial = trials()[0]
    seen = of("new", compare(run(), run("third")))["worst"]
    sharing = [{"surface": "api", "owner": seen["owner"], "with": seen["asker"], "reason": "so"}]
    told = compare(run("third"), run(about=changed(sharing=sharing)))
    group = of("leakNotTriedAgain", told)
    assert (group["slots"], group["reasons"], group["after"]["Pass"]) == ([trial.slot], ["DeclaredSharing"], 1)


@pytest.mark.parametrize("weaker", [{"contentFindings": False}, {"control": "cached"}, {"baseline": True}])
def test_a_trial_that_is_planned_otherwise_is_another_one(weaker: dict[str, Any]) -> None:
    after = run()
    after["rows"][0].update(weaker)
    told = compare(run("Leak"), after)
    assert told["counts"]["fixed"] == 0
    assert told["counts"]["leakNotTriedAgain"] == 1


def test_the_scenarios_parts_are_named() -> None:
    surfaces = runs.document()["spec"]["surfaces"]
    surfaces[0]["budget"] = {"requests": 9}
    after = changed(tenants={"acme": ["alice"], "initech": ["ivy"]}, surfaces=surfaces[:1], trials={"perPair": 2})
    scenario = compare(run(), run(about=after))["scenario"]
    assert scenario["tenants"] == {"removed": ["globex"], "added": ["initech"], "changed": ["acme"]}
    assert scenario["surfaces"] == {"removed": ["semantic-cache"], "added": [], "changed": ["api"]}
    assert scenario["attacks"]["removed"] == [{"surface": "semantic-cache", "attack": "semantic-cache"}]
    assert scenario["other"] == ["trials"]


states = st.sampled_from(sorted(PLAYS))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_trial_has_one_change_and_only_a_pass_improves(data: st.DataObject) -> None:
    count = len(trials())
    was, is_ = (data.draw(st.lists(states, min_size=count, max_size=count)) for _ in range(2))
    both = [runs.sample(SCENARIO, play=lambda n, t, plays=plays: PLAYS[plays[n]](t)).run for plays in (was, is_)]
    told = compare(*both)
    assert sum(told["counts"].values()) == count
    changes = {slot: each["change"] for each in told["groups"] for slot in each["slots"]}
    leaks = ("Leak", "third")
    for trial, before, after in zip(trials(), was, is_, strict=True):
        change = changes.get(trial.slot)
        assert (change in ("fixed", "gainedCoverage")) == (before != "Pass" and after == "Pass")
        assert (change == "leakNotTriedAgain") == (before in leaks and after in ("Inconclusive", "void"))
        assert (change in ("new", "persisting")) == (after in leaks)
    assert told["worse"] == any(told["counts"][each] for each in (Change.NEW, Change.LOST, Change.NOT_TRIED_AGAIN))


# --- the verb


@pytest.fixture
def packs(tmp_path: Path) -> Any:
    """Writes packs with what verifies them; gives the words of `sectum diff`."""

    def write(first: str, second: str) -> list[str]:
        words = []
        for side, came_to in (("old", first), ("new", second)):
            made = runs.sample(play=lambda n, trial, to=came_to: PLAYS[to if n == 0 else "Pass"](trial))
            (tmp_path / f"{side}.zip").write_bytes(made.zip())
            (tmp_path / f"{side}.pem").write_bytes(made.key)
            (tmp_path / f"{side}.json").write_bytes(made.open_record)
            words += [f"--{side}-open", str(tmp_path / f"{side}.json")]
        keys = ["--key", str(tmp_path / "new.pem"), "--old-key", str(tmp_path / "old.pem")]
        return [str(tmp_path / "old.zip"), str(tmp_path / "new.zip"), *keys, *words, "--allow-unanchored"]

    return write


def sectum(*words: str) -> Result:
    return CliRunner().invoke(app, ["diff", *words], prog_name="sectum")


@pytest.mark.parametrize(
    ("was", "is_", "status", "says"),
    [
        ("Pass", "Pass", 0, "nothing is worse"),
        ("Leak", "Pass", 0, "Leaks fixed: 1 trials"),
        ("Leak", "Leak", 0, "Leaks still there: 1 trials"),
        ("Pass", "Leak", 10, "New leaks: 1 trials"),
        ("Pass", "Inconclusive", 11, "Coverage lost: 1 trials"),
        ("Leak", "Inconclusive", 11, "Leaks that were not tried again: 1 trials"),
    ],
)
def test_the_exit_status_says_whether_anything_is_worse(packs: Any, was: str, is_: str, status: int, says: str) -> None:
    result = sectum(*packs(was, is_))
    assert (result.exit_code, says in result.stdout) == (status, True), result.output
    assert result.stdout.count("verified, unanchored") == 2


def test_its_json_has_the_shape_that_the_page_gives(packs: Any) -> None:
    told = json.loads(sectum(*packs("Leak", "Inconclusive"), "-o", "json").stdout)
    page = (Path(__file__).parents[2] / "docs" / "diff.md").read_text()
    shape = json.loads(page.partition("```json\n")[2].partition("```")[0])

    def same(given: Any, shown: Any, where: str) -> None:
        if None in (given, shown):
            return
        assert type(given) is type(shown), where
        if isinstance(shown, dict):
            assert given.keys() == shown.keys(), where
            for name in shown:
                same(given[name], shown[name], f"{where}.{name}")
        elif isinstance(shown, list) and shown:
            for each in given:
                same(each, shown[0], f"{where}[]")

    same(told, shape, "")
    assert told["before"]["verified"] is True


def test_what_does_not_verify_is_not_compared_unless_that_is_said_aloud(packs: Any, tmp_path: Path) -> None:
    words = packs("Leak", "Pass")
    forged = tmp_path / "new.zip"
    made = runs.sample(play=runs.every())
    forged.write_bytes(pack.to_zip({**made.members(), "README.txt": b"all is well"}))
    refused = sectum(*words)
    assert refused.exit_code == 12
    assert refused.stdout == ""
    assert "NOT VERIFIED" in refused.stderr
    compared = sectum(*words, "--unverified", "-o", "json")
    assert "anybody may have written it" in compared.stderr
    told = json.loads(compared.stdout)
    assert (told["before"]["verified"], told["after"]["verified"]) == (True, False)
    assert "NOT VERIFIED" in sectum(*words, "--unverified").stdout


def test_what_cannot_be_read_is_not_compared_at_all(packs: Any, tmp_path: Path) -> None:
    words = packs("Leak", "Pass")
    made = runs.sample(play=runs.every(leak=lambda number, _trial: number == 0))
    lying = {**made.run, "verdict": "Pass"}
    (tmp_path / "new.zip").write_bytes(pack.to_zip(runs.signed(lying, made.records, made.signer)))
    result = sectum(*words, "--unverified")
    assert (result.exit_code, result.stdout) == (12, "")
    assert "does not hold in itself" in result.stderr


@pytest.mark.parametrize("met", [True, False])
def test_the_baseline_that_the_scenario_named_is_told_from_another_pack(packs: Any, tmp_path: Path, met: bool) -> None:
    words = packs("Leak", "Pass")
    old = sha256((tmp_path / "old.zip").read_bytes())
    made = runs.sample(runs.scenario(baseline={"sha256": old if met else "ab" * 32}))
    for name, data in (("new.zip", made.zip()), ("new.pem", made.key), ("new.json", made.open_record)):
        (tmp_path / name).write_bytes(data)
    drawn, told = sectum(*words), json.loads(sectum(*words, "-o", "json").stdout)
    assert told["baseline"] == {"sha256": old if met else "ab" * 32, "met": met}
    assert told["before"]["sha256"] == old
    assert ("NOT the baseline" in drawn.stdout, "is not the baseline" in drawn.stderr) == (not met, not met)
    assert drawn.exit_code == 0


def test_a_folder_has_the_digest_of_its_zip(packs: Any, tmp_path: Path) -> None:
    old, *words = packs("Leak", "Pass")
    for name, data in from_zip(Path(old).read_bytes()).items():
        (tmp_path / "old" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "old" / name).write_bytes(data)
    told = json.loads(sectum(str(tmp_path / "old"), *words, "-o", "json").stdout)
    assert told["before"]["sha256"] == sha256(Path(old).read_bytes())
    assert (told["before"]["verified"], told["baseline"]) == (True, None)


def test_a_file_that_is_no_pack_is_named(packs: Any, tmp_path: Path) -> None:
    words = packs("Leak", "Pass")
    (tmp_path / "old.zip").write_bytes(b"PK")
    result = sectum(*words, "--unverified")
    assert (result.exit_code, result.stdout) == (12, "")
    assert str(tmp_path / "old.zip") in result.stderr


def test_packs_in_the_wrong_order_are_noticed(packs: Any, tmp_path: Path) -> None:
    words = packs("Pass", "Pass")
    made = runs.sample(play=runs.every())
    early = {**made.run, "started": "2026-11-23T03:04:05.678Z"}
    (tmp_path / "new.zip").write_bytes(pack.to_zip(runs.signed(early, made.records, made.signer)))
    (tmp_path / "new.pem").write_bytes(made.key)
    (tmp_path / "new.json").write_bytes(made.open_record)
    assert "in the wrong order?" in sectum(*words).stderr
