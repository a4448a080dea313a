"""Sums that a process remembers: what is past rarely changes, and the same questions come again.

Each question has blocks of a slot (five minutes, read from rows), an hour and whole days (from the sums by
hour; of days that are over by way of arrays, which all questions share), priced by the prices in force. A
block is true as long as its stamps stay as they were (`request_changes`): whoever changes rows or sums raises
them in the same transaction, so an answer is always that of the ledger.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, select

from ledger.columns import EPOCH
from ledger.pricing.prices import PriceBook
from ledger.request_tables import request_callers, request_changes, request_hourly, request_rows
from ledger.requests.days.kept_days import Days, Place, What
from ledger.requests.filter import Dimension, RequestFilter, of_rows_alone, texts_meeting
from ledger.requests.limits import stop_if_over
from ledger.requests.sums import grouping
from ledger.requests.sums.grouping import Measure, Run
from ledger.requests.sums.rollups import DAY_HOURS
from ledger.requests.sums.vectors import merged, outcome_vector, priced_vectors, total
from ledger.requests.totals.plan import DAY, HOUR, SLOT, Block, Span, cover, length, runs

DAYS_AT_ONCE = 16
"""Days as arrays that are summed up in one go: they need not lie in memory all at once."""

MAX_BLOCKS = 2_000
"""Of one question: two months of hours, and what came in between."""

HISTOGRAM = 2
"""It takes as much memory as so many vectors."""

MIN_HOURS = 4
"""Of a day: of fewer, the sums by hour are read for one question alone."""

MAX_QUESTIONS = 400
"""A front page asks some twenty, for each set of filters."""

MAX_VALUES = 250_000
"""Sums remembered for a ledger, of all questions together: some 100 MB. The ones longest not asked for go."""

MAX_SPANS, MANY = 200, 4
"""Runs of many blocks that are remembered as one: an open page asks for the same ones again and again."""

FEW = 0.1
"""Of all callers: those of so many are read by their index."""

_t = request_changes.c

Content = Mapping[tuple[Any, ...], Any]
"""By values of the dimensions: a vector of sums, or how many durations are in each bucket."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of each block: without times.

    Attributes:
        book: None: outcomes alone.
        measure: None: sums, else durations.
    """

    where: RequestFilter
    by: tuple[Dimension, ...]
    book: PriceBook | None
    measure: Measure | None = None


@dataclass(slots=True)
class _Kept:
    """What is remembered of a ledger: answers, and days as arrays of which more are made."""

    questions: OrderedDict[Question, dict[Block, tuple[int, Content]]] = field(default_factory=OrderedDict)
    spans: OrderedDict[tuple[Question, tuple[Block, ...]], tuple[list[int], Content]] = field(
        default_factory=OrderedDict
    )
    days: Days = field(default_factory=Days)
    lock: Lock = field(default_factory=Lock)

    def of(self, question: Question) -> dict[Block, tuple[int, Content]]:
        with self.lock:
            blocks = self.questions.setdefault(question, {})
            self.questions.move_to_end(question)
            return blocks

    def together(
        self, question: Question, blocks: Sequence[Block], stamps: list[int], added: Callable[[], Content]
    ) -> Content:
        """What several blocks hold together."""
        key = (question, tuple(blocks))
        known = self.spans.get(key)
        content = known[1] if known and known[0] == stamps else added()
        with self.lock:
            self.spans[key] = (stamps, content)
            self.spans.move_to_end(key)
            while len(self.spans) > MAX_SPANS:
                self.spans.popitem(last=False)
        return content

    def shrink(self) -> None:
        with self.lock:
            sizes = [
                sum(len(c) for _, c in list(blocks.values())) * (HISTOGRAM if question.measure else 1)
                for question, blocks in self.questions.items()
            ]
            while self.questions and (len(sizes) > MAX_QUESTIONS or sum(sizes) > MAX_VALUES):
                self.questions.popitem(last=False)
                sizes.pop(0)


_ledgers: WeakKeyDictionary[Engine, _Kept] = WeakKeyDictionary()


def keep_days(engine: Engine, opened: Callable[[], Place | None]) -> None:
    """Keep days that are over beside the process, too.

    Args:
        engine: of a reader.
        opened: called when the first day is read.
    """
    _kept_of(engine).days.opened = opened


def _kept_of(engine: Engine) -> _Kept:
    kept = _ledgers.get(engine)
    return kept if kept is not None else _ledgers.setdefault(engine, _Kept())


class Stamps:
    """When blocks last changed."""

    def __init__(self, connection: Connection, wanted: Sequence[Block]) -> None:
        longer = [block for block in wanted if length(block) != SLOT]
        # Whole days: a stamp says, too, whether a day that is remembered as arrays is still true
        low = min((first for first, _ in longer), default=0) // DAY * DAY_HOURS
        high = -(-max((last for _, last in longer), default=0) // DAY) * DAY_HOURS
        rows = _stamps(connection, 60, _t.number >= low, _t.number < high) if longer else []
        self._hours = [hour for hour, _ in rows]
        self._sums: list[int] = [0, *accumulate(changed for _, changed in rows)]
        slots = sorted(first for first, last in wanted if last - first == SLOT)
        self._slots: dict[int, int] = {}
        for start in range(0, len(slots), 500):  # databases bound the number of parameters
            self._slots.update(_stamps(connection, 5, _t.number.in_(slots[start : start + 500])))

    def of(self, block: Block) -> int:
        if length(block) == SLOT:
            return self._slots.get(block[0], 0)
        low, high = (bisect_left(self._hours, end // HOUR) for end in block)
        return self._sums[high] - self._sums[low]


def _stamps(connection: Connection, minutes: int, *where: ColumnElement[bool]) -> Sequence[tuple[int, int]]:
    query = select(_t.number, _t.changed).where(_t.minutes == minutes, *where).order_by(_t.number)
    return [(number, changed) for number, changed in connection.execute(query)]


def read(connection: Connection, question: Question, spans: Sequence[Span]) -> Iterator[tuple[int, Content]]:
    """What each interval's whole slots hold, in pieces, each with the interval's index."""
    closed, of_rows = _with_ends(connection, spans), of_rows_alone(question.where)
    newest = connection.execute(select(func.max(_t.number)).where(_t.minutes == 5)).scalar()
    covers = [(number, list(cover(first, last, newest, by_day=of_rows))) for number, first, last in closed]
    reader = _Reader(connection, question, newest, of_rows)
    reader.load([block for _, blocks in covers for block in blocks])
    for number, blocks in covers:
        for content in reader.contents(blocks):
            yield number, content


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
    """Contents of blocks for one question, from what is remembered as far as it is still true."""

    def __init__(self, connection: Connection, question: Question, newest: int | None, of_rows: bool) -> None:
        self._connection, self._question, self._newest = connection, question, newest
        self._of_rows = of_rows
        self._kept = _kept_of(connection.engine)
        self._blocks = self._kept.of(question)
        self._found: dict[Block, Content] = {}

    def load(self, wanted: Sequence[Block]) -> None:
        """Find what blocks hold."""
        self._stamps = Stamps(self._connection, wanted)
        missing = self._look_up(wanted)
        self._load(self._few(missing))
        others = [block for block in missing if block not in self._found]
        for is_hour in (True, False):
            if some := [b for b in others if (length(b) == HOUR) == is_hour]:
                self._load_of_days(some, is_hour)
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
        if self._of_rows:
            return list(missing)
        hours = Counter(block[0] // DAY for block in missing if length(block) == HOUR)
        today = None if self._newest is None else self._newest // DAY
        days = {day for day, number in hours.items() if number < MIN_HOURS or day == today}
        return [b for b in missing if length(b) == SLOT or (length(b) == HOUR and b[0] // DAY in days)]

    def _load_of_days(self, blocks: Sequence[Block], by_hour: bool) -> None:
        """The newest days first: where the time is over before the end, the next try finds them read."""
        place = {first: index for index, (first, _) in enumerate(blocks)}
        of_day: dict[int, Sequence[int] | int] = {}
        for index, (first, last) in enumerate(blocks):
            for day in range(first // DAY, -(-last // DAY)):
                hours = range(day * DAY, (day + 1) * DAY, HOUR)
                of_day[day] = [place.get(hour, -1) for hour in hours] if by_hour else index
        found: list[list[Content]] = [[] for _ in blocks]
        oldest, few = self._first_day(), self._few_callers()
        days = sorted((day for day in of_day if day >= oldest), reverse=True)
        for start in range(0, len(days), DAYS_AT_ONCE):
            some = {day: of_day[day] for day in days[start : start + DAYS_AT_ONCE]}
            for index, content in self._of_days(some, by_hour, few):
                found[index].append(content)
        for block, contents in zip(blocks, found, strict=True):
            self._keep(block, self._together(contents) if contents else {})

    def _first_day(self) -> int:
        """The first day that there is anything of."""
        if _what(self._question) == "callers":
            at: datetime | None = self._connection.execute(select(func.min(request_rows.c.at))).scalar()
            return sys.maxsize if at is None else (at - EPOCH).days
        hour: int | None = self._connection.execute(select(func.min(request_hourly.c.hour))).scalar()
        return sys.maxsize if hour is None else hour // DAY_HOURS

    def _of_days(
        self, of_day: Mapping[int, Sequence[int] | int], by_hour: bool, few: Sequence[ColumnElement[bool]]
    ) -> Iterator[tuple[int, Content]]:
        from ledger.requests.days import tallies

        spans, what, question = [], _what(self._question), self._question
        for day, blocks in of_day.items():
            stop_if_over(self._connection)
            stamp = self._stamps.of((day * DAY, (day + 1) * DAY))
            table = self._kept.days.get(self._connection, what, day, stamp, by_hour, few)
            spans.append(tallies.Span(day, table, blocks))
        found: dict[int, dict[Any, Any]] = {}
        asked = (self._connection, question.where, question.by)
        if question.measure:
            for (index, values), bucket, number in tallies.durations(*asked, question.measure, spans):
                found.setdefault(index, {}).setdefault(values, {})[bucket] = number
        else:
            for (index, values), vector in tallies.sums(*asked, question.book, spans):
                found.setdefault(index, {})[values] = vector
        yield from found.items()

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
            where = Run(run[-1][0], run[0][1], size, self._of_rows or size == SLOT)
            for number, content in _contents(self._connection, self._question, where):
                self._keep((number * size, (number + 1) * size), content)

    def _keep(self, block: Block, content: Content) -> None:
        self._found[block] = content
        self._blocks.pop(block, None)
        self._blocks[block] = (self._stamps.of(block), content)
        if len(self._blocks) > MAX_BLOCKS:
            self._blocks.pop(next(iter(self._blocks)), None)


def _what(question: Question) -> What:
    if question.measure is None:
        return "sums"
    return "callers" if grouping.names_callers(question.where, question.by) else "durations"


def _contents(connection: Connection, question: Question, run: Run) -> Iterator[tuple[int, Content]]:
    numbers = range(run.first // run.size, run.last // run.size)
    found: dict[int, dict[Any, Any]] = {number: {} for number in numbers}
    asked = (connection, question.where, question.by, run)
    if question.measure:
        for part in grouping.duration_blocks(*asked, question.measure):
            found[part.interval].setdefault(part.values, {})[part.bucket] = part.number
    elif question.book is None:
        for (number, values), outcomes in grouping.outcome_blocks(*asked):
            found[number][values] = outcome_vector(outcomes)
    else:
        groups = grouping.priced_blocks(*asked)
        vectors = priced_vectors(groups, question.book, lambda number: number * run.size // DAY)
        for (number, values), vector in vectors.items():
            found[number][values] = vector
    yield from found.items()
