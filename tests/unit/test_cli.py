"""The command line without a system under test: usage, bad scenarios, keys, lists, and what must never be shown."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from rich.console import Console
from sectum import cli
from sectum.cli import planning
from sectum.cli.app import VERBS, app
from sectum.cli.lines import place
from sectum.cli.scorecard import folded, inconclusive
from sectum.cli.watch import Lines
from sectum.errors import NotVerified, SurfaceFault
from sectum.job import Progress
from sectum.plan import make_plan
from sectum.scenario import load

from tests.notes_app import notes_scenario

TALKATIVE = ("httpx", "httpcore", "httpx2", "httpcore2", "mcp", "mcp.client", "psycopg", "psycopg.pool")
SECRET = "content-that-nobody-may-see"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {talkative: logging.getLogger(talkative).level for talkative in TALKATIVE}
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.NOTSET)
    yield
    for talkative, before in levels.items():
        logging.getLogger(talkative).setLevel(before)
    root.handlers[:] = handlers
    root.setLevel(level)


def sectum(*words: str, prog_name: str = "sectum", **options: Any) -> Result:
    return CliRunner().invoke(app, [*words], prog_name=prog_name, **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(notes_scenario("http://127.0.0.1:9"), sort_keys=False))
    return path


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)])
def test_every_verb_has_help_that_is_no_wider_than_120(verb: list[str]) -> None:
    result = sectum(*verb, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 120


@pytest.mark.parametrize(
    ("words", "problem", "fix"),
    [
        (["plan"], "Missing option '-f' / '--file'", "sectum plan --help"),
        (["plan", "-f", "nowhere.yaml"], "nowhere.yaml: No such file or directory", "give the path of a scenario"),
        (["rnu"], "no verb is named 'rnu'", "did you mean 'run'?"),
        (["version", "-o", "xml"], "'xml' is not one of", "sectum version --help"),
        (["attacks", "boundry-fetch"], "no attack is named 'boundry-fetch'", "did you mean 'boundary-fetch'?"),
        (["surfaces", "xyz"], "no adapter is named 'xyz'", "known: "),
        (["verify", "nowhere.zip"], "nowhere.zip: no such pack", "give the zip or its folder"),
        (["sweep-orphans", "--out", "nowhere"], "nowhere: no such folder", ""),
        (["version", "--log-level", "DEBUG"], "--log-level DEBUG may show content", "--unsafe-debug-logs"),
        (["completion", "tcsh"], "'tcsh' is not one of", "sectum completion --help"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line_with_the_way_out(words: list[str], problem: str, fix: str) -> None:
    result = sectum(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    error, *rest = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert problem in error
    assert not fix or fix in rest[0]
    assert len(rest) <= 1


def _changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "where", "problem"),
    [
        ("\n    kind: api", "\n    kind: api\n    atacks: []", "spec.surfaces[0].atacks", "did you mean 'attacks'?"),
        ("kind: api", "kind: apj", "spec.surfaces[0].kind", "is no kind of surface"),
        ("name: globex", "name: acme", "spec.tenants", "'acme' is there twice"),
        ("sectum-surface-api-tokens", "other", "spec.surfaces[0].credentials.secretRef.name", "it must start with"),
    ],
)
def test_a_bad_scenario_is_status_3_by_line_path_and_suggestion(
    file: Path, old: str, new: str, where: str, problem: str
) -> None:
    text = _changed(file.read_text(), old, new)
    file.write_text(text)
    result = sectum("plan", "-f", str(file))
    assert (result.exit_code, result.stdout) == (3, "")
    found = place(text, where)
    assert found is not None
    assert f"error: {file}:{found[0]}:{found[1]}: {where}: " in result.stderr
    assert problem in result.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "line 1, column 5: not YAML"),
        ("- a", "holds no resource"),
        ("", "holds no resource"),
        ("\xff", "is not UTF-8"),
        ("a: &a [*a]", "error: "),
        ("a: 2024-99-99", "error: "),
        ("[" * 5000, "error: "),
    ],
)
def test_what_is_no_scenario_is_status_3(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_bytes(text.encode("latin-1"))
    result = sectum("plan", "-f", str(file))
    assert (result.exit_code, "Traceback" in result.stderr) == (3, False), result.stderr
    assert problem in result.stderr


def test_a_scenario_may_come_from_stdin(file: Path) -> None:
    given = sectum("plan", "-f", "-", "-o", "json", input=file.read_text())
    assert given.stdout == sectum("plan", "-f", str(file), "-o", "json").stdout
    assert sectum("plan", "-f", "-", input="a: [").stderr.startswith("error: stdin: ")


PLACES = """\
spec:
  surfaces:
    - name: a
      adapter:
        http: {expect: {$.tenant: x, $.user: y}}
    - name: b
"""


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("spec.surfaces[0].name", (3, 7)),
        ("spec.surfaces[1]", (6, 7)),
        ("spec.surfaces[0].adapter.http.expect.$.user", (5, 38)),
        ("spec.surfaces[1].kind", (6, 7)),
        ("spec.surfaces[7].name", (2, 3)),
        ("metadata", None),
        ("secretRef a/b", None),
    ],
)
def test_a_field_is_found_in_the_yaml_or_its_nearest_parent_is(field: str, expected: tuple[int, int] | None) -> None:
    assert place(PLACES, field) == expected


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (NotVerified("step 3"), 12, "error: step 3\n"),
        (SurfaceFault("Unreachable"), 1, "error: Unreachable\n"),
        (ExceptionGroup("a", [ValueError(SECRET), ExceptionGroup("b", [NotVerified("inner")])]), 12, "error: inner\n"),
        (ValueError(SECRET), 1, "error: ValueError"),
        (ExceptionGroup(SECRET, [KeyError(SECRET)]), 1, "error: KeyError"),
        (RuntimeError(SECRET), 1, "this is a bug"),
        (PermissionError(13, SECRET, "/a/file"), 1, "error: /a/file: Permission denied\n"),
        (KeyboardInterrupt(), 1, "error: interrupted\n"),
    ],
)
def test_every_exception_becomes_a_line_without_its_text(
    monkeypatch: pytest.MonkeyPatch, file: Path, error: BaseException, status: int, line: str
) -> None:
    monkeypatch.setattr(planning, "make_plan", _raiser(error))
    result = sectum("plan", "-f", str(file))
    assert (result.exit_code, result.stdout) == (status, "")
    assert line in result.stderr
    assert SECRET not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_traceback_is_shown_only_when_asked_for_and_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setattr(planning, "make_plan", _raiser(ValueError(SECRET)))
    for words in (["plan", "-f", str(file), "--debug"], ["--debug", "plan", "-f", str(file)]):
        stderr = sectum(*words).stderr
        assert stderr.startswith("warning: --debug: tracebacks may show")
        assert SECRET in stderr


def _raiser(error: BaseException) -> Any:
    def raise_it(_scenario: Any) -> None:
        raise error

    return raise_it


def test_logs_show_of_an_exception_only_its_type(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    def log(scenario: Any) -> Any:
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("sectum.somewhere").exception("it failed")
            logging.getLogger("asyncio").error("Task exception was never retrieved %s", SECRET, exc_info=True)
        for talkative in TALKATIVE:
            logging.getLogger(talkative).info(SECRET)
        logging.getLogger("sectum").debug("seen at level DEBUG")
        raise NotVerified("end")

    monkeypatch.setattr(planning, "make_plan", log)
    usual = sectum("plan", "-f", str(file)).stderr
    assert usual.splitlines() == [
        "error: sectum.somewhere: it failed (ValueError)",
        "error: asyncio: a background task failed (ValueError)",
        "error: end",
    ]
    most = sectum("plan", "-f", str(file), "--log-level", "debug", "--unsafe-debug-logs").stderr
    assert most.startswith("warning: --unsafe-debug-logs")
    assert "seen at level DEBUG" in most
    assert SECRET not in most


def test_escape_bytes_of_a_scenario_do_not_reach_the_terminal(file: Path) -> None:
    scenario = yaml.safe_load(file.read_text())
    scenario["spec"]["surfaces"][0]["residue"] = ["logs\x1b[31m"]
    file.write_text(yaml.safe_dump(scenario))
    for output in ("table", "wide", "json", "yaml", "name"):
        assert "\x1b" not in sectum("plan", "-f", str(file), "-o", output).output
    scenario["spec"]["a\x1b[31m"] = 1
    file.write_text(yaml.safe_dump(scenario))
    assert "\x1b" not in sectum("plan", "-f", str(file)).output


def test_plan_counts_warns_and_names_what_stays(file: Path) -> None:
    scenario = yaml.safe_load(file.read_text())
    surface = scenario["spec"]["surfaces"][0]
    surface["budget"] = {"requests": 10, "writes": 5}
    del surface["adapter"]["http"]["delete"]
    file.write_text(yaml.safe_dump(scenario))
    result = sectum("plan", "-f", str(file), "-o", "json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert sum(group["trials"] for group in told["groups"]) == told["trials"] > 0
    warnings = "\n".join(told["warnings"])
    assert "raise spec.surfaces[0].budget.requests" in warnings
    assert "raise spec.surfaces[0].budget.writes" in warnings
    assert any("no delete" in text for text in told["surfaces"][0]["residue"])
    table = sectum("plan", "-f", str(file)).stdout
    assert all(part in table for part in ("Warnings", "What a run leaves behind", "boundary-fetch", "/ 10"))
    del surface["adapter"]["http"]["whoami"]
    file.write_text(yaml.safe_dump(scenario))
    assert "add spec.surfaces[0].adapter.http.whoami" in sectum("plan", "-f", str(file)).stdout.replace("\n", " ")


def test_keygen_makes_what_is_missing_and_never_overwrites(file: Path) -> None:
    folder = file.parent / "secrets"
    first = sectum("keygen", "-f", str(file))
    private, key = folder / "sectum-signer-notes" / "private.pem", folder / "sectum-key-manifest" / "key"
    assert (first.exit_code, first.stdout.count("made")) == (0, 3)
    before = {path: path.read_bytes() for path in (private, key)}
    assert [path.stat().st_mode & 0o777 for path in (private, key)] == [0o600, 0o600]
    assert {path.stat().st_mode & 0o777 for path in (folder, private.parent, key.parent)} == {0o700}
    private.with_name("private.pem.pub").unlink()
    second = sectum("keygen", "-f", str(file))
    assert (second.stdout.count("made"), second.stdout.count("kept")) == (1, 2)
    assert before == {path: path.read_bytes() for path in (private, key)}
    assert "PUBLIC KEY" in private.with_name("private.pem.pub").read_text()
    assert len(before[key]) == 32
    secret = load(file.read_text()).spec
    secret.evidence.spec.signer(lambda name, key: (folder / name / key).read_bytes())
    secret.manifest.spec.wrapper(lambda name, key: (folder / name / key).read_bytes())
    for shown in (first.output, second.output):
        assert "PRIVATE" not in shown
        assert before[key].hex() not in shown


def test_the_folder_of_secrets_is_given_or_found_beside_the_scenario(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    by_variable = CliRunner(env={"SECTUM_SECRETS": str(other)}).invoke(app, ["keygen", "-f", str(file), "-o", "name"])
    assert by_variable.stdout.startswith(str(other))
    missing = sectum("run", "-f", str(file), "--out", str(tmp_path / "out"))
    assert (missing.exit_code, f"{tmp_path / 'secrets'}: no folder of secrets" in missing.stderr) == (2, True)


def test_the_plug_ins_are_listed_and_explained() -> None:
    listed = sectum("attacks").stdout
    assert all(name in listed for name in ("boundary-fetch", "entity-bleed", "semantic-cache"))
    one = sectum("attacks", "entity-bleed").stdout
    assert all(part in one for part in ("a leak is", "impact", "ask or search"))
    fields = json.loads(sectum("surfaces", "http", "-o", "json").stdout)["fields"]
    assert {name: value for name, value in fields[0].items() if name != "description"} == {
        "field": "origin",
        "type": "string",
        "required": True,
    }
    empty = [each["field"] for each in fields if not each["description"]]
    assert not empty
    assert sectum("attacks", "-o", "name").stdout.splitlines()[0] == "attack/boundary-fetch"


def test_the_schema_is_the_models_and_version_names_the_parts() -> None:
    schema = json.loads(sectum("schema").stdout)
    assert schema["title"] == "Scenario"
    assert "spec" in schema["properties"]
    version = json.loads(sectum("version", "-o", "json").stdout)
    assert {"cli", "operator", "chart", "commit"} <= set(version)
    assert sectum("--version").stdout == f"sectum {version['cli']}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_and_completes(shell: str) -> None:
    result = sectum("completion", shell)
    assert result.exit_code == 0
    assert f"_SECTUM_COMPLETE={shell}_complete" in result.stdout
    words = (
        {"COMP_WORDS": "sectum ver", "COMP_CWORD": "1"}
        if shell != "fish"
        else {"COMP_WORDS": "sectum ver", "COMP_CWORD": "ver"}
    )
    environment = {**os.environ, **words, "_SECTUM_COMPLETE": f"{shell}_complete"}
    done = subprocess.run([sys.executable, "-m", "sectum"], env=environment, capture_output=True, text=True)
    assert "verify" in done.stdout
    assert "version" in done.stdout


def test_as_a_plug_in_of_kubectl_help_says_so(tmp_path: Path) -> None:
    link = tmp_path / "kubectl-sectum"
    link.write_text(f"#!{sys.executable}\nfrom sectum.cli import main\nmain()\n")
    link.chmod(0o755)
    done = subprocess.run([link, "plan"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "next: kubectl sectum plan --help" in done.stderr
    assert subprocess.run([link, "--help"], capture_output=True, text=True).stdout.startswith("Usage: kubectl sectum ")


def test_without_the_extra_one_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "rich" else object())
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "pip install 'sectum[cli]'" in capsys.readouterr().err


@pytest.mark.parametrize("pipeline", ["schema | head -c 10", "version | true"])
def test_a_reader_that_goes_away_is_no_traceback(pipeline: str) -> None:
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m sectum {pipeline}"], capture_output=True, text=True)
    assert done.stderr == ""


def test_progress_without_a_terminal_says_each_stage_and_something_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = 0.0

    def now() -> float:
        return clock

    lines = Lines(Console(width=120), quiet=False, now=now)
    for done in range(1, 101):
        clock += 0.25
        lines(Progress("api", "boundary-fetch", done, 100, leaks=done // 50))
    lines(Progress("api", "clean", 1, 1))
    lines(Progress("db", "check", 0, 1, note="Unreachable"))
    lines(Progress("db", "boundary-fetch", 1, 1))
    lines(Progress("db", "clean", 0, 0))
    lines(Progress("logs", "clean", 0, 0))
    assert capsys.readouterr().out.splitlines() == [
        "api: boundary-fetch 1/100",
        "api: boundary-fetch 21/100",
        "api: boundary-fetch 41/100",
        "api: boundary-fetch 61/100, 1 leaking",
        "api: boundary-fetch 81/100, 1 leaking",
        "api: boundary-fetch 100/100, 2 leaking",
        "api: cleaned up",
        "db: cannot be used: Unreachable",
        "logs: no clean-up: nothing was planted",
    ]


def test_the_page_shows_every_verb_and_only_options_that_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for verb in VERBS:
        assert f"sectum {verb}" in page, verb
    known = "".join(sectum(*words, "--help").stdout for words in [[], *([verb] for verb in VERBS)])
    for option in set(re.findall(r"--[a-z-]+[a-z]", page)):
        assert option in known, option


def test_plan_tells_planting_and_probing_from_cleaning_up_each_with_the_whole_budget(file: Path) -> None:
    scenario = yaml.safe_load(file.read_text())
    surface = scenario["spec"]["surfaces"][0]
    documents, users = 12, 4
    surface["budget"] = {"requests": documents + users - 1, "writes": documents}
    file.write_text(yaml.safe_dump(scenario))
    told = json.loads(sectum("plan", "-f", str(file), "-o", "json").stdout)
    [totals] = told["surfaces"]
    assert totals["cleaning"] == {"requests": documents + users, "writes": documents}
    [whole] = make_plan(load(file.read_text())).totals
    assert totals["requests"] + totals["cleaning"]["requests"] == whole.requests
    assert totals["writes"] + totals["cleaning"]["writes"] == whole.writes
    warnings = " ".join(told["warnings"])
    assert f"{documents + users} requests are planned for cleaning up" in warnings
    assert "writes are planned" not in warnings, "planting and deleting need not fit into one budget"
    del surface["adapter"]["http"]["list"]  # then each document is fetched once it is deleted
    file.write_text(yaml.safe_dump(scenario))
    [totals] = json.loads(sectum("plan", "-f", str(file), "-o", "json").stdout)["surfaces"]
    assert totals["cleaning"] == {"requests": 2 * documents, "writes": documents}
    assert totals["requests"] + 2 * documents == make_plan(load(file.read_text())).totals[0].requests


def test_what_an_adapter_silenced_stays_silent() -> None:
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    sectum("attacks")
    for name in ("psycopg", "psycopg.pool"):
        assert not logging.getLogger(name).isEnabledFor(logging.ERROR)


def test_what_nobody_requested_is_one_line_a_surface_unless_everything_is_asked_for() -> None:
    skips = [
        {"surface": "api", "attack": name, "reason": "NotRequested", "requested": False, "pairs": 0, "detail": ""}
        for name in ("kv-cache", "side-channel")
    ]
    other = {"surface": "api", "attack": "mcp", "reason": "Impact", "requested": True, "pairs": 0, "detail": "load"}
    first, second = folded([skips[0], other, skips[1]])
    assert first == other
    assert (second["surface"], second["attack"], second["detail"]) == ("api", "2 attacks", "kv-cache, side-channel")


def test_an_attack_alone_says_in_one_sentence_what_it_needs() -> None:
    said = sectum("attacks", "boundary-fetch").stdout
    assert re.search(r"needs +write, and ", said)
    assert "\n\n\n" not in said


def test_an_unreachable_surface_is_named_with_the_scenarios_address_and_notempty_with_the_folder() -> None:
    surface = {"name": "api", "adapter": {"http": {"origin": "http://127.0.0.1:9"}}}
    rows = [{"surface": "api", "reason": reason} for reason in ("Unreachable", "NotEmpty")]
    run = {"scenario": {"snapshot": {"spec": {"surfaces": [surface]}}}, "rows": rows}
    unreachable, not_empty = inconclusive(run, sweep="run `sectum sweep-orphans --out runs`")
    assert unreachable["meaning"].endswith("(http://127.0.0.1:9)")
    assert "run `sectum sweep-orphans --out runs`, or name the items" in not_empty["fix"]
