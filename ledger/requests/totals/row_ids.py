"""Which rows meet a filter that only rows can tell, the newest first, found in rows as arrays; and these read
before somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from ledger.columns import micros
from ledger.request_tables import request_callers, request_kinds, request_rows
from ledger.requests.days.kept_days import What
from ledger.requests.filter import RequestFilter, is_rare, of_rows_alone, row_part, texts_meeting
from ledger.requests.limits import stop_if_over
from ledger.requests.sums.horizons import REQUESTS, horizon
from ledger.requests.sums.rollups import HOUR
from ledger.requests.totals.blocks import DAY_MICROS, newest_slot
from ledger.requests.totals.plan import DAY, Block
from ledger.requests.totals.plan import HOUR as HOUR_SLOTS
from ledger.requests.totals.remembered import Stamps, kept_of

if TYPE_CHECKING:
    from ledger.requests.days.arrays import Grain

DAYS_WITH_ROWS = 35
"""So many days have their rows read ahead though older ones have to go for it."""


def newest_ids(
    connection: Connection, where: RequestFilter, until: int | None, most: int
) -> Iterator[Sequence[int]] | None:
    """Their ids, so many at once; None where rows are not kept as arrays, or other ways lead there.

    Args:
        until: microseconds since 1970, not included, beside the filter's own end.
    """
    if is_rare(where) or not of_rows_alone(where) or not kept_of(connection).days.has_rows:
        return None
    ends = _ends(connection)
    if ends is None:
        return iter(())
    low, high = ends[0], ends[1] + 1
    low = max(low, (horizon(connection, REQUESTS) or 0) * HOUR, micros(where.since) if where.since else low)
    high = min(high, until or high, micros(where.until) if where.until else high)
    return _ids(connection, where.between(None, None), (low, high), most)


def read_ahead(connection: Connection, number: int) -> bool:
    """Read a day that is over before somebody asks for it: the newest one, or so many days before. Whether
    there may be such a day. Rows are read as long as there is room for them; sums take little."""
    kept, newest = kept_of(connection), newest_slot(connection)
    ends = _ends(connection)
    if not kept.days.has_rows or ends is None:
        return False
    first, last = (end // DAY_MICROS for end in ends)
    day = (last if newest is None else min(last, newest // DAY - 1)) - number
    piece = (day * DAY, (day + 1) * DAY)
    stamp = Stamps(connection, [piece]).of(piece)
    wanted: list[tuple[What, Grain]] = [("sums", "day"), ("durations", "day")]
    if number < DAYS_WITH_ROWS or not kept.days.is_full:
        wanted += [("rows", "slot"), ("texts", "slot"), ("callers", "day")]
    for what, grain in wanted if day >= first else ():
        kept.days.get(connection, what, piece, stamp, grain)
    return day >= first


def _ends(connection: Connection) -> tuple[int, int] | None:
    """When the first and the last request ended, in microseconds since 1970."""
    at = request_rows.c.at
    first, last = (connection.execute(select(f(at))).scalar() for f in (func.min, func.max))
    return None if first is None or last is None else (micros(first), micros(last))


def _ids(
    connection: Connection, where: RequestFilter, time: tuple[int, int], most: int
) -> Iterator[Sequence[int]]:
    from ledger.requests.days.rows import between
    from ledger.requests.days.tallies import texts_of

    days, met = kept_of(connection).days, texts_meeting(where)
    low, high = time
    for piece in _pieces(connection, low, high):
        stop_if_over(connection)
        stamp = Stamps(connection, [piece]).of(piece)
        rows, places = days.chosen(connection, piece, stamp, row_part(where))
        begin = piece[0] // DAY * DAY_MICROS
        places = between(rows, places, max(0, low - begin), min(DAY_MICROS, high - begin))
        for name, table in (("caller", request_callers), ("kind", request_kinds)):
            if table in met:
                known = texts_of(connection, table, {}, met[table], where)
                places = places[known.of(rows.columns[name][places]) >= 0]
        ids = rows.columns["id"][places[::-1]]
        for start in range(0, len(ids), most):
            yield ids[start : start + most].tolist()


def _pieces(connection: Connection, low: int, high: int) -> Iterator[Block]:
    """Days, the last first; the one that is not over by hours."""
    newest = newest_slot(connection)
    for day in reversed(range(low // DAY_MICROS, -(-high // DAY_MICROS))):
        first, last = day * DAY, (day + 1) * DAY
        if newest is None or newest // DAY != day:
            yield first, last
            continue
        for hour in reversed(range(first, last, HOUR_SLOTS)):
            if low < (hour + HOUR_SLOTS) // HOUR_SLOTS * HOUR and hour // HOUR_SLOTS * HOUR < high:
                yield hour, hour + HOUR_SLOTS
