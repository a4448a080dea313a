"""Calendar periods in zones with half hours, clock changes at midnight, and a skipped day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.requests.sums.periods import (
    PERIODS,
    PeriodName,
    days,
    midnight,
    months,
    period,
    steps,
    weeks,
    years,
)

BERLIN, KOLKATA, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")
SANTIAGO, LORD_HOWE, APIA = (
    ZoneInfo("America/Santiago"),
    ZoneInfo("Australia/Lord_Howe"),
    ZoneInfo("Pacific/Apia"),
)
HAVANA, KATHMANDU = ZoneInfo("America/Havana"), ZoneInfo("Asia/Kathmandu")
ZONES = [UTC_ZONE := ZoneInfo("UTC"), BERLIN, KOLKATA, NEW_YORK, SANTIAGO, LORD_HOWE, APIA, HAVANA, KATHMANDU]
HOUR = timedelta(hours=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


class TestPeriod:
    @pytest.mark.parametrize(
        ("name", "since", "until"),
        [
            ("today", utc(2026, 11, 27, 18, 30), utc(2026, 11, 28, 18, 30)),
            ("yesterday", utc(2026, 11, 26, 18, 30), utc(2026, 11, 27, 18, 30)),
            ("week", utc(2026, 11, 22, 18, 30), utc(2026, 11, 28, 18, 30)),  # since Monday, the 23rd
            ("month", utc(2026, 10, 31, 18, 30), utc(2026, 11, 28, 18, 30)),
            ("12 months", utc(2025, 11, 30, 18, 30), utc(2026, 11, 28, 18, 30)),
        ],
    )
    def test_in_a_zone_of_half_hours(self, name: PeriodName, since: datetime, until: datetime) -> None:
        assert period(name, utc(2026, 11, 28, 10), KOLKATA) == (since, until)

    @pytest.mark.parametrize(
        ("now", "hours"), [(utc(2026, 3, 29, 12), 23), (utc(2026, 10, 25, 12), 25), (utc(2026, 7, 1, 12), 24)]
    )
    def test_the_day_of_a_clock_change_is_as_long_as_it_is(self, now: datetime, hours: int) -> None:
        since, until = period("today", now, BERLIN)
        assert until - since == hours * HOUR
        assert period("yesterday", now + timedelta(days=1), BERLIN) == (since, until)

    @given(
        st.sampled_from(PERIODS),
        st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        st.sampled_from(ZONES),
    )
    def test_a_running_period_holds_the_present_moment(
        self, name: PeriodName, now: datetime, zone: ZoneInfo
    ) -> None:
        since, until = period(name, now, zone)
        assert (since <= now < until) == (name != "yesterday")
        if name == "yesterday":
            assert period("today", now, zone)[0] == until


class TestMidnight:
    def test_where_the_clocks_skip_it_the_day_begins_when_they_go_on(self) -> None:
        # Chile's clocks go from 24:00 on Saturday to 01:00 on Sunday
        assert midnight(date(2026, 9, 6), SANTIAGO) == utc(2026, 9, 6, 4)
        assert midnight(date(2026, 9, 6), SANTIAGO).astimezone(SANTIAGO).hour == 1

    def test_where_it_comes_twice_the_day_begins_with_the_first(self) -> None:
        # Cuba's clocks go from 01:00 back to 00:00
        assert midnight(date(2026, 11, 1), HAVANA) == utc(2026, 11, 1, 4)
        assert midnight(date(2026, 11, 2), HAVANA) - midnight(date(2026, 11, 1), HAVANA) == 25 * HOUR

    @given(st.dates(date(2005, 1, 1), date(2035, 1, 1)), st.sampled_from(ZONES))
    def test_it_is_the_first_moment_of_its_day(self, day: date, zone: ZoneInfo) -> None:
        at = midnight(day, zone)
        assert at.astimezone(zone).date() >= day
        assert (at - timedelta(microseconds=1)).astimezone(zone).date() < day


class TestBounds:
    def test_days_with_both_clock_changes(self) -> None:
        bounds = days(utc(2026, 3, 28, 12), utc(2026, 3, 30, 12), BERLIN)
        assert [(b - a) / HOUR for a, b in pairwise(bounds)] == [24, 23, 24]
        bounds = days(utc(2026, 10, 24, 12), utc(2026, 10, 26, 12), BERLIN)
        assert [(b - a) / HOUR for a, b in pairwise(bounds)] == [24, 25, 24]

    def test_a_change_of_half_an_hour(self) -> None:
        bounds = days(utc(2026, 4, 4, 0), utc(2026, 4, 5, 0), LORD_HOWE)  # back by 30 minutes on the 5th
        assert [(b - a) / HOUR for a, b in pairwise(bounds)][-1] == 24.5

    def test_a_day_that_never_was_is_left_out(self) -> None:
        bounds = days(utc(2011, 12, 29, 12), utc(2012, 1, 1), APIA)  # there was no 30th of December
        assert [at.astimezone(APIA).day for at in bounds] == [29, 31, 1, 2][: len(bounds)]
        assert bounds == sorted(set(bounds))

    def test_weeks_and_months(self) -> None:
        assert weeks(utc(2026, 11, 28), utc(2026, 11, 29), UTC_ZONE) == [utc(2026, 11, 23), utc(2026, 11, 30)]
        found = months(utc(2025, 12, 31), utc(2026, 2, 1), UTC_ZONE)
        assert found == [utc(2025, 12, 1), utc(2026, 1, 1), utc(2026, 2, 1)]

    def test_steps_are_aligned(self) -> None:
        found = steps(utc(2026, 1, 1, 0, 7), utc(2026, 1, 1, 0, 15), timedelta(minutes=5))
        assert found == [utc(2026, 1, 1, 0, 5), utc(2026, 1, 1, 0, 10), utc(2026, 1, 1, 0, 15)]
        assert len(steps(utc(2026, 1, 1), utc(2026, 1, 1), HOUR)) == 2


def test_years_begin_at_midnight_of_the_zone() -> None:
    found = years(utc(2024, 12, 31, 18, 30), utc(2026, 11, 28), KOLKATA)
    assert found == [utc(2024, 12, 31, 18, 30), utc(2025, 12, 31, 18, 30), utc(2026, 12, 31, 18, 30)]
