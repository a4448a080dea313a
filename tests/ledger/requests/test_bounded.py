"""Every question about requests ends in time, can be cancelled, reads a bounded number of rows, and holds on
to no old state of the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from ledger.errors import FilterError, TooSlow
from ledger.pricing.files import current_book
from ledger.requests import queries
from ledger.requests.filter import RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.sessions import sessions
from ledger.requests.sums import grouping
from ledger.requests.writes import record
from ledger.store import reader, sqlite_url
from ledger.values import RequestEvent
from tests.ledger.conftest import NOON
from tests.support.ledgers import migrated

BOOK = current_book({})
ALL = RequestFilter()
WEEK = RequestFilter(NOON - timedelta(days=7), NOON + timedelta(minutes=7), api_key_id=("sk-a...wxyz",))
BOUNDS = [NOON + timedelta(minutes=17 * n) for n in range(-10, 10)]

QUESTIONS: dict[str, Callable[[Connection], Any]] = {
    "totals": lambda c: queries.totals(c, ALL, BOOK, durations=True),
    "of a week": lambda c: queries.totals(c, WEEK, BOOK),
    "periods": lambda c: queries.totals_of_periods(c, ALL, [(BOUNDS[0], BOUNDS[3])], BOOK),
    "compared": lambda c: queries.compared(c, WEEK, BOOK),
    "by model": lambda c: queries.by(c, ALL, "model", BOOK, durations=True),
    "by key": lambda c: queries.by(c, WEEK, "api_key_id", BOOK),
    "by session": lambda c: queries.by(c, ALL, "session_id", BOOK),
    "series": lambda c: queries.series(c, ALL, BOUNDS, BOOK, dimension="account_id"),
    "concentrations": lambda c: queries.concentrations(c, ALL),
    "values": lambda c: queries.values(c, ALL, "project"),
    "page": lambda c: queries.page(c, WEEK, BOOK, size=5),
    "text": lambda c: queries.page(c, RequestFilter(text="gpt"), BOOK, size=5),
    "arrived": lambda c: queries.arrived(c, ALL, BOOK, after_id=0),
    "request": lambda c: queries.request(c, 1, BOOK),
    "all rows": lambda c: list(queries.all_rows(c, ALL, BOOK)),
    "sessions": lambda c: sessions(c, ALL, BOOK),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, make_event: Callable[..., RequestEvent]) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("bounded") / "usage.db"
    engine = migrated(file)
    with engine.begin() as connection:
        made = [
            make_event(
                requested_at=NOON - timedelta(minutes=n), session_id=f"talk {n}", model=f"model-{n % 7}"
            )
            for n in range(300)
        ]
        record(connection, made)
    with engine.connect():  # somebody has it open, as a proxy does
        yield file
    engine.dispose()


@pytest.fixture
def readers(file: Path) -> Iterator[Engine]:
    engine = reader(sqlite_url(file))
    yield engine
    engine.dispose()


@pytest.mark.parametrize("name", QUESTIONS)
def test_it_holds_no_old_state(file: Path, readers: Engine, name: str) -> None:
    """Before the caller has let go of its connection, all that was written can be put into the file."""
    with (
        asking(readers, Limit(60)) as connection,
        closing(sqlite3.connect(file, isolation_level=None)) as store,
    ):
        QUESTIONS[name](connection)
        store.execute("UPDATE versions SET version = version + 1")
        busy, pages, done = store.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert (busy, pages) == (0, done)


@pytest.mark.parametrize("name", QUESTIONS)
def test_it_can_be_cancelled(readers: Engine, name: str) -> None:
    limit = Limit(60)
    with pytest.raises(TooSlow, match="cancelled"), asking(readers, limit) as connection:
        connection.connection.driver_connection.set_progress_handler(lambda: limit.over, 1)  # type: ignore[union-attr]
        limit.cancel()
        QUESTIONS[name](connection)


@pytest.mark.parametrize("name", QUESTIONS)
def test_it_ends_in_time(readers: Engine, name: str) -> None:
    limit = Limit(0.0)
    with pytest.raises(TooSlow, match="took longer than 0 s"), asking(readers, limit) as connection:
        connection.connection.driver_connection.set_progress_handler(lambda: limit.over, 1)  # type: ignore[union-attr]
        QUESTIONS[name](connection)


def test_groups_are_bounded(readers: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "MAX_GROUPS", 50)
    with pytest.raises(TooSlow, match="more than 50 groups"), asking(readers, Limit(60)) as connection:
        queries.by(connection, ALL, "session_id", BOOK)


def test_pages_are_bounded(readers: Engine) -> None:
    with pytest.raises(FilterError, match="allowed: 1 to 1000"), asking(readers, Limit(60)) as connection:
        queries.page(connection, ALL, BOOK, size=1_001)
