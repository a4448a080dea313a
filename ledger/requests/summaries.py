"""Sums of requests: totals of periods, by any dimension, over time, and what failures concentrate on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy import Connection

from ledger.errors import FilterError
from ledger.pricing.cost import Spend, TokenSum, price_sum
from ledger.pricing.counts import Counts
from ledger.pricing.prices import PriceBook
from ledger.requests.answers import EPOCH, Breakdown, Concentration, Group, Line, Point, Totals
from ledger.requests.filter import Dimension, RequestFilter
from ledger.requests.grouping import (
    METERED,
    OUTCOMES,
    UNMETERED,
    Priced,
    duration_groups,
    interval_of,
    outcome_groups,
    priced_groups,
)
from ledger.requests.histogram import Histogram

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
    top: int = 20,
    order: Order = "usd",
    durations: bool = False,
) -> Breakdown:
    """Requests by a dimension, the top ones first.

    Args:
        durations: with histograms for each value, for percentiles.
    """
    groups = _groups(_summed(connection, where, book, (dimension,), (), durations))
    named = sorted(groups, key=lambda group: str(group.value))  # what is equal keeps one order
    ranked = sorted(named, key=lambda group: ORDERS[order](group.totals), reverse=True)
    rest = sum((group.totals for group in ranked[top:]), Totals())
    return Breakdown(dimension, tuple(ranked[:top]), rest, len(groups))


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
        found += _telling(where, dimension, groups)
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
    """Totals by interval between the cuts, and by values. Within, it is cut where prices change, too."""
    changes = price_changes(book, where) if book else []
    inner = sorted({*cuts, *changes})
    outer = [0, *(interval_of(cut, cuts) for cut in inner)]
    found: dict[_Key, _Sum] = {}
    if book is None:
        for key, outcomes in outcome_groups(connection, where, by, inner):
            _sum_at(found, (outer[key[0]], key[1])).add_outcomes(outcomes)
    else:
        for group in priced_groups(connection, where, by, inner):
            at = inner[group.interval - 1] if group.interval else where.since or EPOCH
            _sum_at(found, (outer[group.interval], group.values)).add(group, _spend(group, at, book))
    for measure in ("latency", "first_token") if durations else ():
        for part in duration_groups(connection, where, by, cuts, measure):
            buckets = getattr(_sum_at(found, (part.interval, part.values)), measure)
            buckets[part.bucket] = buckets.get(part.bucket, 0) + part.number
    return {key: one.totals() for key, one in found.items()}


class _Sum:
    """Totals while they are summed up: adding to them makes no new values."""

    __slots__ = ("counts", "first_token", "latency", "outcomes", "unpriced", "usd")

    def __init__(self) -> None:
        self.outcomes: Sequence[int] = (0,) * len(OUTCOMES)
        self.counts: Sequence[int] = ()
        self.usd = Decimal(0)
        self.unpriced = 0
        self.latency: dict[int, int] = {}
        self.first_token: dict[int, int] = {}

    def add_outcomes(self, outcomes: Sequence[int]) -> None:
        self.outcomes = [a + b for a, b in zip(self.outcomes, outcomes, strict=True)]

    def add(self, group: Priced, spend: Spend) -> None:
        self.add_outcomes(group.outcomes)
        before, counts = self.counts, group.counts
        self.counts = [a + b for a, b in zip(before, counts, strict=True)] if before else counts
        self.usd += spend.usd
        self.unpriced += spend.unpriced_requests

    def totals(self) -> Totals:
        requests, successes, errors, cancelled, metered, unmetered, reasoning = self.outcomes
        return Totals(
            requests,
            successes,
            errors,
            cancelled,
            metered,
            unmetered,
            reasoning,
            counts=Counts(*self.counts),
            usd=self.usd,
            unpriced=self.unpriced,
            latency=Histogram(self.latency),
            first_token=Histogram(self.first_token),
        )


def _sum_at(found: dict[_Key, _Sum], key: _Key) -> _Sum:
    one = found.get(key)
    if one is None:
        one = found[key] = _Sum()
    return one


def price_changes(book: PriceBook, where: RequestFilter) -> list[datetime]:
    """When prices change within the time of a filter."""
    starts = {price.effective_from for price in book.prices}
    return sorted(
        at
        for at in starts
        if (where.since is None or at > where.since) and (where.until is None or at < where.until)
    )


def _spend(group: Priced, at: datetime, book: PriceBook) -> Spend:
    row = TokenSum(
        model=group.model,
        service_tier=group.tier,
        context_above=group.context_above,
        at=at,
        metered=group.outcomes[METERED],
        unmetered=group.outcomes[UNMETERED],
        counts=Counts(*group.counts),
        provider=group.provider,
    )
    return price_sum(book, row)


def _groups(found: _Sums) -> list[Group]:
    """By the one dimension that was asked for; no value and an empty one are the same."""
    sums: dict[Any, Totals] = {}
    for (_, (value,)), part in found.items():
        value = None if value == "" else value
        sums[value] = sums.get(value, Totals()) + part
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


def _telling(where: RequestFilter, dimension: Dimension, groups: Iterable[Group]) -> list[Concentration]:
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
            narrowed=where.having("status", "error").having(dimension, group.value),
        )
        for group in failing
        if group.value is not None
    ]
