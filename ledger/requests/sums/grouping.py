"""Requests grouped in the database: what every sum, breakdown and series is made of.

Blocks of whole hours are read from the sums by hour; all else row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    case,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
)

from ledger.errors import TooSlow
from ledger.request_tables import COUNT_COLUMNS, FIRST_TOKEN, LATENCY, request_callers, request_kinds
from ledger.requests import billed, sources
from ledger.requests.filter import DIMENSIONS, Dimension, RequestFilter, column, of_texts
from ledger.requests.filter import conditions as conditions_of
from ledger.requests.sources import Source, table_of
from ledger.requests.sums.histogram import bucket_column
from ledger.requests.sums.rollups import SLOT, SLOTS, begin_of

Measure = Literal["latency", "first_token"]
MEASURES = {"latency": "latency_ms", "first_token": "latency_first_token_ms"}

MAX_GROUPS = 200_000
"""Groups that one question may make; more do not fit on a page, and cost memory."""

_NUMBERS = {"latency": LATENCY, "first_token": FIRST_TOKEN}
STATUSES = ("success", "error", "cancelled")
OUTCOMES = ("requests", "successes", "errors", "cancelled", "metered", "unmetered", "reasoning")
"""The first fields of `Totals`, in their order."""

METERED, UNMETERED = OUTCOMES.index("metered"), OUTCOMES.index("unmetered")


class Run(NamedTuple):
    """Blocks next to each other: [first, last) in slots since 1970. A block is so many slots long, and its
    number is that of its first slot divided by that. `of_rows`: they are read row by row."""

    first: int
    last: int
    size: int
    of_rows: bool


@dataclass(frozen=True, slots=True)
class Priced:
    """Requests that share an interval, some values, and all that a price depends on.

    Attributes:
        interval: the number of the block, or the index of the interval between two cuts; 0: before the first.
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


By = Sequence[Dimension]
Outcomes = tuple[tuple[int, tuple[Any, ...]], Sequence[int]]
"""Of an interval and some values, in the order of OUTCOMES."""


def priced_blocks(connection: Connection, where: RequestFilter, by: By, run: Run) -> Iterator[Priced]:
    """The blocks of a run, whatever times the filter has; the interval of a group is its block's number."""
    if run.of_rows:
        log = sources.rows()
        return _priced_rows(connection, _times(where, run), by, log, _row_block(log, run))
    return _priced_hours(connection, where, by, run)


def priced_rows(
    connection: Connection, where: RequestFilter, by: By, cuts: Sequence[datetime]
) -> Iterator[Priced]:
    """The rows of a filter.

    Args:
        cuts: ascending, aware; a group never spans one of them. The same group may come several times.
    """
    log = sources.rows()
    return _priced_rows(connection, where, by, log, interval_column(log.requested_at, cuts, 0, len(cuts)))


def outcome_blocks(connection: Connection, where: RequestFilter, by: By, run: Run) -> Iterator[Outcomes]:
    """The outcomes of a run alone: what a question asks that no price has to do with."""
    if run.of_rows:
        log = sources.rows()
        return _outcome_rows(connection, _times(where, run), by, log, _row_block(log, run))
    log = sources.hours()
    keys = [_block(log, run), *(column(dimension, log) for dimension in by)]
    return _outcomes_of(connection, _grouped(log, keys, _hour_outcomes(log), _within(log, run, where)), by)


def outcome_rows(
    connection: Connection, where: RequestFilter, by: By, cuts: Sequence[datetime]
) -> Iterator[Outcomes]:
    """The outcomes of rows alone."""
    log = sources.rows()
    return _outcome_rows(connection, where, by, log, interval_column(log.requested_at, cuts, 0, len(cuts)))


def duration_blocks(
    connection: Connection, where: RequestFilter, by: By, run: Run, measure: Measure
) -> Iterator[Durations]:
    """The durations of a run in groups and buckets. The histograms by hour do not tell callers apart; of
    those, rows are read."""
    if run.of_rows or names_callers(where, by):
        log = sources.rows()
        return _row_durations(connection, _times(where, run), by, log, _row_block(log, run), measure)
    log = sources.durations()
    keys = [_block(log, run), *(column(dimension, log) for dimension in by), log.bucket]
    conditions = [*_within(log, run, where), log.measure == _NUMBERS[measure]]
    return _durations(connection, _grouped(log, keys, [func.sum(log.number)], conditions))


def duration_rows(
    connection: Connection, where: RequestFilter, by: By, cuts: Sequence[datetime], measure: Measure
) -> Iterator[Durations]:
    """The durations of the rows of a filter in groups and buckets."""
    log = sources.rows()
    interval = interval_column(log.requested_at, cuts, 0, len(cuts))
    return _row_durations(connection, where, by, log, interval, measure)


def _priced_hours(connection: Connection, where: RequestFilter, by: By, run: Run) -> Iterator[Priced]:
    """The texts of kinds are looked up once each, and not for every row of the sums."""
    log = sources.hours()
    plain = [log[name] for name in ("requests", "metered", "unmetered", "reasoning_tokens")]
    sums = [func.sum(c) for c in (*plain, *(log[name] for name in COUNT_COLUMNS.values()))]
    who = [dimension for dimension in by if table_of(dimension) is request_callers]
    what = [dimension for dimension in by if table_of(dimension) is not request_callers]
    keys = [_block(log, run), *(column(dimension, log) for dimension in who), log.kind_id]
    rows = _rows(connection, _grouped(log, keys, sums, _within(log, run, where)))
    kinds = _kinds(connection, sorted({row[len(who) + 1] for row in rows}), what)
    place, order = len(who) + 1, [(*who, *what).index(dimension) for dimension in by]
    for row in rows:
        status, values, (provider, model, tier, above) = kinds[row[place]]
        requests, *rest = map(int, row[place + 1 :])
        named = (*row[1:place], *values)
        of = tuple(named[n] for n in order)
        outcomes = [requests, *(requests if status == one else 0 for one in STATUSES), *rest[:3]]
        yield Priced(row[0], of, provider, model, tier, above, outcomes, rest[3:])


def _priced_rows(
    connection: Connection, where: RequestFilter, by: By, log: Source, interval: ColumnElement[int]
) -> Iterator[Priced]:
    named = [interval, *(column(dimension, log) for dimension in by)]
    keys = [*named, log.provider, log.model, billed.billed_tier(log), log.context_above]
    query = _grouped(log, keys, _row_sums(log), conditions_of(where, log))
    place = len(named)
    for row in _rows(connection, query):
        provider, model, tier, above = row[place : place + 4]
        sums = [int(value or 0) for value in row[place + 4 :]]
        outcomes, counts = sums[: len(OUTCOMES)], sums[len(OUTCOMES) :]
        yield Priced(row[0], tuple(row[1:place]), provider, model, tier or None, above, outcomes, counts)


def _outcome_rows(
    connection: Connection, where: RequestFilter, by: By, log: Source, interval: ColumnElement[int]
) -> Iterator[Outcomes]:
    keys = [interval, *(column(dimension, log) for dimension in by)]
    query = _grouped(log, keys, _row_sums(log)[: len(OUTCOMES)], conditions_of(where, log))
    return _outcomes_of(connection, query, by)


def _outcomes_of(connection: Connection, query: Select[Any], by: By) -> Iterator[Outcomes]:
    place = len(by) + 1
    for row in _rows(connection, query):
        yield (row[0], tuple(row[1:place])), [int(value or 0) for value in row[place:]]


def _hour_outcomes(log: Source) -> list[ColumnElement[Any]]:
    status = [func.sum(case((log.status == s, log.requests), else_=0)) for s in STATUSES]
    plain = [func.sum(log[name]) for name in ("metered", "unmetered", "reasoning_tokens")]
    return [func.sum(log.requests), *status, *plain]


def _row_durations(
    connection: Connection,
    where: RequestFilter,
    by: By,
    log: Source,
    interval: ColumnElement[int],
    measure: Measure,
) -> Iterator[Durations]:
    duration = log[MEASURES[measure]]
    keys = [interval, *(column(dimension, log) for dimension in by), bucket_column(duration)]
    met = [*conditions_of(where, log), duration.is_not(None)]
    yield from _durations(connection, _grouped(log, keys, [func.count()], met))


def names_callers(where: RequestFilter, by: By) -> bool:
    """Whether a question tells callers apart, which the histograms by hour do not."""
    named = [d for d in DIMENSIONS if getattr(where, d)]
    of_callers = any(table_of(dimension) is request_callers for dimension in (*by, *named))
    return of_callers or bool(where.auth_file)


def _kinds(
    connection: Connection, numbers: Sequence[int], by: By
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


def _within(log: Source, run: Run, where: RequestFilter) -> list[ColumnElement[bool]]:
    return [*of_texts(where, log), log.hour >= run.first // SLOTS, log.hour < run.last // SLOTS]


def _times(where: RequestFilter, run: Run) -> RequestFilter:
    return where.between(begin_of(run.first), begin_of(run.last))


def _block(log: Source, run: Run) -> ColumnElement[int]:
    hours = run.size // SLOTS
    return log.hour // literal_column(str(hours)) if hours > 1 else log.hour


def _row_block(log: Source, run: Run) -> ColumnElement[int]:
    return type_coerce(log.requested_at, BigInteger) // literal_column(str(run.size * SLOT))


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


@cache
def _row_sums_once() -> tuple[Sequence[ColumnElement[Any]], Source]:
    """Hundreds of expressions, which are the same every time; and what was asked for on the way."""
    log = sources.rows()
    return (*_outcomes(log), *_billed(log)), log


def _row_sums(log: Source) -> Sequence[ColumnElement[Any]]:
    sums, of = _row_sums_once()
    log.join_also(of)
    return sums


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


def interval_column(at: ColumnElement[Any], cuts: Sequence[Any], low: int, high: int) -> ColumnElement[int]:
    """The index of the interval that a moment falls into, found as a search tree does."""
    if low == high:
        return literal(low)
    middle = (low + high) // 2
    return case(
        (at < cuts[middle], interval_column(at, cuts, low, middle)),
        else_=interval_column(at, cuts, middle + 1, high),
    )
