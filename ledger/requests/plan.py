"""What of a question can be answered from sums that are remembered, and what from rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger.columns import micros
from ledger.requests.filter import Dimension, RequestFilter, is_rare, is_summed, of_rows_alone
from ledger.requests.rollups import SLOT, begin_of, begin_of_hour

MAX_BROKEN = 60
"""Broken slots that are read by themselves; more are read as what they are: rows."""

Span = tuple[int, int | None, int | None]
"""The index of an interval between cuts, and its whole slots: [first, last) since 1970, None: without end."""

Interval = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer a question.

    Attributes:
        spans: the whole slots of each interval between the cuts.
        rows: intervals that are read row by row; they do not overlap.
    """

    spans: tuple[Span, ...]
    rows: tuple[Interval, ...]


def plan(
    where: RequestFilter, by: Sequence[Dimension], cuts: Sequence[datetime], pruned: datetime | None = None
) -> Plan:
    """From sums as far as they reach: a slot that a bound or a cut lies within is read row by row.

    Args:
        pruned: a midnight; before it there are sums by hour alone, so that an hour which a bound or a cut
            lies within counts as a whole, for the interval that begins there.
    """
    if not all(map(is_summed, by)) or (of_rows_alone(where) and is_rare(where)):
        return Plan((), ((where.since, where.until),))
    edges = (where.since, *cuts, where.until)
    if of_rows_alone(where) and pruned is not None:
        first, *others = edges
        ends = [max(first or pruned, pruned), *(edge and max(edge, pruned) for edge in others)]
    else:
        ends = [_of_hours(edge, pruned) for edge in edges]
    where = where.between(ends[0], ends[-1])
    broken = sorted({micros(edge) // SLOT for edge in ends if edge is not None and micros(edge) % SLOT})
    spans = _not_empty(_span(number, *ends[number : number + 2]) for number in range(len(ends) - 1))
    if len(broken) > MAX_BROKEN or not spans:
        return _of_rows(where, spans, pruned)
    return Plan(tuple(spans), tuple(_rest(slot, where) for slot in broken))


def _of_rows(where: RequestFilter, spans: Sequence[Span], pruned: datetime | None) -> Plan:
    """Row by row as far as there are rows."""
    if pruned is None or (where.since is not None and where.since >= pruned):
        return Plan((), ((where.since, where.until),))
    if where.until is not None and where.until <= pruned:
        return Plan(tuple(spans), ())
    end = micros(pruned) // SLOT
    before = ((n, first, end if last is None else min(last, end)) for n, first, last in spans)
    return Plan(tuple(_not_empty(before)), ((pruned, where.until),))


def _of_hours(edge: datetime | None, pruned: datetime | None) -> datetime | None:
    return edge if edge is None or pruned is None or edge >= pruned else begin_of_hour(edge)


def _not_empty(spans: Iterable[Span]) -> list[Span]:
    return [span for span in spans if span[1] is None or span[2] is None or span[1] < span[2]]


def _span(number: int, since: datetime | None, until: datetime | None) -> Span:
    first = None if since is None else -(-micros(since) // SLOT)
    return number, first, None if until is None else micros(until) // SLOT


def _rest(slot: int, where: RequestFilter) -> Interval:
    """What is meant of a broken slot."""
    begin, end = begin_of(slot), begin_of(slot + 1)
    since = begin if where.since is None else max(begin, where.since)
    return since, end if where.until is None else min(end, where.until)
