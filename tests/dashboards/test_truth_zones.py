"""Days as people in several zones see them, asked of a real Prometheus that holds nine months.

The clocks of New York change on 8 March and 1 November. The proxy was restarted, and Prometheus was away,
near both; every number is compared with what the generator counted.

Tolerance: a panel's window is seen from its first scrape to its last. What was counted between them is the
least that `increase` may answer, and that much extrapolated to the whole window is the most: see `Counts`.
"""

from __future__ import annotations

import subprocess
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from dashboards.preview.grafana_time import View, asks
from dashboards.preview.source import Series, fetch
from ledger.pricing.prices import PriceBook
from metrics.proxy import COST, REQUESTS
from prometheus.rules import by_the_minute
from simulator.history.counting import count
from simulator.history.history import History, generate
from simulator.history.plan import days
from simulator.history.scrapes import Scrapes
from simulator.history.totals import spend_of
from tests.support.seeded import backfill

pytestmark = pytest.mark.slow

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NEW_YORK = ZoneInfo("America/New_York")
LATE = 5 * MINUTE
"""A minute repeats the last scrape, which may be four minutes old."""

ZONES = {"UTC": ZoneInfo("UTC"), "UTC+2": ZoneInfo("Etc/GMT-2"), "New York": NEW_YORK}
CHANGES = (date(2026, 3, 8), date(2026, 11, 1))
"""The clocks go forward, and back."""

SCRAPES = Scrapes(
    datetime(2026, 2, 18, 0, 0, 23, tzinfo=UTC),
    datetime(2026, 11, 6, tzinfo=UTC),
    interval_seconds=240,
    restarts=(
        datetime(2026, 3, 7, 15, 2, 31, tzinfo=UTC),
        datetime(2026, 3, 8, 5, 0, 40, tzinfo=UTC),  # just after a midnight in New York
        datetime(2026, 10, 31, 23, 1, 5, tzinfo=UTC),
    ),
    gaps=(
        (datetime(2026, 3, 6, 3, 30, tzinfo=UTC), datetime(2026, 3, 6, 5, 20, tzinfo=UTC)),
        (datetime(2026, 3, 14, tzinfo=UTC), datetime(2026, 10, 14, tzinfo=UTC)),  # nobody asks of the summer
        (datetime(2026, 11, 1, 12, 0, tzinfo=UTC), datetime(2026, 11, 1, 12, 40, tzinfo=UTC)),
    ),
)

MOMENTS = [
    pytest.param(zone, (day, clock), id=f"{name}-{day}-{clock}")
    for name, zone in ZONES.items()
    for change in CHANGES
    for day, clock in (
        (change - DAY, "23:59:30"),
        (change, "00:00:45"),
        (change, "12:30:00"),
        (change, "23:59:30"),
        (change + DAY, "00:06:00"),
        (change + 3 * DAY, "16:45:00"),
    )
]


@pytest.fixture(scope="module")
def months(prices: PriceBook) -> History:
    """Nine months of requests."""
    return generate(days(date(2026, 2, 18), 261, requests_per_day=120), prices)


@pytest.fixture(scope="module")
def url(
    months: History,
    prices: PriceBook,
    binary: Callable[[str], str],
    running_prometheus: Callable[..., AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A real Prometheus with these months, and what our rules record in the weeks around both changes."""
    folder = tmp_path_factory.mktemp("months")
    data, promtool = folder / "data", binary("promtool")
    backfill(count(months.events, SCRAPES, prices, (COST, REQUESTS)), data, promtool, hours=162)
    rules = folder / "rules.yml"
    recorded = [{"record": rule.name.name, "expr": rule.expr} for rule in by_the_minute()[:1]]
    rules.write_text(yaml.safe_dump({"groups": [{"name": "g", "interval": "1m", "rules": recorded}]}))
    with running_prometheus("", data) as running:
        for change in CHANGES:
            noon = datetime(change.year, change.month, change.day, 12, tzinfo=UTC)
            command = [promtool, "tsdb", "create-blocks-from", "rules", f"--url={running}"]
            command += [f"--output-dir={data}", "--max-block-duration=162h"]
            command += [f"--start={(noon - 17 * DAY).isoformat()}", f"--end={(noon + 5 * DAY).isoformat()}"]
            subprocess.run([*command, rules], check=True, capture_output=True, timeout=120)
    with running_prometheus("", data) as running:
        yield running


class Counts:
    """What scrapes saw of a growing sum: `values[i]` was counted in all until `times[i]`, restarts or not."""

    def __init__(self, history: History, value: Callable[[Any], float]) -> None:
        ticks = SCRAPES.ticks()
        self.times = [SCRAPES.at(tick) for tick in ticks]
        rises = [0.0] * (SCRAPES.count + 1)
        for event in history.events:
            if (tick := SCRAPES.seen(event.requested_at)) is not None:
                rises[tick] += value(event)
        grown = list(accumulate(rises))
        self._values = [grown[tick] for tick in ticks]

    def seen(self, start: datetime, end: datetime) -> tuple[float, float]:
        """What was counted between the first and the last scrape in [start, end], and that much
        extrapolated. The scrape that finds a new process cannot tell what was lost with the old one."""
        first, last = bisect_left(self.times, start), bisect_right(self.times, end) - 1
        counted = self._values[last] - self._values[first]
        return counted, counted * ((end - start) / (self.times[last] - self.times[first]))


@pytest.fixture(scope="module")
def usd(months: History, prices: PriceBook) -> Counts:
    return Counts(months, lambda event: float(spend_of(event, prices).usd))


@pytest.fixture(scope="module")
def requests(months: History) -> Counts:
    return Counts(months, lambda event: 1)


@pytest.fixture
def shown(built: dict[str, Any], url: str) -> Callable[[str, datetime], list[list[Series]]]:
    """The answers to a panel of the Overview at a moment, in its zone."""

    def ask(title: str, now: datetime) -> list[list[Series]]:
        (panel,) = (p for p in built["overview"]["panels"] if p["title"] == title)
        view = View(
            now,
            variables={"model": ".*", "api": ".*", "resolution": "2m", "coarse": "5m", "fine": "1m"},
            replayed=True,
        )
        return [fetch(url, one) for one in asks(panel, view, 800)]

    return ask


Shown = Callable[[str, datetime], list[list[Series]]]


def at(zone: ZoneInfo, local: tuple[date, str]) -> datetime:
    day, clock = local
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=zone)


def midnight(now: datetime) -> datetime:
    """Of the day, as a moment: in New York it may be 23 or 25 hours after the one before."""
    return now.replace(hour=0, minute=0, second=0).astimezone(UTC)


def check(value: float, bounds: tuple[float, float]) -> None:
    low, high = bounds
    assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9), (low, value, high)


@pytest.mark.parametrize(("zone", "local"), MOMENTS)
def test_today_so_far(
    zone: ZoneInfo, local: tuple[date, str], shown: Shown, usd: Counts, requests: Counts
) -> None:
    """From the local midnight on, whatever the clocks did since. In the first minutes there may not be the
    two scrapes yet that an increase takes, and the panel says that there is nothing."""
    now = at(zone, local)
    for title, counts in (("Cost today so far (USD)", usd), ("Requests today so far", requests)):
        start, end = midnight(now), now.astimezone(UTC)
        scraped = sum(start <= time <= end for time in counts.times)
        (answer,) = shown(title, now)
        if scraped < 2:
            assert answer == []
        else:
            check(answer[0].last, counts.seen(start, end))


@pytest.mark.parametrize(("zone", "local"), MOMENTS)
def test_yesterday(
    zone: ZoneInfo, local: tuple[date, str], shown: Shown, usd: Counts, requests: Counts
) -> None:
    """24 hours before the last midnight by the clock as it stands now: on the day of a change, that is an
    hour beside the true midnight once the clocks have moved, on every other day it is midnight itself."""
    now = at(zone, local)
    for title, counts in (("Cost yesterday (USD)", usd), ("Requests yesterday", requests)):
        (series,) = shown(title, now)[0]
        end, value = series.points[-1]
        beside = abs(end - midnight(now))
        assert beside == (timedelta(hours=1) if moved_today(now) else timedelta(0))
        low, high = counts.seen(end - DAY, end)
        if counts is requests:  # read by the minute, which repeats a scrape until the next
            low = counts.seen(end - DAY, end - LATE)[0]
            high = counts.seen(end - DAY - LATE, end)[1]
        check(value, (low, high))


def test_a_zoom_shows_nothing_of_yesterday(built: dict[str, Any], url: str) -> None:
    """Grafana drops a panel's own range then, and the last midnight would be one of the zoom, in UTC."""
    now = datetime(2026, 3, 13, 8, tzinfo=NEW_YORK)  # what is recorded ends here
    (panel,) = (p for p in built["overview"]["panels"] if p["title"] == "Cost yesterday (USD)")

    def answers(start: str, end: str = "now") -> int:
        (ask,) = asks(panel, View(now, start, end, variables={"model": ".*"}), 800)
        return len(fetch(url, ask))

    assert answers("now-1h") == answers("now-30d", "now-2d") == 1
    assert answers("2026-03-13T02:00", "2026-03-13T07:00") == 0
    assert answers("2026-03-11T03:00", "2026-03-13T05:00") == 0  # as long as two days and a part of one
    assert answers("2026-03-08T03:00", "2026-03-10T16:00") == 0


def moved_today(now: datetime) -> bool:
    """Whether the clocks have changed since midnight."""
    return now.utcoffset() != now.replace(hour=0, minute=0, second=0).utcoffset()


@pytest.mark.parametrize(("zone", "local"), MOMENTS)
def test_completed_days_and_their_average(
    zone: ZoneInfo, local: tuple[date, str], shown: Shown, usd: Counts
) -> None:
    now = at(zone, local)
    (bars,), (average,) = shown("Cost/day (USD, completed days + 7d avg)", now)
    ends = [end for end, _ in bars.points]
    assert len(ends) in (8, 9)  # nine where the eighth day back had an hour more
    assert all(later - earlier == DAY for earlier, later in pairwise(ends))
    assert ends[-1] <= now < ends[-1] + DAY
    for end, value in bars.points:
        check(value, usd.seen(end - DAY, end))
    assert [end for end, _ in average.points] == ends
    for end, value in average.points:
        # The rule repeats each scrape for up to four minutes: a window may begin and end that much earlier.
        # Of it a point every ten minutes is taken: it may begin ten minutes later too, and what a process
        # counted after the last of these points is lost with it.
        late, start = LATE, end - 7 * DAY
        low = usd.seen(start + 10 * MINUTE, end - late)[0]
        restarts = [restart for restart in SCRAPES.restarts if start < restart < end]
        low -= sum(usd.seen(restart - 3 * late, restart)[0] for restart in restarts)
        high = usd.seen(end - 7 * DAY - late, end)[1]
        check(value, (low / 7, high * 1.001 / 7))


@pytest.mark.parametrize(("zone", "local"), MOMENTS)
def test_the_projected_end_of_the_day(
    zone: ZoneInfo, local: tuple[date, str], shown: Shown, usd: Counts
) -> None:
    """Today so far and the rest of this day a week ago: as many hours as the day has, less those that have
    passed. Between two clock changes the rest is right to the hour; recorded sums are up to five minutes
    late at either end."""
    now = at(zone, local)
    start, end, week = midnight(now), now.astimezone(UTC), timedelta(days=7)
    if end - start < timedelta(minutes=10):
        return
    rest_end = end - week + DAY - (end - start)
    late = 5 * MINUTE
    low = (
        usd.seen(start + late, end - late)[0] + usd.seen(end - week + late, rest_end - late)[0]
        if (rest_end - (end - week) > 4 * late)
        else usd.seen(start + late, end - late)[0]
    )
    high = usd.seen(start - late, end)[1] + usd.seen(end - week - late, rest_end + late)[1]
    ((series,),) = shown("Projected end of day (USD)", now)
    # three differences of extrapolated sums, each off by at most what a quarter of an hour costs
    slack = 3 * busiest_quarter(usd)
    assert low - slack <= series.last <= high + slack


def busiest_quarter(usd: Counts) -> float:
    """The most that was counted within a quarter of an hour around the changes."""
    most = 0.0
    for change in CHANGES:
        moment = datetime(change.year, change.month, change.day, tzinfo=UTC) - 9 * DAY
        while moment.date() < change + 4 * DAY:
            most = max(most, usd.seen(moment, moment + 19 * MINUTE)[0])
            moment += 15 * MINUTE
    return most
