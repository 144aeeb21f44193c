"""moto's AWS on loopback, with one key in KMS and three identities, each allowed what one stage may do.

moto enforces IAM policies once it has been told so; until then everything is allowed, which is how they are made.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sectum.errors import SecretMissing
from sectum.keys.aws_kms import AwsKmsKey, AwsKmsSpec

from tests.stores.s3_server import free_port

REGION = "eu-central-1"
ACCOUNT = "123456789012"
ENCRYPTS, DECRYPTS = "sectum-kms-encrypt-manifest", "sectum-kms-decrypt-manifest"
PROGRAM = "import sys, moto.server; sys.exit(moto.server.main(sys.argv[1:]))"
Keys = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Kms:
    """A running server; `identities` has an access key for each of encrypt, decrypt and both."""

    endpoint: str
    key_id: str
    identities: Keys = field(repr=False)

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def secret(self, *, encrypts: str = "encrypt", decrypts: str = "decrypt") -> Callable[[str, str], bytes]:
        """A reader of the two Secrets."""
        held = {ENCRYPTS: self.identities[encrypts], DECRYPTS: self.identities[decrypts]}

        def read(name: str, key: str) -> bytes:
            if key not in held[name]:
                raise SecretMissing(f"secretRef {name}/{key}", "cannot be read")
            return held[name][key].encode()

        return read

    def key(self, *, encrypts: str = "encrypt", decrypts: str = "decrypt", **fields: Any) -> AwsKmsKey:
        """The key as a scenario opens it, with the identities that the two Secrets have."""
        return spec(self.endpoint, self.key_id, **fields).wrapper(self.secret(encrypts=encrypts, decrypts=decrypts))


def spec(endpoint: str, key_id: str = "alias/sectum", **fields: Any) -> AwsKmsSpec:
    """The scenario's part."""
    given = {"keyId": key_id, "region": REGION, "endpoint": endpoint}
    return AwsKmsSpec.model_validate({**given, "encryptSecret": ENCRYPTS, "decryptSecret": DECRYPTS, **fields})


def policies_of_the_page() -> dict[str, Any]:
    """What docs/keys/awsKms.md allows who seals and who opens; moto knows no other Resource than `*` here."""
    page = (Path(__file__).parents[2] / "docs" / "keys" / "awsKms.md").read_text()
    seals, opens = (json.loads(each) for each in re.findall(r"```json\n(.*?)```", page, re.DOTALL)[:2])
    for each in (*seals["Statement"], *opens["Statement"]):
        each["Resource"] = "*"
    both = {**seals, "Statement": [*seals["Statement"], *opens["Statement"]]}
    return {"encrypt": seals, "decrypt": opens, "both": both}


def _client(service: str, endpoint: str) -> Any:
    import boto3

    keys = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup"}
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, **keys)


def _identities(endpoint: str) -> Keys:
    """Users with inline policies, and an access key for each."""
    iam, made = _client("iam", endpoint), {}
    for name, policy in policies_of_the_page().items():
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="kms", PolicyDocument=json.dumps(policy))
        access = iam.create_access_key(UserName=name)["AccessKey"]
        made[name] = {"accessKeyId": access["AccessKeyId"], "secretAccessKey": access["SecretAccessKey"]}
    return made


@contextlib.contextmanager
def running(home: Path) -> Iterator[Kms]:
    """The server, until the end of the block."""
    port = free_port()
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _await(process, endpoint, home / "log")
        kms = _client("kms", endpoint)
        key = kms.create_key()["KeyMetadata"]
        kms.create_alias(AliasName="alias/sectum", TargetKeyId=key["KeyId"])
        identities = _identities(endpoint)
        plain = {"Content-Type": "text/plain"}
        httpx.post(f"{endpoint}/moto-api/reset-auth", content=b"0", headers=plain, trust_env=False).raise_for_status()
        yield Kms(endpoint, key["KeyId"], identities)
    finally:
        process.terminate()
        process.wait(20)


def _await(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{endpoint}/moto-api/", trust_env=False, timeout=5)
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace"))
