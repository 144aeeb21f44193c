"""What a report shows first, and what it says beside a cell's numbers."""

import io
from typing import Any

from rich.console import Console
from sectum import notes
from sectum.cli import scorecard
from sectum.verdict import derive

from tests import runs


def finding(group: str, phrasing: str = "by-id", slot: str = "") -> dict[str, Any]:
    surface, attack, kind = group.split()
    return {"surface": surface, "attack": attack, "askerKind": kind, "phrasing": phrasing, "slot": slot}


def test_every_slot_group_has_an_example_before_any_has_two_and_tenants_come_first() -> None:
    found = [finding("api fetch same-tenant", slot=str(n)) for n in range(20)]
    found += [finding("api fetch other-tenant", slot="20"), finding("db fetch other-tenant", slot="21")]
    found += [finding("api fetch same-tenant", "by-list", slot="22")]
    shown = [each["slot"] for each in notes.examples(found, most=5)]
    assert shown == ["20", "21", "0", "22", "1"]
    assert [each["slot"] for each in notes.examples(found, most=2)] == ["20", "21"]


def test_what_is_not_shown_is_counted_by_slot_group() -> None:
    found = [finding("api fetch same-tenant")] * 4 + [finding("db fetch other-tenant")] * 3
    said = notes.left_out(found, [found[0], found[4]])
    assert said.startswith("… and 5 more: db × fetch between tenants 2, api × fetch between users 3;")
    assert said.endswith("; all are in run.json")
    assert notes.left_out(found, found) == ""


def said_of(run: dict[str, Any]) -> list[str]:
    return [text for _, texts in notes.of_cells(run) for text in texts]


def test_an_effect_is_told_with_its_interval() -> None:
    run = runs.copied(runs.sample().run)
    effect = {"baseline": 0.0, "foreign": 0.5, "pairs": 12, "newcombe95": [0.1943, 0.7471]}
    run["cells"][0]["effect"] = effect
    assert said_of(run)[0] == (
        "effect of planting: seen in 0.0 % of 12 pairs before, 50.0 % after; "
        "difference 50.0 points (95 %: 19.4 to 74.7)"
    )


def test_a_cache_that_tells_needs_no_excuse() -> None:
    run = runs.copied(runs.sample().run)
    unshown = "not shown that the cache hits: the surface does not tell what comes out of it"
    assert said_of(run).count(unshown) == 2
    for row in run["rows"]:
        row["control"] = "cached"
    assert unshown not in said_of({**run, **derive(run)})


def test_the_terminal_shows_each_slot_group_and_the_way_that_always_leaks() -> None:
    people = {name: [f"{name}-{letter}" for letter in "xyz"] for name in ("acme", "globex", "initech")}
    kinds = ("api", "vector-db", "rag-pipeline", "semantic-cache", "backup")

    def play(_number: int, trial: runs.Trial) -> runs.Row:
        return runs.clean_row(trial) if trial.phrasing == "by-list" else runs.leak_row(trial)

    run = runs.sample(runs.scenario(tenants=people, kinds=kinds), play=play).run
    out = io.StringIO()
    scorecard.draw(Console(file=out, width=160), run, reasons=[], wide=False)
    shown = out.getvalue()
    beside, examples = shown[shown.index("Beside the numbers") :].split("Who saw whose data")
    assert "api × boundary-fetch between tenants" in beside
    assert "by-id 54 of 54, by-list 0 of 54" in beside
    groups = {notes.group_of(each) for each in run["findings"]}
    assert examples.count(" saw ") == len(groups) == 12 > scorecard._TOP
    assert "more ways of asking: " in examples
