"""The report: the same bytes for the same run, all that a reader needs, and nothing that does not belong there."""

import io
from collections.abc import Callable
from functools import cache

import pytest
from pypdf import PdfReader
from sectum import notes, wording
from sectum.finding import Outcome
from sectum.reports import pdf
from sectum.scenario import SurfaceKind
from sectum.score import score

from tests import runs

PEOPLE = {name: [f"{name}-one", f"{name}-two"] for name in ("acme", "globex", "initech", "hooli")}
KINDS = ("api", "vector-db", "rag-pipeline", "semantic-cache")
LONG = "a" + "b" * 38


@cache
def sample(verdict: str) -> runs.Sample:
    plays: dict[str, runs.Play] = {
        "Pass": runs.every(),
        "Leak": runs.every(leak=lambda number, _trial: number % 20 == 3),
        "Inconclusive": lambda number, trial: (
            runs.fault_row(trial, "SurfaceSuffers") if number % 9 == 0 else runs.clean_row(trial)
        ),
    }
    return runs.sample(runs.scenario(tenants=PEOPLE, kinds=KINDS), play=plays[verdict])


def text(data: bytes) -> str:
    return " ".join(" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(data)).pages)


@pytest.mark.parametrize("verdict", ["Pass", "Leak", "Inconclusive"])
def test_the_same_run_gives_the_same_bytes(verdict: str) -> None:
    run = sample(verdict).run
    assert run["verdict"] == verdict
    assert pdf.render(run) == pdf.render(runs.copied(run))


@pytest.mark.parametrize("verdict", ["Pass", "Leak", "Inconclusive"])
def test_two_or_three_pages_say_verdict_extent_limits_and_how_to_verify(verdict: str) -> None:
    run = sample(verdict).run
    data = pdf.render(run)
    said = text(data)
    assert len(PdfReader(io.BytesIO(data)).pages) in (2, 3)
    assert said.index(verdict) < 120
    for expected in (
        *SurfaceKind,
        *PEOPLE,
        run["run"],
        run["plan"]["root"],
        run["manifest"]["hash"],
        "Boundary not enforced",
        "No timestamp",
        "No transparency log",
        "It is no certification",
        "sectum verify PACK",
        f"{len(run['rows'])} trials",
        f"Score {score(run)} of 100",
    ):
        assert str(expected) in said, expected
    for attack in wording.ATTACKS.values():
        assert attack.replace("-", "") in said.replace("-", "").replace(" ", ""), attack


def test_a_pass_states_trials_and_the_bound() -> None:
    run = sample("Pass").run
    worst = max(cell["upper95"] for cell in run["cells"])
    said = text(pdf.render(run))
    assert f"more than {wording.percent(worst)}" in said
    assert "Findings: 0 None. Nobody was given" in said


def test_an_inconclusive_run_says_why_and_is_not_called_clean() -> None:
    said = text(pdf.render(sample("Inconclusive").run))
    assert "a clean result is not earned: SurfaceSuffers" in said
    assert "That is no clean result" in said


def test_findings_say_who_saw_whose_and_how_to_repeat_and_are_capped() -> None:
    run = sample("Leak").run
    said = text(pdf.render(run))
    assert len(run["findings"]) > pdf.MAX_FINDINGS
    shown = [each for each in run["findings"] if each["slot"] in said]
    assert len(shown) == pdf.MAX_FINDINGS
    assert {notes.group_of(each) for each in shown} == {notes.group_of(each) for each in run["findings"]}
    first = shown[0]
    who = (
        f"{first['asker']['tenant']}/{first['asker']['user']} saw {first['owner']['tenant']}/{first['owner']['user']}'s"
    )
    assert who in said
    assert first["phrasing"] in said
    assert f"… and {len(run['findings']) - pdf.MAX_FINDINGS} more: " in said
    assert "all are in run.json" in said


def test_a_way_that_always_leaks_is_not_hidden_in_a_rate_over_all_ways() -> None:
    def play(_number: int, trial: runs.Trial) -> runs.Row:
        return runs.leak_row(trial) if trial.phrasing == "by-id" else runs.clean_row(trial)

    run = runs.sample(runs.scenario(tenants=PEOPLE, kinds=("api",)), play=play).run
    [cell] = [
        each for each in run["cells"] if (each["attack"], each["askerKind"]) == ("boundary-fetch", "other-tenant")
    ]
    [by_id] = [way for way in cell["ways"] if way["phrasing"] == "by-id"]
    assert 0 < by_id["leaks"] == by_id["trials"]
    assert f"by-id {by_id['leaks']} of {by_id['trials']}" in text(pdf.render(run))


def test_what_free_text_and_a_silent_cache_leave_unshown_is_said() -> None:
    def play(_number: int, trial: runs.Trial) -> runs.Row:
        row = runs.clean_row(trial)
        for arm in row["arms"]:
            arm["closedWorld"] = trial.surface != "semantic-cache"
        return row

    said = text(pdf.render(runs.sample(play=play).run))
    assert said.count("free text: no closed world") == said.count("not shown that the cache hits") == 2
    assert "free text: no closed world" not in text(pdf.render(sample("Pass").run))


def _square(run: dict[str, object], kind: str, attack: str) -> tuple[Outcome | None, list[str]]:
    return wording.coverage(run, {kind}, attack)


def test_squares_of_the_matrix() -> None:
    passed, leaky, unsure = (sample(each).run for each in ("Pass", "Leak", "Inconclusive"))
    assert _square(passed, "api", "boundary-fetch") == (Outcome.PASS, ["Pass", "112 trials", "< 17.1 %"])
    assert _square(passed, "api", "erasure") == (None, ["–"])
    assert _square(leaky, "api", "boundary-fetch")[0] == Outcome.LEAK
    assert _square(unsure, "api", "boundary-fetch") == (Outcome.INCONCLUSIVE, ["Inconclusive", "surface suffers"])


def test_the_worst_of_two_surfaces_of_a_kind_counts() -> None:
    run = sample("Leak").run
    outcome, lines = wording.coverage(run, {"api", "semantic-cache", "vector-db"}, "boundary-fetch")
    assert outcome == Outcome.LEAK
    findings = [each for each in run["findings"] if each["attack"] == "boundary-fetch"]
    assert lines == ["LEAK", f"{len(findings)} findings"]


def test_excluded_and_not_covered_are_told_apart() -> None:
    surfaces = runs.document()["spec"]["surfaces"]
    surfaces[0]["attacks"] = ["boundary-fetch", "semantic-cache"]
    exclusions = [{"surface": "semantic-cache", "attack": "semantic-cache", "reason": "not now"}]
    run = runs.sample(runs.scenario(surfaces=surfaces, exclusions=exclusions)).run
    assert _square(run, "api", "semantic-cache") == (Outcome.NOT_COVERED, ["Not covered", "verb missing"])
    assert _square(run, "semantic-cache", "semantic-cache") == (None, ["excluded"])
    assert "Excluded by the scenario, by name: semantic-cache × semantic-cache" in text(pdf.render(run))


HOSTILE_WORDS: dict[str, Callable[[], dict[str, object]]] = {
    "markup": lambda: {"residue": ["<b>bold</b> & <a href='x'>link</a> </para>"]},
    "letters that the fonts lack": lambda: {"residue": ["日本語 ≤ \u202e"]},
    "very long": lambda: {"residue": ["x" * 2048] * 16},
}


@pytest.mark.parametrize("case", HOSTILE_WORDS)
def test_words_of_the_scenario_cannot_break_the_report(case: str) -> None:
    run = runs.copied(sample("Pass").run)
    run["surfaces"][0].update(HOSTILE_WORDS[case]())
    data = pdf.render(run)
    assert len(PdfReader(io.BytesIO(data)).pages) in (2, 3)
    if case == "markup":
        assert "<b>bold</b> & <a href='x'>link</a> </para>" in text(data)


def test_long_names_are_wrapped() -> None:
    people = {LONG + tenant: [LONG + user for user in "de"] for tenant in "fg"}
    run = runs.sample(
        runs.scenario(tenants=people, kinds=("api", "backup")), play=runs.every(leak=lambda n, _t: n % 2)
    ).run
    data = pdf.render(run)
    assert len(PdfReader(io.BytesIO(data)).pages) <= 4
    joined = text(data).replace(" ", "")
    assert f"{LONG}f/{LONG}d" in joined


def test_no_marker_and_no_location_is_in_the_report() -> None:
    case = sample("Leak")
    data = pdf.render(case.run)
    for secret in [(each.plaintext, each.wanted) for each in case.manifest.markers + case.manifest.decoys]:
        assert not any(part.encode() in data for part in secret)
    assert case.run["findings"][0]["slot"].encode() in data  # uncompressed, so that such a scan sees its text
