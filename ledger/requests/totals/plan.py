"""What of a question can be answered from sums that are remembered and what from rows; and of which blocks a
stretch of time is made up: slots, hours and whole days, in slots since 1970."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from ledger.columns import micros
from ledger.requests.filter import Dimension, RequestFilter, is_rare, is_summed, of_rows_alone
from ledger.requests.sums.rollups import SLOT as SLOT_US
from ledger.requests.sums.rollups import SLOTS, begin_of, begin_of_hour

SLOT, HOUR, DAY = 1, SLOTS, 24 * SLOTS
"""Lengths of blocks in slots. Prices change at UTC midnights alone, so that in a day each is the same."""

READ_AT_ONCE = {SLOT: 36, HOUR: 48, DAY: 2}
"""Blocks that one statement reads: some tenths of a second at 100,000 requests a day."""

Block = tuple[int, int]
"""[first, last) in slots since 1970."""


def cover(first: int, last: int, newest: int | None, *, by_day: bool = False) -> Iterator[Block]:
    """The fewest blocks that make up [first, last). The day of the newest slot changes all the time: it is
    read by hours.

    Args:
        by_day: each day by itself.
    """
    while first < last:
        size = next(s for s in (DAY, HOUR, SLOT) if _fits(first, s, last, newest))
        end = first + size
        while size == DAY and not by_day and _fits(end, DAY, last, newest):
            end += DAY
        yield first, end
        first = end


def _fits(first: int, size: int, last: int, newest: int | None) -> bool:
    changing = size > HOUR and newest is not None and first <= newest < first + size
    return first % size == 0 and first + size <= last and not changing


def length(block: Block) -> int:
    return block[1] - block[0]


def runs(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Blocks of one length next to each other; the last first."""
    run: list[Block] = []
    for block in sorted(blocks, reverse=True):
        size = length(block)
        if run and (length(run[-1]) != size or run[-1][0] != block[1] or len(run) == READ_AT_ONCE[size]):
            yield run
            run = []
        run.append(block)
    if run:
        yield run


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
    broken = sorted({micros(edge) // SLOT_US for edge in ends if edge is not None and micros(edge) % SLOT_US})
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
    end = micros(pruned) // SLOT_US
    before = ((n, first, end if last is None else min(last, end)) for n, first, last in spans)
    return Plan(tuple(_not_empty(before)), ((pruned, where.until),))


def _of_hours(edge: datetime | None, pruned: datetime | None) -> datetime | None:
    return edge if edge is None or pruned is None or edge >= pruned else begin_of_hour(edge)


def _not_empty(spans: Iterable[Span]) -> list[Span]:
    return [span for span in spans if span[1] is None or span[2] is None or span[1] < span[2]]


def _span(number: int, since: datetime | None, until: datetime | None) -> Span:
    first = None if since is None else -(-micros(since) // SLOT_US)
    return number, first, None if until is None else micros(until) // SLOT_US


def _rest(slot: int, where: RequestFilter) -> Interval:
    """What is meant of a broken slot."""
    begin, end = begin_of(slot), begin_of(slot + 1)
    since = begin if where.since is None else max(begin, where.since)
    return since, end if where.until is None else min(end, where.until)


def cut(times: Sequence[tuple[int, int]], cuts: Sequence[datetime]) -> Iterator[tuple[int, int, int]]:
    """Times between the cuts that lie within them, each with its index."""
    edges = [micros(cut) for cut in cuts]
    for since, until in times:
        ends = sorted({since, until, *(edge for edge in edges if since < edge < until)})
        yield from ((bisect_right(edges, begin), begin, end) for begin, end in pairwise(ends))
