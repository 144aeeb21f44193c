"""`kubectl sectum` with a stand-in for kubectl that plays what a real one prints: words, tables, faults, statuses."""

import hashlib
import http.server
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from sectum.cli.app import IN_CLUSTER, VERBS, app
from sectum.cli.cluster_complete import answer
from sectum.cli.cluster_ending import ending
from sectum.cli.cluster_faults import ClusterFault, NotAllowed, NotThere, Question, fault, own_line
from sectum.cli.cluster_follow import Endless, RunGone, Told, changes, follow, steps
from sectum.cli.cluster_objects import Run, age, viewed
from sectum.cli.cluster_place import CannotFetch, place_of
from sectum.errors import SectumError

from tests.unit.test_cli_run import a_lab

ROOT = Path(__file__).parents[2]
UID = "0192f3a4-0000-7000-8000-000000000001"
BEGUN, ENDED = "2026-11-24T12:00:00Z", "2026-11-24T12:04:20Z"
NAME = "quickstart-20261124-120000"
FROM_HERE = "sectum.ai/v1alpha1"

STAND_IN = """\
#!{python} -IS
import json, os, sys
tape = os.environ["TAPE"]
words = sys.argv[1:]
given = sys.stdin.read() if "--filename=-" in words else None
with open(tape + ".log", "a") as log:
    log.write(json.dumps([words, given]) + "\\n")
with open(tape) as played:
    parts = json.load(played)
for number, part in enumerate(parts):
    if words[: len(part["words"])] != part["words"]:
        continue
    answers = part["answers"]
    answer = answers[0]
    if len(answers) > 1:
        part["answers"] = answers[1:]
        with open(tape, "w") as rest:
            json.dump(parts, rest)
    if "stderr" in answer:
        sys.stderr.write(answer["stderr"])
        sys.exit(1)
    print(answer["text"] if "text" in answer else json.dumps(answer))
    sys.exit(0)
sys.stderr.write("error: the tape has nothing for " + repr(words))
sys.exit(1)
"""


class Kubectl:
    """The stand-in and what it plays: for the first words of a call, answers of which the last stays."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = folder / "bin" / "kubectl"
        program.parent.mkdir()
        program.write_text(STAND_IN.format(python=sys.executable))
        program.chmod(0o755)
        self.tape, self._parts = (
            folder / "tape",
            [{"words": ["config", "current-context"], "answers": [{"text": "lab"}]}],
        )
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        monkeypatch.setenv("TAPE", str(self.tape))
        self._keep()

    def _keep(self) -> None:
        self.tape.write_text(json.dumps(self._parts))

    def plays(self, words: str, *answers: Any) -> None:
        self._parts.insert(0, {"words": words.split(), "answers": list(answers)})
        self._keep()

    def calls(self) -> list[tuple[list[str], str | None]]:
        return [tuple(json.loads(line)) for line in Path(f"{self.tape}.log").read_text().splitlines()]

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words], prog_name="kubectl sectum")


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubectl:
    made = Kubectl(tmp_path, monkeypatch)
    made.plays("get isolationscenarios.sectum.ai", listed(scenario(), scenario("nightly")))
    made.plays("get isolationscenarios.sectum.ai quickstart", scenario())
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return made


def listed(*items: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items), "metadata": {"resourceVersion": ""}}


def metadata(name: str, created: str = BEGUN) -> dict[str, Any]:
    return {"name": name, "namespace": "demo", "uid": UID, "creationTimestamp": created, "generation": 1}


def scenario(name: str = "quickstart", status: dict[str, Any] | None = None) -> dict[str, Any]:
    spec = {"surfaces": [{"name": "api", "kind": "api-plane"}, {"name": "vectors", "kind": "vector-store"}]}
    return {"apiVersion": FROM_HERE, "kind": "IsolationScenario", "metadata": metadata(name), "spec": spec,
            "status": status or {}}  # fmt: skip


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": BEGUN,
            "observedGeneration": 1}  # fmt: skip


def surface(name: str, verdict: str | None = None, counts: str = "", **more: Any) -> dict[str, Any]:
    """`counts`: planned, leak, pass, inconclusive."""
    numbers = dict(zip(("planned", "leak", "pass", "inconclusive"), map(int, counts.split()), strict=False))
    return {"name": name, "attempts": 1, **({"verdict": verdict} if verdict else {}), "counts": numbers, **more}


def run(phase: str | None = None, *conditions: dict[str, Any], uid: str = UID, **status: Any) -> dict[str, Any]:
    seen = {"observedGeneration": 1, "phase": phase, "conditions": list(conditions), **status} if phase else {}
    return {"apiVersion": FROM_HERE, "kind": "VerificationRun", "metadata": {**metadata(NAME), "uid": uid},
            "spec": {"scenarioRef": {"name": "quickstart"}, "timeout": "6h"}, "status": seen}  # fmt: skip


def ended(verdict: str, *, phase: str = "Complete", reason: str | None = None, **status: Any) -> dict[str, Any]:
    pack = {"name": NAME, "uri": "s3://evidence/acme/packs/1.zip", "sha256": "ab" * 32}
    known = {"verdict": verdict, "pack": pack, "startedAt": BEGUN, "finishedAt": ENDED}
    complete = condition("Complete", "True", reason or verdict)
    return run(phase, condition("Accepted", "True", "Accepted"), complete, **{**known, **status})


def pack(
    name: str, created: str, *, of: str = "quickstart", verdict: str | None = "Leak", **spec: Any
) -> dict[str, Any]:
    described = {
        "runRef": {"name": name, "uid": UID}, "scenarioRef": {"name": of, "uid": UID, "generation": 3},
        "digests": {"pack": "ab" * 32, "run": "cd" * 32}, "uri": f"s3://b/{'a/' * 40}packs/{name}.zip", **spec,
    }  # fmt: skip
    status = {"verdict": verdict, "conditions": [condition("Verified", "True", "Verified")]} if verdict else {}
    return {"apiVersion": FROM_HERE, "kind": "EvidencePack", "metadata": metadata(name, created), "spec": described,
            "status": status}  # fmt: skip


# --- which program it is


@pytest.mark.parametrize("verb", [[], *([verb] for verb in IN_CLUSTER)])
def test_every_verb_has_help_that_says_kubectl_sectum_and_is_no_wider_than_120(
    kubectl: Kubectl, verb: list[str]
) -> None:
    result = kubectl(*verb, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(" ".join(["Usage: kubectl sectum", *verb]))
    assert max(map(len, result.stdout.splitlines())) <= 120


@pytest.mark.parametrize(
    ("program", "words", "problem", "fix"),
    [
        ("sectum", ["run", "quickstart"], "takes a file, -f FILE", "in a cluster: kubectl sectum run quickstart"),
        ("sectum", ["packs"], "no verb is named 'packs'", "kubectl sectum packs"),
        ("kubectl sectum", ["keygen"], "no verb is named 'keygen'", "sectum keygen"),
        ("kubectl sectum", ["pakcs"], "no verb is named 'pakcs'", "did you mean 'packs'?"),
        ("kubectl sectum", ["run", "-f", "x.yaml"], "-f and --out are of `sectum run`", "kubectl apply -f FILE"),
        ("kubectl sectum", ["run"], "Missing argument 'SCENARIO'", "kubectl sectum run --help"),
        ("kubectl sectum", ["run", "Quick_"], "'Quick_' is no name of a scenario", "lower-case"),
        ("kubectl sectum", ["run", "--", "-o"], "'-o' is no name of a scenario", "lower-case"),
        ("kubectl sectum", ["fetch", "../x"], "'../x' is no name of a pack", "lower-case"),
        ("kubectl sectum", ["run", "quickstart", "--timeout", "59s"], "from 1m to 72h", "kubectl sectum run --help"),
        ("kubectl sectum", ["run", "quickstart", "--timeout", "1d"], "from 1m to 72h", "kubectl sectum run --help"),
        ("kubectl sectum", ["-A", "run", "quickstart"], "-A makes no sense for run", "-n"),
        ("kubectl sectum", ["status", "quickstart", "-A"], "one scenario is in one namespace", "-A"),
        ("kubectl sectum", ["fetch", "one", "--scenario", "quickstart"], "--scenario goes with @latest", "name"),
    ],
)
def test_what_is_asked_of_the_wrong_program_or_wrongly_is_status_2_with_the_way_out(
    kubectl: Kubectl, program: str, words: list[str], problem: str, fix: str
) -> None:
    result = CliRunner().invoke(app, words, prog_name=program)
    assert (result.exit_code, result.stdout) == (2, "")
    error, *rest = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert problem in error
    assert fix in rest[0]


def test_a_local_run_has_its_own_verb_still() -> None:
    assert VERBS["run"].module == "running"
    assert "-f, --file" in CliRunner().invoke(app, ["run", "--help"], prog_name="sectum").stdout


# --- what kubectl says

FORBIDDEN = (
    'Error from server (Forbidden): verificationruns.sectum.ai is forbidden: User "bob" cannot list resource '
    '"verificationruns" in API group "sectum.ai" in the namespace "demo"'
)
NO_KIND = 'error: the server doesn\'t have a resource type "evidencepacks"'


@pytest.mark.parametrize(
    ("stderr", "status", "said"),
    [
        (NO_KIND, 1, ["has no resource evidencepacks.sectum.ai", "install Sectum's chart"]),
        (FORBIDDEN, 1, ["you may not list evidencepacks.sectum.ai in namespace 'demo'", "--verb=list", "-n demo"]),
        ("error: You must be logged in to the server (Unauthorized)", 1, ["does not know who you are", "log in"]),
        (
            "E1124 18:42:40.1 5 memcache.go:265] couldn't get current server API group list\n"
            "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?",
            1,
            ["no answer from the cluster: The connection to the server 127.0.0.1:6443", "kubectl version"],
        ),
        (
            "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
            1,
            ["kubectl knows of no cluster", "--kubeconfig"],
        ),
        ("Unable to connect to the server: dial tcp: lookup x: no such host", 1, ["no answer from the cluster"]),
        ('error: context "nix" does not exist', 1, ['context "nix" does not exist', "kubectl config get-contexts"]),
        ("Error in configuration: context was not found for specified context: nix", 1, ["get-contexts"]),
        ("error: stat /nowhere: no such file or directory", 1, ["stat /nowhere", "get-contexts"]),
        ('Error from server (NotFound): namespaces "demo" not found', 3, ["there is no namespace 'demo'"]),
        ("error: \x1b[31mred\x07" + "x" * 5000, 1, ["�[31mred�xxx", "…"]),
        ("", 1, ["it said nothing"]),
    ],
)
def test_each_fault_of_kubectl_is_one_bounded_line_with_the_way_out(
    kubectl: Kubectl, stderr: str, status: int, said: list[str]
) -> None:
    kubectl.plays("get evidencepacks.sectum.ai", {"stderr": stderr})
    result = kubectl("packs", "-n", "demo")
    assert (result.exit_code, result.stdout) == (status, "")
    assert [text for text in said if text not in result.stderr] == []
    assert "\x1b" not in result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert max(map(len, result.stderr.splitlines())) < 400


def test_without_kubectl_one_line_says_so(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    result = kubectl("packs")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (1, "error: kubectl is not on the PATH")


def test_what_is_no_json_or_of_another_shape_is_one_line_and_shows_none_of_it(kubectl: Kubectl) -> None:
    kubectl.plays("get evidencepacks.sectum.ai", {"text": "zq-words-qz"}, listed({"metadata": {"name": "zq-words-qz"}}))
    first, second = kubectl("packs"), kubectl("packs")
    assert (first.exit_code, second.exit_code) == (1, 1)
    assert "printed no JSON" in first.stderr
    assert "not of a shape that this version knows, at spec" in second.stderr
    assert "zq-words" not in first.output + second.output


def test_a_quota_is_no_missing_right() -> None:
    said = 'Error from server (Forbidden): error when creating "STDIN": exceeded quota: runs, used: 9, limited: 9'
    made = fault(Question("create", "verificationruns", "x", None), said)
    assert made.exit_status == 3
    assert "exceeded quota" in str(made)


def test_a_semicolon_of_kubectls_does_not_divide_the_message() -> None:
    assert own_line("error: a; b") == "a, b"


@pytest.mark.parametrize("before", [True, False])
def test_the_users_cluster_and_namespace_reach_kubectl_wherever_they_stand(kubectl: Kubectl, before: bool) -> None:
    kubectl.plays("get evidencepacks.sectum.ai", listed())
    given = ["-n", "demo; rm -rf x", "--context", "-odd", "--kubeconfig", "a b"]
    result = kubectl(*given, "packs") if before else kubectl("packs", *given)
    assert result.exit_code == 0, result.stderr
    [(words, _)] = kubectl.calls()
    assert words[:6] == [
        "get", "evidencepacks.sectum.ai", "--output=json", "--namespace=demo; rm -rf x", "--context=-odd",
        "--kubeconfig=a b",
    ]  # fmt: skip


# --- run


def test_a_run_is_named_after_scenario_and_time_and_holds_what_was_asked_for(kubectl: Kubectl) -> None:
    kubectl.plays("create", run())
    result = kubectl(
        "run", "quickstart", "-n", "demo", "--surface", "api", "--attack", "entity-bleed", "--timeout", "90m"
    )
    assert result.exit_code == 0, result.stderr
    [_, (words, given)] = kubectl.calls()
    body = json.loads(given or "")
    assert words == ["create", "--output=json", "--namespace=demo", "--filename=-", "--validate=strict"]
    assert re.fullmatch(r"quickstart-\d{8}-\d{6}", body["metadata"]["name"])
    assert body["spec"] == {
        "scenarioRef": {"name": "quickstart"}, "timeout": "90m",
        "subset": {"surfaces": ["api"], "attacks": ["entity-bleed"]},
    }  # fmt: skip
    assert f"kubectl sectum follow {NAME} -n demo" in result.stdout
    assert """--type merge -p '{"spec":{"cancel":true}}'""" in result.stdout


def test_two_runs_of_one_second_have_two_names(kubectl: Kubectl) -> None:
    taken = (
        'Error from server (AlreadyExists): error when creating "STDIN": verificationruns.sectum.ai "x" already exists'
    )
    kubectl.plays("create", {"stderr": taken}, run())
    assert kubectl("run", "quickstart", "-o", "name").stdout == f"verificationrun.sectum.ai/{NAME}\n"
    first, second = (json.loads(given or "")["metadata"]["name"] for words, given in kubectl.calls() if given)
    assert second == f"{first}-2"


def test_a_dry_run_makes_nothing(kubectl: Kubectl) -> None:
    kubectl.plays("create", run())
    result = kubectl("run", "quickstart", "--dry-run", "--wait")
    assert (result.exit_code, "nothing was made" in result.stdout) == (0, True)
    assert "--dry-run=server" in kubectl.calls()[-1][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["quickstar"], ["no scenario is named 'quickstar'", "did you mean 'quickstart'?"]),
        (["zzz"], ["no scenario is named 'zzz'", "there are: nightly, quickstart"]),
        (["quickstart", "--surface", "apy"], ["no surface is named 'apy'", "did you mean 'api'?"]),
        (["quickstart", "--attack", "entity-bled"], ["no attack is named", "did you mean 'entity-bleed'?"]),
    ],
)
def test_what_the_cluster_does_not_have_is_status_3_with_the_nearest_names(
    kubectl: Kubectl, words: list[str], said: list[str]
) -> None:
    missing = 'Error from server (NotFound): isolationscenarios.sectum.ai "x" not found'
    for name in ("quickstar", "zzz"):
        kubectl.plays(f"get isolationscenarios.sectum.ai {name}", {"stderr": missing})
    result = kubectl("run", *words)
    assert (result.exit_code, result.stdout) == (3, "")
    assert [text for text in said if text not in result.stderr] == []


def test_a_run_that_the_server_refuses_is_status_3_with_kubectls_line(kubectl: Kubectl) -> None:
    kubectl.plays("create", {"stderr": 'The VerificationRun "x" is invalid: spec.timeout: Invalid value: must be less'})
    result = kubectl("run", "quickstart")
    assert (result.exit_code, "spec.timeout: Invalid value" in result.stderr) == (3, True)


ENDINGS = {
    "pass": (ended("Pass"), 0, "✓ Pass"),
    "leak": (ended("Leak", surfaces=[surface("api", "Leak", "9 2 7 0")]), 10, "✗ Leak"),
    "inconclusive": (ended("Inconclusive"), 11, "? Inconclusive"),
    "cancelled with a pack": (ended("Inconclusive", reason="Cancelled"), 11, "cancelled"),
    "failed": (run("Failed", condition("Complete", "True", "AssembleFailed", "store")), 1, "AssembleFailed: store"),
    "failed, and a verdict is left": (ended("Pass", phase="Failed"), 1, "Failed"),
    "failed without a condition": (run("Failed"), 1, "no reason is given"),
    "not accepted": (
        run("Pending", condition("Accepted", "False", "NotForCluster", "spec.x")),
        3,
        "NotForCluster: spec.x",
    ),
    "complete, no verdict": (run("Complete", condition("Complete", "True", "Cancelled")), 1, "Cancelled"),
    "a Pass with a leaking surface": (ended("Pass", surfaces=[surface("api", "Leak", "9 1 8 0")]), 1, "contradicts"),
    "a Pass with leaks": (ended("Pass", counts={"planned": 9, "leak": 1}), 1, "contradicts"),
    "a Pass for another reason": (ended("Pass", reason="Stored"), 1, "contradicts"),
    "a Pass without a pack": (ended("Pass", pack=None), 1, "contradicts"),
}


@pytest.mark.parametrize(("last", "status", "said"), ENDINGS.values(), ids=ENDINGS)
def test_waiting_ends_with_the_verdict_as_exit_status(kubectl: Kubectl, last: Any, status: int, said: str) -> None:
    lost = {"stderr": "Unable to connect to the server: net/http: TLS handshake timeout"}
    accepted = condition("Accepted", "True", "Accepted")
    going = run("Probing", accepted, surfaces=[surface("api"), surface("vectors")])
    kubectl.plays("create", run())
    kubectl.plays(f"get verificationruns.sectum.ai {NAME}", run(), going, lost, lost, going, last)
    result = kubectl("run", "quickstart", "--wait")
    assert result.exit_code == status, result.output
    assert said in result.stdout
    told = result.stderr.splitlines()
    assert told[:4] == [f"{NAME} created in namespace demo", "waiting to begin", "probing",
                        "no answer from the cluster; the run goes on there, trying again"]  # fmt: skip
    assert "\x1b" not in result.output
    looks = [words for words, _ in kubectl.calls() if words[:2] == ["get", "verificationruns.sectum.ai"]]
    assert {*looks[0]} >= {"--namespace=demo", "--context=lab"}, "pinned: others may switch contexts meanwhile"


def test_a_scorecard_has_the_reasons_the_pack_and_commands_that_can_be_copied(kubectl: Kubectl) -> None:
    surfaces = [
        surface("api", "Leak", "200 12 188 0"),
        surface("vectors", "Inconclusive", "9 0 0 9", reason="Unreachable"),
    ]
    left = condition("CleanedUp", "False", "NotRemoved", "vectors: 3 documents")
    last = ended("Leak", surfaces=surfaces, counts={"planned": 209, "leak": 12, "pass": 188, "inconclusive": 9})
    last["status"]["conditions"].append(left)
    kubectl.plays(f"get verificationruns.sectum.ai {NAME}", last)
    result = kubectl("follow", NAME, "-n", "demo", "--context", "a b")
    assert result.exit_code == 10
    assert result.stdout.splitlines()[0] == f"✗ Leak   {NAME} · 209 trials · 12 leaking · 4 min 20 s"
    for text in (
        "vectors: Unreachable", "there is no connection to it", "NotRemoved: vectors: 3 documents",
        f"{NAME}   s3://evidence/acme/packs/1.zip", f"kubectl sectum fetch {NAME} -n demo --context 'a b'",
        f"sectum verify {NAME}.zip --key SIGNER.pem.pub --open {NAME}.open.json --allow-unanchored",
    ):  # fmt: skip
        assert text in result.stdout
    told = json.loads(kubectl("follow", NAME, "-o", "json").stdout)
    assert (told["verdict"], told["exitStatus"], told["counts"]["leak"]) == ("Leak", 10, 12)
    assert told["surfaces"][1]["reason"] == "Unreachable"


def test_the_words_of_a_status_are_shown_bounded_and_without_escape_bytes(kubectl: Kubectl) -> None:
    failed = condition("Complete", "True", "X\x1b[2J", "\x1b]0;title\x07" + "m" * 2000)
    kubectl.plays(f"get verificationruns.sectum.ai {NAME}", run("Failed", failed))
    result = kubectl("follow", NAME)
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
    assert result.stdout.count("m") < 600


def test_the_latest_run_is_followed_without_its_name(kubectl: Kubectl) -> None:
    older = {**ended("Pass"), "metadata": metadata("quickstart-1", "2026-11-23T12:00:00Z")}
    kubectl.plays("get verificationruns.sectum.ai", listed(older, ended("Leak")))
    kubectl.plays(f"get verificationruns.sectum.ai {NAME}", ended("Leak"))
    assert kubectl("follow", "@latest", "--scenario", "quickstart").exit_code == 10
    assert "--field-selector=spec.scenarioRef.name=quickstart" in kubectl.calls()[0][0]


# --- following, on its own clock


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def followed(*looks: Any) -> tuple[Run | None, SectumError | None, Clock, str]:
    """Looks one after another, the last one again and again; exceptions are raised."""
    clock, shown, rest = Clock(), StringIO(), list(looks)

    def read() -> Run:
        look = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(look, Exception):
            raise look
        return viewed(Run, look)

    told = Told(Console(file=shown, width=200), surfaces=["api"], quiet=False, now=clock.now)
    try:
        with told:
            return follow(read, told, uid=UID, now=clock.now, sleep=clock.sleep), None, clock, shown.getvalue()
    except SectumError as error:
        return None, error, clock, shown.getvalue()


RUNNING = run("Probing", condition("Accepted", "True", "Accepted"))


def test_a_dropped_connection_is_survived_for_five_minutes_and_no_longer() -> None:
    lost = ClusterFault("no answer")
    assert followed(RUNNING, *[lost] * 149, ended("Pass"))[0] is not None
    _, error, clock, said = followed(RUNNING, lost)
    assert (error, clock.seconds) == (lost, 300.0)
    assert said.count("no answer from the cluster") == 1


@pytest.mark.parametrize(
    ("looks", "kind", "seconds"),
    [
        ([RUNNING, NotThere("x")], RunGone, 2.0),
        ([RUNNING, run("Probing", uid=UID.replace("1", "2"))], RunGone, 2.0),
        ([RUNNING, NotAllowed("x")], NotAllowed, 2.0),
        ([run()], Endless, 300.0),
        ([RUNNING], Endless, 7 * 3600.0),
    ],
)
def test_nobody_waits_for_what_will_not_come(looks: list[Any], kind: type[SectumError], seconds: float) -> None:
    _, error, clock, _ = followed(*looks)
    assert (type(error), clock.seconds) == (kind, seconds)


def test_a_run_that_nobody_takes_up_is_said_so_once_before_it_is_given_up() -> None:
    said = followed(run())[3]
    assert said.splitlines()[:2] == ["waiting to begin", "nobody has taken the run up yet; does the operator run?"]
    assert said.count("nobody has taken") == 1


def test_plain_lines_go_on_while_nothing_changes_so_that_no_ci_takes_it_for_dead() -> None:
    said = followed(RUNNING)[3].splitlines()
    assert said[:3] == ["probing", "probing, 5 minutes so far", "probing, 10 minutes so far"]


def test_each_change_is_one_plain_line() -> None:
    looks = [
        run("Planting", surfaces=[surface("api"), surface("b")]),
        run("Probing", surfaces=[surface("api"), surface("b", attempts=2)]),
        run("Probing", surfaces=[surface("api", "Leak", "9 2 7 0"), surface("b", attempts=2)]),
        run("Cleaning", surfaces=[surface("api", "Leak", "9 2 7 0"), surface("b", "Inconclusive", reason="Budget")]),
        ended("Leak", surfaces=[surface("api", "Leak", "9 2 7 0"), surface("b", "Inconclusive", reason="Budget")]),
    ]  # fmt: skip
    runs = [viewed(Run, look) for look in looks]
    said = [list(changes(before, after)) for before, after in zip([None, *runs], runs, strict=False)]
    assert said == [
        ["planting"], ["probing", "b: attempt 2"], ["api: Leak, 9/9 trials, 2 leaking"],
        ["cleaning up", "b: Inconclusive (Budget)"], [],
    ]  # fmt: skip


def test_the_live_table_has_a_line_for_each_surface_and_shows_what_is_done() -> None:
    look = viewed(Run, run("Probing", surfaces=[surface("api", "Leak", "9 2 7 0"), surface("b", None, "5 0 1 0")]))
    assert [(s.surface, s.stage, s.done, s.total, s.leaks) for s in steps(look, ["api", "b", "c"])] == [
        ("api", "Leak", 9, 9, 2), ("b", "probing", 1, 5, 0), ("c", "probing", 0, 0, 0),
    ]  # fmt: skip
    shown = StringIO()
    console = Console(file=shown, force_terminal=True, width=100, color_system=None)
    with Told(console, surfaces=["api", "b"], quiet=False, now=Clock().now) as told:
        told(look)
        told.notice("here")
        assert told._table is not None
        console.print(told._table.render())
    assert re.search(r"api +Leak +━+ +9/9 +2 leaking", shown.getvalue())
    assert "here" in shown.getvalue()


def test_nothing_is_ended_before_it_says_so() -> None:
    for look in (run(), RUNNING, run("Complete"), run("Assembling", condition("Complete", "False", "Running"))):
        assert ending(viewed(Run, look)) is None


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_watching_alone_and_says_how_to_go_on(kubectl: Kubectl, sent: signal.Signals) -> None:
    kubectl.plays("create", run())
    kubectl.plays(f"get verificationruns.sectum.ai {NAME}", RUNNING)
    main = "import sys; from sectum.cli import main; sys.argv[0] = 'kubectl-sectum'; main()"
    words = [sys.executable, "-c", main, "run", "quickstart", "--wait", "-n", "demo"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "probing" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(sent)
        out, rest = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert rest.splitlines() == [
        f"stopped watching; {NAME} goes on",
        f"follow it again: kubectl sectum follow {NAME} -n demo",
        f"cancel it: kubectl patch verificationruns.sectum.ai {NAME} -n demo --type merge "
        """-p '{"spec":{"cancel":true}}'""",
    ]
    assert not any("patch" in words for words, _ in kubectl.calls())


# --- packs, status


def test_packs_are_listed_newest_first_a_line_each_however_long_the_uri_is(kubectl: Kubectl) -> None:
    kubectl.plays(
        "get evidencepacks.sectum.ai",
        listed(
            pack("quickstart-1", "2026-11-23T12:00:00Z"),
            pack("nightly-1", "2026-11-24T12:00:00Z", of="nightly", verdict="Pass"),
            pack("quickstart-0", "2026-11-22T12:00:00Z", verdict=None),
        ),
    )
    heading, *rows = kubectl("packs", "-A").stdout.splitlines()
    assert heading.split() == ["NAMESPACE", "VERDICT", "PACK", "SCENARIO", "AGE", "VERIFIED", "URI"]
    assert [re.split(r"  +", row)[1:4] for row in rows] == [
        ["✓ Pass", "nightly-1", "nightly"],
        ["✗ Leak", "quickstart-1", "quickstart"],
        ["–", "quickstart-0", "quickstart"],
    ]  # fmt: skip
    assert all(row.endswith(".zip") for row in rows)
    assert "--all-namespaces" in kubectl.calls()[0][0]
    assert kubectl("packs", "-o", "name").stdout.splitlines()[0] == "evidencepack.sectum.ai/nightly-1"
    told = json.loads(kubectl("packs", "-o", "json").stdout)["packs"]
    assert [(each["name"], each["verdict"], each["verified"]) for each in told] == [
        ("nightly-1", "Pass", True), ("quickstart-1", "Leak", True), ("quickstart-0", None, None),
    ]  # fmt: skip
    kubectl("packs", "quickstart")
    assert "--field-selector=spec.scenarioRef.name=quickstart" in kubectl.calls()[-1][0]


def test_a_pack_that_is_not_named_after_its_run_shows_its_run(kubectl: Kubectl) -> None:
    other = pack("p", BEGUN, runRef={"name": "r", "uid": UID})
    kubectl.plays("get evidencepacks.sectum.ai", listed(other))
    assert kubectl("packs").stdout.split()[:5] == ["VERDICT", "PACK", "SCENARIO", "RUN", "AGE"]


def test_no_packs_are_said_in_a_line(kubectl: Kubectl) -> None:
    kubectl.plays("get evidencepacks.sectum.ai", listed())
    assert kubectl("packs", "-n", "demo").stdout == "no evidence pack in namespace demo\n"


def test_the_status_of_scenarios_is_their_last_runs(kubectl: Kubectl) -> None:
    pair = {"asker": {"tenant": "acme", "user": "alice"}, "owner": {"tenant": "globex", "user": "bob"}}
    cell = {"surface": "api", "attack": "boundary-fetch", "verdict": "Leak", "worst": pair}
    status = {
        "conditions": [condition("Ready", "True", "Ready")], "score": 95, "trend": "Worse", "cells": [cell],
        "lastRun": {"name": NAME, "verdict": "Leak", "finishedAt": ENDED},
    }  # fmt: skip
    kubectl.plays("get isolationscenarios.sectum.ai", listed(scenario(status=status), scenario("nightly")))
    kubectl.plays("get isolationscenarios.sectum.ai quickstart", scenario(status=status))
    _, first, second = kubectl("status").stdout.splitlines()
    assert first.split()[:2] == ["–", "nightly"]
    assert second.split()[:6] == ["✗", "Leak", "quickstart", "95", "Worse", "True"]
    assert "acme/alice → globex/bob" in kubectl("status", "quickstart").stdout
    told = json.loads(kubectl("status", "quickstart", "-o", "json").stdout)
    assert (told["verdict"], told["cells"][0]["attack"]) == ("Leak", "boundary-fetch")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0s"), (119, "119s"), (120, "2m"), (10799, "179m"), (10800, "3h"), (172800, "2d")]
)
def test_an_age_is_written_as_kubectl_does(seconds: int, expected: str) -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 11, 24, tzinfo=UTC)
    assert age(now - timedelta(seconds=seconds), now) == expected


# --- fetch


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a real run stored, and the signer's public key."""
    folder = tmp_path_factory.mktemp("evidence")
    with a_lab(folder, leaky=True) as lab:
        assert lab.run().exit_code == 10
    return folder


def stored(evidence: Path, root: str, **changed: str) -> dict[str, Any]:
    [zipped] = (evidence / "out" / "packs").glob("*.zip")
    run_json = zipfile.ZipFile(zipped).read("run.json")
    digests = {"pack": digest(zipped.read_bytes()), "run": digest(run_json), **changed}
    return pack(NAME, BEGUN, digests=digests, uri=f"{root}packs/{zipped.name}")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetched(kubectl: Kubectl, out: Path, *words: str) -> Result:
    return kubectl("fetch", NAME, "--out", str(out), *words)


def test_a_pack_is_fetched_with_its_open_record_and_verifies_as_printed(
    kubectl: Kubectl, evidence: Path, tmp_path: Path
) -> None:
    kubectl.plays(f"get evidencepacks.sectum.ai {NAME}", stored(evidence, f"file://{evidence}/out/"))
    result = fetched(kubectl, tmp_path / "x")
    assert result.exit_code == 0, result.output
    [command] = [line.strip() for line in result.stdout.splitlines() if line.strip().startswith("sectum verify")]
    signer = evidence / "secrets" / "sectum-signer-notes" / "private.pem.pub"
    words = [str(signer) if word == "SIGNER.pem.pub" else word for word in shlex.split(command)[1:]]
    verified = CliRunner().invoke(app, words, prog_name="sectum")
    assert (verified.exit_code, "verdict: Leak" in verified.stdout) == (0, True), verified.output
    again = fetched(kubectl, tmp_path / "x", "-o", "json")
    assert (again.exit_code, json.loads(again.stdout)["openRecord"]) == (0, str(tmp_path / "x" / f"{NAME}.open.json"))


def test_nothing_is_overwritten(kubectl: Kubectl, evidence: Path, tmp_path: Path) -> None:
    kubectl.plays(f"get evidencepacks.sectum.ai {NAME}", stored(evidence, f"file://{evidence}/out/"))
    mine = tmp_path / f"{NAME}.zip"
    mine.write_text("mine")
    result = fetched(kubectl, tmp_path)
    assert (result.exit_code, mine.read_text()) == (2, "mine")
    assert "is there with other content" in result.stderr


@pytest.mark.parametrize("which", ["pack", "run"])
def test_other_bytes_than_the_evidencepack_names_are_status_12_and_are_not_kept(
    kubectl: Kubectl, evidence: Path, tmp_path: Path, which: str
) -> None:
    kubectl.plays(
        f"get evidencepacks.sectum.ai {NAME}", stored(evidence, f"file://{evidence}/out/", **{which: "ef" * 32})
    )
    result = fetched(kubectl, tmp_path / "x")
    assert (result.exit_code, (tmp_path / "x").exists()) == (12, False)
    assert "is not the one that the EvidencePack names" in result.stderr


@pytest.mark.parametrize(("record", "said"), [(None, "is not beside the pack"), ("{}", "is not the Open record that")])
def test_without_its_open_record_the_pack_is_fetched_all_the_same_and_it_says_so(
    kubectl: Kubectl, evidence: Path, tmp_path: Path, record: str | None, said: str
) -> None:
    [zipped] = (evidence / "out" / "packs").glob("*.zip")
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / zipped.name).write_bytes(zipped.read_bytes())
    if record is not None:
        (tmp_path / "series").mkdir()
        (tmp_path / "series" / "000001.json").write_text(record)
    kubectl.plays(f"get evidencepacks.sectum.ai {NAME}", stored(evidence, f"file://{tmp_path}/"))
    result = fetched(kubectl, tmp_path / "x")
    assert result.exit_code == 0
    assert said in result.stdout
    assert "--open" not in result.stdout
    assert [path.name for path in (tmp_path / "x").iterdir()] == [f"{NAME}.zip"]


@contextmanager
def bucket(objects: dict[str, bytes], *, refuse: bool = False) -> Iterator[tuple[str, list[str]]]:
    """The one call of S3 that is needed; whether the credentials are right, a real server is asked in another test."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.path} {self.headers['Authorization']}")
            data = objects.get(self.path)
            status = 403 if refuse else 404 if data is None else 200
            body = data if status == 200 and data is not None else b"<Error><Code>zq-words-qz</Code></Error>"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Tue, 24 Nov 2026 12:00:00 GMT")
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    profile = tmp_path / "aws-credentials"
    profile.write_text("[mine]\naws_access_key_id = AKIDMINE\naws_secret_access_key = secret-of-mine\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("aws")
def test_from_a_bucket_it_is_fetched_with_the_users_own_profile(
    kubectl: Kubectl, evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = evidence / "out"
    objects = {
        f"/evidence/acme/{path.relative_to(out)}": path.read_bytes() for path in out.rglob("*.*") if path.is_file()
    }
    kubectl.plays(f"get evidencepacks.sectum.ai {NAME}", stored(evidence, "s3://evidence/acme/"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    with bucket(objects) as (url, seen):
        result = fetched(kubectl, tmp_path / "x", "--endpoint", url)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [f"{NAME}.open.json", f"{NAME}.zip"]
    assert [f"Credential=AKIDMINE/{time.strftime('%Y')}" in line for line in seen] == [True, True]
    assert "/evidence/acme/series/000001.json" in seen[1]


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("refuse", "profile", "said"),
    [
        (True, True, "does not let you read"),
        (False, True, "is not in the bucket"),
        (False, False, "no credentials of AWS"),
    ],
)
def test_what_a_bucket_does_not_give_is_one_line_without_its_words(
    kubectl: Kubectl, evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    refuse: bool, profile: bool, said: str,
) -> None:  # fmt: skip
    kubectl.plays(f"get evidencepacks.sectum.ai {NAME}", stored(evidence, "s3://evidence/acme/"))
    if profile:
        monkeypatch.setenv("AWS_PROFILE", "mine")
    with bucket({}, refuse=refuse) as (url, _):
        result = fetched(kubectl, tmp_path / "x", "--endpoint", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert "zq-words" not in result.stderr
    assert len(result.stderr.splitlines()) <= 2


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://evidence/acme/packs/1.zip", ("evidence", "acme/", "packs/1.zip")),
        ("s3://evidence/packs/1.zip", ("evidence", "", "packs/1.zip")),
        ("s3://evidence/my-packs/1.zip", ("evidence", "my-packs/", "1.zip")),
        ("file:///srv/a%20b/packs/1.zip", (None, "/srv/a b/", "packs/1.zip")),
        ("file://host/packs/1.zip", None),
        ("s3://evidence/../packs/1.zip", None),
        ("s3://evidence/", None),
        ("s3://user@evidence/packs/1.zip", None),
        ("s3://evidence/packs/1.zip?x=1", None),
        ("https://evidence/packs/1.zip", None),
        ("file:///packs/%1b[2J.zip", None),
    ],
)
def test_a_uri_is_a_place_that_can_be_reached_or_a_fault(
    uri: str, expected: tuple[str | None, str, str] | None
) -> None:
    if expected is None:
        with pytest.raises(CannotFetch):
            place_of(uri)
    else:
        place = place_of(uri)
        assert (place.bucket, place.root, place.name) == expected


def test_the_latest_pack_of_a_scenario_is_fetched_without_its_name(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.plays("get evidencepacks.sectum.ai", listed())
    result = kubectl("fetch", "@latest", "--scenario", "quickstart")
    assert (result.exit_code, "there is no pack of quickstart yet" in result.stderr) == (3, True)
    assert "--field-selector=spec.scenarioRef.name=quickstart" in kubectl.calls()[0][0]


# --- completion, pages


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fe"], ["fetch", ":4"]),
        (["run", "qu"], ["quickstart", ":4"]),
        (["-n", "demo", "run", "n"], ["nightly", ":4"]),
        (["fetch", "@"], ["@latest", ":4"]),
        (["nothing", ""], [":4"]),
        (["verify", ""], [":0"]),
        (["fetch", "--out", ""], [":16"]),
    ],
)
def test_kubectl_completes_verbs_and_names(kubectl: Kubectl, words: list[str], expected: list[str]) -> None:
    kubectl.plays("get evidencepacks.sectum.ai", listed(pack("one", BEGUN)))
    assert [line.partition("\t")[0] for line in answer(words)] == expected


def test_completion_is_silent_where_no_cluster_answers(kubectl: Kubectl) -> None:
    kubectl.plays("get isolationscenarios.sectum.ai", {"stderr": "Unable to connect to the server: EOF"})
    assert list(answer(["run", ""])) == [":4"]


def commands() -> list[tuple[str, str]]:
    """Every `kubectl sectum …` that a page tells a reader to type."""
    pattern = re.compile(r"`kubectl sectum ([a-z][^`]*)`|^\s*(?:\$ )?kubectl sectum ([a-z].*)$", re.MULTILINE)
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for line in pattern.findall(page.read_text()):
            found.append((page.name, (line[0] or line[1]).split(" #")[0].strip()))
    return sorted(set(found))


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_on_a_page_names_a_verb_and_options_that_exist(page: str, command: str) -> None:
    words = shlex.split(command.replace("…", "x").split(" > ")[0].split(" || ")[0])
    context = click.Context(app, info_name="kubectl sectum")
    verb = app.get_command(context, words[0])
    assert verb is not None, f"{page}: kubectl sectum {words[0]}"
    known = {option for parameter in verb.params for option in parameter.opts}
    assert [word for word in words[1:] if word.startswith("-") and word.split("=")[0] not in known] == []


def test_the_page_names_every_verb_and_the_rights_that_each_needs() -> None:
    text = (ROOT / "docs" / "kubectl.md").read_text()
    assert [verb for verb in IN_CLUSTER if f"`{verb}`" not in text and f"[`{verb}`]" not in text] == []
    assert {"get", "list", "create"} <= set(re.findall(r"[a-z]+", " ".join(re.findall(r"verbs: \[([^\]]+)\]", text))))


def test_the_scripts_that_kubectl_looks_for_are_installed() -> None:
    folder = Path(sys.executable).parent
    done = subprocess.run([folder / "kubectl_complete-sectum", "fe"], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == ":4"
    assert done.stdout.startswith("fetch\t")
    shown = subprocess.run([folder / "kubectl-sectum", "--help"], capture_output=True, text=True).stdout
    assert shown.startswith("Usage: kubectl sectum ")
