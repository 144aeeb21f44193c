"""`sectum verify --series s3://…` against a real server, with the user's own credentials."""

import secrets
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sectum.cli.app import app

from tests import chronicles
from tests.stores.s3_server import ACCESS, BUCKET, S3, SECRET

PREFIX = f"tests/{secrets.token_hex(8)}"


@pytest.fixture(scope="module")
def kept(s3: S3) -> S3:
    """The server with a series, and beside it what S3's console makes of a folder."""
    client = s3.client()
    for name, data in chronicles.store_of(*chronicles.YEAR[:2]).objects.items():
        client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}", Body=data)
    client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/series/", Body=b"")
    client.put_object(Bucket=BUCKET, Key=f"{PREFIX}-other/series/000001.json", Body=b"")
    return s3


def verify(
    s3: S3, tmp_path: Path, *, uri: str = f"s3://{BUCKET}/{PREFIX}", access: str = ACCESS, by: str = ""
) -> Result:
    key = tmp_path / "signer.pem.pub"
    key.write_bytes(chronicles.KEY)
    aws = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": by or s3.endpoint}
    return CliRunner().invoke(app, ["verify", "--series", uri, "--key", str(key)], prog_name="sectum", env=aws)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_series_is_read_out_of_a_bucket(kept: S3, tmp_path: Path, slash: str) -> None:
    shown = verify(kept, tmp_path, uri=f"s3://{BUCKET}/{PREFIX}{slash}")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.splitlines()[-1] == "verified, unstamped; 2 runs: 1 Pass, 1 Inconclusive"


def test_what_is_wrong_with_a_bucket_is_said_in_our_words(kept: S3, tmp_path: Path) -> None:
    for shown, status, text in (
        (verify(kept, tmp_path, access="nobody"), 1, "set AWS_ACCESS_KEY_ID"),
        (verify(kept, tmp_path, uri=f"s3://{BUCKET}/{PREFIX}/none"), 2, "there are no records under series/"),
        (verify(kept, tmp_path, uri="s3://no-such-bucket/x"), 1, "there is no such bucket"),
        (verify(kept, tmp_path, by="http://127.0.0.1:9"), 1, "check --endpoint"),
        (verify(kept, tmp_path, by="nonsense"), 2, "--endpoint (or AWS_ENDPOINT_URL) is a URL"),
    ):
        assert (shown.exit_code, text in shown.stderr) == (status, True), shown.output
        assert SECRET not in shown.output
        assert "http://127" not in shown.output
