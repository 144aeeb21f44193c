"""run.json -> its coverage matrix: the worst of each square, whose, and when; bounded."""

import json
from pathlib import Path
from typing import Any

import pytest
from sectum import termination
from sectum.coverage import MOST, brief, coverage
from sectum.ports import Arm

from tests import runs

ALICE, AMIR, BOB = (
    {"tenant": "acme", "user": "alice"},
    {"tenant": "acme", "user": "amir"},
    {"tenant": "globex", "user": "bob"},
)


def mixed(_number: int, trial: runs.Trial) -> runs.Row:
    """On the API amir sees alice's, and bob amir's; the cache cannot be tried."""
    if trial.surface != "api":
        return runs.fault_row(trial, "Budget")
    leaks = {("acme/amir", "acme/alice"), ("globex/bob", "acme/amir")}
    return runs.leak_row(trial) if (str(trial.asker), str(trial.owner)) in leaks else runs.clean_row(trial)


def test_a_square_has_its_worst_outcome_the_pair_between_tenants_first_and_when_it_was_decided() -> None:
    run = runs.sample(play=mixed).run
    api, cache = coverage(run)
    assert (api["surface"], api["attack"], api["outcome"], api["reason"]) == ("api", "boundary-fetch", "Leak", None)
    assert api["worst"] == {"asker": BOB, "owner": AMIR}
    assert (api["trials"], api["leak"], api["pass"], api["inconclusive"]) == (12, 4, 8, 0)
    assert api["at"] == runs.ENDED
    assert (cache["outcome"], cache["reason"], cache["at"]) == ("Inconclusive", "Budget", None)
    assert cache["worst"] == {"asker": ALICE, "owner": BOB}


def test_a_third_partys_marker_is_of_the_pair_to_which_it_belongs() -> None:
    amirs = next(each.id for each in runs.sample().plan.markers if str(each.owner) == "acme/amir")

    def play(_number: int, trial: runs.Trial) -> runs.Row:
        row = runs.clean_row(trial)
        if trial.surface == "api" and (str(trial.asker), str(trial.owner)) == ("globex/bob", "acme/alice"):
            row["arms"][1] = runs.arm(trial, Arm.FOREIGN, seen=[amirs])
        return row

    [api, _cache] = coverage(runs.sample(play=play).run)
    assert (api["outcome"], api["leak"], api["worst"]) == ("Leak", 0, {"asker": BOB, "owner": AMIR})


def test_what_passed_has_no_worst_pair_and_what_was_asked_for_and_not_tried_says_why() -> None:
    surfaces = runs.document()["spec"]["surfaces"]
    surfaces[0]["attacks"] = ["boundary-fetch", "semantic-cache"]
    api, missing, _cache = coverage(runs.sample(runs.scenario(surfaces=surfaces)).run)
    assert (api["outcome"], api["worst"]) == ("Pass", None)
    assert (missing["attack"], missing["outcome"], missing["reason"]) == ("semantic-cache", "NotCovered", "VerbMissing")
    assert (missing["worst"], missing["at"], missing["trials"]) == (None, None, 0)


def test_it_is_bounded_and_what_is_worst_stays() -> None:
    run = runs.sample(play=mixed).run
    many = [
        {"surface": "api", "attack": f"a{n}", "askerKind": "any", "outcome": "Pass", "reasons": []} for n in range(400)
    ]
    told = coverage({**run, "cells": [*many, *run["cells"]]})
    assert len(told) == MOST
    assert {each["outcome"] for each in told} == {"Leak", "Inconclusive", "Pass"}


def test_in_brief_it_is_letters_and_numbers() -> None:
    assert brief(runs.sample(play=mixed).run) == {
        "matrix": "Lxxxxxxxxxx/xxxIxxxxxxx",
        "worst": ["0.2.1.", "14.0.2.Budget"],
    }
    run = runs.sample().run
    skips = [{**run["skips"][0], "attack": "entity-bleed", "reason": "NotInSubset"}]
    assert brief({**run, "skips": skips}) == {"matrix": "P-xxxxxxxxx/xxxPxxxxxxx", "worst": []}


@pytest.mark.parametrize("message", ["", "so " * 400])
def test_a_message_that_is_too_long_keeps_the_letters_and_the_worst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    monkeypatch.setenv("SECTUM_TERMINATION_LOG", str(tmp_path / "message"))
    matrix = "/".join(["LLLIIIPPPNN"] * 26)
    worst = [f"{number}.127.126.PositiveControlFailed" for number in range(286)]
    told: dict[str, Any] = {"stage": "assemble", "ok": True, "matrix": matrix, "worst": worst, "message": message}
    termination.leave(told)
    text = (tmp_path / "message").read_text()
    left = json.loads(text)
    assert len(text) <= 1000
    assert left["matrix"] == matrix
    assert left["worst"] == worst[: len(left["worst"])]
    assert left["worst"] or message
