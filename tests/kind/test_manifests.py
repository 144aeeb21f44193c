"""examples/kind: both builds are asked the same, Secrets are named and made alike, and no destination is forgotten."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from assistant.config import load_settings
from sectum.plan import make_plan
from sectum.scenario import Scenario, load

ROOT = Path(__file__).parents[2]
KIND = ROOT / "examples" / "kind"
SCENARIOS = {"leaky": KIND / "30-scenario-leaky.yaml", "hardened": KIND / "31-scenario-hardened.yaml"}
STACKS = {"leaky": KIND / "20-stack-leaky.yaml", "hardened": KIND / "21-stack-hardened.yaml"}


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@pytest.fixture(scope="module")
def everything() -> list[dict[str, Any]]:
    return [each for path in sorted(KIND.glob("*.yaml")) for each in documents(path)]


@pytest.fixture(params=["leaky", "hardened"])
def build(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scenario(build: str) -> Scenario:
    return load(SCENARIOS[build].read_text())


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, bytes]]]:
    return dict(script("credentials").made(tmp_path_factory.mktemp("secrets")))


def script(name: str) -> ModuleType:
    """A module of the demo, which is no package."""
    spec = importlib.util.spec_from_file_location(f"kind_{name}", KIND / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("paths", [SCENARIOS, STACKS])
def test_the_two_builds_differ_in_their_names_only(paths: dict[str, Path]) -> None:
    leaky, hardened = ([line for line in paths[each].read_text().splitlines() if line[:1] != "#"] for each in paths)
    assert [line.replace("leaky", "hardened") for line in leaky] == hardened


def test_a_scenario_is_one_that_the_library_takes_and_asks_four_surfaces(scenario: Scenario, build: str) -> None:
    assert scenario.metadata.name == build
    assert [each.name for each in scenario.spec.surfaces] == ["api", "tools", "cache", "memory"]
    assert make_plan(scenario).trials


def test_every_user_of_a_scenario_has_an_account_in_the_stack(scenario: Scenario, build: str) -> None:
    settings = load_settings(ROOT / "examples" / "quickstart" / "stack" / f"{build}.toml")
    accounts = {(each.tenant, each.user) for each in settings.accounts}
    assert {(tenant.name, user.name) for tenant in scenario.spec.tenants for user in tenant.users} <= accounts


def test_every_destination_of_a_scenario_is_pods_of_a_service_at_their_own_port(
    build: str, everything: list[dict[str, Any]]
) -> None:
    [document] = documents(SCENARIOS[build])
    services = {
        f"{each['metadata']['name']}.{each['metadata']['namespace']}": each["spec"]
        for each in everything
        if each["kind"] == "Service"
    }
    found = list(reached(document["spec"]))
    assert len(found) == 7  # four surfaces, the key, two buckets
    for url, egress in found:
        service = services[str(urlsplit(url).hostname)]
        [rule] = egress
        assert rule["pods"]["labels"] == service["selector"]
        assert str(urlsplit(url).hostname).endswith("." + rule["pods"]["namespace"])
        assert rule["ports"] == [urlsplit(url).port] == [port["port"] for port in service["ports"]]


def reached(spec: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """What is connected to, and the egress that allows it."""
    surfaces = [
        (adapter.get("origin") or adapter["url"], surface["egress"])
        for surface in spec["surfaces"]
        for adapter in surface["adapter"].values()
    ]
    key, evidence = spec["manifest"]["key"]["awsKms"], spec["evidence"]
    stores = [evidence[each]["s3"] for each in ("store", "records")]
    return surfaces + [(each["endpoint"], each["egress"]) for each in (key, *stores)]


def named_secrets(value: Any) -> set[str]:
    """Names of Secrets anywhere in a document."""
    if isinstance(value, list):
        return set().union(*map(named_secrets, value))
    if not isinstance(value, dict):
        return set()
    keys = ("secretName", "secret", "encryptSecret", "decryptSecret")
    here = {value[key] for key in keys if isinstance(value.get(key), str)}
    if isinstance(value.get("secretRef"), dict):
        here.add(value["secretRef"]["name"])
    return here.union(*map(named_secrets, value.values()))


def test_every_secret_that_is_named_is_made_and_every_one_that_is_made_is_named(
    everything: list[dict[str, Any]], secrets: dict[str, dict[str, dict[str, bytes]]]
) -> None:
    named: dict[str, set[str]] = {}
    for each in everything:
        namespace = each["metadata"].get("namespace", each["metadata"]["name"])
        named.setdefault(namespace, set()).update(named_secrets(each))
    assert {namespace: names for namespace, names in named.items() if names} == {
        namespace: set(made) for namespace, made in secrets.items()
    }


def test_a_token_is_made_for_each_user_and_a_key_id_looks_like_one_of_aws(
    scenario: Scenario, secrets: dict[str, dict[str, dict[str, bytes]]]
) -> None:
    users = {f"{tenant.name}.{user.name}" for tenant in scenario.spec.tenants for user in tenant.users}
    for surface in scenario.spec.surfaces:
        assert surface.credentials is not None
        assert users <= secrets["sectum-runs"][surface.credentials.secret_ref.name].keys()
    for bucket in ("root", "evidence", "records"):
        pair = secrets["sectum-servers"][f"s3-{bucket}"]
        assert len(pair["accessKeyId"]) == 20
        assert pair["accessKeyId"].startswith(b"AKIA")
        assert len(pair["secretAccessKey"]) == 40


def test_credentials_stay_the_same_when_the_demo_starts_again_and_no_two_are_equal(tmp_path: Path) -> None:
    credentials = script("credentials")
    first, again = credentials.made(tmp_path), credentials.made(tmp_path)
    assert first["sectum-servers"] == again["sectum-servers"]
    assert first["sectum-runs"]["sectum-signer-demo"] == again["sectum-runs"]["sectum-signer-demo"]
    values = [value for key, value in first["sectum-servers"]["kms"].items() if "." in key]
    assert len(set(values)) == len(values) == 8
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0 or path.is_dir()


def test_the_demos_pods_would_pass_pod_security_restricted_and_hold_no_token(everything: list[dict[str, Any]]) -> None:
    pods = [each["spec"]["template"]["spec"] for each in everything if each["kind"] == "Deployment"]
    assert len(pods) == 4
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    namespaces = [each for each in everything if each["kind"] == "Namespace"]
    assert len(namespaces) == 3
    for each in namespaces:
        assert each["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_a_cluster_that_has_the_secrets_already_is_served_the_same_from_any_folder(tmp_path: Path) -> None:
    credentials = script("credentials")
    there = credentials.made(tmp_path / "one")
    assert credentials.made(tmp_path / "other")["sectum-servers"] != there["sectum-servers"]
    credentials.taken_back(tmp_path / "other", there)
    again = credentials.made(tmp_path / "other")
    tokens = {name for name in again["sectum-runs"] if name.startswith("sectum-surface-") and "issuer" not in name}
    assert len(tokens) == 8  # issued anew
    for namespace, named in there.items():
        assert {name: value for name, value in named.items() if name not in tokens} == {
            name: value for name, value in again[namespace].items() if name not in tokens
        }
    public = "sectum-signer-demo/private.pem.pub"
    assert (tmp_path / "one" / public).read_bytes() == (tmp_path / "other" / public).read_bytes()
