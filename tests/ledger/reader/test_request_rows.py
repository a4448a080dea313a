from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from ledger.reader import requests as request_rows
from ledger.reader.foreign import micros
from ledger.reader.readonly import Reader
from ledger.reader.requests import MAX_SUMMED, RequestRows, digest_of, first_id
from ledger.store import sqlite_url
from tests.support.examples import examples

BEGIN = datetime(2026, 9, 1, 12, tzinfo=UTC)
INDEXES = {
    "time": "CREATE INDEX i ON request_logs (requested_at DESC, id DESC)",
    "account": "CREATE INDEX i ON request_logs (account_id, requested_at)",
    "partial": "CREATE INDEX i ON request_logs (requested_at) WHERE deleted_at IS NULL",
    "none": "",
}
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(-6, 6)), max_size=40)


@pytest.mark.parametrize("index", INDEXES)
@examples(60)
@given(rows=ROWS)
def test_the_first_row_of_a_time_is_found_whatever_the_order_and_the_index(
    index: str, rows: list[tuple[str | None, int]]
) -> None:
    store = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with closing(store), pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_rows, "STEP_ROWS", 3)
        store.execute(
            "CREATE TABLE request_logs (id INTEGER PRIMARY KEY, account_id, requested_at, deleted_at)"
        )
        store.execute(INDEXES[index])
        stored = [(account, str(BEGIN.replace(tzinfo=None) + timedelta(hours=h))) for account, h in rows]
        store.executemany("INSERT INTO request_logs (account_id, requested_at) VALUES (?, ?)", stored)
        engine = create_engine("sqlite://", creator=lambda: store, poolclass=StaticPool)
        with engine.connect() as connection:
            found = first_id(connection, micros(BEGIN))
        assert found == next((id for id, (_, hours) in enumerate(rows, 1) if hours >= 0), None)


def test_a_digest_leaves_out_what_is_deleted_and_is_that_of_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute(
            "CREATE TABLE request_logs (id INTEGER PRIMARY KEY, account_id, requested_at, model,"
            " input_tokens, status, deleted_at)"
        )
        store.executemany(
            "INSERT INTO request_logs (requested_at, input_tokens, status, deleted_at) VALUES ('', ?, ?, ?)",
            [
                (5, "SUCCESS", None),
                (7, "success", "2026-01-01"),
                (None, "error", None),
                (11, "success", None),
            ],
        )
    with Reader(sqlite_url(path)).reading() as connection:
        rows = RequestRows(connection)
        assert rows.digest(1, 4) == digest_of(rows.page(1, 4, 99)) == (2, 4, 5, 0, 0, 0, 1)
        assert len(rows.page(1, None, 99)) == 4  # the deleted one too
        assert rows.last_id() == 4


def test_a_digest_takes_a_count_that_is_none_or_beyond_all_sums_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    odd = [5, None, "x", b"7", float("inf"), -3, 2**62, 2**62, 2**62, MAX_SUMMED, MAX_SUMMED + 1]
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute(
            "CREATE TABLE request_logs (id INTEGER PRIMARY KEY, account_id, requested_at, model,"
            " input_tokens, status)"
        )
        store.executemany("INSERT INTO request_logs (input_tokens) VALUES (?)", [(count,) for count in odd])
    with Reader(sqlite_url(path)).reading() as connection:
        rows = RequestRows(connection)
        assert rows.digest(1, 99) == digest_of(rows.page(1, 99, 99))
        assert rows.digest(1, 99)[2] == 5 + MAX_SUMMED
