"""The bundle: public tools verify it, another key or another byte does not."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sectum import pack, sign
from sectum.codec import NotCanonical, canonical, parse
from sectum.errors import UsageError

from tests import runs

ROOT = Path(__file__).parents[2]
SERVERS = ROOT.parent / "shared" / "servers" / "env"
PLAY = runs.every(leak=lambda number, _trial: number == 0)


def _cosign() -> str:
    """The folder of cosign, or a loud skip."""
    found = shutil.which("cosign")
    if found is None and SERVERS.exists():
        script = f'eval "$({SERVERS})"; command -v cosign'
        found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False).stdout.strip()
    if not found:
        pytest.skip("cosign 3 is neither on PATH nor beside this repository: the README's second way was NOT tested")
    return str(Path(found).parent)


def _unpacked(tmp_path: Path) -> tuple[runs.Sample, Path]:
    sample = runs.sample(play=PLAY)
    folder = tmp_path / "pack"
    for name, data in sample.members().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return sample, folder


def _commands(readme: str, heading: str) -> str:
    """The indented lines below a heading of the pack's README: what a reader would copy."""
    section = readme.split(heading, 1)[1]
    lines = section.split("\n\n", 2)[1]
    return "\n".join(line.removeprefix("     ") for line in lines.splitlines())


def _run(script: str, folder: Path, *, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _with_key(script: str, sample: runs.Sample, folder: Path) -> str:
    key = folder.parent / "evidence.pub"
    key.write_bytes(sample.key)
    return f"key={key}\n{script}"


def test_cosign_verifies_every_file_as_the_readme_says(tmp_path: Path) -> None:
    path = _cosign()
    sample, folder = _unpacked(tmp_path)
    command = _with_key(_commands((folder / "README.txt").read_text(), "2. With cosign"), sample, folder)
    assert command.endswith("--insecure-ignore-tlog run.json")
    for file in sorted(each for each in folder.rglob("*") if each.is_file() and each.name != pack.BUNDLE):
        done = _run(command.removesuffix("run.json") + str(file), folder, path=path)
        assert done.returncode == 0, done.stderr
        assert "Verified OK" in done.stderr + done.stdout


def test_cosign_refuses_another_key_and_a_changed_file(tmp_path: Path) -> None:
    path = _cosign()
    sample, folder = _unpacked(tmp_path)
    command = _commands((folder / "README.txt").read_text(), "2. With cosign")
    other = runs.changed(sample, key=runs.pem(runs.new_signer()))
    assert _run(_with_key(command, other, folder), folder, path=path).returncode != 0
    (folder / "run.json").write_bytes((folder / "run.json").read_bytes().replace(b"Leak", b"Pass"))
    assert _run(_with_key(command, sample, folder), folder, path=path).returncode != 0


def test_openssl_jq_and_sha256sum_verify_as_the_readme_says(tmp_path: Path) -> None:
    if not all(map(shutil.which, ("openssl", "jq", "sha256sum"))):
        pytest.skip("openssl, jq or sha256sum is missing: the README's third way was NOT tested")
    sample, folder = _unpacked(tmp_path)
    script = _with_key(_commands((folder / "README.txt").read_text(), "3. With openssl"), sample, folder)
    done = _run(script, folder)
    assert done.returncode == 0, done.stderr
    assert "Verified OK" in done.stdout
    assert len(re.findall(": OK", done.stdout)) == len(sample.members()) - 1
    (folder / "records" / sorted(sample.records)[0]).write_bytes(b"{}")
    assert _run(script, folder).returncode != 0


def test_a_bundle_gives_back_the_statement_as_it_was_signed() -> None:
    sample = runs.sample(play=PLAY)
    members = sample.members()
    opened = sign.open_bundle(members[pack.BUNDLE])
    assert opened.statement == pack.statement(sample.run, members)
    assert opened.hint == sample.signer.keyid == sign.public_key(sample.key).keyid
    assert opened.signed_by(sign.public_key(sample.key))
    assert not opened.signed_by(sign.public_key(runs.pem(runs.new_signer())))


BROKEN = {
    "no object": lambda bundle: [bundle],
    "one key more": lambda bundle: {**bundle, "more": 1},
    "another media type": lambda bundle: {**bundle, "mediaType": "application/json"},
    "no material": lambda bundle: {**bundle, "verificationMaterial": None},
    "a log entry": lambda bundle: _material(bundle, tlogEntries=[{}]),
    "a certificate": lambda bundle: _material(bundle, certificate={}),
    "a hint that is no text": lambda bundle: _material(bundle, publicKey={"hint": 1}),
    "no hint": lambda bundle: _material(bundle, publicKey={}),
    "a hint and more": lambda bundle: _material(bundle, publicKey={"hint": "a", "more": 1}),
    "no envelope": lambda bundle: {**bundle, "dsseEnvelope": []},
    "another payload type": lambda bundle: _envelope(bundle, payloadType="text/plain"),
    "no signature": lambda bundle: _envelope(bundle, signatures=[]),
    "two signatures": lambda bundle: _envelope(bundle, signatures=bundle["dsseEnvelope"]["signatures"] * 2),
    "signatures that are a number": lambda bundle: _envelope(bundle, signatures=1),
    "a signature that is a number": lambda bundle: _envelope(bundle, signatures=[1]),
    "a signature without text": lambda bundle: _envelope(bundle, signatures=[{"keyid": "", "sig": None}]),
    "a payload that is no base64": lambda bundle: _envelope(bundle, payload="!"),
    "a payload that is a number": lambda bundle: _envelope(bundle, payload=7),
}


def _material(bundle: dict[str, dict[str, object]], **parts: object) -> dict[str, object]:
    return {**bundle, "verificationMaterial": {**bundle["verificationMaterial"], **parts}}


def _envelope(bundle: dict[str, dict[str, object]], **parts: object) -> dict[str, object]:
    return {**bundle, "dsseEnvelope": {**bundle["dsseEnvelope"], **parts}}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bundle_of_another_shape_is_refused(case: str) -> None:
    good = parse(runs.sample().members()[pack.BUNDLE])
    with pytest.raises(NotCanonical):
        sign.open_bundle(canonical(BROKEN[case](good)))


def test_a_bundle_in_another_spelling_is_refused() -> None:
    good = runs.sample().members()[pack.BUNDLE]
    sign.open_bundle(good)
    with pytest.raises(NotCanonical):
        sign.open_bundle(good + b"\n")


@pytest.mark.parametrize("text", [b"", b"hello", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_public_key_is_a_usage_error(text: bytes) -> None:
    with pytest.raises(UsageError):
        sign.public_key(text)


def test_a_key_of_another_kind_is_a_usage_error() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    for private in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())):
        with pytest.raises(UsageError):
            sign.public_key(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
