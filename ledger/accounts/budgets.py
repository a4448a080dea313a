"""What each proxy key has spent since the day and the week began. Days and weeks are UTC's.

The books are read once from the week's beginning; after that only the requests that came since are read.
Requests of the last minute are read every time: another process may store one late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, func, select

from ledger.pricing.cost import Spend, price_sum
from ledger.pricing.prices import PriceBook
from ledger.requests.billed import is_metered
from ledger.requests.queries import priced_sums, token_sum
from ledger.schema import request_logs

Period = Literal["daily", "weekly"]

SETTLED = timedelta(seconds=60)
"""After so long no request is stored any more under an earlier number."""

_NOTHING = Spend()
Days = Mapping[tuple[str, datetime], Spend]
"""Spend by key and by the midnight (UTC) at which its day began."""


@dataclass(frozen=True, slots=True)
class KeySpend:
    """What keys have spent this week, as last read.

    Attributes:
        until: the highest row number whose requests stand in `settled`.
        recent: the same for rows behind it, read anew every time.
    """

    week: datetime
    until: int = 0
    settled: Days = field(default_factory=lambda: MappingProxyType({}))
    recent: Days = field(default_factory=lambda: MappingProxyType({}))

    def today(self, key: str, now: datetime) -> Spend:
        """Spent since midnight."""
        day = day_start(now)
        return self.settled.get((key, day), _NOTHING) + self.recent.get((key, day), _NOTHING)

    def this_week(self, key: str, now: datetime) -> Spend:
        """Spent since Monday's midnight."""
        total, start = Spend(), week_start(now)
        for days in (self.settled, self.recent):
            total += sum((s for (k, day), s in days.items() if k == key and day >= start), Spend())
        return total


def day_start(now: datetime) -> datetime:
    """The midnight UTC before a moment."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def week_start(now: datetime) -> datetime:
    """Monday's midnight UTC before a moment."""
    day = day_start(now)
    return day - timedelta(days=day.weekday())


def read_spend(
    connection: Connection,
    book: PriceBook,
    keys: frozenset[str],
    now: datetime,
    before: KeySpend | None = None,
) -> KeySpend:
    """What keys have spent.

    Args:
        keys: values of `request_logs.api_key_id` that have a budget.
        before: what the last reading gave; None reads the whole week.
    """
    week = week_start(now)
    if before is None or before.week != week:
        before = KeySpend(week)
    log = request_logs.c
    until = max(before.until, _settled_row(connection, now, before.until))
    settled = dict(before.settled)
    if until > before.until:
        rows = [log.id > before.until, log.id <= until]
        if not before.until:  # by time at first: the week is a small part of a long history
            rows.append(log.requested_at >= week)
        for key, spend in _sums(connection, book, keys, rows).items():
            settled[key] = settled.get(key, _NOTHING) + spend
    recent = _sums(connection, book, keys, [log.id > until])
    return KeySpend(week, until, MappingProxyType(settled), MappingProxyType(recent))


def _settled_row(connection: Connection, now: datetime, known: int) -> int:
    """The number of the newest row that is old enough; `known` where there is none."""
    table = request_logs.c
    found = connection.execute(
        select(table.id)
        .where(table.requested_at < now - SETTLED)
        .order_by(table.requested_at.desc(), table.id.desc())
        .limit(1)
    ).scalar()
    return known if found is None else found


def _sums(
    connection: Connection, book: PriceBook, keys: frozenset[str], rows: Sequence[ColumnElement[bool]]
) -> dict[tuple[str, datetime], Spend]:
    """The spend of some rows, day by day so that each sum has one price."""
    found: dict[tuple[str, datetime], Spend] = {}
    for row in connection.execute(_query(keys, rows)):
        day = datetime.fromisoformat(f"{row.day}T00:00:00+00:00")
        at = (row.api_key_id, day)
        found[at] = found.get(at, _NOTHING) + price_sum(book, token_sum(row, day))
    return found


def _query(keys: frozenset[str], rows: Sequence[ColumnElement[bool]]) -> Select[Any]:
    log = request_logs.c
    day = func.date(log.requested_at)
    of_keys = priced_sums(log.api_key_id.in_(sorted(keys)), is_metered(log), *rows)
    return of_keys.add_columns(log.api_key_id, day.label("day")).group_by(log.api_key_id, day)
