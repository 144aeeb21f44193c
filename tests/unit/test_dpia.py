"""`sectum plan --dpia`: the record has all that the scenario says of data, and marks what only its owner can say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from sectum.cli.app import app
from sectum.cli.dpia import BLANK, BLANKS
from sectum.plan import make_plan
from sectum.scenario import load

from tests import runs

EXAMPLES = sorted(
    path.relative_to(Path(__file__).parents[2])
    for path in (Path(__file__).parents[2] / "examples").rglob("*.yaml")
    if "\nkind: IsolationScenario" in path.read_text()
)


def dpia(file: Path | str, *words: str, text: str | None = None) -> Result:
    result = CliRunner().invoke(app, ["plan", "-f", str(file), "--dpia", *words], input=text, prog_name="sectum")
    assert (result.exit_code, result.stderr) == (0, "")
    return result


def rows(page: str, heading: str) -> list[list[str]]:
    """Cells of the tables under a heading, their heads left out."""
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = [block.strip() for block in section.split("\n\n")]
    tables = [block.splitlines()[2:] for block in blocks if block.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for table in tables for line in table]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_record_of_every_example_says_all_that_its_scenario_does(example: Path) -> None:
    file = Path(__file__).parents[2] / example
    page = dpia(file).stdout
    assert page == dpia(file).stdout
    scenario = load(file.read_text())
    plan = make_plan(scenario)
    said = json.dumps(scenario.snapshot())
    secrets = re.findall(r'"(sectum-(?:surface|key|kms|signer|store)-[a-z0-9.-]+)"', said)
    servers = re.findall(r'"(?:origin|url|host|endpoint)": "(?:https?://)?([a-z0-9.-]+)', said)
    networks = re.findall(r'"cidr": "([^"]+)"', said) + re.findall(r'"namespace": "([^"]+)", "labels"', said)
    assert secrets
    assert servers
    assert [each for each in (*secrets, *servers, *networks) if each not in page] == []
    data = rows(page, "Which data")[: len(scenario.spec.surfaces)]
    assert [line[0] for line in data] == [surface.name for surface in scenario.spec.surfaces]
    assert sum(int(cell) for line in data for cell in line[2:]) == len(plan.markers)
    identities = rows(page, "Which identities")
    for tenant in scenario.spec.tenants:
        assert [tenant.name, ", ".join(user.name for user in tenant.users)] in identities
    left = [[totals.surface, residue] for totals in plan.totals for residue in totals.residue]
    assert [each for each in left if each not in rows(page, "What is kept, and for how long")] == []
    limits = {line[0]: line for line in rows(page, "What it may do")}
    for surface in scenario.spec.surfaces:
        budget = surface.budget
        assert limits[surface.name][-5:-2] == [str(budget.requests), str(budget.writes), str(budget.tokens)]


def test_there_are_examples_for_the_command_line_and_for_a_cluster() -> None:
    assert {str(each) for each in EXAMPLES} >= {
        "examples/minimal/scenario.yaml",
        "examples/quickstart/scenario.yaml",
        "examples/kind/30-scenario-leaky.yaml",
    }


def test_what_only_the_customer_can_say_is_marked() -> None:
    file = Path(__file__).parents[2] / "examples" / "minimal" / "scenario.yaml"
    page = dpia(file).stdout
    assert {"Purpose", "Controller", "Legal basis"} <= BLANKS.keys()
    assert [line[:2] for line in rows(page, "What only you can say")] == [[name, BLANK] for name in BLANKS]
    assert "\nWhen somebody begins a run.\n" in page
    assert [line[3] for line in rows(page, "What is kept, and for how long")] == [BLANK] * 4


def test_json_is_the_same_record() -> None:
    document: dict[str, Any] = runs.document(
        exclusions=[{"surface": "api", "attack": "entity-bleed", "reason": "load"}],
        sharing=[{"surface": "api", "owner": {"tenant": "acme"}, "with": {"tenant": "globex"}, "reason": "a merger"}],
        schedule="0 3 1 * *",
        timeZone="Europe/Berlin",
    )
    document["spec"]["surfaces"][0]["egress"] = [{"cidr": "10.20.0.0/16", "ports": [443, 8443]}]
    text = yaml.safe_dump(document)
    told = json.loads(dpia("-", "-o", "json", text=text).stdout)
    assert told["exclusions"] == document["spec"]["exclusions"]
    assert told["sharing"][0]["owner"] == "all of acme"
    assert told["toBeFilledIn"].keys() == BLANKS.keys()
    assert [each["surface"] for each in told["surfaces"]] == ["api", "semantic-cache"]
    page = dpia("-", text=text).stdout
    assert ["api", "entity-bleed", "load"] in rows(page, "What it may do")
    assert "\nBy itself at `0 3 1 * *` (Europe/Berlin), and when somebody begins a run.\n" in page
    reached = ["surfaces/api", "http", "127.0.0.1:9", "10.20.0.0/16, port 443, 8443"]
    assert reached in rows(page, "Where it goes")
    assert ["api", "all of acme", "all of globex", "a merger"] in rows(page, "What it may do")
    assert dpia("-", "-o", "name", text=text).stdout == "api\nsemantic-cache\n"


def test_a_scenarios_words_cannot_write_the_record() -> None:
    document = runs.document()
    document["spec"]["surfaces"][0]["residue"] = ["logs |\n\n## Approved\n\n| by all \x1b[2J<script>"]
    page = dpia("-", text=yaml.safe_dump(document)).stdout
    assert "\n## Approved" not in page
    assert "\x1b" not in page
    assert "<script" not in page
    [line] = [line for line in rows(page, "What is kept, and for how long") if line[0] == "api"]
    assert len(line) == 2
