"""The sums of some hours as they are stored, and as the requests themselves give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Label,
    Select,
    Table,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    select,
    type_coerce,
)

from ledger.columns import EPOCH
from ledger.request_tables import (
    COUNT_COLUMNS,
    FIRST_TOKEN,
    LATENCY,
    request_durations,
    request_hourly,
    request_kinds,
    request_rows,
)
from ledger.requests import billed, sources
from ledger.requests.sums.histogram import bucket_column
from ledger.requests.sums.rollups import DAY_HOURS, HOUR
from ledger.schema import daily_stats
from ledger.values import UNKNOWN_MODEL

Sums = Mapping[tuple[Any, ...], tuple[int, ...]]
"""Numbers by key: both in the order of a table's columns."""

Changes = Mapping[tuple[Any, ...], tuple[int, ...] | None]
"""The same, as it should be; None: none of that key."""

DAY_KEY = ("day", "provider", "model", "service_tier", "context_above")


def stored(connection: Connection, table: Table, first: int, last: int) -> Sums:
    """The sums of the hours [first, last) as they are stored."""
    rows = connection.execute(select(table).where(table.c.hour >= first, table.c.hour < last))
    return _sums(rows, len(table.primary_key))


def recounted(connection: Connection, table: Table, first: int, last: int) -> Sums:
    if table is request_hourly:
        return _sums(connection.execute(_hours(first, last)), 3)
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for measure, name in ((LATENCY, "latency_ms"), (FIRST_TOKEN, "latency_first_token_ms")):
        for hour, kind, bucket, number in connection.execute(_durations(name, first, last)):
            found[hour, kind, measure, bucket] = (int(number),)
    return found


def changes(stored: Sums, counted: Sums) -> Changes:
    keys = stored.keys() | counted.keys()
    return {key: counted.get(key) for key in keys if stored.get(key) != counted.get(key)}


def replace(connection: Connection, table: Table, changes: Changes) -> None:
    """Store these sums instead of those that there are, or none."""
    names = [column.name for column in table.columns]
    keys = [column for column in table.columns if column.primary_key]
    gone = delete(table).where(*(column == bindparam(f"of_{column.name}") for column in keys))
    found = [{f"of_{c.name}": value for c, value in zip(keys, key, strict=True)} for key in changes]
    connection.execute(gone, found)
    made = [dict(zip(names, (*key, *sums), strict=True)) for key, sums in changes.items() if sums is not None]
    if made:
        connection.execute(insert(table), made)


def stored_days(connection: Connection, first: str, last: str) -> Sums:
    """The sums of the days [first, last] as they are stored."""
    names = [daily_stats.c[name] for name in (*DAY_KEY, *_day_sums())]
    rows = connection.execute(select(*names).where(daily_stats.c.day.between(first, last)))
    return _sums(rows, len(DAY_KEY))


def days_of_hours(connection: Connection, first: int, last: int) -> Sums:
    log, kind = request_hourly.c, request_kinds.c
    number: Label[int] = literal_column(f"request_hourly.hour / {DAY_HOURS}").label("number")
    outcomes = ("error", "cancelled", "success")
    status = [func.sum(case((kind.status == s, log.requests), else_=0)) for s in outcomes]
    plain = [func.sum(log[name]) for name in ("metered", "unmetered", "reasoning_tokens")]
    keys = [
        number,
        func.coalesce(kind.provider, "").label("of_provider"),
        func.coalesce(func.nullif(kind.model, ""), UNKNOWN_MODEL).label("of_model"),
        func.coalesce(billed.billed_tier(kind), "").label("of_tier"),
        kind.context_above.label("of_step"),
    ]
    counts = [func.sum(log[name]) for name in COUNT_COLUMNS.values()]
    query = select(*keys, func.sum(log.requests), *status, *plain, *counts)
    query = query.join_from(request_hourly, request_kinds, kind.id == log.kind_id)
    query = query.where(log.hour >= first, log.hour < last)
    query = query.group_by(*(literal_column(key.name) for key in keys))
    found = _sums(connection.execute(query), len(keys))
    return {(day_name(key[0]), *key[1:]): numbers for key, numbers in found.items()}


def day_name(number: int) -> str:
    """A day since 1970 as `daily_stats` names it."""
    return (EPOCH + timedelta(days=number)).date().isoformat()


def within(first: int, last: int) -> list[ColumnElement[bool]]:
    """Rows of the hours [first, last)."""
    at = type_coerce(request_rows.c.at, BigInteger)
    return [at >= first * HOUR, at < last * HOUR]


def _hours(first: int, last: int) -> Select[Any]:
    log = sources.rows()
    metered, counts = billed.is_metered(log), billed.counts(log)
    unmetered = ~metered & (log.status == "success") & (log.request_kind != "read")
    sums = [
        func.count(),
        func.sum(case((metered, 1), else_=0)),
        func.sum(case((unmetered, 1), else_=0)),
        func.sum(case((metered, func.coalesce(log.reasoning_tokens, 0)), else_=0)),
        *(func.sum(case((metered, counts[name]), else_=0)) for name in COUNT_COLUMNS),
    ]
    hour: Label[int] = literal_column(f"request_rows.at / {HOUR}").label("hour")
    query = select(hour, log.caller_id, log.kind_id, *sums).select_from(log.joined())
    query = query.where(log.deleted_at.is_(None), *within(first, last))
    return query.group_by(literal_column("hour"), log.caller_id, log.kind_id)


def _durations(name: str, first: int, last: int) -> Select[Any]:
    duration = request_rows.c[name]
    hour: Label[int] = literal_column(f"request_rows.at / {HOUR}").label("hour")
    bucket = bucket_column(duration).label("bucket")
    query = select(hour, request_rows.c.kind_id, bucket, func.count())
    query = query.where(request_rows.c.deleted_at.is_(None), duration.is_not(None), *within(first, last))
    return query.group_by(literal_column("hour"), request_rows.c.kind_id, literal_column("bucket"))


def _day_sums() -> tuple[str, ...]:
    outcomes = ("requests", "errors", "cancelled", "successes", "metered", "unmetered_successes")
    return (*outcomes, "reasoning_tokens", *COUNT_COLUMNS.values())


def _sums(rows: Iterable[Sequence[Any]], keys: int) -> Sums:
    return {tuple(row[:keys]): tuple(int(number or 0) for number in row[keys:]) for row in rows}


TABLES = (request_hourly, request_durations)
"""The sums of hours."""
