"""The URI of a stored pack -> a reader of it and of what lies beside it, with the user's own credentials."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import boto3
import obstore
from botocore.exceptions import BotoCoreError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from sectum.container import MAX_BYTES, MAX_MEMBERS
from sectum.errors import NotStored, SectumError, UsageError
from sectum.store import status_of

MOST = MAX_BYTES + MAX_MEMBERS * 512
"""Bytes of the largest pack's zip."""
_FOLDER = "packs"
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGION = "us-east-1"


class CannotFetch(SectumError):
    """The store does not give it; never in the store's words."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stored object: `root` and `name` together are its key in the bucket, or its path."""

    bucket: str | None
    """None: a file."""
    root: str
    name: str


def place_of(uri: str) -> Place:
    """Where the pack is; raises CannotFetch for what this version cannot reach."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.query or parts.fragment or not path.strip("/") or ".." in path.split("/") or not path.isprintable():
        raise CannotFetch("the pack's URI is not of a shape that this version knows; `-o json` of packs shows it")
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Place(None, *_divided(path))
    if parts.scheme == "s3" and BUCKET.fullmatch(parts.netloc):
        return Place(parts.netloc, *_divided(path.lstrip("/")))
    raise CannotFetch("the pack is not at an s3:// or file:// URI; `kubectl sectum packs -o json` shows where")


def _divided(path: str) -> tuple[str, str]:
    """The store's root and the name in it, which begins with `packs/` where the operator wrote it."""
    root, found, name = path.rpartition(f"{_FOLDER}/")
    if found and (not root or root.endswith("/")):
        return root, f"{_FOLDER}/{name}"
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}", name


Read = Callable[[str], bytes]
"""A name below the place's root -> its bytes; raises NotStored, CannotFetch."""


def reader(place: Place, *, endpoint: str | None) -> Read:
    """Reads what lies under the place's root; raises UsageError for an endpoint that is none."""
    if place.bucket is None:
        return lambda name: _file(Path(place.root + name))
    store = bucket_of(place.bucket, endpoint)
    return lambda name: read_object(store, place.root + name)


def _file(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise NotStored(f"{path}: no such file; is it on this machine?")
        with path.open("rb") as stream:
            return bytes(_bounded(stream.read(MOST + 1)))
    except OSError as error:
        raise CannotFetch(f"{path}: cannot be read ({type(error).__name__})") from None


def _bounded(data: bytes | bytearray) -> bytes | bytearray:
    if len(data) > MOST:
        raise CannotFetch("it is larger than a pack may be")
    return data


def bucket_of(bucket: str, endpoint: str | None) -> S3Store:
    """With the region and credentials that AWS's tools would take: environment, profile, SSO, the machine's role.

    Raises UsageError for an endpoint that is none, CannotFetch where there are no credentials.
    """
    endpoint = endpoint or next(filter(None, map(os.environ.get, _ENDPOINTS)), None)
    if endpoint is not None and not re.fullmatch(r"https?://[^\s/?#@]+/?", endpoint):
        raise UsageError(
            "--endpoint (or AWS_ENDPOINT_URL) is a URL of a scheme and a host, as https://s3.example.com:9000"
        )
    session = boto3.Session()
    try:
        credentials = Boto3CredentialProvider(session)
    except (BotoCoreError, ValueError):
        raise CannotFetch(f"no credentials of AWS are found here; set {_CREDENTIALS}") from None
    try:
        return S3Store(
            bucket,
            config={
                "region": session.region_name or _REGION,
                "virtual_hosted_style_request": endpoint is None,
                **({"endpoint": endpoint.rstrip("/")} if endpoint else {}),
            },
            credential_provider=credentials,
            client_options={"allow_http": bool(endpoint and endpoint.startswith("http://")), "connect_timeout": "10s"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
        )
    except (BaseError, ValueError) as error:
        raise CannotFetch(f"the AWS settings of the environment do not fit ({type(error).__name__})") from None


def list_objects(store: S3Store, prefix: str) -> list[str]:
    """The keys under a prefix of whole segments, sorted; raises CannotFetch."""
    with _explained(prefix or "the bucket"):
        listed = [each["path"] for batch in obstore.list(store, prefix=prefix or None) for each in batch]
    within = f"{prefix.rstrip('/')}/" if prefix else ""  # S3's console makes objects for folders
    return sorted(key for key in listed if key.startswith(within))


def read_object(store: S3Store, key: str) -> bytes:
    """An object of at most `MOST` bytes; raises NotStored, CannotFetch."""
    with _explained(key):
        found = obstore.get(store, key)
        if found.meta["size"] > MOST:
            raise CannotFetch("it is larger than a pack may be")
        data = bytearray()
        for chunk in found.stream():
            data += chunk
            _bounded(data)
        return bytes(data)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """What obstore raises in our words."""
    try:
        yield
    except FileNotFoundError:
        raise NotStored(f"{what} is not in the bucket") from None
    except (BaseError, BotoCoreError, OSError, ValueError) as error:
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status_of(error) in (401, 403):
            raise CannotFetch(f"the bucket does not let you read {what}; set {_CREDENTIALS}") from None
        if status_of(error) == 404:
            raise CannotFetch(f"{what} cannot be read: there is no such bucket at this server") from None
        raise CannotFetch(
            f"{what} cannot be read ({type(error).__name__}); "
            f"check --endpoint, AWS_REGION, the network, and {_CREDENTIALS}"
        ) from None
