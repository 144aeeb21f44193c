"""docs/pack-format.md is normative: its tables name exactly the fields that runs, records and anchors have."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sectum import document, series
from sectum.actions import CLEAN_REFUSALS, FAULTS, AnswerKind, Verb
from sectum.codec import parse, unb64
from sectum.container import from_zip
from sectum.manifest import unseal
from sectum.plan import COUNTS_AS_COVERED, PLANNED_FIELDS, SkipReason
from sectum.reasons import Reason
from sectum.records import RecordKind, Stage
from sectum.scenario import SurfaceKind
from sectum.testing import API_VERBS, Audience, MemoryStore, MemorySurface, memory_scenario, memory_secrets, try_out

from tests import runs

PAGE = Path(__file__).parents[2] / "docs" / "pack-format.md"
Object = Mapping[str, Any]
Found = dict[str, list[Object]]
"""Heading of the page -> objects that its tables describe."""

BOUND = "What the run is bound to"
NESTED = ("scenario", "versions", "open", "manifest", "plan")
DERIVED = {"outcome", "reason"}


def sections() -> dict[str, list[str]]:
    """Heading -> the lines under it."""
    found: dict[str, list[str]] = defaultdict(list)
    heading = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").replace("`", "")
            assert heading not in found, f"two headings {heading}"
            found[heading] = []
        else:
            found[heading].append(line)
    return found


def fields(heading: str) -> set[str]:
    """What is set in backticks in the first column of the tables under a heading; no name stands there twice."""
    cells = [line.split("|")[1] for line in sections()[heading] if line.startswith("| `")]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert len(set(names)) == len(names), f"{heading}: named twice"
    return set(names)


def envelope(data: bytes) -> Any:
    """What the payload of a DSSE envelope is."""
    return parse(unb64(parse(data)["payload"]))


def of_run(run: Object) -> Iterator[tuple[str, Object]]:
    """Every object in a run.json with the heading that describes it."""
    yield "run.json", run
    yield BOUND, {f"{name}.{key}": value for name in NESTED for key, value in run[name].items()}
    arms = [arm for row in run["rows"] for arm in row["arms"]]
    covered = [cell for cell in run["cells"] if cell["outcome"] != "NotCovered"]
    lists: dict[str, Iterable[Object]] = {
        "Markers": run["markers"],
        "Decoys": run["decoys"],
        "Rows": run["rows"],
        "Arms": arms,
        "Sightings": [seen for arm in arms for seen in arm["seen"]],
        "Skips": run["skips"],
        "Surfaces": run["surfaces"],
        "Findings": run["findings"],
        "Cells": covered,
        "Cells that are not covered": [cell for cell in run["cells"] if cell["outcome"] == "NotCovered"],
        "Ways": [way for cell in covered for way in cell["ways"]],
        "Effect": [cell["effect"] for cell in covered if cell["effect"]],
    }
    yield from ((heading, each) for heading, objects in lists.items() for each in objects)


def of_records(files: Iterable[bytes]) -> Iterator[tuple[str, Object]]:
    """Every head, and the bodies of all stages and kinds as one object."""
    bodies: dict[str, Any] = {}
    for record in map(envelope, files):
        yield "Heads", record
        bodies |= {f"{record['stage']}.{record['kind']}.{name}": value for name, value in record["body"].items()}
        rows = [*record["body"].get("rows", ()), *([record["body"]["row"]] if "row" in record["body"] else [])]
        yield from (("Rows", {**row, **dict.fromkeys(DERIVED)}) for row in rows if not DERIVED & row.keys())
    yield "Bodies", bodies


def of_sealed(sealed: bytes, plaintext: Object) -> Iterator[tuple[str, Object]]:
    """A sealed manifest's parts."""
    box = parse(sealed)
    yield "The sealed manifest", box
    yield "Its header", box["header"]
    yield "Its plaintext", plaintext
    yield from (("Its markers and decoys", each) for each in [*plaintext["markers"], *plaintext["decoys"]])


def of_series(record: bytes) -> Iterator[tuple[str, Object]]:
    """An Open or Close record; what it shares with run.json has the same members there."""
    body = envelope(record)
    opens = body["schema"] == "sectum.ai/open/v1"
    yield "The Open record" if opens else "The Close record", body
    if opens:
        both = {f"{name}.{key}" for name in ("plan", "manifest") for key in body[name]}
        assert both == {name for name in fields(BOUND) if name.startswith(("plan.", "manifest."))}
        assert set(body["scenario"]) == {"name", "digest"}


@cache
def sampled() -> Found:
    """The sample that most tests of packs use, with two leaks."""
    sample = runs.sample(play=runs.every(leak=lambda number, _trial: number in (0, 9)))
    parts = [
        *of_run(sample.run),
        *of_records(sample.records.values()),
        *of_sealed(sample.sealed, parse(sample.manifest.plaintext())),
        *of_series(sample.open_record),
        *of_series(
            series.close_record(
                signer=sample.signer,
                run=runs.RUN_ID,
                at=runs.ENDED,
                outcome="Leak",
                pack="0" * 64,
                sequence=2,
                previous="1" * 64,
            )
        ),
    ]
    return gathered(parts)


@cache
def tried() -> Found:
    """A whole run: a leak, a baseline, and a surface on which nothing that was asked for can be tried."""
    consent = ["read", "write-own", "visible-to-others"]
    surfaces = {
        "leaky": MemorySurface(leaky_fetch=Audience.EVERYBODY, leaky_search=Audience.EVERYBODY),
        "poor": MemorySurface(verbs=API_VERBS - {Verb.FETCH, Verb.BATCH, Verb.ASK, Verb.ASK_CACHED, Verb.SEARCH}),
    }
    asked = {"attacks": ["corpus-poisoning", "boundary-fetch"]}
    scenario = memory_scenario(surfaces, surface_fields=asked, allowImpact=consent)
    store, secret = MemoryStore(), memory_secrets()
    ended = asyncio.run(try_out(scenario, store=store, secret=secret))
    members = from_zip(store.objects[ended.pack])
    sealed = store.objects[ended.manifest]
    manifest, _ = unseal(sealed, scenario.spec.manifest.spec.wrapper(secret))
    parts = [
        *of_run(parse(members["run.json"])),
        *of_records(data for name, data in members.items() if name.startswith("records/")),
        *of_sealed(sealed, parse(manifest.plaintext())),
        *(
            each
            for name in sorted(store.objects)
            if name.startswith("series/")
            for each in of_series(store.objects[name])
        ),
    ]
    return gathered(parts)


def gathered(parts: Iterable[tuple[str, Object]]) -> Found:
    """Objects by heading."""
    found: Found = defaultdict(list)
    for heading, each in parts:
        found[heading].append(each)
    return found


HEADINGS = sorted(
    {"run.json", BOUND, "Markers", "Decoys", "Rows", "Arms", "Sightings", "Skips", "Surfaces", "Findings", "Cells"}
    | {"Cells that are not covered", "Ways", "Effect", "Heads", "Bodies", "The Open record", "The Close record"}
    | {"The sealed manifest", "Its header", "Its plaintext", "Its markers and decoys"}
)
SEEN_BY_NOBODY = {"baseline.leak.slot", "baseline.leak.row"}
"""Before anything is planted no run of ours sees a marker."""
NOT_IN_THE_SAMPLE = {"Cells that are not covered", "Effect"}


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_whole_run_has_the_fields_that_the_page_names_and_no_others(heading: str) -> None:
    assert tried()[heading], "the run has none"
    for each in tried()[heading]:
        assert set(each) == fields(heading) - SEEN_BY_NOBODY


@pytest.mark.parametrize("heading", [each for each in HEADINGS if each not in NOT_IN_THE_SAMPLE])
def test_the_sample_has_them_too(heading: str) -> None:
    assert sampled()[heading], "the sample has none"
    for each in sampled()[heading]:
        assert set(each) == fields(heading) - SEEN_BY_NOBODY


def test_the_bodies_are_those_that_a_verifier_takes() -> None:
    taken = {
        f"{stage}.{kind}.{field.alias or name}"
        for (stage, kind), model in document._BODIES.items()
        for name, field in model.model_fields.items()
    }
    assert fields("Bodies") == taken


def test_every_table_of_fields_is_compared() -> None:
    described = {heading for heading, lines in sections().items() if "| member | value |" in lines}
    assert described == set(HEADINGS)


def test_the_thirteen_planned_members_are_those_of_the_first_table_of_rows() -> None:
    first = "\n".join(sections()["Rows"]).split("Played,")[0]
    cells = [line.split("|")[1] for line in first.splitlines() if line.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)} == set(PLANNED_FIELDS)
    assert len(PLANNED_FIELDS) == 13


ENUMERATIONS: dict[str, Iterable[StrEnum]] = {
    "kinds of answer that bring something": frozenset(AnswerKind) - FAULTS - CLEAN_REFUSALS,
    "kinds of answer that refuse cleanly": CLEAN_REFUSALS,
    "kinds of answer that are faults": FAULTS,
    "reasons of rows and surfaces": Reason,
    "reasons of skips that leave nothing uncovered": COUNTS_AS_COVERED,
    "other reasons of skips": frozenset(SkipReason) - COUNTS_AS_COVERED,
    "kinds of surface": SurfaceKind,
}


def test_the_enumerations_are_the_codes() -> None:
    rows = [line.split("|") for line in sections()["Enumerations"] if line.startswith("| ") and "`" in line]
    named = {row[1].strip(): sorted(re.findall(r"`([^`]+)`", row[2])) for row in rows}
    assert named == {what: sorted(map(str, values)) for what, values in ENUMERATIONS.items()}


def test_every_stage_and_kind_of_record_has_a_line() -> None:
    rows = [re.findall(r"`([a-z]+)`", line) for line in sections()["Stage records"] if line.startswith("| `")]
    bodies = {tuple(name.split(".")[:2]) for name in fields("Bodies")}
    assert {tuple(row[:2]) for row in rows} == bodies
    assert {stage for stage, _ in bodies} == set(Stage)
    assert {kind for _, kind in bodies} == set(RecordKind)
