"""Who may do what with the key, at the KMS with IAM that runs in the cluster."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.cluster.demo import RUNS, Demo, demo_cluster

pytestmark = pytest.mark.timeout(300)
KEY, REGION = "alias/sectum-demo", "us-east-1"
MINE = {"run": "one"}
DENIED = "403"
"""moto leaves out the name that AWS has for it."""


@pytest.fixture(scope="module")
def demo() -> Demo:
    return demo_cluster()


@pytest.fixture(scope="module")
def kms(demo: Demo) -> Iterator[dict[str, Any]]:
    """A client for prepare, for probes, and for who signs."""
    secrets = {
        "prepare": demo.kube.secret(RUNS, "sectum-kms-encrypt-demo"),
        "probe": demo.kube.secret(RUNS, "sectum-kms-decrypt-demo"),
    }
    server = demo.kube.secret("sectum-servers", "kms")
    secrets["sign"] = {key: server[f"sign.{key}"] for key in ("accessKeyId", "secretAccessKey")}
    with demo.kube.forwarded("service/moto", "sectum-servers", 5000) as port:
        yield {
            who: boto3.client(
                "kms",
                region_name=REGION,
                endpoint_url=f"http://127.0.0.1:{port}",
                aws_access_key_id=pair["accessKeyId"].decode(),
                aws_secret_access_key=pair["secretAccessKey"].decode(),
            )
            for who, pair in secrets.items()
        }


def code(call: Any, **asked: Any) -> str:
    """What KMS answers: its error's code, or nothing."""
    try:
        call(**asked)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_prepare_encrypts_probes_decrypt_and_who_signs_does_neither(kms: dict[str, Any]) -> None:
    encrypt = {"KeyId": KEY, "Plaintext": b"a data key", "EncryptionContext": MINE}
    wrapped = kms["prepare"].encrypt(**encrypt)["CiphertextBlob"]
    decrypt = {"KeyId": KEY, "CiphertextBlob": wrapped, "EncryptionContext": MINE}
    assert kms["probe"].decrypt(**decrypt)["Plaintext"] == b"a data key"
    assert code(kms["prepare"].decrypt, **decrypt) == DENIED
    assert code(kms["probe"].encrypt, **encrypt) == DENIED
    assert code(kms["sign"].encrypt, **encrypt) == code(kms["sign"].decrypt, **decrypt) == DENIED


def test_the_key_of_a_run_does_not_unwrap_for_another_one(demo: Demo, kms: dict[str, Any]) -> None:
    sealed = [of_run(demo, f"{build}-demo") for build in ("leaky", "hardened")]
    for mine, another in (sealed, sealed[::-1]):
        asked = {"KeyId": KEY, "CiphertextBlob": mine["wrapped"]}
        assert len(kms["probe"].decrypt(**asked, EncryptionContext=mine["context"])["Plaintext"]) == 32
        assert code(kms["probe"].decrypt, **asked, EncryptionContext=another["context"]) == "InvalidCiphertextException"


def of_run(demo: Demo, name: str) -> dict[str, Any]:
    """The wrapped data key of a run's manifest, and what it is bound to."""
    uid = demo.one("verificationrun", name, "-n", RUNS)["metadata"]["uid"]
    sealed = json.loads(demo.kube.secret(RUNS, f"sectum-manifest-{uid}")["sealed.json"])
    return {"wrapped": base64.b64decode(sealed["wrappedKey"]), "context": {"run": uid}}
