from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.errors import TimeError
from dashboards.preview.date_math import is_relative, resolve, shifted

NOW = datetime(2026, 9, 16, 15, 20, 30, 250_000, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from([UTC, BERLIN, NEW_YORK])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-09-16T15:20:30.250+00:00"),
        ("now-6h", "2026-09-16T09:20:30.250+00:00"),
        ("now-90m", "2026-09-16T13:50:30.250+00:00"),
        ("now+1d", "2026-09-17T15:20:30.250+00:00"),
        ("now-w", "2026-09-09T15:20:30.250+00:00"),
        ("now/d", "2026-09-16T00:00+00:00"),
        ("now-2d/d", "2026-09-14T00:00+00:00"),
        ("now/h", "2026-09-16T15:00+00:00"),
        ("now/m", "2026-09-16T15:20+00:00"),
        ("now/s", "2026-09-16T15:20:30+00:00"),
        ("now/w", "2026-09-13T00:00+00:00"),
        ("now/M", "2026-09-01T00:00+00:00"),
        ("now/y", "2026-01-01T00:00+00:00"),
        ("now-1M/M", "2026-08-01T00:00+00:00"),
        ("now/d+6h", "2026-09-16T06:00+00:00"),
        ("2026-03-01T12:00:00", "2026-03-01T12:00+00:00"),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00+00:00"),
    ],
)
def test_the_start_of_a_range(text: str, moment: str) -> None:
    assert resolve(text, NOW) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-09-16T15:20:30.250+00:00"),
        ("now/d", "2026-09-16T23:59:59.999+00:00"),
        ("now-1d/d", "2026-09-15T23:59:59.999+00:00"),
        ("now/M", "2026-09-30T23:59:59.999+00:00"),
        ("now/y", "2026-12-31T23:59:59.999+00:00"),
    ],
)
def test_the_end_of_a_range_rounds_up(text: str, moment: str) -> None:
    assert resolve(text, NOW, end=True) == datetime.fromisoformat(moment)


def test_months_are_clipped_to_their_last_day() -> None:
    assert resolve("now-1M", datetime(2026, 3, 31, tzinfo=UTC)) == datetime(2026, 2, 28, tzinfo=UTC)
    assert resolve("now+1y", datetime(2024, 2, 29, tzinfo=UTC)) == datetime(2025, 2, 28, tzinfo=UTC)


def test_days_are_calendar_days_of_the_zone_and_hours_are_not() -> None:
    """New York puts its clocks forward on 8 March 2026: that day has 23 hours."""
    noon = datetime(2026, 3, 8, 12, tzinfo=NEW_YORK)
    assert resolve("now-1d", noon).isoformat() == "2026-03-07T12:00:00-05:00"
    assert resolve("now-24h", noon).isoformat() == "2026-03-07T11:00:00-05:00"
    assert resolve("now/d", noon).isoformat() == "2026-03-08T00:00:00-05:00"
    assert resolve("now/d", noon, end=True).isoformat() == "2026-03-08T23:59:59.999000-04:00"


def test_a_day_that_begins_at_one_begins_there() -> None:
    """Beirut puts its clocks forward at midnight."""
    afternoon = datetime(2026, 3, 29, 15, tzinfo=ZoneInfo("Asia/Beirut"))
    assert resolve("now/d", afternoon).isoformat() == "2026-03-29T01:00:00+03:00"


def test_an_hour_that_happens_twice_begins_twice() -> None:
    second = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    assert resolve("now/h", second).astimezone(UTC) == datetime(2026, 10, 25, 1, tzinfo=UTC)


def test_a_shift_moves_an_end_to_the_end_of_its_day() -> None:
    assert shifted(NOW, "-1d/d", end=True) == datetime(2026, 9, 15, 23, 59, 59, 999_000, tzinfo=UTC)


@pytest.mark.parametrize("text", ["now-", "now-1q", "now/x", "nowhere", "yesterday", "now-1d/", ""])
def test_what_grafana_does_not_understand_is_refused(text: str) -> None:
    with pytest.raises(TimeError, match="allowed: "):
        resolve(text, NOW)


def test_only_what_moves_with_the_clock_is_relative() -> None:
    assert is_relative("now-6h/h")
    assert not is_relative("2026-03-01")


@given(
    st.datetimes(timezones=ZONES).map(lambda moment: moment.replace(year=2026, day=min(moment.day, 28))),
    st.sampled_from("smhdwMy"),
)
def test_start_and_end_of_a_unit_lie_around_the_moment(moment: datetime, unit: str) -> None:
    start = resolve(f"now/{unit}", moment).astimezone(UTC)
    end = resolve(f"now/{unit}", moment, end=True).astimezone(UTC) + timedelta(milliseconds=1)
    assert start <= moment.astimezone(UTC) < end
    assert resolve(f"now/{unit}", end.astimezone(moment.tzinfo)).astimezone(UTC) == end
