"""What the request log says that keys have spent this week."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from ledger.accounts.budgets import LoggedDay, day_start, read_spend, week_start
from ledger.pricing.cost import price_event
from ledger.pricing.files import load_seed
from ledger.pricing.prices import PriceBook
from ledger.requests.writes import record
from ledger.values import RequestEvent, Usage
from tests.support.examples import examples

EventFactory = Callable[..., RequestEvent]
BOOK = PriceBook(load_seed())
FRIDAY = datetime(2026, 8, 21, 12, tzinfo=UTC)  # a price of gpt-5.6-sol changed at the last midnight
MONDAY = datetime(2026, 8, 17, tzinfo=UTC)
KEYS = frozenset({"team", "lab"})


def cost(events: Sequence[RequestEvent], key: str, since: datetime) -> Decimal:
    """One by one, by the rule for single requests."""
    mine = [e for e in events if e.api_key_id == key and e.requested_at >= since]
    prices = [price_event(BOOK, e) for e in mine]
    return sum((p for p in prices if isinstance(p, Decimal)), Decimal(0))


def test_days_and_weeks_begin_at_midnight_utc() -> None:
    assert day_start(FRIDAY) == datetime(2026, 8, 21, tzinfo=UTC)
    assert week_start(FRIDAY) == MONDAY == week_start(MONDAY)
    assert week_start(MONDAY - timedelta(microseconds=1)) == MONDAY - timedelta(days=7)


def test_the_days_of_this_week_of_each_key(ledger: Engine, make_event: EventFactory) -> None:
    moments = [FRIDAY, FRIDAY - timedelta(days=1), MONDAY, MONDAY - timedelta(seconds=1)]
    events = [make_event(api_key_id="team", requested_at=at) for at in moments]
    events += [make_event(api_key_id=key, requested_at=FRIDAY) for key in ("lab", "sk-a...wxyz")]
    with ledger.begin() as connection:
        record(connection, events)
        spend = read_spend(connection, BOOK, KEYS, FRIDAY + timedelta(hours=1))
    friday, thursday, monday = (LoggedDay(cost([event], "team", MONDAY), 1) for event in events[:3])
    assert friday.usd > 0
    assert spend == {
        "team": {"2026-08-17": monday, "2026-08-20": thursday, "2026-08-21": friday},
        "lab": {"2026-08-21": friday},
    }


@examples(25)
@given(data=st.data())
def test_a_day_is_the_sum_of_its_requests(
    ledger: Engine, make_event: EventFactory, usages: st.SearchStrategy[Usage], data: st.DataObject
) -> None:
    minutes = st.integers(-24 * 60, 7 * 24 * 60 - 1)
    drawn = data.draw(st.lists(st.tuples(minutes, usages), max_size=8))
    events = [
        make_event(
            requested_at=MONDAY + timedelta(minutes=minute),
            usage=usage,
            api_key_id=data.draw(st.sampled_from(["team", "lab", "else"])),
            model=data.draw(st.sampled_from(["gpt-5.6-sol", "gpt-5.5", "no-such-model"])),
            service_tier=data.draw(st.sampled_from([None, "flex"])),
        )
        for minute, usage in drawn
    ]
    with ledger.connect() as connection, connection.begin() as transaction:
        record(connection, events)
        spend = read_spend(connection, BOOK, KEYS, FRIDAY)
        transaction.rollback()
    for key in KEYS:
        for number in range(7):
            day = MONDAY + timedelta(days=number)
            theirs = [e for e in events if day <= e.requested_at < day + timedelta(days=1)]
            found = spend[key].get(day.date().isoformat(), LoggedDay())
            assert found.usd == cost(theirs, key, day)


@pytest.mark.parametrize("keys", [frozenset[str](), frozenset({"team"})])
def test_an_empty_ledger_has_spent_nothing(ledger: Engine, keys: frozenset[str]) -> None:
    with ledger.begin() as connection:
        assert read_spend(connection, BOOK, keys, FRIDAY) == {key: {} for key in keys}
