"""A Secret -> AWS KMS and IAM, by moto: one key, and three users of whom each may do one thing with it at most.

moto keeps everything in memory. What has to outlive a restart comes from the folder that the Secret is mounted on: the
key's id and material, and everybody's access key. IAM is enforced from the first request on.
"""

import json
import os
import sys
from pathlib import Path

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"  # moto reads it once, when it is imported

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.server import main

REGION = "us-east-1"
ALIAS = "alias/sectum-demo"
ALLOWED = {"prepare": ("kms:Encrypt",), "probe": ("kms:Decrypt",), "sign": ()}


def create_key(folder: Path) -> None:
    kms = kms_backends[DEFAULT_ACCOUNT_ID][REGION]
    key = kms.create_key(
        policy=None, key_usage="ENCRYPT_DECRYPT", key_spec="SYMMETRIC_DEFAULT", description="", tags=None
    )
    drawn = key.id
    key.id = (folder / "key.id").read_text()
    key.arn = key.arn.replace(drawn, key.id)
    key.key_material = bytes.fromhex((folder / "key.material").read_text())
    kms.keys[key.id] = kms.keys.pop(drawn)
    kms.create_alias(key.id, ALIAS)


def create_user(name: str, *, allowed: tuple[str, ...], folder: Path) -> None:
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    iam.create_user("us-east-1", name)
    if allowed:
        statement = {"Effect": "Allow", "Action": list(allowed), "Resource": "*"}
        iam.put_user_policy(name, "allowed", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    key = iam.create_access_key(name)
    del iam.access_keys[key.access_key_id]
    key.access_key_id = (folder / f"{name}.accessKeyId").read_text()
    key.secret_access_key = (folder / f"{name}.secretAccessKey").read_text()
    iam.access_keys[key.access_key_id] = key


if __name__ == "__main__":
    secret = Path(sys.argv[1])
    create_key(secret)
    for user, actions in ALLOWED.items():
        create_user(user, allowed=actions, folder=secret)
    main(["--host", "0.0.0.0", "--port", "5000"])  # noqa: S104 - a pod's network is its own
