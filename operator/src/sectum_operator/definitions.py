"""The three kinds of resource -> their CustomResourceDefinitions, as YAML in `crds/`.

`python -m sectum_operator.definitions DIR` writes them; the same models give the same bytes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from sectum import scenario

from sectum_operator import resources, statuses
from sectum_operator.crd import Schema, structural
from sectum_operator.rules import rules

GROUP, VERSION = "sectum.ai", "v1alpha1"
_HEADER = "# Made by `make crds` from the models; edit those.\n"
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_NAME = {"type": "string", "maxLength": 40, "pattern": "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource; `columns` are (title, JSONPath), those with a `-` before the title only with -o wide."""

    kind: str
    plural: str
    short: str
    doc: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[tuple[str, str], ...]
    selectable: tuple[str, ...]
    name: Schema


def _condition(name: str) -> tuple[str, str]:
    return name, f'.status.conditions[?(@.type=="{name}")].status'


KINDS = (
    Kind(
        kind="IsolationScenario",
        plural="isolationscenarios",
        short="iso",
        doc="What is to be verified: the surfaces of a multi-tenant AI system, as whom, how, and what becomes of it.",
        spec=scenario.Spec,
        status=statuses.ScenarioStatus,
        columns=(
            ("Verdict", ".status.lastRun.verdict"),
            _condition("Passing"),
            _condition("Ready"),
            ("Score", ".status.score"),
            ("Trend", ".status.trend"),
            ("Last run", ".status.lastRun.finishedAt"),
            ("-Run", ".status.lastRun.name"),
            ("-Pack", ".status.lastRun.pack.uri"),
        ),
        selectable=(".status.lastRun.verdict", ".status.trend"),
        name=_NAME,
    ),
    Kind(
        kind="VerificationRun",
        plural="verificationruns",
        short="vrun",
        doc="One run of an IsolationScenario, from planting to a signed EvidencePack.",
        spec=resources.RunSpec,
        status=statuses.RunStatus,
        columns=(
            ("Verdict", ".status.verdict"),
            ("Phase", ".status.phase"),
            ("Scenario", ".spec.scenarioRef.name"),
            ("Leaks", ".status.counts.leak"),
            ("Trials", ".status.counts.planned"),
            ("-Pack", ".status.pack.name"),
            ("-Why", '.status.conditions[?(@.type=="Complete")].reason'),
            ("-Finished", ".status.finishedAt"),
        ),
        selectable=(".spec.scenarioRef.name", ".status.phase", ".status.verdict"),
        name={"type": "string", "maxLength": 63},  # it becomes a label's value
    ),
    Kind(
        kind="EvidencePack",
        plural="evidencepacks",
        short="epack",
        doc="Where the signed evidence of a VerificationRun is stored, and its digests. The evidence is the pack.",
        spec=resources.PackSpec,
        status=statuses.PackStatus,
        columns=(
            ("Verdict", ".status.verdict"),
            _condition("Verified"),
            ("Scenario", ".spec.scenarioRef.name"),
            ("Run", ".spec.runRef.name"),
            ("Retained until", ".status.retainUntil"),
            ("-URI", ".spec.uri"),
        ),
        selectable=(".spec.runRef.name", ".spec.scenarioRef.name", ".status.verdict"),
        name={"type": "string", "maxLength": 253},
    ),
)
_INTEGERS = (".status.score", ".status.counts.leak", ".status.counts.planned")
_PAST = (".status.lastRun.finishedAt", ".status.finishedAt")
"""Shown as an age; a date to come would be shown as invalid."""
_TYPES = dict.fromkeys(_INTEGERS, "integer") | dict.fromkeys(_PAST, "date")


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    names = {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.plural, "singular": kind.kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {**names, "shortNames": [kind.short], "categories": ["sectum"]},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "selectableFields": [{"jsonPath": path} for path in kind.selectable],
                    "additionalPrinterColumns": [*map(_column, kind.columns), _AGE],
                    "schema": {"openAPIV3Schema": _whole(kind)},
                }
            ],
        },
    }


def _column(column: tuple[str, str]) -> dict[str, Any]:
    title, path = column
    wide = {"priority": 1} if title.startswith("-") else {}
    return {"name": title.lstrip("-"), "type": _TYPES.get(path, "string"), "jsonPath": path, **wide}


def _whole(kind: Kind) -> Schema:
    own = rules()
    return {
        "type": "object",
        "description": kind.doc,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind.kind}."},
            "metadata": {"type": "object", "properties": {"name": kind.name}},
            "spec": structural(kind.spec, own),
            "status": structural(kind.status, own),
        },
    }


def files() -> dict[str, str]:
    """File name -> YAML."""
    return {f"{GROUP}_{kind.plural}.yaml": _HEADER + _yaml(definition(kind)) for kind in KINDS}


def _yaml(document: dict[str, Any]) -> str:
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, _data: Any) -> bool:
            return True

    text: str = yaml.dump(document, Dumper=Plain, sort_keys=False, width=120, allow_unicode=True)
    return text


def main(folder: Path) -> None:
    """Write the files and remove what else is of this group."""
    made = files()
    for stale in {path.name for path in folder.glob(f"{GROUP}_*.yaml")} - made.keys():
        (folder / stale).unlink()
    for name, text in made.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
