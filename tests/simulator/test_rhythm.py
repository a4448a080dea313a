"""The rhythm follows the local clock, and leaves the mean as it was asked for."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from simulator.errors import ScriptError
from simulator.history.rhythm import busyness, hours, moments, poisson, zone

MONDAY = datetime(2026, 9, 7, tzinfo=UTC)


def test_a_week_is_as_busy_as_its_mean() -> None:
    week = [busyness(MONDAY + timedelta(hours=h)) for h in range(24 * 7)]
    assert statistics.mean(week) == pytest.approx(1)


def test_nights_and_weekends_are_quiet() -> None:
    noon, night = MONDAY.replace(hour=10), MONDAY.replace(hour=3)
    assert busyness(noon) > 10 * busyness(night)
    assert busyness(noon) > 3 * busyness(noon + timedelta(days=6))


@pytest.mark.parametrize(
    ("name", "busy_utc_hour"), [("UTC", 10), ("Asia/Tokyo", 1), ("America/New_York", 14)]
)
def test_the_busiest_hour_is_ten_by_the_local_clock(name: str, busy_utc_hour: int) -> None:
    found = moments(MONDAY, MONDAY + timedelta(days=1), 20_000, ZoneInfo(name), Random(1))
    by_hour = [0] * 24
    for at in found:
        by_hour[at.hour] += 1
    busy = max(range(24), key=by_hour.__getitem__)
    assert min((busy - busy_utc_hour) % 24, (busy_utc_hour - busy) % 24) <= 5  # ten, or the afternoon's peak
    assert by_hour[busy_utc_hour] > 5 * by_hour[(busy_utc_hour + 16) % 24]  # two at night


def test_moments_come_in_order_and_as_often_as_asked() -> None:
    end = MONDAY + timedelta(days=28)
    found = list(moments(MONDAY, end, 500, ZoneInfo("Europe/Berlin"), Random(3)))
    assert found == sorted(found)
    assert MONDAY <= found[0] < found[-1] < end
    assert len(found) == pytest.approx(28 * 500, rel=0.03)


def test_part_of_an_hour_counts_in_part() -> None:
    start, end = MONDAY.replace(hour=9, minute=45), MONDAY.replace(hour=11, minute=15)
    assert [(b - a).total_seconds() for a, b in hours(start, end)] == [900, 3_600, 900]


@pytest.mark.parametrize("mean", [0, 0.3, 8, 99, 100, 4_000])
def test_poisson(mean: float) -> None:
    rng = Random(5)
    drawn = [poisson(mean, rng) for _ in range(4_000)]
    assert min(drawn) >= 0
    assert statistics.mean(drawn) == pytest.approx(mean, rel=0.06)
    assert statistics.pvariance(drawn) == pytest.approx(mean, rel=0.1)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "/etc/passwd", "../x"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(ScriptError, match="is not known"):
        zone(name)
