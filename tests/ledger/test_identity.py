"""A ledger that is put in the place of another beneath a process that remembers answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

from ledger import identity
from ledger.identity import Memory, OpenFile, opened
from ledger.pricing.files import current_book
from ledger.reader.day_file import file_of
from ledger.requests import queries
from ledger.requests.filter import RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.totals.overall import totals_of_all
from ledger.requests.totals.remembered import keep_days
from ledger.requests.writes import record
from ledger.schema import metadata
from ledger.store import migrate, reader, sqlite_url, writer
from ledger.values import RequestEvent
from tests.ledger.conftest import NOON

BOOK = current_book({})
DAYS = (NOON.replace(hour=0) - timedelta(days=1), NOON.replace(hour=0) + timedelta(days=4))
WHERE = RequestFilter(*DAYS)


def answers(engine: Engine) -> tuple[Any, ...]:
    with asking(engine, Limit(120)) as connection:
        of_days = totals_of_all(connection, [DAYS], BOOK)[0].requests
        by_account = queries.by(connection, WHERE, "account_id", BOOK).groups
        having = queries.totals(connection, WHERE.having("account_id", "anna"), BOOK).requests
        rows = queries.page(connection, RequestFilter(*DAYS, text="ANN"), BOOK).rows
        return of_days, {group.value: group.totals.requests for group in by_account}, having, len(rows)


@pytest.mark.parametrize("keeps", [False, True])
def test_nothing_is_remembered_of_a_ledger_that_was_there_before(
    url: URL, tmp_path: Path, make_event: Callable[..., RequestEvent], keeps: bool
) -> None:
    """Though stamps and numbers of both are the same: what one calls anna is bert in the other."""
    is_file = url.get_backend_name() == "sqlite"

    def fill(of: URL, *accounts: str) -> None:
        engine = writer(of)
        migrate(engine)
        with engine.begin() as connection:
            if not is_file:
                names = ", ".join(table for table in metadata.tables if table.startswith("request_"))
                connection.execute(text(f"TRUNCATE {names}, daily_stats RESTART IDENTITY"))
            for day, account in enumerate(accounts):
                at = NOON + timedelta(days=day)
                record(connection, [make_event(requested_at=at, account_id=account)])
            connection.execute(text("UPDATE request_changes SET changed = number"))
        engine.dispose()

    fill(url, "anna", "anna", "bert")
    engine = reader(url)
    if keeps:
        keep_days(engine, lambda: file_of(url, True, beside=tmp_path / "usage.db", engine=engine))
    for _ in range(2):
        assert answers(engine) == (3, {"anna": 2, "bert": 1}, 2, 2)
    if is_file:
        other = tmp_path / "other.db"
        fill(sqlite_url(other), "bert", "bert", "anna")
        other.replace(str(url.database))
    else:
        fill(url, "bert", "bert", "anna")
    for _ in range(2):
        assert answers(engine) == (3, {"bert": 2, "anna": 1}, 1, 1)
    engine.dispose()


def test_a_file_that_is_replaced_while_it_is_opened_is_opened_again(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("usage.db", "second.db", "third.db")]
    for number, file in enumerate(files):
        with OpenFile(file) as store:
            store.execute("CREATE TABLE t AS SELECT ? AS number", (number,))
        store.close()
    coming = files[1:]

    def open_file() -> OpenFile:
        connection = OpenFile(files[0])
        if coming:
            coming.pop(0).replace(files[0])
        return connection

    connection = opened(files[0], open_file)
    assert connection.execute("SELECT number FROM t").fetchone() == (2,)
    assert connection.identity == identity.of_file(files[0], files[0].stat())
    connection.close()


def test_what_is_remembered_of_a_ledger_is_one_for_all_its_questions(url: URL) -> None:
    engine = writer(url)
    migrate(engine)
    engine.dispose()
    engine, memory = reader(url), Memory[list[int]](lambda _: [])
    for number in range(3):
        with engine.connect() as connection:
            memory.of(connection).append(number)
    with engine.connect() as connection:
        assert memory.of(connection) == [0, 1, 2]
    engine.dispose()
