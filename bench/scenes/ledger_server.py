"""A SQLite ledger taken over into a PostgreSQL, row by row: SQLite writes the lines that COPY reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Boolean, Engine, LargeBinary, Table

from ledger.columns import HexId
from ledger.request_tables import (
    request_callers,
    request_changes,
    request_details,
    request_durations,
    request_hourly,
    request_kinds,
    request_rows,
    request_sessions,
)
from ledger.schema import daily_stats
from ledger.store import migrate, writer

LINES_AT_ONCE = 5_000

_SUMS = (request_hourly, request_durations, daily_stats, request_changes)
_TEXTS = (request_callers, request_kinds, request_details, request_sessions)
TABLES = (*_TEXTS, *_SUMS, request_rows)


def copy(path: Path, url: URL) -> None:
    """Take over the requests and their sums into an empty database."""
    engine = writer(url)
    try:
        migrate(engine)
        with closing(sqlite3.connect(path)) as store:
            for table in TABLES:
                _copy(store, engine, table)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM (ANALYZE)")
            connection.exec_driver_sql("CHECKPOINT")
    finally:
        engine.dispose()


def _copy(store: sqlite3.Connection, engine: Engine, table: Table) -> None:
    """Indexes are made faster when all is there."""
    indexes = _indexes(engine, table)
    with engine.begin() as connection:
        for name, _ in indexes:
            connection.exec_driver_sql(f'DROP INDEX "{name}"')
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        driver: Any = connection.connection.driver_connection
        statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT csv)"
        with driver.cursor() as cursor, cursor.copy(statement) as target:
            for lines in _lines(store, table):
                target.write(lines)
        for _, made in indexes:
            connection.exec_driver_sql(made)
        if "id" in table.c:
            last = f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name}"
            connection.exec_driver_sql(last)


def _indexes(engine: Engine, table: Table) -> list[tuple[str, str]]:
    """Those that can be dropped: names, and how they are made."""
    query = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexdef NOT LIKE '%%UNIQUE%%'"
    )
    with engine.connect() as connection:
        return [(name, made) for name, made in connection.exec_driver_sql(query, (table.name,))]


def _lines(store: sqlite3.Connection, table: Table) -> Iterator[str]:
    line = " || ',' || ".join(_quoted(column) for column in table.columns)
    rows = store.execute(f"SELECT {line} FROM {table.name}")
    while some := rows.fetchmany(LINES_AT_ONCE):
        yield "\n".join(row[0] for row in some) + "\n"


def _quoted(column: Any) -> str:
    """A column as CSV has it; nothing between the commas is NULL."""
    name = text = f'"{column.name}"'
    if isinstance(column.type, HexId):
        text = f"CASE typeof({name}) WHEN 'blob' THEN lower(hex({name})) ELSE {name} END"
    elif isinstance(column.type, LargeBinary):
        text = f"'\\x' || hex({name})"
    elif isinstance(column.type, Boolean):
        text = f"CASE {name} WHEN 1 THEN 't' WHEN 0 THEN 'f' END"
    return f"""coalesce('"' || replace({text}, '"', '""') || '"', '')"""
