"""Turn a TOML file and `--set` overrides into frozen settings; an unknown or ill-typed setting is refused."""

import dataclasses
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

NAME = re.compile(r"[a-z][a-z0-9]{2,23}")


class ConfigError(Exception):
    """The configuration cannot be used; the message names the setting."""


@dataclasses.dataclass(frozen=True)
class Security:
    row_level_security: bool
    rls_per_user: bool
    object_owner_check: bool
    batch_owner_check: bool
    list_per_user: bool
    tenant_from_token: bool
    owner_filter_checked: bool
    search_per_user: bool
    retrieval_per_user: bool
    retrieval_per_tenant: bool
    cache_per_tenant: bool
    cache_per_user: bool
    memory_namespace_exact: bool
    thread_bound_to_user: bool
    summary_per_user: bool
    notes_by_user: bool
    note_owner_check: bool
    ingest_queue_per_tenant: bool
    tools_token_verified: bool
    tools_exchange_token: bool
    tools_tenant_from_token: bool
    tools_session_bound: bool
    tools_replies_per_session: bool
    vectors_database_checked: bool
    vectors_collection_per_user: bool


@dataclasses.dataclass(frozen=True)
class Retrieval:
    passages: int
    relevance: float


@dataclasses.dataclass(frozen=True)
class CacheSettings:
    similarity: float
    entries: int


@dataclasses.dataclass(frozen=True)
class MemorySettings:
    consolidate_seconds: float


@dataclasses.dataclass(frozen=True)
class Tokens:
    issuer: str
    audience: str
    tools_audience: str
    lifetime_seconds: int


@dataclasses.dataclass(frozen=True)
class Limits:
    body_bytes: int
    title_characters: int
    question_characters: int
    page: int
    batch: int
    search: int
    vectors_bytes: int


@dataclasses.dataclass(frozen=True)
class SlipSettings:
    customer: str
    redirect: bool
    item: bool


@dataclasses.dataclass(frozen=True)
class Account:
    """One user of one tenant; `role` is the user's own database role."""

    tenant: str
    user: str

    @property
    def role(self) -> str:
        return f"{self.tenant}_{self.user}"


@dataclasses.dataclass(frozen=True)
class Settings:
    accounts: tuple[Account, ...]
    security: Security
    retrieval: Retrieval
    cache: CacheSettings
    memory: MemorySettings
    tokens: Tokens
    limits: Limits
    slips: SlipSettings


def load_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read `path`, apply overrides of the form `section.name=value` (a TOML value), check everything."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        _apply(document, override)
    unknown = sorted(document.keys() - {field.name for field in dataclasses.fields(Settings)})
    if unknown:
        raise ConfigError(f"unknown section [{unknown[0]}]")
    return Settings(
        accounts=_accounts(_section(document, "accounts")),
        security=_parse(Security, "security", document),
        retrieval=_parse(Retrieval, "retrieval", document),
        cache=_parse(CacheSettings, "cache", document),
        memory=_parse(MemorySettings, "memory", document),
        tokens=_parse(Tokens, "tokens", document),
        limits=_parse(Limits, "limits", document),
        slips=_parse(SlipSettings, "slips", document),
    )


def _apply(document: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (equals and dot and name):
        raise ConfigError(f"--set wants section.name=value, not {override!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    document.setdefault(section, {})[name] = parsed


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = document.get(name)
    if not isinstance(section, dict):
        raise ConfigError(f"section [{name}] is missing")
    return section


def _accounts(section: Mapping[str, Any]) -> tuple[Account, ...]:
    accounts = []
    for tenant, users in section.items():
        if not isinstance(users, list) or not users:
            raise ConfigError(f"accounts.{tenant} must be a list of user names")
        for user in users:
            # Names become database roles, directory names, and Chroma's tenants and databases.
            if not (NAME.fullmatch(tenant) and isinstance(user, str) and NAME.fullmatch(user)):
                raise ConfigError(f"accounts.{tenant}: names are 3 to 24 lower-case letters and digits, not {user!r}")
            accounts.append(Account(tenant, user))
    if not accounts:
        raise ConfigError("section [accounts] is empty")
    return tuple(accounts)


Section = TypeVar("Section", Security, Retrieval, CacheSettings, MemorySettings, Tokens, Limits, SlipSettings)


def _parse(kind: type[Section], name: str, document: Mapping[str, Any]) -> Section:
    section = _section(document, name)
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    for key, value in section.items():
        if key not in types:
            raise ConfigError(f"unknown setting {name}.{key}")
        if type(value) is not types[key]:
            raise ConfigError(f"{name}.{key} must be {getattr(types[key], '__name__', types[key])}, not {value!r}")
    missing = sorted(types.keys() - section.keys())
    if missing:
        raise ConfigError(f"setting {name}.{missing[0]} is missing")
    return kind(**section)
