"""A UTC day's sums as arrays of numbers: read once, they answer every question about whole hours of that day.

Grouping and pricing some ten thousand rows of numbers takes a millisecond here; in SQL and in Python objects
it takes a hundred, and every question pays again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, ColumnElement, Connection, Select, literal_column, select, type_coerce
from sqlalchemy.exc import DBAPIError

from ledger.request_tables import (
    COUNT_COLUMNS,
    FIRST_TOKEN,
    LATENCY,
    request_callers,
    request_durations,
    request_hourly,
    request_rows,
)
from ledger.requests.days.kept_days import What
from ledger.requests.sums.histogram import BOUNDS
from ledger.requests.sums.rollups import DAY_HOURS, HOUR

Array = NDArray[Any]
"""Whole numbers, in as few bytes as they fit into."""


NUMBERS = ("requests", "metered", "unmetered", "reasoning_tokens", *COUNT_COLUMNS.values())
_USUAL = (*NUMBERS[:4], "input_tokens", "cached_input_tokens", "output_tokens")
_RARE = tuple(name for name in NUMBERS if name not in _USUAL)
"""Mostly zero: they are read only where they are not."""

_SIZES = {"hour": DAY_HOURS, "measure": 2, "bucket": len(BOUNDS) + 1}


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """Rows of numbers, column by column; rows that share all keys are one.

    Attributes:
        keys: of `hour` (of the day), `caller`, `kind`, `measure` and `bucket` those that tell rows apart.
        numbers: of sums NUMBERS, None where all are zero; of durations how many.
    """

    keys: Mapping[str, Array]
    numbers: tuple[Array | None, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        arrays = [*self.keys.values(), *(some for some in self.numbers if some is not None)]
        return sum(some.nbytes for some in arrays) + 200

    def __len__(self) -> int:
        return len(self.keys["kind"])

    def as_a_whole(self) -> Day:
        """Without its hours."""
        return _grouped({name: key for name, key in self.keys.items() if name != "hour"}, self.numbers)


def read_day(connection: Connection, what: What, day: int, met: Sequence[ColumnElement[bool]] = ()) -> Day:
    """A day, counted since 1970. Its rows of `callers` are those that are still there.

    Args:
        met: of `callers`: conditions on these, where few of them are wanted.
    """
    if what == "sums":
        return _sums(connection, day)
    if what == "durations":
        t = request_durations.c
        columns = (t.hour - day * DAY_HOURS, t.kind_id, t.measure, t.bucket, t.number)
        hour, kind, measure, bucket, number = _read(connection, _of_hours(columns, t.hour, day))
        keys = {"hour": hour, "kind": kind, "measure": measure, "bucket": bucket}
        return Day({name: _small(key) for name, key in keys.items()}, (_small(number),))
    return _callers(connection, day, met)


def positions(keys: Sequence[tuple[Array, int]]) -> tuple[Array, int]:
    """Several keys as one number, and how many there may be.

    Args:
        keys: with how many values each may have, from 0.
    """
    found, length = keys[0][0].astype(np.int64), keys[0][1]
    for key, size in keys[1:]:
        found *= size
        found += key
        length *= size
    return found, length


def added(where: Array, length: int, numbers: Array) -> Array:
    """Exact sums of numbers by their places."""
    sums = np.zeros(length, np.int64)
    np.add.at(sums, where, numbers.astype(np.int64, copy=False))
    return sums


def _sums(connection: Connection, day: int) -> Day:
    t = request_hourly.c
    number = "" if connection.dialect.name == "sqlite" else "::int"
    rare: ColumnElement[int] = literal_column(" + ".join(f"({name} <> 0){number}" for name in _RARE))
    columns = (t.hour - day * DAY_HOURS, t.caller_id, t.kind_id, *(t[name] for name in _USUAL), rare)
    hour, caller, kind, *usual, any_rare = _read(connection, _of_hours(columns, t.hour, day))
    found: dict[str, Array | None] = {
        n: _small(some) if some.any() else None for n, some in zip(_USUAL, usual, strict=True)
    }
    keys = {"hour": hour, "caller": caller, "kind": kind}
    if any_rare.any():
        return _with_rare(connection, day)
    numbers = tuple(found.get(name) for name in NUMBERS)
    return Day({name: _small(key) for name, key in keys.items()}, numbers)


def _with_rare(connection: Connection, day: int) -> Day:
    t = request_hourly.c
    columns = (t.hour - day * DAY_HOURS, t.caller_id, t.kind_id, *(t[name] for name in NUMBERS))
    hour, caller, kind, *numbers = _read(connection, _of_hours(columns, t.hour, day))
    keys = {"hour": hour, "caller": caller, "kind": kind}
    small = tuple(_small(some) if some.any() else None for some in numbers)
    return Day({name: _small(key) for name, key in keys.items()}, small)


def _callers(connection: Connection, day: int, met: Sequence[ColumnElement[bool]]) -> Day:
    t, length = request_rows.c, DAY_HOURS * HOUR
    at: ColumnElement[int] = type_coerce(t.at, BigInteger)
    columns = (
        at // literal_column(str(HOUR)),
        t.caller_id,
        t.kind_id,
        t.latency_ms,
        t.latency_first_token_ms,
    )
    within = [at >= day * length, at < (day + 1) * length, t.deleted_at.is_(None)]
    if met:
        within.append(t.caller_id.in_(select(request_callers.c.id).where(*met)))
    hour, caller, kind, *durations = _read(connection, select(*columns).where(*within), np.float64)
    parts = []
    for measure, ms in ((LATENCY, durations[0]), (FIRST_TOKEN, durations[1])):
        known = ~np.isnan(ms)
        bucket = np.searchsorted(BOUNDS, ms[known], side="left")
        who = (hour[known] - day * DAY_HOURS, caller[known], kind[known])
        parts.append([*who, np.full(len(bucket), measure), bucket])
    names = ("hour", "caller", "kind", "measure", "bucket")
    keys = dict(
        zip(names, (np.concatenate(some).astype(np.int64) for some in zip(*parts, strict=True)), strict=True)
    )
    return _grouped(keys, (np.ones(len(keys["kind"]), np.int8),))


def _of_hours(columns: Sequence[Any], hour: ColumnElement[int], day: int) -> Select[Any]:
    return select(*columns).where(hour >= day * DAY_HOURS, hour < (day + 1) * DAY_HOURS)


def _read(connection: Connection, query: Select[Any], kind: Any = np.int64) -> list[Array]:
    """The columns of a query; a missing number is NaN. The driver's own rows: half of the time is theirs."""
    with connection.execute(query) as result:
        try:
            rows = result.cursor.fetchall() if result.cursor is not None else []
        except connection.dialect.loaded_dbapi.Error as error:
            raise DBAPIError(None, None, error) from error
    return list(np.array(rows, kind).reshape(-1, len(query.selected_columns)).T)


def _grouped(keys: Mapping[str, Array], numbers: Sequence[Array | None]) -> Day:
    """Rows that share their keys, added up."""
    sizes = [_SIZES.get(name, 0) or int(key.max(initial=0)) + 1 for name, key in keys.items()]
    place, _ = positions(list(zip(keys.values(), sizes, strict=True)))
    groups, where = np.unique(place, return_inverse=True)
    found: dict[str, Array] = {}
    for name, size in reversed(list(zip(keys, sizes, strict=True))):
        groups, key = np.divmod(groups, size)
        found[name] = _small(key)
    sums = (None if some is None else _small(added(where, len(key), some)) for some in numbers)
    return Day({name: found[name] for name in keys}, tuple(sums))


def _small(numbers: Array) -> Array:
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    fits = (t for t in (np.int8, np.int16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return numbers.astype(next(fits, np.int64))
