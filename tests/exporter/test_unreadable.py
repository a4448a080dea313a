"""Rows that nobody can understand, in a store that is scraped."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exporter.scrape import Scrape, Unreadable

Take = Callable[[], Scrape]
Taker = Callable[..., Take]
Values = Callable[[Scrape], dict[tuple[str, ...], float]]
FAMILY = "codex_lb_exporter_unreadable_rows"
ADDRESS = "anna@example.com"


def test_it_is_said_when_there_are_more_and_not_with_each_scrape(caplog: pytest.LogCaptureFixture) -> None:
    rows = Unreadable("usage_history")
    with caplog.at_level(logging.WARNING):
        told = [rows.samples(number, newest).values for number, newest in [(0, None), (2, 7), (2, 7), (3, 9)]]
    assert told == [{("usage_history",): number} for number in (0, 2, 2, 3)]
    assert caplog.messages == [
        "usage_history: 2 rows cannot be understood and do not count, row 7 among them",
        "usage_history: 3 rows cannot be understood and do not count, row 9 among them",
    ]


SPOILT: dict[str, dict[str, tuple[Any, ...]]] = {
    "request_logs": {
        "requested_at": ("yesterday", ADDRESS, b"\xff"),
        "input_tokens": (ADDRESS, float("inf")),
        "model": (b"\xff",),
        "account_id": (b"\xff",),
    },
    "usage_history": {
        "recorded_at": ("2026-99-99 99:99:99", b"\xff"),
        "used_percent": (ADDRESS, float("inf"), 1e9),
        "reset_at": (ADDRESS, float("inf")),
        "window_minutes": (ADDRESS, b"\xff"),
    },
    "accounts": {"email": (b"\xff",), "plan_type": (b"\xff",)},
}
CASES = [
    (table, column, value)
    for table, columns in SPOILT.items()
    for column in columns
    for value in columns[column]
]


@pytest.mark.parametrize("when", ["before", "between"])
@pytest.mark.parametrize(("table", "column", "value"), CASES)
@pytest.mark.slow
def test_one_row_costs_no_other_and_is_told_without_what_stands_in_it(
    usage_db: Path,
    taker: Taker,
    values: Values,
    caplog: pytest.LogCaptureFixture,
    when: str,
    table: str,
    column: str,
    value: Any,
    as_foreign: Callable[[Path], None],
) -> None:
    as_foreign(usage_db)
    take = taker(usage_db)
    before = values(take())
    if when == "before":
        take = taker(usage_db)
    with closing(sqlite3.connect(usage_db, isolation_level=None)) as owner:
        owner.execute("PRAGMA ignore_check_constraints=ON")
        copied(owner, table, column, value)
    with caplog.at_level(logging.WARNING):
        taken = take()
        assert take().failed == taken.failed == ()
    found = values(taken)
    assert found[FAMILY, table] == 1
    told = [line for line in caplog.messages if line.startswith(f"{table}: 1 rows cannot be understood")]
    assert len(told) == 1
    assert "@" not in caplog.text
    del found[FAMILY, table], before[FAMILY, table]
    assert timeless(found) == timeless(before)


def copied(owner: sqlite3.Connection, table: str, column: str, value: Any) -> None:
    """Add a copy of the newest row of account one, with one value that is none."""
    names = [row[1] for row in owner.execute(f"PRAGMA table_info({table})")]
    of_one = "id = 'one'" if table == "accounts" else "account_id = 'one'"
    last = owner.execute(f"SELECT * FROM {table} WHERE {of_one} ORDER BY id DESC LIMIT 1").fetchone()
    row = dict(zip(names, last, strict=True))
    if table == "accounts":
        row["id"] = "odd"
    else:
        del row["id"]
    if "event_id" in row:
        row["event_id"] = "odd"
    row[column] = value
    columns, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
    owner.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(row.values()))


def timeless(found: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return {key: value for key, value in found.items() if "duration" not in key[0]}
