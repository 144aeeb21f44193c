"""Jobs and NetworkPolicies are exactly what the fence lets through."""

from typing import Any

import pytest
from sectum.scenario import parse
from sectum_operator.jobs import job, policies
from sectum_operator.stages import ON_SURFACES, Stage, Work, work_of

from tests.operator.cluster import IMAGES, RUN, RUN_UID, scenario

SCENARIO = parse({**scenario(), "metadata": {"name": "minimal"}})
WORKS = [Work(stage, "api" if stage in ON_SURFACES else "", 2) for stage in Stage]
ids = [str(work.stage) for work in WORKS]


def made(work: Work) -> dict[str, Any]:
    return job(RUN, SCENARIO, work, images=IMAGES, generation=3)


def pod(work: Work) -> dict[str, Any]:
    spec: dict[str, Any] = made(work)["spec"]["template"]["spec"]
    return spec


ARGS = {
    Stage.PREPARE: ["prepare", "--run", "nightly-1", "--uid", RUN_UID, "--generation", "3"],
    Stage.OPEN: ["open", "--run", RUN_UID],
    Stage.ASSEMBLE: ["assemble", "--run", RUN_UID],
}
SURFACE, KMS, RECORDS = "sectum-surface-api-tokens", "sectum-kms-decrypt-a", "sectum-store-records-a"
SIGN = ["sectum-signer-minimal", "sectum-store-evidence-a", RECORDS]
SECRETS = {Stage.PREPARE: ["sectum-kms-encrypt-a"], Stage.OPEN: SIGN, Stage.ASSEMBLE: SIGN}


@pytest.mark.parametrize("work", WORKS, ids=ids)
def test_a_stage_gets_its_arguments_account_image_and_secrets_and_no_others(work: Work) -> None:
    spec = pod(work)
    [container] = spec["containers"]
    on_surface = [work.stage.value, "--run", RUN_UID, "--surface", "api", "--attempt", "2"]
    assert container["args"] == ARGS.get(work.stage, on_surface)
    assert "command" not in container
    prepares = work.stage == Stage.PREPARE
    assert spec["automountServiceAccountToken"] is prepares
    assert container["image"] == (IMAGES.operator if prepares else IMAGES.probes)
    accounts = {Stage.PREPARE: "sectum-prepare", Stage.OPEN: "sectum-sign", Stage.ASSEMBLE: "sectum-sign"}
    assert spec["serviceAccountName"] == accounts.get(work.stage, "sectum-probe")
    mounted = {each["name"]: each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each}
    sealed = {} if prepares else {"manifest": f"sectum-manifest-{RUN_UID}"}
    wanted = SECRETS.get(work.stage, [SURFACE, KMS, RECORDS])
    assert mounted == sealed | {f"secret-{number}": name for number, name in enumerate(wanted)}


@pytest.mark.parametrize("work", WORKS, ids=ids)
def test_the_environment_is_closed_and_volumes_are_mounted_where_the_stage_reads_them(work: Work) -> None:
    spec = pod(work)
    [container] = spec["containers"]
    names = [each["name"] for each in container["env"]]
    assert names == ["SECTUM_POD_UID", "SECTUM_IMAGE"] + ["SECTUM_NAMESPACE"] * (work.stage == Stage.PREPARE)
    assert container["env"][1]["value"] == container["image"]
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    assert mounts.keys() == {each["name"] for each in spec["volumes"]}
    assert mounts.pop("tmp") == {"name": "tmp", "mountPath": "/tmp"}
    assert all(each["readOnly"] for each in mounts.values())
    secrets = {each["name"]: each["secret"] for each in spec["volumes"] if each["name"].startswith("secret-")}
    for name, secret in secrets.items():
        assert mounts[name]["mountPath"] == f"/var/run/sectum/secrets/{secret['secretName']}"
        assert secret["defaultMode"] == 0o440


@pytest.mark.parametrize("work", WORKS, ids=ids)
def test_job_and_pod_bear_the_same_labels_out_of_which_the_work_is_read_again(work: Work) -> None:
    document = made(work)
    labels = document["metadata"]["labels"]
    assert labels == document["spec"]["template"]["metadata"]["labels"]
    assert work_of(labels) == work
    assert ("sectum.ai/surface" in labels) is work.stage.of_surface
    [owner] = document["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (RUN_UID, True, False)


def test_names_differ_by_work_and_by_run_and_never_change() -> None:
    names = {made(work)["metadata"]["name"] for work in WORKS}
    assert len(names) == len(WORKS)
    assert made(Work(Stage.PLANT, "api", 1))["metadata"]["name"] == "nightly-1-plant-a0b5badd"


def test_a_policy_selects_one_surface_or_one_stage_and_each_of_its_rules_names_one_peer() -> None:
    found = {tuple(each["spec"]["podSelector"]["matchLabels"].items())[1]: each["spec"] for each in made_policies()}
    assert set(found) == {
        ("sectum.ai/stage", "prepare"), ("sectum.ai/stage", "open"), ("sectum.ai/stage", "assemble"),
        ("sectum.ai/surface", "api"), ("sectum.ai/surface", "search"),
    }  # fmt: skip
    for spec in found.values():
        assert spec["policyTypes"] == ["Egress"]
        assert all(len(rule["to"]) == 1 and rule["ports"] for rule in spec["egress"])
    pods, kms, records = found["sectum.ai/surface", "api"]["egress"]
    assert pods == {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "demo"}},
                "podSelector": {"matchLabels": {"app": "assistant"}}}],
        "ports": [{"protocol": "TCP", "port": 8080}, {"protocol": "TCP", "port": 8081}],
    }  # fmt: skip
    assert [rule["to"][0]["ipBlock"]["cidr"] for rule in (kms, records)] == ["10.30.0.0/16", "10.20.0.0/16"]
    assert found["sectum.ai/stage", "prepare"]["egress"] == [kms]
    assert found["sectum.ai/stage", "open"]["egress"] == [records]  # store and records lie in one network


def made_policies() -> list[dict[str, Any]]:
    return policies(RUN, SCENARIO, ["api", "search"])
