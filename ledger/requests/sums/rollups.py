"""Sums that are kept in step with the rows, in the transaction that changes them: by hour and everything that
requests are told apart by (`request_hourly`), histograms of durations by hour and kind (`request_durations`),
and by day and what decides on the price (`daily_stats`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from operator import add as plus
from time import time_ns
from typing import Any

from sqlalchemy import Connection, Integer, Table, text

from ledger.columns import EPOCH, micros
from ledger.pricing.counts import count_values, is_metered
from ledger.pricing.steps import context_step
from ledger.request_tables import (
    COUNT_COLUMNS,
    FIRST_TOKEN,
    LATENCY,
    request_changes,
    request_durations,
    request_hourly,
)
from ledger.requests.sums.histogram import bucket
from ledger.schema import daily_stats
from ledger.values import UNKNOWN_MODEL, RequestEvent

HOUR = 3_600_000_000
SLOT = HOUR // 12
"""Microseconds. A slot is five minutes."""

SLOTS = HOUR // SLOT
DAY_HOURS = 24

_NO_COUNTS = (0,) * len(COUNT_COLUMNS)
_HOUR_SUMS = ("requests", "metered", "unmetered", "reasoning_tokens", *COUNT_COLUMNS.values())
_DAY_SUMS = (
    "requests",
    "metered",
    "unmetered_successes",
    "reasoning_tokens",
    *COUNT_COLUMNS.values(),
    "successes",
    "errors",
    "cancelled",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored request, and the numbers of who asked and of what for."""

    event: RequestEvent
    caller_id: int
    kind_id: int


_Sums = dict[tuple[Any, ...], Sequence[int]]


def add(connection: Connection, entries: Iterable[Entry], *, sign: int = 1) -> None:
    """Add requests to all sums, or with sign = -1 take them out again."""
    hours: _Sums = {}
    durations: _Sums = {}
    days: _Sums = {}
    kinds: dict[int, RequestEvent] = {}
    slots: set[int] = set()
    for entry in entries:
        event = entry.event
        kinds.setdefault(entry.kind_id, event)
        slot = micros(event.requested_at) // SLOT
        slots.add(slot)
        hour = slot // SLOTS
        _raise(hours, (hour, entry.caller_id, entry.kind_id), _sums(event, sign))
        latency = None if event.batched else event.latency_ms
        for measure, duration in ((LATENCY, latency), (FIRST_TOKEN, event.latency_first_token_ms)):
            if duration is not None:  # rows of others may lack either
                _raise(durations, (hour, entry.kind_id, measure, bucket(duration)), (sign,))
    for (hour, _, kind_id), sums in hours.items():
        event = kinds[kind_id]  # what decides on the price, and how it went, is the same in all of a kind
        _raise(days, _day_key(event, hour), (*sums, *_outcome(event, sums[0])))
    _store(connection, request_hourly, _HOUR_SUMS, hours, sign)
    _store(connection, request_durations, ("number",), durations, sign)
    _store(connection, daily_stats, _DAY_SUMS, days, sign)
    mark_changed(connection, slots)


def mark_changed(connection: Connection, slots: Collection[int]) -> None:
    """Say that requests of some slots have changed: nobody relies any more on what was read of them, and of
    their hours. Whatever changes rows or sums does this in the same transaction."""
    if not slots:
        return
    numbers = [(60, hour) for hour in sorted({slot // SLOTS for slot in slots})]
    numbers += [(5, slot) for slot in sorted(slots)]
    now, names = time_ns() // 1_000, ("minutes", "number", "changed")
    if connection.dialect.name == "sqlite":
        stamp = _sqlite_upsert(request_changes, names, 2, "max({0} + 1, excluded.{0})")
        connection.exec_driver_sql(stamp, [(*number, now) for number in numbers])
    else:
        columns = map(_array, (*zip(*numbers, strict=True), [now] * len(numbers)))
        stamp = _postgresql_upsert(request_changes, names, 2, "greatest({1}.{0} + 1, excluded.{0})")
        connection.exec_driver_sql(stamp, tuple(columns))


def _sums(event: RequestEvent, sign: int) -> Sequence[int]:
    """What one request adds to the columns of `_HOUR_SUMS`."""
    if not is_metered(event.usage, event.extra_units):
        return (sign, 0, sign * (event.status == "success" and event.billable), 0, *_NO_COUNTS)
    counts = count_values(event.usage, event.extra_units)  # in the order of COUNT_COLUMNS
    own = (1, 1, 0, event.usage.reasoning_tokens or 0, *counts)
    return own if sign == 1 else [-number for number in own]


def _outcome(event: RequestEvent, requests: int) -> Sequence[int]:
    return [requests * (event.status == status) for status in ("success", "error", "cancelled")]


def _day_key(event: RequestEvent, hour: int) -> tuple[Any, ...]:
    return (
        _day(hour // DAY_HOURS),
        event.provider or "",
        event.model or UNKNOWN_MODEL,
        event.billed_tier or "",
        context_step(event.usage.input_tokens),
    )


def begin_of(slot: int) -> datetime:
    """When a slot begins."""
    return EPOCH + timedelta(microseconds=slot * SLOT)


def begin_of_hour(at: datetime) -> datetime:
    """When the hour of a moment begins."""
    return EPOCH + timedelta(hours=micros(at) // HOUR)


@lru_cache(1_000)
def _day(number: int) -> str:
    return (EPOCH + timedelta(days=number)).date().isoformat()


def _raise(sums: _Sums, key: tuple[Any, ...], by: Sequence[int]) -> None:
    before = sums.get(key)
    sums[key] = by if before is None else list(map(plus, before, by))


def _store(connection: Connection, table: Table, names: Sequence[str], sums: _Sums, sign: int) -> None:
    """In the order of their keys: processes that raise the same rows never wait for each other crosswise."""
    if not sums:
        return
    rows = [(*key, *sums[key]) for key in sorted(sums)]
    keys = [column.name for column in table.primary_key]
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_sqlite_upsert(table, (*keys, *names), len(keys)), rows)
    else:
        columns = [_array(column) for column in zip(*rows, strict=True)]
        upsert = _postgresql_upsert(table, (*keys, *names), len(keys))
        connection.exec_driver_sql(upsert, tuple(columns))
    if sign < 0:
        _drop_empty(connection, table, names[0], keys, sorted(sums))


@lru_cache(16)
def _sqlite_upsert(table: Table, columns: tuple[str, ...], keys: int, to: str = "{0} + excluded.{0}") -> str:
    raised = ", ".join(f"{name} = {to.format(name)}" for name in columns[keys:])
    marks = ", ".join("?" for _ in columns)
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
        f" ON CONFLICT ({', '.join(columns[:keys])}) DO UPDATE SET {raised}"
    )


def _array(values: Sequence[Any]) -> Any:
    """A column as PostgreSQL's driver takes it: of numbers, a text is made in a fifth of the time."""
    return list(values) if isinstance(values[0], str) else f"{{{','.join(map(str, values))}}}"


@lru_cache(16)
def _postgresql_upsert(
    table: Table, columns: tuple[str, ...], keys: int, to: str = "{1}.{0} + excluded.{0}"
) -> str:
    """One statement for all rows, column by column: one for each row costs the client three times as much."""
    kinds = ("bigint" if isinstance(table.c[name].type, Integer) else "text" for name in columns)
    arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
    raised = ", ".join(f"{name} = {to.format(name, table.name)}" for name in columns[keys:])
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT * FROM unnest({arrays})"  # noqa: S608
        f" ON CONFLICT ({', '.join(columns[:keys])}) DO UPDATE SET {raised}"
    )


def _drop_empty(
    connection: Connection, table: Table, number: str, keys: Sequence[str], rows: Sequence[Any]
) -> None:
    """Rows that no request is left in."""
    gone = " AND ".join(f'"{key}" = :{key}' for key in keys)
    statement = text(f'DELETE FROM {table.name} WHERE {gone} AND "{number}" = 0')  # noqa: S608
    connection.execute(statement, [dict(zip(keys, row, strict=True)) for row in rows])
