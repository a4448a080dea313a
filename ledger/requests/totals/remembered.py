"""What a process remembers of a ledger, and whether it is still true."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, Engine, select

from ledger.identity import Memory
from ledger.pricing.prices import PriceBook
from ledger.request_tables import request_changes
from ledger.requests.days.kept_days import Days, Place
from ledger.requests.filter import Dimension, RequestFilter
from ledger.requests.sums import grouping
from ledger.requests.sums.grouping import Measure, Run
from ledger.requests.sums.rollups import DAY_HOURS
from ledger.requests.sums.vectors import outcome_vector, priced_vectors
from ledger.requests.totals.plan import DAY, HOUR, SLOT, Block, length

HISTOGRAM = 2
"""It takes as much memory as so many vectors."""

MAX_QUESTIONS = 400
"""A front page asks some twenty, for each set of filters."""

MAX_VALUES = 250_000
"""Sums remembered for a ledger, of all questions together: some 100 MB. The ones longest not asked for go."""

MAX_SPANS = 200
"""Runs of many blocks that are remembered as one."""

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
class Kept:
    """What is remembered of a ledger: answers, and days as arrays of which more are made."""

    questions: OrderedDict[Question, dict[Block, tuple[int, Content]]] = field(default_factory=OrderedDict)
    spans: OrderedDict[tuple[Question, tuple[Block, ...]], tuple[list[int], Content]] = field(
        default_factory=OrderedDict
    )
    days: Days = field(default_factory=Days)
    lock: Lock = field(default_factory=Lock)

    def of(self, question: Question) -> dict[Block, tuple[int, Content]]:
        """What is remembered of a question."""
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
        """Forget what was not asked for longest."""
        with self.lock:
            sizes = [
                sum(len(c) for _, c in list(blocks.values())) * (HISTOGRAM if question.measure else 1)
                for question, blocks in self.questions.items()
            ]
            while self.questions and (len(sizes) > MAX_QUESTIONS or sum(sizes) > MAX_VALUES):
                self.questions.popitem(last=False)
                sizes.pop(0)


_places: WeakKeyDictionary[Engine, Callable[[], Place | None]] = WeakKeyDictionary()
_ledgers = Memory(lambda engine: Kept(days=Days(_places.get(engine))))


def keep_days(engine: Engine, opened: Callable[[], Place | None]) -> None:
    """Keep days that are over beside the process, too.

    Args:
        engine: of a reader that nothing was asked yet.
        opened: called when the first day is read.
    """
    _places[engine] = opened


def kept_of(connection: Connection) -> Kept:
    """What is remembered of the ledger that a connection reads."""
    return _ledgers.of(connection)


class Stamps:
    """When blocks last changed."""

    def __init__(self, connection: Connection, wanted: Sequence[Block], *, by_hour: bool = False) -> None:
        """
        Args:
            by_hour: those of the hours that slots are in, too.
        """
        longer = [block for block in wanted if by_hour or length(block) != SLOT]
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
        """The same number means that nothing has changed."""
        if length(block) == SLOT:
            return self._slots.get(block[0], 0)
        low, high = (bisect_left(self._hours, end // HOUR) for end in block)
        return self._sums[high] - self._sums[low]


def _stamps(connection: Connection, minutes: int, *where: ColumnElement[bool]) -> Sequence[tuple[int, int]]:
    query = select(_t.number, _t.changed).where(_t.minutes == minutes, *where).order_by(_t.number)
    return [(number, changed) for number, changed in connection.execute(query)]


def contents_of(connection: Connection, question: Question, run: Run) -> Iterator[tuple[int, Content]]:
    """What the ledger's sums say of a question, by the numbers of a run's blocks."""
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
