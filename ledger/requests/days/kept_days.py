"""Days as arrays that a process remembers: what all questions over whole days are answered from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Literal, Protocol

from sqlalchemy import ColumnElement, Connection

if TYPE_CHECKING:
    from ledger.requests.days.arrays import Day

What = Literal["sums", "durations", "callers"]
"""Of which table: `request_hourly`, `request_durations`, or durations with their callers, of rows."""

MAX_BYTES = 200_000_000
"""For one ledger; the days longest not asked for go. A day of 110,000 requests takes 0.3 MB, with its hours
three times that."""

_Key = tuple[What, int, bool]
"""What, the day since 1970, and whether with its hours."""


class Place(Protocol):
    """Where days are kept beside the process."""

    def get(self, connection: Connection, what: What, day: int, stamp: int) -> Day | None:
        """A day that is still as it was stored."""

    def put(self, connection: Connection, what: What, day: int, stamp: int, content: Day) -> None:
        """Store a day that was read after its stamp."""


@dataclass(slots=True)
class Days:
    """Of one ledger.

    Attributes:
        opened: opens where days are kept for longer than a process lives; None: there is no such place.
    """

    opened: Callable[[], Place | None] | None = None
    _place: Place | None = None
    _kept: OrderedDict[_Key, tuple[int, Day]] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: Lock = field(default_factory=Lock)
    _reading: Lock = field(default_factory=Lock)

    def get(
        self,
        connection: Connection,
        what: What,
        day: int,
        stamp: int,
        by_hour: bool,
        few: Sequence[ColumnElement[bool]] = (),
    ) -> Day:
        """A day, read where it is not remembered or has changed since.

        Args:
            stamp: that of the day, read before.
            few: conditions that few callers meet: a day of `callers` that is not remembered has these alone.
        """
        found = self._remembered((what, day, by_hour), stamp)
        if found is None and few and what == "callers" and self.opened is None:
            return _read_day(connection, what, day, few)
        if found is None:
            with self._reading:  # many questions want the same days at the same time
                found = self._remembered((what, day, by_hour), stamp)
                found = found or self._read(connection, what, day, stamp, by_hour)
        return found

    def _read(self, connection: Connection, what: What, day: int, stamp: int, by_hour: bool) -> Day:
        if self._place is None and self.opened is not None:
            self._place = self.opened()
        hours = self._remembered((what, day, True), stamp)
        if hours is None and self._place is not None:
            hours = self._place.get(connection, what, day, stamp)
        if hours is None:
            hours = _read_day(connection, what, day)
            if self._place is not None and len(hours):
                self._place.put(connection, what, day, stamp, hours)
        if by_hour:
            return self._keep((what, day, True), stamp, hours)
        return self._keep((what, day, False), stamp, hours.as_a_whole())

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


def _read_day(connection: Connection, what: What, day: int, few: Sequence[ColumnElement[bool]] = ()) -> Day:
    from ledger.requests.days.arrays import read_day  # takes a tenth of a second: short questions do without

    return read_day(connection, what, day, few)
