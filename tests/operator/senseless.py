"""Objects of which every field is right by itself, and which make no sense: what the CEL rules are there to refuse."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from tests.operator import samples
from tests.operator.bad_objects import Bad, changed


def first(document: dict[str, Any], *path: str | int) -> Any:
    for part in path:
        document = document[part]  # type: ignore[index]
    return document


ADAPTER = ("spec", "surfaces", 0, "adapter")
CHROMA, MCP, MODEL, PG = (("spec", "surfaces", number, "adapter") for number in (2, 3, 10, 1))
EGRESS, KMS = ("spec", "surfaces", 0, "egress"), ("spec", "manifest", "key", "awsKms")
LITERAL = {"X-Api-Key": "abc"}
SENSE: list[tuple[str, tuple[str | int, ...], Any, str]] = [
    ("no store", ("spec", "evidence", "store"), {}, "spec.evidence.store"),
    ("no record store", ("spec", "evidence", "records"), {}, "spec.evidence.records"),
    ("two keys", ("spec", "manifest", "key", "unsafeLocalKey"),
     {"secretRef": {"name": "sectum-key-manifest", "key": "key"}}, "spec.manifest.key"),
    ("a key that seals with what opens", (*KMS, "encryptSecret"), "sectum-kms-decrypt-mine",
     "spec.manifest.key.awsKms.encryptSecret"),
    ("a key that opens with what seals", (*KMS, "decryptSecret"), "sectum-kms-encrypt-mine",
     "spec.manifest.key.awsKms.decryptSecret"),
    ("a store with the signer's Secret", ("spec", "evidence", "store", "s3", "secret"), "sectum-signer-mine",
     "spec.evidence.store.s3.secret"),
    ("records with a surface's Secret", ("spec", "evidence", "records", "s3", "secret"), "sectum-surface-api-tokens",
     "spec.evidence.records.s3.secret"),
    ("egress to nowhere", (*EGRESS, 0), {"ports": [443]}, "spec.surfaces[0].egress[0]"),
    ("egress to two places", (*EGRESS, 0, "cidr"), "10.0.0.0/8", "spec.surfaces[0].egress[0]"),
    ("no network", (*EGRESS, 1, "cidr"), "example.test", "spec.surfaces[0].egress[1].cidr"),
    ("one address", (*EGRESS, 1, "cidr"), "10.20.0.1", "spec.surfaces[0].egress[1].cidr"),
    ("a host's network", (*EGRESS, 2, "cidr"), "fd00::1/8", "spec.surfaces[0].egress[2].cidr"),
    ("no adapter", ADAPTER, {}, "spec.surfaces[0].adapter"),
    ("no key", ("spec", "manifest", "key"), {}, "spec.manifest.key"),
    ("no signer", ("spec", "evidence", "signer"), {}, "spec.evidence.signer"),
    ("two adapters", (*ADAPTER, "chroma"), first(samples.scenario(), *CHROMA, "chroma"), "spec.surfaces[0].adapter"),
    ("another two", (*CHROMA, "mcp"), first(samples.scenario(), *MCP, "mcp"), "spec.surfaces[2].adapter"),
    ("more trials than markers", ("spec", "trials", "perPair"), 7, "spec.trials.perPair"),
    ("one principal", ("spec", "tenants"), [{"name": "acme", "users": [{"name": "alice"}]}], "spec.tenants"),
    ("another surface's Secret", ("spec", "surfaces", 0, "credentials", "secretRef", "name"),
     "sectum-surface-vectors-passwords", "spec.surfaces[0].credentials.secretRef.name"),
    ("another surface's issuer", (*MCP, "mcp", "tokens", "issuerKey", "secretRef", "name"), "sectum-surface-api-issuer",
     "spec.surfaces[3].adapter.mcp"),
    ("a signer's Secret of another name", ("spec", "evidence", "signer", "ecKey", "secretRef", "name"), "my-key",
     "spec.evidence.signer.ecKey.secretRef.name"),
    ("an unknown attack", ("spec", "surfaces", 0, "attacks"), ["telepathy"], "spec.surfaces[0].attacks"),
    ("an unknown attack excluded", ("spec", "exclusions", 0, "attack"), "telepathy", "spec.exclusions[0].attack"),
    ("an unknown surface excluded", ("spec", "exclusions", 0, "surface"), "nowhere", "spec.exclusions"),
    ("an unknown surface shared", ("spec", "sharing", 0, "surface"), "nowhere", "spec.sharing"),
    ("an unknown owner", ("spec", "sharing", 0, "owner"), {"tenant": "nobody"}, "spec.sharing"),
    ("an unknown user", ("spec", "sharing", 0, "with"), {"tenant": "globex", "user": "alice"}, "spec.sharing"),
    ("an unknown attack accepted", ("spec", "acceptedRisks", 0, "attack"), "telepathy",
     "spec.acceptedRisks[0].attack"),
    ("an unknown surface accepted", ("spec", "acceptedRisks", 0, "surface"), "nowhere", "spec.acceptedRisks"),
    ("an unknown asker", ("spec", "acceptedRisks", 0, "asker"), {"tenant": "nobody"}, "spec.acceptedRisks"),
    ("an unknown user's data", ("spec", "acceptedRisks", 0, "owner"), {"tenant": "acme", "user": "bob"},
     "spec.acceptedRisks"),
    ("a day that there is not", ("spec", "acceptedRisks", 0, "expires"), "2027-02-30",
     "spec.acceptedRisks[0].expires"),
    ("a baseline by another digest", ("spec", "baseline", "sha256"), "AB" * 32, "spec.baseline.sha256"),
    ("a risk without an end", ("spec", "acceptedRisks", 0, "expires"), "", "spec.acceptedRisks[0].expires"),
    ("identity unproven", (*ADAPTER, "http", "whoami", "expect"), {"$.user": "{user}"},
     "spec.surfaces[0].adapter.http.whoami.expect"),
    ("identity unproven", (*MCP, "mcp", "tools", "whoami", "expect"), {"$.tenant": "{tenant}"},
     "spec.surfaces[3].adapter.mcp.tools.whoami.expect"),
    ("identity unproven", (*CHROMA, "chroma", "whoami"), {"expect": {"$.user": "{user}"}},
     "spec.surfaces[2].adapter.chroma.whoami.expect"),
    ("a role of a tenant and no more", (*PG, "pgvector"),
     {**first(samples.scenario(), *PG, "pgvector"), "role": "{tenant}", "whoami": {}},
     "spec.surfaces[1].adapter.pgvector.role"),
    ("a role of everybody", (*PG, "pgvector", "role"), "app", "spec.surfaces[1].adapter.pgvector.role"),
    ("a claim of nothing", (*PG, "pgvector", "claims", 0, "settings"), {"app.tenant": "{tenant}"},
     "spec.surfaces[1].adapter.pgvector.claims[0].settings"),
    ("a setting of no such name", (*PG, "pgvector", "settings"), {"no good": "x"},
     "spec.surfaces[1].adapter.pgvector.settings"),
    ("a header of no such name", (*ADAPTER, "http", "headers"), {"no good": "x"},
     "spec.surfaces[0].adapter.http.headers"),
    ("a JSONPath that is too long", (*ADAPTER, "http", "whoami", "expect"),
     {"$.tenant": "{tenant}", "$.user": "{user}", "$" * 513: "x"}, "spec.surfaces[0].adapter.http.whoami.expect"),
    ("a credential", (*ADAPTER, "http", "headers"), LITERAL, "spec.surfaces[0].adapter.http.headers"),
    ("a credential", (*ADAPTER, "http", "fetch", "request", "headers"), LITERAL,
     "spec.surfaces[0].adapter.http.fetch.request.headers"),
    ("a credential", (*ADAPTER, "http", "claims", 0, "headers"), LITERAL,
     "spec.surfaces[0].adapter.http.claims[0].headers"),
    ("a credential", (*MCP, "mcp", "headers"), LITERAL, "spec.surfaces[3].adapter.mcp.headers"),
    ("a credential", (*CHROMA, "chroma", "headers"), LITERAL, "spec.surfaces[2].adapter.chroma.headers"),
    ("a credential", (*CHROMA, "chroma", "claims", 0, "headers"), LITERAL,
     "spec.surfaces[2].adapter.chroma.claims[0].headers"),
    ("the right audience", (*MCP, "mcp", "tokens", "otherAudience"), "assistant-tools",
     "spec.surfaces[3].adapter.mcp.tokens.otherAudience"),
]  # fmt: skip


def senseless() -> Iterator[Bad]:
    """Objects of which every field is right by itself."""
    for why, path, value, field in SENSE:
        yield Bad(why, field, changed(samples.scenario(), path, value))
    asked = copy.deepcopy(samples.scenario())
    for way in ("ask", "askCached"):
        del first(asked, *MODEL, "openai")[way]
    yield Bad("neither ask nor askCached", "spec.surfaces[10].adapter.openai", asked)
    yield Bad("a name that is too long", "metadata.name", changed(samples.scenario(), ("metadata", "name"), "a" * 41))
    yield Bad("a name of no label", "metadata.name", changed(samples.run(), ("metadata", "name"), "a" * 64))
    for slot in ("2026-13-01T00:00:00Z", "2026-12-32T00:00:00Z", "2026-12-01T25:00:00Z", "2026-12-01T00:00:30Z"):
        yield Bad("a slot that is no moment", "spec.slot", changed(samples.run(), ("spec", "slot"), slot))
    for timeout in ("59s", "73h", "90000m"):
        yield Bad("a timeout out of bounds", "spec.timeout", changed(samples.run(), ("spec", "timeout"), timeout))
    yield Bad("an empty subset", "spec.subset", changed(samples.run(), ("spec", "subset"), {}))
