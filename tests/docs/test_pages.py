"""Every attack and adapter has a page, and what a page offers to copy is a scenario that plans what it promises."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from sectum import catalog
from sectum.cli.app import app
from sectum.plan import make_plan
from sectum.reasons import Reason
from sectum.scenario import Scenario, parse

ROOT = Path(__file__).parents[2]
TENANTS = [
    {"name": "acme", "users": [{"name": "alice"}, {"name": "amir"}]},
    {"name": "globex", "users": [{"name": "bob"}]},
]


def scenario_to_copy(page: Path) -> Scenario:
    """The page's YAML, completed by what every scenario has in common."""
    [block] = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    spec = {
        "tenants": TENANTS,
        "manifest": {"key": {"unsafeLocalKey": {"secretRef": {"name": "sectum-key-manifest", "key": "key"}}}},
        "evidence": {"signer": {"ecKey": {"secretRef": {"name": "sectum-signer-mine", "key": "private.pem"}}}},
        **yaml.safe_load(block),
    }
    metadata = {"name": "copied"}
    return parse({"apiVersion": "sectum.ai/v1alpha1", "kind": "IsolationScenario", "metadata": metadata, "spec": spec})


@pytest.mark.parametrize("name", sorted(catalog.attacks()))
def test_an_attacks_page_offers_a_scenario_that_tries_it_in_every_way_that_the_page_names(name: str) -> None:
    page = ROOT / "docs" / "attacks" / f"{name}.md"
    attack = catalog.attacks()[name]
    text = page.read_text()
    assert text.startswith(f"# {name} (attack {attack.number})")
    assert f"`{attack.impact}`" in text
    plan = make_plan(scenario_to_copy(page))
    tried = {trial.phrasing for trial in plan.trials if trial.attack == name}
    assert tried
    for phrasing in tried:
        assert f"`{phrasing.partition('+')[0]}" in text


@pytest.mark.parametrize("name", sorted(catalog.adapters()))
def test_an_adapters_page_offers_a_scenario_that_uses_all_its_verbs(name: str) -> None:
    page = ROOT / "docs" / "surfaces" / f"{name}.md"
    scenario = scenario_to_copy(page)
    assert page.read_text().startswith(f"# {name}")
    assert {surface.adapter_name for surface in scenario.spec.surfaces} == {name}
    assert make_plan(scenario).trials


def test_the_page_on_verdicts_explains_every_reason() -> None:
    text = (ROOT / "docs" / "verdicts.md").read_text()
    assert [reason for reason in Reason if f"| {reason} |" not in text] == []


def commands() -> list[tuple[str, str]]:
    """Every `sectum …` that a page tells a reader to type, with the page's name."""
    found = []
    for page in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        ROOT / "examples" / "quickstart" / "demo.py",
    ]:
        for line in re.findall(r"`sectum ([a-z][^`]*)`|^\s*(?:\$ )?sectum ([a-z].*)$", page.read_text(), re.MULTILINE):
            found.append((page.name, (line[0] or line[1]).split(" #")[0].strip()))
    return sorted(set(found))


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_on_a_page_names_a_verb_and_options_that_exist(page: str, command: str) -> None:
    words = shlex.split(command.replace("…", "x"))
    verb = app.get_command(click.Context(app), words[0])
    assert verb is not None, f"{page}: sectum {words[0]}"
    known = {option for parameter in verb.params for option in parameter.opts + parameter.secondary_opts}
    assert [
        word for word in words[1:] if word.startswith("-") and len(word) > 1 and word.split("=")[0] not in known
    ] == []
