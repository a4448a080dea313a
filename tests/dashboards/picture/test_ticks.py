from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashboards.preview.grafana_time import Range
from dashboards.preview.timecharts import ticks


def labels(start: datetime, length: timedelta, most: int) -> list[str]:
    return [label for _, label in ticks(Range(start, start + length), most)]


def test_a_day_has_hours_and_says_its_name_at_midnight() -> None:
    start = datetime(2026, 9, 9, 15, 20, tzinfo=UTC)
    assert labels(start, timedelta(days=1), 6) == ["16:00", "20:00", "Sep 10", "04:00", "08:00", "12:00"]


def test_a_week_has_its_midnights() -> None:
    start = datetime(2026, 9, 3, tzinfo=UTC)
    assert labels(start, timedelta(days=3, hours=5), 8) == [
        "Sep 03",
        "12:00",
        "Sep 04",
        "12:00",
        "Sep 05",
        "12:00",
        "Sep 06",
    ]
    assert labels(start, timedelta(days=3, hours=5), 4) == ["Sep 03", "Sep 04", "Sep 05", "Sep 06"]


def test_marks_stay_round_where_the_clocks_change() -> None:
    start = datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/Berlin"))
    assert labels(start, timedelta(hours=12), 3) == ["Mar 29", "04:00", "08:00", "12:00"]


@pytest.mark.parametrize("hours", [1, 6, 24, 24 * 30, 24 * 300])
def test_there_are_never_many_more_than_asked(hours: int) -> None:
    start = datetime(2026, 9, 9, 15, 21, tzinfo=UTC)
    assert 1 < len(labels(start, timedelta(hours=hours), 7)) <= 12
