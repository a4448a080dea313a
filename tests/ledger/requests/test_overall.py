"""Sums of all requests from the sums by day are those of every other question."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, event

from ledger.pricing.files import load_seed
from ledger.pricing.prices import PriceBook, flat
from ledger.pricing.table import price_book, replace_prices
from ledger.requests import queries
from ledger.requests.answers import Totals
from ledger.requests.filter import RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.sums.periods import midnight
from ledger.requests.totals.overall import totals_of_all
from ledger.requests.writes import record
from ledger.store import reader
from simulator.history.history import requests
from simulator.history.plan import days

FIRST = date(2026, 10, 23)
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Pacific/Auckland")
CHANGED = PriceBook(
    [
        *load_seed(),
        flat("gpt-5.5", datetime(2026, 10, 25, tzinfo=UTC), Decimal(7), Decimal(70), origin="config"),
    ]
)
"""A price that changes in the middle of it."""


def test_periods_of_any_zone(ledger: Engine) -> None:
    events = list(requests(days(FIRST, 5, requests_per_day=120)))
    with ledger.begin() as connection:
        record(connection, events)
    engine = reader(ledger.url)
    try:
        with asking(engine, Limit(120)) as connection:
            for name in ZONES:
                zone = ZoneInfo(name)
                bounds = [midnight(FIRST + timedelta(days=day), zone) for day in range(0, 6, 2)]
                bounds += [
                    datetime(2026, 10, 24, 7, 31, 12, tzinfo=UTC),
                    datetime(2026, 10, 24, 9, tzinfo=UTC),
                ]
                periods = list(combinations(sorted(bounds), 2))
                found = totals_of_all(connection, periods, CHANGED)
                for period, sums in zip(periods, found, strict=True):
                    where = RequestFilter(*period)
                    assert sums == queries.totals(connection, where, CHANGED, durations=False), (name, period)
                    assert sums.requests == sum(period[0] <= e.requested_at < period[1] for e in events)
    finally:
        engine.dispose()


def test_what_was_asked_before_is_read_again_where_it_has_changed(ledger: Engine) -> None:
    events = list(requests(days(FIRST, 5, requests_per_day=60)))
    begin, end = (datetime.combine(FIRST, time(), UTC) + timedelta(days=n) for n in (0, 5))
    periods = [(begin, end), (begin, begin + timedelta(days=2)), (end - timedelta(days=1), end)]
    of_a_day = [[e for e in events if e.requested_at.date() == FIRST + timedelta(days=n)] for n in range(5)]
    engine = reader(ledger.url)
    try:
        with ledger.begin() as connection:
            record(connection, [one for some in of_a_day for one in some[5:]])
        for late in (
            of_a_day[4][:2],
            of_a_day[1][:3],
            [*of_a_day[0][:5], *of_a_day[2][:5], *of_a_day[4][2:5]],
            [],
        ):
            with asking(engine, Limit(120)) as connection:
                for book in (CHANGED, PriceBook(load_seed()), CHANGED, CHANGED):
                    found = totals_of_all(connection, periods, book)
                    for period, sums in zip(periods, found, strict=True):
                        where = RequestFilter(*period)
                        assert sums == queries.totals(connection, where, book, durations=False), period
            if late:
                with ledger.begin() as connection:
                    record(connection, late)
        assert found[0].requests == len(events) - 5 * 5 + 2 + 3 + 5 + 5 + 3
    finally:
        engine.dispose()


def test_days_that_have_not_changed_are_not_read_again(ledger: Engine) -> None:
    events = list(requests(days(FIRST, 5, requests_per_day=60)))
    with ledger.begin() as connection:
        record(connection, events[:-1])
    begin, end = (datetime.combine(FIRST, time(), UTC) + timedelta(days=n) for n in (0, 5))
    engine, read = reader(ledger.url), list[str]()

    @event.listens_for(engine, "before_cursor_execute")
    def _said(_c: Any, _d: Any, statement: str, given: Any, *_: Any) -> None:
        if "daily_stats" in statement:
            read.extend(map(str, given.values() if isinstance(given, dict) else given))

    try:
        with asking(engine, Limit(120)) as connection:
            assert totals_of_all(connection, [(begin, end)], CHANGED)[0].requests == len(events) - 1
            assert begin.date().isoformat() in read
            read.clear()
            assert totals_of_all(connection, [(begin, end)], CHANGED)[0].requests == len(events) - 1
            assert read == []
        with ledger.begin() as connection:
            record(connection, events[-1:])
        with asking(engine, Limit(120)) as connection:
            assert totals_of_all(connection, [(begin, end)], CHANGED)[0].requests == len(events)
        assert [at for at in read if at.startswith("2026-")] == ["2026-10-27", "2026-10-28"]
    finally:
        engine.dispose()


def test_an_empty_ledger(ledger: Engine) -> None:
    period = (datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 26, 1, tzinfo=UTC))
    with ledger.connect() as connection:
        assert totals_of_all(connection, [period], CHANGED) == (Totals(),)


def test_prices_of_the_models_in_use_are_found_as_in_all(ledger: Engine) -> None:
    models = ("gpt-5.5", "openai/gpt-5.4-2026-03-05", "claude-opus-4-8", "nobody-knows-me", "gpt-4o")
    with ledger.begin() as connection:
        replace_prices(connection, load_seed())
        full, some = price_book(connection), price_book(connection, models)
    assert 0 < len(some.prices) < len(full.prices) / 10
    at = datetime(2026, 11, 1, tzinfo=UTC)
    for model in models:
        for provider in (None, "openai", "azure", "anthropic", "ollama", "nobody"):
            assert some.look_up(model, at, provider) == full.look_up(model, at, provider)
