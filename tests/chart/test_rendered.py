"""What the chart makes of its values, without a cluster."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sectum_operator.drain import seconds_of

from tests.chart.helm import CHART, NAMESPACE, ROOT, RUNS, VALUES, helm, named, rendered, template

LABELS = {"name", "instance", "version", "component", "part-of", "managed-by"}
REFUSED = {
    "a tag as digest": "images.operator.digest=v1.2.3",
    "a tag in the repository": "images.probes.repository=registry.example/probes:latest",
    "a digest in the repository": "images.probes.repository=registry.example/probes@sha256:" + "1" * 64,
    "a short digest": "images.probes.digest=sha256:abc",
    "a tag beside": "images.operator.tag=v1",
    "a fence that is off": "fence.enabled=false",
    "an unknown key": "runs.namespaces={a}",
    "an unknown key within": "egress.allowAll=true",
    "rights": "rbac.create=false",
    "a bound that is no network": "egress.bound[0].cidr=10.0.0.0",
    "a bound with host names": "egress.bound[0].cidr=example.com",
    "a bound with octets too large": "egress.bound[0].cidr=10.0.0.256/8",
    "a bound of both": "egress.bound[0].namespace=demo",
    "a namespace that breaks out of the expression": "runs.namespace=a' || true || 'a",
    "an agent that is a network": "egress.workloadIdentity.cidr=169.254.0.0/16",
    "DNS caches that are the world": "network.dns.cidrs={0.0.0.0/0}",
    "DNS at any port": "network.dns.ports={443}",
    "DNS on all pods": "network.dns.labels=null",
    "a drain for ever": "uninstall.drain.timeout=",
    "a drain of hours": "uninstall.drain.timeout=2h",
    "no port of the API server": "network.apiServer[0].port=null",
    "no replica": "operator.replicas=0",
    "a security context": "operator.securityContext.privileged=true",
    "metrics where health is": "metrics.port=8080",
    "a runbook with an anchor": "metrics.rules.runbook=a#b",
    "metrics for everybody": "metrics.from=null",
}  # fmt: skip


def test_the_chart_is_clean_to_helms_own_lint() -> None:
    result = helm("lint", str(CHART), "--strict", "--values", str(VALUES))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_the_schema_refuses(value: str) -> None:
    result = template("--set", value)
    assert result.returncode != 0, result.stdout[:500]
    assert "values don't meet the specifications of the schema" in result.stderr


def test_digests_must_be_given(tmp_path: Path) -> None:
    empty = tmp_path / "values.yaml"
    empty.write_text("")
    result = template(values=empty)
    assert result.returncode != 0
    assert "/images/operator/digest" in result.stderr


FAILS = {
    "network.apiServer=null": "Set it to a list of {cidr, port}",
    f"runs.namespace={NAMESPACE}": "runs need a namespace of their own",
    "runs.namespace=kube-system": "runs need a namespace of their own",
    "runs.namespace=default": "runs need a namespace of their own",
    f"egress.bound[0].cidr=null,egress.bound[0].namespace={RUNS}": "Sectum's own",
    f"egress.bound[0].cidr=null,egress.bound[0].namespace={NAMESPACE}": "Sectum's own",
}


@pytest.mark.parametrize(("value", "said"), FAILS.items(), ids=FAILS)
def test_what_the_schema_cannot_say_is_refused_with_what_to_do(value: str, said: str) -> None:
    arguments = ("--set-json", "network.apiServer=[]") if value.startswith("network") else ("--set", value)
    if "bound" in value:
        name = value.rpartition("=")[2]
        arguments = ("--set-json", f'egress.bound=[{{"namespace":"{name}"}}]')
    result = template(*arguments)
    assert result.returncode != 0
    assert said in result.stderr


def test_every_object_says_whose_it_is_and_where() -> None:
    for document in rendered():
        have = set(document["metadata"]["labels"])
        assert {f"app.kubernetes.io/{name}" for name in LABELS} <= have, document["metadata"]["name"]
        cluster_wide = ("Namespace", "CustomResourceDefinition", "ValidatingAdmission", "ClusterRole")
        assert ("namespace" in document["metadata"]) != document["kind"].startswith(cluster_wide)


def pods() -> Iterator[dict[str, Any]]:
    for document in rendered():
        if document["kind"] in ("Deployment", "Job"):
            yield document["spec"]["template"]["spec"]
        elif document["kind"] == "Pod":
            yield document["spec"]


def test_every_pod_is_restricted_and_runs_an_image_by_digest() -> None:
    found = list(pods())
    assert len(found) == 3
    for pod in found:
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert re.fullmatch(r"[^@]+@sha256:[0-9a-f]{64}", container["image"])
        assert "command" not in container
        assert "hostNetwork" not in pod


def test_the_operator_is_told_its_namespace_and_images() -> None:
    container = named(rendered(), "Deployment", "sectum-operator")["spec"]["template"]["spec"]["containers"][0]
    images = yaml.safe_load(VALUES.read_text())["images"]
    assert container["args"] == ["operate"]
    assert {each["name"]: each["value"] for each in container["env"]} == {
        "SECTUM_NAMESPACES": RUNS,
        "SECTUM_LEASE_NAMESPACE": "sectum-system",
        "SECTUM_OPERATOR_IMAGE": "{repository}@{digest}".format(**images["operator"]),
        "SECTUM_PROBES_IMAGE": "{repository}@{digest}".format(**images["probes"]),
        "SECTUM_METRICS_PORT": "9090",
    }


@pytest.mark.parametrize(("timeout", "deadline"), [("4m", 290), ("90s", 140), ("0", 50)])
def test_draining_is_the_only_thing_that_uninstalling_waits_for_and_it_has_a_deadline(
    timeout: str, deadline: int
) -> None:
    documents = rendered("--set", f"uninstall.drain.timeout={timeout}")
    hooks = [each for each in documents if each["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-delete"]
    assert [each["kind"] for each in hooks] == ["ServiceAccount", "Job"]
    weights = [int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in hooks]
    assert weights == sorted(set(weights)), "the account before the Job"
    for each in hooks:
        policy = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert set(policy.split(",")) == {"before-hook-creation", "hook-succeeded", "hook-failed"}, "nothing stays"
        assert each["metadata"]["namespace"] == NAMESPACE, "which is there as long as the release is"
    spec = hooks[1]["spec"]
    assert spec["activeDeadlineSeconds"] == deadline
    [container] = spec["template"]["spec"]["containers"]
    assert container["args"] == ["drain", "--timeout", timeout]
    assert container["env"] == [{"name": "SECTUM_NAMESPACES", "value": RUNS}]
    assert int(deadline) - 50 == seconds_of(timeout)


def test_what_drains_reaches_the_api_server_as_the_operator_does() -> None:
    selector = named(rendered(), "NetworkPolicy", "sectum-operator")["spec"]["podSelector"]
    [expression] = selector["matchExpressions"]
    for kind, name in (("Deployment", "sectum-operator"), ("Job", "sectum-drain")):
        labels = named(rendered(), kind, name)["spec"]["template"]["metadata"]["labels"]
        assert selector["matchLabels"].items() <= labels.items()
        assert labels[expression["key"]] in expression["values"]


def test_one_role_is_cluster_wide_and_lets_runs_go_and_none_reads_a_secret() -> None:
    [role] = [each for each in rendered() if each["kind"] == "ClusterRole"]
    assert role["rules"] == [
        {"apiGroups": ["sectum.ai"], "resources": ["verificationruns"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": [RUNS], "verbs": ["get"]},
    ]
    [binding] = [each for each in rendered() if each["kind"] == "ClusterRoleBinding"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "sectum-operator", "namespace": NAMESPACE}]
    for document in rendered():
        for rule in document.get("rules", ()):
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert "secrets" not in rule["resources"] or rule["verbs"] == ["create"]


def test_the_charts_definitions_are_those_of_the_models() -> None:
    for path in sorted((ROOT / "crds").iterdir()):
        assert (CHART / "files" / "crds" / path.name).read_text() == path.read_text(), "run `make crds`"
        ours = yaml.safe_load(path.read_text())
        made = named(rendered(), "CustomResourceDefinition", ours["metadata"]["name"])
        assert made["spec"] == ours["spec"]
    assert len(list((CHART / "files" / "crds").iterdir())) == len(list((ROOT / "crds").iterdir()))


def kinds(*arguments: str) -> list[dict[str, Any]]:
    return [document for document in rendered(*arguments) if document["kind"] == "CustomResourceDefinition"]


def test_the_kinds_are_kept_unless_told_otherwise() -> None:
    keep = {"helm.sh/resource-policy": "keep"}
    assert [each["metadata"]["annotations"] for each in kinds()] == [keep] * 3
    assert ["annotations" in each["metadata"] for each in kinds("--set", "crds.keep=false")] == [False] * 3
    assert kinds("--set", "crds.enabled=false") == []


def test_the_namespace_of_runs_is_kept_and_restricted() -> None:
    metadata = named(rendered(), "Namespace", RUNS)["metadata"]
    assert metadata["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not [each for each in rendered("--set", "runs.create=false") if each["kind"] == "Namespace"]


def fences(*arguments: str) -> str:
    found = [each for each in rendered(*arguments) if each["kind"].startswith("ValidatingAdmission")]
    assert len(found) == 14
    return json.dumps(found, sort_keys=True)


OF_NO_ACCOUNT_TO_FENCES = [
    "crds.enabled=false",
    "crds.keep=false",
    "runs.create=false",
    "network.dns.namespace=dns",
    "network.dns.ports={5353}",
    "network.dns.labels.a=b",
    "network.dns.cidrs={169.254.20.10/32}",
    "images.pullSecrets={registry}",
    "uninstall.drain.timeout=90s",
    "runs.accounts.probe.annotations.a=b",
    "operator.nodeSelector.a=b",
    "operator.priorityClassName=high",
    "operator.resources.limits.memory=1Gi",
    "global.any=thing",
    "metrics.enabled=false",
    "metrics.from.namespace=monitoring",
    "metrics.rules.enabled=true",
]


@pytest.mark.parametrize("value", OF_NO_ACCOUNT_TO_FENCES)
def test_a_value_that_is_not_of_the_fences_leaves_them_as_they_are(value: str) -> None:
    assert fences("--set", value) == fences()


def test_the_values_that_are_of_the_fences_are_these() -> None:
    for value in ("egress.never={10.9.0.0/16}", "egress.bound[0].cidr=10.30.0.0/16", "network.apiServer[0].port=443",
                  "egress.workloadIdentity.cidr=169.254.170.23/32", "runs.namespace=other",
                  f"images.probes.digest=sha256:{'9' * 64}"):  # fmt: skip
        assert fences("--set", value) != fences(), value


def test_fences_deny_and_fail_closed() -> None:
    for document in rendered():
        if document["kind"] == "ValidatingAdmissionPolicy":
            assert document["spec"]["failurePolicy"] == "Fail"
            assert "paramKind" not in document["spec"]
            said = [each["message"].partition(":")[0] for each in document["spec"]["validations"]]
            assert len(set(said)) == len(said)
        elif document["kind"] == "ValidatingAdmissionPolicyBinding":
            assert document["spec"] == {"policyName": document["metadata"]["name"], "validationActions": ["Deny"]}


def test_workload_identity_is_open_only_where_it_is_named() -> None:
    def policies(*arguments: str) -> set[str]:
        return {each["metadata"]["name"] for each in rendered(*arguments) if each["kind"] == "NetworkPolicy"}

    assert "sectum-workload-identity" not in policies()
    given = policies("--set", "egress.workloadIdentity.cidr=169.254.170.23/32")
    assert given - policies() == {"sectum-workload-identity"}


def test_metrics_are_open_to_nobody_who_is_not_named() -> None:
    def ingress(*arguments: str) -> Any:
        policies = [each for each in rendered(*arguments) if each["kind"] == "NetworkPolicy"]
        found = [each for each in policies if each["spec"].get("ingress")]
        return named(found, "NetworkPolicy", "sectum-operator-metrics")["spec"]["ingress"] if found else None

    assert ingress() is None
    named_one = ("--set", "metrics.from.namespace=monitoring", "--set", "metrics.from.labels.app=prometheus")
    assert ingress(*named_one) == [
        {
            "from": [
                {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
                    "podSelector": {"matchLabels": {"app": "prometheus"}},
                }
            ],
            "ports": [{"protocol": "TCP", "port": 9090}],
        }
    ]
    assert ingress(*named_one, "--set", "metrics.enabled=false") is None
    pod = named(rendered("--set", "metrics.enabled=false"), "Deployment", "sectum-operator")["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["containers"][0]["ports"]] == ["health"]
    assert "SECTUM_METRICS_PORT" not in {each["name"] for each in pod["containers"][0]["env"]}


def test_runs_are_cut_off_from_their_first_moment() -> None:
    spec = named(rendered(), "NetworkPolicy", "sectum-default-deny")["spec"]
    assert spec == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "sectum-operator"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    reaching = named(rendered(), "NetworkPolicy", "sectum-api-server")["spec"]
    [who] = reaching["podSelector"]["matchExpressions"]
    assert (who["key"], who["operator"], who["values"]) == ("sectum.ai/stage", "In", ["prepare", "trigger"])


def leaves(node: Any, path: str = "") -> Iterator[str]:
    """The paths of all values; a map whose keys are the user's is one value."""
    if isinstance(node, dict) and node and not path.endswith(("labels", "resources")):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}".lstrip("."))
    else:
        yield path


def test_every_value_has_a_comment_and_a_line_in_the_docs() -> None:
    text = (CHART / "values.yaml").read_text()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        key = re.match(r"( *)[a-zA-Z]+:", line)
        if key and len(key[1]) < 6 and not line.startswith(("      k8s-app", "    requests", "    limits")):
            assert lines[number - 1].strip().startswith("#"), f"no comment on: {line}"
    page = (ROOT / "docs" / "chart.md").read_text()
    missing = [path for path in leaves(yaml.safe_load(text)) if f"`{path}`" not in page]
    assert missing == []
