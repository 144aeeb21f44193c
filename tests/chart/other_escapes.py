"""Ways round the fences on NetworkPolicies, deletions, the three kinds and prepare's Secret."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from tests.chart.cluster import PREPARE
from tests.chart.escapes import GONE, Escape, also, but
from tests.chart.helm import RUNS
from tests.chart.samples import (
    OTHER_UID,
    Document,
    manifest_secret,
    network_policy,
    owner,
    run,
    scenario,
)

POLICY, SECRET = network_policy(), manifest_secret()
RULE: tuple[Any, ...] = ("spec", "egress", 0)
PODS: tuple[Any, ...] = ("spec", "egress", 1, "to", 0)


def to_cidr(cidr: str, *, port: int = 443) -> Document:
    """A policy that is open to one network."""
    return but(but(POLICY, *RULE, "to", 0, "ipBlock", "cidr", to=cidr), *RULE, "ports", 0, "port", to=port)


def to_namespace(name: str) -> Document:
    """A policy that is open to pods of another namespace."""
    return but(POLICY, *PODS, "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name", to=name)


def network_policies() -> Iterator[Escape]:
    """What would open a run to more than its surface."""
    yield Escape("networkpolicies/update", "one that is there", POLICY, "patch", {"metadata": {"labels": {"a": "b"}}})
    yield Escape("networkpolicies/update", "widened", POLICY, "patch", {"spec": {"egress": [{}]}})
    yield Escape("networkpolicies/namespace", "elsewhere", but(POLICY, "metadata", "namespace", to="default"))
    owners: dict[str, list[Document]] = {
        "another group": [owner() | {"apiVersion": "example.com/v1"}], "nobody": [],
        "another": [owner(uid=OTHER_UID)], "a scenario": [owner() | {"kind": "IsolationScenario"}],
        "not as controller": [owner() | {"controller": False}], "blocking": [owner() | {"blockOwnerDeletion": True}],
    }  # fmt: skip
    for why, references in owners.items():
        yield Escape("networkpolicies/owner", why, but(POLICY, "metadata", "ownerReferences", to=references))
    labels = POLICY["spec"]["podSelector"]["matchLabels"]
    selectors: dict[str, Document] = {
        "one more": {"matchLabels": labels | {"app": "assistant"}},
        "a probe by its stage": {"matchLabels": network_policy(stage="probe")["spec"]["podSelector"]["matchLabels"]},
        "surface and stage": {"matchLabels": labels | {"sectum.ai/stage": "probe"}},
        "expressions": {"matchLabels": labels, "matchExpressions": [{"key": "app", "operator": "Exists"}]},
    }  # fmt: skip
    for why, selector in selectors.items():
        yield Escape("networkpolicies/selector", why, but(POLICY, "spec", "podSelector", to=selector))
    whole_run = but(POLICY, "spec", "podSelector", "matchLabels", "sectum.ai/surface", to=GONE)
    yield Escape("networkpolicies/selector", "every pod of the run", whole_run)
    yield Escape("networkpolicies/owner", "every pod", but(POLICY, "spec", "podSelector", to={}))
    incoming = but(POLICY, "spec", "ingress", to=[{}])
    yield Escape("networkpolicies/egress-only", "in", but(incoming, "spec", "policyTypes", to=["Ingress", "Egress"]))
    yield Escape("networkpolicies/egress-only", "in, not said", incoming)
    yield Escape("networkpolicies/egress-only", "no type", but(POLICY, "spec", "policyTypes", to=["Ingress"]))
    port = {"protocol": "TCP", "port": 443}
    ports: dict[str, Any] = {
        "all": GONE, "none": [], "UDP": [port | {"protocol": "UDP"}], "a range": [port | {"endPort": 65535}],
        "every TCP": [{"protocol": "TCP"}], "by name": [port | {"port": "https"}],
    }  # fmt: skip
    for why, value in ports.items():
        yield Escape("networkpolicies/ports", why, but(POLICY, *RULE, "ports", to=value))
    peers: dict[str, list[Document]] = {
        "two": [{"ipBlock": {"cidr": "10.20.1.0/24"}}, {"ipBlock": {"cidr": "10.20.2.0/24"}}], "all": [],
        "exceptions": [{"ipBlock": {"cidr": "10.20.0.0/16", "except": ["10.20.1.0/24"]}}],
        "pods here": [{"podSelector": {"matchLabels": {"app": "x"}}}],
    }  # fmt: skip
    for why, value in peers.items():
        yield Escape("networkpolicies/peer", why, but(POLICY, *RULE, "to", to=value))
    name = {"kubernetes.io/metadata.name": "demo"}
    selected: dict[str, tuple[str, Document]] = {
        "every pod of it": ("podSelector", {}),
        "every namespace": ("namespaceSelector", {}),
        "any label of pods": ("podSelector", {"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
        "any label": (
            "namespaceSelector",
            {"matchLabels": name, "matchExpressions": [{"key": "x", "operator": "Exists"}]},
        ),
        "another label": ("namespaceSelector", {"matchLabels": {"team": "demo"}}),
    }
    for why, (key, value) in selected.items():
        yield Escape("networkpolicies/peer", why, but(POLICY, *PODS, key, to=value))
    outside = ["0.0.0.0/0", "::/0", "10.0.0.0/8", "10.21.0.0/16", "203.0.113.7/32", "10.20.0.0/15", "fd00:21::/32",
               "fd00::/8", "::a14:0/112", "64:ff9b::a14:0/112"]  # fmt: skip
    for cidr in outside:
        yield Escape("networkpolicies/bound", cidr, to_cidr(cidr))
    second = also(POLICY, "spec", "egress", item={"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [port]})
    yield Escape("networkpolicies/bound", "in the last rule", second)
    for name_ in ("kube-system", "default", RUNS, ""):
        yield Escape("networkpolicies/bound-namespace", name_ or "no name", to_namespace(name_))
    never = [
        "169.254.169.254/32",
        "169.254.0.0/16",
        "168.0.0.0/7",
        "169.254.170.0/24",
        "127.0.0.1/32",
        "126.0.0.0/7",
        "fe80::1/128",
        "fe80::/10",
        "fe00::/8",
        "168.63.129.16/32",
        "192.168.7.9/32",
        "192.168.0.0/16",
    ]
    for cidr in never:
        yield Escape("networkpolicies/never", cidr, to_cidr(cidr))
    yield Escape("networkpolicies/never", "the agent at another port", to_cidr("169.254.170.23/32", port=22))
    for cidr in ("10.20.0.1/32", "10.20.0.0/24", "10.20.0.0/16"):
        yield Escape("networkpolicies/api-server", cidr, to_cidr(cidr, port=6443))
    both = but(to_cidr("10.20.0.1/32"), *RULE, "ports", to=[port, port | {"port": 6443}])
    yield Escape("networkpolicies/api-server", "among others", both)


THEIRS: dict[str, Document] = {
    "of-a-schedule": owner() | {"apiVersion": "batch/v1", "kind": "CronJob"},
    "of-another-group": owner() | {"apiVersion": "example.com/v1"},
    "of-a-pack": owner() | {"kind": "EvidencePack"},
    "not-controlled": owner() | {"controller": False},
}
"""Names of Jobs in the namespace of runs, and who owns them."""


def default_deny() -> Document:
    """The chart's own policy, as far as a deletion needs to know it."""
    return {"kind": "NetworkPolicy", "metadata": {"name": "sectum-default-deny", "namespace": RUNS}}


def others() -> Iterator[Escape]:
    """Deletions, specs."""
    yield Escape("deletes/own", "default-deny", default_deny(), "delete")
    stranger = {"kind": "Job", "metadata": {"name": "somebody-s", "namespace": RUNS}}
    yield Escape("deletes/own", "somebody's Job", stranger, "delete")
    for name in THEIRS:
        document = {"kind": "Job", "metadata": {"name": name, "namespace": RUNS}}
        yield Escape("deletes/own", f"a Job {name}", document, "delete")
    yield Escape("kinds/spec", "fewer trials", scenario(), "patch", {"spec": {"trials": {"markersPerUser": 4}}})
    yield Escape("kinds/spec", "cancelled", run(), "patch", {"spec": {"cancel": True}})
    yield Escape("kinds/namespace", "a run elsewhere", run("default"), "patch", {"metadata": {"labels": {"a": "b"}}})
    yield Escape("kinds/owner", "owned", scenario(), "patch", {"metadata": {"ownerReferences": [owner()]}})


def secrets() -> Iterator[Escape]:
    """What prepare could make but its manifest."""

    def wrong(fence: str, why: str, document: Document) -> Escape:
        return Escape(f"secrets/{fence}", why, document, account=PREPARE)

    yield Escape("secrets/create-only", "changed", SECRET, "patch", {"metadata": {"labels": {"a": "b"}}}, PREPARE)
    yield Escape("secrets/create-only", "deleted", SECRET, "delete", account=PREPARE)
    yield wrong("namespace", "elsewhere", but(SECRET, "metadata", "namespace", to="default"))
    yield wrong("type", "opaque", but(SECRET, "type", to="Opaque"))
    yield wrong("type", "no type", but(SECRET, "type", to=GONE))
    token = but(SECRET, "type", to="kubernetes.io/service-account-token")
    yield wrong(
        "type",
        "a token",
        but(token, "metadata", "annotations", to={"kubernetes.io/service-account.name": "sectum-sign"}),
    )
    yield wrong("immutable", "not so", but(SECRET, "immutable", to=False))
    yield wrong("immutable", "not said", but(SECRET, "immutable", to=GONE))
    references: dict[str, list[Document]] = {
        "nobody": [],
        "a scenario": [owner() | {"kind": "IsolationScenario"}],
        "not as controller": [owner() | {"controller": False}],
        "a Pod": [owner() | {"apiVersion": "v1", "kind": "Pod"}],
        "two": [owner(), owner(uid=OTHER_UID) | {"controller": False}],
        "another group": [owner() | {"apiVersion": "example.com/v1"}],
        "blocking": [owner() | {"blockOwnerDeletion": True}],
    }
    for why, value in references.items():
        yield wrong("owner", why, but(SECRET, "metadata", "ownerReferences", to=value))
    for name in ("sectum-signer-main", f"sectum-manifest-{OTHER_UID}", "sectum-surface-api-tokens"):
        yield wrong("name", name, but(SECRET, "metadata", "name", to=name))
    yield wrong("data", "two keys", but(SECRET, "data", "another", to="eA=="))
    yield wrong("data", "another key", but(SECRET, "data", to={"another": "eA=="}))
    yield wrong("data", "none", but(SECRET, "data", to=GONE))
    yield wrong("data", "two keys as text", but(copy.deepcopy(SECRET), "stringData", to={"another": "x"}))
    yield wrong("size", "900 KiB", manifest_secret(size=900 * 1024))


OTHER_ESCAPES = [*network_policies(), *others(), *secrets()]
