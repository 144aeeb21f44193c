"""Decide, from who asks and the security settings, which documents and which cache a request may touch."""

from dataclasses import dataclass
from pathlib import PurePath

from assistant.config import Security


@dataclass(frozen=True)
class Identity:
    """The user on whose behalf a request runs."""

    tenant: str
    user: str


@dataclass(frozen=True)
class Scope:
    """A part of the documents; None means any tenant, or any owner."""

    tenant: str | None
    owner: str | None


EVERYTHING = Scope(None, None)


def own(identity: Identity) -> Scope:
    return Scope(identity.tenant, identity.user)


def object_scope(identity: Identity, security: Security) -> Scope:
    return own(identity) if security.object_owner_check else EVERYTHING


def batch_scope(identity: Identity, security: Security) -> Scope:
    return own(identity) if security.batch_owner_check else EVERYTHING


def search_scope(identity: Identity, security: Security) -> Scope:
    return own(identity) if security.search_per_user else EVERYTHING


def retrieval_scope(identity: Identity, security: Security) -> Scope:
    if not security.retrieval_per_tenant:
        return EVERYTHING
    return own(identity) if security.retrieval_per_user else Scope(identity.tenant, None)


def list_scope(identity: Identity, security: Security, owner: str | None) -> Scope | None:
    """Return what a list shows; `owner` is "user" or "tenant/user". None: nothing at all."""
    visible = own(identity) if security.list_per_user else Scope(identity.tenant, None)
    if owner is None:
        return visible
    tenant, _, user = owner.rpartition("/")
    wanted = Scope(tenant or identity.tenant, user)
    if not security.owner_filter_checked:
        return wanted
    within = wanted.tenant == visible.tenant and visible.owner in (None, wanted.owner)
    return wanted if within else None


def note_scope(identity: Identity, security: Security, *, tenant: str | None, user: str | None) -> Scope | None:
    """Return the notes that a tool reads where its caller names whose; another tenant alone is all its users.

    None: not allowed.
    """
    at_home = tenant in (None, identity.tenant)
    wanted = Scope(identity.tenant, user or identity.user) if at_home else Scope(tenant, user)
    if security.tools_tenant_from_token and wanted != own(identity):
        return None
    return wanted


def cache_space(identity: Identity, security: Security) -> PurePath:
    """Return the directory, relative to the caches', that holds the answers this request may be given again."""
    if not security.cache_per_tenant:
        return PurePath("shared")
    return PurePath(identity.tenant, identity.user if security.cache_per_user else "shared")
