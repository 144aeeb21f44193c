"""The URI of a store on the command line -> what lies in it, read with the user's own credentials."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from obstore.store import S3Store

from sectum.archive import Shelf
from sectum.cli.cluster_place import BUCKET, bucket_of, list_objects, read_object
from sectum.errors import UsageError
from sectum.store import local_store

_PREFIX = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9_.-]*(/|$))*")


@dataclass(frozen=True, slots=True)
class _Bucket:
    """A Shelf: a bucket, below a prefix that is empty or ends with a slash."""

    objects: S3Store
    prefix: str

    async def read(self, name: str) -> bytes:
        return await asyncio.to_thread(read_object, self.objects, self.prefix + name)

    async def names(self, prefix: str) -> list[str]:
        keys = await asyncio.to_thread(list_objects, self.objects, self.prefix + prefix)
        return [key.removeprefix(self.prefix) for key in keys]


def shelf_of(uri: str, *, endpoint: str | None) -> Shelf:
    """A folder, its file:// URI, or s3://bucket/prefix; raises UsageError, CannotFetch."""
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        prefix = parts.path.strip("/")
        if not BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment or not _PREFIX.fullmatch(prefix):
            raise UsageError("--series s3://BUCKET/PREFIX: that is no bucket and prefix")
        return _Bucket(bucket_of(parts.netloc, endpoint), f"{prefix}/" if prefix else "")
    if endpoint is not None:
        raise UsageError("--endpoint goes with --series s3://BUCKET/PREFIX")
    folder = Path(parts.path if parts.scheme == "file" else uri)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give a run's --out, or s3://BUCKET/PREFIX")
    return local_store(folder)
