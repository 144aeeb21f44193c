"""`sectum is-ours` over the buckets of a cluster's scenario."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sectum.cli.app import app

from tests import runs
from tests.stores.s3_server import ACCESS, BUCKET, S3, SECRET


def _scenario(s3: S3, key: bytes, folder: Path) -> tuple[Path, runs.Sample]:
    """A scenario whose stores are in the bucket, its secrets, and one ended run of it there."""

    def store(name: str) -> dict[str, Any]:
        return {"s3": {"bucket": BUCKET, "prefix": name, "endpoint": s3.endpoint, "secret": f"sectum-store-{name}-x"}}

    document = runs.document()
    document["spec"]["evidence"] |= {"store": store("evidence"), "records": store("records")}
    sample = runs.sample(runs.scenario(evidence=document["spec"]["evidence"]))
    client = s3.client()
    client.put_object(Bucket=BUCKET, Key=f"evidence/manifests/{runs.RUN_ID}.sealed.json", Body=sample.sealed)
    client.put_object(Bucket=BUCKET, Key="evidence/series/ns/sample/000001.json", Body=sample.open_record)
    held = {"accessKeyId": ACCESS.encode(), "secretAccessKey": SECRET.encode()}
    secrets = {f"sectum-store-{name}-x": held for name in ("evidence", "records")} | {"sectum-key-sample": {"key": key}}
    for name, keys in secrets.items():
        (folder / "secrets" / name).mkdir(parents=True)
        for each, data in keys.items():
            (folder / "secrets" / name / each).write_bytes(data)
    file = folder / "scenario.yaml"
    file.write_text(yaml.safe_dump(document))
    return file, sample


@pytest.mark.parametrize(
    ("key", "status", "said"),
    [(b"k" * 32, 0, ""), (b"x" * 32, 11, "the scenario -f names another key; give it as it was for that run")],
)
def test_a_marker_is_ours_where_the_scenarios_key_opens_the_manifest(
    s3: S3, tmp_path: Path, key: bytes, status: int, said: str
) -> None:
    file, sample = _scenario(s3, key, tmp_path)
    marker = sample.manifest.markers[0]
    words = ["is-ours", "-f", str(file), "-o", "json"]
    result = CliRunner().invoke(app, words, input=marker.plaintext, prog_name="sectum")
    assert result.exit_code == status, result.output
    [run] = json.loads(result.stdout)["runs"]
    assert (run["run"], run["started"]) == (runs.RUN_ID, runs.STARTED)
    assert [each["id"] for each in run["matches"]] == ([marker.id] if status == 0 else [])
    assert said in run["notLookedAt"][0]
    assert marker.plaintext not in result.output
