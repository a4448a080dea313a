"""Reading `usage_history` by account, in short statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, text

from ledger.cycle import Reading
from ledger.foreign import Stored, columns, indexes, micros, or_null, stamp
from ledger.samples import NAMES
from ledger.windows import DAY_MINUTES, source_of

STRETCH_ROWS = 500
"""Rows of one account fetched in one statement: some milliseconds."""

_Series = tuple[str, dict[str, Any]]
"""A condition, and its values."""

_ACCOUNT: _Series = ("account_id = :account", {})


class MeterRows:
    """Reads `usage_history`. One object serves one scrape."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        have = columns(connection, "usage_history")
        parts = ", ".join(or_null(name, have) for name in ("window", "reset_at", "window_minutes"))
        self._select = f"SELECT id, account_id, recorded_at, used_percent, {parts} FROM usage_history"  # noqa: S608
        name, minutes = or_null("window", have), or_null("window_minutes", have)
        self._long = f"(coalesce({minutes}, 0) >= {DAY_MINUTES} OR {name} NOT IN ('primary', 'old-primary'))"

    @cached_property
    def _series(self) -> Sequence[_Series]:
        return _series(indexes(self._connection, "usage_history"))

    def last_id(self) -> int:
        """The highest id; 0 in an empty table."""
        return int(self._connection.execute(text("SELECT max(id) FROM usage_history")).scalar() or 0)

    def after(self, id: int, most: int) -> Sequence[Stored]:
        """Rows stored after an id, at most so many, in the order of ids; used_percent may be None."""
        query = text(f"{self._select} WHERE id > :id ORDER BY id LIMIT :most")
        return self._connection.execute(query, {"id": id, "most": most}).fetchall()

    def of(self, account: str, since: int) -> list[Stored]:
        """An account's rows since a moment; of windows of a day or more."""
        return [row for series in self._series for row in self._since(series, account, since)]

    def last_of(self, account: str, most: int) -> list[Stored]:
        """An account's newest rows; at least so many where there are."""
        found: list[Stored] = []
        for condition, values in self._series:
            query = text(
                f"{self._select} WHERE used_percent IS NOT NULL AND {condition}"
                " ORDER BY recorded_at DESC LIMIT :most"
            )
            found += self._connection.execute(query, {**values, "account": account, "most": most}).fetchall()
        return found

    def _since(self, series: _Series, account: str, since: int) -> Iterator[Stored]:
        condition, values = series
        query = (
            f"{self._select} WHERE used_percent IS NOT NULL AND {self._long}"
            f" AND {condition} AND recorded_at >= :low"
        )
        given = {**values, "account": account, "low": stamp(self._connection, since)}
        while True:
            high = self._end(condition, given)
            until = "" if high is None else " AND recorded_at < :high"
            yield from self._connection.execute(text(query + until), {**given, "high": high}).fetchall()
            if high is None:
                return
            given["low"] = high

    def _end(self, condition: str, given: dict[str, Any]) -> Any:
        """The time at which a stretch ends that is long enough for one statement; None where all is."""
        beyond = text(
            f"SELECT recorded_at FROM usage_history WHERE {condition} AND recorded_at >= :low"  # noqa: S608
            f" ORDER BY recorded_at LIMIT 1 OFFSET {STRETCH_ROWS}"
        )
        found = self._connection.execute(beyond, given).scalar()
        if found != given["low"]:
            return found
        later = f"SELECT min(recorded_at) FROM usage_history WHERE {condition} AND recorded_at > :low"  # noqa: S608
        return self._connection.execute(text(later), given).scalar()


def _series(have: frozenset[tuple[str | None, ...]]) -> Sequence[_Series]:
    """The conditions under which rows of one account lie together in an index, in the order of time: of all
    its windows in codex-lb's stores, of each by itself in ours."""
    by_window = any(
        {*index[:2]} == {"account_id", "window"} and index[2:3] == ("recorded_at",) for index in have
    )
    if not by_window or any(index[:2] == ("account_id", "recorded_at") for index in have):
        return (_ACCOUNT,)
    named = [name for name in NAMES if name is not None]
    return (
        *((f'{_ACCOUNT[0]} AND "window" = :name', {"name": name}) for name in named),
        (f'{_ACCOUNT[0]} AND "window" IS NULL', {}),
    )


def reading(row: Stored) -> tuple[str, Reading]:
    """The source and the reading of a row of MeterRows."""
    _, _, at, used, name, reset_at, minutes = row
    reset = None if reset_at is None else int(reset_at)
    return source_of(name), Reading(micros(at), float(used), reset, None if minutes is None else int(minutes))
