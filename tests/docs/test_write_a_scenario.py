"""The tutorial, typed as it stands: each block in its turn, against a small service of notes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import blocks
from tests.notes_app import NotesApp, running_notes_app

SHELL = blocks("write-a-scenario", "sh")
[SCENARIO, VERBS] = blocks("write-a-scenario", "yaml")


@pytest.fixture
def notes(request: pytest.FixtureRequest) -> Iterator[NotesApp]:
    with running_notes_app(leaky=request.param) as running:
        yield running


@pytest.mark.parametrize(("notes", "verdict"), [(False, 0), (True, 10)], indirect=["notes"])
def test_the_tutorial_does_what_it_says(notes: NotesApp, verdict: int, tmp_path: Path) -> None:
    tokens = {f"{tenant}_{user}".upper(): token for (tenant, user), token in notes.tokens.items()}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(tmp_path), **tokens}
    if "SSL_CERT_FILE" in os.environ:
        environment["SSL_CERT_FILE"] = os.environ["SSL_CERT_FILE"]

    def typed(block: str, *, status: int = 0) -> str:
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    [secrets, check, plan_and_check, run, verify] = SHELL
    document = yaml.safe_load(SCENARIO.replace("https://notes.example", notes.url))
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(document))
    typed(secrets)
    assert typed(check).count("ready") == 4
    bens = tmp_path / "secrets" / "sectum-surface-api-tokens" / "acme.ben"
    bens.write_text(tokens["ACME_ANN"])
    assert typed(check, status=11).count("ready") == 3
    bens.write_text(tokens["ACME_BEN"])
    assert notes.documents == {}
    document["spec"]["surfaces"][0]["adapter"]["http"] |= yaml.safe_load(VERBS)
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(document))
    said = typed(plan_and_check)
    assert "boundary-fetch" in said
    assert "Warnings" not in said
    assert not any(line.startswith(("POST", "DELETE")) for line in notes.requests)
    typed(run, status=verdict)
    assert notes.documents == {}
    assert typed(verify).splitlines()[-1].endswith("verdict: Leak" if verdict else "verdict: Pass")
