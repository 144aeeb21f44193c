"""A Secret with AWS's credentials, or workload identity -> a botocore session: quick to fail, silent, of one mind.

Of one mind: with a Secret nothing else counts, no profile, no ~/.aws, no session token that lies in the environment.
Silent: at DEBUG botocore logs whole requests and answers, with the data key that is wrapped in them and the session
token, at WARNING a token service's refusal with the role's ARN; what matters of it is raised anyway.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from sectum.errors import SecretMissing

Region = Annotated[str, Field(max_length=40, pattern=r"^[a-z0-9-]+$")]
Endpoint = Annotated[str, Field(max_length=512, pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$")]
"""Scheme, host and port of a server that speaks AWS's protocol."""

CONNECT_SECONDS = 5
_READ_SECONDS = 10
_ATTEMPTS = 3
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_NEVER = logging.CRITICAL + 1
_REFRESH = timedelta(minutes=5)


class NoCredentials(Exception):
    """Neither a Secret nor the environment has any; the store knows it by its name, so it says nothing else."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def credentials(secret: Callable[[str, str], bytes], name: str | None) -> Credentials | None:
    """The keys accessKeyId, secretAccessKey and, if it is there, sessionToken of the Secret; raises SecretMissing."""
    if name is None:
        return None
    try:
        token = secret(name, "sessionToken")
    except SecretMissing:
        token = b""
    return Credentials(
        _line(name, "accessKeyId", secret(name, "accessKeyId")),
        _line(name, "secretAccessKey", secret(name, "secretAccessKey")),
        _line(name, "sessionToken", token) if token.strip() else None,
    )


def _line(name: str, key: str, value: bytes) -> str:
    """One line of ASCII: http.client shows the header that it refuses for a line break or worse in it."""
    text = value.decode("latin-1").strip()
    if not _PRINTABLE.fullmatch(text):
        raise SecretMissing(f"secretRef {name}/{key}", "is empty, or not one line of ASCII", "put AWS's value there")
    return text


def session(found: Credentials | None) -> Any:
    """A botocore session with these credentials; None: workload identity, as botocore finds it."""
    import botocore.session  # with a client it takes a third of a second
    from botocore.config import Config
    from botocore.loaders import Loader

    _silence()
    if found is None:
        made = botocore.session.Session()
    else:
        nowhere = {"config_file": os.devnull, "credentials_file": os.devnull, "profile": None}
        made = botocore.session.Session({name: (None, None, value, None) for name, value in nowhere.items()})
        shipped = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
        made.register_component("data_loader", shipped)
        made.set_credentials(found.access_key_id, found.secret_access_key, found.session_token)
    made.set_default_client_config(
        Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            ignore_configured_endpoint_urls=True,  # a scenario says where its key is, no environment
        )
    )
    return made


def source(found: Credentials | None) -> Callable[[], Any]:
    """What obstore asks for credentials, which it would else complete out of the environment.

    It raises NoCredentials, or botocore's error when their source failed; both in obstore's wrapping.
    """
    if found is not None:
        fixed = {"access_key_id": found.access_key_id, "secret_access_key": found.secret_access_key}
        return lambda: {**fixed, "token": found.session_token, "expires_at": None}
    kept: list[Any] = []

    def ask() -> Any:
        if not kept and (chain := session(None).get_credentials()):
            kept.append(chain)  # renews itself
        if not kept:
            raise NoCredentials
        now = kept[0].get_frozen_credentials()
        expires = datetime.now(UTC) + _REFRESH
        return {"access_key_id": now.access_key, "secret_access_key": now.secret_key, "token": now.token,
                "expires_at": expires}  # fmt: skip

    return ask


def _silence() -> None:
    """Also of loggers that somebody has set to a level of their own."""
    for name in ("botocore", *(each for each in logging.root.manager.loggerDict if each.startswith("botocore."))):
        logging.getLogger(name).setLevel(_NEVER)
