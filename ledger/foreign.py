"""Reading a store whose schema may be older or newer than ours: this ledger's own, or codex-lb's.

Columns that are missing read as NULL. Rows come as plain tuples, times as microseconds since 1970. In a file
with a rollback journal its owner cannot commit while a statement of ours runs, so each looks at a bounded
number of rows, however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, inspect, text

from ledger.errors import StoreError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAIVE_EPOCH = EPOCH.replace(tzinfo=None)

Stored = Sequence[Any]
"""One row as it is stored; hashable."""


def micros(moment: Any) -> int:
    """A stored time as microseconds since 1970: text of either precision, or a datetime; naive is UTC.

    Raises: StoreError.
    """
    try:
        parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return (parsed - (EPOCH if parsed.tzinfo else _NAIVE_EPOCH)) // _MICROSECOND
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{moment!r} stands in the store where a time should") from error


def moment(at: int) -> datetime:
    """Microseconds since 1970 as aware UTC."""
    return EPOCH + at * _MICROSECOND


def stamp(connection: Connection, at: int) -> str | datetime:
    """A time to compare stored ones with. Whole seconds sort before every fraction of theirs as text."""
    naive = moment(at).replace(tzinfo=None, microsecond=0)
    return naive.isoformat(" ") if connection.dialect.name == "sqlite" else naive


def columns(connection: Connection, table: str) -> frozenset[str]:
    """The columns of a table as it is now.

    Raises: what the database raises where there is no such table.
    """
    if connection.dialect.name == "sqlite":
        names = [row[1] for row in connection.exec_driver_sql(f'PRAGMA table_info("{table}")').fetchall()]
    else:
        query = text(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = :table AND table_schema = ANY (current_schemas(false))"
        )
        names = [row[0] for row in connection.execute(query, {"table": table}).fetchall()]
    if not names:
        connection.execute(text(f'SELECT 1 FROM "{table}" LIMIT 1'))  # noqa: S608
    return frozenset(names)


def indexes(connection: Connection, table: str) -> frozenset[tuple[str | None, ...]]:
    """The columns of each index over all rows of a table; None stands for an expression."""
    if connection.dialect.name != "sqlite":
        found = [i for i in inspect(connection).get_indexes(table) if not _is_partial(i)]
        return frozenset(tuple(index["column_names"]) for index in found)
    listed = connection.exec_driver_sql(f'PRAGMA index_list("{table}")').fetchall()
    names = [name for _, name, _, _, partial in listed if not partial]
    infos = [connection.exec_driver_sql(f'PRAGMA index_info("{name}")').fetchall() for name in names]
    return frozenset(tuple(row[2] for row in sorted(info)) for info in infos)


def _is_partial(index: Any) -> bool:
    return "postgresql_where" in index.get("dialect_options", {})


def or_null(name: str, have: frozenset[str], kind: str = "text") -> str:
    """A column, or NULL of a type where there is none of that name: PostgreSQL does not sum up or compare
    what has no type."""
    return f'"{name}"' if name in have else f"CAST(NULL AS {kind})"


def time_or_null(connection: Connection, name: str) -> str:
    """A column of times, without those that Python has no value for: PostgreSQL knows infinity, and years
    before 1 and after 9999, and one of them would cost all the rows that are fetched with it."""
    if connection.dialect.name == "sqlite":
        return f'"{name}"'
    return f"CASE WHEN \"{name}\" BETWEEN '0002-01-01' AND '9998-12-31' THEN \"{name}\" END"
