"""A scenario is read, or refused with the field and the fix: never with a traceback, and never slowly."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sectum import scenario
from sectum.actions import Principal
from sectum.errors import ScenarioError
from sectum.plan import make_plan
from sectum.scenario import Scenario, load, parse

QUICKSTART = (Path(__file__).parents[2] / "examples" / "quickstart" / "scenario.yaml").read_text()


def quickstart() -> Any:
    return yaml.safe_load(QUICKSTART)


def refused(document: Any) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught:
        parse(document)
    return caught.value


def test_the_quickstart_is_a_scenario() -> None:
    read = load(QUICKSTART)
    assert {surface.adapter_name for surface in read.spec.surfaces} >= {"http", "pgvector"}
    assert read.spec.tenants[0].users[0].name == "alice"
    assert Principal("acme", "alice") in read.principals
    assert read.surface("api").spec.claim_names() == ("gateway-headers", "owner-filter")
    with pytest.raises(KeyError):
        read.surface("nowhere")


def test_a_snapshot_is_a_scenario_with_the_same_snapshot() -> None:
    snapshot = load(QUICKSTART).snapshot()
    assert parse(snapshot).snapshot() == snapshot
    assert snapshot["spec"]["trials"] == {"markersPerUser": 3, "perPair": 1}  # defaults are written out


Change = Callable[[Any], object]
SPEC = "spec.surfaces[0]"


def egress(**fields: Any) -> Change:
    return lambda d: d["spec"]["surfaces"][0].update(egress=[{"ports": [443], **fields}])


WRONG: dict[str, tuple[Change, str, str]] = {
    "unknown key at the top": (lambda d: d.update(speck={}), "speck", "did you mean 'spec'"),
    "a hosted run": (
        lambda d: d["spec"].update(mode="hosted"),
        "spec.mode",
        "hosted runs are not there yet; leave it out",
    ),
    "unknown key in spec": (lambda d: d["spec"].update(tenant=[]), "spec.tenant", "did you mean 'tenants'"),
    "unknown key in a list": (
        lambda d: d["spec"]["surfaces"][0].update(adaptor={}),
        f"{SPEC}.adaptor",
        "did you mean 'adapter'",
    ),
    "egress to no network": (egress(cidr="example.test"), f"{SPEC}.egress[0].cidr", "must be a network"),
    "egress to an address without its size": (egress(cidr="10.0.0.1"), f"{SPEC}.egress[0].cidr", "must be a network"),
    "egress to a host's network": (egress(cidr="10.0.0.1/8"), f"{SPEC}.egress[0].cidr", "no host bits set"),
    "egress to nowhere": (egress(), f"{SPEC}.egress[0]", "exactly one of: cidr, pods"),
    "two kinds of key": (
        lambda d: d["spec"]["manifest"]["key"].update(awsKms={"keyId": "x", "region": "eu-central-1"}),
        "spec.manifest.key",
        "exactly one of: awsKms, unsafeLocalKey",
    ),
    "a store with another's Secret": (
        lambda d: d["spec"]["evidence"].update(store={"s3": {"bucket": "evidence", "secret": "sectum-signer-mine"}}),
        "spec.evidence.store.s3.secret",
        "must start with 'sectum-store-'",
    ),
    "unknown key in a user": (
        lambda d: d["spec"]["tenants"][1]["users"][0].update(role="x"),
        "spec.tenants[1].users[0].role",
        "known here: name",
    ),
    "unknown adapter": (
        lambda d: d["spec"]["surfaces"][0]["adapter"].update(htttp={}),
        f"{SPEC}.adapter.htttp",
        "did you mean 'http'",
    ),
    "unknown key of an adapter": (
        lambda d: d["spec"]["surfaces"][0]["adapter"]["http"].update(orign="x"),
        f"{SPEC}.adapter.http.orign",
        "did you mean 'origin'",
    ),
    "two adapters": (
        lambda d: d["spec"]["surfaces"][0]["adapter"].update(d["spec"]["surfaces"][1]["adapter"]),
        f"{SPEC}.adapter",
        "give exactly one of",
    ),
    "no adapter": (lambda d: d["spec"]["surfaces"][0].update(adapter={}), f"{SPEC}.adapter", "give exactly one of"),
    "a null adapter": (
        lambda d: d["spec"]["surfaces"][0].update(adapter={"http": None}),
        f"{SPEC}.adapter",
        "give exactly one of",
    ),
    "missing field": (lambda d: d["spec"].pop("manifest"), "spec.manifest", "is missing; add it"),
    "missing field in a list": (
        lambda d: d["spec"]["surfaces"][2].pop("credentials"),
        "spec.surfaces[2].credentials",
        "is missing; add it",
    ),
    "another version": (lambda d: d.update(apiVersion="sectum.ai/v9"), "apiVersion", "sectum.ai/v1alpha1"),
    "another kind": (lambda d: d.update(kind="Pod"), "kind", "IsolationScenario"),
    "a name in capitals": (lambda d: d["spec"]["tenants"][0].update(name="ACME"), "spec.tenants[0].name", "lower-case"),
    "the name of decoys": (lambda d: d["spec"]["tenants"][0].update(name="-"), "spec.tenants[0].name", "lower-case"),
    "no tenants": (lambda d: d["spec"].update(tenants=[]), "spec.tenants", "at least 1"),
    "nobody else": (
        lambda d: d["spec"].update(tenants=[{"name": "acme", "users": [{"name": "alice"}]}]),
        "spec.tenants",
        "nobody to ask",
    ),
    "a tenant twice": (
        lambda d: d["spec"]["tenants"].append(d["spec"]["tenants"][0]),
        "spec.tenants",
        "'acme' is there twice",
    ),
    "a user twice": (
        lambda d: d["spec"]["tenants"][1].update(users=[{"name": "bob"}, {"name": "bob"}]),
        "spec.tenants[1].users",
        "'bob' is there twice",
    ),
    "a surface twice": (
        lambda d: d["spec"]["surfaces"].append(d["spec"]["surfaces"][0]),
        "spec.surfaces",
        "'api' is there twice",
    ),
    "an attack twice": (
        lambda d: d["spec"]["surfaces"][0].update(attacks=["boundary-fetch", "boundary-fetch"]),
        f"{SPEC}.attacks",
        "is there twice",
    ),
    "an unknown attack": (
        lambda d: d["spec"]["surfaces"][0].update(attacks=["boundary-fetsh"]),
        f"{SPEC}.attacks[0]",
        "did you mean 'boundary-fetch'",
    ),
    "another surface's secret": (
        lambda d: d["spec"]["surfaces"][0]["credentials"]["secretRef"].update(name="sectum-surface-vectors-x"),
        f"{SPEC}.credentials.secretRef.name",
        "must start with 'sectum-surface-api-'",
    ),
    "any secret": (
        lambda d: d["spec"]["surfaces"][0]["credentials"]["secretRef"].update(name="admin-token"),
        f"{SPEC}.credentials.secretRef.name",
        "must start with",
    ),
    "another surface's issuer key": (
        lambda d: d["spec"]["surfaces"][3]["adapter"]["mcp"]["tokens"]["issuerKey"]["secretRef"].update(
            name="sectum-surface-api-issuer"
        ),
        "spec.surfaces[3].adapter.mcp",
        "must start with 'sectum-surface-tools-'",
    ),
    "a signer's secret of another name": (
        lambda d: d["spec"]["evidence"]["signer"]["ecKey"]["secretRef"].update(name="my-key"),
        "spec.evidence.signer.ecKey.secretRef",
        "must start with 'sectum-signer-'",
    ),
    "a secret with a path in it": (
        lambda d: d["spec"]["surfaces"][0]["credentials"]["secretRef"].update(key="../../etc/passwd"),
        f"{SPEC}.credentials.secretRef.key",
        "pattern",
    ),
    "sharing on an unknown surface": (
        lambda d: d["spec"].update(sharing=[a_sharing(surface="apis")]),
        "spec.sharing[0].surface",
        "did you mean 'api'",
    ),
    "sharing of an unknown tenant": (
        lambda d: d["spec"].update(sharing=[a_sharing(owner={"tenant": "acne"})]),
        "spec.sharing[0].owner.tenant",
        "did you mean 'acme'",
    ),
    "sharing with an unknown user": (
        lambda d: d["spec"].update(sharing=[a_sharing(**{"with": {"tenant": "globex", "user": "bobby"}})]),
        "spec.sharing[0].with.user",
        "did you mean 'bob'",
    ),
    "sharing without a reason": (
        lambda d: d["spec"].update(sharing=[{k: v for k, v in a_sharing().items() if k != "reason"}]),
        "spec.sharing[0].reason",
        "is missing",
    ),
    "an exclusion of nothing": (
        lambda d: d["spec"].update(exclusions=[{"surface": "x", "attack": "boundary-fetch", "reason": "r"}]),
        "spec.exclusions[0].surface",
        "'x' is not known",
    ),
    "a risk on an unknown surface": (
        lambda d: d["spec"].update(acceptedRisks=[a_risk(surface="apis")]),
        "spec.acceptedRisks[0].surface",
        "did you mean 'api'?",
    ),
    "a risk of an unknown attack": (
        lambda d: d["spec"].update(acceptedRisks=[a_risk(attack="boundary-fetching")]),
        "spec.acceptedRisks[0].attack",
        "did you mean 'boundary-fetch'?",
    ),
    "a risk of an unknown asker": (
        lambda d: d["spec"].update(acceptedRisks=[a_risk(asker={"tenant": "globex", "user": "bobby"})]),
        "spec.acceptedRisks[0].asker.user",
        "'bobby' is not known",
    ),
    "a risk of an unknown tenant's data": (
        lambda d: d["spec"].update(acceptedRisks=[a_risk(), a_risk(owner={"tenant": "acne"})]),
        "spec.acceptedRisks[1].owner.tenant",
        "did you mean 'acme'?",
    ),
    "a risk that nobody answers for": (
        lambda d: d["spec"].update(acceptedRisks=[a_risk(acceptedBy="")]),
        "spec.acceptedRisks[0].acceptedBy",
        "at least 1 character",
    ),
    "a risk without an end": (
        lambda d: d["spec"].update(acceptedRisks=[{k: v for k, v in a_risk().items() if k != "expires"}]),
        "spec.acceptedRisks[0].expires",
        "is missing",
    ),
    "a risk until a day that there is not": (
        lambda d: d["spec"].update(acceptedRisks=[a_risk(expires="2027-02-30")]),
        "spec.acceptedRisks[0].expires",
        "must be a day that there is, such as 2027-01-31",
    ),
    "a risk until a moment": (
        lambda d: d["spec"].update(acceptedRisks=[a_risk(expires=1_800_000_000)]),
        "spec.acceptedRisks[0].expires",
        "valid string",
    ),
    "a baseline that is no digest": (
        lambda d: d["spec"].update(baseline={"sha256": "latest"}),
        "spec.baseline.sha256",
        "should match pattern",
    ),
    "too many risks": (
        lambda d: d["spec"].update(acceptedRisks=[a_risk()] * 65),
        "spec.acceptedRisks",
        "at most 64",
    ),
    "more trials than markers": (
        lambda d: d["spec"].update(trials={"markersPerUser": 3, "perPair": 4}),
        "spec.trials",
        "perPair must not exceed markersPerUser",
    ),
    "a budget of not a number": (
        lambda d: d["spec"]["surfaces"][0].update(budget={"minutes": float("nan")}),
        f"{SPEC}.budget.minutes",
        "Input should be",
    ),
    "a number beyond JSON": (
        lambda d: d["spec"]["surfaces"][0]["adapter"]["http"]["write"]["request"]["json"].update(n=2**53),
        "spec",
        "number that JSON does not carry safely",
    ),
    "a list": (lambda d: d.update(spec=[]), "spec", "valid dictionary"),
}


def a_risk(**changes: Any) -> dict[str, Any]:
    risk = {"surface": "api", "attack": "boundary-fetch", "acceptedBy": "team-search", "reason": "ticket 4712"}
    return {**risk, "expires": "2027-01-31", **changes}


def test_a_day_without_quotes_is_the_same_day() -> None:
    document = quickstart()
    document["spec"]["acceptedRisks"] = [a_risk()]
    quoted = parse(document).snapshot()
    unquoted = yaml.safe_load("expires: 2027-01-31")
    document["spec"]["acceptedRisks"] = [a_risk(**unquoted)]
    assert parse(document).snapshot() == quoted
    assert quoted["spec"]["acceptedRisks"][0]["expires"] == "2027-01-31"


def a_sharing(**changes: Any) -> dict[str, Any]:
    shared = {"surface": "api", "owner": {"tenant": "acme"}, "with": {"tenant": "globex"}, "reason": "a team"}
    return {**shared, **changes}


@pytest.mark.parametrize(("change", "field", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_field_and_a_fix(change: Change, field: str, words: str) -> None:
    document = quickstart()
    change(document)
    error = refused(document)
    assert (error.field, words in str(error), error.exit_status) == (field, True, 3), str(error)


def test_what_is_declared_as_shared_is_read() -> None:
    document = quickstart()
    document["spec"]["sharing"] = [a_sharing(**{"with": {"tenant": "globex", "user": "bob"}})]
    [sharing] = parse(document).spec.sharing
    assert sharing.owner.covers(Principal("acme", "amir"))
    assert sharing.with_.covers(Principal("globex", "bob"))
    assert not sharing.with_.covers(Principal("globex", "bea"))


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merges(levels: int) -> str:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


BODY = 'json: {title: "{title}", text: "{text}"}'
NOT_YAML: dict[str, tuple[str, str]] = {
    "an open quote": ("a: 1\nb: 'x\n", "line 3, column 1"),
    "a tab": ("a:\n\t- x\n", "line 2, column 1"),
    "two documents": ("a: 1\n---\nb: 2\n", "line 2, column 1"),
    "a control character": ("a: \x00", "the file"),
    "a tag that builds an object": ("!!python/object/apply:os.system ['true']", "line 1, column 1"),
    "nothing": ("", "the file"),
    "a word": ("scenario", "the file"),
    "a list": ("- a\n- b\n", "the file"),
    "a key twice": ("apiVersion: x\nkind: y\napiVersion: z\n", "line 3, column 1"),
    "nested lists": ("[" * 100_000, "the file"),
    "nested maps": ("a: " + "{a: " * 3000, "the file"),
    "a billion laughs": (laughs(10), "the file"),
    "a billion laughs where any JSON may stand": (
        laughs(10) + "\n" + QUICKSTART.replace(BODY, "json: *a9", 1),
        "the file",
    ),
    "a billion merges": (merges(10), "line 2, column 10"),
    "a list that contains itself": (QUICKSTART.replace(BODY, "json: &me {again: *me}", 1), "the file"),
    "far too much": ("# " + "x" * scenario.MAX_CHARACTERS, "the file"),
}


@pytest.mark.parametrize(("text", "place"), NOT_YAML.values(), ids=NOT_YAML)
def test_what_is_no_yaml_of_a_scenario_is_refused_fast_and_by_line(text: str, place: str) -> None:
    began = time.monotonic()
    with pytest.raises(ScenarioError) as caught:
        load(text)
    assert caught.value.field == place, str(caught.value)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: &base {a: 1}\nmore: {<<: *base}\n", "line 2, column 8: has a merge key ('<<'); write it out"),
        ("a: {b: 1,\n  c: 2, b: 3}\n", "line 2, column 9: has a key that was there before; remove one of them"),
        ("[" * 60 + "]" * 60, "the file: is nested more than 40 deep"),
    ],
)
def test_yaml_that_means_something_else_elsewhere_is_told_apart_from_no_yaml(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(text)
    assert str(caught.value) == words


def test_aliases_in_measure_are_fine() -> None:
    aliased = QUICKSTART.replace(
        "{name: globex, users: [{name: bob}, {name: bea}]}", "{name: globex, users: &two [{name: bob}, {name: bea}]}"
    ).replace("{name: initech, users: [{name: carol}, {name: chen}]}", "{name: initech, users: *two}")
    assert aliased != QUICKSTART
    assert load(aliased).spec.tenants[2].users == load(aliased).spec.tenants[1].users


def test_no_value_of_the_file_is_repeated_in_an_error() -> None:
    document = quickstart()
    document["spec"]["surfaces"][0]["credentials"] = "hunter2-secret"
    assert "hunter2" not in str(refused(document))


@pytest.mark.parametrize("document", [None, 5, "x", [], {1: 2}, {"spec": {("a",): 1}}])
def test_json_that_is_no_scenario_is_refused(document: Any) -> None:
    assert isinstance(refused(document), ScenarioError)


def test_the_schema_describes_every_field() -> None:
    schema = Scenario.model_json_schema(by_alias=True)
    bare = [
        f"{name}.{field}"
        for name, model in {"Scenario": schema, **schema["$defs"]}.items()
        for field, about in model.get("properties", {}).items()
        if not {"description", "$ref"} & about.keys()
    ]
    assert bare == []


def test_a_null_in_place_of_a_default_is_in_the_snapshot() -> None:
    """Without it the scenario that is read back out of a pack or a sealed manifest would be another one."""
    document = quickstart()
    [vectors] = [each for each in document["spec"]["surfaces"] if each["name"] == "vectors"]
    vectors["adapter"]["pgvector"]["columns"]["vector"] = None
    read = parse(document)
    assert parse(read.snapshot()) == read
    assert make_plan(parse(read.snapshot())).rows() == make_plan(read).rows()
