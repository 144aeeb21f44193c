"""Accepted risks: shown beside the findings that they are about, and never anything less than a leak."""

import io
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from rich.console import Console
from sectum import pack, sign
from sectum.cli import scorecard
from sectum.codec import canonical
from sectum.reports import pdf
from sectum.score import score
from sectum.verify import Mark, verify

from tests import runs

DAY = runs.ENDED[:10]
BEFORE, AFTER = "2026-11-23", "2027-01-31"
GLOBEX, ACME, AMIR = {"tenant": "globex"}, {"tenant": "acme"}, {"tenant": "acme", "user": "amir"}


def risk(**parts: Any) -> dict[str, Any]:
    about = {"surface": "api", "attack": "boundary-fetch", "acceptedBy": "team-search", "reason": "ticket 4712"}
    return {**about, "expires": AFTER, **parts}


def sample(*risks: dict[str, Any]) -> runs.Sample:
    """Bob of globex sees on the API what is alice's of acme."""

    def leaks(_number: int, trial: runs.Trial) -> bool:
        return (trial.surface, str(trial.asker), str(trial.owner)) == ("api", "globex/bob", "acme/alice")

    return runs.sample(runs.scenario(acceptedRisks=list(risks)), play=runs.every(leak=leaks))


HELD, EXPIRED = {"number": 0, "expired": False}, {"number": 0, "expired": True}
CASES = [
    ([], None),
    ([risk()], HELD),
    ([risk(asker=GLOBEX, owner=ACME)], HELD),
    ([risk(asker={"tenant": "globex", "user": "bob"}, owner={"tenant": "acme", "user": "alice"})], HELD),
    ([risk(expires=DAY)], HELD),
    ([risk(expires=BEFORE)], EXPIRED),
    ([risk(surface="semantic-cache")], None),
    ([risk(attack="entity-bleed")], None),
    ([risk(asker=ACME)], None),
    ([risk(owner=AMIR)], None),
    ([risk(asker=ACME, owner=GLOBEX)], None),
    ([risk(expires=BEFORE), risk(owner=AMIR), risk()], {"number": 2, "expired": False}),
    ([risk(owner=AMIR), risk(expires=BEFORE), risk(expires=BEFORE)], {"number": 1, "expired": True}),
]


@pytest.mark.parametrize(("risks", "expected"), CASES)
def test_a_finding_is_the_first_risk_that_fits_and_still_holds(risks: list[dict[str, Any]], expected: Any) -> None:
    found = sample(*risks).run["findings"]
    assert found
    assert [each["risk"] for each in found] == [expected] * len(found)


@pytest.mark.parametrize("risks", [each[0] for each in CASES])
def test_no_verdict_cell_outcome_or_score_changes(risks: list[dict[str, Any]]) -> None:
    run, without = sample(*risks).run, sample().run
    assert run["verdict"] == "Leak"
    assert run["cells"] == without["cells"]
    assert [row["outcome"] for row in run["rows"]] == [row["outcome"] for row in without["rows"]]
    assert score(run) == score(without)
    assert pack.predicate(run)["failedTests"] == pack.predicate(without)["failedTests"]


@pytest.mark.parametrize(("risks", "claimed"), [([risk()], None), ([risk(expires=BEFORE)], HELD), ([], HELD)])
def test_verify_derives_it_again(tmp_path: Path, risks: list[dict[str, Any]], claimed: Any) -> None:
    made = sample(*risks)
    lying = {**made.run, "findings": [{**each, "risk": claimed} for each in made.run["findings"]]}

    def marks(run: dict[str, Any]) -> dict[str, Mark]:
        members = {**made.members(), pack.RUN: canonical(run)}
        (tmp_path / "pack.zip").write_bytes(pack.to_zip(sign.sign_statement(members, run, made.signer)))
        checked = verify(tmp_path / "pack.zip", key=made.key, open_record=made.open_record, allow_unanchored=True)
        return {each.id: each.mark for each in checked.steps}

    assert Mark.FAILED not in marks(made.run).values()
    assert marks(lying)["verdicts"] == Mark.FAILED


def shown(run: dict[str, Any]) -> tuple[str, str]:
    """The card and the report."""
    card = io.StringIO()
    scorecard.draw(Console(file=card, width=400), run, reasons=[], wide=False)
    pages = PdfReader(io.BytesIO(pdf.render(run))).pages
    return card.getvalue(), " ".join(" ".join(page.extract_text().split()) for page in pages)


def test_card_and_report_say_who_answers_for_what_until_when() -> None:
    run = sample(risk(), risk(surface="semantic-cache", attack="semantic-cache", acceptedBy="nobody-leaks-there")).run
    count = len(run["findings"])
    for text in shown(run):
        assert f"api × boundary-fetch: {count} findings, accepted by team-search until {AFTER}: ticket 4712" in text
        assert "nobody-leaks-there" not in text
        assert "Leak" in text
    report = shown(run)[1]
    assert f"Accepted as a risk, and leaks all the same: {count} of {count}." in report
    assert "(accepted risk)" in report


def test_card_and_report_say_what_nobody_answers_for_any_more() -> None:
    run = sample(risk(expires=BEFORE)).run
    for text in shown(run):
        assert f"NOT accepted any more since {BEFORE} is over (by team-search: ticket 4712)" in text
    report = shown(run)[1]
    assert "(acceptance expired)" in report
    assert "leaks all the same" not in report


def test_without_risks_nothing_is_said_of_them() -> None:
    assert not any("ccept" in text for text in shown(sample().run))


@pytest.mark.parametrize("word", ["</para><b>", "\x1b[31mred", "ü" * 100])
def test_words_of_the_scenario_cannot_break_card_or_report(word: str) -> None:
    card, report = shown(sample(risk(reason=word, acceptedBy=word)).run)
    assert "\x1b" not in card
    assert "team" not in report
