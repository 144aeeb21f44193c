"""awsKms against a KMS that enforces IAM: who seals cannot open, who opens cannot seal, and no run opens another's."""

import io
import json
import logging
import os
import secrets
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sectum import aws
from sectum.errors import KeyUnavailable, SealBroken, SecretMissing
from sectum.keys.aws_kms import AwsKmsKey
from sectum.manifest import draw_manifest, seal, unseal
from sectum.plan import make_plan
from sectum.testing import MemorySurface, memory_scenario

from tests.between import CUT, THROUGH, Act, Asked, between, self_signed
from tests.keys.kms_server import ACCOUNT, DECRYPTS, ENCRYPTS, REGION, Kms, spec
from tests.stores.s3_server import free_port

DATA_KEY = bytes(range(32))
RUN, OTHER_RUN = {"run": "01976f3a-5c00-7abc-8def-0123456789ab"}, {"run": "01976f3a-5c00-7abc-8def-0123456789ac"}
Call = Callable[[AwsKmsKey], bytes]


def encrypt(key: AwsKmsKey) -> bytes:
    return key.wrap(DATA_KEY, RUN)


def decrypt(key: AwsKmsKey) -> bytes:
    return key.unwrap(b"wrapped", RUN)


def test_prepare_may_only_encrypt_probes_only_decrypt_and_assemble_both(kms: Kms) -> None:
    wrapped = kms.key(encrypts="encrypt").wrap(DATA_KEY, RUN)
    assert kms.key(decrypts="decrypt").unwrap(wrapped, RUN) == DATA_KEY
    for identity, call, what in (
        ("encrypt", lambda key: key.unwrap(wrapped, RUN), "kms:Decrypt"),
        ("decrypt", encrypt, "kms:Encrypt"),
    ):
        with pytest.raises(KeyUnavailable, match=f"denies {what}") as denied:
            call(kms.key(encrypts=identity, decrypts=identity))
        assert not denied.value.temporary
    both = kms.key(encrypts="both", decrypts="both")
    assert both.unwrap(both.wrap(DATA_KEY, RUN), RUN) == DATA_KEY


def test_a_data_key_of_another_run_does_not_unwrap(kms: Kms) -> None:
    wrapped = encrypt(kms.key())
    for context in (OTHER_RUN, {}, {**RUN, "more": "x"}):
        with pytest.raises(SealBroken):
            kms.key().unwrap(wrapped, context)


def test_a_changed_byte_does_not_unwrap(kms: Kms) -> None:
    wrapped = encrypt(kms.key())
    for changed in (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), wrapped[:-1], b"x" * len(wrapped)):
        with pytest.raises((SealBroken, KeyUnavailable)):
            kms.key().unwrap(changed, RUN)


def test_a_manifest_is_sealed_by_one_and_opened_by_the_other(kms: Kms) -> None:
    run = RUN["run"]
    manifest = draw_manifest(make_plan(memory_scenario(MemorySurface())), run=run, below=secrets.randbelow)
    sealed = seal(manifest, data_key=DATA_KEY, key=kms.key(decrypts="encrypt"), header={"scenario": {"name": "x"}})
    opened, data_key = unseal(sealed, kms.key(encrypts="decrypt"))
    assert (opened.plaintext(), data_key) == (manifest.plaintext(), DATA_KEY)
    assert json.loads(sealed)["header"]["key"] == f"aws-kms:{kms.key_id}"
    with pytest.raises(SealBroken):
        unseal(sealed.replace(run.encode(), OTHER_RUN["run"].encode()), kms.key())
    with pytest.raises(KeyUnavailable):
        unseal(sealed, kms.key(decrypts="encrypt"))


@pytest.mark.parametrize(
    ("fields", "said"), [({"keyId": "alias/none"}, "no such key"), ({"keyId": "x"}, "no such key")]
)
def test_a_key_that_is_not_there_is_said_to_be(kms: Kms, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(KeyUnavailable, match=said) as refused:
        encrypt(kms.key(**fields))
    assert not refused.value.temporary


TOLD = f"arn:aws:iam::{ACCOUNT}:user/words-of-the-server-41c7"


def says(status: int, code: str) -> Act:
    return Act(status=status, body=json.dumps({"__type": code, "message": TOLD}).encode())


TEMPORARY = {
    "throttled": says(400, "ThrottlingException"),
    "busy": says(503, "KeyUnavailableException"),
    "internal": says(500, "KMSInternalException"),
    "a proxy's": Act(status=502, body=b"<html>bad gateway</html>"),
    "timed out": says(503, "DependencyTimeoutException"),
    "too many": says(429, "TooManyRequestsException"),
    "cut": CUT,
}
FINAL = {
    "denied": (says(400, "AccessDeniedException"), "these credentials may not"),
    "expired": (says(400, "ExpiredTokenException"), "have expired"),
    "unknown": (says(400, "UnrecognizedClientException"), "not known there"),
    "wrong": (says(400, "InvalidSignatureException"), "secret access key is wrong"),
    "disabled": (says(400, "DisabledException"), "disabled"),
    "pending deletion": (says(400, "KMSInvalidStateException"), "pending deletion"),
    "for signing": (says(400, "InvalidKeyUsageException"), "no symmetric key"),
    "anything": (says(400, "ValidationException"), "HTTP 400"),
    "a page": (Act(status=200, body=b"<html>log in here</html>"), "is not KMS"),
    "something else": (Act(status=200, body=b"{}"), "is not KMS"),
    "no base64": (Act(status=200, body=b'{"CiphertextBlob": "x", "Plaintext": "x"}'), "is not KMS"),
    "another type": (Act(status=200, body=b'{"CiphertextBlob": 5, "Plaintext": []}'), "is not KMS"),
}


def failed(call: Call, key: AwsKmsKey) -> KeyUnavailable:
    """What the call comes to; nothing that the server or a Secret said is in it, however it is shown."""
    with pytest.raises(KeyUnavailable) as fault:
        call(key)
    shown = "".join(traceback.format_exception(fault.value))
    for word in (TOLD, ACCOUNT, "arn:", "access-key-of", "secret-key-of", "token-of", "http://", "wrapped key"):
        assert word not in shown
    return fault.value


HELD = {"accessKeyId": "access-key-of-a-test", "secretAccessKey": "secret-key-of-a-test", "sessionToken": "token-of-it"}


def key_at(endpoint: str, **held: str) -> AwsKmsKey:
    return Kms(endpoint, "alias/sectum", {"encrypt": {**HELD, **held}, "decrypt": HELD}).key()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore waits no time between its tries."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda _self, _context: 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("call", [encrypt, decrypt])
@pytest.mark.parametrize("act", TEMPORARY.values(), ids=TEMPORARY)
def test_what_may_go_better_is_tried_three_times_and_then_temporary(act: Act, call: Call) -> None:
    with between(act) as server:
        assert failed(call, key_at(server.origin)).temporary
        assert server.methods() == ["POST"] * 3


@pytest.mark.parametrize(("act", "said"), FINAL.values(), ids=FINAL)
def test_what_will_not_go_better_is_tried_once_and_final(act: Act, said: str) -> None:
    with between(act) as server:
        fault = failed(decrypt, key_at(server.origin))
        assert said in str(fault)
        assert not fault.temporary
        assert server.methods() == ["POST"]


def test_a_failure_in_between_is_got_over(kms: Kms) -> None:
    def once(asked: Asked) -> Act:
        return CUT if asked.number == 1 else THROUGH

    with between(once, port=kms.port) as proxy:
        wrapped = encrypt(Kms(proxy.origin, kms.key_id, kms.identities).key())
    assert kms.key().unwrap(wrapped, RUN) == DATA_KEY


def test_a_kms_that_is_not_there_is_temporary_and_soon_given_up() -> None:
    begun = time.monotonic()
    assert failed(encrypt, key_at(f"http://127.0.0.1:{free_port()}")).temporary
    assert time.monotonic() - begun < 15


def test_a_certificate_that_nobody_knows_is_final(tmp_path: Path) -> None:
    with between(says(200, ""), certificate=self_signed(tmp_path)) as server:
        fault = failed(encrypt, key_at(server.origin))
        assert "certificate" in str(fault)
        assert not fault.temporary
        assert server.asked == []


@pytest.mark.parametrize("value", ["", " ", "AKIA\nX-Header: 1", "schlüssel"])
def test_a_secret_that_is_no_line_of_ascii_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(SecretMissing, match=f"{ENCRYPTS}/accessKeyId") as fault:
        encrypt(key_at("http://127.0.0.1:9", accessKeyId=value))
    assert not value.strip() or value not in str(fault.value)


def test_nothing_is_logged_of_a_key_or_of_a_credential_at_the_finest_level(kms: Kms) -> None:
    heard = io.StringIO()
    handler, root = logging.StreamHandler(heard), logging.getLogger()
    before, chatty = root.level, [logging.getLogger(name) for name in ("botocore", "botocore.endpoint", "urllib3")]
    root.addHandler(handler)
    for each in (root, *chatty):
        each.setLevel(logging.DEBUG)
    try:
        assert kms.key().unwrap(encrypt(kms.key()), RUN) == DATA_KEY
        with between(THROUGH, port=kms.port) as proxy:
            encrypt(Kms(proxy.origin, kms.key_id, {**kms.identities, "encrypt": {**kms.identities["both"]}}).key())
            [asked] = proxy.asked
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        for each in chatty:
            each.setLevel(logging.NOTSET)
    log = heard.getvalue()
    assert "urllib3" not in log
    assert "POST / HTTP/1.1" in log  # something was logged
    for secret in (json.loads(asked.body)["Plaintext"], "Plaintext", "Authorization", "AWS4-HMAC-SHA256"):
        assert secret not in log
    for identity in kms.identities.values():
        for value in identity.values():
            assert value not in log


BYSTANDER = {
    "AWS_PROFILE": "of-somebody-else",
    "AWS_ACCESS_KEY_ID": "key-of-a-bystander",
    "AWS_SECRET_ACCESS_KEY": "secret-of-a-bystander",
    "AWS_SESSION_TOKEN": "token-of-a-bystander",
    "AWS_REGION": "xx-nowhere-1",
    "AWS_DEFAULT_REGION": "xx-nowhere-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:9",
    "AWS_MAX_ATTEMPTS": "99",
    "AWS_RETRY_MODE": "legacy",
}
OPENER = """
import os, sys
def heard(event, arguments):
    if event == "open" and str(arguments[0]).startswith(os.environ["HOME"] + "/.aws"):
        print("READ", arguments[0])
sys.addaudithook(heard)
from tests.keys.test_aws_kms import *
from tests.keys.kms_server import spec
with between(THROUGH, port=int(sys.argv[1])) as proxy:
    held = {"accessKeyId": sys.argv[3].encode(), "secretAccessKey": sys.argv[4].encode()}
    def read(name, key):
        if key not in held:
            raise SecretMissing(name, key)
        return held[key]
    print(len(encrypt(spec(proxy.origin, sys.argv[2]).wrapper(read))) > 32)
    print(proxy.asked[0].headers["Authorization"].split("/")[0], "X-Amz-Security-Token" in proxy.asked[0].headers)
"""


def test_with_a_secret_neither_the_environment_nor_a_home_folder_counts(kms: Kms, tmp_path: Path) -> None:
    model = tmp_path / ".aws" / "models" / "kms" / "2014-11-01" / "service-2.json"
    model.parent.mkdir(parents=True)
    model.write_text("{}")
    (tmp_path / ".aws" / "config").write_text("[default]\nendpoint_url = http://127.0.0.1:9\nregion = xx-nowhere-1\n")
    (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id = AKIAOFHOME\n")
    identity = kms.identities["encrypt"]
    arguments = [str(kms.port), kms.key_id, identity["accessKeyId"], identity["secretAccessKey"]]
    done = subprocess.run(
        [sys.executable, "-c", OPENER, *arguments],
        env={**BYSTANDER, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "NO_PROXY": "127.0.0.1"},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "True", f"AWS4-HMAC-SHA256 Credential={identity['accessKeyId']} False"
    ], done.stderr  # fmt: skip


@pytest.fixture
def no_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has no AWS of its own."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


WITHOUT = {"encryptSecret": None, "decryptSecret": None}


@pytest.mark.usefixtures("no_identity")
def test_without_a_secret_the_environments_identity_is_used(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", kms.identities["both"]["accessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", kms.identities["both"]["secretAccessKey"])
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    key = kms.key(**WITHOUT)
    assert key.unwrap(key.wrap(DATA_KEY, RUN), RUN) == DATA_KEY


@pytest.mark.parametrize("found", [None, aws.Credentials("a", "b")], ids=["identity", "secret"])
def test_where_the_scenario_names_no_server_it_is_awss_own(
    found: aws.Credentials | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = aws.session(found).create_client("kms", region_name=REGION)
    assert client.meta.endpoint_url == f"https://kms.{REGION}.amazonaws.com"


@pytest.mark.usefixtures("no_identity")
def test_without_any_identity_it_says_so_at_once(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fault = failed(encrypt, kms.key(**WITHOUT))
    assert "no credentials for kms:Encrypt were found" in str(fault)
    assert not fault.temporary


@pytest.mark.usefixtures("no_identity")
def test_a_metadata_service_that_never_answers_is_soon_given_up(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    with between(Act(cut=True, seconds=30)) as metadata:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.origin)
        begun = time.monotonic()
        failed(encrypt, kms.key(**WITHOUT))
        assert time.monotonic() - begun < 15
        assert metadata.asked


@pytest.mark.usefixtures("no_identity", "impatient")
def test_a_token_service_that_fails_is_temporary(kms: Kms, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("web-identity-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", f"arn:aws:iam::{ACCOUNT}:role/prober")
    monkeypatch.setenv("AWS_REGION", REGION)
    with between(CUT) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)  # STS's address is AWS's own
        fault = failed(encrypt, kms.key(**WITHOUT))
    assert fault.temporary


def test_a_session_with_a_secret_is_as_quick_to_fail_as_one_without() -> None:
    for found in (None, aws.Credentials("a", "b")):
        config = aws.session(found).get_default_client_config()
        assert (config.connect_timeout, config.read_timeout) == (5, 10)


def test_the_names_of_the_secrets_tell_who_may_do_what() -> None:
    key = spec("http://127.0.0.1:9")
    assert (key.wrap_secrets(), key.unwrap_secrets()) == ((ENCRYPTS,), (DECRYPTS,))
    assert spec("http://127.0.0.1:9", **WITHOUT).wrap_secrets() == ()
    assert not key.local_only()


@pytest.mark.parametrize(("field", "name"), [("encryptSecret", DECRYPTS), ("decryptSecret", ENCRYPTS)])
def test_the_secrets_cannot_be_mixed_up(field: str, name: str) -> None:
    with pytest.raises(ValueError, match="must start with 'sectum-kms-"):
        spec("http://127.0.0.1:9", **{field: name})
