"""Days as arrays that a process remembers: what all questions over whole days are answered from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock, RLock
from typing import TYPE_CHECKING, Literal, Protocol

from sqlalchemy import ColumnElement, Connection

from ledger.requests.filter import RequestFilter
from ledger.requests.sums.rollups import DAY_HOURS, SLOTS

if TYPE_CHECKING:
    from ledger.requests.days.arrays import Array, Day, Grain
    from ledger.requests.days.rows import Texts

DAY = DAY_HOURS * SLOTS
Piece = tuple[int, int]
"""A UTC day, or an hour: [first, last) in slots since 1970."""

What = Literal["sums", "durations", "callers", "rows", "texts"]
"""Of which table: `request_hourly`, `request_durations`, or of rows: durations with their callers, the
numbers of each, and the texts of each."""

MAX_BYTES = 200_000_000
"""For one ledger; the days longest not asked for go. A day of 110,000 requests takes 0.3 MB, with its hours
three times that."""

MAX_EDGES = 20
"""Times within a slot whose rows are remembered: the questions of a page have the same ones."""

_Key = tuple[What | Literal["chosen"], Piece, "Grain", RequestFilter | None]


class Place(Protocol):
    """Where days are kept beside the process."""

    @property
    def writes(self) -> bool:
        """Whether it stores what it is given."""

    @property
    def is_full(self) -> bool:
        """Whether rows of old days had to go when it stored something last."""

    def get(self, what: What, day: int, stamp: int, grain: Grain) -> Day | None:
        """A day that is still as it was stored."""

    def put(self, what: What, day: int, stamp: int, grain: Grain, content: Day) -> None:
        """Store a day that was read after its stamp."""


@dataclass(slots=True)
class Days:
    """Of one ledger.

    Attributes:
        opened: opens where days are kept for longer than a process lives; None: there is no such place.
    """

    opened: Callable[[], Place | None] | None = None
    _place: Place | None = None
    _texts: Texts | None = None
    _edges: OrderedDict[tuple[int, int], tuple[int, Day]] = field(default_factory=OrderedDict)
    _kept: OrderedDict[_Key, tuple[int, Day]] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: Lock = field(default_factory=Lock)
    _reading: RLock = field(default_factory=RLock)

    @property
    def has_rows(self) -> bool:
        """Whether rows are kept, too: without a place they would take too much memory."""
        return self.opened is not None and self._opened() is not None

    @property
    def writes(self) -> bool:
        """Whether what is read is kept for longer than the process lives."""
        place = self._opened()
        return place is not None and place.writes

    @property
    def is_full(self) -> bool:
        """Whether the place has no room for the rows of older days."""
        place = self._opened()
        return place is not None and place.is_full

    def get(
        self,
        connection: Connection,
        what: What,
        piece: Piece,
        stamp: int,
        grain: Grain,
        of: RequestFilter | None = None,
        few: Sequence[ColumnElement[bool]] = (),
    ) -> Day:
        """A day or an hour, read where it is not remembered or has changed since.

        Args:
            stamp: that of the piece, read before.
            of: the sums or callers of the rows alone that meet it.
            few: conditions that few callers meet: a day of `callers` that is not remembered has these alone.
        """
        key: _Key = (what, piece, grain, of)
        found = self._remembered(key, stamp)
        if found is None and few and what == "callers" and self.opened is None:
            return _read_day(connection, what, piece, few)
        if found is None:
            with self._reading:  # many questions want the same days at the same time
                found = self._remembered(key, stamp)
                if found is None:
                    found = self._keep(key, stamp, self._found(connection, key, stamp))
        return found

    def chosen(
        self, connection: Connection, piece: Piece, stamp: int, of: RequestFilter
    ) -> tuple[Day, Array]:
        """Rows, and the places of those that meet a filter."""
        from ledger.requests.days.arrays import Day
        from ledger.requests.days.rows import Texts, chosen

        with self._reading:
            rows = self.get(connection, "rows", piece, stamp, "slot")
            key: _Key = ("chosen", piece, "slot", of)
            known = self._remembered(key, stamp)
            if known is None:
                own = self.get(connection, "texts", piece, stamp, "slot") if of.text else None
                self._texts = self._texts or Texts()
                places = chosen(connection, self._texts, rows, own, of)
                known = self._keep(key, stamp, Day({"places": places}))
            return rows, known.columns["places"]

    def between(
        self,
        connection: Connection,
        what: What,
        piece: Piece,
        stamp: int,
        of: RequestFilter,
        time: tuple[int, int],
    ) -> Day:
        """The sums or callers of the rows that meet a filter within a time: [since, until), in microseconds
        since the UTC day began."""
        from ledger.requests.days.rows import between, tallied

        rows, places = self.chosen(connection, piece, stamp, of)
        return tallied(rows.columns, between(rows, places, *time), what)

    def edge(self, connection: Connection, time: tuple[int, int], stamp: int) -> Day:
        """The rows of a time within a slot: [since, until), in microseconds since 1970.

        Args:
            stamp: that of the slot, read before.
        """
        from ledger.requests.days.reading import read_edge

        known = self._edges.get(time)
        if known is None or known[0] != stamp:
            known = (stamp, read_edge(connection, time))
            with self._lock:
                self._edges[time] = known
                while len(self._edges) > MAX_EDGES:
                    self._edges.popitem(last=False)
        return known[1]

    def _found(self, connection: Connection, key: _Key, stamp: int) -> Day:
        what, piece, grain, of = key
        assert what != "chosen"
        if of is not None:
            from ledger.requests.days.rows import tallied

            rows, places = self.chosen(connection, piece, stamp, of)
            return tallied(rows.columns, places, what).by(grain)
        place = self._opened() if piece[1] - piece[0] == DAY else None
        day = piece[0] // DAY
        if place is not None and (found := place.get(what, day, stamp, grain)) is not None:
            return found
        finest: Grain = "slot" if what in ("rows", "texts") else "hour"
        if grain != finest:
            found = self.get(connection, what, piece, stamp, finest).by(grain)
        elif what == "callers" and self.writes:
            from ledger.requests.days.rows import tallied

            rows = self.get(connection, "rows", piece, stamp, "slot")
            found = tallied(rows.columns, None, what).by(finest)
        else:
            found = _read_day(connection, what, piece)
        if place is None or not len(found):
            return found
        place.put(what, day, stamp, grain, found)
        return place.get(what, day, stamp, grain) or found  # from then on it takes no memory

    def _opened(self) -> Place | None:
        if self._place is None and self.opened is not None:
            self._place = self.opened()
        return self._place

    def _remembered(self, key: _Key, stamp: int) -> Day | None:
        with self._lock:
            known = self._kept.get(key)
            if known is None or known[0] != stamp:
                return None
            self._kept.move_to_end(key)
            return known[1]

    def _keep(self, key: _Key, stamp: int, found: Day) -> Day:
        with self._lock:
            before = self._kept.pop(key, None)
            self._bytes += found.size - (before[1].size if before else 0)
            self._kept[key] = (stamp, found)
            while self._bytes > MAX_BYTES and len(self._kept) > 1:
                _, (_, gone) = self._kept.popitem(last=False)
                self._bytes -= gone.size
        return found


def _read_day(
    connection: Connection, what: What, piece: Piece, few: Sequence[ColumnElement[bool]] = ()
) -> Day:
    from ledger.requests.days.reading import read_day  # takes a tenth of a second: short questions do without

    return read_day(connection, what, piece, few)
