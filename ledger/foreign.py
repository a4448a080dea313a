"""Reading a store whose schema may be older or newer than ours: this ledger's own, or codex-lb's.

Columns that are missing read as NULL. Rows come as plain tuples, times as microseconds since 1970. In a file
with a rollback journal its owner cannot commit while a statement of ours runs, so each looks at a bounded
number of rows, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, inspect, text

from ledger.errors import StoreError
from ledger.queries import Account

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAIVE_EPOCH = EPOCH.replace(tzinfo=None)

ACCOUNTS_AT_ONCE = 1_000
"""Accounts read in one statement."""

NEWEST_AMONG = 1_000
NEWEST_STEPS = 50
"""The newest request is looked for among the last so many rows, and so many times among those before where
all of them are marked as deleted."""

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


def or_null(name: str, have: frozenset[str]) -> str:
    """A column, or NULL where there is none of that name."""
    return f'"{name}"' if name in have else "NULL"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of a store: those to show, by id, and the ids of those that are marked for deletion."""

    shown: tuple[Account, ...]
    hidden: frozenset[str]


def read_accounts(connection: Connection) -> Accounts:
    """All accounts, their status and plan in lower case."""
    rows = list(_account_rows(connection))
    return Accounts(
        tuple(
            Account(str(id), email or "", (plan or "unknown").casefold(), (status or "active").casefold())
            for id, email, plan, status, deleted in rows
            if deleted is None
        ),
        frozenset(str(row[0]) for row in rows if row[4] is not None),
    )


def _account_rows(connection: Connection) -> Iterator[Stored]:
    have = columns(connection, "accounts")
    names = ("email", "plan_type", "status", "delete_requested_at")
    select = f"SELECT id, {', '.join(or_null(name, have) for name in names)} FROM accounts"  # noqa: S608
    after: dict[str, Any] = {}
    while True:
        where = "WHERE id > :after" if after else ""
        query = text(f"{select} {where} ORDER BY id LIMIT {ACCOUNTS_AT_ONCE}")
        rows = connection.execute(query, after).fetchall()
        yield from rows
        if len(rows) < ACCOUNTS_AT_ONCE:
            return
        after = {"after": rows[-1][0]}


def newest_request_at(connection: Connection) -> int | None:
    """When the newest of the requests stored last ended; None in an empty store.

    An old store has no index by time, so it is looked for among those with the highest ids.
    """
    deleted = or_null("deleted_at", columns(connection, "request_logs"))
    below = connection.execute(text("SELECT max(id) + 1 FROM request_logs")).scalar()
    last = f"SELECT id, requested_at, {deleted} AS deleted FROM request_logs WHERE id < :below"  # noqa: S608
    query = text(
        "SELECT min(id), max(CASE WHEN deleted IS NULL THEN requested_at END)"  # noqa: S608
        f" FROM ({last} ORDER BY id DESC LIMIT {NEWEST_AMONG}) AS newest"
    )
    for _ in range(NEWEST_STEPS):
        if below is None:
            return None
        below, found = connection.execute(query, {"below": below}).one()
        if found is not None:
            return micros(found)
    return None
