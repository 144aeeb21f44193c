"""Every attack and adapter has a page, and what a page offers to copy is a scenario that plans what it promises."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import yaml
from click.testing import CliRunner
from pydantic.fields import FieldInfo
from sectum import catalog
from sectum.cli.app import app
from sectum.fields import Egress, Strict
from sectum.plan import SkipReason, make_plan
from sectum.reasons import Reason
from sectum.scenario import Scenario, Spec, Surface, load, parse

ROOT = Path(__file__).parents[2]
TENANTS = [
    {"name": "acme", "users": [{"name": "alice"}, {"name": "amir"}]},
    {"name": "globex", "users": [{"name": "bob"}]},
]


def scenario_to_copy(page: Path, given: dict[str, Any] | None = None) -> Scenario:
    """The page's YAML, completed by what every scenario has in common."""
    [block] = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    spec = {
        "tenants": TENANTS,
        "manifest": {"key": {"unsafeLocalKey": {"secretRef": {"name": "sectum-key-manifest", "key": "key"}}}},
        "evidence": {"signer": {"ecKey": {"secretRef": {"name": "sectum-signer-mine", "key": "private.pem"}}}},
        **(given or {}),
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


@pytest.mark.parametrize(("page", "fields"), [("keys/awsKms.md", "manifest"), ("stores/s3.md", "evidence")])
def test_a_backends_page_offers_a_scenario_with_all_its_fields_and_links_from_the_page_on_the_scenario(
    page: str, fields: str
) -> None:
    spec = scenario_to_copy(ROOT / "docs" / page, MINIMAL_SURFACES).spec
    chosen = spec.manifest.spec if fields == "manifest" else spec.evidence.store_spec
    assert set(type(chosen).model_fields) - chosen.model_fields_set <= {"endpoint"}
    assert f"]({page})" in SCENARIO_PAGE


@pytest.mark.parametrize("page", ["keys/awsKms.md", "stores/s3.md"])
def test_the_policies_on_a_backends_page_are_json(page: str) -> None:
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert all(isinstance(json.loads(each), dict) for each in blocks)
    assert len(blocks) >= 2


def test_the_page_on_verdicts_explains_every_reason() -> None:
    text = (ROOT / "docs" / "verdicts.md").read_text()
    assert [reason for reason in Reason if f"| {reason} |" not in text] == []


MINIMAL = ROOT / "examples" / "minimal" / "scenario.yaml"
MINIMAL_SURFACES = {"surfaces": yaml.safe_load(MINIMAL.read_text())["spec"]["surfaces"]}
SCENARIO_PAGE = (ROOT / "docs" / "scenario.md").read_text()


def models_in(annotation: Any) -> Iterator[type[Strict]]:
    """The models that a field's type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def fields_of(model: type[Strict], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field under `model` by its path in the YAML; adapters have pages of their own, egress is explained once."""
    for name, each in model.model_fields.items():
        here = path + (each.alias or name)
        many = "[]" if get_args(each.annotation)[-1:] == (...,) else ""
        yield here, each
        if here not in ("spec.surfaces[].adapter", "spec.evidence.records"):
            for inner in models_in(each.annotation):
                yield from fields_of(inner, "egress[]." if inner is Egress else f"{here}{many}.")


def default_of(each: FieldInfo) -> str:
    """A field's default as the page writes it."""
    if each.is_required():
        return "required"
    if isinstance(each.default, Strict):
        return "[its defaults]"
    if each.default is None:
        return "–"
    if each.default == "":
        return '`""`'
    return f"`[{', '.join(each.default)}]`" if isinstance(each.default, tuple) else f"`{each.default}`"


FIELDS = {path.removeprefix("spec."): default_of(each) for path, each in fields_of(Scenario)}
# What stands for a table of its own, and unions of one key, whose key the page names in its fields' paths.
HEADINGS = {"metadata", "spec", "evidence.store.s3", "evidence.signer.ecKey"}
HEADINGS |= {"manifest.key.awsKms", "manifest.key.unsafeLocalKey"}


def test_the_page_on_the_scenario_has_every_field_of_its_models_with_its_default_and_no_other() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\| ([^|]*?)(?:\(#[a-z]+\))? \| [^|]+ \|$", SCENARIO_PAGE, re.M)
    assert len(rows) == len(dict(rows))
    assert dict(rows) == {path: default for path, default in FIELDS.items() if path not in HEADINGS}


def test_the_page_on_the_scenario_names_every_kind_of_surface_adapter_and_secret() -> None:
    kinds = Surface.model_fields["kind"].annotation
    backends = (catalog.key_backends(), catalog.signer_backends(), catalog.store_backends())
    names = [*kinds, *catalog.adapters(), *(name for each in backends for name in each)]  # type: ignore[misc]
    prefixes = [
        "sectum-surface-<surface>-",
        "sectum-key-",
        "sectum-signer-",
        "sectum-kms-encrypt-",
        "sectum-kms-decrypt-",
    ]
    prefixes += ["sectum-store-", "sectum-store-evidence-", "sectum-store-records-"]
    assert [name for name in names if f"`{name}`" not in SCENARIO_PAGE] == []
    assert [prefix for prefix in prefixes if f"`{prefix}" not in SCENARIO_PAGE] == []


def test_each_example_on_the_page_on_the_scenario_fits_the_minimal_one_and_does_what_it_says() -> None:
    shown = {}
    for block in re.findall(r"```yaml\n(.*?)```", SCENARIO_PAGE, re.DOTALL):
        shown |= yaml.safe_load(block)
        document = yaml.safe_load(MINIMAL.read_text())
        for key, value in yaml.safe_load(block).items():
            of_spec = key in {each.alias for each in Spec.model_fields.values()}
            (document["spec"] if of_spec else document["spec"]["surfaces"][0])[key] = value
        reasons = {skip.reason for skip in make_plan(parse(document)).skips}
        assert (SkipReason.DECLARED_SHARING in reasons) == ("sharing" in block)
        assert (SkipReason.EXCLUDED in reasons) == ("exclusions" in block)
    assert {"sharing", "exclusions", "acceptedRisks", "budget", "leftovers", "egress"} <= shown.keys()


def test_the_minimal_scenario_is_short_and_tries_what_it_can_between_tenants_and_between_users() -> None:
    assert len(MINIMAL.read_text().splitlines()) <= 35
    plan = make_plan(load(MINIMAL.read_text()))
    assert {trial.group for trial in plan.trials} == {
        ("api", "boundary-fetch", "other-tenant"),
        ("api", "boundary-fetch", "same-tenant"),
    }
    assert [skip for skip in plan.skips if skip.requested] == []
    assert [total.residue for total in plan.totals] == [()]


def test_the_minimal_scenario_passes_sectum_plan_without_a_warning() -> None:
    result = CliRunner().invoke(app, ["plan", "-f", str(MINIMAL)], prog_name="sectum")
    assert result.exit_code == 0
    assert "Warnings" not in result.stdout


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
