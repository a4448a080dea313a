"""Requests grouped in the database: what every sum, breakdown and series is made of."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal, literal_column, select

from ledger.errors import TooSlow
from ledger.pricing.counts import Counts
from ledger.requests import billed
from ledger.requests.filter import Dimension, RequestFilter, column, conditions
from ledger.requests.histogram import bucket_column
from ledger.schema import request_logs

Measure = Literal["latency", "first_token"]
MEASURES = {"latency": "latency_ms", "first_token": "latency_first_token_ms"}

MAX_GROUPS = 200_000
"""Groups that one question may make; more do not fit on a page, and cost memory."""

_COUNTS = tuple(field.name for field in fields(Counts))
_OUTCOMES = ("requests", "successes", "errors", "cancelled", "metered", "unmetered", "reasoning")


@dataclass(frozen=True, slots=True)
class Priced:
    """Requests that share an interval, some values, and all that a price depends on.

    Attributes:
        interval: index of the interval between two cuts; 0: before the first one.
        values: of the dimensions that were asked for.
        tier: the tier that decides the price.
    """

    interval: int
    values: tuple[Any, ...]
    provider: str | None
    model: str
    tier: str | None
    context_above: int
    requests: int
    successes: int
    errors: int
    cancelled: int
    metered: int
    unmetered: int
    reasoning: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Durations:
    """How many durations of an interval and some values fell into a bucket."""

    interval: int
    values: tuple[Any, ...]
    bucket: int
    number: int


def priced_groups(
    connection: Connection, where: RequestFilter, by: Sequence[Dimension], cuts: Sequence[datetime]
) -> Iterator[Priced]:
    """All requests of a filter in groups.

    Args:
        cuts: ascending, aware; a group never spans one of them.
    """
    log = request_logs.c
    keys = [_interval(log.requested_at, cuts), *(column(dimension) for dimension in by)]
    keys += [log.provider, log.model, billed.billed_tier(), billed.context_above()]
    for row in _rows(connection, _grouped(where, keys, [*_outcomes(), *_billed()])):
        interval, *values = row[: len(by) + 1]
        provider, model, tier, above = row[len(by) + 1 : len(by) + 5]
        sums = [int(value or 0) for value in row[len(by) + 5 :]]
        outcomes = dict(zip(_OUTCOMES, sums, strict=False))
        counts = Counts(*sums[len(_OUTCOMES) :])
        yield Priced(interval, tuple(values), provider, model, tier or None, above, counts=counts, **outcomes)


def duration_groups(
    connection: Connection,
    where: RequestFilter,
    by: Sequence[Dimension],
    cuts: Sequence[datetime],
    measure: Measure,
) -> Iterator[Durations]:
    """The durations of a filter's requests in groups and buckets."""
    duration = request_logs.c[MEASURES[measure]]
    keys = [_interval(request_logs.c.requested_at, cuts), *(column(dimension) for dimension in by)]
    query = _grouped(where, [*keys, bucket_column(duration)], [func.count()])
    for interval, *values, bucket, number in _rows(connection, query.where(duration.is_not(None))):
        yield Durations(interval, tuple(values), bucket, number)


def _grouped(
    where: RequestFilter, keys: Sequence[ColumnElement[Any]], sums: Sequence[ColumnElement[Any]]
) -> Select[Any]:
    named = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    # By name: repeated, an expression would have values of its own
    labels: list[ColumnElement[Any]] = [literal_column(label.name) for label in named]
    return select(*named, *sums).where(*conditions(where)).group_by(*labels).limit(MAX_GROUPS + 1)


def _rows(connection: Connection, query: Select[Any]) -> Sequence[Any]:
    rows = connection.execute(query).fetchall()
    if len(rows) > MAX_GROUPS:
        raise TooSlow(f"the question has more than {MAX_GROUPS} groups: ask for a shorter time")
    return rows


def _outcomes() -> list[ColumnElement[Any]]:
    log = request_logs.c
    metered = billed.is_metered()
    unmetered = ~metered & (log.status == "success") & (log.request_kind != "read")
    return [
        func.count(),
        *(_number(log.status == status) for status in ("success", "error", "cancelled")),
        _number(metered),
        _number(unmetered),
        func.sum(case((metered, func.coalesce(log.reasoning_tokens, 0)), else_=0)),
    ]


def _billed() -> list[ColumnElement[Any]]:
    metered, found = billed.is_metered(), billed.counts()
    return [func.sum(case((metered, found[name]), else_=0)) for name in _COUNTS]


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _interval(at: ColumnElement[datetime], cuts: Sequence[datetime]) -> ColumnElement[int]:
    """The index of the interval that a moment falls into, found as a search tree does."""
    return _tree(at, cuts, 0, len(cuts))


def _tree(at: ColumnElement[datetime], cuts: Sequence[datetime], low: int, high: int) -> ColumnElement[int]:
    if low == high:
        return literal(low)
    middle = (low + high) // 2
    return case((at < cuts[middle], _tree(at, cuts, low, middle)), else_=_tree(at, cuts, middle + 1, high))


def interval_of(at: datetime, cuts: Sequence[datetime]) -> int:
    """The index of the interval that a moment falls into."""
    return bisect_right(cuts, at)
