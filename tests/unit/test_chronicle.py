"""The checklist of a series: whatever was dropped, repeated, swapped or left out makes the line red that names it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sectum import archive, dsse, series
from sectum.checks.slots import OPENING
from sectum.chronicle import Chronicle, chronicle
from sectum.codec import canonical, parse, sha256, unb64
from sectum.testing import MemoryStore
from sectum.verify import Mark

from tests import chronicles
from tests.chronicles import FOLDER, KEY, SIGNER, YEAR, Told, store_of, told_again

WORKERS = chronicles.Remembering()
RECORDS = [f"{FOLDER}{number:06d}.json" for number in range(1, 13)]
PACKS = [f"packs/{each.run}.zip" for each in YEAR]
NO_SCHEDULE: tuple[tuple[str, Any], ...] = ()


def year() -> MemoryStore:
    return store_of(*YEAR)


def check(store: MemoryStore, *, folder: str = FOLDER, allow: bool = False, **asked: Any) -> Chronicle:
    history = asyncio.run(archive.gather(store, folder, key=KEY, workers=WORKERS, **asked))
    return chronicle(history, allow_unanchored=allow)


def failed(told: Chronicle) -> set[str]:
    return {line.id for line in told.lines if line.mark == Mark.FAILED}


def line(told: Chronicle, name: str) -> Any:
    return next(each for each in told.lines if each.id == name)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_year_that_was_left_alone_is_verified_and_says_what_an_auditor_should_know() -> None:
    told = check(year(), since=day("2026-01-01"), until=day("2026-06-02"))
    assert (failed(told), told.summary) == (set(), "verified, unstamped")
    assert [each.id for each in told.lines if each.mark == Mark.OPEN] == ["period", "timestamps"]
    assert line(told, "slots").text == "5 ticks, each run or listed"
    assert line(told, "slots").notes == ("2026-03-01T02:00:00Z was refused (ConcurrencyForbidden), says 000005.json",)
    assert [note.rpartition(": ")[2] for note in line(told, "repeats").notes] == ["asked for by hand; Pass"]
    assert "4 Pass, 1 Leak, 1 Inconclusive" in line(told, "whole").text


def test_what_machines_get_names_every_run_and_every_line() -> None:
    told = check(year()).as_json()
    assert (told["verified"], told["stamped"], told["series"]) == (True, False, FOLDER)
    assert [each["number"] for each in told["steps"]] == list(range(1, 13))
    assert [each["outcome"] for each in told["runs"]] == [each.outcome for each in YEAR]
    assert [each["slot"] for each in told["runs"]] == [each.slot for each in YEAR]
    assert all(each["packVerified"] and each["cancelled"] is False for each in told["runs"])


@pytest.mark.parametrize("name", [*RECORDS, *PACKS])
def test_a_record_or_pack_that_is_taken_away_shows(name: str) -> None:
    store = year()
    del store.objects[name]
    told = check(store)
    assert not told.verified
    if name in PACKS:
        assert failed(told) == {"packs"}
        assert line(told, "packs").text.endswith("its pack is not in the store")
    elif name == RECORDS[-1]:
        assert failed(told) == {"pairs"}
        assert "has a pack but no Close" in line(told, "pairs").text
    else:
        assert failed(told) >= {"numbers"}
        assert f"{name.removeprefix(FOLDER)} is missing" in line(told, "numbers").faults


@pytest.mark.parametrize("place", range(11))
@pytest.mark.parametrize("distance", [1, 2, 5])
def test_two_records_that_change_places_show(place: int, distance: int) -> None:
    one, other = RECORDS[place], RECORDS[(place + distance) % 12]
    store = year()
    store.objects[one], store.objects[other] = store.objects[other], store.objects[one]
    assert failed(check(store)) >= {"numbers"}


@pytest.mark.parametrize("place", range(5))
def test_two_packs_that_change_places_show(place: int) -> None:
    store = year()
    one, other = PACKS[place], PACKS[place + 1]
    store.objects[one], store.objects[other] = store.objects[other], store.objects[one]
    told = check(store)
    assert failed(told) == {"packs"}
    assert len(line(told, "packs").faults) == 4  # another one, and it does not verify, twice


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([*RECORDS, *PACKS]), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_that_is_changed_shows(name: str, place: float, bit: int) -> None:
    store = year()
    data = bytearray(store.objects[name])
    data[int(place * len(data))] ^= 1 << bit
    store.objects[name] = bytes(data)
    told = check(store)
    assert not told.verified
    assert failed(told) >= ({"packs"} if name in PACKS else {"numbers"} if name != RECORDS[-1] else {"records"})


def again(record: bytes, *, signer: Any = SIGNER, kind: str | None = None, **changed: Any) -> bytes:
    """The record with other members, signed."""
    envelope = parse(record)
    body = {**parse(unb64(envelope["payload"])), **changed}
    made = dsse.envelope(kind or envelope["payloadType"], canonical(body), sign=signer.sign, keyid=signer.keyid)
    return canonical(made)


def with_last(**changed: Any) -> MemoryStore:
    """The year with its last Close told otherwise by the signer: nothing after it names its digest."""
    store = year()
    store.objects[RECORDS[-1]] = again(store.objects[RECORDS[-1]], **changed)
    return store


def copied(source: str, target: str, store: MemoryStore | None = None) -> MemoryStore:
    store = store or year()
    store.objects[target] = store.objects[source]
    return store


def other_series() -> MemoryStore:
    """The records of another scenario with the same signer in the place of this one's."""
    return store_of(*(replace(each, name="other") for each in YEAR))


def replayed(number: int) -> MemoryStore:
    store = year()
    store.objects[RECORDS[number]] = other_series().objects[RECORDS[number]]
    return store


def dropped(*numbers: int) -> MemoryStore:
    """The signer tells the year as if there had not been these runs."""
    return store_of(*(each for each in YEAR if each.number not in numbers))


def late_pack() -> MemoryStore:
    """A run that was closed as Abandoned has a pack all the same."""
    return copied(PACKS[0], PACKS[4], store_of(*told_again(5, outcome="Abandoned")))


def unclosed() -> MemoryStore:
    return store_of(*told_again(4, closed=False))


def by_another_signer() -> MemoryStore:
    other = chronicles.runs.new_signer()
    return store_of(*(replace(each, signer=other) for each in YEAR))


CASES: dict[str, tuple[Callable[[], MemoryStore], set[str], str]] = {
    "copy beside": (lambda: copied(RECORDS[2], f"{FOLDER}000003b.json"), {"numbers"}, "000003b.json lies beside"),
    "copy at the end": (lambda: copied(RECORDS[11], f"{FOLDER}000013.json"), {"numbers", "pairs"}, "number 12"),
    "replayed open": (lambda: replayed(4), {"numbers", "packs", "slots", "scenario"}, "names another record"),
    "replayed close": (lambda: replayed(11), {"numbers", "packs"}, "its pack is another one than its Close names"),
    "another series": (other_series, {"scenario"}, "of another scenario than the series"),
    "another signer": (by_another_signer, {"records", "leftovers"}, "not signed by this key"),
    "nothing": (MemoryStore, {"records"}, "there is no record"),
    "a close of another run": (lambda: with_last(run=YEAR[0].run), {"pairs"}, "not the one under way"),
    "a close of no shape": (lambda: with_last(more=1), {"records", "pairs"}, "not of the known shape"),
    "a close on no calendar": (lambda: with_last(at="2026-19-39T29:00:00.000Z"), {"records", "pairs"}, "no calendar"),
    "a close of another type": (
        lambda: with_last(kind="application/vnd.sectum.record+json"),
        {"records", "pairs"},
        "no Open or Close record",
    ),
    "a close without pack": (lambda: with_last(pack=None), {"pairs", "packs"}, "says Pass and names no pack"),
    "another outcome": (lambda: with_last(outcome="Inconclusive"), {"packs"}, "but its pack says Pass"),
    "another pack": (lambda: with_last(pack="0" * 64), {"packs"}, "another one than its Close names"),
    "another number": (lambda: with_last(sequence=11), {"numbers"}, "says that it is number 11"),
    "another before": (lambda: with_last(previous="0" * 64), {"numbers"}, "names another record as the one before"),
    "dated back": (lambda: with_last(at="2026-05-31T00:00:00.000Z"), {"numbers"}, "is dated before"),
    "not closed": (unclosed, {"pairs"}, "not closed before 000008.json opens another"),
    "a run twice": (lambda: store_of(*YEAR, replace(YEAR[5], at="2026-06-02T00:00:00.000Z", slot=None)),
                    {"pairs", "packs"}, "opens a run again"),
    "a leftover": (lambda: copied(PACKS[0], "packs/0badc0de-0000-4000-8000-000000000000.zip"), {"leftovers"},
                   "is of no run of the series"),
    "a leftover that nobody can read": (lambda: copied(RECORDS[0], "packs/a b.zip"), {"leftovers"}, "a b.zip"),
    "abandoned": (lambda: store_of(*told_again(5, outcome="Abandoned")), {"whole"}, "abandoned"),
    "abandoned with a pack": (late_pack, {"whole", "packs"}, "closed as Abandoned, but has a pack"),
    "cancelled": (lambda: store_of(*told_again(5, cancelled=True, outcome="Inconclusive")), {"whole"}, "cancelled"),
    "subset": (lambda: store_of(*told_again(5, subset=("boundary-fetch",))), {"whole"}, "a part of the scenario"),
    "left out": (lambda: dropped(5), {"slots"}, "2026-05-01T01:00:00Z: neither run nor listed"),
    "two left out": (lambda: dropped(3, 4, 5), {"slots"}, "3 ticks between 2026-03-01T02:00:00Z and 2026-05-01"),
    "refused, not listed": (lambda: store_of(*told_again(3, refused=())), {"slots"}, "2026-03-01T02:00:00Z: neither"),
    "listed before it came": (
        lambda: store_of(*(replace(each, refused=(chronicles.REFUSED,) * (each.number == 2)) for each in YEAR)),
        {"slots"}, "2026-03-01T02:00:00Z: neither"),
    "a slot twice": (lambda: store_of(*told_again(4, slot=YEAR[2].slot)), {"repeats"}, "was run 2 times"),
    "run and refused": (lambda: store_of(*told_again(6, refused=((YEAR[4].slot or "", "Late"),))), {"repeats"},
                        "was run and is listed as refused"),
    "no tick": (lambda: store_of(*told_again(4, slot="2026-04-10T09:00:00Z")), {"slots"}, "is no tick of its schedule"),
    "before its tick": (lambda: store_of(*told_again(4, slot="2026-05-01T01:00:00Z")), {"slots", "repeats"},
                        "opened before its tick"),
    "spent made up": (lambda: store_of(*told_again(5, spent=0.25)), {"alpha"}, "0.25 was spent in 2026, not 0"),
    "spent within bounds": (lambda: store_of(*told_again(2, used=0.25, reserved=0.5)), set(), ""),
    "spent too much": (lambda: store_of(*told_again(2, used=0.25, reserved=0.125)), {"alpha"}, "had reserved 0.125"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_line_says_what_is_wrong_and_no_other_line_does(case: str) -> None:
    make, expected, text = CASES[case]
    told = check(make())
    assert failed(told) == expected
    assert told.verified == (not expected)
    said = [fault for each in told.lines for fault in each.faults]
    assert any(text in fault for fault in said) or not expected, said


def test_a_run_under_way_and_a_tail_that_was_taken_away_look_alike_and_are_not_verified() -> None:
    store = year()
    for name in (RECORDS[-1], PACKS[-1]):
        del store.objects[name]
    told = check(store)
    assert (failed(told), line(told, "pairs").mark, told.verified) == (set(), Mark.OPEN, False)
    assert "under way, or Close and pack were taken away" in line(told, "pairs").text
    assert check(store, until=day("2026-06-01")).verified


def test_a_whole_run_that_was_taken_away_at_the_end_shows_only_by_its_tick() -> None:
    tail = [*RECORDS[-2:], PACKS[-1], f"manifests/{YEAR[-1].run}.sealed.json"]
    store = year()
    for name in tail:
        del store.objects[name]
    assert check(store).verified
    tick, grace = datetime(2026, 6, 1, 1, tzinfo=UTC), chronicles.timedelta(hours=1) + OPENING
    assert check(store, until=tick + grace - chronicles.timedelta(seconds=1)).verified
    told = check(store, until=tick + grace)
    assert failed(told) == {"slots"}
    assert line(told, "slots").text.startswith("2026-06-01T01:00:00Z: neither run nor listed")


def test_a_tick_during_the_last_run_waits_for_the_next_open_record() -> None:
    minutes = (("schedule", "*/20 * * * *"),)
    first = Told(1, "2026-01-01T00:01:00.000Z", slot="2026-01-01T00:00:00Z", schedule=minutes)
    told = check(store_of(first))
    assert told.verified
    [note] = line(told, "slots").notes
    assert note.startswith("2026-01-01T00:20:00Z: not yet run or listed")
    slow = replace(first, number=3, at="2026-01-01T01:05:00.000Z", slot="2026-01-01T00:40:00Z")
    told = check(store_of(replace(first, number=4), replace(slow, refused=(("2026-01-01T00:20:00Z", "Forbidden"),))))
    assert told.verified
    assert [note[:21] for note in line(told, "slots").notes[1:]] == ["2026-01-01T01:00:00Z:", "2026-01-01T01:20:00Z:"]
    later = replace(first, number=2, at="2026-01-01T00:41:00.000Z", slot="2026-01-01T00:40:00Z")
    assert failed(check(store_of(first, later))) == {"slots"}
    listed = replace(later, refused=(("2026-01-01T00:20:00Z", "ConcurrencyForbidden"),))
    assert failed(check(store_of(first, listed))) == set()


def test_a_period_looks_at_its_own_runs_and_at_the_schedule_of_the_run_before_it() -> None:
    store = year()
    for name in PACKS[:4]:
        del store.objects[name]
    assert failed(check(store)) == {"packs"}
    told = check(store, since=day("2026-04-15"))
    assert told.verified
    assert "2 of 6 runs looked at" in line(told, "period").text
    lost = dropped(5)
    assert failed(check(lost, since=day("2026-04-15"))) == {"slots"}
    del lost.objects[f"manifests/{YEAR[3].run}.sealed.json"]
    assert "to tell its schedule" in line(check(lost, since=day("2026-04-15")), "slots").text
    assert failed(check(store, since=day("2027-01-01"))) == {"period"}


def test_a_sealed_manifest_of_another_scenario_does_not_tell_the_schedule() -> None:
    abandoned, name = told_again(5, outcome="Abandoned"), f"manifests/{YEAR[4].run}.sealed.json"
    store = store_of(*abandoned)
    assert failed(check(store)) == {"whole"}
    store.objects[name] = store_of(replace(YEAR[4], schedule=NO_SCHEDULE)).objects[name]
    told = check(store)
    assert failed(told) == {"whole", "slots"}
    assert "to tell its schedule" in line(told, "slots").faults[0]


def test_a_schedule_that_changes_holds_from_the_first_run_on_that_knows_it() -> None:
    daily = (("schedule", "0 3 * * *"),)
    known = (*YEAR[:4], Told(5, "2026-04-11T03:01:00.000Z", slot="2026-04-11T03:00:00Z", schedule=daily, generation=2))
    told = check(store_of(*known))
    assert told.verified
    assert "the scenario changed, generation 1" in line(told, "scenario").notes[0]
    assert failed(check(store_of(*known, replace(known[-1], number=6, at="2026-04-13T03:01:00.000Z", slot=None)))) == {
        "slots"
    }


def test_without_a_schedule_and_in_a_local_series_gaps_cannot_be_told() -> None:
    unscheduled = [replace(each, slot=None, refused=(), schedule=NO_SCHEDULE) for each in YEAR]
    local = [replace(each, uid=None, namespace=None, slot=None, refused=()) for each in YEAR]
    for told in (check(store_of(*unscheduled)), check(store_of(*local, folder="series/"), folder="series/")):
        assert told.verified
        assert line(told, "slots").mark == Mark.OPEN
        assert "cannot be told" in line(told, "slots").text
        assert len(line(told, "repeats").notes) == 6


def test_the_years_alpha_adds_up_and_begins_anew_with_the_year() -> None:
    first = replace(YEAR[0], at="2025-12-31T23:50:00.000Z", slot=None, reserved=0.5, used=0.25, refused=())
    second = replace(YEAR[1], at="2026-01-01T02:00:30.000Z", slot="2026-01-01T02:00:00Z", reserved=0.125, used=0.125)
    told = check(store_of(first, second))
    assert told.verified  # the first was closed in the new year, and counts there
    assert line(told, "alpha").text == "2025: 0 spent; 2026: 0.375 spent"
    assert failed(check(store_of(first, replace(second, spent=0)))) == {"alpha"}


def test_older_records_may_have_been_let_go_if_the_verifier_says_so() -> None:
    store = year()
    for name in RECORDS[:4] + PACKS[:2]:
        del store.objects[name]
    assert failed(check(store)) == {"numbers"}
    told = check(store, first=5)
    assert told.verified
    assert line(told, "numbers").notes == ("records 1 to 4 were not asked for",)
    del store.objects[RECORDS[4]]
    assert "000005.json is missing" in line(check(store, first=5), "numbers").faults


def test_a_pack_of_another_scenario_in_the_same_store_is_none_of_the_series() -> None:
    store = year()
    other = store_of(replace(YEAR[0], number=77, name="other"))
    [name] = [name for name in other.objects if name.startswith("packs/")]
    store.objects[name] = other.objects[name]
    told = check(store)
    assert told.verified
    assert line(told, "leftovers").notes == ("1 packs of other scenarios are in the store",)


def test_packs_of_another_version_stay_open_unless_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def newer(pack: bytes, key: bytes, opened: bytes) -> Any:
        return replace(archive_judged(pack, key, opened), open_steps=("step 6 (plan)",))

    archive_judged = archive.judged
    monkeypatch.setattr(archive, "judged", newer)
    store = year()
    history = asyncio.run(archive.gather(store, FOLDER, key=KEY))
    told = chronicle(history)
    assert (told.verified, failed(told)) == (False, set())
    assert told.summary == "NOT VERIFIED: line 4 (packs); --allow-unanchored accepts that"
    assert chronicle(history, allow_unanchored=True).verified


def test_the_series_in_a_store_are_found() -> None:
    store = year()
    store.objects["series/000001.json"] = store.objects["series/demo/odd"] = b""
    assert asyncio.run(archive.series_in(store)) == ["series/", FOLDER]


def test_what_the_closing_stage_writes_is_of_the_strict_shape() -> None:
    store = MemoryStore()
    opened, zipped, _ = chronicles.sample(YEAR[0], 1, None, 0)
    store.objects[RECORDS[0]], store.objects[PACKS[0]] = opened, zipped
    closing = {"run": YEAR[0].run, "at": YEAR[0].closed_at, "outcome": "Pass", "pack": sha256(zipped)}
    asyncio.run(series.close(store, SIGNER, FOLDER, **closing))
    assert check(store).verified
