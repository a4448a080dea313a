"""When a Prometheus would have looked: the scrapes of one proxy, with its restarts and the scrapes missed."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulator.errors import ScriptError

Gap = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Scrapes:
    """The scrapes of one target; every time is aware UTC.

    A scrape sees the requests that ended before it, in the process that runs at its moment. What a
    process counted after its last scrape is lost with it, as in life.

    Attributes:
        start, end: the first scrape and the latest possible one; the process starts with the first, at 0.
        interval_seconds: whole seconds from one scrape to the next.
        job, instance: the target's labels.
        restarts: when a new process begins, its counters at 0.
        gaps: [from, until) without scrapes.
    Raises: ScriptError where this contradicts itself.
    """

    start: datetime
    end: datetime
    interval_seconds: int = 60
    job: str = "quotascope-proxy"
    instance: str = "127.0.0.1:8787"
    restarts: tuple[datetime, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def __post_init__(self) -> None:
        if any(t.utcoffset() != timedelta(0) for t in self._times()):
            raise ScriptError("times of scrapes, restarts and gaps must be aware and in UTC")
        if not self.start < self.end:
            raise ScriptError(f"scrapes must end after they start: {self.start} to {self.end}")
        if self.interval_seconds < 1:
            raise ScriptError(f"interval_seconds = {self.interval_seconds}; allowed: 1 or more")
        if list(self.restarts) != sorted(r for r in self.restarts if r > self.start):
            raise ScriptError("restarts must come in their order and after the start")

    @property
    def count(self) -> int:
        """Number of ticks, those in gaps included; tick 0 is the first scrape."""
        return (self.end - self.start) // self._interval + 1

    def at(self, tick: int) -> datetime:
        return self.start + tick * self._interval

    def seen(self, moment: datetime) -> int | None:
        """The first tick that sees what happened at a moment; None where no scrape ever does."""
        if not self.start <= moment < self.end:
            return None
        tick = (moment - self.start) // self._interval + 1
        life = self.life(moment)
        lost = life < len(self.restarts) and self.at(tick) >= self.restarts[life]
        return None if lost or tick >= self.count else tick

    def life(self, moment: datetime) -> int:
        """Which process runs at a moment: 0 before the first restart."""
        return bisect_right(self.restarts, moment)

    def first_of(self, life: int) -> int:
        """The first tick that finds a process: `life` counts from 1 here."""
        return -((self.start - self.restarts[life - 1]) // self._interval)

    def ticks(self, among: range | None = None) -> list[int]:
        """The ticks at which there is a scrape, all of them or among some."""
        asked = range(self.count) if among is None else among
        return [t for t in asked if not any(a <= self.at(t) < b for a, b in self.gaps)]

    @property
    def _interval(self) -> timedelta:
        return timedelta(seconds=self.interval_seconds)

    def _times(self) -> list[datetime]:
        return [self.start, self.end, *self.restarts, *(t for gap in self.gaps for t in gap)]
