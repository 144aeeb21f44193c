"""The command line against a running service: what it says, where it says it, and how it exits."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result
from sectum.cli.app import VERBS, app
from sectum.cli.sentences import WHY, WHY_SKIPPED
from sectum.fields import SecretRef
from sectum.plan import SkipReason
from sectum.reasons import Reason
from sectum.surfaces import http

from tests.notes_app import NotesApp, notes_scenario, running_notes_app, write_secrets

SAID = "zq-words-of-the-server-qz"
FEW = {"attacks": ("boundary-fetch",)}


@dataclass
class Lab:
    """A notes service, a folder with its scenario and secrets, and the command line."""

    notes: NotesApp
    folder: Path
    scenario: dict[str, Any]

    def write(self) -> None:
        (self.folder / "scenario.yaml").write_text(yaml.safe_dump(self.scenario, sort_keys=False))

    @property
    def file(self) -> str:
        return str(self.folder / "scenario.yaml")

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def __call__(self, *words: str, **options: Any) -> Result:
        return CliRunner().invoke(app, [*words], prog_name="sectum", **options)

    def run(self, *words: str) -> Result:
        return self("run", "-f", self.file, "--out", str(self.out), *words)

    def verify(self, *words: str) -> Result:
        (pack,) = (self.out / "packs").glob("*.zip")
        return self("verify", str(pack), *words)

    @property
    def signer(self) -> str:
        return str(self.folder / "secrets" / "sectum-signer-notes" / "private.pem.pub")

    @property
    def manifest(self) -> list[str]:
        (sealed,) = (self.out / "manifests").iterdir()
        key = self.folder / "secrets" / "sectum-key-manifest" / "key"
        return ["--manifest", str(sealed), "--key", f"unsafe-local-key:{key}"]


@contextmanager
def a_lab(folder: Path, *, surfaces: tuple[str, ...] = ("api",), spec: Any = None, **knobs: Any) -> Iterator[Lab]:
    with running_notes_app(say=SAID, **knobs) as notes:
        lab = Lab(notes, folder, notes_scenario(notes.url, surfaces=surfaces, **(FEW if spec is None else spec)))
        lab.write()
        write_secrets(folder / "secrets", notes, surfaces=surfaces)
        assert lab("keygen", "-f", lab.file).exit_code == 0
        yield lab


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    return {**kept, **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "sectum", *words]


@pytest.mark.parametrize(
    ("knobs", "status", "verdict", "reason"),
    [
        ({}, 0, "Pass", None),
        ({"leaky": True}, 10, "Leak", None),
        ({"forgetful": True}, 11, "Inconclusive", "ReadBackFailed"),
        ({"echo": True}, 11, "Inconclusive", "ReadBackFailed"),
        ({"failing": True}, 11, "Inconclusive", "SurfaceSuffers"),
    ],
)
def test_the_exit_status_is_the_verdict_and_nothing_of_the_server_is_shown(
    tmp_path: Path, knobs: dict[str, bool], status: int, verdict: str, reason: str | None
) -> None:
    with a_lab(tmp_path, **knobs) as lab:
        result = lab.run()
        assert (result.exit_code, lab.notes.documents) == (status, {}), result.output
    assert verdict in result.stdout.splitlines()[0]
    assert "\x1b" not in result.output
    assert SAID not in result.output
    assert reason is None or f"api: {reason}" in result.stdout
    tokens = [token for token in lab.notes.tokens.values() if token in result.output]
    assert not tokens


def test_a_leak_names_who_saw_whose_and_how(tmp_path: Path) -> None:
    with a_lab(tmp_path, leaky=True) as lab:
        stdout = lab.run("--quiet").stdout
    assert re.search(r"api +boundary-fetch +by-id +\w+/\w+ saw \w+/\w+", stdout)
    assert "100.0 % (" in stdout


def test_two_runs_make_a_series_that_verifies_and_without_the_first_ones_pack_does_not(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        assert [lab.run("--quiet").exit_code for _ in range(2)] == [0, 0]
    asked = ("verify", "--series", str(lab.out), "--key", lab.signer)
    shown = lab(*asked)
    assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (0, "verified, unstamped; 2 runs: 2 Pass"), shown.output
    min((lab.out / "packs").glob("*.zip")).unlink()
    assert lab(*asked).exit_code == 12


def test_every_surface_has_its_rows_and_the_way_to_verify_works_as_printed(tmp_path: Path) -> None:
    with a_lab(tmp_path, surfaces=("api", "assistant", "cache"), spec={}) as lab:
        result = lab.run("-o", "json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["verdict"], told["exitStatus"]) == (0, "Pass", 0), told["inconclusive"]
    pairs = {(cell["surface"], cell["attack"]) for cell in told["cells"]}
    assert pairs == {
        ("api", "boundary-fetch"),
        ("api", "entity-bleed"),
        ("assistant", "entity-bleed"),
        ("cache", "semantic-cache"),
    }
    assert Path(told["pack"]).is_file()
    verified = lab(*told["verify"][1:])
    assert verified.exit_code == 0, verified.output


def test_a_pack_is_verified_only_with_the_signers_key_and_a_broken_one_is_not(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        assert lab.run("--quiet").exit_code == 0
    opened = ["--open", str(lab.out / "series" / "000001.json")]
    good = lab.verify("--key", lab.signer, *opened, *lab.manifest, "--allow-unanchored")
    assert (good.exit_code, "✗" in good.stdout) == (0, False), good.output
    assert "\n10. manifest: ✓ opens with its key" in good.stdout
    assert good.stdout.splitlines()[-1] == "verified, unanchored; verdict: Pass"
    unanchored = lab.verify("--key", lab.signer, "--allow-unanchored")
    assert (unanchored.exit_code, "planned trials: – not anchored" in unanchored.stdout) == (0, True)
    assert lab.verify("--key", lab.signer, *opened).exit_code == 12
    keyless = lab.verify("--allow-unanchored")
    assert (keyless.exit_code, "; give --key" in keyless.stdout.splitlines()[-1]) == (12, True)
    (pack,) = (lab.out / "packs").glob("*.zip")
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    broken = lab.verify("--key", lab.signer, *opened, "--allow-unanchored", "-o", "json")
    told = json.loads(broken.stdout)
    assert (broken.exit_code, told["verified"]) == (12, False)
    assert any(step["mark"] == "failed" for step in told["steps"])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--key", "{signer}", "--key", "{signer}"], "one public key"),
        (["--manifest", "{signer}"], "--manifest goes with one"),
        (["--key", "unsafe-local-key:{signer}", "--manifest", "{signer}"], "is not a key of 32 bytes"),
        (["--key", "no-such-file"], "No such file"),
    ],
)
def test_keys_that_do_not_fit_are_wrong_usage(tmp_path: Path, words: list[str], problem: str) -> None:
    with a_lab(tmp_path) as lab:
        pack = tmp_path / "pack.zip"
        pack.write_bytes(b"")
        result = lab("verify", str(pack), *(word.format(signer=lab.signer) for word in words))
    assert result.exit_code == 2
    assert problem in result.stderr


@pytest.mark.parametrize("surface", ["assistant", "cache"])
@pytest.mark.parametrize("knob", ["forgetful", "always_empty", "echo"])
def test_a_surface_of_free_text_that_answers_nothing_of_its_own_never_passes(
    tmp_path: Path, surface: str, knob: str
) -> None:
    with a_lab(tmp_path, surfaces=(surface,), spec={}, **{knob: True}) as lab:
        result = lab.run("-o", "json")
        assert not lab.notes.documents or knob == "always_empty"
    told = json.loads(result.stdout)
    assert (result.exit_code, told["verdict"]) == (11, "Inconclusive")
    (why,) = told["inconclusive"]
    assert why["reason"] == ("LocationMissing" if knob == "always_empty" else "PositiveControlFailed")
    assert why["field"].startswith("spec.surfaces[0].adapter.http")


def test_check_says_for_each_user_what_works(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        good = lab("check", "-f", lab.file)
        folder = tmp_path / "secrets" / "sectum-surface-api-tokens"
        (folder / "acme.ann").unlink()
        (folder / "acme.ben").write_text("wrong")
        bad, run = lab("check", "-f", lab.file, "-o", "json"), lab.run("--quiet")
        assert not lab.notes.documents
    assert (good.exit_code, good.stdout.count("ready")) == (0, 4)
    assert (bad.exit_code, run.exit_code) == (3, 3), "a run would not begin"
    told = {row["principal"]: row for row in json.loads(bad.stdout)["principals"]}
    assert told["acme/ann"]["reason"] == "SecretMissing"
    assert (told["acme/ben"]["reason"], told["acme/ben"]["identity"]) == ("Denied", False)
    assert told["globex/ann"]["reason"] is None
    assert told["acme/ben"]["field"] == "spec.surfaces[0].credentials.secretRef"


@pytest.mark.parametrize(
    ("gone", "field"),
    [
        ("sectum-key-manifest/key", "spec.manifest.key"),
        ("sectum-signer-notes/private.pem", "spec.evidence.signer"),
        ("sectum-surface-api-tokens/globex.ben", "spec.surfaces[0].credentials.secretRef"),
    ],
)
def test_check_and_run_name_the_same_missing_secret_and_field(tmp_path: Path, gone: str, field: str) -> None:
    with a_lab(tmp_path) as lab:
        (tmp_path / "secrets" / gone).unlink()
        check, run = lab("check", "-f", lab.file, "-o", "json"), lab.run("--quiet")
        table = lab("check", "-f", lab.file)
    assert (check.exit_code, table.exit_code, run.exit_code) == (3, 3, 3)
    [missing] = json.loads(check.stdout)["missing"]
    assert missing["field"] == field
    assert gone in missing["fix"]
    assert f"{field}: secretRef {gone}: cannot be read" in run.stderr
    assert field in table.stdout.replace("\n", "")


def test_a_secret_that_an_adapter_needs_beside_the_credentials_is_missed_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = SecretRef(name="sectum-surface-api-more", key="token")
    monkeypatch.setattr(http.HttpSpec, "secret_refs", lambda _spec: (wanted,))
    with a_lab(tmp_path) as lab:
        check, run = lab("check", "-f", lab.file), lab.run("--quiet")
        (tmp_path / "secrets" / "sectum-surface-api-more").mkdir()
        (tmp_path / "secrets" / "sectum-surface-api-more" / "token").write_text("x")
        found = lab("check", "-f", lab.file)
    assert (check.exit_code, run.exit_code, found.exit_code) == (3, 3, 0)
    for said in (check.stdout.replace("\n", " "), run.stderr):
        assert "spec.surfaces[0].adapter.http: secretRef sectum-surface-api-more/token" in " ".join(said.split())


def test_check_and_run_take_a_listing_that_is_not_found_for_an_empty_one(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        lab.scenario["spec"]["surfaces"][0]["adapter"]["http"]["list"]["request"]["path"] = "/nothing-here"
        lab.write()
        check, run = lab("check", "-f", lab.file, "-o", "json"), lab.run("-o", "json")
    assert check.exit_code == 0
    assert {row["empty"] for row in json.loads(check.stdout)["principals"]} == {True}
    reasons = {each["reason"] for each in json.loads(run.stdout)["inconclusive"]}
    assert reasons == {"PositiveControlFailed"}, "by-list: the owner's listing does not show his own document"


def test_a_location_that_is_not_where_the_scenario_says_is_named_as_such(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        lab.scenario["spec"]["surfaces"][0]["adapter"]["http"]["write"]["location"] = "$.identifier"
        lab.write()
        run = lab.run("-o", "json")
        assert not lab.notes.documents, "what was stored is found in the listing and removed"
    [why] = json.loads(run.stdout)["inconclusive"]
    assert (run.exit_code, why["reason"]) == (11, "LocationMissing")
    assert why["field"] == "spec.surfaces[0].adapter.http.write.location"


def test_check_tells_what_attacks_may_spoof_and_wait_for(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        surface = lab.scenario["spec"]["surfaces"][0]
        surface["settleSeconds"] = 7
        surface["adapter"]["http"]["claims"] = [{"name": "as-tenant", "headers": {"X-Tenant": "{owner.tenant}"}}]
        lab.write()
        [told] = json.loads(lab("check", "-f", lab.file, "-o", "json").stdout)["surfaces"]
        table = lab("check", "-f", lab.file).stdout
    assert (told["claims"], told["tokens"], told["settleSeconds"]) == (["as-tenant"], [], 7)
    assert "as-tenant" in table
    assert "7 s" in table


def test_check_finds_a_place_that_is_not_empty(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        header = {"Authorization": f"Bearer {lab.notes.tokens['globex', 'ben']}"}
        httpx.post(f"{lab.notes.url}/notes", headers=header, json={"title": "a", "text": "b"}).raise_for_status()
        result = lab("check", "-f", lab.file)
        run = lab.run("--quiet")
        assert len(lab.notes.documents) == 1
    assert (result.exit_code, run.exit_code) == (11, 11)
    assert "NotEmpty" in result.stdout
    assert "NotEmpty" in run.stdout


def test_an_unreachable_surface_is_inconclusive_and_named(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        pass
    run, check = lab.run(), lab("check", "-f", lab.file)
    assert (run.exit_code, check.exit_code) == (11, 11)
    assert "api: Unreachable" in run.stdout
    assert "spec.surfaces[0].adapter.http" in run.stdout
    assert check.stdout.count("Unreachable") == 5


def test_wrong_credentials_are_inconclusive_and_named(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        (tmp_path / "secrets" / "sectum-surface-api-tokens" / "acme.ann").write_text("not-his-token")
        result = lab.run()
        assert not lab.notes.documents
    assert result.exit_code == 11
    assert "Denied" in result.stdout
    assert "not-his-token" not in result.output


def test_a_missing_secret_is_a_fault_of_the_scenario_and_nothing_is_touched(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        (tmp_path / "secrets" / "sectum-surface-api-tokens" / "acme.ann").unlink()
        result = lab.run()
        assert not [each for each in lab.notes.requests if each.startswith("POST")]
    assert (result.exit_code, result.stdout) == (3, "")
    assert "spec.surfaces[0].credentials.secretRef: secretRef sectum-surface-api-tokens/acme.ann" in result.stderr
    assert re.search(r"scenario.yaml:\d+:\d+: spec", result.stderr)
    assert "next: put it into the file" in result.stderr


def test_an_attack_that_was_requested_and_cannot_be_tried_keeps_the_run_from_passing(tmp_path: Path) -> None:
    with a_lab(tmp_path, spec={"attacks": ("boundary-fetch", "semantic-cache")}) as lab:
        plan = lab("plan", "-f", lab.file)
        result = lab.run("--quiet")
    assert "requested, and will not be covered" in plan.stdout
    assert result.exit_code == 11
    assert re.search(r"api +semantic-cache +any +– NotCovered", result.stdout)


def test_what_could_not_be_removed_is_said_and_swept_later(tmp_path: Path) -> None:
    with a_lab(tmp_path, keeps_deleted=True) as lab:
        result = lab.run("--quiet")
        left = len(lab.notes.documents)
        sweep = ("sweep-orphans", "--out", str(lab.out), "--secrets", str(tmp_path / "secrets"))
        first = lab(*sweep)
        lab.notes.keeps_deleted = False
        token = tmp_path / "secrets" / "sectum-surface-api-tokens" / "acme.ann"
        right = token.read_text()
        token.write_text("wrong")
        refused = lab(*sweep)
        token.write_text(right)
        second = lab(*sweep, "-o", "json")
        third = lab(*sweep)
        assert not lab.notes.documents
    assert left == 12
    assert "api: 12 documents" in result.stdout
    assert "sectum sweep-orphans" in result.stdout
    assert (first.exit_code, second.exit_code, third.exit_code) == (1, 0, 0)
    assert json.loads(second.stdout)["notRemoved"] == 0
    assert refused.exit_code == 1
    assert "api: acme/ann could not be reached or was refused: check the Secret sectum-surface-api" in refused.stderr
    assert "next: when that is mended, sweep again: sectum sweep-orphans --out" in refused.stderr
    assert third.stdout == "no run was left unfinished\n"


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with a_lab(tmp_path, delay=0.05) as lab:
        words = ["run", "-f", lab.file, "--out", str(lab.out), "--quiet"]
        with subprocess.Popen(command(*words), env=environment(), stdout=subprocess.DEVNULL) as first:
            _wait_for(lambda: bool(lab.notes.documents))
            second = lab(*words)
            first.send_signal(signal.SIGINT)
    assert second.exit_code == 2
    assert "is in use by another sectum" in second.stderr


def test_the_folder_of_runs_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        lab.run("--quiet")
    assert lab.out.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_cleans_up_and_writes_the_pack(tmp_path: Path, sent: signal.Signals) -> None:
    with a_lab(tmp_path, delay=0.1) as lab:
        words = ["run", "-f", lab.file, "--out", str(lab.out), "-o", "json"]
        with _started(*words) as process:
            _wait_for(lambda: sum("GET /notes/" in each for each in lab.notes.requests) > 14)
            process.send_signal(sent)
            stdout, stderr = process.communicate(timeout=60)
        assert not lab.notes.documents
    told = json.loads(stdout)
    assert (process.returncode, told["cancelled"], told["verdict"]) == (11, True, "Inconclusive")
    assert "Cancelled" in [each["reason"] for each in told["inconclusive"]]
    assert "stopping: cleaning up" in stderr
    assert lab(*told["verify"][1:]).exit_code == 0


def test_the_second_signal_ends_at_once_and_says_how_to_clean_up(tmp_path: Path) -> None:
    with a_lab(tmp_path, delay=0.3) as lab:
        with _started("run", "-f", lab.file, "--out", str(lab.out)) as process:
            _wait_for(lambda: len(lab.notes.documents) > 4)
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=10)
        left = len(lab.notes.documents)
        lab.notes.delay = 0
        swept = lab("sweep-orphans", "--out", str(lab.out), "--secrets", str(tmp_path / "secrets"))
        assert not lab.notes.documents
    assert (process.returncode, stdout, left > 0) == (1, "", True)
    assert "next: sectum sweep-orphans" in stderr
    assert swept.exit_code == 0, swept.output


@pytest.mark.parametrize("how", ["pipe", "NO_COLOR", "--no-color", "dumb"])
def test_no_escape_byte_without_a_terminal_or_where_colours_are_not_wanted(tmp_path: Path, how: str) -> None:
    with a_lab(tmp_path) as lab:
        words = ["run", "-f", lab.file, "--out", str(lab.out), *(["--no-color"] if how == "--no-color" else [])]
        more = {"NO_COLOR": {"NO_COLOR": "1"}, "dumb": {"TERM": "dumb"}}.get(how, {"FORCE_COLOR": "1"})
        seen = _seen(words, terminal=how != "pipe", **{"TERM": "xterm-256color", **more})
    assert "Pass" in seen
    assert "api: cleaned up" in seen, "plain lines instead of a table that moves the cursor"
    assert "\x1b" not in seen


def test_a_terminal_gets_colours_and_live_progress(tmp_path: Path) -> None:
    with a_lab(tmp_path, delay=0.02) as lab:
        words = ["run", "-f", lab.file, "--out", str(lab.out)]
        seen = _seen(words, terminal=True, TERM="xterm-256color")
    assert "\x1b[" in seen
    assert "boundary-fetch" in seen
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h"), "the cursor is shown again"


def _seen(words: list[str], *, terminal: bool, **more: str) -> str:
    if not terminal:
        done = subprocess.run(command(*words), env=environment(**more), capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr
    master, slave = pty.openpty()
    with subprocess.Popen(command(*words), env=environment(**more), stdout=slave, stderr=slave) as process:
        os.close(slave)
        seen = b""
        while chunk := _read(master):
            seen += chunk
        process.wait(60)
    os.close(master)
    return seen.decode()


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux says EIO where others say end of file
        return b""


@contextmanager
def _started(*words: str) -> Iterator["subprocess.Popen[str]"]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command(*words), env=environment(), stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_verb_that_gives_a_result_gives_json_that_jq_parses(tmp_path: Path) -> None:
    with a_lab(tmp_path) as lab:
        file, out, secrets = lab.file, str(lab.out), str(tmp_path / "secrets")
        cases = {
            "keygen": ["-f", file],
            "plan": ["-f", file],
            "check": ["-f", file],
            "run": ["-f", file, "--out", out, "--log-level", "INFO"],
            "sweep-orphans": ["--out", out, "--secrets", secrets],
            "surfaces": [],
            "attacks": [],
            "schema": [],
            "version": [],
        }
        for verb, words in cases.items():
            done = lab(verb, *words, "-o", "json")
            assert done.exit_code == 0, (verb, done.output)
            _parse_with_jq(done.stdout)
            same = lab(verb, *words, "-o", "yaml")
            assert isinstance(yaml.safe_load(same.stdout), dict), verb
        (pack, *_) = (lab.out / "packs").glob("*.zip")
        verified = lab("verify", str(pack), "-o", "json")
        assert verified.exit_code == 12
        _parse_with_jq(verified.stdout)
        key = ("--key", lab.signer, "--allow-unanchored")
        compared = lab("diff", str(pack), str(pack), *key, "-o", "json")
        assert compared.exit_code == 0, compared.output
        _parse_with_jq(compared.stdout)
        alarm = tmp_path / "alarm.txt"
        alarm.write_text(f"a request of run {pack.stem}")
        asked = lab("is-ours", str(alarm), "--out", out, "--secrets", secrets, "-o", "json")
        assert asked.exit_code == 0, asked.output
        _parse_with_jq(asked.stdout)
        assert set(cases) | {"verify", "diff", "is-ours", "completion"} == set(VERBS)


def _parse_with_jq(text: str) -> None:
    jq = shutil.which("jq")
    if jq is None:
        json.loads(text)
    else:
        subprocess.run([jq, "-e", "."], input=text, text=True, check=True, stdout=subprocess.DEVNULL)


def test_every_reason_has_its_sentence() -> None:
    assert set(WHY) == set(Reason)
    assert set(WHY_SKIPPED) == set(SkipReason)
