"""Ticks of a schedule: those of a Kubernetes CronJob, and no expression that could mean two things."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sectum.cron import BadSchedule, check, ticks, zone


def told(expression: str, time_zone: str, after: str, until: str) -> list[str]:
    first, last = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (after, until))
    return [f"{each:%Y-%m-%dT%H:%M}" for each in ticks(expression, time_zone, after=first, until=last)]


def test_a_month_begins_where_the_zone_says() -> None:
    assert told("@monthly", "Asia/Kolkata", "2026-01-01", "2026-03-01") == ["2026-01-31T18:30", "2026-02-28T18:30"]


def test_a_tick_at_the_beginning_is_behind_and_one_at_the_end_is_not() -> None:
    assert told("0 0 * * *", "Etc/UTC", "2026-01-01", "2026-01-03") == ["2026-01-02T00:00", "2026-01-03T00:00"]


def test_a_skipped_time_has_no_tick_and_a_repeated_one_has_two() -> None:
    assert told("30 2 * * *", "America/New_York", "2026-03-07", "2026-03-10") == [
        "2026-03-07T07:30",
        "2026-03-09T06:30",
    ]
    repeated = told("30 1 * * *", "America/New_York", "2026-11-01", "2026-11-02")
    assert repeated == ["2026-11-01T05:30", "2026-11-01T06:30"]


def test_both_day_fields_mean_either() -> None:
    # 2026-01-01 is a Thursday: the 15th, and every Monday.
    assert [each[8:10] for each in told("0 0 15 * mon", "Etc/UTC", "2026-01-01", "2026-01-20")] == [
        "05",
        "12",
        "15",
        "19",
    ]


ZONES = ["Europe/Berlin", "Australia/Lord_Howe", "Etc/UTC"]


@given(st.sampled_from([0, 15, 30]), st.integers(0, 23), st.sampled_from(ZONES), st.integers(0, 2 * 365 * 24 * 60))
def test_it_is_every_minute_whose_wall_clock_fits(minute: int, hour: int, where: str, later: int) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=later)
    minutes = [start + timedelta(minutes=each) for each in range(1, 2 * 24 * 60 + 1)]
    local = [(each, each.astimezone(ZoneInfo(where))) for each in minutes]
    expected = [each for each, wall in local if (wall.hour, wall.minute) == (hour, minute)]
    assert list(ticks(f"{minute} {hour} * * *", where, after=start, until=minutes[-1])) == expected


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("* * * *", "five fields"),
        ("*  * * * *", "five fields"),
        ("@every 1h", "five fields"),
        ("5/15 * * * *", "five fields"),
        ("0 0 L * *", "five fields"),
        ("TZ=UTC 0 0 * * *", "five fields"),
        ("0 0 * * 7", "Sunday as 0"),
        ("0 0 */2 * 1", "read differently"),
        ("0 0 30 2 *", "no tick"),
        ("61 * * * *", "no tick"),
        ("0 0 * nov-foo *", "no tick"),
    ],
)
def test_what_other_crons_read_otherwise_is_refused(wrong: str, says: str) -> None:
    with pytest.raises(BadSchedule, match=says):
        check(wrong)


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../etc/passwd", ""])
def test_a_zone_is_one_of_those_known(name: str) -> None:
    with pytest.raises(BadSchedule, match="no time zone"):
        zone(name)
