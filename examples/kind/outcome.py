"""Two VerificationRuns -> their ends, and their packs out of the store, verified on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from credentials import BUILDS, RUNS, SERVERS, SIGNER
from installing import RELEASE_NAMESPACE
from machine import Cluster, DemoError, run

VERIFICATIONS = Path(__file__).resolve().parent / "40-runs.yaml"
RUN_SECONDS = 900
ENDED = {"Complete", "Failed"}

Run = dict[str, Any]


def verify_both(cluster: Cluster) -> dict[str, Run]:
    """Build -> its VerificationRun at its end."""
    cluster.kubectl("delete", "-f", str(VERIFICATIONS), "--ignore-not-found", "--wait", "--timeout=120s", seconds=150)
    cluster.apply(VERIFICATIONS)
    began, shown = time.monotonic(), dict.fromkeys(BUILDS, "")
    while True:
        found = {each["metadata"]["name"]: each for each in cluster.objects("verificationruns", "-n", RUNS)}
        if not found.keys() >= {f"{build}-demo" for build in BUILDS}:
            raise DemoError("a run is gone: somebody deleted it")
        runs = {build: found[f"{build}-demo"] for build in BUILDS}
        for build, each in runs.items():
            if (now := standing(each)) != shown[build]:
                shown[build] = now
                print(f"  {time.monotonic() - began:5.0f} s  {build:9} {now}", flush=True)
        if all(phase(each) in ENDED for each in runs.values()):
            return runs
        if time.monotonic() - began > RUN_SECONDS:
            raise DemoError(f"the runs have not ended within {RUN_SECONDS} s")
        time.sleep(1)


def phase(vrun: Run) -> str:
    return str(vrun.get("status", {}).get("phase", "Pending"))


def standing(vrun: Run) -> str:
    """One line on where a run is."""
    status = vrun.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    said = next(
        (conditions[kind] for kind in ("Complete", "Progressing", "Accepted") if kind in conditions),
        {"reason": "", "message": ""},
    )
    return "  ".join(
        word for word in (phase(vrun), status.get("verdict", ""), said["reason"], said.get("message", "")) if word
    )


def leave_traces(cluster: Cluster) -> str:
    """Put what helps to find a fault into a folder; returns where."""
    folder = cluster.folder / "traces"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked = {
        "runs.yaml": ("get", "verificationruns", "-n", RUNS, "-o", "yaml"),
        "pods.txt": ("get", "jobs,pods", "-n", RUNS, "-o", "wide"),
        "events.txt": ("get", "events", "-n", RUNS),
        "operator.log": ("logs", "-n", RELEASE_NAMESPACE, "deployment/sectum-operator", "--tail=400"),
        "operator.txt": ("describe", "pods", "-n", RELEASE_NAMESPACE),
        "stages.log": ("logs", "-n", RUNS, "-l", "app.kubernetes.io/name=sectum", "--tail=100", "--prefix"),
    }
    for name, question in asked.items():
        with contextlib.suppress(DemoError):
            (folder / name).write_text(cluster.kubectl(*question))
    return f"what is known is in {os.path.relpath(folder)}/"


def fetch_and_verify(cluster: Cluster, runs: dict[str, Run]) -> bool:
    """Each run's pack, out of the store and checked on this machine, without the cluster."""
    packs = {
        each["spec"]["runRef"]["uid"]: each["metadata"]["name"] for each in cluster.objects("evidencepacks", "-n", RUNS)
    }
    shutil.rmtree(cluster.folder / "packs", ignore_errors=True)
    good = True
    with cluster.forwarded(SERVERS, "s3", 9000) as port:
        for build, vrun in runs.items():
            name = packs.get(vrun["metadata"]["uid"])
            if name is None:
                print(f"  {build}: no pack; {standing(vrun)}")
                good = False
                continue
            fetch(cluster, name, port)
            good &= verified(cluster, name)
    return good


def fetch(cluster: Cluster, pack: str, port: int) -> None:
    """`kubectl sectum fetch`, with the credentials of the evidence bucket."""
    keys = {
        key: (cluster.folder / "secrets" / f"s3-evidence.{key}").read_text()
        for key in ("accessKeyId", "secretAccessKey")
    }
    aws = {"AWS_ACCESS_KEY_ID": keys["accessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["secretAccessKey"]}
    command = [str(Path(sys.executable).with_name("kubectl-sectum")), "fetch", pack, "--namespace", RUNS]
    command += ["--endpoint", f"http://127.0.0.1:{port}", "--out", str(cluster.folder / "packs")]
    run(*command, env={**cluster.environment, **aws})


def verified(cluster: Cluster, pack: str) -> bool:
    """`sectum verify` by the signer's public key."""
    stem = cluster.folder / "packs" / pack
    command = ["verify", f"{stem}.zip", "--key", str(cluster.folder / "secrets" / SIGNER / "private.pem.pub")]
    command += ["--open", f"{stem}.open.json", "--allow-unanchored"]
    shown = " ".join(os.path.relpath(word) if word.startswith(str(cluster.folder)) else word for word in command)
    print(f"\n$ sectum {shown}", flush=True)
    return subprocess.run([sys.executable, "-m", "sectum", *command], check=False, timeout=300).returncode == 0
