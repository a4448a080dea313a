"""Rows of requests one by one: pages in both directions, the newest arrivals, all of a filter, and one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, case, func, or_, select

from ledger.columns import EPOCH, micros
from ledger.errors import FilterError
from ledger.pricing.cost import price_request
from ledger.pricing.prices import PriceBook
from ledger.request_tables import FIRST_TOKEN, LATENCY, request_durations
from ledger.requests.answers import Cursor, RequestDetail, RequestPage, RequestRow
from ledger.requests.billed import billed_tier
from ledger.requests.filter import RequestFilter, conditions, texts_meeting
from ledger.requests.sources import key_of
from ledger.requests.sums.histogram import bucket
from ledger.requests.sums.rollups import HOUR
from ledger.requests.totals.row_ids import newest_ids
from ledger.schema import request_details, request_kinds, request_logs, request_rows, request_sessions
from ledger.values import Usage

MAX_PAGE = 1_000
EXPORT_STEP = 2_000
"""Rows read in one statement of an export: some milliseconds, so that the WAL is never held."""

RECENT_ROWS = 20_000
"""Rows in which what is frequent is looked for first: some tens of milliseconds."""

SAMPLE = 5_000
"""Of these, so many tell how frequent something is."""

MAX_SHARE = 0.2
"""Of the rows: where more of them meet a condition, its index takes longer than the rows in their order."""

IDS_AT_ONCE = 100

ATTEMPTS_WITHIN = timedelta(hours=6)
"""Attempts at one request end within so long of each other."""

_USAGE = Usage.__struct_fields__
_PLAIN = tuple(
    field.name
    for field in fields(RequestRow)
    if field.name not in ("usage", "extra_units", "billed_tier", "cost_usd", "unpriced")
)


def page(
    connection: Connection,
    where: RequestFilter,
    book: PriceBook,
    *,
    size: int = 100,
    older_than: Cursor | None = None,
    newer_than: Cursor | None = None,
) -> RequestPage:
    """Rows of a filter, newest first: the first ones, or those next to a cursor on one side.

    Raises: FilterError.
    """
    if not 1 <= size <= MAX_PAGE:
        raise FilterError(f"size = {size}: allowed: 1 to {MAX_PAGE}")
    if newer_than is None:
        found = _newest(connection, where, book, older_than, size + 1)
        more, found = len(found) > size, found[:size]
        newer = found[0].cursor if found and older_than is not None else None
        return RequestPage(tuple(found), found[-1].cursor if more else None, newer)
    query = _select(where).where(beyond(newer_than, newer=True)).order_by(*oldest_first())
    found = [_row(row, book) for row in connection.execute(query.limit(size + 1))]
    more, found = len(found) > size, found[:size]
    older = found[0].cursor if found else None
    return RequestPage(tuple(found[::-1]), older, found[-1].cursor if more else None)


def _newest(
    connection: Connection, where: RequestFilter, book: PriceBook, older_than: Cursor | None, most: int
) -> list[RequestRow]:
    """The newest rows of a filter. What is frequent is found among the last rows there are; only what is rare
    is looked for in all of them, by the indexes of its conditions."""

    def query_of(unindexed: Sequence[Table] = ()) -> Select[Any]:
        query = _select(where, unindexed).order_by(*newest_first()).limit(most)
        return query if older_than is None else query.where(beyond(older_than, newer=False))

    until = None if older_than is None else older_than.at + 1
    if (groups := newest_ids(connection, where, until, max(most, IDS_AT_ONCE))) is not None:
        return _of_ids(connection, groups, book, older_than, most)
    query = query_of()
    if where.conditions_by_name() and (edge := _edge(connection, where, older_than)) is not None:
        recent = query.where(request_logs.c.requested_at >= edge)
        found = [_row(row, book) for row in connection.execute(recent)]
        if len(found) == most:
            return found
        if (within := _with_durations(connection, where)) is None:
            return []
        where = within
        query = query_of(_unindexed(connection, where))
    return [_row(row, book) for row in connection.execute(query)]


def _of_ids(
    connection: Connection,
    groups: Iterable[Sequence[int]],
    book: PriceBook,
    older_than: Cursor | None,
    most: int,
) -> list[RequestRow]:
    """Rows that are known to be meant, the newest first."""
    found: list[RequestRow] = []
    for ids in groups:
        query = _select(RequestFilter()).where(request_logs.c.id.in_(ids)).order_by(*newest_first())
        if older_than is not None:
            query = query.where(beyond(older_than, newer=False))
        found += [_row(row, book) for row in connection.execute(query.limit(most - len(found)))]
        if len(found) == most:
            break
    return found


def _with_durations(connection: Connection, where: RequestFilter) -> RequestFilter | None:
    """Cut to the hours that have durations within the filter's limits, as histograms say; None: none has."""
    t, kinds = request_durations.c, texts_meeting(where).get(request_kinds)
    for measure, name in ((LATENCY, "latency"), (FIRST_TOKEN, "first_token")):
        low, high = getattr(where, f"min_{name}_ms"), getattr(where, f"max_{name}_ms")
        if low is None and high is None:
            continue
        met = [t.measure == measure]
        met += [t.bucket >= bucket(low)] if low is not None else []
        met += [t.bucket <= bucket(high)] if high is not None else []
        met += [t.hour >= micros(where.since) // HOUR] if where.since else []
        met += [t.hour <= micros(where.until) // HOUR] if where.until else []
        met += [t.kind_id.in_(select(request_kinds.c.id).where(*kinds))] if kinds else []
        first, last = connection.execute(select(func.min(t.hour), func.max(t.hour)).where(*met)).one()
        if first is None:
            return None
        begin, end = (EPOCH + timedelta(hours=hour) for hour in (first, last + 1))
        since, until = max(begin, where.since or begin), min(end, where.until or end)
        where = where.between(since, max(since, until))
    return where


def _unindexed(connection: Connection, where: RequestFilter) -> Sequence[Table]:
    """The tables of texts whose index is no help, that of the rarest first. SQLite takes the first index that
    there is for a condition; which of them leads to few rows shows in the last ones. PostgreSQL counts by
    itself."""
    wanted = {t: met for t, met in texts_meeting(where).items() if t is not request_sessions}
    if connection.dialect.name != "sqlite" or not wanted:
        return ()
    if where.session_id or where.trace_id:
        return tuple(wanted)
    row = request_rows.c
    last = select(row.caller_id, row.kind_id, row.detail_id).order_by(row.at.desc()).limit(SAMPLE)
    sample = (last.where(row.at < where.until) if where.until else last).subquery().c
    of = {t: sample[key_of(t)].in_(select(t.c.id).where(*met)) for t, met in wanted.items()}
    counted = connection.execute(
        select(*(func.sum(case((condition, 1), else_=0)) for condition in of.values()))
    ).one()
    found = {t: int(number or 0) for t, number in zip(of, counted, strict=True)}
    indexed = {t: n for t, n in found.items() if t is not request_details and n <= SAMPLE * MAX_SHARE}
    best = min(indexed, key=lambda t: indexed[t], default=None)
    return sorted((t for t in found if t is not best), key=lambda t: found[t])


def _edge(connection: Connection, where: RequestFilter, older_than: Cursor | None) -> datetime | None:
    """When the first of the last RECENT_ROWS rows before a place ended; None where there are not so many."""
    at = request_rows.c.at
    ends = [end for end in (where.until, older_than.moment if older_than else None) if end is not None]
    query = select(at).order_by(at.desc()).offset(RECENT_ROWS).limit(1)
    if ends:
        query = query.where(at <= min(ends))
    found = connection.execute(query).scalar()
    return None if found is None or (where.since is not None and found <= where.since) else found


def arrived(
    connection: Connection, where: RequestFilter, book: PriceBook, *, after_id: int, most: int = 200
) -> tuple[RequestRow, ...]:
    """Rows of a filter that were stored after the row of an id, in the order they came: for a view that
    follows. A row may come late, with an earlier time."""
    query = _select(where).where(request_logs.c.id > after_id).order_by(request_logs.c.id).limit(most)
    return tuple(_row(row, book) for row in connection.execute(query))


def last_id(connection: Connection) -> int:
    """The id of the row that was stored last; 0 in an empty ledger."""
    newest = select(request_logs.c.id).order_by(request_logs.c.id.desc()).limit(1)
    return connection.execute(newest).scalar() or 0


def all_rows(connection: Connection, where: RequestFilter, book: PriceBook) -> Iterator[RequestRow]:
    """Every row of a filter, newest first, in short reads: for exports of any size. Rows that come after
    the beginning, and are newer than its first row, are not among them."""
    after: Cursor | None = None
    while True:
        found = page_rows(connection, where, book, older_than=after, size=EXPORT_STEP)
        yield from found
        if len(found) < EXPORT_STEP:
            return
        after = found[-1].cursor


def page_rows(
    connection: Connection, where: RequestFilter, book: PriceBook, *, older_than: Cursor | None, size: int
) -> Sequence[RequestRow]:
    """One step of `all_rows`: for callers that want a limit of time for each step."""
    query = _select(where).order_by(*newest_first()).limit(size)
    if older_than is not None:
        query = query.where(beyond(older_than, newer=False))
    return [_row(row, book) for row in connection.execute(query)]


def request(connection: Connection, id: int, book: PriceBook) -> RequestDetail | None:
    """One row by its id, with all attempts at the same request; None where there is none (any more)."""
    log = request_logs.c
    found = connection.execute(_select(RequestFilter()).where(log.id == id)).first()
    if found is None:
        return None
    row = _row(found, book)
    around = RequestFilter(row.requested_at - ATTEMPTS_WITHIN, row.requested_at + ATTEMPTS_WITHIN)
    same = _select(around).where(log.request_id == row.request_id)
    attempts = connection.execute(same.order_by(*oldest_first()).limit(MAX_PAGE))
    return RequestDetail(row, tuple(_row(attempt, book) for attempt in attempts))


def _select(where: RequestFilter, unindexed: Sequence[Table] = ()) -> Select[Any]:
    log = request_logs.c
    names = [log[name] for name in (*_PLAIN, *_USAGE, "extra_units")]
    return select(*names, billed_tier().label("billed_tier")).where(*conditions(where, log, unindexed))


def newest_first() -> list[ColumnElement[Any]]:
    """The order of pages."""
    return [request_logs.c.requested_at.desc(), request_logs.c.id.desc()]


def oldest_first() -> list[ColumnElement[Any]]:
    """The order of time."""
    return [request_logs.c.requested_at, request_logs.c.id]


def beyond(cursor: Cursor, *, newer: bool) -> ColumnElement[bool]:
    """Rows on one side of a place."""
    log, at = request_logs.c, cursor.moment
    if newer:
        return and_(log.requested_at >= at, or_(log.requested_at > at, log.id > cursor.id))
    return and_(log.requested_at <= at, or_(log.requested_at < at, log.id < cursor.id))


def _row(row: Any, book: PriceBook) -> RequestRow:
    read = row._mapping
    usage = Usage(**{name: read[name] for name in _USAGE})
    units = _units(read["extra_units"])
    cost, reason = None, None
    if read["request_kind"] != "read" or usage.input_tokens is not None:
        what = (read["model"], usage, read["requested_at"], read["billed_tier"], read["provider"], units)
        priced = price_request(book, *what)
        cost, reason = (priced, None) if isinstance(priced, Decimal) else (None, str(priced))
    return RequestRow(
        **{name: read[name] for name in _PLAIN},
        usage=usage,
        extra_units=units,
        billed_tier=read["billed_tier"],
        cost_usd=cost,
        unpriced=None if reason == "missing_usage" and read["status"] != "success" else reason,
    )


def _units(text: str | None) -> dict[str, Decimal] | None:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal) if text else None
