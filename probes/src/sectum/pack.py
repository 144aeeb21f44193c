"""A finished run and its records -> the members of an evidence pack, and the Statement over them. Pure.

docs/pack-format.md is the normative description of every member.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sectum.codec import canonical, sha256
from sectum.container import to_zip
from sectum.finding import Outcome
from sectum.records import run_key_id
from sectum.reports import pdf

__all__ = [
    "BUNDLE",
    "PREDICATE_TYPE",
    "README",
    "RECORDS",
    "REPORT",
    "RUN",
    "build",
    "predicate",
    "statement",
    "to_zip",
]

RUN, BUNDLE, REPORT, README = "run.json", "attestation.sigstore.json", "report.pdf", "README.txt"
RECORDS = "records/"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"


def build(run: Mapping[str, Any], records: Mapping[str, bytes]) -> dict[str, bytes]:
    """Every member but the bundle.

    Args:
        run: the whole of run.json, as JSON types.
        records: file name (`Record.name`) -> signed bytes of every stage record, kept as they were signed.
    """
    members = {RECORDS + name: data for name, data in records.items()}
    members[RUN] = canonical(run)
    members[README] = readme(run).encode()
    if "pdf" in run["scenario"]["snapshot"]["spec"]["evidence"]["formats"]:
        members[REPORT] = pdf.render(run)
    return dict(sorted(members.items()))


def subjects(members: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Every member but the bundle with its SHA-256, sorted by name."""
    names = sorted(set(members) - {BUNDLE})
    return [{"name": name, "digest": {"sha256": sha256(members[name])}} for name in names]


def statement(run: Mapping[str, Any], members: Mapping[str, bytes]) -> bytes:
    """The in-toto Statement v1 over all members, in canonical JSON."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": subjects(members),
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate(run),
        }
    )


def predicate(run: Mapping[str, Any]) -> dict[str, Any]:
    """The test-result: https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md.

    A test is a cell: `surface/attack/kind of asker`. PASSED is said of a run that passed, FAILED of every other.
    """
    manifest, plan = run["manifest"], run["plan"]
    named: dict[str, list[str]] = {str(outcome): [] for outcome in Outcome}
    for cell in run["cells"]:
        named[cell["outcome"]].append(f"{cell['surface']}/{cell['attack']}/{cell['askerKind']}")
    return {
        "result": "PASSED" if run["verdict"] == Outcome.PASS else "FAILED",
        "configuration": [
            {"name": "scenario", "digest": {"sha256": run["scenario"]["digest"]}},
            {"name": "open-record", "digest": {"sha256": run["open"]["digest"]}},
            # Merkle roots and salted hashes are digests of no file, so they have names of their own.
            {"name": "planned-trials", "digest": {"merkle_sha256": plan["root"]}},
            {"name": "manifest", "digest": {"merkle_sha256": manifest["root"], "salted_sha256": manifest["hash"]}},
            {"name": "run-key", "digest": {"sha256": run_key_id(manifest["publicKey"])}},
        ],
        "passedTests": sorted(named[Outcome.PASS]),
        "warnedTests": sorted(named[Outcome.INCONCLUSIVE] + named[Outcome.NOT_COVERED]),
        "failedTests": sorted(named[Outcome.LEAK]),
    }


def readme(run: Mapping[str, Any]) -> str:
    """How to verify this pack with public tools, and what each of them does not check."""
    return _README.replace("@RUN@", run["run"])


_README = """\
Evidence pack of Sectum run @RUN@

  run.json                    what was planned, tried and seen, row by row, and the verdict; the rest follows from it
  report.pdf                  the same for people; where the two differ, run.json counts
  records/                    what each stage signed while it ran
  attestation.sigstore.json   the signature: an in-toto Statement over every other file, in a Sigstore bundle v0.3
  README.txt                  this file

Get the signer's public key from the signer, not from whoever handed you this pack. It lies outside this folder:

     key=/path/to/evidence.pub

Leave this folder as it is: an added, removed or changed file makes verification fail. Run the commands in it.

1. With Sectum: every check there is, each on a line of its own

     sectum verify . --key "$key" --open OPEN-RECORD --allow-unanchored

   Without the Open record (or the sealed manifest and its key) it says "planned trials: - not anchored": then only the
   signer's word says that no planned trial was left out. This pack carries no timestamp and no transparency log entry;
   --allow-unanchored accepts that: only the signer's word says when it was signed, and that there is no other pack.

2. With cosign, 3.1.3 or newer: signature and digest, for one file at a time; it needs no network

     cosign verify-blob-attestation --key "$key" \\
       --type https://in-toto.io/attestation/test-result/v0.1 \\
       --bundle attestation.sigstore.json --insecure-ignore-tlog run.json

   It prints "Verified OK". Repeat it with the name of every file in place of run.json.
   Not checked: whether files are missing or were added, whether the verdict follows from the rows, whether rows are the
   planned ones, the stage records, time. (--insecure-ignore-tlog: there is no log entry to be checked.)

3. With openssl, jq and sha256sum: signature and the digests of all files

     out=$(mktemp -d)
     jq -r .dsseEnvelope.payload attestation.sigstore.json | base64 -d > "$out/statement"
     jq -r '.dsseEnvelope.signatures[0].sig' attestation.sigstore.json | base64 -d > "$out/signature"
     { printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < "$out/statement")"
       cat "$out/statement"; } > "$out/signed"
     openssl dgst -sha256 -verify "$key" -signature "$out/signature" "$out/signed"
     jq -r '.subject[] | .digest.sha256 + "  " + .name' "$out/statement" | sha256sum --check --strict

   The first check prints "Verified OK", the second "OK" for each file.
   Not checked: whether files were added, and all that cosign does not check either.

The result by itself: jq -r '.verdict' run.json
Leak: somebody saw what is not his. Pass: everything that was asked for was tried with working controls, and nothing was
seen. Inconclusive: neither is shown. What is in run.json, and how every verdict follows from it: docs/pack-format.md.
"""
