"""An installation and a run's name -> how the run ended, and what is to be true of every run that has."""

from __future__ import annotations

import io
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sectum.codec import sha256
from sectum.verify import verify
from sectum_operator.stages import RUN_UID

from tests.operator.installation import Installation

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over, as its user sees it."""

    run: Json
    pack: Json
    """Its EvidencePack."""

    @property
    def verdict(self) -> str:
        """The run's."""
        return str(self.run["status"].get("verdict"))


def start(here: Installation, name: str, **spec: Any) -> Json:
    """Create a VerificationRun of the scenario of the same name."""
    document = {
        "apiVersion": "sectum.ai/v1alpha1",
        "kind": "VerificationRun",
        "metadata": {"name": name},
        "spec": {"scenarioRef": {"name": name}, **spec},
    }
    return here.create("verificationruns", document)


def condition(run: Json, kind: str) -> tuple[str, str]:
    """Status and reason of one of its conditions."""
    found = [each for each in run.get("status", {}).get("conditions") or () if each["type"] == kind]
    return (found[0]["status"], found[0]["reason"]) if found else ("", "")


def until_complete(here: Installation, name: str, *, seconds: float = 120) -> Json:
    """The run, once it is over and holds up nobody."""
    deadline = time.monotonic() + seconds
    while True:
        run = here.get("verificationruns", name)
        assert run is not None
        if condition(run, "Complete")[0] == "True" and not run["metadata"].get("finalizers"):
            return run
        assert time.monotonic() < deadline, f"no end: {run.get('status')}\n{here.node.logs()}"
        time.sleep(0.1)


def checked(here: Installation, run: Json, folder: Path) -> Ended:
    """The run's one pack: stored once, named once, what its digest says, and verified as an auditor would."""
    name, uid = run["metadata"]["name"], run["metadata"]["uid"]
    packs = [each for each in here.list("evidencepacks") if each["spec"]["runRef"]["uid"] == uid]
    zips = {file: data for file, data in here.stored(f"evidence-{name}").items() if file.endswith(".zip")}
    assert len(packs) == 1, packs
    assert len(zips) == 1, list(zips)
    [(file, data)] = zips.items()
    with zipfile.ZipFile(io.BytesIO(data)) as members:
        digests = {"pack": sha256(data), "run": sha256(members.read("run.json"))}
    assert packs[0]["spec"]["digests"] == digests
    assert run["status"]["pack"]["sha256"] == digests["pack"]
    assert packs[0]["spec"]["uri"].endswith(file)
    path = folder / f"{name}.zip"
    path.write_bytes(data)
    opened = next(iter(here.stored(f"evidence-{name}", "series/").values()))
    checklist = verify(path, key=here.signer.public_pem, open_record=opened, allow_unanchored=True)
    assert checklist.verified, str(checklist)
    assert checklist.verdict == run["status"]["verdict"] == condition(run, "Complete")[1]
    return Ended(run, packs[0])


def children(here: Installation, run: Json) -> dict[str, list[str]]:
    """Names of all that was made for a run, by kind; each must name the run as its owner, or its Job."""
    uid, found = run["metadata"]["uid"], {}
    for kind in ("jobs", "pods", "networkpolicies", "secrets"):
        mine = [each for each in here.list(kind) if _of(each, uid)]
        for each in mine:
            owners = {owner["kind"] for owner in each["metadata"].get("ownerReferences") or ()}
            assert owners == ({"Job"} if kind == "pods" else {"VerificationRun"}), each["metadata"]
        found[kind] = sorted(each["metadata"]["name"] for each in mine)
    return found


def _of(document: Json, uid: str) -> bool:
    metadata = document["metadata"]
    owners = [each["uid"] for each in metadata.get("ownerReferences") or ()]
    return (metadata.get("labels") or {}).get(RUN_UID) == uid or uid in owners


def delete(here: Installation, run: Json) -> None:
    """Delete the run and wait until nothing is left of it but its evidence."""
    answer = here.plane.client.delete(here.path("verificationruns", run["metadata"]["name"]))
    answer.raise_for_status()
    deadline = time.monotonic() + 40
    while any(left := children(here, run).values()) or here.get("verificationruns", run["metadata"]["name"]):
        assert time.monotonic() < deadline, f"orphans: {left}"
        time.sleep(0.2)
