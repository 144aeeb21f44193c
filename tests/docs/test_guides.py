"""The pages for those who install and operate: each command and value exists, and no reason is without its entry."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from sectum import catalog, errors
from sectum.cli.app import app
from sectum.cli.cluster import PLUGIN
from sectum.plan import SkipReason
from sectum.reasons import Reason
from sectum_operator.reasons import Cause, Refusal, Why

from tests.chart.helm import CHART, RUNS, helm, rendered, template
from tests.docs.pages import DOCS, blocks
from tests.surfaces.conftest import Server, postgres

__all__ = ["postgres"]

ROOT = Path(__file__).parents[2]
GUIDES = ["install", "air-gapped", "write-a-scenario", "least-privilege", "troubleshooting", "is-ours"]
TEXT = {name: (DOCS / f"{name}.md").read_text() for name in GUIDES}
KINDS = {
    name: crd["spec"]["names"]
    for crd in (yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml")))
    for names in [crd["spec"]["names"]]
    for name in (names["singular"], names["plural"], *names.get("shortNames", ()))
}


def commands() -> Iterator[tuple[str, str]]:
    """Every line of a block of commands, and every command in the running text, by page."""
    for page in GUIDES:
        lines = [line for block in blocks(page, "sh", "") for line in block.splitlines()]
        lines += re.findall(r"`((?:kubectl|helm|make|sectum) [^`]+)`", TEXT[page])
        for line in lines:
            yield page, re.split(r"\s+#", line)[0].strip()


COMMANDS = sorted({each for each in commands() if each[1]})


def test_there_are_commands_of_every_program() -> None:
    programs = {shlex.split(line)[0] for _, line in COMMANDS}
    assert programs <= {"sectum", "kubectl", "helm", "make", "pip", "crane", "mkdir", "printf"}
    assert {"sectum", "kubectl", "helm", "make", "pip", "crane"} <= programs


def options(words: list[str]) -> list[str]:
    return [word.split("=")[0] for word in words if word.startswith("-") and len(word) > 1]


def unknown_to_us(words: list[str], program: str) -> list[str]:
    """Options of ours that are not there; the verb has to be."""
    context = click.Context(app, info_name=program)
    verb = app.get_command(context, words[0])
    assert verb is not None, words
    known = {option for each in (*verb.params, *app.get_params(context)) for option in each.opts}
    return [option for option in options(words[1:]) if option not in known]


def unknown_to_kubectl(verbs: list[str], words: list[str]) -> list[str]:
    """Options that kubectl's own help on this verb does not have."""
    if not (found := shutil.which("kubectl")):
        pytest.skip("NOT TESTED: there is no kubectl on the PATH")

    def said(*asked: str) -> str:
        return subprocess.run([found, *asked], capture_output=True, text=True, check=True, timeout=60).stdout

    known = said(*verbs, "--help") + said("options")
    return [option for option in options(words) if not re.search(rf"(?m)^ +(-\w, )?{option}\b", known)]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_exists_with_its_options(page: str, line: str) -> None:
    words = shlex.split(line.replace("…", "x"))
    words = words[: words.index("<")] if "<" in words else words
    match words:
        case ["sectum", *rest]:
            assert unknown_to_us(rest, "sectum") == []
        case ["kubectl", "sectum"]:
            pass
        case ["kubectl", "sectum", *rest]:
            assert unknown_to_us(rest, PLUGIN) == []
        case ["kubectl", verb, *rest]:
            assert unknown_to_kubectl([verb, *rest[: {"create": 2, "rollout": 1}.get(verb, 0)]], rest) == []
            _check_kinds(verb, rest)
        case ["helm", verb, *rest]:
            flags = [each for each in rest if each.startswith("-")]
            said = helm(verb, "--help").stdout
            assert [each for each in options(flags) if f"{each} " not in said and f"{each}=" not in said] == []
            charts = [each for each in rest if each.startswith("charts/")]
            assert all((ROOT / each / "Chart.yaml").is_file() for each in charts)
        case ["make", target]:
            assert re.search(rf"(?m)^{target}:", (ROOT / "Makefile").read_text())


def _check_kinds(verb: str, rest: list[str]) -> None:
    """What a command names of the cluster's is one of our kinds, or one of Kubernetes' own that we use."""
    if verb not in ("get", "describe", "patch", "delete", "logs") or not rest:
        return
    for kind in rest[0].partition("/")[0].split(","):
        assert kind in {*KINDS, "sectum", "jobs", "job", "pods", "pod", "deployment", "serviceaccount"}, kind
    if "-p" in rest and rest[0] in KINDS:
        patch = json.loads(rest[rest.index("-p") + 1])
        [crd] = [each for each in _crds() if each["spec"]["names"]["singular"] == KINDS[rest[0]]["singular"]]
        spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        assert patch["spec"].keys() <= spec.keys()


def _crds() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]


@pytest.mark.parametrize("page", ["install", "air-gapped"])
def test_the_values_of_a_page_install_the_chart(page: str, tmp_path: Path) -> None:
    [block] = [yaml.safe_load(each) for each in blocks(page, "yaml")]
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"network": {"apiServer": [{"cidr": "10.20.0.1/32", "port": 6443}]}} | block))
    result = template(values=values)
    assert result.returncode == 0, result.stderr
    for image in (block["images"]["operator"], block["images"]["probes"]):
        assert f"{image['repository']}@{image['digest']}" in result.stdout
        if page == "air-gapped":
            assert f"/{image['repository'].partition('/')[2]}@{image['digest']} {image['repository']}:" in TEXT[page]


def test_the_packed_chart_has_the_name_on_the_page(tmp_path: Path) -> None:
    assert helm("package", str(CHART), "--destination", str(tmp_path)).returncode == 0
    [packed] = tmp_path.iterdir()
    assert f"helm install sectum {packed.name} " in TEXT["air-gapped"]


def test_accounts_that_are_to_get_pull_secrets_are_those_that_pods_of_runs_have() -> None:
    accounts = {name for name, namespace in _accounts() if namespace == RUNS}
    patched = set(re.findall(r"kubectl patch serviceaccount (\S+) -n sectum-runs", TEXT["air-gapped"]))
    assert patched == accounts


def _accounts() -> set[tuple[str, str]]:
    """Name and namespace of every account that the chart makes."""
    found = (each["metadata"] for each in rendered() if each["kind"] == "ServiceAccount")
    return {(each["name"], each["namespace"]) for each in found}


def rows(page: str) -> dict[str, str]:
    """First cells of the tables, each name in them by itself, and the rest of the line."""
    found = {}
    for first, rest in re.findall(r"^\| ([^|]+) \|(.+)\|$", TEXT[page], re.MULTILINE):
        found |= {name.strip(): rest for name in first.split(",")}
    return found


@pytest.mark.parametrize("reason", [*Reason, *Cause, *Refusal, *Why], ids=lambda each: f"{type(each).__name__}.{each}")
def test_every_reason_has_its_entry(reason: str) -> None:
    entry = rows("troubleshooting")[str(reason)]
    assert len(entry.strip("| ")) > 10


def test_no_entry_is_of_a_reason_that_is_gone() -> None:
    kinds = {name for name, each in vars(errors).items() if isinstance(each, type)} | {"NotCleaned", "Stopped"}
    known = {*map(str, (*Reason, *Cause, *Refusal, *Why)), *kinds, "reason", "---"}
    assert rows("troubleshooting").keys() <= known
    assert (set(kinds) - {"SectumError"}) <= rows("troubleshooting").keys()


def test_why_something_was_not_tried_stands_with_the_verdicts() -> None:
    text = (DOCS / "verdicts.md").read_text()
    assert [each for each in SkipReason if f"`{each}`" not in text] == []


def test_the_page_on_rights_has_every_adapter_backend_and_account() -> None:
    firsts = {re.sub(r"\[([^]]+)\].*", r"\1", first) for first in rows("least-privilege")}
    backends = (catalog.key_backends(), catalog.signer_backends(), catalog.store_backends(), catalog.adapters())
    accounts = {name for name, _ in _accounts()}
    assert {name for each in backends for name in each} | accounts <= firsts


@pytest.mark.parametrize("page", sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.md")), ids=str)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "code", (DOCS / page).read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (DOCS / page).parent / target if target else DOCS / page
        assert file.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}, link


def test_the_sql_of_the_page_gives_a_role_what_it_needs_and_no_more(postgres: Server) -> None:
    [sql] = blocks("least-privilege", "sql")
    postgres.sql(
        "DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app; CREATE TABLE app.documents (id uuid, body text)"
    )
    postgres.sql("DROP ROLE IF EXISTS acme_ann")
    postgres.sql(sql)
    held = "SELECT privilege_type FROM information_schema.role_table_grants WHERE grantee = 'acme_ann' ORDER BY 1"
    assert postgres.sql(held) == [("DELETE",), ("INSERT",), ("SELECT",)]
    role = "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcanlogin FROM pg_roles WHERE rolname = 'acme_ann'"
    assert postgres.sql(role) == [(False, False, False, True)]
    postgres.sql("DROP SCHEMA app CASCADE; DROP ROLE acme_ann")
