"""What an exporter reads of a store, and in which stretches."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from ledger.reader import foreign as foreign_accounts
from ledger.reader.foreign import indexes, read_accounts
from ledger.reader.readonly import Reader
from ledger.store import sqlite_url


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, Connection]]:
    """A file as its owner and as we see it."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY, email, delete_requested_at)")
        owner.execute("CREATE TABLE request_logs (id INTEGER PRIMARY KEY, requested_at, deleted_at)")
        with Reader(sqlite_url(path)).reading() as connection:
            yield owner, connection


def test_accounts_are_read_in_parts_and_none_is_left_out(
    store: tuple[sqlite3.Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, connection = store
    monkeypatch.setattr(foreign_accounts, "AT_ONCE", 3)
    for number in range(9):
        assert len(read_accounts(connection).shown) == number
        owner.execute("INSERT INTO accounts (id) VALUES (?)", [f"a{number}"])
    owner.execute("UPDATE accounts SET delete_requested_at = '2026-01-01' WHERE id IN ('a2', 'a7')")
    found = read_accounts(connection)
    assert [account.id for account in found.shown] == ["a0", "a1", "a3", "a4", "a5", "a6", "a8"]
    assert found.hidden == {"a2", "a7"}


def test_an_account_that_nobody_understands_is_counted_and_costs_no_other(
    store: tuple[sqlite3.Connection, Connection],
) -> None:
    owner, connection = store
    owner.execute("INSERT INTO accounts (id, email) VALUES ('a', 'a@example.com'), ('b', x'ff'), (x'00', '')")
    found = read_accounts(connection)
    assert [account.id for account in found.shown] == ["a"]
    assert found.unreadable == 2


def test_an_account_whose_limit_has_passed_is_active_again(
    store: tuple[sqlite3.Connection, Connection],
) -> None:
    owner, connection = store
    owner.execute("ALTER TABLE accounts ADD COLUMN status")
    owner.execute("ALTER TABLE accounts ADD COLUMN reset_at")
    for id, status, reset_at in (
        ("a", "RATE_LIMITED", 999),
        ("b", "rate_limited", 1_001),
        ("c", "quota_exceeded", 1_000),
        ("d", "paused", 999),
        ("e", "rate_limited", None),
        ("f", "rate_limited", "soon"),
    ):
        owner.execute("INSERT INTO accounts (id, status, reset_at) VALUES (?, ?, ?)", (id, status, reset_at))
    found = read_accounts(connection, 1_000_000_000)
    assert {account.id: account.status for account in found.shown} == {
        "a": "active",
        "b": "rate_limited",
        "c": "active",
        "d": "paused",
        "e": "rate_limited",
        "f": "rate_limited",
    }


def test_indexes_of_a_part_of_the_rows_are_none_and_expressions_have_no_name(
    store: tuple[sqlite3.Connection, Connection],
) -> None:
    owner, connection = store
    owner.execute("CREATE INDEX a ON request_logs (requested_at DESC, id)")
    owner.execute("CREATE INDEX b ON request_logs (requested_at) WHERE deleted_at IS NULL")
    owner.execute("CREATE INDEX c ON request_logs (coalesce(deleted_at, ''), requested_at)")
    assert indexes(connection, "request_logs") == {("requested_at", "id"), (None, "requested_at")}


def test_the_same_on_postgresql(postgres_url: URL) -> None:
    with psycopg.connect(host=str(postgres_url.query["host"]), user="ledger", dbname="postgres") as server:
        server.execute("CREATE TABLE t (id int, at timestamp, gone timestamp)")
        server.execute("CREATE INDEX a ON t (at DESC, id)")
        server.execute("CREATE INDEX b ON t (at) WHERE gone IS NULL")
        server.execute("CREATE INDEX c ON t (coalesce(gone, at), at)")
        server.execute("CREATE INDEX d ON t (at) INCLUDE (gone)")
    reader = Reader(postgres_url)
    with reader.reading() as connection:
        assert indexes(connection, "t") == {("at", "id"), (None, "at"), ("at",)}
    reader.close()
