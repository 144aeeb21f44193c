"""One good object of each kind, with as many of its fields as a real one may have."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
UID, OTHER_UID = "0192f3a4-0000-7000-8000-000000000001", "0192f3a4-0000-7000-8000-000000000002"
NOW = "2026-11-24T12:00:00Z"
CONDITION = {"type": "Complete", "status": "True", "lastTransitionTime": NOW, "reason": "Stored", "message": "stored",
             "observedGeneration": 1}  # fmt: skip
PACK = {"name": "nightly-1", "uri": "s3://evidence/packs/1.zip", "sha256": "ab" * 32}
COUNTS = {"planned": 10, "leak": 1, "pass": 8, "inconclusive": 1}


def quickstart() -> dict[str, Any]:
    """The example as its users write it."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "quickstart" / "scenario.yaml").read_text())
    return document


def scenario() -> dict[str, Any]:
    """The example with what it leaves out."""
    document = copy.deepcopy(quickstart())
    spec = document["spec"]
    http, cached = (copy.deepcopy(spec["surfaces"][number]["adapter"]["http"]) for number in (0, 5))
    openai = {name: http[name] for name in ("origin", "headers", "whoami", "write", "delete", "list", "claims")}
    openai |= {
        "model": "small", "system": "Answer.", "maxTokens": None, "temperature": 0.5, "json": {"seed": None},
        "path": "/v1/chat", "ask": {"headers": {"Cache-Control": "no-cache"}, "query": {"fresh": "1"}},
        "askCached": {"cached": {"$.cached": "true"}}, "citations": "$.sources[*]",
    }  # fmt: skip
    spec["surfaces"][0]["adapter"]["http"]["askCached"] = cached["askCached"]
    spec["surfaces"].append(
        {
            "name": "model", "kind": "model-adapter", "adapter": {"openai": openai}, "leftovers": ["welcome"],
            "credentials": {"secretRef": {"name": "sectum-surface-model-tokens", "key": "{tenant}.{user}"}},
            "budget": {"requests": 10, "writes": 5, "tokens": 100, "minutes": 1, "inFlight": 1},
        }
    )  # fmt: skip
    pgvector = spec["surfaces"][1]["adapter"]["pgvector"]
    pgvector["claims"] = [{"name": "guc", "settings": {"app.tenant": "{owner.tenant}"}}]
    pgvector["whoami"] = {"settings": {"app.user": "{user}"}}
    spec["sharing"] = [
        {"surface": "api", "owner": {"tenant": "acme"}, "with": {"tenant": "globex", "user": "bob"}, "reason": "public",
         "items": ["faq"]},
    ]  # fmt: skip
    spec["exclusions"] = [{"surface": "api", "attack": "tool-hijack", "reason": "no tools"}]
    spec["acceptedRisks"] = [
        {"surface": "api", "attack": "boundary-fetch", "asker": {"tenant": "globex", "user": "bob"},
         "owner": {"tenant": "acme"}, "acceptedBy": "team-search", "reason": "ticket 4712", "expires": "2027-01-31"},
    ]  # fmt: skip
    spec["baseline"] = {"sha256": "ab" * 32}
    spec["trials"] = {"markersPerUser": 6, "perPair": 2}
    outside, inside = {"cidr": "10.20.0.0/16", "ports": [443]}, {"ports": [8080, 8443]}
    inside["pods"] = {"namespace": "demo", "labels": {"app.kubernetes.io/name": "assistant"}}
    spec["surfaces"][0]["egress"] = [inside, outside, {"cidr": "fd00::/8", "ports": [5432]}]
    s3 = {"bucket": "evidence", "prefix": "a/b", "region": "eu-central-1", "endpoint": "https://s3.example.test:9000",
          "secret": "sectum-store-evidence-mine", "egress": [outside]}  # fmt: skip
    spec["evidence"]["store"] = {"s3": s3}
    spec["evidence"]["records"] = {"s3": {**s3, "secret": "sectum-store-records-mine", "egress": [inside]}}
    spec["manifest"]["key"] = {
        "awsKms": {
            "keyId": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd", "region": "eu-central-1",
            "endpoint": "https://kms.example.test", "encryptSecret": "sectum-kms-encrypt-mine",
            "decryptSecret": "sectum-kms-decrypt-mine", "egress": [outside],
        }
    }  # fmt: skip
    return document


def with_local_key() -> dict[str, Any]:
    """The full one with the other kind of key."""
    document = scenario()
    document["spec"]["manifest"] = quickstart()["spec"]["manifest"]
    return document


def sparse() -> dict[str, Any]:
    """The example, in which parts are there and say nothing of their own."""
    document = quickstart()
    spec = document["spec"]
    spec["surfaces"][1]["adapter"]["pgvector"]["whoami"] = {}
    spec["surfaces"][1]["adapter"]["pgvector"]["columns"]["vector"] = None
    spec["surfaces"][2]["adapter"]["chroma"]["whoami"] = {"path": "/chroma/me"}
    spec["trials"] = spec["surfaces"][0]["budget"] = {}
    spec["surfaces"][0]["egress"] = []
    spec["manifest"]["key"] = {"awsKms": {"keyId": "alias/sectum", "region": "eu-central-1"}}
    spec["evidence"]["store"] = spec["evidence"]["records"] = {"s3": {"bucket": "evidence"}}
    return document


def run() -> dict[str, Any]:
    """A VerificationRun."""
    return {
        "apiVersion": "sectum.ai/v1alpha1", "kind": "VerificationRun", "metadata": {"name": "nightly-1"},
        "spec": {
            "scenarioRef": {"name": "quickstart"}, "timeout": "90m", "cancel": False, "suspend": False,
            "subset": {"surfaces": ["api"], "attacks": ["boundary-fetch"]},
        },
        "status": {
            "observedGeneration": 1, "phase": "Complete", "verdict": "Leak", "startedAt": NOW, "finishedAt": NOW,
            "refused": [], "conditions": [CONDITION], "counts": COUNTS, "pack": PACK,
            "surfaces": [{"name": "api", "verdict": "Leak", "reason": "Budget", "attempts": 1, "counts": COUNTS}],
            "score": 7, "matrix": {"letters": "Lxx-xxPIxxN", "worst": ["0.0.2.", "7.0.2.Budget"]},
            "scenario": {"uid": UID, "generation": 3, "sha256": "cd" * 32, "snapshot": {"spec": {"free": [1, None]}}},
        },
    }  # fmt: skip


def pack() -> dict[str, Any]:
    """An EvidencePack."""
    return {
        "apiVersion": "sectum.ai/v1alpha1", "kind": "EvidencePack", "metadata": {"name": "nightly-1"},
        "spec": {
            "runRef": {"name": "nightly-1", "uid": UID}, "uri": PACK["uri"],
            "scenarioRef": {"name": "quickstart", "uid": OTHER_UID, "generation": 3},
            "digests": {"pack": "ab" * 32, "run": "cd" * 32},
        },
        "status": {"observedGeneration": 1, "verdict": "Pass", "retainUntil": NOW, "conditions": [CONDITION]},
    }  # fmt: skip


def scenario_status() -> dict[str, Any]:
    """How a scenario stands."""
    pair = {"asker": {"tenant": "acme", "user": "alice"}, "owner": {"tenant": "globex", "user": "bob"}}
    return {
        "observedGeneration": 1, "conditions": [CONDITION], "score": 95, "trend": "Same",
        "lastRun": {"name": "nightly-1", "verdict": "Leak", "finishedAt": NOW, "pack": PACK},
        "cells": [
            {"surface": "api", "attack": "boundary-fetch", "verdict": "Leak", "reason": "Budget", "worst": pair,
             "verifiedAt": NOW},
        ],
    }  # fmt: skip
