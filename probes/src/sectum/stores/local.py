"""A folder -> a Store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sectum.errors import ScenarioError
from sectum.ports import StoreBackend, StoreSpec
from sectum.store import ObjectStoreOf, local_store


class LocalSpec(StoreSpec):
    """A folder of this machine; of no use in a cluster."""

    folder: Annotated[str, Field(min_length=1, max_length=1024)]
    """Path of a folder that exists."""

    def open(self, secret: Callable[[str, str], bytes]) -> ObjectStoreOf:
        """See StoreSpec."""
        folder = Path(self.folder)
        if not folder.is_dir():
            raise ScenarioError("spec.evidence", f"the folder {self.folder!r} is not there", "make it, with mode 0700")
        return local_store(folder)

    def uri(self, name: str) -> str:
        """See StoreSpec."""
        return (Path(self.folder).absolute() / name).as_uri()

    def local_only(self) -> bool:
        """See StoreSpec."""
        return True


STORE = StoreBackend(name="local", summary="A folder of this machine.", spec=LocalSpec)
