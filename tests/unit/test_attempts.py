"""Records -> attempts: which of a surface's records belong together, and what shows that one is missing or too many."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sectum.attempts import Attempts, attempts_of
from sectum.records import Record, RecordKind, Signed, Stage, sign_record

KEY = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x07")
START, LEAK, RESULT = RecordKind
FIRST = Record(
    run="r",
    manifest="0" * 64,
    stage="probe",
    surface="api",
    attempt=1,
    kind=START,
    number=0,
    previous=None,
    pod=None,
    image=None,
    body={},
)


def signed(record: Record, **parts: Any) -> Signed:
    changed = replace(record, **parts)
    return Signed(changed, sign_record(changed, KEY))


def chain(*kinds: RecordKind, attempt: int = 1, after: Signed | None = None, **parts: Any) -> list[Signed]:
    """An attempt with records of these kinds."""
    made: list[Signed] = []
    for number, kind in enumerate(kinds):
        body = names(after) if kind == START else {"what": number}
        before = made[-1].digest if made else None
        head = {"attempt": attempt, "kind": kind, "number": number, "previous": before, **parts}
        made.append(signed(FIRST, **head, body=body))
    return made


def names(*last: Signed | None) -> dict[str, Any]:
    """A start's body that names these records, each as its stage's."""
    given = {each.record.stage: each.digest for each in last if each}
    return {"after": {str(stage): given.get(str(stage)) for stage in Stage}}


@cache
def three() -> tuple[Signed, ...]:
    """Three probes: the first lost after a Leak, the second ended, the third lost at once."""
    first = chain(START, LEAK)
    second = chain(START, LEAK, LEAK, RESULT, attempt=2, after=first[-1])
    return (*first, *second, *chain(START, attempt=3, after=second[-1]))


def faults(records: list[Signed]) -> list[str]:
    return list(attempts_of(records, "api").faults())


def test_the_attempts_of_a_surface_are_told_apart_in_whatever_order_their_records_come() -> None:
    others = [*chain(START, surface="other"), *chain(START, RESULT, stage="plant")]
    found: Attempts = attempts_of([*reversed(three()), *others], "api")
    assert [[each.record.kind for each in attempt.signed] for attempt in found.of[Stage.PROBE]] == [
        [START, LEAK],
        [START, LEAK, LEAK, RESULT],
        [START],
    ]
    assert [len(found.of[stage]) for stage in Stage] == [0, 1, 3, 0]
    assert list(found.faults()) == []


def test_the_last_that_ended_is_not_what_the_stage_concluded_if_one_more_was_begun() -> None:
    found = attempts_of(three(), "api")
    last = found.finished(Stage.PROBE)
    assert last is not None
    assert last.number == 2
    assert found.concluded(Stage.PROBE) is None
    assert attempts_of(three()[:-1], "api").concluded(Stage.PROBE) == {"what": 3}
    assert (found.finished(Stage.CLEAN), found.concluded(Stage.CLEAN)) == (None, None)
    assert [len(attempt.leaks) for attempt in found.of[Stage.PROBE]] == [1, 2, 0]


@pytest.mark.parametrize("stage", ["baseline", "plant", "clean"])
def test_an_attempt_that_left_no_record_is_none(stage: str) -> None:
    """A pod that never started: the next one has its number and names the one before."""
    first = chain(START, RESULT, attempt=2, stage=stage)
    assert faults([*first, *chain(START, RESULT, attempt=5, after=first[-1], stage=stage)]) == []


def test_of_a_probe_that_left_no_record_nobody_knows_what_it_saw() -> None:
    assert faults(chain(START, RESULT, attempt=2)) == ["probe: nothing is there of attempt 1"]


EDITS: dict[str, Callable[[list[Signed]], list[Signed]]] = {
    "a start missing": lambda all_: all_[1:],
    "a Leak record of a lost attempt missing": lambda all_: [*all_[:1], *all_[2:]],
    "the first attempt missing": lambda all_: all_[2:],
    "an attempt between missing": lambda all_: [*all_[:2], *all_[6:]],
    "one in the middle missing": lambda all_: [*all_[:3], *all_[4:]],
    "a result missing, and one more begun": lambda all_: [*all_[:5], *all_[6:]],
    "one there twice": lambda all_: [*all_, all_[3]],
    "another of the same number": lambda all_: [*all_, signed(all_[3].record, body={"what": 99})],
    "one after the result": lambda all_: [
        *all_[:6],
        signed(all_[5].record, kind=LEAK, number=4, previous=all_[5].digest),
    ],
    "two starts": lambda all_: [*all_[:6], signed(all_[2].record, number=4, previous=all_[5].digest)],
    "numbers that changed places": lambda all_: [
        *all_[:3],
        signed(all_[3].record, number=2),
        signed(all_[4].record, number=1),
        *all_[5:],
    ],
    "a number left out": lambda all_: [*all_[:5], signed(all_[5].record, number=4)],
    "a start that names another": lambda all_: [*all_[:6], signed(all_[6].record, body=names(signed(FIRST, number=9)))],
    "a start that names none": lambda all_: [*all_[:6], signed(all_[6].record, body=names())],
    "a first that names one": lambda _all: chain(START, after=three()[0]),
    "one of another attempt": lambda all_: [*all_, signed(all_[3].record, attempt=3)],
}


@pytest.mark.parametrize("edit", EDITS)
def test_records_that_are_not_whole_have_a_fault(edit: str) -> None:
    assert faults(EDITS[edit](list(three()))) != []


def over() -> list[Signed]:
    """A surface's stages, each once; each start names all that was before."""
    made: list[Signed] = []
    for stage in Stage:
        start = signed(FIRST, stage=str(stage), body=names(*made[1::2]))
        end = signed(FIRST, stage=str(stage), kind=RESULT, number=1, previous=start.digest, body={"notRemoved": 0})
        made += [start, end]
    return made


def test_a_start_names_the_last_record_of_every_stage() -> None:
    found = attempts_of(over(), "api")
    assert list(found.faults()) == []
    assert (found.cleaned, found.left) == (True, 0)
    assert found.end(Stage.PLANT) == over()[3].digest
    assert attempts_of([], "api").end(Stage.PLANT) is None


@pytest.mark.parametrize("stage", [Stage.BASELINE, Stage.PLANT, Stage.PROBE])
@pytest.mark.parametrize("how", ["all", "the last", "one more"])
def test_what_a_start_of_another_stage_names_is_there_and_is_the_last_of_its_attempt(stage: Stage, how: str) -> None:
    all_ = over()
    start, end = (each for each in all_ if each.record.stage == stage)
    more = signed(end.record, kind=LEAK, number=2, previous=end.digest)
    changed = {
        "all": [each for each in all_ if each not in (start, end)],
        "the last": [each for each in all_ if each is not end],
        "one more": [*all_, more],
    }
    assert any(f"record of {stage} " in fault for fault in faults(changed[how]))


@pytest.mark.parametrize("stage", [Stage.BASELINE, Stage.PLANT, Stage.PROBE])
def test_cleaning_that_was_begun_before_an_attempt_ended_was_not_the_last_word(stage: Stage) -> None:
    all_ = over()
    mine = [each for each in all_ if each.record.stage == stage]
    start = signed(mine[0].record, attempt=2, body=names(*all_[1::2]))
    end = signed(mine[1].record, attempt=2, previous=start.digest)
    found = attempts_of([*all_, start, end], "api")
    assert list(found.faults()) == []
    assert not found.cleaned
    assert (found.left is None) == (stage == Stage.PLANT)


@pytest.mark.parametrize("kept", [6, 7])
def test_cleaning_that_is_not_there_or_was_lost_did_not_end(kept: int) -> None:
    found = attempts_of(over()[:kept], "api")
    assert (found.cleaned, found.left) == (False, None)
