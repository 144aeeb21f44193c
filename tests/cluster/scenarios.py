"""The demo's scenarios cut to a surface or two and two users: a run of one takes under a minute."""

from typing import Any

import yaml

from tests.cluster.demo import ROOT, RUNS

FILES = {"leaky": "30-scenario-leaky.yaml", "hardened": "31-scenario-hardened.yaml"}
TENANTS = [{"name": "acme", "users": [{"name": "alice"}]}, {"name": "globex", "users": [{"name": "bob"}]}]
USERS = ("acme.alice", "globex.bob")
SETTLES = 25
"""Seconds that the memory's probe waits in its middle: time to do something to it."""


def whole(build: str) -> dict[str, Any]:
    """The demo's own scenario."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "kind" / FILES[build]).read_text())
    return found


def small(name: str, build: str, *surfaces: str, namespace: str = RUNS) -> dict[str, Any]:
    """That scenario under another name, with these surfaces and one user of each tenant."""
    made = whole(build)
    made["metadata"] = {"name": name, "namespace": namespace}
    spec = made["spec"]
    spec["tenants"] = TENANTS
    spec["surfaces"] = [each for each in spec["surfaces"] if each["name"] in surfaces]
    for each in spec["surfaces"]:
        if each["name"] == "memory":
            each["settleSeconds"] = SETTLES
        each["budget"]["minutes"] = 3
    for store in ("store", "records"):
        spec["evidence"][store]["s3"]["prefix"] = name
    return made
