from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from ledger.reader import meter_rows
from ledger.reader.foreign import micros
from ledger.reader.meter_rows import MeterRows
from tests.support.examples import examples

BEGIN = datetime(2026, 9, 1, 12, tzinfo=UTC)
END = BEGIN + timedelta(hours=2)
INDEXES = {
    "account": "CREATE INDEX i ON usage_history (account_id, recorded_at)",
    "window": 'CREATE INDEX i ON usage_history (account_id, "window", recorded_at)',
    "window first": 'CREATE INDEX i ON usage_history ("window", account_id, recorded_at DESC, id DESC)',
    "none": "",
}
WINDOWS = [("primary", 300), ("secondary", 10_080), ("monthly", 43_200), (None, 300), (None, 10_080)]
ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(-3, 3), st.sampled_from(WINDOWS)), max_size=40
)


@pytest.mark.parametrize("index", INDEXES)
@examples(60)
@given(rows=ROWS)
def test_an_account_s_rows_are_all_there_once_whatever_the_index(
    index: str, rows: list[tuple[str, int, tuple[str | None, int]]]
) -> None:
    store = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with closing(store), pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter_rows, "STRETCH_ROWS", 3)
        patch.setattr(meter_rows, "LAST_OF_SHORT", 2)
        store.execute(
            "CREATE TABLE usage_history (id INTEGER PRIMARY KEY, account_id, recorded_at, used_percent,"
            ' "window", window_minutes)'
        )
        store.execute(INDEXES[index])
        times = [str(BEGIN.replace(tzinfo=None) + timedelta(hours=hours)) for _, hours, _ in rows]
        store.executemany(
            'INSERT INTO usage_history (account_id, recorded_at, used_percent, "window", window_minutes)'
            " VALUES (?, ?, 1, ?, ?)",
            [(account, at, *window) for (account, _, window), at in zip(rows, times, strict=True)],
        )
        engine = create_engine("sqlite://", creator=lambda: store, poolclass=StaticPool)
        with engine.connect() as connection:
            reading = MeterRows(connection)
            found = [row[0] for row in reading.of("a", micros(BEGIN), micros(END))]
            later = [row[0] for row in reading.later("a", micros(END), len(rows) + 1)]
            newest = {row[0] for row in reading.last_of("a", micros(END), len(rows) + 1)}
            last_two = {row[0] for row in reading.last_of("a", micros(END), 2)}
    mine = [(id, hours, window) for id, (account, hours, window) in enumerate(rows, 1) if account == "a"]
    between = [(id, hours, window) for id, hours, window in mine if 0 <= hours <= 2]
    assert len(found) == len(set(found))
    assert {id for id, _, (_, minutes) in between if minutes >= 1_440} <= set(found)
    short = {id: hours for id, hours, (_, minutes) in between if minutes < 1_440}
    told = [hours for id, hours in short.items() if id in found]
    assert sorted(told, reverse=True)[:2] == sorted(short.values(), reverse=True)[:2]
    assert set(found) <= {id for id, _, _ in between}
    assert sorted(later) == [id for id, hours, _ in mine if hours > 2]
    assert newest == {id for id, hours, _ in mine if hours <= 2}
    hours_of = {id: hours for id, hours, _ in mine if hours <= 2}
    last_hours = sorted((hours_of[id] for id in last_two), reverse=True)
    assert last_hours[:2] == sorted(hours_of.values(), reverse=True)[:2]
