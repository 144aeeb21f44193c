"""The chart's alerts, evaluated by Prometheus' own promtool; they and the dashboard ask for metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import ROOT, named, rendered, template
from tests.chart.promtool import promtool
from tests.operator.test_metrics import names

TESTS = Path(__file__).with_name("alerts.yaml")
PAGE = ROOT / "docs" / "operate.md"
WIKI = "https://wiki.example/operate"
VALUES = ("--set", f"metrics.rules.enabled=true,metrics.rules.staleAfterDays=1,metrics.rules.runbook={WIKI}")


def rules() -> dict[str, Any]:
    spec: dict[str, Any] = named(rendered(*VALUES), "PrometheusRule", "sectum-operator")["spec"]
    return spec


def alerts() -> dict[str, dict[str, Any]]:
    [group] = rules()["groups"]
    return {each["alert"]: each for each in group["rules"]}


def evaluated(folder: Path, spec: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run alerts.yaml on the rules."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(spec))
    (folder / TESTS.name).write_text(TESTS.read_text())
    return subprocess.run(
        [promtool(), "test", "rules", TESTS.name], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else(tmp_path: Path) -> None:
    result = evaluated(tmp_path, rules())
    assert result.returncode == 0, result.stdout + result.stderr


BROKEN = {
    "SectumLeakFound": ("== 1", "== 2"),
    "SectumRunFailed": ('"None"', '"Inconclusive"'),
    "SectumRunInconclusive": ('"Inconclusive"', '"Pass"'),
    "SectumScenarioNotReady": ('condition="Ready",', ""),
    "SectumScenarioStale": (" or sectum_", " and sectum_"),
    "SectumOperatorAway": ('{namespace="sectum-runs"}', ""),
    "SectumNoLeader": ("max", "min"),
    "SectumReconcileFailing": ("> 3", "> 8"),
    "SectumQueueStuck": (" == 1)", ")"),
    "SectumWatchStale": ("max by (kind)", "min by (instance)"),
    "SectumMarkersLeft": ("> 0", ">= 0"),
}  # fmt: skip


def test_a_broken_alert_is_noticed_whichever_it_is(tmp_path: Path) -> None:
    spec = rules()
    for rule in spec["groups"][0]["rules"]:
        right, wrong = BROKEN[rule["alert"]]
        assert right in rule["expr"]
        rule["expr"] = rule["expr"].replace(right, wrong)
    result = evaluated(tmp_path, spec)
    assert result.returncode != 0
    noticed = set(re.findall(r"alertname: (\w+),", result.stdout + result.stderr))
    assert noticed == set(BROKEN) == set(alerts())


def test_each_alert_says_what_it_means_and_where_to_read_on() -> None:
    headings = re.findall(r"^### (\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(alerts())
    for name, alert in alerts().items():
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        assert alert["annotations"]["runbook_url"] == f"{WIKI}#{name.lower()}"
        assert alert["labels"]["severity"] in ("warning", "critical")


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\bsectum_\w+", expression))


def test_every_metric_that_an_alert_asks_for_is_exported() -> None:
    exported = set(names())
    for name, alert in alerts().items():
        assert metrics_in(alert["expr"]), name
        assert metrics_in(alert["expr"]) <= exported, name


def test_nothing_of_the_prometheus_operator_is_made_unless_it_is_asked_for() -> None:
    kinds = {each["kind"] for each in rendered()}
    assert not kinds & {"PodMonitor", "PrometheusRule", "ConfigMap"}


def test_the_pod_monitor_asks_the_operators_pods_at_the_port_of_the_metrics() -> None:
    given = ("--set", "metrics.podMonitor.enabled=true,metrics.from.namespace=monitoring")
    monitor = named(rendered(*given), "PodMonitor", "sectum-operator")
    deployment = named(rendered(), "Deployment", "sectum-operator")["spec"]
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    ports = [each["name"] for each in deployment["template"]["spec"]["containers"][0]["ports"]]
    assert endpoint["port"] in ports
    assert endpoint["honorLabels"] is True
    assert monitor["spec"]["selector"] == deployment["selector"]
    assert monitor["metadata"]["namespace"] == "sectum-system"


@pytest.mark.parametrize(
    ("given", "said"),
    [("metrics.podMonitor.enabled=true", "metrics.from.namespace"),
     ("metrics.rules.enabled=true,metrics.enabled=false", "metrics.enabled=true")],
)  # fmt: skip
def test_what_could_never_work_is_refused_with_what_to_do(given: str, said: str) -> None:
    result = template("--set", given)
    assert result.returncode != 0
    assert said in result.stderr


def dashboard() -> dict[str, Any]:
    found = named(rendered("--set", "metrics.dashboard.enabled=true"), "ConfigMap", "sectum-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    made: dict[str, Any] = json.loads(found["data"]["sectum.json"])
    return made


def test_every_metric_that_the_dashboard_asks_for_is_exported() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 5
    for panel in panels:
        assert panel["title"]
        for target in panel["targets"]:
            assert metrics_in(target["expr"]) <= set(names()), panel["title"]
            assert metrics_in(target["expr"]) or "process_" in target["expr"], panel["title"]


def test_prometheus_understands_every_question_of_the_dashboard(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    plain = [
        each.replace("$__rate_interval", "5m").replace("$namespace", "a").replace("$operator", "b") for each in asked
    ]
    group = {"name": "asked", "rules": [{"record": f"asked:{i}", "expr": each} for i, each in enumerate(plain)]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    command = [promtool(), "check", "rules", "--lint=none", tmp_path / "rules.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
