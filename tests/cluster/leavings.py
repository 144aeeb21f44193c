"""What a run may leave: one pack in its store, and nothing in the system under test or in the cluster."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import obstore
from obstore.store import S3Store

from tests.cluster.demo import RUNS, Demo
from tests.cluster.scenarios import USERS
from tests.cluster.verification import Verification

LISTS = {"api": "/v1/documents", "memory": "/v1/agent/memories"}
SERVERS = "sectum-servers"


def in_the_system(demo: Demo, build: str) -> dict[str, int]:
    """Documents and memories that the users of the small scenarios have in the assistant: `user path` -> how many."""
    found = {}
    with demo.kube.forwarded("service/assistant", f"demo-{build}", 8080) as port:
        tokens = demo.kube.secret(RUNS, f"sectum-surface-api-{build}")
        for user in USERS:
            for path in LISTS.values():
                asked = urllib.request.Request(
                    f"http://127.0.0.1:{port}{path}?limit=100",
                    headers={"Authorization": f"Bearer {tokens[user].decode()}"},
                )
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    items = json.load(answer)["items"]
                if items:
                    found[f"{user} {path}"] = len(items)
    return found


def packs_in_the_store(of: Verification) -> list[str]:
    """Names of the zips of the run in its scenario's store of evidence."""
    names = in_the_store(of.demo, "evidence", of.prefix)
    return [each for each in names if each.endswith(".zip") and of.uid in each]


def in_the_store(demo: Demo, bucket: str, prefix: str) -> list[str]:
    """Names of the objects there."""
    with opened(demo, bucket, prefix) as store:
        return [each["path"] for batch in obstore.list(store) for each in batch]


@contextlib.contextmanager
def opened(demo: Demo, bucket: str, prefix: str) -> Iterator[S3Store]:
    """The bucket's part under a prefix, as its owner has it."""
    pair = demo.kube.secret(RUNS, f"sectum-store-{bucket}-demo")
    with demo.kube.forwarded("service/s3", SERVERS, 9000) as port:
        yield S3Store(
            bucket,
            prefix=prefix,
            region="us-east-1",
            endpoint=f"http://127.0.0.1:{port}",
            virtual_hosted_style_request=False,
            access_key_id=pair["accessKeyId"].decode(),
            secret_access_key=pair["secretAccessKey"].decode(),
            client_options={"allow_http": True},
        )


def ended_well(run: Verification, build: str, *, verdict: str) -> dict[str, Any]:
    """The run at its end, which is looked at: verdict, one pack, cleaned up, nothing left."""
    found = run.ended()
    assert (found["status"]["phase"], found["status"]["verdict"]) == ("Complete", verdict), run.told()
    told = run.conditions()
    assert told["EvidenceStored"][0] == told["CleanedUp"][0] == "True", told
    # It goes right after the status that says so.
    run.until(lambda: "finalizers" not in run.object()["metadata"], "an end of the finalizer", seconds=60)
    assert [each["status"]["verdict"] for each in run.packs()] == [verdict]
    assert len(packs_in_the_store(run)) == 1
    assert in_the_system(run.demo, build) == {}
    return found


def gone_with(run: Verification) -> None:
    """Delete the run that has ended: nothing that was made for it stays, but its EvidencePack."""
    run.demo.kubectl("delete", "verificationrun", run.name, "-n", run.namespace, "--wait", "--timeout=60s")
    run.until(lambda: not (run.jobs() or run.pods() or run.policies()), "an end of its Jobs and policies", seconds=60)
