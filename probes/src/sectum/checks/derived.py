"""Rows of run.json -> do its outcomes, findings, cells and verdict follow from them? (step 9)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sectum.checks.case import Case, Failed
from sectum.codec import canonical
from sectum.verdict import derive


def verdicts(case: Case) -> str:
    """9: outcomes, findings, cells and the verdict follow from the rows."""
    run = case.run
    known = {each["id"] for each in [*run["markers"], *run["decoys"]]}
    if any(name not in known for row in run["rows"] for name in _names(row)):
        raise Failed("a row names a marker that is not in run.json's list")
    derived = derive(run)
    stated = [{name: row[name] for name in ("slot", "outcome", "reason")} for row in run["rows"]]
    for row, outcome in zip(stated, derived["outcomes"], strict=True):
        if row != outcome:
            raise Failed(f"slot {row['slot']}: says {row['outcome']}, its arms lead to {outcome['outcome']}")
    for name in ("findings", "cells", "verdict"):
        if canonical(run[name]) != canonical(derived[name]):
            do = "does" if name == "verdict" else "do"
            raise Failed(f"the {name} of run.json {do} not follow from its rows")
    return f"derived again from {len(stated)} rows: {run['verdict']}, {len(run['findings'])} findings"


def _names(row: Mapping[str, Any]) -> Iterator[str]:
    yield row["marker"]
    yield row["decoy"]
    for arm in row["arms"]:
        yield from arm["sent"]
        yield from (seen["marker"] for seen in arm["seen"])
