"""Sums that a process remembers: what is past rarely changes, and the same questions come again.

Each question has blocks of a slot (five minutes, read from rows), an hour and whole days (from the sums by
hour; of days that are over by way of arrays, which all questions share), priced by the prices in force. A
block is true as long as its stamps stay as they were (`request_changes`): whoever changes rows or sums raises
them in the same transaction, so an answer is always that of the ledger.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from ledger.columns import EPOCH, micros
from ledger.request_tables import request_callers, request_changes, request_hourly, request_rows
from ledger.requests.days.kept_days import What
from ledger.requests.filter import RequestFilter, is_rare, is_summed, of_rows_alone, row_part, texts_meeting
from ledger.requests.limits import stop_if_over
from ledger.requests.sums import grouping
from ledger.requests.sums.grouping import Run
from ledger.requests.sums.horizons import HOURLY, REQUESTS, horizon
from ledger.requests.sums.rollups import DAY_HOURS
from ledger.requests.sums.rollups import HOUR as HOUR_MICROS
from ledger.requests.sums.rollups import SLOT as SLOT_MICROS
from ledger.requests.sums.vectors import merged, total
from ledger.requests.totals.plan import DAY, HOUR, SLOT, Block, Interval, Plan, Span, cover, cut, length, runs
from ledger.requests.totals.remembered import Content, Question, Stamps, contents_of, kept_of

if TYPE_CHECKING:
    from ledger.requests.days.arrays import Day, Grain

DAYS_AT_ONCE = 16
"""Days as arrays that are summed up in one go: they need not lie in memory all at once."""

MAX_BLOCKS = 2_000
"""Of one question: two months of hours, and what came in between."""

MIN_HOURS = 4
"""Of a day: of fewer, the sums by hour are read for one question alone."""

MANY = 4
"""Longer blocks that are remembered as one: an open page asks for the same ones again and again."""

FEW = 0.1
"""Of all callers: those of so many are read by their index."""

_UNITS: Mapping[Grain, int] = {"slot": SLOT, "hour": HOUR, "day": DAY}
DAY_MICROS = DAY_HOURS * HOUR_MICROS
_t = request_changes.c


def read_all(
    connection: Connection, question: Question, parts: Plan, cuts: Sequence[datetime]
) -> tuple[Iterator[tuple[int, Content]], Sequence[Interval]]:
    """What the parts of a plan hold, in pieces, each with its index between the cuts; and the intervals that
    are left to be read row by row."""
    of_rows = read_rows(connection, question, parts.rows, cuts)
    of_slots = read(connection, question, parts.spans)
    return (of_slots, parts.rows) if of_rows is None else (chain(of_slots, of_rows), ())


def read(connection: Connection, question: Question, spans: Sequence[Span]) -> Iterator[tuple[int, Content]]:
    """What each interval's whole slots hold, in pieces, each with the interval's index."""
    closed, newest = _with_ends(connection, spans), newest_slot(connection)
    reader = _Reader(connection, question, newest)
    covers = [(n, list(cover(first, last, newest, by_day=reader.by_rows))) for n, first, last in closed]
    reader.load([block for _, blocks in covers for block in blocks])
    for number, blocks in covers:
        for content in reader.contents(blocks):
            yield number, content


def read_rows(
    connection: Connection, question: Question, intervals: Sequence[Interval], cuts: Sequence[datetime]
) -> Iterator[tuple[int, Content]] | None:
    """What intervals hold that do not begin and end with slots, each part with its index between the cuts;
    None where they are to be read row by row."""
    reader = _Reader(connection, question, newest_slot(connection))
    times = [(micros(since), micros(until)) for since, until in intervals if since and until]
    if len(times) < len(intervals):
        return None
    if reader.has_rows:
        return reader.of_rows(times, cuts)
    is_edge = all((until - 1) // SLOT_MICROS == since // SLOT_MICROS for since, until in times)
    return reader.of_edges(times, cuts) if is_edge and reader.has_edges else None


def newest_slot(connection: Connection) -> int | None:
    """The last slot that has changed; its day is not over."""
    return connection.execute(select(func.max(_t.number)).where(_t.minutes == 5)).scalar()


def _with_ends(connection: Connection, spans: Sequence[Span]) -> list[tuple[int, int, int]]:
    low = high = 0
    if any(first is None or last is None for _, first, last in spans):
        hour = request_hourly.c.hour
        ends = [connection.execute(select(f(hour))).scalar() for f in (func.min, func.max)]
        if ends[0] is None or ends[1] is None:
            return []
        low, high = ends[0] * HOUR, (ends[1] + 1) * HOUR
    whole = [(n, low if a is None else a, high if b is None else b) for n, a, b in spans]
    return [span for span in whole if span[1] < span[2]]


class _Reader:
    """Contents of blocks for one question, from what is remembered as far as it is still true.

    Attributes:
        by_rows: only rows tell, and they are read one by one.
        has_edges: rows are added up as sums and histograms are.
    """

    def __init__(self, connection: Connection, question: Question, newest: int | None) -> None:
        self._connection, self._question = connection, question
        self._today = None if newest is None else newest // DAY
        self._kept = kept_of(connection)
        of_rows, of_arrays = of_rows_alone(question.where), all(map(is_summed, question.by))
        self.has_edges = of_arrays and not of_rows
        of_arrays = of_arrays and not is_rare(question.where) and self._kept.days.has_rows
        part = row_part(question.where) if of_arrays else None
        self._part = part if of_rows else None
        self._edges = part if of_rows or self._kept.days.writes else None
        self.by_rows = of_rows and self._part is None
        self._blocks = self._kept.of(question)
        self._found: dict[Block, Content] = {}

    @property
    def has_rows(self) -> bool:
        """Where rows tell, they are read as arrays."""
        return self._edges is not None

    def of_rows(
        self, times: Sequence[tuple[int, int]], cuts: Sequence[datetime]
    ) -> Iterator[tuple[int, Content]]:
        """See `read_rows`."""
        assert self._edges is not None
        wanted = [(since // SLOT_MICROS, -(-until // SLOT_MICROS)) for since, until in times]
        self._stamps = Stamps(self._connection, wanted, by_hour=True)
        parts = list[tuple[int, Block, Block]]()
        for number, begin, end in cut(times, cuts):
            parts += [(number, *part) for part in self._parts(begin, end)]
        spans: list[tuple[int, Day, int]] = []
        what, _ = self._asked("slot")
        for number, piece, time in parts:
            stop_if_over(self._connection)
            stamp = self._stamps.of(piece)
            day = self._kept.days.between(self._connection, what, piece, stamp, self._edges, time)
            spans.append((piece[0] // DAY, day, number))
        if spans:
            yield from self._summed(spans)

    def of_edges(
        self, times: Sequence[tuple[int, int]], cuts: Sequence[datetime]
    ) -> Iterator[tuple[int, Content]]:
        """See `read_rows`; each time is within a slot."""
        from ledger.requests.days.rows import tallied

        parts = [(n, (begin, end), begin // SLOT_MICROS) for n, begin, end in cut(times, cuts)]
        stamps = Stamps(self._connection, [(slot, slot + 1) for _, _, slot in parts])
        what: What = "callers" if self._question.measure else "sums"
        spans = []
        for number, time, slot in parts:
            rows = self._kept.days.edge(self._connection, time, stamps.of((slot, slot + 1)))
            spans.append((slot // DAY, tallied(rows.columns, None, what), number))
        if spans:
            yield from self._summed(spans)

    def _parts(self, since: int, until: int) -> Iterator[tuple[Block, Block]]:
        """The pieces that a time lies in, and the time within their days."""
        first = self._first_day("slot")
        for day in range(max(first, since // DAY_MICROS), -(-until // DAY_MICROS)):
            begin = day * DAY_MICROS
            time = (max(0, since - begin), min(DAY_MICROS, until - begin))
            hours = [
                time[0] < (hour + 1) * HOUR_MICROS and hour * HOUR_MICROS < time[1]
                for hour in range(DAY_HOURS)
            ]
            yield from ((piece, time) for piece in self._pieces(day, [h - 1 for h in hours], of_rows=True))

    def load(self, wanted: Sequence[Block]) -> None:
        """Find what blocks hold."""
        self._stamps = Stamps(self._connection, wanted, by_hour=self._edges is not None)
        missing = self._look_up(wanted)
        self._load(self._few(missing))
        others = [block for block in missing if block not in self._found]
        for grain in _UNITS:
            if some := [b for b in others if _grain(b) == grain]:
                self._load_of_days(some, grain)
        if missing:
            self._kept.shrink()

    def contents(self, blocks: Sequence[Block]) -> Iterator[Content]:
        """What blocks hold that were loaded; many longer ones are added up once, and remembered together."""
        longer = [block for block in blocks if length(block) != SLOT]
        if len(longer) < MANY:
            yield from (self._found[block] for block in blocks)
            return
        yield from (self._found[block] for block in blocks if length(block) == SLOT)
        stamps = [self._stamps.of(block) for block in longer]
        contents = [self._found[block] for block in longer]
        yield self._kept.together(self._question, longer, stamps, lambda: self._together(contents))

    def _together(self, contents: Sequence[Content]) -> Content:
        if len(contents) == 1:
            return contents[0]
        parts: dict[tuple[Any, ...], list[Any]] = {}
        for content in contents:
            for values, part in content.items():
                parts.setdefault(values, []).append(part)
        together: Callable[[list[Any]], Any] = merged if self._question.measure else total
        return {values: together(some) for values, some in parts.items()}

    def _few(self, missing: Sequence[Block]) -> list[Block]:
        """Those read for this question alone: few or changing hours of a day; all where only rows tell."""
        if self.by_rows or self._part is not None:
            return list(missing) if self.by_rows else []
        hours = Counter(block[0] // DAY for block in missing if length(block) == HOUR)
        days = {day for day, number in hours.items() if number < MIN_HOURS or day == self._today}
        few = [b for b in missing if length(b) == HOUR and b[0] // DAY in days]
        return few if self._edges is not None else [b for b in missing if length(b) == SLOT] + few

    def _load_of_days(self, blocks: Sequence[Block], grain: Grain) -> None:
        """The newest days first: where the time is over before the end, the next try finds them read."""
        unit, place = _UNITS[grain], {first: index for index, (first, _) in enumerate(blocks)}
        of_day: dict[int, Sequence[int] | int] = {}
        for index, (first, last) in enumerate(blocks):
            for day in range(first // DAY, -(-last // DAY)):
                if unit == DAY:
                    of_day[day] = index
                elif day not in of_day:
                    of_day[day] = [place.get(at, -1) for at in range(day * DAY, (day + 1) * DAY, unit)]
        found: list[list[Content]] = [[] for _ in blocks]
        oldest, few = self._first_day(grain), self._few_callers()
        days = sorted((day for day in of_day if day >= oldest), reverse=True)
        for start in range(0, len(days), DAYS_AT_ONCE):
            some = {day: of_day[day] for day in days[start : start + DAYS_AT_ONCE]}
            for index, content in self._of_days(some, grain, few):
                found[index].append(content)
        for block, contents in zip(blocks, found, strict=True):
            self._keep(block, self._together(contents) if contents else {})

    def _first_day(self, grain: Grain) -> int:
        """The first day that there is anything of, and that is not forgotten."""
        what, of = self._asked(grain)
        of_rows = what == "callers" or of is not None
        name, column = (REQUESTS, request_rows.c.at) if of_rows else (HOURLY, request_hourly.c.hour)
        first: int | datetime | None = self._connection.execute(select(func.min(column))).scalar()
        if first is None:
            return sys.maxsize
        day = first // DAY_HOURS if isinstance(first, int) else (first - EPOCH).days
        return max(day, (horizon(self._connection, name) or 0) // DAY_HOURS)

    def _of_days(
        self,
        of_day: Mapping[int, Sequence[int] | int],
        grain: Grain,
        few: Sequence[ColumnElement[bool]],
    ) -> Iterator[tuple[int, Content]]:
        spans: list[tuple[int, Day, Sequence[int] | int]] = []
        what, of = self._asked(grain)
        for day, blocks in of_day.items():
            for piece in self._pieces(day, blocks, of_rows=of is not None):
                stop_if_over(self._connection)
                stamp = self._stamps.of(piece)
                found = self._kept.days.get(self._connection, what, piece, stamp, grain, of, few)
                spans.append((day, found, blocks))
        yield from self._summed(spans)

    def _summed(self, spans: Iterable[tuple[int, Day, Sequence[int] | int]]) -> Iterator[tuple[int, Content]]:
        """Days as arrays, each with the index of what it counts for."""
        from ledger.requests.days import tallies

        question, found = self._question, dict[int, dict[Any, Any]]()
        asked = (self._connection, question.where, question.by)
        days = [tallies.Span(*span) for span in spans]
        if question.measure:
            for (index, values), bucket, number in tallies.durations(*asked, question.measure, days):
                found.setdefault(index, {}).setdefault(values, {})[bucket] = number
        else:
            for (index, values), vector in tallies.sums(*asked, question.book, days):
                found.setdefault(index, {})[values] = vector
        yield from found.items()

    def _pieces(self, day: int, blocks: Sequence[int] | int, *, of_rows: bool) -> Iterator[Block]:
        """A day as a whole; the rows of the one that changes by hours, as far as they are wanted."""
        if not of_rows or day != self._today or isinstance(blocks, int):
            yield day * DAY, (day + 1) * DAY
            return
        size = len(blocks) // DAY_HOURS
        for hour in range(DAY_HOURS):
            if max(blocks[hour * size : (hour + 1) * size]) >= 0:
                yield day * DAY + hour * HOUR, day * DAY + (hour + 1) * HOUR

    def _asked(self, grain: Grain) -> tuple[What, RequestFilter | None]:
        """What is read of days, and which rows alone."""
        question, of = self._question, self._edges if grain == "slot" else self._part
        if question.measure is None:
            return "sums", of
        of_rows = of is not None or grouping.names_callers(question.where, question.by)
        return "callers" if of_rows else "durations", of

    def _few_callers(self) -> Sequence[ColumnElement[bool]]:
        """The conditions on callers, where few meet them."""
        met = texts_meeting(self._question.where).get(request_callers, ())
        if not met:
            return ()
        number = select(func.count(), func.sum(case((and_(*met), 1), else_=0))).select_from(request_callers)
        of_all, few = self._connection.execute(number).one()
        return met if (few or 0) < of_all * FEW else ()

    def _look_up(self, wanted: Iterable[Block]) -> list[Block]:
        """Those that are not remembered, or that have changed."""
        missing = []
        for block in wanted:
            stamp, content = self._blocks.get(block, (None, None))
            if content is None or stamp != self._stamps.of(block):
                missing.append(block)
            else:
                self._found[block] = content
        return missing

    def _load(self, missing: Iterable[Block]) -> None:
        """The newest first: where the time is over before the end, it goes on from there the next time."""
        for run in runs(missing):
            size = length(run[0])
            where = Run(run[-1][0], run[0][1], size, self.by_rows or size == SLOT)
            for number, content in contents_of(self._connection, self._question, where):
                self._keep((number * size, (number + 1) * size), content)

    def _keep(self, block: Block, content: Content) -> None:
        self._found[block] = content
        self._blocks.pop(block, None)
        self._blocks[block] = (self._stamps.of(block), content)
        if len(self._blocks) > MAX_BLOCKS:
            self._blocks.pop(next(iter(self._blocks)), None)


def _grain(block: Block) -> Grain:
    return next((grain for grain, unit in _UNITS.items() if unit == length(block)), "day")
