"""What keys have spent: read piece by piece, and always what one reading of everything says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, text

from ledger.accounts.budgets import KeySpend, day_start, read_spend, week_start
from ledger.pricing.cost import price_event
from ledger.pricing.files import load_seed
from ledger.pricing.prices import PriceBook
from ledger.requests.writes import record
from ledger.schema import request_logs
from ledger.values import RequestEvent, Usage

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


def test_today_and_this_week_of_each_key(ledger: Engine, make_event: EventFactory) -> None:
    moments = [FRIDAY, FRIDAY - timedelta(days=1), MONDAY, MONDAY - timedelta(seconds=1)]
    events = [make_event(api_key_id="team", requested_at=at) for at in moments]
    events += [make_event(api_key_id=key, requested_at=FRIDAY) for key in ("lab", "sk-a...wxyz")]
    with ledger.begin() as connection:
        record(connection, events)
        spend = read_spend(connection, BOOK, KEYS, FRIDAY + timedelta(hours=1))
    one = cost(events[:1], "team", MONDAY)
    assert one > 0
    assert spend.today("team", FRIDAY).usd == one
    assert spend.this_week("team", FRIDAY).usd == cost(events[:3], "team", MONDAY)
    assert spend.this_week("lab", FRIDAY).usd == one
    assert spend.this_week("sk-a...wxyz", FRIDAY).usd == 0


def test_a_new_day_and_a_new_week_begin_at_nothing(ledger: Engine, make_event: EventFactory) -> None:
    with ledger.begin() as connection:
        record(connection, [make_event(api_key_id="team", requested_at=FRIDAY)])
        spend = read_spend(connection, BOOK, KEYS, FRIDAY + timedelta(hours=1))
        assert spend.today("team", FRIDAY + timedelta(days=1)).usd == 0
        assert spend.this_week("team", FRIDAY + timedelta(days=1)).usd > 0
        assert spend.this_week("team", MONDAY + timedelta(days=7)).usd == 0
        again = read_spend(connection, BOOK, KEYS, MONDAY + timedelta(days=7, hours=1), spend)
        assert again.this_week("team", MONDAY + timedelta(days=7, hours=1)).usd == 0


def test_what_is_settled_is_not_read_again(ledger: Engine, make_event: EventFactory) -> None:
    with ledger.begin() as connection:
        record(connection, [make_event(api_key_id="team", requested_at=FRIDAY)])
        first = read_spend(connection, BOOK, KEYS, FRIDAY + timedelta(minutes=2))
        connection.execute(delete(request_logs))
        connection.execute(text("INSERT INTO versions VALUES ('gap', 0)"))
        second = read_spend(connection, BOOK, KEYS, FRIDAY + timedelta(minutes=3), first)
    assert first.today("team", FRIDAY).usd > 0
    assert second.today("team", FRIDAY) == first.today("team", FRIDAY)


def test_a_row_that_another_process_stores_late_is_counted(ledger: Engine, make_event: EventFactory) -> None:
    """PostgreSQL gives numbers before it commits: a row may appear under a number that was passed."""
    mine = make_event(api_key_id="team", requested_at=FRIDAY)
    late = make_event(api_key_id="team", requested_at=FRIDAY)
    with ledger.begin() as connection:
        record(connection, [mine, late])
        connection.execute(text("UPDATE request_logs SET deleted_at = '2026-01-01' WHERE id = 1"))
        first = read_spend(connection, BOOK, KEYS, FRIDAY + timedelta(seconds=30))
        connection.execute(text("UPDATE request_logs SET deleted_at = NULL"))
        second = read_spend(connection, BOOK, KEYS, FRIDAY + timedelta(seconds=32), first)
    assert second.today("team", FRIDAY).usd == 2 * first.today("team", FRIDAY).usd > 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_piece_by_piece_is_all_at_once(
    ledger: Engine,
    make_event: EventFactory,
    usages: st.SearchStrategy[Usage],
    data: st.DataObject,
) -> None:
    moments = st.integers(0, 13 * 24 * 60).map(lambda m: MONDAY + timedelta(minutes=m - 3 * 24 * 60))
    with ledger.connect() as connection, connection.begin() as transaction:
        spend: KeySpend | None = None
        events: list[RequestEvent] = []
        for now in sorted(data.draw(st.lists(moments, min_size=1, max_size=6))):
            drawn = data.draw(st.lists(st.tuples(st.integers(0, 300), usages), max_size=4))
            batch = [
                make_event(
                    requested_at=now - timedelta(seconds=ago),
                    usage=usage,
                    api_key_id=data.draw(st.sampled_from(["team", "lab", "else"])),
                    model=data.draw(st.sampled_from(["gpt-5.6-sol", "gpt-5.5", "no-such-model"])),
                    service_tier=data.draw(st.sampled_from([None, "flex"])),
                )
                for ago, usage in drawn
            ]
            events += batch
            record(connection, batch)
            spend = read_spend(connection, BOOK, KEYS, now, spend)
            for key in KEYS:
                assert spend.today(key, now).usd == cost(events, key, day_start(now))
                assert spend.this_week(key, now).usd == cost(events, key, week_start(now))
        transaction.rollback()


@pytest.mark.parametrize("keys", [frozenset[str](), frozenset({"team"})])
def test_an_empty_ledger_has_spent_nothing(ledger: Engine, keys: frozenset[str]) -> None:
    with ledger.begin() as connection:
        assert read_spend(connection, BOOK, keys, FRIDAY).today("team", FRIDAY).usd == 0
