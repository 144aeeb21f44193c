"""A Lease of the operator's namespace -> the one replica that acts. Whoever loses it ends, and is started anew.

Only who acts is decided so, never whether what it does is right: that holds with two at once, too (see `apply`).
Terms are those of https://pkg.go.dev/k8s.io/client-go/tools/leaderelection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sectum.errors import SectumError

from sectum_operator.api import LEASES, AlreadyThere, Api, ApiFault, Object, TryAgain

log = logging.getLogger(__name__)


class Lost(SectumError):
    """Another replica may be acting by now: this process must not go on."""


@dataclass(slots=True)
class Lease:
    """One replica's hold on a Lease; times in seconds."""

    api: Api
    namespace: str
    name: str
    holder: str
    """Of this process alone: a container started anew is another holder."""
    lasts: float = 12.0
    """Without being renewed, before others may take it."""
    gives_up: float = 8.0
    """Without having renewed it, before its holder ends: sooner than others may take it."""
    every: float = 2.0
    clock: Callable[[], float] = field(default_factory=lambda: asyncio.get_running_loop().time)
    _seen: tuple[Any, float] = (None, 0.0)
    """The Lease's spec as last read, and since when it has been so, by our own clock: others' clocks may be wrong."""
    _held: bool = False

    async def acquire(self) -> None:
        """Wait until this replica holds it."""
        told = None
        while not await self._tried(renew=False):
            holder = (self._seen[0] or {}).get("holderIdentity")
            if holder and holder != told:
                log.info("%s holds the lease; ready to take over", holder)
                told = holder
            await asyncio.sleep(self.every)
        log.info("%s holds the lease", self.holder)

    async def keep(self) -> None:
        """Renew it for ever; raises Lost once it could not be for too long, or somebody else has it."""
        renewed = self.clock()
        while True:
            await asyncio.sleep(self.every)
            left = renewed + self.gives_up - self.clock()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    if left > 0 and await self._tried(renew=True):
                        renewed = self.clock()
            if self.clock() >= renewed + self.gives_up:
                raise Lost(f"the lease could not be renewed for {self.gives_up:.0f} s")
            if self._others():
                raise Lost(f"{(self._seen[0] or {}).get('holderIdentity')} has taken the lease")

    async def release(self) -> None:
        """Let another replica take it at once."""
        if not self._held:
            return
        live = await self.api.get(LEASES, self.namespace, self.name)
        if live and live["spec"].get("holderIdentity") == self.holder:
            await self._write(live, {**live["spec"], "holderIdentity": "", "leaseDurationSeconds": 1})
        self._held = False

    async def _tried(self, *, renew: bool) -> bool:
        try:
            return await self._take(renew=renew)
        except (TryAgain, AlreadyThere):
            return False
        except ApiFault as error:  # a role that is not there (yet)
            log.warning("lease: %s", error)
            return False

    async def _take(self, *, renew: bool) -> bool:
        """Create, take over or renew it, unless it is somebody else's; to renew it, unless it has been that."""
        live = await self.api.get(LEASES, self.namespace, self.name)
        if live is None:
            meta = {"name": self.name, "namespace": self.namespace}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": self._spec({})}
            await self.api.create(LEASES, self.namespace, body)
            self._held = True
            return True
        spec = dict(live.get("spec") or {})
        if spec != self._seen[0]:
            self._seen = spec, self.clock()
        held_until = self._seen[1] + float(spec.get("leaseDurationSeconds") or 0)
        if self._others() and (renew or self.clock() < held_until):
            return False
        await self._write(live, self._spec(spec))
        self._held = True
        return True

    def _others(self) -> bool:
        holder = (self._seen[0] or {}).get("holderIdentity")
        return bool(holder) and holder != self.holder

    def _spec(self, before: Object) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        mine = before.get("holderIdentity") == self.holder
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": int(self.lasts),
            "acquireTime": before["acquireTime"] if mine else now,
            "renewTime": now,
            "leaseTransitions": (before.get("leaseTransitions") or 0) + (0 if mine else 1),
        }

    async def _write(self, live: Object, spec: dict[str, Any]) -> None:
        version = live["metadata"]["resourceVersion"]
        written = await self.api.replace(
            LEASES, self.namespace, self.name, version=version, pointer="/spec", value=spec
        )
        self._seen = dict(written["spec"]), self.clock()
