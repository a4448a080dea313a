from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.errors import TimeError
from dashboards.preview.grafana_time import Ask, View, aligned, asks, panel_range, rounded, substitute

DAY = timedelta(days=1)
PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 9, 16, 15, 20, tzinfo=UTC)
WIDTH = 800


def target(**changes: Any) -> dict[str, Any]:
    return {"expr": "up", "legendFormat": "", "instant": False, "interval": "", **changes}


def panel(*targets: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"targets": list(targets) or [target()], **keys}


def ask(view: View, only: dict[str, Any], **keys: Any) -> Ask:
    (found,) = asks(panel(only, **keys), view, WIDTH)
    return found


def points(found: Ask) -> list[datetime]:
    """When Prometheus evaluates the query."""
    count = (found.end - found.start) // found.step
    return [found.start + i * found.step for i in range(count + 1)]


def test_a_panel_shows_the_dashboards_range() -> None:
    shown = panel_range(panel(), View(NOW, "now-6h", "now"))
    assert (shown.start, shown.end) == (NOW - timedelta(hours=6), NOW)


def test_time_from_ends_at_now_and_time_to_is_not_read() -> None:
    overridden = panel(timeFrom="now-2d/d", timeTo="now/d")
    shown = panel_range(overridden, View(NOW, "now-30d/d", "now-1d/d"))
    assert (shown.start, shown.end) == (datetime(2026, 9, 14, tzinfo=UTC), NOW)


def test_time_from_may_leave_out_now() -> None:
    assert panel_range(panel(timeFrom="6h"), View(NOW)).start == NOW - timedelta(hours=6)


def test_an_absolute_range_switches_time_from_off() -> None:
    shown = panel_range(panel(timeFrom="now/d"), View(NOW, "2026-09-01T00:00:00", "2026-09-02T00:00:00"))
    assert shown.start == datetime(2026, 9, 1, tzinfo=UTC)
    assert shown.length == DAY


def test_a_shift_by_a_whole_day_shows_yesterday_as_a_calendar_day() -> None:
    """25 hours, where the clocks were put back."""
    monday = datetime(2026, 10, 26, 9, tzinfo=PARIS)
    shown = panel_range(panel(timeFrom="now/d", timeShift="1d/d"), View(monday))
    assert shown.start.isoformat() == "2026-10-25T00:00:00+02:00"
    assert shown.end.isoformat() == "2026-10-25T23:59:59.999000+01:00"
    assert round(shown.length.total_seconds()) == 25 * 3600


@pytest.mark.parametrize("end", ["now", "now/d"])
def test_a_week_of_days_is_eight_midnights_of_the_zone(end: str) -> None:
    now = datetime(2026, 9, 16, 15, 20, tzinfo=PARIS)
    asked = points(ask(View(now, "now-7d/d", end), target(interval="1d")))
    assert [at.astimezone(PARIS) for at in asked] == [
        datetime(2026, 9, day, tzinfo=PARIS) for day in range(9, 17)
    ]


def test_two_days_back_are_three_midnights() -> None:
    asked = points(ask(View(NOW), target(interval="1d"), timeFrom="now-2d/d"))
    assert [at.day for at in asked] == [14, 15, 16]


@pytest.mark.parametrize("clock", ["00:00:00", "00:00:01", "23:59:59"])
def test_the_last_midnight_is_todays_all_day_long(clock: str) -> None:
    now = datetime.fromisoformat(f"2026-09-16T{clock}+00:00")
    asked = points(ask(View(now), target(interval="1d"), timeFrom="now-2d/d"))
    assert asked[-1] == datetime(2026, 9, 16, tzinfo=UTC)


def test_after_a_change_of_the_clocks_older_points_are_an_hour_off_midnight() -> None:
    """One offset for the whole query, that of its end: and so a point more before its start."""
    now = datetime(2026, 10, 26, 9, tzinfo=PARIS)
    asked = points(ask(View(now), target(interval="1d"), timeFrom="now-2d/d"))
    local = [at.astimezone(PARIS) for at in asked]
    assert [(at.day, at.hour) for at in local] == [(23, 1), (24, 1), (25, 1), (26, 0)]


def test_an_interval_factor_stretches_the_step() -> None:
    assert ask(View(NOW, "now-7d"), target(interval="1d", intervalFactor=2)).step == 2 * DAY


@pytest.mark.parametrize(
    ("start", "min_step", "step"),
    [
        ("now-1h", "", "15s"),
        ("now-24h", "", "2m"),
        ("now-24h", "75s", "2m"),
        ("now-6h", "75s", "75s"),
        ("now-30d", "", "1h"),
        ("now-30d", "15s", "1h"),
        ("now-5y", "", "1d"),
        ("now-5y", "1s", "1d"),
    ],
)
def test_the_step_fits_the_width_but_is_no_less_than_asked(start: str, min_step: str, step: str) -> None:
    found = ask(View(NOW, start), target(interval=min_step, expr="$__interval"))
    assert found.expr == step


def test_a_scrape_interval_is_the_least_step_without_another() -> None:
    view = View(NOW, "now-5m", scrape_interval=timedelta(seconds=60))
    assert ask(view, target()).step == timedelta(seconds=60)
    assert ask(view, target(), interval="5m").step == timedelta(minutes=5)
    assert ask(view, target(), interval=">10s").step == timedelta(seconds=10)


def test_fewer_points_make_a_longer_step() -> None:
    assert ask(View(NOW), target(), maxDataPoints=100).step == timedelta(minutes=15)


def test_prometheus_gives_at_most_eleven_thousand_points() -> None:
    wide = asks(panel(target(interval="1s")), View(NOW, "now-7d"), 100_000)[0]
    assert len(points(wide)) <= 11_000


@pytest.mark.parametrize(
    ("start", "min_step", "window"),
    [
        ("now-1h", "", "1m"),
        ("now-24h", "", "135s"),
        ("now-24h", "75s", "5m"),
        ("now-24h", "1d", "4d"),
    ],
)
def test_the_rate_interval_covers_four_scrapes(start: str, min_step: str, window: str) -> None:
    found = ask(View(NOW, start), target(interval=min_step, expr="rate(x[$__rate_interval])"))
    assert found.expr == f"rate(x[{window}])"


def test_the_range_is_rounded_to_seconds() -> None:
    today = View(NOW, "now/d", "now/d")
    assert ask(today, target(expr="x[$__range] $__range_s ${__range_ms}")).expr == "x[86400s] 86400 86399999"


def test_an_instant_query_is_asked_at_the_end_unaligned() -> None:
    now = NOW + timedelta(seconds=7)
    found = ask(View(now), target(instant=True, expr="x[$__range]"), timeFrom="now/d")
    assert (found.instant, found.end) == (True, now)
    assert found.expr == "x[55207s]"


def test_every_target_is_asked_in_its_order() -> None:
    found = asks(panel(target(expr="a", legendFormat="A"), target(expr="b")), View(NOW), WIDTH)
    assert [(one.expr, one.legend) for one in found] == [("a", "A"), ("b", "")]


def test_variables_are_replaced_in_all_their_spellings() -> None:
    variables = {"model": "(a|b)"}
    text = 'x{m=~"$model", n=~"${model}", o=~"${model:regex}", p=~"[[model]]", q="$models", r="cost$"}'
    assert substitute(text, variables) == (
        'x{m=~"(a|b)", n=~"(a|b)", o=~"(a|b)", p=~"(a|b)", q="$models", r="cost$"}'
    )


@pytest.mark.parametrize("bad", ["1", "d", "1 d", "auto", "-1d"])
def test_an_interval_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(TimeError, match="allowed: an interval like 15s"):
        ask(View(NOW), target(interval=bad))


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.integers(1, 90_000),
    st.integers(-14 * 60, 14 * 60),
)
def test_alignment_goes_back_by_less_than_a_step(moment: datetime, step: int, offset: int) -> None:
    wide, off = timedelta(seconds=step), timedelta(minutes=offset)
    found = aligned(moment, wide, off)
    assert timedelta(0) <= moment - found < wide
    assert (found + off - datetime(1970, 1, 1, tzinfo=UTC)) % wide == timedelta(0)


@given(st.timedeltas(timedelta(milliseconds=1), timedelta(days=6)))
def test_rounding_is_coarse_but_never_far(interval: timedelta) -> None:
    assert 1 / 6 <= rounded(interval) / interval <= 2
    assert rounded(rounded(interval)) == rounded(interval)


def test_beyond_six_weeks_all_is_a_year() -> None:
    assert rounded(timedelta(days=41)) == timedelta(days=30)
    assert rounded(timedelta(days=43)) == rounded(timedelta(days=4_000)) == timedelta(days=365)
