"""What of a question can be answered from the sums by hour, and what from the rows of broken hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.columns import EPOCH, micros
from ledger.requests.filter import Dimension, RequestFilter, is_summed, of_rows_alone
from ledger.requests.rollups import HOUR

MAX_BROKEN = 60
"""Broken hours that are read by themselves; more are read as what they are: rows."""

Stretch = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer a question.

    Attributes:
        hours: [first, last) in hours since 1970, None: without end; empty where first is last.
        broken: hours of these that are not whole: the rows of theirs that are meant are in `rows`.
        rows: stretches of time that are read row by row; they do not overlap.
    """

    hours: tuple[int | None, int | None]
    broken: tuple[int, ...]
    rows: tuple[Stretch, ...]


NO_HOURS = (0, 0)


def plan(where: RequestFilter, by: Sequence[Dimension], cuts: Sequence[datetime]) -> Plan:
    """From sums as far as they reach: an hour that a bound or a cut lies within is read row by row."""
    whole = Plan(NO_HOURS, (), ((where.since, where.until),))
    if of_rows_alone(where) or not all(map(is_summed, by)):
        return whole
    edges = [*([where.since] if where.since else []), *cuts, *([where.until] if where.until else [])]
    broken = sorted({micros(edge) // HOUR for edge in edges if micros(edge) % HOUR})
    first = None if where.since is None else micros(where.since) // HOUR
    last = None if where.until is None else -(-micros(where.until) // HOUR)
    if len(broken) > MAX_BROKEN or (first is not None and last is not None and len(broken) >= last - first):
        return whole
    return Plan((first, last), tuple(broken), tuple(_stretch(hour, where) for hour in broken))


def _stretch(hour: int, where: RequestFilter) -> Stretch:
    """What is meant of a broken hour."""
    begin = EPOCH + timedelta(microseconds=hour * HOUR)
    end = begin + timedelta(hours=1)
    since = begin if where.since is None else max(begin, where.since)
    return since, end if where.until is None else min(end, where.until)
