"""A history in a real ledger: the ledger's own queries give the known totals back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Engine, create_engine, func, select, type_coerce

from ledger.errors import StoreError
from ledger.pricing.prices import PriceBook
from ledger.requests.queries import account_sums, day_sums, list_accounts, newest_request
from ledger.schema import daily_stats, request_logs, usage_history
from ledger.store import migrate, reader, sqlite_url, writer
from simulator.errors import OutputError
from simulator.history.history import History, generate
from simulator.history.ledger import store
from simulator.history.plan import days
from tests.support.sums import price_sums


@pytest.fixture(scope="module")
def ledger(history: History, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A ledger that holds the history; for reading alone."""
    url = sqlite_url(tmp_path_factory.mktemp("ledger") / "usage.db")
    engine = writer(url)
    migrate(engine)
    store(engine, history)
    engine.dispose()
    reading = reader(url)
    yield reading
    reading.dispose()


@pytest.mark.slow
def test_cost_per_day(ledger: Engine, history: History, book: PriceBook) -> None:
    with ledger.connect() as connection:
        found = day_sums(connection, "2026-09-01", "2026-09-14")
    assert {day: price_sums(book, rows) for day, rows in found.items()} == history.totals.cost_by_day


@pytest.mark.slow
def test_cost_by_account(ledger: Engine, history: History, book: PriceBook) -> None:
    with ledger.connect() as connection:
        found = account_sums(connection, history.plan.start, history.plan.end)
    assert {a: price_sums(book, rows) for a, rows in found.items()} == history.totals.cost_by_account


def test_requests_and_tokens(ledger: Engine, history: History) -> None:
    log = request_logs.c
    seconds = type_coerce(log.requested_at, BigInteger) // 1_000_000
    day = func.strftime("%Y-%m-%d", seconds, "unixepoch")
    sums = [daily_stats.c[f"{kind}_tokens"] for kind in ("input", "output", "cached_input", "reasoning")]
    with ledger.connect() as connection:
        rows = connection.execute(
            select(day, log.status, log.model, func.count()).group_by(day, log.status, log.model)
        )
        assert {(d, s, m): n for d, s, m, n in rows} == history.totals.requests
        tokens = connection.execute(select(*(func.sum(s) for s in sums))).one()
    kinds = ("input", "output", "cached_input", "reasoning")
    assert list(tokens) == [history.totals.token_count(kind) for kind in kinds]


def test_accounts_and_the_newest_request(ledger: Engine, history: History) -> None:
    with ledger.connect() as connection:
        accounts = list_accounts(connection)
        newest = newest_request(connection)
    assert [(a.id, a.email, a.plan_type, a.status) for a in accounts] == sorted(
        (a.id, a.email, a.plan_type, a.status) for a in history.plan.accounts
    )
    assert newest == history.events[-1].requested_at


@pytest.mark.slow
def test_usage_samples(ledger: Engine, history: History) -> None:
    with ledger.connect() as connection:
        rows = connection.execute(select(usage_history).order_by(usage_history.c.id)).mappings().all()
    assert [{k: row[k] for k in asdict(history.samples[0])} for row in rows] == [
        asdict(s) for s in history.samples
    ]


@pytest.mark.slow
def test_all_of_it_or_nothing(tmp_path: Path, book: PriceBook) -> None:
    engine = writer(sqlite_url(tmp_path / "usage.db"))
    migrate(engine)
    short = generate(days(date(2026, 9, 1), 1), book)
    broken = replace(short, events=(*short.events, short.events[0]))  # an id occurs twice
    with pytest.raises(StoreError, match="cannot store history"):
        store(engine, broken)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(request_logs)).scalar() == 0
        assert list_accounts(connection) == ()
    engine.dispose()


@pytest.mark.slow
def test_the_same_history_is_refused_and_another_is_added(tmp_path: Path, book: PriceBook) -> None:
    engine = writer(sqlite_url(tmp_path / "usage.db"))
    migrate(engine)
    plan = days(date(2026, 9, 1), 1)
    store(engine, generate(plan, book))
    with pytest.raises(OutputError, match="already in this ledger; give another --seed"):
        store(engine, generate(plan, book))
    later = replace(plan, start=plan.end, end=plan.end + timedelta(days=1))
    store(engine, generate(later, book))
    with engine.connect() as connection:
        assert set(day_sums(connection, "2026-01-01", "2026-12-31")) == {"2026-09-01", "2026-09-02"}
    engine.dispose()


def test_a_ledger_without_tables_is_named(tmp_path: Path, book: PriceBook) -> None:
    engine = create_engine(sqlite_url(tmp_path / "empty.db"))
    with pytest.raises(StoreError, match=r"cannot store history in .*empty.db: no such table"):
        store(engine, generate(days(date(2026, 9, 1), 1), book))
    engine.dispose()
