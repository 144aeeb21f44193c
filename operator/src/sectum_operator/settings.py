"""The environment -> the operator's settings; raises UsageError."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sectum.errors import UsageError

from sectum_operator.jobs import Images

_BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
HEALTH = "http://0.0.0.0:8080/healthz"
"""Where the kubelet asks whether the operator is alive."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the chart says."""

    namespaces: tuple[str, ...]
    images: Images
    health: str = HEALTH
    instance: str = "sectum-operator"
    lease: str | None = None
    """The namespace in which replicas agree on the one that acts; None: it is the only one."""
    metrics: int | None = None
    """The port that metrics are served on; None: on none."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """SECTUM_NAMESPACES (comma separated), SECTUM_OPERATOR_IMAGE and SECTUM_PROBES_IMAGE (both by digest).

    SECTUM_LEASE_NAMESPACE is where replicas agree on the one that acts; without it there must be one alone.
    SECTUM_METRICS_PORT is where metrics are served; without it they are not.
    SECTUM_HEALTH moves the liveness endpoint; HOSTNAME, the pod's name, stands in Events.
    """
    namespaces = read_namespaces(environment)
    images = Images(*(_image(environment, name) for name in ("SECTUM_OPERATOR_IMAGE", "SECTUM_PROBES_IMAGE")))
    return Settings(
        namespaces,
        images,
        health=environment.get("SECTUM_HEALTH", HEALTH),
        instance=environment.get("HOSTNAME", "sectum-operator"),
        lease=environment.get("SECTUM_LEASE_NAMESPACE"),
        metrics=_port(environment.get("SECTUM_METRICS_PORT", "")),
    )


def read_namespaces(environment: Mapping[str, str]) -> tuple[str, ...]:
    """SECTUM_NAMESPACES, comma separated; at least one."""
    namespaces = tuple(each.strip() for each in environment.get("SECTUM_NAMESPACES", "").split(",") if each.strip())
    if not namespaces:
        raise UsageError("SECTUM_NAMESPACES: name the namespaces whose runs are to be looked after, comma separated")
    for each in namespaces:
        if not _NAMESPACE.fullmatch(each):
            raise UsageError(f"SECTUM_NAMESPACES: {each!r} is no namespace's name")
    return namespaces


def _port(given: str) -> int | None:
    if not given:
        return None
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise UsageError(f"SECTUM_METRICS_PORT: {given!r} is no port; give a number from 1 to 65535")
    return int(given)


def _image(environment: Mapping[str, str], name: str) -> str:
    image = environment.get(name, "")
    if not _BY_DIGEST.fullmatch(image):
        raise UsageError(f"{name}: give the image by digest, <repository>@sha256:<64 hex digits>")
    return image
