"""Plan -> Manifest: markers drawn from a CSPRNG, committed to, and sealed under the customer's key."""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sectum import merkle, topics
from sectum.actions import Principal
from sectum.codec import NotCanonical, b64, canonical, parse, sha256, unb64
from sectum.errors import NotVerified, ScenarioError, SealBroken
from sectum.markers import Kind, draw
from sectum.plan import MarkerSpec, Plan
from sectum.ports import KeyWrapper

_SALT = 32
_NONCE = 12
_HASH_DOMAIN = b"sectum manifest v1\x00"
MAX_BYTES = 900 * 1024
"""A sealed manifest must fit into a Secret."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A drawn marker: what it is, whose it is, and where and about what its document will be."""

    spec: MarkerSpec
    plaintext: str = field(repr=False)
    salt: bytes = field(repr=False)
    topic: str
    wanted: str = field(repr=False)
    """Location to ask for, where the surface lets the client choose; for a decoy, a location that never existed."""

    @property
    def id(self) -> str:
        """The marker's name."""
        return self.spec.id

    lure: bool = False
    """Is its document made to be found by others' questions?"""

    def document(self) -> str:
        """The text that is planted: reads as a business note and says its topic and the marker.

        A lure says it as the questions do that are to find it.
        """
        note = f"Notes on the {self.topic}: the reference for the {self.topic} is {self.plaintext}."
        return (
            f"What is the reference for the {self.topic}? Which notes are on the {self.topic}? {note}"
            if self.lure
            else note
        )

    def leaf(self) -> bytes:
        """SHA-256(0x00 ‖ salt ‖ canonical [id, kind, owner, plaintext])."""
        body = [self.id, str(self.spec.kind), str(self.spec.owner), self.plaintext]
        return merkle.leaf(self.salt + canonical(body))

    def commitment(self) -> str:
        """The leaf in hex: what the pack shows of a marker."""
        return self.leaf().hex()


@dataclass(frozen=True, slots=True)
class Manifest:
    """All secrets of one run. Exists in memory and sealed, nowhere else."""

    run: str
    salt: bytes = field(repr=False)
    run_key: Ed25519PrivateKey = field(repr=False)
    markers: tuple[Marker, ...] = field(repr=False)
    decoys: tuple[Marker, ...] = field(repr=False)

    def root(self) -> str:
        """Merkle root (hex) over markers, then decoys, in order."""
        return merkle.root([marker.leaf() for marker in self.markers + self.decoys]).hex()

    def salted_hash(self) -> str:
        """SHA-256(domain ‖ salt ‖ canonical plaintext) in hex: the same however the manifest is wrapped."""
        return sha256(_HASH_DOMAIN + self.salt + self.plaintext())

    def public_key(self) -> str:
        """The run's Ed25519 public key, base64 of its 32 bytes: stage records are signed with its other half."""
        return b64(self.run_key.public_key().public_bytes_raw())

    def plaintext(self) -> bytes:
        """The canonical plaintext."""
        return canonical(
            {
                "run": self.run,
                "runKey": b64(self.run_key.private_bytes_raw()),
                "markers": [_marker_out(marker) for marker in self.markers],
                "decoys": [_marker_out(marker) for marker in self.decoys],
            }
        )


def draw_manifest(
    plan: Plan, *, run: str, below: Callable[[int], int], random_bytes: Callable[[int], bytes] = os.urandom
) -> Manifest:
    """Draw every marker and decoy of the plan; `below` and `random_bytes` are CSPRNGs."""
    specs = plan.markers + plan.decoys
    keys = [plan.topic_key(spec) for spec in specs]
    topic_of: dict[str, str] = {}
    for lures, draw_topics in ((False, topics.draw), (True, topics.draw_made_up)):
        distinct = list(
            dict.fromkeys(key for spec, key in zip(specs, keys, strict=True) if (spec.surface in plan.lures) == lures)
        )
        topic_of |= zip(distinct, draw_topics(len(distinct), below=below), strict=True)

    def marker(spec: MarkerSpec, key: str) -> Marker:
        location = str(uuid.UUID(bytes=random_bytes(16), version=4))
        return Marker(
            spec, draw(spec.kind, below=below), random_bytes(_SALT), topic_of[key], location, spec.surface in plan.lures
        )

    drawn = tuple(marker(spec, key) for spec, key in zip(specs, keys, strict=True))
    return Manifest(
        run=run,
        salt=random_bytes(_SALT),
        run_key=Ed25519PrivateKey.from_private_bytes(random_bytes(32)),
        markers=drawn[: len(plan.markers)],
        decoys=drawn[len(plan.markers) :],
    )


def seal(manifest: Manifest, *, data_key: bytes, key: KeyWrapper, header: Mapping[str, Any]) -> bytes:
    """Canonical JSON of the sealed manifest: a clear header, bound as associated data, and AES-256-GCM over the rest.

    Raises ScenarioError when it would not fit into a Secret (900 KiB).
    """
    clear = {**header, "run": manifest.run, "key": key.reference, "publicKey": manifest.public_key()}
    leaves = b"".join(marker.leaf() for marker in manifest.markers + manifest.decoys)
    clear |= {"root": manifest.root(), "hash": manifest.salted_hash(), "leaves": b64(leaves)}
    nonce = os.urandom(_NONCE)
    secret = manifest.salt + zlib.compress(manifest.plaintext(), 9)
    sealed = canonical(
        {
            "header": clear,
            "wrappedKey": b64(key.wrap(data_key, {"run": manifest.run})),
            "nonce": b64(nonce),
            "ciphertext": b64(AESGCM(data_key).encrypt(nonce, secret, canonical(clear))),
        }
    )
    if len(sealed) > MAX_BYTES:
        raise ScenarioError("spec.trials", "the manifest would not fit into a Secret", "plant or try less")
    return sealed


def header(sealed: bytes) -> dict[str, Any]:
    """The clear header; it is authenticated only once `unseal` has opened the rest."""
    clear: dict[str, Any] = parse(sealed)["header"]
    return clear


def unseal(sealed: bytes, key: KeyWrapper) -> tuple[Manifest, bytes]:
    """The manifest and its data key; raises SealBroken for another key, changed bytes or a header that disagrees."""
    try:
        box = parse(sealed)
        clear = box["header"]
        data_key = key.unwrap(unb64(box["wrappedKey"]), {"run": clear["run"]})
        secret = AESGCM(data_key).decrypt(unb64(box["nonce"]), unb64(box["ciphertext"]), canonical(clear))
    except (InvalidTag, KeyError, TypeError, ValueError, NotCanonical):
        raise SealBroken("the sealed manifest does not open: another key or changed bytes") from None
    manifest = _parsed(secret)
    if (manifest.root(), manifest.salted_hash(), manifest.run) != (clear["root"], clear["hash"], clear["run"]):
        raise SealBroken("the sealed manifest's header does not fit its content")
    return manifest, data_key


def _parsed(secret: bytes) -> Manifest:
    body = parse(zlib.decompress(secret[_SALT:]))
    return Manifest(
        run=body["run"],
        salt=secret[:_SALT],
        run_key=Ed25519PrivateKey.from_private_bytes(unb64(body["runKey"])),
        markers=tuple(_marker_in(each) for each in body["markers"]),
        decoys=tuple(_marker_in(each) for each in body["decoys"]),
    )


def _marker_out(marker: Marker) -> dict[str, Any]:
    spec = marker.spec
    return {
        "surface": spec.surface,
        "owner": [spec.owner.tenant, spec.owner.user],
        "kind": str(spec.kind),
        "index": spec.index,
        "plaintext": marker.plaintext,
        "salt": b64(marker.salt),
        "topic": marker.topic,
        "wanted": marker.wanted,
        "lure": marker.lure,
    }


def _marker_in(body: Mapping[str, Any]) -> Marker:
    spec = MarkerSpec(body["surface"], Principal(*body["owner"]), Kind(body["kind"]), body["index"])
    salt = unb64(body["salt"])
    return Marker(spec, body["plaintext"], salt, body["topic"], body["wanted"], body["lure"])


class Sealer:
    """Seals intents and receipts of one surface and attempt; key derived from the data key (HKDF-SHA-256)."""

    def __init__(self, data_key: bytes, *, run: str, surface: str, attempt: int) -> None:
        self._bound = canonical([run, surface, attempt])
        info = b"sectum intents and receipts\x00" + self._bound
        self._cipher = AESGCM(HKDF(hashes.SHA256(), 32, None, info).derive(data_key))

    def seal(self, value: Any) -> bytes:
        """Nonce ‖ ciphertext over the canonical form."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, canonical(value), self._bound)

    def unseal(self, sealed: bytes) -> Any:
        """The value; raises SealBroken."""
        try:
            return parse(self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound))
        except (InvalidTag, ValueError, NotCanonical):
            raise SealBroken("a sealed intent or receipt does not open: another run or changed bytes") from None


def belongs(sealed: bytes, key: KeyWrapper, *, root: str, salted_hash: str) -> Manifest:
    """The manifest, if it is the one that a pack was made with; raises NotVerified."""
    manifest, _ = unseal(sealed, key)
    if (manifest.root(), manifest.salted_hash()) != (root, salted_hash):
        raise NotVerified("the manifest opens, but is another run's: its root or salted hash differs from the pack's")
    return manifest
