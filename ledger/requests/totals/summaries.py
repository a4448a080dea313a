"""Sums of requests: totals of periods, by any dimension, over time, and what failures concentrate on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy import Connection

from ledger.columns import EPOCH
from ledger.errors import FilterError
from ledger.pricing.prices import PriceBook
from ledger.requests.answers import Breakdown, Concentration, Group, Line, Point, Totals
from ledger.requests.filter import Dimension, RequestFilter
from ledger.requests.sums.grouping import Measure, duration_rows, outcome_rows, priced_rows
from ledger.requests.sums.horizons import REQUESTS, since
from ledger.requests.sums.vectors import (
    NO_SUMS,
    Vector,
    merged,
    outcome_vector,
    priced_vectors,
    total,
    totals_of,
)
from ledger.requests.totals import blocks
from ledger.requests.totals.plan import Plan, plan
from ledger.requests.totals.remembered import Question

_MEASURES: tuple[Measure, ...] = ("latency", "first_token")
Period = tuple[datetime, datetime]
"""[since, until), aware."""

Order = Literal["usd", "requests", "errors", "tokens"]
ORDERS: dict[Order, Callable[[Totals], Any]] = {
    "usd": lambda totals: (totals.usd, totals.requests),
    "requests": lambda totals: totals.requests,
    "errors": lambda totals: (totals.errors, totals.requests),
    "tokens": lambda totals: (totals.tokens, totals.requests),
}

MAX_POINTS = 1_500
MAX_PERIODS = 50
FAILURE_DIMENSIONS: tuple[Dimension, ...] = ("http_status", "error_code", "model", "account_id", "api_key_id")
OF_FAILURES: tuple[Dimension, ...] = ("http_status", "error_code")
"""Dimensions on which successes do not differ: they are compared among each other."""

MIN_FAILURES = 3
"""Fewer failures than this concentrate on nothing."""

_Key = tuple[int, tuple[Any, ...]]
_Sums = dict[_Key, Totals]


def totals(
    connection: Connection, where: RequestFilter, book: PriceBook, *, durations: bool = True
) -> Totals:
    """What the requests of a filter add up to.

    Args:
        durations: with the histograms; without them it is faster.
    """
    found = _summed(connection, where, book, (), (), durations)
    return sum(found.values(), Totals())


def totals_of_periods(
    connection: Connection,
    where: RequestFilter,
    periods: Sequence[Period],
    book: PriceBook,
    *,
    durations: bool = True,
) -> tuple[Totals, ...]:
    """The totals of several periods, which may overlap, in one go. The filter's own times do not count.

    Raises: FilterError.
    """
    if not 1 <= len(periods) <= MAX_PERIODS:
        raise FilterError(f"{len(periods)} periods: allowed: 1 to {MAX_PERIODS}")
    ends = sorted({end for period in periods for end in period})
    within = where.between(ends[0], ends[-1])
    found = _summed(connection, within, book, (), ends[1:-1], durations)
    edges = list(pairwise(ends))
    return tuple(
        sum(
            (found.get((number, ()), Totals()) for number, edge in enumerate(edges) if _covers(period, edge)),
            Totals(),
        )
        for period in periods
    )


def compared(
    connection: Connection, where: RequestFilter, book: PriceBook, *, durations: bool = True
) -> tuple[Totals, Totals]:
    """The totals of a filter with both ends, and those of as long a time right before."""
    before = where.before()
    if before is None or where.since is None or where.until is None or before.since is None:
        raise FilterError("a comparison needs since and until")
    periods = [(where.since, where.until), (before.since, where.since)]
    now, then = totals_of_periods(connection, where, periods, book, durations=durations)
    return now, then


def by(
    connection: Connection,
    where: RequestFilter,
    dimension: Dimension,
    book: PriceBook,
    *,
    top: int | None = 20,
    order: Order = "usd",
    durations: bool = False,
) -> Breakdown:
    """Requests by a dimension, the top ones first.

    Args:
        top: None: all of them.
        durations: with histograms for each value, for percentiles.
    """
    groups = _groups(_summed(connection, where, book, (dimension,), (), durations))
    named = sorted(groups, key=lambda group: str(group.value))  # what is equal keeps one order
    ranked = sorted(named, key=lambda group: ORDERS[order](group.totals), reverse=True)
    shown = ranked[:top]
    rest = sum((group.totals for group in ranked[len(shown) :]), Totals())
    return Breakdown(dimension, tuple(shown), rest, len(groups))


def series(
    connection: Connection,
    where: RequestFilter,
    bounds: Sequence[datetime],
    book: PriceBook,
    *,
    dimension: Dimension | None = None,
    top: int = 5,
    order: Order = "usd",
    durations: bool = False,
) -> tuple[Line, ...]:
    """Requests over time: one line, or one for each of a dimension's top values.

    Args:
        bounds: ascending, aware: the points are the intervals between them (see `periods.steps`). The
            filter's own times do not count.
    Raises: FilterError.
    """
    if not 2 <= len(bounds) <= MAX_POINTS + 1 or list(bounds) != sorted(set(bounds)):
        raise FilterError(f"{len(bounds)} bounds: allowed: 2 to {MAX_POINTS + 1}, ascending")
    keys = (dimension,) if dimension else ()
    within = where.between(bounds[0], bounds[-1])
    found = _summed(connection, within, book, keys, bounds[1:-1], durations)
    whole: dict[Any, Totals] = {}
    for (_, values), sums in found.items():
        whole[values] = whole.get(values, Totals()) + sums
    ranked = sorted(sorted(whole, key=str), key=lambda values: ORDERS[order](whole[values]), reverse=True)
    shown = ranked[:top] if dimension else [()]
    return tuple(Line(values[0] if values else None, _points(found, values, bounds)) for values in shown)


def concentrations(
    connection: Connection, where: RequestFilter, *, most: int = 3
) -> tuple[Concentration, ...]:
    """What the failures of a filter concentrate on: the values whose share of the failures is furthest above
    their share of the requests, the most telling first."""
    where = _of_any_outcome(where)
    found: list[Concentration] = []
    for dimension in FAILURE_DIMENSIONS:
        groups = _groups(_summed(connection, where, None, (dimension,), (), durations=False))
        found += _telling(dimension, groups)
    found.sort(key=lambda one: one.share_of_errors - one.share_of_requests, reverse=True)
    return tuple(found[:most])


def values(
    connection: Connection, where: RequestFilter, dimension: Dimension, *, most: int = 100
) -> tuple[tuple[Any, int], ...]:
    """The values that a dimension has among the requests of a filter, with their number, the most frequent
    first: for lists to choose from."""
    groups = _groups(_summed(connection, where, None, (dimension,), (), durations=False))
    ranked = sorted(groups, key=lambda group: group.totals.requests, reverse=True)
    return tuple((group.value, group.totals.requests) for group in ranked[:most])


def _summed(
    connection: Connection,
    where: RequestFilter,
    book: PriceBook | None,
    by: Sequence[Dimension],
    cuts: Sequence[datetime],
    durations: bool,
) -> _Sums:
    """Totals by interval between the cuts, and by values."""
    parts, keys = plan(where, by, cuts, since(connection, REQUESTS)), tuple(by)
    found: dict[_Key, list[Vector]] = {}
    asked = Question(where.between(None, None), keys, book)
    contents, left = blocks.read_all(connection, asked, parts, cuts)
    for number, content in contents:
        for values, vector in content.items():
            found.setdefault((number, values), []).append(vector)
    for interval in left:
        for key, vector in _of_rows(connection, where.between(*interval), keys, book, cuts):
            found.setdefault(key, []).append(vector)
    spread = {m: _durations(connection, where, keys, cuts, m, parts) for m in _MEASURES if durations}
    sums = {key: total(vectors) for key, vectors in found.items()}
    all_keys = {**sums, **{key: NO_SUMS for found in spread.values() for key in found if key not in sums}}
    nothing: Mapping[_Key, Mapping[int, int]] = {}
    latency, first_token = (spread.get(m, nothing) for m in _MEASURES)
    return {k: totals_of(v, latency.get(k, {}), first_token.get(k, {})) for k, v in all_keys.items()}


def _of_rows(
    connection: Connection,
    where: RequestFilter,
    by: tuple[Dimension, ...],
    book: PriceBook | None,
    cuts: Sequence[datetime],
) -> Iterator[tuple[_Key, Vector]]:
    """The rows of a filter. Within, it is cut where prices change, too."""
    if book is None:
        for key, outcomes in outcome_rows(connection, where, by, cuts):
            yield key, outcome_vector(outcomes)
        return
    inner = sorted({*cuts, *price_changes(book, where)})
    outer = [0, *(bisect_right(cuts, cut) for cut in inner)]
    begin = [where.since or EPOCH, *inner]
    groups = priced_rows(connection, where, by, inner)
    for (number, values), vector in priced_vectors(groups, book, lambda n: (begin[n] - EPOCH).days).items():
        yield (outer[number], values), vector


def _durations(
    connection: Connection,
    where: RequestFilter,
    by: tuple[Dimension, ...],
    cuts: Sequence[datetime],
    measure: Measure,
    parts: Plan,
) -> Mapping[_Key, Mapping[int, int]]:
    found: dict[_Key, list[Mapping[int, int]]] = {}
    asked = Question(where.between(None, None), by, None, measure)
    contents, left = blocks.read_all(connection, asked, parts, cuts)
    for number, content in contents:
        for values, buckets in content.items():
            found.setdefault((number, values), []).append(buckets)
    for interval in left:
        for part in duration_rows(connection, where.between(*interval), by, cuts, measure):
            found.setdefault((part.interval, part.values), []).append({part.bucket: part.number})
    return {key: merged(some) for key, some in found.items()}


def price_changes(book: PriceBook, where: RequestFilter) -> list[datetime]:
    """When prices change within the time of a filter."""
    starts = {price.effective_from for price in book.prices}
    return sorted(
        at
        for at in starts
        if (where.since is None or at > where.since) and (where.until is None or at < where.until)
    )


def _groups(found: _Sums) -> list[Group]:
    """By the one dimension that was asked for; no value and an empty one are the same."""
    sums: dict[Any, Totals] = {}
    for (_, (value,)), part in found.items():
        value = None if value == "" else value
        sums[value] = sums[value] + part if value in sums else part
    return [Group(value, part) for value, part in sums.items()]


def _points(found: _Sums, values: tuple[Any, ...], bounds: Sequence[datetime]) -> tuple[Point, ...]:
    return tuple(
        Point(since, until, found.get((number, values), Totals()))
        for number, (since, until) in enumerate(pairwise(bounds))
    )


def _covers(period: Period, edge: Period) -> bool:
    return period[0] <= edge[0] and edge[1] <= period[1]


def _of_any_outcome(where: RequestFilter) -> RequestFilter:
    """Failures are compared with all requests that are meant, whatever their outcome."""
    return where.having("status")


def _telling(dimension: Dimension, groups: Iterable[Group]) -> list[Concentration]:
    failing = [group for group in groups if group.totals.errors]
    errors = sum(group.totals.errors for group in failing)
    requests = sum(group.totals.requests for group in groups)
    if errors < MIN_FAILURES or (dimension not in OF_FAILURES and len(list(groups)) < 2):
        return []
    even = 1 / max(2, len(failing))
    return [
        Concentration(
            dimension=dimension,
            value=group.value,
            errors=group.totals.errors,
            requests=group.totals.requests,
            share_of_errors=group.totals.errors / errors,
            share_of_requests=even if dimension in OF_FAILURES else group.totals.requests / requests,
        )
        for group in failing
        if group.value is not None
    ]
