"""A Scenario -> the hosts and ports that its runs reach: surfaces, the manifest key's keeper, stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sectum.fields import Egress
from sectum.scenario import Scenario

HOST_FIELDS = ("origin", "url", "host")
"""Where an adapter's data says which server it reaches."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that runs connect to; `host` is empty where the scenario names none (a key in a file)."""

    of: str
    """A surface's path, `manifest.key`, `evidence.store` or `evidence.records`."""
    backend: str
    """Name of its adapter or backend."""
    host: str
    port: int | None
    egress: tuple[Egress, ...]
    """Where a cluster's network lets the run's pods go for it."""


def endpoints(scenario: Scenario) -> Iterator[Endpoint]:
    """Every endpoint, in the scenario's order."""
    for surface in scenario.spec.surfaces:
        host, port = _server(surface.spec)
        yield Endpoint(f"surfaces/{surface.name}", surface.adapter_name, host, port, surface.egress)
    key = scenario.spec.manifest
    host, port = key.spec.address() or ("", None)
    yield Endpoint("manifest.key", _chosen(key.key), host, port, key.spec.destinations())
    evidence = scenario.spec.evidence
    for name, union, spec in (
        ("store", evidence.store, evidence.store_spec),
        ("records", evidence.records, evidence.records_spec),
    ):
        if spec is not None:
            yield Endpoint(f"evidence.{name}", _chosen(union), *spec.address(), spec.destinations())


def _chosen(union: Any) -> str:
    name: str = union.chosen_name
    return name


def _server(adapter: Any) -> tuple[str, int | None]:
    """Host and port of an adapter's server."""
    said = next(str(getattr(adapter, field)) for field in HOST_FIELDS if hasattr(adapter, field))
    if "://" not in said:
        return said, getattr(adapter, "port", None)
    url = urlsplit(said)
    return str(url.hostname), url.port or _PORTS.get(url.scheme)
