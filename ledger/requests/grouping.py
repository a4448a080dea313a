"""Requests grouped in the database: what every sum, breakdown and series is made of."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal, literal_column, select

from ledger.columns import micros
from ledger.errors import TooSlow
from ledger.request_tables import COUNT_COLUMNS, FIRST_TOKEN, LATENCY, request_callers, request_kinds
from ledger.requests import billed, sources
from ledger.requests.filter import DIMENSIONS, Dimension, RequestFilter, column, of_texts
from ledger.requests.filter import conditions as conditions_of
from ledger.requests.histogram import bucket_column
from ledger.requests.plan import NO_HOURS, Plan, plan
from ledger.requests.rollups import HOUR
from ledger.requests.sources import Source, table_of

Measure = Literal["latency", "first_token"]
MEASURES = {"latency": "latency_ms", "first_token": "latency_first_token_ms"}

MAX_GROUPS = 200_000
"""Groups that one question may make; more do not fit on a page, and cost memory."""

_NUMBERS = {"latency": LATENCY, "first_token": FIRST_TOKEN}
STATUSES = ("success", "error", "cancelled")
OUTCOMES = ("requests", "successes", "errors", "cancelled", "metered", "unmetered", "reasoning")
"""The first fields of `Totals`, in their order."""

METERED, UNMETERED = OUTCOMES.index("metered"), OUTCOMES.index("unmetered")


@dataclass(frozen=True, slots=True)
class Priced:
    """Requests that share an interval, some values, and all that a price depends on.

    Attributes:
        interval: index of the interval between two cuts; 0: before the first one.
        values: of the dimensions that were asked for.
        tier: the tier that decides the price.
        outcomes: in the order of OUTCOMES.
        counts: in the order of the fields of `Counts`.
    """

    interval: int
    values: tuple[Any, ...]
    provider: str | None
    model: str
    tier: str | None
    context_above: int
    outcomes: Sequence[int]
    counts: Sequence[int]


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
    """All requests of a filter in groups: from the sums by hour as far as they reach, from rows where not.

    Args:
        cuts: ascending, aware; a group never spans one of them. The same group may come several times.
    """
    parts = plan(where, by, cuts)
    if parts.hours != NO_HOURS and any(table_of(dimension) is request_callers for dimension in by):
        yield from _priced(connection, _of_hours(parts, where, by, cuts), len(by))
    elif parts.hours != NO_HOURS:
        yield from _by_kind(connection, parts, where, by, cuts)
    for since, until in parts.rows:
        yield from _priced(connection, _of_rows(where.between(since, until), by, cuts), len(by))


def outcome_groups(
    connection: Connection, where: RequestFilter, by: Sequence[Dimension], cuts: Sequence[datetime]
) -> Iterator[tuple[tuple[int, tuple[Any, ...]], Sequence[int]]]:
    """The outcomes alone, by interval and values: what a question asks that no price has to do with."""
    parts = plan(where, by, cuts)
    queries = [_outcomes_of_hours(parts, where, by, cuts)] if parts.hours != NO_HOURS else []
    queries += [_outcomes_of_rows(where.between(*stretch), by, cuts) for stretch in parts.rows]
    for query in queries:
        for row in _rows(connection, query):
            values = len(by) + 1
            yield (row[0], tuple(row[1:values])), [int(value or 0) for value in row[values:]]


def _outcomes_of_hours(
    parts: Plan, where: RequestFilter, by: Sequence[Dimension], cuts: Sequence[datetime]
) -> Select[Any]:
    log = sources.hours()
    return _grouped(log, _hour_keys(log, by, cuts), _hour_outcomes(log), _within(log, parts, where))


def _outcomes_of_rows(where: RequestFilter, by: Sequence[Dimension], cuts: Sequence[datetime]) -> Select[Any]:
    log = sources.rows()
    return _grouped(log, _row_keys(log, by, cuts), _outcomes(log), conditions_of(where, log))


def _hour_outcomes(log: Source) -> list[ColumnElement[Any]]:
    status = [func.sum(case((log.status == s, log.requests), else_=0)) for s in STATUSES]
    plain = [func.sum(log[name]) for name in ("metered", "unmetered", "reasoning_tokens")]
    return [func.sum(log.requests), *status, *plain]


def duration_groups(
    connection: Connection,
    where: RequestFilter,
    by: Sequence[Dimension],
    cuts: Sequence[datetime],
    measure: Measure,
) -> Iterator[Durations]:
    """The durations of a filter's requests in groups and buckets. The histograms by hour do not tell callers
    apart; of those, rows are read."""
    parts = plan(where, by, cuts)
    if parts.hours != NO_HOURS and _names_callers(where, by):
        parts = Plan(NO_HOURS, (), ((where.since, where.until),))
    if parts.hours != NO_HOURS:
        log = sources.durations()
        keys = [*_hour_keys(log, by, cuts), log.bucket]
        conditions = [*_within(log, parts, where), log.measure == _NUMBERS[measure]]
        yield from _durations(connection, _grouped(log, keys, [func.sum(log.number)], conditions))
    for since, until in parts.rows:
        log, within = sources.rows(), where.between(since, until)
        duration = log[MEASURES[measure]]
        keys = [*_row_keys(log, by, cuts), bucket_column(duration)]
        met = [*conditions_of(within, log), duration.is_not(None)]
        yield from _durations(connection, _grouped(log, keys, [func.count()], met))


def _names_callers(where: RequestFilter, by: Sequence[Dimension]) -> bool:
    named = [d for d in DIMENSIONS if getattr(where, d)]
    of_callers = any(table_of(dimension) is request_callers for dimension in (*by, *named))
    return of_callers or bool(where.auth_file)


def _of_hours(
    parts: Plan, where: RequestFilter, by: Sequence[Dimension], cuts: Sequence[datetime]
) -> Select[Any]:
    log = sources.hours()
    keys = [*_hour_keys(log, by, cuts), *_price_keys(log, log.context_above)]
    counts = [func.sum(log[name]) for name in COUNT_COLUMNS.values()]
    return _grouped(log, keys, [*_hour_outcomes(log), *counts], _within(log, parts, where))


def _by_kind(
    connection: Connection,
    parts: Plan,
    where: RequestFilter,
    by: Sequence[Dimension],
    cuts: Sequence[datetime],
) -> Iterator[Priced]:
    """The same where nobody asks who: by the numbers of kinds, whose texts are looked up once each, and not
    for every row of the sums."""
    log = sources.hours()
    plain = [log[name] for name in ("requests", "metered", "unmetered", "reasoning_tokens")]
    sums = [func.sum(c) for c in (*plain, *(log[name] for name in COUNT_COLUMNS.values()))]
    keys = [*_hour_keys(log, (), cuts), log.kind_id]
    rows = _rows(connection, _grouped(log, keys, sums, _within(log, parts, where)))
    kinds = _kinds(connection, sorted({row[1] for row in rows}), by)
    found: dict[tuple[Any, ...], list[int]] = {}
    for interval, number, requests, *rest in rows:
        status, values, priced_by = kinds[number]
        outcomes = [int(requests), *(int(requests) if status == one else 0 for one in STATUSES)]
        one = [*outcomes, *map(int, rest)]
        key = (interval, values, *priced_by)
        before = found.get(key)
        found[key] = one if before is None else [a + b for a, b in zip(before, one, strict=True)]
    for (interval, values, provider, model, tier, above), one in found.items():
        outcomes, counts = one[: len(OUTCOMES)], one[len(OUTCOMES) :]
        yield Priced(interval, values, provider, model, tier, above, outcomes, counts)


def _kinds(
    connection: Connection, numbers: Sequence[int], by: Sequence[Dimension]
) -> dict[int, tuple[str, tuple[Any, ...], tuple[Any, ...]]]:
    """Status, values and what decides on the price, of kinds by their numbers."""
    kind = request_kinds.c
    columns = [kind.id, kind.status, kind.provider, kind.model, billed.billed_tier(kind), kind.context_above]
    query = select(*columns, *(column(dimension, kind) for dimension in by))
    found = {}
    for start in range(0, len(numbers), 500):  # databases bound the number of parameters
        some = query.where(kind.id.in_(numbers[start : start + 500]))
        for number, status, provider, model, tier, above, *values in connection.execute(some):
            found[number] = (status, tuple(values), (provider, model, tier or None, above))
    return found


def _of_rows(where: RequestFilter, by: Sequence[Dimension], cuts: Sequence[datetime]) -> Select[Any]:
    log = sources.rows()
    keys = [*_row_keys(log, by, cuts), *_price_keys(log, log.context_above)]
    return _grouped(log, keys, [*_outcomes(log), *_billed(log)], conditions_of(where, log))


def _within(log: Source, parts: Plan, where: RequestFilter) -> list[ColumnElement[bool]]:
    first, last = parts.hours
    found = [*of_texts(where, log)]
    found += [log.hour >= first] if first is not None else []
    found += [log.hour < last] if last is not None else []
    return [*found, log.hour.not_in(parts.broken)] if parts.broken else found


def _hour_keys(log: Source, by: Sequence[Dimension], cuts: Sequence[datetime]) -> list[ColumnElement[Any]]:
    """Of a whole hour it is enough to know where it begins: no cut lies within it."""
    whole = [-(-micros(cut) // HOUR) for cut in cuts]
    return [_tree(log.hour, whole, 0, len(whole)), *(column(dimension, log) for dimension in by)]


def _row_keys(log: Source, by: Sequence[Dimension], cuts: Sequence[datetime]) -> list[ColumnElement[Any]]:
    return [_tree(log.requested_at, cuts, 0, len(cuts)), *(column(dimension, log) for dimension in by)]


def _price_keys(log: Source, above: ColumnElement[int]) -> list[ColumnElement[Any]]:
    return [log.provider, log.model, billed.billed_tier(log), above]


def _priced(connection: Connection, query: Select[Any], values: int) -> Iterator[Priced]:
    for row in _rows(connection, query):
        provider, model, tier, above = row[values + 1 : values + 5]
        sums = [int(value or 0) for value in row[values + 5 :]]
        outcomes, counts = sums[: len(OUTCOMES)], sums[len(OUTCOMES) :]
        at = tuple(row[1 : values + 1])
        yield Priced(row[0], at, provider, model, tier or None, above, outcomes, counts)


def _durations(connection: Connection, query: Select[Any]) -> Iterator[Durations]:
    for interval, *values, bucket, number in _rows(connection, query):
        yield Durations(interval, tuple(values), bucket, int(number))


def _grouped(
    log: Source,
    keys: Sequence[ColumnElement[Any]],
    sums: Sequence[ColumnElement[Any]],
    met: Sequence[ColumnElement[bool]],
) -> Select[Any]:
    named = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    # By name: repeated, an expression would have values of its own
    labels: list[ColumnElement[Any]] = [literal_column(label.name) for label in named]
    query = select(*named, *sums).select_from(log.joined()).where(*met)
    return query.group_by(*labels).limit(MAX_GROUPS + 1)


def _rows(connection: Connection, query: Select[Any]) -> Sequence[Any]:
    rows = connection.execute(query).fetchall()
    if len(rows) > MAX_GROUPS:
        raise TooSlow(f"the question has more than {MAX_GROUPS} groups: ask for a shorter time")
    return rows


def _outcomes(log: Source) -> list[ColumnElement[Any]]:
    metered = billed.is_metered(log)
    unmetered = ~metered & (log.status == "success") & (log.request_kind != "read")
    return [
        func.count(),
        *(_number(log.status == status) for status in STATUSES),
        _number(metered),
        _number(unmetered),
        func.sum(case((metered, func.coalesce(log.reasoning_tokens, 0)), else_=0)),
    ]


def _billed(log: Source) -> list[ColumnElement[Any]]:
    metered, found = billed.is_metered(log), billed.counts(log)
    return [func.sum(case((metered, found[name]), else_=0)) for name in COUNT_COLUMNS]


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _tree(at: ColumnElement[Any], cuts: Sequence[Any], low: int, high: int) -> ColumnElement[int]:
    """The index of the interval that a moment falls into, found as a search tree does."""
    if low == high:
        return literal(low)
    middle = (low + high) // 2
    return case((at < cuts[middle], _tree(at, cuts, low, middle)), else_=_tree(at, cuts, middle + 1, high))


def interval_of(at: datetime, cuts: Sequence[datetime]) -> int:
    """The index of the interval that a moment falls into."""
    return bisect_right(cuts, at)
