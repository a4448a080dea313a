"""What the Overview shows, asked of a real Prometheus as Grafana would, equals what the history adds up to.

Tolerance of totals: `increase` extrapolates from the first and the last scrape of a window to its edges, so
at each edge it may be off by what one scrape interval counts at most. `slack` is twice that. Rates are exact
between the scrapes that they saw.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import pytest

from dashboards.preview.grafana_time import View, asks
from dashboards.preview.source import Series, fetch
from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from metrics.proxy import LATENCY_MS_BUCKETS
from prometheus.config import RuleConfig
from simulator.history.history import History
from simulator.history.scrapes import Scrapes
from simulator.history.totals import Totals, totals

HISTOGRAMS = timedelta(minutes=30, seconds=15), timedelta(minutes=5)
"""The window of quantiles over 24 hours, and how far apart it is read."""

EVERYTHING = {"model": ".*", "api": ".*", "top": "20", "fine": "1m", "resolution": "2m", "coarse": "5m"}
DAY = timedelta(days=1)
WIDTH = 800

Shown = Callable[..., list[list[Series]]]
Truth = Callable[[datetime, datetime], Totals]
Value = Callable[[Totals], float]
Slack = Callable[[Value], float]

STEP = timedelta(seconds=15)


@pytest.fixture
def shown(built: dict[str, Any], seeded: str, now: datetime) -> Shown:
    """The series of each target of a panel of the Overview."""

    def ask(title: str, start: str = "now-24h", at: datetime = now, **variables: str) -> list[list[Series]]:
        (panel,) = (p for p in built["overview"]["panels"] if p["title"] == title)
        view = View(at, start, variables=EVERYTHING | variables, replayed=True)
        return [fetch(seeded, one) for one in asks(panel, view, WIDTH)]

    return ask


@pytest.fixture
def truth(history: History, prices: PriceBook) -> Truth:
    """What requests that ended in [start, end) add up to."""

    def count(start: datetime, end: datetime) -> Totals:
        return totals((e for e in history.events if start <= e.requested_at < end), prices)

    return count


@pytest.fixture(scope="session")
def slack(history: History, scrapes: Scrapes, prices: PriceBook) -> Slack:
    """Twice the most that a value grows by between two scrapes."""
    apart: dict[int, list[RequestEvent]] = {}
    for event in history.events:
        number = (event.requested_at - scrapes.start) // timedelta(seconds=scrapes.interval_seconds)
        apart.setdefault(number, []).append(event)
    sums = [totals(events, prices) for events in apart.values()]
    return lambda value: 2 * max(value(one) for one in sums)


def usd(found: Totals) -> float:
    return float(found.cost.usd)


def requests(found: Totals) -> float:
    return float(found.count())


def midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def only(answers: list[list[Series]]) -> Series:
    ((series,),) = answers
    return series


@pytest.mark.parametrize(
    ("title", "value"), [("Cost today so far (USD)", usd), ("Requests today so far", requests)]
)
def test_today_so_far(
    title: str,
    value: Value,
    shown: Shown,
    truth: Truth,
    now: datetime,
    slack: Slack,
) -> None:
    expected = value(truth(midnight(now), now))
    assert only(shown(title)).last == pytest.approx(expected, abs=slack(value))
    assert slack(value) < expected / 8


@pytest.mark.parametrize(
    ("title", "value"), [("Cost yesterday (USD)", usd), ("Requests yesterday", requests)]
)
@pytest.mark.parametrize("clock", ["00:01:00", "11:00:00", "15:20:00"])
def test_yesterday_is_the_same_all_day_long(
    title: str,
    clock: str,
    value: Value,
    shown: Shown,
    truth: Truth,
    now: datetime,
    slack: Slack,
) -> None:
    at = datetime.fromisoformat(f"{now.date()}T{clock}+00:00")
    expected = value(truth(midnight(now) - DAY, midnight(now)))
    series = only(shown(title, at=at))
    assert series.last == pytest.approx(expected, abs=slack(value))
    assert len(series.points) == 3


def test_completed_days_and_their_average(shown: Shown, truth: Truth, now: datetime, slack: Slack) -> None:
    """On one of the days the proxy is restarted."""
    ((days,), (average,)) = shown("Cost/day (USD, completed days + 7d avg)")
    ends = [midnight(now) - number * DAY for number in range(7, -1, -1)]
    assert [at for at, _ in days.points] == [at for at, _ in average.points] == ends
    for (at, cost), (_, mean) in zip(days.points, average.points, strict=True):
        assert cost == pytest.approx(usd(truth(at - DAY, at)), abs=slack(usd))
        # a point every ten minutes: at each edge at most three scrapes more are missing
        assert mean == pytest.approx(usd(truth(at - 7 * DAY, at)) / 7, abs=4 * slack(usd) / 7)
    assert days.points[-1][1] == only(shown("Cost yesterday (USD)")).last


@pytest.mark.parametrize("at", ["2026-09-10T15:20:00", "2026-09-06T06:00:00"], ids=["Thursday", "Sunday"])
def test_the_day_ends_as_this_weekday_did_a_week_ago(
    at: str, shown: Shown, truth: Truth, slack: Slack
) -> None:
    """On a quiet Sunday no other day will do."""
    now, week = datetime.fromisoformat(f"{at}+00:00"), timedelta(days=7)
    expected = usd(truth(midnight(now), now)) + usd(truth(now - week, midnight(now) - week + DAY))
    assert expected > slack(usd)
    # three differences of counters, each off by what `slack` allows at most
    found = only(shown("Projected end of day (USD)", at=now)).last
    assert found == pytest.approx(expected, abs=2 * slack(usd))


def test_in_the_first_week_the_day_ends_as_the_last_24_hours_did(
    shown: Shown, truth: Truth, scrapes: Scrapes, slack: Slack
) -> None:
    early = scrapes.start + timedelta(days=2, hours=9)
    expected = usd(truth(early - DAY, early))
    found = only(shown("Projected end of day (USD)", at=early)).last
    assert found == pytest.approx(expected, abs=slack(usd))


def test_the_model_filter_reaches_the_stats(shown: Shown, truth: Truth, now: datetime, slack: Slack) -> None:
    some = only(shown("Requests yesterday", model="(gpt-5.5|gpt-4o-mini)")).last
    day = truth(midnight(now) - DAY, midnight(now))
    expected = day.count(model="gpt-5.5") + day.count(model="gpt-4o-mini")
    assert some == pytest.approx(expected, abs=slack(requests))
    assert shown("Requests yesterday", model="no-such-model") == [[]]


def test_cost_by_model_and_of_all(shown: Shown, truth: Truth, now: datetime) -> None:
    costs, shares = ({row.labels["model"]: row.last for row in rows} for rows in shown("Cost by model (USD)"))
    expected = truth(now - DAY, now).cost_by_model
    spent = {model: float(spend.usd) for model, spend in expected.items() if spend.usd}
    spent["all models"] = sum(spent.values())
    assert costs == {model: pytest.approx(value, rel=0.03) for model, value in spent.items()}
    assert shares == {
        model: pytest.approx(value / spent["all models"], rel=0.03) for model, value in spent.items()
    }
    assert sum(shares.values()) == pytest.approx(2)


@pytest.mark.parametrize(("title", "days"), [("Cost against yesterday", 1), ("Cost against last week", 7)])
def test_today_against_a_day_before(
    title: str, days: int, shown: Shown, truth: Truth, now: datetime, slack: Slack
) -> None:
    today, before = (usd(truth(midnight(now) - n * DAY, now - n * DAY)) for n in (0, days))
    off = slack(usd) * (1 / before + today / before**2)
    assert only(shown(title)).last == pytest.approx(today / before - 1, abs=off)


def test_the_month_so_far_and_its_budget(shown: Shown, truth: Truth, now: datetime, slack: Slack) -> None:
    first = midnight(now).replace(day=1)
    late = usd(truth(now - timedelta(minutes=13), now))  # a point every ten minutes, a scrape every three
    expected = usd(truth(first, now))
    assert only(shown("Cost this month (USD)")).last == pytest.approx(expected, abs=2 * slack(usd) + late)
    limit = RuleConfig().spend_limit_usd * 30
    found = only(shown("Budget of the month used")).last
    assert found == pytest.approx(expected / limit, abs=(2 * slack(usd) + late) / limit)


def test_errors_are_a_number_too(shown: Shown, between: Any, now: datetime) -> None:
    (models,) = shown("Errors")
    failed = Counter(e.model for e in between.events(now, DAY) if e.status == "error")
    assert {one.name: one.last for one in models} == {
        model: between.increase(now, DAY, number) for model, number in failed.items()
    }


def test_latency_by_model_lies_in_the_right_bucket(shown: Shown, between: Any) -> None:
    checked = 0
    (models,) = shown("Latency p95 by model")
    for series in models:
        for at, value in series.points[12:]:
            mine = [e for e in between.read(at, *HISTOGRAMS)[0] if e.model == series.name]
            # Of a few measurements the extrapolation of a young series decides.
            if len(values := measured("Latency", mine)) >= 5:
                rank = ceil(0.95 * len(values)) - 1
                low, high = values[max(0, rank - 1)], values[min(len(values) - 1, rank + 1)]
                assert bounds(low)[0] - 1e-9 <= value <= bounds(high)[1] + 1e-9
                checked += 1
    assert len(models) > 4
    assert checked > 30


def test_unpriced_requests(shown: Shown, truth: Truth, now: datetime) -> None:
    (rows,) = shown("Unpriced requests")
    assert {row.labels["reason"] for row in rows} == {"missing_usage", "unknown_pricing"}
    expected = truth(now - DAY, now).cost.unpriced_requests
    assert sum(row.last for row in rows) == pytest.approx(expected, abs=1)


def test_error_rate_never_counts_cancelled_requests(shown: Shown, between: Any, prices: PriceBook) -> None:
    """A scrape sees what ended before it, so between two scrapes the share is exact."""
    points = only(shown("Error rate")).points
    assert len(points) > 60
    cancelled = 0
    for at, ratio in points:
        found = totals(between.read(at, timedelta(minutes=15) + STEP)[0], prices)
        assert found.count() >= 4  # with its edges at least five
        cancelled += found.count(status="cancelled")
        assert ratio == pytest.approx(found.count(status="error") / found.count(), abs=1e-9)
    assert cancelled > 10


def test_requests_flow_as_counted(shown: Shown, between: Any, now: datetime) -> None:
    (models,) = shown("Requests by model")
    assert len(models) > 4
    window = timedelta(minutes=15) + STEP
    for series in models:
        for at, per_minute in series.points[1:]:
            events, minutes = between.read(at, window)
            expected = sum((e.model or "unknown") == series.name for e in events) / minutes
            assert per_minute == pytest.approx(expected, abs=1e-9)


def test_tokens_flow_as_counted(shown: Shown, between: Any, prices: PriceBook) -> None:
    kinds = [only([answer]) for answer in shown("Tokens by kind")]
    assert [one.name for one in kinds] == ["input", "cached input", "cache write", "output", "reasoning"]
    window = timedelta(minutes=15) + STEP
    for series in kinds:
        for at, per_minute in series.points[1:]:
            events, minutes = between.read(at, window)
            tokens = totals(events, prices).token_count(series.name.replace(" ", "_"))
            assert per_minute == pytest.approx(tokens / minutes)


def test_the_cache_ratio_is_cached_through_input(shown: Shown, between: Any, prices: PriceBook) -> None:
    points = only(shown("Cache ratio")).points
    assert len(points) > 60
    for at, ratio in points:
        found = totals(between.read(at, timedelta(minutes=15) + STEP)[0], prices)
        assert ratio == pytest.approx(found.token_count("cached_input") / found.token_count("input"))


@pytest.mark.parametrize("title", ["Latency", "Time to first token"])
def test_quantiles_lie_in_the_right_bucket(title: str, shown: Shown, between: Any) -> None:
    """They are read every five minutes, and each reading is that of the scrape before. A histogram knows no
    more than its buckets. Right means: the bucket of the true quantile, or of the measurement next to it,
    because Prometheus extrapolates young series a little less than older ones."""
    answers = [only([answer]) for answer in shown(title)]
    assert [one.name for one in answers] == ["p50", "p95", "p99"]
    checked = 0
    for series, q in zip(answers, (0.5, 0.95, 0.99), strict=True):
        for at, value in series.points[12:]:  # six hours after the histograms began
            if values := measured(title, between.read(at, *HISTOGRAMS)[0]):
                rank = ceil(q * len(values)) - 1
                low, high = values[max(0, rank - 1)], values[min(len(values) - 1, rank + 1)]
                assert bounds(low)[0] - 1e-9 <= value <= bounds(high)[1] + 1e-9
                checked += 1
    assert checked > 80


def measured(title: str, events: list[RequestEvent]) -> list[float]:
    """What the panel's histogram observed, in ascending order."""
    finished = [e for e in events if e.status != "cancelled"]
    values = [e.latency_ms if title == "Latency" else e.latency_first_token_ms for e in finished]
    return sorted(value for value in values if value is not None)


def bounds(value: float) -> tuple[float, float]:
    """Of the bucket of a value; beyond the last bound a quantile is that bound."""
    edges = (0.0, *LATENCY_MS_BUCKETS)
    place = bisect_left(edges, value)
    return edges[place - 1], edges[min(place, len(edges) - 1)]
