"""An account's requests of the last days with the running sum since a moment."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

UNPRICED = -1
"""Stands for the cost of a request that should have one, but has no price or no counts."""

SILENT = -2
"""Stands for the cost of a request that was not to cost anything: it failed without counts, or only read."""

PICO_PER_USD = 10**12

MAX_PICO = 10**6 * PICO_PER_USD
"""No request costs a million dollars: a count or a price is wrong. It also fits into 64 bits."""

_PICO = Decimal("1e-12")


@dataclass(frozen=True, slots=True)
class Sums:
    """What requests add up to.

    Attributes:
        pico: 10^-12 US dollars of the priced ones.
        priced, unpriced: how many have a price, and how many should have one and do not.
    """

    pico: int = 0
    priced: int = 0
    unpriced: int = 0

    @property
    def usd(self) -> Decimal:
        """US dollars, exactly."""
        return self.pico * _PICO


class Requests(Protocol):
    """What the estimate asks of an account's requests. Times are microseconds since 1970."""

    def since(self, start: int) -> Sums:
        """The sums of all requests from a moment on."""

    def any_between(self, start: int, end: int) -> bool:
        """Whether there is a request, of whatever outcome, in [start, end)."""

    def between(self, start: int, end: int) -> Sums:
        """The sums of [start, end)."""


class RunningRequests:
    """Requests of one account in the order of time. `since` keeps its sums: asked again with a start that
    has moved, it counts only the requests between the two."""

    __slots__ = ("_costs", "_pico", "_priced", "_start", "_times", "_unpriced", "changes")

    def __init__(self) -> None:
        self._times = array("q")
        self._costs = array("q")
        self._start = 0
        self._pico = self._priced = self._unpriced = 0
        self.changes = 0

    def __len__(self) -> int:
        return len(self._times)

    def add(self, at: int, cost: int) -> None:
        """Add a request: its cost in 10^-12 US dollars, UNPRICED or SILENT.

        Raises: ValueError for another cost; then nothing was added.
        """
        if not SILENT <= cost <= MAX_PICO:
            raise ValueError("this cannot be the cost of a request")
        place = (
            len(self._times) if not self._times or at >= self._times[-1] else bisect_right(self._times, at)
        )
        self._times.insert(place, at)
        self._costs.insert(place, cost)
        self._count(at, cost, 1)

    def remove(self, at: int, cost: int) -> None:
        """Take back a request that was added.

        Raises: ValueError where it was not.
        """
        place = bisect_left(self._times, at)
        place = self._costs.index(cost, place)
        if self._times[place] != at:
            raise ValueError(f"no request at {at} that costs {cost}")
        del self._times[place]
        del self._costs[place]
        self._count(at, cost, -1)

    def since(self, start: int) -> Sums:
        if start != self._start:
            low, high = sorted((start, self._start))
            part, sign = self.between(low, high), 1 if start < self._start else -1
            self._pico += sign * part.pico
            self._priced += sign * part.priced
            self._unpriced += sign * part.unpriced
            self._start = start
        return Sums(self._pico, self._priced, self._unpriced)

    def any_between(self, start: int, end: int) -> bool:
        place = bisect_left(self._times, start)
        return place < len(self._times) and self._times[place] < end

    def between(self, start: int, end: int) -> Sums:
        costs = self._costs[bisect_left(self._times, start) : bisect_left(self._times, end)]
        unpriced, silent = costs.count(UNPRICED), costs.count(SILENT)
        return Sums(sum(costs) + unpriced + 2 * silent, len(costs) - unpriced - silent, unpriced)

    def newest(self) -> int | None:
        return self._times[-1] if self._times else None

    def _count(self, at: int, cost: int, sign: int) -> None:
        self.changes += 1
        if at < self._start:
            return
        self._pico += sign * max(0, cost)
        self._priced += sign * (cost >= 0)
        self._unpriced += sign * (cost == UNPRICED)
