"""Counted series, compared with the real proxy's own counters on the same requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from ledger.pricing.prices import PriceBook
from ledger.pricing.table import CurrentPrices
from ledger.values import RequestEvent
from metrics import proxy as m
from proxy.observers.metrics_observer import MetricsObserver
from proxy.observers.registry import Metrics
from simulator.history.counting import COUNTED, Counted, Key, count
from simulator.history.history import History
from simulator.history.scrapes import Scrapes

START = datetime(2026, 9, 1, tzinfo=UTC)


def final(counted: Counted) -> dict[Key, float]:
    return {key: float(series.values[-1]) for key, series in counted.series.items()}


@pytest.mark.slow
def test_it_counts_what_the_proxy_counts(history: History, book: PriceBook) -> None:
    metrics = Metrics(m.FAMILIES)
    observe = MetricsObserver(metrics, CurrentPrices(book), max_models=100, max_keys=100, max_codes=100)
    events = history.events[:6_000]
    observe(events)
    observe.deliver()
    order = {name: (*family.labels, "le") for family in COUNTED for name in family.series}
    proxys: dict[Key, float] = {
        (s.name, tuple(s.labels[label] for label in order[s.name] if label in s.labels)): s.value
        for family in metrics.registry.collect()
        for s in family.samples
        if s.name in order and s.value
    }
    plan = history.plan
    ours = final(count(events, Scrapes(plan.start, plan.end + timedelta(minutes=1)), book))
    assert {key: value for key, value in ours.items() if value} == pytest.approx(proxys)


def test_a_scrape_sees_what_ended_before_it(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    events = [event(requested_at=START + timedelta(seconds=s)) for s in (0, 59, 60, 61, 200)]
    counted = count(events, Scrapes(START, START + timedelta(minutes=3)), book, (m.API_KEY_REQUESTS,))
    series = counted.series["api_key_requests_total", ("sk-t...a1B2",)]
    assert list(zip(series.ticks, map(int, series.values), strict=True)) == [(0, 0), (1, 2), (2, 4)]


def test_a_restart_takes_every_series_to_zero(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    restarts = (START + timedelta(seconds=90), START + timedelta(seconds=290))
    scrapes = Scrapes(START, START + timedelta(minutes=6), restarts=restarts)
    moments = (10, 70, 100, 130)
    events = [event(requested_at=START + timedelta(seconds=s)) for s in moments]
    series = count(events, scrapes, book, (m.API_KEY_REQUESTS,)).series[
        "api_key_requests_total", ("sk-t...a1B2",)
    ]
    assert list(zip(series.ticks, map(int, series.values), strict=True)) == [
        (0, 0),
        (1, 1),
        (2, 1),
        (3, 2),
        (5, 0),
    ]


def test_a_histogram_shows_all_of_its_bounds(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    scrapes = Scrapes(START, START + timedelta(days=1))
    counted = count([event(latency_ms=250.0), event(latency_ms=250.1)], scrapes, book, (m.LATENCY,))
    values = final(counted)
    place = ("gpt-5.4-mini", "responses")
    assert [values[m.LATENCY.bucket, (*place, repr(b))] for b in m.LATENCY.buckets[:5]] == [0, 0, 0, 1, 2]
    assert values[m.LATENCY.bucket, (*place, "+Inf")] == values[m.LATENCY.count, place] == 2
    assert values[m.LATENCY.sum, place] == pytest.approx(500.1)


def test_a_family_without_labels_is_there_though_nothing_happens(book: PriceBook) -> None:
    counted = count([], Scrapes(START, START + timedelta(days=1)), book)
    assert final(counted) == {(f.name, ()): 0 for f in COUNTED if not f.labels}
    assert (m.BUFFER_DROPPED.name, ()) in counted.series
