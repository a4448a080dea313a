"""Reading a store whose schema may be older or newer than ours: this ledger's own, or codex-lb's.

Columns that are missing read as NULL. Rows come as plain tuples, times as microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, inspect, text

from ledger.cycle import Reading
from ledger.errors import StoreError
from ledger.queries import Account
from ledger.windows import DAY_MINUTES, source_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAIVE_EPOCH = EPOCH.replace(tzinfo=None)

CHUNK_IDS = 50_000
"""Rows looked at in one read where no index helps: some ten milliseconds."""

SLICE = timedelta(hours=6)
"""Time looked at in one read of an index."""

Stored = Sequence[Any]
"""One row as it is stored; hashable."""

_TIERS = ("actual_service_tier", "service_tier", "requested_service_tier")
_COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
_REQUEST = (*_COUNTS, "status", "request_kind", "cost_usd")

Digest = tuple[int, ...]
"""Number, ids, token counts and successes of rows, each summed up: what changes when a row is deleted,
hidden or completed."""


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


def columns(connection: Connection, table: str) -> frozenset[str]:
    """The columns of a table as it is now.

    Raises: what the database raises where there is no such table.
    """
    if connection.dialect.name == "sqlite":
        names = [row[1] for row in connection.exec_driver_sql(f'PRAGMA table_info("{table}")')]
    else:
        query = text(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = :table AND table_schema = ANY (current_schemas(false))"
        )
        names = [row[0] for row in connection.execute(query, {"table": table})]
    if not names:
        connection.execute(text(f'SELECT 1 FROM "{table}"'))  # noqa: S608
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of a store: those to show, by id, and the ids of those that are marked for deletion."""

    shown: tuple[Account, ...]
    hidden: frozenset[str]


def read_accounts(connection: Connection) -> Accounts:
    """All accounts, their status and plan in lower case."""
    have = columns(connection, "accounts")
    parts = ", ".join(
        _or_null(name, have) for name in ("email", "plan_type", "status", "delete_requested_at")
    )
    rows = connection.execute(text(f"SELECT id, {parts} FROM accounts ORDER BY id")).fetchall()  # noqa: S608
    return Accounts(
        tuple(
            Account(str(id), email or "", (plan or "unknown").casefold(), (status or "active").casefold())
            for id, email, plan, status, deleted in rows
            if deleted is None
        ),
        frozenset(str(row[0]) for row in rows if row[4] is not None),
    )


def newest_request_at(connection: Connection) -> int | None:
    """When the newest of the requests stored last ended; None in an empty store.

    An old store has no index by time, so it is looked for among the last thousand.
    """
    have = columns(connection, "request_logs")
    where = "WHERE deleted_at IS NULL" if "deleted_at" in have else ""
    last = f"SELECT requested_at FROM request_logs {where} ORDER BY id DESC LIMIT 1000"  # noqa: S608
    found = connection.execute(text(f"SELECT max(requested_at) FROM ({last}) AS newest")).scalar()  # noqa: S608
    return None if found is None else micros(found)


class RequestRows:
    """Reads `request_logs` by id. One object serves one scrape: the next may find other columns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        have = columns(connection, "request_logs")
        tiers = ", ".join(name for name in _TIERS if name in have)
        parts = [
            "id, account_id, requested_at, model",
            f"coalesce({tiers}, NULL)" if tiers else "NULL",
            *(_or_null(name, have) for name in _REQUEST),
        ]
        sums = ", ".join(f"coalesce(sum({_or_null(name, have)}), 0)" for name in _COUNTS)
        self._kept = "deleted_at IS NULL" if "deleted_at" in have else "1 = 1"
        self._select = f"SELECT {', '.join(parts)} FROM request_logs WHERE {self._kept}"  # noqa: S608

        self._digest = (
            f"SELECT count(*), coalesce(sum(id), 0), {sums},"  # noqa: S608
            " coalesce(sum(CASE WHEN lower(status) = 'success' THEN 1 ELSE 0 END), 0)"
            f" FROM request_logs WHERE {self._kept} AND id >= :low AND id < :high"
        )

    def page(self, low: int, high: int | None, most: int) -> Sequence[Stored]:
        """Rows of the ids [low, high), at most so many: id, account_id, requested_at as stored, model,
        served tier, the four counts, status, request_kind, cost_usd."""
        until = "" if high is None else "AND id < :high"
        query = text(f"{self._select} AND id >= :low {until} ORDER BY id LIMIT :most")
        return self._connection.execute(query, {"low": low, "high": high, "most": most}).fetchall()

    def digest(self, low: int, high: int | None) -> Digest:
        """The digest of the rows of the ids [low, high), summed up by the database: much cheaper than to
        fetch them."""
        found = self._connection.execute(text(self._digest), {"low": low, "high": high}).one()
        return tuple(int(value) for value in found)

    def first_id(self, since: int) -> int | None:
        """The lowest id of the rows that ended at or after a moment, in reads of some milliseconds."""
        indexes = inspect(self._connection).get_indexes("request_logs")
        by_time = any(index["column_names"][:1] == ["requested_at"] for index in indexes)
        found = self._by_index(since) if by_time else self._by_walking(since)
        return min((low for low in found if low is not None), default=None)

    def _by_index(self, since: int) -> Iterator[int | None]:
        start, now = moment(since), datetime.now(UTC)
        while True:
            last = start > now
            until = "" if last else "AND requested_at < :until"
            query = f"SELECT min(id) FROM request_logs WHERE requested_at >= :since {until}"  # noqa: S608
            times = {"since": self._stamp(start), "until": self._stamp(start + SLICE)}
            yield self._connection.execute(text(query), times).scalar()
            if last:
                return
            start += SLICE

    def _by_walking(self, since: int) -> Iterator[int | None]:
        low, high = self._connection.execute(text("SELECT min(id), max(id) FROM request_logs")).one()
        query = text(
            "SELECT min(id) FROM request_logs WHERE id >= :low AND id < :high AND requested_at >= :since"
        )
        while low is not None and low <= high:
            ids = {"low": low, "high": low + CHUNK_IDS, "since": self._stamp(moment(since))}
            found = self._connection.execute(query, ids).scalar()
            yield found
            if found is not None:
                return
            low += CHUNK_IDS

    def _stamp(self, at: datetime) -> str | datetime:
        return _stamp(self._connection, at)


class MeterRows:
    """Reads `usage_history`. One object serves one scrape."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        have = columns(connection, "usage_history")
        parts = ", ".join(_or_null(name, have) for name in ("window", "reset_at", "window_minutes"))
        self._select = (
            f"SELECT id, account_id, recorded_at, used_percent, {parts} FROM usage_history"  # noqa: S608
            " WHERE used_percent IS NOT NULL"
        )
        name, minutes = _or_null("window", have), _or_null("window_minutes", have)
        self._long = f"(coalesce({minutes}, 0) >= {DAY_MINUTES} OR {name} NOT IN ('primary', 'old-primary'))"

    def last_id(self) -> int:
        """The highest id; 0 in an empty table."""
        return int(self._connection.execute(text("SELECT max(id) FROM usage_history")).scalar() or 0)

    def after(self, id: int, most: int) -> Sequence[Stored]:
        """Rows stored after an id, at most so many, in the order of ids."""
        query = text(f"{self._select} AND id > :id ORDER BY id LIMIT :most")
        return self._connection.execute(query, {"id": id, "most": most}).fetchall()

    def of(self, account: str, since: int) -> Sequence[Stored]:
        """An account's rows since a moment; of windows of a day or more."""
        query = text(f"{self._select} AND account_id = :account AND recorded_at >= :since AND {self._long}")
        times = {"account": account, "since": _stamp(self._connection, moment(since))}
        return self._connection.execute(query, times).fetchall()

    def last_of(self, account: str, most: int) -> Sequence[Stored]:
        """An account's newest rows."""
        query = text(f"{self._select} AND account_id = :account ORDER BY recorded_at DESC LIMIT :most")
        return self._connection.execute(query, {"account": account, "most": most}).fetchall()


def digest_of(rows: Sequence[Stored]) -> Digest:
    """The digest of rows of RequestRows.page."""
    sums = [sum(row[place] or 0 for row in rows) for place in (0, 5, 6, 7, 8)]
    return len(rows), *map(int, sums), sum(str(row[9]).casefold() == "success" for row in rows)


def reading(row: Stored) -> tuple[str, Reading]:
    """The source and the reading of a row of MeterRows."""
    _, _, at, used, name, reset_at, minutes = row
    reset = None if reset_at is None else int(reset_at)
    return source_of(name), Reading(micros(at), float(used), reset, None if minutes is None else int(minutes))


def _or_null(name: str, have: frozenset[str]) -> str:
    return f'"{name}"' if name in have else "NULL"


def _stamp(connection: Connection, at: datetime) -> str | datetime:
    """A time to compare stored ones with. Whole seconds sort before every fraction of theirs as text."""
    naive = at.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    return naive.isoformat(" ") if connection.dialect.name == "sqlite" else naive
