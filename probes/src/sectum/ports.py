"""What a plug-in file has to offer -> the types that `catalog` looks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sectum.actions import Action, AnswerKind, Impact, Principal, Session, Target, Verb
from sectum.errors import SecretMissing
from sectum.fields import Egress, SecretRef, Strict


class Arm(StrEnum):
    """The arms of a trial, in the order in which they run; `baseline` only where the attack wants one."""

    BASELINE = "baseline"
    """The foreign arm before anything is planted."""
    OWNER_BEFORE = "owner-before"
    FOREIGN = "foreign"
    DECOY = "decoy"
    OWNER_AFTER = "owner-after"

    @property
    def by_owner(self) -> bool:
        """Is the asker of this arm the marker's owner (the positive control)?"""
        return self in (Arm.OWNER_BEFORE, Arm.OWNER_AFTER)


def arms_of(*, baseline: bool) -> tuple[Arm, ...]:
    """The arms of a trial, in order."""
    return tuple(arm for arm in Arm if baseline or arm != Arm.BASELINE)


@dataclass(frozen=True, slots=True)
class ArmView:
    """All that an attack knows while it plays one arm of one trial."""

    arm: Arm
    phrasing: str
    target: Target
    slot: str
    """The trial's id: with the arm's name, what tells this request from all others."""


AskPort = Callable[[Action], Awaitable[AnswerKind]]
"""The one way from an attack to a surface: does the action as the arm's asker and tells only the kind of answer."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a surface offers to an attack: its verbs, and the names of its spoofed fields and forged tokens."""

    verbs: frozenset[Verb]
    claims: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()


def _none_later(_phrasing: str) -> bool:
    return False


def _none_extra(_phrasing: str) -> int:
    return 0


def _no_control(_offer: Offer) -> AnswerKind | None:
    return None


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack class.

    `needs` lists sets of verbs; a surface that has all of one of them can be attacked. `phrasings(offer)` gives the ids
    of the ways to ask on such a surface. `attempt` plays one arm; it sends no form of the target's marker.
    """

    name: str
    number: int
    summary: str
    confirms: str
    impact: Impact
    needs: tuple[frozenset[Verb], ...]
    phrasings: Callable[[Offer], tuple[str, ...]]
    attempt: Callable[[ArmView, AskPort], Awaitable[None]]
    own_topic: bool = False
    """True where each marker's document needs a topic of its own; else every user has a document on the same topics."""
    lures: bool = False
    """True where the planted documents are to be found by others' questions, in words that only this run uses."""
    baseline: bool = False
    """True where the foreign arm is played once before planting too: the effect is a difference."""
    control: Callable[[Offer], AnswerKind | None] = _no_control
    """The kind of answer by which the owner's last arm shows that what is attacked is at work; None: nothing tells."""
    later: Callable[[str], bool] = _none_later
    """Phrasings that are asked only once the surface has had its `settleSeconds` since planting, after all others."""
    extra_requests: Callable[[str], int] = _none_extra
    """Requests that a trial of this phrasing makes beyond one for each of its arms."""
    sends_marker: bool = False
    """True where the attack must send a form of the marker: content findings are then off for its trials."""


def _no_secret(name: str, key: str) -> bytes:
    raise SecretMissing(f"secretRef {name}/{key}", "no Secret can be read here")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an answer may cost at most; beyond it the answer is cut and its kind says so."""

    bytes: int = 1 << 20
    depth: int = 64
    pages: int = 20
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Access:
    """What an adapter opens one principal's client with.

    `secret(name, key)` reads a Secret, and raises SecretMissing.
    """

    principal: Principal
    credential: str = field(repr=False)
    bounds: Bounds = Bounds()
    secret: Callable[[str, str], bytes] = field(default=_no_secret, repr=False)


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

    def token_names(self) -> tuple[str, ...]:
        """Names of the forged tokens that can be presented."""
        return ()

    def secret_refs(self) -> tuple[SecretRef, ...]:
        """Secrets that it needs beside the principals' credentials."""
        return ()

    def offer(self) -> Offer:
        """What an attack may make use of."""
        return Offer(self.verbs(), self.claim_names(), self.token_names())

    @abstractmethod
    def session(self, access: Access) -> AbstractAsyncContextManager[Session]:
        """One client of a principal; raises SurfaceFault when it cannot be opened."""


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
        """Open the key; `secret(name, key)` reads a Secret, at once or when the key is used."""

    def wrap_secrets(self) -> tuple[str, ...]:
        """Names of the Secrets that only wrapping needs; for the cluster."""
        return ()

    def unwrap_secrets(self) -> tuple[str, ...]:
        """Names of the Secrets that only unwrapping needs; for the cluster."""
        return ()

    def destinations(self) -> tuple[Egress, ...]:
        """Where the key's keeper is reached."""
        return ()

    def address(self) -> tuple[str, int] | None:
        """Host and port of the key's keeper, if it has one."""
        return None

    def local_only(self) -> bool:
        """Is it of no use in a cluster, where those who wrap and those who unwrap are not the same?"""
        return False


class Signer(Protocol):
    """A key that signs evidence."""

    keyid: str
    """Hex SHA-256 of the public key's SubjectPublicKeyInfo in DER."""
    public_pem: bytes
    """The public key in PEM."""

    def sign(self, data: bytes) -> bytes:
        """A signature over `data` (ECDSA P-256 with SHA-256, DER)."""
        ...


class SignerSpec(Strict, ABC):
    """The scenario's reference to a signer, under `evidence.signer.<name>`."""

    @abstractmethod
    def signer(self, secret: Callable[[str, str], bytes]) -> Signer:
        """Open the signer; `secret(name, key)` reads a Secret."""

    def secrets(self) -> tuple[str, ...]:
        """Names of the Secrets that it needs."""
        return ()

    def destinations(self) -> tuple[Egress, ...]:
        """Where the key's keeper is reached."""
        return ()


class Store(Protocol):
    """Create-only objects under names with `/` in them."""

    async def create(self, name: str, data: bytes) -> str:
        """Write a new object, read it back and return its hex SHA-256; raises AlreadyStored, StoreFault."""
        ...

    async def read(self, name: str) -> bytes:
        """The object's bytes; raises NotStored, StoreFault."""
        ...

    async def names(self, prefix: str) -> list[str]:
        """The names under a prefix of whole segments, for example `series/`, sorted; none is an empty list."""
        ...


class StoreSpec(Strict, ABC):
    """The scenario's reference to an object store, under `evidence.store.<name>`."""

    @abstractmethod
    def open(self, secret: Callable[[str, str], bytes]) -> Store:
        """Open the store; `secret(name, key)` reads a Secret. Raises ScenarioError."""

    @abstractmethod
    def uri(self, name: str) -> str:
        """Where an object of that name is."""

    @abstractmethod
    def address(self) -> tuple[str, int]:
        """Host and port of its server."""

    def secrets(self) -> tuple[str, ...]:
        """Names of the Secrets that it needs."""
        return ()

    def destinations(self) -> tuple[Egress, ...]:
        """Where it is reached."""
        return ()


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


@dataclass(frozen=True, slots=True)
class StoreBackend:
    """One kind of object store."""

    name: str
    summary: str
    spec: type[StoreSpec]
