"""A run's stages, played one by one through `sectum.pod.main` as Jobs' pods do, on the test's stores and mounts."""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from sectum import pod, records, verify
from sectum import run as one_run
from sectum.codec import parse, unb64
from sectum.container import from_zip
from sectum.keys.unsafe_local import UnsafeLocalKey
from sectum.manifest import Manifest
from sectum.pipeline import draw
from sectum.ports import Store
from sectum.scenario import Scenario
from sectum.secrets_dir import ReadSecret
from sectum.stores.s3 import S3Spec
from sectum.testing import MemoryStore

EVIDENCE: Mapping[str, Any] = {
    "signer": {"ecKey": {"secretRef": {"name": "sectum-signer-memory", "key": "private.pem"}}},
    "store": {"s3": {"bucket": "evidence", "secret": "sectum-store-evidence-test"}},
    "records": {"s3": {"bucket": "records", "secret": "sectum-store-records-test"}},
    "formats": [],
}
"""A scenario's `evidence` with the two stores that a cluster's runs need."""
SURFACE_STAGES = ("baseline", "plant", "probe", "clean")


@dataclass
class Ended:
    """How a pod's process ended."""

    status: int
    said: str
    """Its termination message."""

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.said)
        return found


@dataclass
class Pods:
    """One run, sealed and mounted; `play` starts a pod's process in this one."""

    scenario: Scenario
    secret: ReadSecret
    mounts: Path
    run: str
    manifest: Manifest
    packs: MemoryStore = field(default_factory=MemoryStore)
    work: MemoryStore = field(default_factory=MemoryStore)
    ended: list[tuple[str, Ended]] = field(default_factory=list)
    waited_for: list[tuple[str, int]] = field(default_factory=list)
    """What the pods needed to reach before they began."""

    def play(self, stage: str, surface: str = "", attempt: int = 1) -> Ended:
        """One pod; what leaves the process in another way than by its status comes out of here."""
        log = self.mounts / "termination-log"
        log.unlink(missing_ok=True)
        given = ["--surface", surface, "--attempt", str(attempt)] if surface else []
        status = pod.main([stage, "--run", self.run, *given])
        ended = Ended(status, log.read_text())
        self.ended.append((stage, ended))
        return ended

    async def wait(self, addresses: Iterable[tuple[str, int]]) -> None:
        """Nothing here has to be opened by a network plug-in."""
        self.waited_for += addresses

    def wave(self, stage: str, attempt: int = 1) -> None:
        """A stage on every surface, one after another; all have to end well."""
        for surface in self.scenario.spec.surfaces:
            assert self.play(stage, surface.name, attempt).status == 0, stage

    def whole(self, *, but: Callable[[str, str], bool] = lambda _stage, _surface: False) -> dict[str, Any]:
        """Every stage but those left out, then what the pack says."""
        assert self.play("open").status == 0
        for stage in SURFACE_STAGES:
            for surface in self.scenario.spec.surfaces:
                if not but(stage, surface.name):
                    assert self.play(stage, surface.name).status == 0, stage
        return self.assembled()

    def assembled(self) -> dict[str, Any]:
        """The pack's run.json, after assembling; it verifies with key, Open record and manifest."""
        ended = self.play("assemble")
        assert ended.status == 0, ended.said
        assert self.verified().verified, str(self.verified())
        run: dict[str, Any] = parse(from_zip(self.packs.objects[f"packs/{self.run}.zip"])["run.json"])
        assert ended.message["verdict"] == run["verdict"]
        return run

    def verified(self) -> verify.Checklist:
        """The checklist of the stored pack with everything that a verifier may hold; nothing may be open but 11, 12."""
        path = self.mounts / "pack.zip"
        path.write_bytes(self.packs.objects[f"packs/{self.run}.zip"])
        opened = next(data for name, data in sorted(self.packs.objects.items()) if name.startswith("series/"))
        wrapper = UnsafeLocalKey(self.secret("sectum-key-manifest", "key"))
        sealed = (self.packs.objects[f"manifests/{self.run}.sealed.json"], wrapper)
        told = verify.verify(path, key=self.public_pem, open_record=opened, manifest=sealed, allow_unanchored=True)
        open_ = {step.id for step in told.steps if step.mark == verify.Mark.OPEN}
        assert not told.verified or open_ == {"timestamp", "log"}, str(told)
        return told

    @property
    def public_pem(self) -> bytes:
        key = load_pem_private_key(self.secret("sectum-signer-memory", "private.pem"), None)
        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def recorded(self, stage: str, surface: str) -> list[records.Record]:
        """A surface's records of a stage, in order."""
        public = parse((self.mounts / "manifest" / "sealed.json").read_bytes())["header"]["publicKey"]
        folder = f"work/{self.run}/{stage}/{surface}/"
        found = [records.read_record(data, public) for name, data in self.work.objects.items() if folder in name]
        return sorted(found, key=lambda each: (each.attempt, each.number))


@contextmanager
def pods(scenario: Scenario, secret: ReadSecret, folder: Path, *, parsed: bool = False) -> Iterator[Pods]:
    """A prepared run in `folder`.

    Args:
        parsed: does the scenario come out of its own snapshot, or are its surfaces only in memory?
    """
    run = str(uuid.uuid4())
    key = scenario.spec.manifest.spec.wrapper(secret)
    manifest, _, sealed = draw(scenario, key, run_id=run)
    made = Pods(scenario, secret, folder, run, manifest)
    (folder / "manifest").mkdir()
    (folder / "manifest" / "sealed.json").write_bytes(sealed)
    _write_secrets(scenario, secret, folder / "secrets")
    handlers, level = logging.root.handlers[:], logging.root.level
    with pytest.MonkeyPatch.context() as patch:
        if not parsed:
            patch.setattr(pod, "parse", lambda _snapshot: scenario)
            patch.setattr(one_run, "parse_scenario", lambda _snapshot: scenario)
        stores = {"evidence": made.packs, "records": made.work}
        patch.setattr(S3Spec, "open", lambda spec, secret: _opened(spec, secret, stores))
        patch.setattr(pod, "measure", _shut)
        patch.setattr(pod, "opened", made.wait)
        patch.setenv("SECTUM_MOUNTS", str(folder))
        patch.setenv("SECTUM_CLOSED_WITHIN", "0")
        patch.setenv("SECTUM_TERMINATION_LOG", str(folder / "termination-log"))
        patch.setenv("SECTUM_POD_UID", str(uuid.uuid4()))
        patch.setenv("SECTUM_IMAGE", "registry.test/sectum-probes@sha256:" + "0" * 64)
        try:
            yield made
        finally:
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)


def _opened(spec: S3Spec, secret: ReadSecret, stores: Mapping[str, Store]) -> Store:
    if spec.secret is not None:
        secret(spec.secret, "accessKeyId")  # who may not use the store has no Secret for it
    return stores[spec.bucket]


async def _shut(_allowed: tuple[str, int]) -> dict[str, bool]:
    await asyncio.sleep(0)
    return {"allowed": True, "metadata": False, "apiServer": False}


def _write_secrets(scenario: Scenario, secret: ReadSecret, folder: Path) -> None:
    names = [("sectum-key-manifest", "key"), ("sectum-signer-memory", "private.pem")]
    names += [(f"sectum-store-{name}-test", "accessKeyId") for name in ("evidence", "records")]
    for surface in scenario.spec.surfaces:
        reference = surface.credentials.secret_ref
        names += [(reference.name, f"{who.tenant}.{who.user}") for who in scenario.principals]
    for name, key in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / key).write_bytes(secret(name, key))


def payload(data: bytes) -> dict[str, Any]:
    """What an envelope says."""
    said: dict[str, Any] = parse(unb64(parse(data)["payload"]))
    return said


def is_record(data: bytes) -> bool:
    """Is it a signed record, and no sealed intent or receipt?"""
    return data.startswith(b'{"payload"')
