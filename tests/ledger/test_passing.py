"""Not now is not bad input: which errors of a real database may be gone later."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL, Engine

from ledger import store
from ledger.errors import StoreError, StoreRefused, StoreUnavailable


@contextmanager
def engine(url: URL) -> Iterator[Engine]:
    made = store.writer(url, busy_timeout_seconds=0.1)
    try:
        yield made
    finally:
        made.dispose()


def migrating(url: URL) -> StoreError:
    with engine(url) as writer, pytest.raises(StoreError) as caught:
        store.migrate(writer)
    return caught.value


def test_a_locked_file_passes(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        assert isinstance(migrating(store.sqlite_url(path)), StoreUnavailable)


@pytest.mark.parametrize("content", [b"this is no database, whatever its name says" * 99, None])
def test_what_is_no_database_does_not_pass(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "usage.db" if content else tmp_path / "no" / "folder" / "usage.db"
    if content:
        path.write_bytes(content)
    assert not isinstance(migrating(store.sqlite_url(path)), StoreUnavailable)


def test_a_server_that_is_down_passes(free_port: Callable[[], int]) -> None:
    url = store.parse_url(f"postgresql://nobody@127.0.0.1:{free_port()}/ledger")
    assert isinstance(migrating(url), StoreUnavailable)


def test_a_database_that_does_not_exist_does_not_pass(postgres_url: URL) -> None:
    assert not isinstance(migrating(postgres_url.set(database="nowhere")), StoreUnavailable)


def test_a_lock_that_is_not_given_passes(postgres_url: URL) -> None:
    waits = postgres_url.update_query_dict({"options": "-c lock_timeout=100"})
    with engine(postgres_url) as writer, writer.begin() as other:
        other.exec_driver_sql("CREATE TABLE alembic_version (version_num text PRIMARY KEY)")
        other.exec_driver_sql("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        other.exec_driver_sql(f"SELECT pg_advisory_xact_lock({store._MIGRATION_LOCK})")
        assert isinstance(migrating(waits), StoreUnavailable)


@pytest.mark.parametrize("value", ["a\0b", "x" * 99])
def test_a_value_that_is_never_stored_does_not_pass_and_its_code_does_not_show_it(
    value: str, postgres_url: URL
) -> None:
    create, insert = (
        "CREATE TABLE short (t varchar(9) CHECK (t <> ''))",
        text("INSERT INTO short VALUES (:t)"),
    )
    with engine(postgres_url) as writer, writer.begin() as connection:
        connection.exec_driver_sql(create)
    with engine(postgres_url) as writer, pytest.raises(StoreRefused) as caught:
        with store.translated(writer.url, "cannot write"), writer.begin() as connection:
            connection.execute(insert, {"t": value})
    assert value not in caught.value.code
    assert "DataError" in caught.value.code or "22001" in caught.value.code


def test_a_server_that_lacks_a_table_refuses_nothing_for_ever(postgres_url: URL) -> None:
    with engine(postgres_url) as writer, pytest.raises(StoreError) as caught:
        with store.translated(writer.url, "cannot write"), writer.begin() as connection:
            connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")
    assert not isinstance(caught.value, StoreRefused)
