"""Sums of all requests over long periods, for who asks once: from the sums by UTC day as far as they reach,
which are far fewer than those by hour. What is left of a day at either end is asked as any other question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection, func, select

from ledger.columns import EPOCH
from ledger.identity import Memory
from ledger.pricing.prices import PriceBook
from ledger.request_tables import COUNT_COLUMNS, request_changes
from ledger.requests.answers import Totals
from ledger.requests.filter import RequestFilter
from ledger.requests.sums.grouping import Priced, interval_column
from ledger.requests.sums.periods import steps
from ledger.requests.sums.vectors import NO_SUMS, Vector, priced_vectors, total, totals_of
from ledger.requests.totals.plan import DAY as SLOTS_OF_A_DAY
from ledger.requests.totals.remembered import Stamps
from ledger.requests.totals.summaries import Period, price_changes, totals
from ledger.schema import daily_stats

DAY = timedelta(days=1)
_OUTCOMES = ("requests", "successes", "errors", "cancelled", "metered", "unmetered_successes")
"""The columns of the first fields of `Totals`, in their order; then come the reasoning tokens."""


@dataclass(slots=True)
class _Remembered:
    last: tuple[PriceBook | None, Mapping[Period, tuple[int, Vector]]] = (None, {})


_remembered = Memory(lambda _: _Remembered())
"""By ledger the pieces of the last question, priced by a book, with their stamps: who asks again does not
read a year's days each time."""


def totals_of_all(connection: Connection, periods: Sequence[Period], book: PriceBook) -> tuple[Totals, ...]:
    """The totals of several periods, which may overlap, without durations."""
    pieces = [list(_pieces(*period)) for period in periods]
    days = _of_days(connection, [piece for some in pieces for piece in some if _is_whole(piece)], book)
    rests = {
        piece: totals(connection, RequestFilter(*piece), book, durations=False)
        for piece in {piece for some in pieces for piece in some if not _is_whole(piece)}
    }
    found = {**days, **rests}
    return tuple(sum((found[piece] for piece in some), Totals()) for some in pieces)


def _pieces(since: datetime, until: datetime) -> Iterator[Period]:
    """A period as a stretch of whole UTC days, and what is left of a day before and after it."""
    midnights = [at for at in steps(since, until, DAY) if since <= at <= until]
    first, last = (midnights[0], midnights[-1]) if midnights else (until, until)
    for begin, end in ((since, first), (first, last), (last, until)):
        if begin < end:
            yield begin, end


def _is_whole(piece: Period) -> bool:
    return all((at - EPOCH) % DAY == timedelta(0) for at in piece)


def _of_days(connection: Connection, wanted: Sequence[Period], book: PriceBook) -> dict[Period, Totals]:
    """Each stretch of whole days by itself, of pieces within which no price changes."""
    if not wanted:
        return {}
    low, high = min(since for since, _ in wanted), max(until for _, until in wanted)
    inner = {at for piece in wanted for at in piece} | set(price_changes(book, RequestFilter(low, high)))
    newest = select(func.max(request_changes.c.number)).where(request_changes.c.minutes == 60)
    inner.add(EPOCH + (connection.execute(newest).scalar() or 0) // 24 * DAY)  # it changes all the time
    edges = [low, *sorted(at for at in inner if low < at < high), high]
    vectors = _vectors(connection, list(pairwise(edges)), book)
    found: dict[Period, Totals] = {}
    for since, until in wanted:
        inside = [vector for (begin, _), vector in vectors.items() if since <= begin < until]
        found[since, until] = totals_of(total(inside), {}, {})
    return found


def _vectors(connection: Connection, pieces: Sequence[Period], book: PriceBook) -> dict[Period, Vector]:
    """What pieces hold that follow each other. Those alone are read that changed since the last question."""
    blocks = [(_slot(begin), _slot(end)) for begin, end in pieces]
    stamped = Stamps(connection, blocks)
    stamps = dict(zip(pieces, map(stamped.of, blocks), strict=True))
    kept = _remembered.of(connection)
    of, known = kept.last
    found = {p: one for p, one in known.items() if of is book and one[0] == stamps.get(p)}
    missing = [number for number, piece in enumerate(pieces) if piece not in found]
    if missing:
        begins = [begin for begin, _ in pieces[missing[0] : missing[-1] + 1]]
        groups = _groups(connection, begins[0], pieces[missing[-1]][1], begins[1:])
        read = priced_vectors(groups, book, lambda number: (begins[number] - EPOCH) // DAY)
        for number in missing:
            piece = pieces[number]
            found[piece] = (stamps[piece], read.get((number - missing[0], ()), NO_SUMS))
    kept.last = (book, found)
    return {piece: found[piece][1] for piece in pieces}


def _slot(midnight: datetime) -> int:
    return (midnight - EPOCH) // DAY * SLOTS_OF_A_DAY


def _groups(
    connection: Connection, low: datetime, high: datetime, cuts: Sequence[datetime]
) -> Iterator[Priced]:
    table = daily_stats.c
    names = (*_OUTCOMES, "reasoning_tokens", *COUNT_COLUMNS.values())
    keys = (table.provider, table.model, table.service_tier, table.context_above)
    number = interval_column(table.day, [_day(at) for at in cuts], 0, len(cuts)).label("number")
    query = (
        select(number, *keys, *(func.sum(table[name]) for name in names))
        .where(table.day >= _day(low), table.day < _day(high))
        .group_by(number, *keys)
    )
    outcomes = len(_OUTCOMES) + 1
    for at, provider, model, tier, above, *sums in connection.execute(query):
        counted = list(map(int, sums))
        yield Priced(at, (), provider, model, tier or None, above, counted[:outcomes], counted[outcomes:])


def _day(at: datetime) -> str:
    return at.date().isoformat()
