"""What questions read: the rows, or the sums by hour.

Of the texts' tables only those that a question names are joined: SQLite does not leave out a join that nobody
needs when it sums up.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table

from ledger.request_tables import (
    CALLER,
    DETAIL,
    KIND,
    request_callers,
    request_details,
    request_durations,
    request_hourly,
    request_kinds,
    request_rows,
    request_sessions,
)

_TEXTS: dict[Table, tuple[str, tuple[str, ...]]] = {
    request_callers: ("caller_id", CALLER),
    request_kinds: ("kind_id", KIND),
    request_details: ("detail_id", DETAIL),
    request_sessions: ("session_number", ("session_id",)),
}
"""Where each text is, and by which column of the rows it is found."""


class Source:
    """The columns of one table and of the texts it points at, by name as in `request_logs`. It notes which
    tables it was asked for; `joined` is made of these."""

    def __init__(self, base: Table) -> None:
        self.base = base
        self._asked: dict[Table, None] = {}

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        if name == "requested_at":
            return self.base.c.at
        for table, (key, names) in _TEXTS.items():
            if name in names and key in self.base.c:
                self._asked[table] = None
                found: ColumnElement[Any] = table.c[name]
                return found
        column: ColumnElement[Any] = self.base.c[name]
        return column

    def __getattr__(self, name: str) -> ColumnElement[Any]:
        return self[name]

    def join_also(self, other: Source) -> None:
        """Join what another one was asked for."""
        self._asked.update(other._asked)

    def joined(self) -> FromClause:
        """The table with the texts that were asked for."""
        found: FromClause = self.base
        for table in self._asked:
            key = self.base.c[_TEXTS[table][0]]
            found = found.outerjoin(table, table.c.id == key)
        return found


def rows() -> Source:
    """The rows themselves."""
    return Source(request_rows)


def hours() -> Source:
    """The sums by hour."""
    return Source(request_hourly)


def durations() -> Source:
    """The histograms by hour."""
    return Source(request_durations)


def table_of(name: str) -> Table | None:
    """Which table of texts a column of `request_logs` is in; None: the rows themselves."""
    return next((table for table, (_, names) in _TEXTS.items() if name in names), None)


def key_of(table: Table) -> str:
    """The column by which the rows point at a table of texts."""
    return _TEXTS[table][0]
