"""S3 against a real server: what only it can do, and how each refusal is told."""

import asyncio
import base64
import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sectum.codec import sha256
from sectum.errors import AlreadyStored, NotStored, SecretMissing, StoreFault
from sectum.store import ObjectStoreOf
from sectum.stores.s3 import S3Spec

from tests.between import THROUGH, between
from tests.stores.s3_server import (
    ACCESS,
    BUCKET,
    NAME,
    OTHER_ACCESS,
    OTHER_SECRET,
    S3,
    SECRET,
    free_port,
    opened,
    secret_of,
)


def prefix() -> str:
    return f"tests/{secrets.token_hex(8)}"


def faults(objects: ObjectStoreOf) -> list[StoreFault]:
    """What creating, reading and listing come to, all of which must fail."""

    async def play() -> list[StoreFault]:
        found = []
        for each in (objects.create("series/1", b"x"), objects.read("series/1"), objects.names("series/")):
            with pytest.raises(StoreFault) as fault:
                await each
            found.append(fault.value)
        return found

    return asyncio.run(play())


def quick(objects: ObjectStoreOf) -> ObjectStoreOf:
    """Without the pauses between tries."""
    objects._pauses = tuple(0.0 for _ in objects._pauses)
    return objects


def test_the_checksum_is_sent_and_stored_with_the_object(s3: S3) -> None:
    here = prefix()
    asyncio.run(opened(s3.endpoint, prefix=here).create("a", b"bytes"))
    head = s3.client().head_object(Bucket=BUCKET, Key=f"{here}/a", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"bytes").digest()).decode()


def test_more_objects_than_one_page_are_listed(s3: S3) -> None:
    here, client = prefix(), s3.client()
    for number in range(1100):
        client.put_object(Bucket=BUCKET, Key=f"{here}/work/{number:04d}", Body=b"")
    with between(THROUGH, port=s3.port) as proxy:
        names = asyncio.run(opened(proxy.origin, prefix=here).names("work/"))
    assert names == [f"work/{number:04d}" for number in range(1100)]
    assert proxy.methods() == ["GET", "GET"]


def test_two_prefixes_of_one_bucket_know_nothing_of_each_other(s3: S3) -> None:
    here = prefix()
    one, ten = (opened(s3.endpoint, prefix=f"{here}/{name}") for name in ("scenario-1", "scenario-10"))

    async def play() -> None:
        await one.create("a", b"one")
        await ten.create("a", b"ten")
        assert await one.names("") == await ten.names("") == ["a"]
        assert (await one.read("a"), await ten.read("a")) == (b"one", b"ten")

    asyncio.run(play())


def test_a_folder_that_the_console_made_is_no_object(s3: S3) -> None:
    here = prefix()
    s3.client().put_object(Bucket=BUCKET, Key=f"{here}/series/", Body=b"")
    objects = opened(s3.endpoint, prefix=here)
    assert asyncio.run(objects.names("series/")) == []
    asyncio.run(objects.create("series/1", b""))
    assert asyncio.run(objects.names("series/")) == ["series/1"]


@pytest.mark.parametrize(("access", "key"), [(ACCESS, "wrong"), ("nobody", SECRET)])
def test_wrong_credentials_are_denied_and_nothing_of_them_is_said(s3: S3, access: str, key: str) -> None:
    for fault in faults(opened(s3.endpoint, access=access, key=key)):
        assert not fault.temporary
        assert "denies it (HTTP 403)" in str(fault)
        assert not any(word in str(fault) for word in (ACCESS, SECRET, access, key, "127.0.0.1", BUCKET))


def test_a_bucket_that_is_not_there_is_said_to_be(s3: S3) -> None:
    for fault in faults(opened(s3.endpoint, bucket="nowhere")):
        assert not fault.temporary
        assert "no such bucket" in str(fault)


def test_a_server_that_is_down_may_come_back() -> None:
    for fault in faults(quick(opened(f"http://127.0.0.1:{free_port()}"))):
        assert fault.temporary
        assert "cannot be reached" in str(fault)


def policy_of_the_page() -> dict[str, Any]:
    """The bucket policy that docs/stores/s3.md offers, for the server's user, but the condition it does not know."""
    page = (Path(__file__).parents[2] / "docs" / "stores" / "s3.md").read_text()
    policy: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    policy["Statement"] = [each for each in policy["Statement"] if each["Sid"] != "NeverOverwrite"]
    for each in policy["Statement"]:
        each["Principal"] = {"AWS": [OTHER_ACCESS]}
    return policy


def test_the_pages_policy_is_enough_and_lets_nothing_be_deleted_or_seen_elsewhere(s3: S3) -> None:
    root = s3.client()
    root.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy_of_the_page()))
    try:
        here, there = (
            opened(s3.endpoint, prefix=each, access=OTHER_ACCESS, key=OTHER_SECRET) for each in ("assistant", "other")
        )

        async def play() -> None:
            assert await here.create("packs/1.zip", b"pack") == sha256(b"pack")
            assert await here.names("packs/") == ["packs/1.zip"]
            with pytest.raises(NotStored):
                await here.read("packs/2.zip")
            for each in (there.create("a", b"x"), there.read("a")):
                with pytest.raises(StoreFault, match="denies it"):
                    await each

        asyncio.run(play())
        writer = s3.client(OTHER_ACCESS, OTHER_SECRET)
        with pytest.raises(ClientError, match="AccessDenied"):
            writer.delete_object(Bucket=BUCKET, Key="assistant/packs/1.zip")
    finally:
        root.delete_bucket_policy(Bucket=BUCKET)


HOSTILE = {
    "AWS_SESSION_TOKEN": "token-of-a-bystander",
    "AWS_ACCESS_KEY_ID": "key-of-a-bystander",
    "AWS_SECRET_ACCESS_KEY": "secret-of-a-bystander",
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_UNSIGNED_PAYLOAD": "true",
    "AWS_CONDITIONAL_PUT": "disabled",
    "AWS_REQUEST_PAYER": "true",
    "AWS_S3_EXPRESS": "true",
    "AWS_BUCKET": "another",
    "AWS_REGION": "eu-west-9",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_PROFILE": "nobody",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_environment_for_other_programs_changes_nothing(s3: S3, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, HOSTILE[name])
    here = prefix()
    with between(THROUGH, port=s3.port) as proxy:
        objects = opened(proxy.origin, prefix=here)

        async def play() -> None:
            assert await objects.create("a", b"x") == sha256(b"x")
            with pytest.raises(AlreadyStored):
                await objects.create("a", b"x")

        asyncio.run(play())
    put = {key.lower(): value for key, value in proxy.asked[0].headers.items()}
    assert put["if-none-match"] == "*"
    assert f"Credential={ACCESS}/" in put["authorization"]
    assert put["x-amz-content-sha256"] == sha256(b"x")
    assert not {"x-amz-security-token", "x-amz-request-payer"} & put.keys()


def test_the_environments_credentials_are_used_where_no_secret_is_named(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = S3Spec.model_validate({"bucket": BUCKET, "endpoint": s3.endpoint, "prefix": prefix()})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert asyncio.run(spec.open(secret_of()).create("a", b"x")) == sha256(b"x")


def test_without_any_credentials_it_says_so_at_once(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    spec = S3Spec.model_validate({"bucket": BUCKET, "endpoint": s3.endpoint})
    for fault in faults(spec.open(secret_of())):
        assert not fault.temporary
        assert "no credentials for it were found" in str(fault)


@pytest.mark.parametrize("value", ["", "  \n", "AKIA\nX-Header: 1", "schlüssel"])
def test_a_secret_that_is_no_line_of_ascii_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(SecretMissing, match=f"{NAME}/accessKeyId") as fault:
        opened("http://127.0.0.1:9", access=value)
    assert value.strip() == "" or value not in str(fault.value)


def test_where_an_object_is_has_bucket_and_prefix_in_it(tmp_path: Path) -> None:
    spec = S3Spec.model_validate({"bucket": BUCKET, "prefix": "a/b"})
    assert spec.uri("packs/1.zip") == "s3://evidence/a/b/packs/1.zip"
    assert S3Spec.model_validate({"bucket": BUCKET}).uri("x") == "s3://evidence/x"
