"""Reading `usage_history` by account, in short statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, text

from ledger.quota.samples import NAMES
from ledger.quota.windows import DAY_MINUTES
from ledger.reader.foreign import MAX_PERCENT, Stored, columns, indexes, or_null, stamp, time_or_null

STRETCH_ROWS = 500
"""Rows of one account fetched in one statement: some milliseconds."""

LAST_OF_SHORT = 5
"""Rows of a short window among which there is one that can be understood."""

_Series = tuple[str, dict[str, Any]]
"""A condition, and its values."""

_ACCOUNT: _Series = ("account_id = :account", {})
_IS_PERCENT = f"used_percent BETWEEN {-MAX_PERCENT} AND {MAX_PERCENT}"


class MeterRows:
    """Reads `usage_history`. One object serves one scrape."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        have = columns(connection, "usage_history")
        name, minutes = or_null("window", have), or_null("window_minutes", have, "bigint")
        parts = (
            f"id, account_id, {time_or_null(connection, 'recorded_at')}, used_percent",
            f"{name}, {or_null('reset_at', have, 'bigint')}, {minutes}",
        )
        self._select = f"SELECT {', '.join(parts)} FROM usage_history"  # noqa: S608
        is_short = f"coalesce({name}, 'primary') IN ('primary', 'old-primary')"
        self._long = f"(coalesce({minutes}, 0) >= {DAY_MINUTES} OR NOT {is_short})"

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

    def of(self, account: str, since: int, until: int) -> list[Stored]:
        """An account's rows of [since, until]: all of windows of a day or more, and of the shorter
        ones the last few of all."""
        return [row for series in self._series for row in self._between(series, account, since, until)]

    def later(self, account: str, until: int, most: int) -> list[Stored]:
        """An account's rows that are dated later than a moment, at least so many where there are."""
        query = "used_percent IS NOT NULL AND recorded_at > :until ORDER BY recorded_at LIMIT :most"
        return self._of_each_series(query, account, until, most)

    def last_of(self, account: str, until: int, most: int) -> list[Stored]:
        """An account's newest rows that are dated at most a moment; at least so many where there are."""
        query = f"{_IS_PERCENT} AND recorded_at <= :until ORDER BY recorded_at DESC LIMIT :most"
        return self._of_each_series(query, account, until, most)

    def others(self, account: str, until: int, most: int) -> list[Stored]:
        """The newest row of each window whose name is not one of NAMES, where these lie apart in the index:
        elsewhere the other methods have them. From name to name, not over all rows."""
        if self._series == (_ACCOUNT,):
            return []
        following = 'SELECT min("window") FROM usage_history WHERE account_id = :account AND "window" > :name'
        last = text(
            f'{self._select} WHERE account_id = :account AND "window" = :name AND {_IS_PERCENT}'
            " AND recorded_at <= :until ORDER BY recorded_at DESC LIMIT 1"
        )
        given: dict[str, Any] = {"account": account, "name": "", "until": self._stamp(until)}
        found: list[Stored] = []
        for _ in range(most + len(NAMES)):
            given["name"] = self._connection.execute(text(following), given).scalar()
            if given["name"] is None:
                break
            if given["name"] not in NAMES:
                found += self._connection.execute(last, given).fetchall()
        return found

    def _of_each_series(self, query: str, account: str, until: int, most: int) -> list[Stored]:
        found: list[Stored] = []
        for condition, values in self._series:
            given = {**values, "account": account, "until": self._stamp(until), "most": most}
            query_of = text(f"{self._select} WHERE {condition} AND {query}")
            found += self._connection.execute(query_of, given).fetchall()
        return found

    def _between(self, series: _Series, account: str, since: int, until: int) -> Iterator[Stored]:
        condition, values = series
        given = {**values, "account": account, "low": self._stamp(since), "until": self._stamp(until)}
        while True:
            high = self._end(condition, given)
            ends = "" if high is None else " AND recorded_at < :high"
            stretch = f"{condition} AND recorded_at >= :low AND recorded_at <= :until{ends}"
            yield from self._of_stretch(stretch, {**given, "high": high})
            if high is None:
                return
            given["low"] = high

    def _of_stretch(self, stretch: str, given: dict[str, Any]) -> Iterator[Stored]:
        """All rows of long windows, and the last few of the short one: it has no history here."""
        rows = f"{self._select} WHERE {stretch} AND used_percent IS NOT NULL"
        yield from self._connection.execute(text(f"{rows} AND {self._long}"), given).fetchall()
        last = text(f"{rows} AND NOT {self._long} ORDER BY recorded_at DESC LIMIT {LAST_OF_SHORT}")
        yield from self._connection.execute(last, given).fetchall()

    def _end(self, condition: str, given: dict[str, Any]) -> Any:
        """The time at which a stretch ends that is long enough for one statement; None where all is."""
        rest = f"FROM usage_history WHERE {condition} AND recorded_at <= :until"
        beyond = f"SELECT recorded_at {rest} AND recorded_at >= :low ORDER BY recorded_at LIMIT 1 OFFSET "
        found = self._connection.execute(text(f"{beyond}{STRETCH_ROWS}"), given).scalar()
        if found != given["low"]:
            return found
        later = f"SELECT min(recorded_at) {rest} AND recorded_at > :low"
        return self._connection.execute(text(later), given).scalar()

    def _stamp(self, at: int) -> Any:
        return stamp(self._connection, at)


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
