from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from ledger.reader import newest
from ledger.reader.foreign import micros
from ledger.reader.newest import newest_request_at
from ledger.reader.readonly import Reader
from ledger.store import sqlite_url

NOW = micros("2026-09-04 12:00:00")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, Connection]]:
    """A file as its owner and as we see it."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.execute("CREATE TABLE request_logs (id INTEGER PRIMARY KEY, requested_at, deleted_at)")
        with Reader(sqlite_url(path)).reading() as connection:
            yield owner, connection


def ended(owner: sqlite3.Connection, *times: object) -> None:
    owner.executemany("INSERT INTO request_logs (requested_at) VALUES (?)", [(time,) for time in times])


def test_the_newest_request_is_found_before_many_that_were_deleted(
    store: tuple[sqlite3.Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, connection = store
    monkeypatch.setattr(newest, "AMONG", 10)
    assert newest_request_at(connection, NOW) is None
    ended(owner, "2026-09-01 12:00:00")
    deleted = (
        "INSERT INTO request_logs (requested_at, deleted_at) VALUES ('2026-09-02 12:00:00', '2026-09-03')"
    )
    for _ in range(95):
        owner.execute(deleted)
    assert newest_request_at(connection, NOW) == micros("2026-09-01 12:00:00")


def test_times_that_are_none_and_times_to_come_do_not_hide_it(
    store: tuple[sqlite3.Connection, Connection],
) -> None:
    owner, connection = store
    ended(owner, "2026-09-04 11:00:00", "yesterday", None, 5, "2026-09-04 11:99:00", "2026-09-04 15:00:00")
    assert newest_request_at(connection, NOW) == micros("2026-09-04 11:00:00")


def test_a_clock_that_is_a_little_fast_is_now(store: tuple[sqlite3.Connection, Connection]) -> None:
    owner, connection = store
    ended(owner, "2026-09-04 12:04:00")
    assert newest_request_at(connection, NOW) == NOW


def test_the_same_on_postgresql(postgres_url: URL) -> None:
    with psycopg.connect(host=str(postgres_url.query["host"]), user="ledger", dbname="postgres") as server:
        server.execute("CREATE TABLE request_logs (id int, requested_at timestamp)")
        server.execute(
            "INSERT INTO request_logs VALUES (1, '2026-09-04 11:00'), (2, 'infinity'), (3, '-infinity'),"
            " (4, '20000-01-01'), (5, '2026-09-04 15:00')"
        )
    reader = Reader(postgres_url)
    with reader.reading() as connection:
        assert newest_request_at(connection, NOW) == micros("2026-09-04 11:00:00")
    reader.close()
