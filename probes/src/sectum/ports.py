"""What a plug-in file has to offer -> the types that `catalog` looks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sectum.actions import Action, AnswerKind, Impact, Principal, Session, Target, Verb
from sectum.fields import Strict


class Arm(StrEnum):
    """The four arms of a trial, in the order in which they run."""

    OWNER_BEFORE = "owner-before"
    FOREIGN = "foreign"
    DECOY = "decoy"
    OWNER_AFTER = "owner-after"

    @property
    def by_owner(self) -> bool:
        """Is the asker of this arm the marker's owner (the positive control)?"""
        return self in (Arm.OWNER_BEFORE, Arm.OWNER_AFTER)


@dataclass(frozen=True, slots=True)
class ArmView:
    """All that an attack knows while it plays one arm of one trial."""

    arm: Arm
    phrasing: str
    target: Target


AskPort = Callable[[Action], Awaitable[AnswerKind]]
"""The one way from an attack to a surface: does the action as the arm's asker and tells only the kind of answer."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack class.

    `needs` lists sets of verbs; a surface that has all of one of them can be attacked. `phrasings(verbs, claims)` gives
    the ids of the ways to ask on such a surface. `attempt` plays one arm; it sends no form of the target's marker.
    """

    name: str
    number: int
    summary: str
    confirms: str
    impact: Impact
    needs: tuple[frozenset[Verb], ...]
    phrasings: Callable[[frozenset[Verb], tuple[str, ...]], tuple[str, ...]]
    attempt: Callable[[ArmView, AskPort], Awaitable[None]]
    own_topic: bool = False
    """True where each marker's document needs a topic of its own; else every user has a document on the same topics."""
    sends_marker: bool = False
    """True where the attack must send a form of the marker: content findings are then off for its trials."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an answer may cost at most; beyond it the answer is cut and its kind says so."""

    bytes: int = 1 << 20
    depth: int = 64
    pages: int = 20
    seconds: float = 30.0


class AdapterSpec(Strict, ABC):
    """The scenario's data for one adapter, and the adapter itself."""

    @abstractmethod
    def verbs(self) -> frozenset[Verb]:
        """The verbs that this data makes possible."""

    @abstractmethod
    def claim_names(self) -> tuple[str, ...]:
        """Names of the tenant fields and headers that can be spoofed."""

    @abstractmethod
    def client_chooses_location(self) -> bool:
        """Does a Write use its `wanted` location?"""

    @abstractmethod
    def session(self, *, principal: Principal, credential: str, bounds: Bounds) -> AbstractAsyncContextManager[Session]:
        """One client of this principal; raises SurfaceFault when it cannot be opened."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One way to reach a surface; `spec` is its part of the scenario under `adapter.<name>`."""

    name: str
    summary: str
    spec: type[AdapterSpec]


class KeyWrapper(Protocol):
    """A key that the customer names and that never leaves its keeper."""

    reference: str
    """What stands in the sealed manifest's header and in the pack: names the key, is no secret."""

    def wrap(self, data_key: bytes, context: Mapping[str, str]) -> bytes:
        """Encrypt a data key of 32 bytes, bound to `context`."""
        ...

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The data key; raises SealBroken for another key, another context or changed bytes."""
        ...


class KeySpec(Strict, ABC):
    """The scenario's reference to a key, under `manifest.key.<name>`."""

    @abstractmethod
    def wrapper(self, secret: Callable[[str, str], bytes]) -> KeyWrapper:
        """Open the key; `secret(name, key)` reads a Secret."""


class Signer(Protocol):
    """A key that signs evidence."""

    keyid: str
    """Hex SHA-256 of the public key's SubjectPublicKeyInfo in DER."""

    def sign(self, data: bytes) -> bytes:
        """A signature over `data` (ECDSA P-256 with SHA-256, DER)."""
        ...


class SignerSpec(Strict, ABC):
    """The scenario's reference to a signer, under `evidence.signer.<name>`."""

    @abstractmethod
    def signer(self, secret: Callable[[str, str], bytes]) -> Signer:
        """Open the signer; `secret(name, key)` reads a Secret."""


@dataclass(frozen=True, slots=True)
class KeyBackend:
    """One kind of manifest key."""

    name: str
    summary: str
    spec: type[KeySpec]


@dataclass(frozen=True, slots=True)
class SignerBackend:
    """One kind of signer."""

    name: str
    summary: str
    spec: type[SignerSpec]
