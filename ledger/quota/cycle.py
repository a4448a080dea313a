"""What is remembered of a usage window's samples, and the resets counted in them.

A meter is read thousands of times in a cycle; a `Cycle` keeps where the runs of readings begin and end
and when each whole percent was first seen. Cycles of parts merge into the cycle of the whole, in any
order, so readings may come late or twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

MINUTE = 60_000_000
"""Microseconds; every time here is in microseconds since 1970."""

WOBBLE_SECONDS = 60
"""By how much two reset times of one cycle may differ."""

GAP = 180 * MINUTE
"""Readings that are less than this apart are one run."""

_NEVER = 2**62

MAX_CYCLES = 8
"""Cycles kept of a meter; an unused account may move its reset with every reading."""


class Reading(NamedTuple):
    """One look at a meter: microseconds since 1970, percent, epoch seconds, length of the window."""

    at: int
    used: float
    reset_at: int | None = None
    minutes: int | None = None


class Point(NamedTuple):
    """The meter stood at `used` percent at `at`."""

    at: int
    used: float


class Run(NamedTuple):
    """The first and the last of readings that follow each other without a gap."""

    first: Point
    last: Point


@dataclass(frozen=True, slots=True)
class Cycle:
    """The readings of one cycle: those whose reset times hang together.

    Attributes:
        low, high: the earliest and the latest reset time told, epoch seconds.
        newest: its newest reading.
        runs: in the order of time, never empty.
        reached: whole percent -> when it was first seen.
        left: whole percent -> when it was last seen.
    """

    low: int
    high: int
    newest: Reading
    runs: tuple[Run, ...]
    reached: tuple[tuple[int, int], ...]
    left: tuple[tuple[int, int], ...] = ()

    @property
    def start(self) -> int:
        """When the cycle began: its latest reset time less the window."""
        return self.high * 1_000_000 - (self.newest.minutes or 0) * MINUTE

    @property
    def first(self) -> Point:
        return self.runs[0].first

    def used_at(self, moment: int) -> float | None:
        """The highest whole percent that had been seen by then; None where nothing had been."""
        seen = [percent for percent, at in self.reached if at <= moment]
        return float(max(seen)) if seen else None

    def fell(self, points: float) -> bool:
        """Whether the meter once stood so many percentage points higher than it did later."""
        higher = list(self.reached)
        first = _NEVER
        for percent, last in reversed(self.left):
            while higher and higher[-1][0] >= percent + points:
                first = min(first, higher.pop()[1])
            if first < last:
                return True
        return False


Cycles = tuple[Cycle, ...]
"""The cycles of one meter, by reset time; no two of them hang together."""


def cycles_of(readings: Iterable[Reading], *, wobble_seconds: int = WOBBLE_SECONDS, gap: int = GAP) -> Cycles:
    """Sort readings into cycles; those without a reset time or a window belong to none."""
    timed = [r for r in readings if r.reset_at is not None and r.minutes is not None]
    groups: list[list[Reading]] = []
    for reading in sorted(timed, key=lambda r: r.reset_at or 0):
        if groups and (reading.reset_at or 0) - (groups[-1][-1].reset_at or 0) <= wobble_seconds:
            groups[-1].append(reading)
        else:
            groups.append([reading])
    return tuple(_cycle(group, gap) for group in groups)


def merged(one: Cycles, other: Cycles, gap: int = GAP) -> Cycles:
    """The cycles of both sets of readings; the newest MAX_CYCLES of them."""
    result: list[Cycle] = []
    for cycle in sorted((*one, *other), key=lambda c: (c.low, c.high)):
        if result and cycle.low - result[-1].high <= WOBBLE_SECONDS:
            result[-1] = _joined(result[-1], cycle, gap)
        else:
            result.append(cycle)
    if len(result) > MAX_CYCLES:
        kept = sorted(result, key=lambda c: c.newest)[-MAX_CYCLES:]
        result = [cycle for cycle in result if cycle in kept]
    return tuple(result)


def current(cycles: Cycles) -> Cycle | None:
    """The cycle of the newest reading."""
    return max(cycles, key=lambda cycle: cycle.newest, default=None)


def _cycle(readings: list[Reading], gap: int) -> Cycle:
    """The cycle of readings that are sorted by reset time."""
    low, high = readings[0].reset_at, readings[-1].reset_at
    reached: dict[int, int] = {}
    left: dict[int, int] = {}
    for at, used, _, _ in readings:
        percent = int(used)
        reached[percent] = min(at, reached.get(percent, at))
        left[percent] = max(at, left.get(percent, at))
    points = sorted((reading.at, reading.used) for reading in readings)
    return Cycle(low or 0, high or 0, max(readings), _cut(points, gap), _sorted(reached), _sorted(left))


def _cut(points: list[tuple[int, float]], gap: int) -> tuple[Run, ...]:
    """Cut points that are sorted by time into runs."""
    starts = [0, *(n for n in range(1, len(points)) if points[n][0] - points[n - 1][0] >= gap)]
    ends = [*(start - 1 for start in starts[1:]), len(points) - 1]
    return tuple(
        Run(Point(*points[start]), Point(*points[end])) for start, end in zip(starts, ends, strict=True)
    )


def _joined(one: Cycle, other: Cycle, gap: int) -> Cycle:
    reached, left = dict(one.reached), dict(one.left)
    for percent, at in other.reached:
        reached[percent] = min(at, reached.get(percent, at))
    for percent, at in other.left:
        left[percent] = max(at, left.get(percent, at))
    return Cycle(
        min(one.low, other.low),
        max(one.high, other.high),
        max(one.newest, other.newest),
        _runs((*one.runs, *other.runs), gap),
        _sorted(reached),
        _sorted(left),
    )


def _sorted(times: dict[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(times.items()))


def _runs(parts: Iterable[Run], gap: int) -> tuple[Run, ...]:
    """Join what follows each other in less than the gap, or overlaps."""
    runs: list[Run] = []
    for run in sorted(parts):
        if runs and run.first.at - runs[-1].last.at < gap:
            runs[-1] = Run(runs[-1].first, max(runs[-1].last, run.last))
        else:
            runs.append(run)
    return tuple(runs)


class Resets:
    """How often each account's weekly window has reset, as far as its meters were watched."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._latest: dict[str, int] = {}

    def of(self, account: str) -> int:
        return self._counts.get(account, 0)

    def see(self, account: str, old: Cycle | None, new: Cycle | None) -> None:
        """Count, if the new cycle follows the old one and was never seen: of several programs that read a
        meter, one may tell the old cycle for a while yet."""
        if not old or not new:
            return
        latest = self._latest.get(account, old.high)
        if new.high - latest > WOBBLE_SECONDS and is_reset(old, new):
            self._counts[account] = self.of(account) + 1
        self._latest[account] = max(latest, new.high)

    def drop(self, account: str) -> None:
        self._counts.pop(account, None)
        self._latest.pop(account, None)


def is_reset(old: Cycle, new: Cycle) -> bool:
    """Whether a new cycle has begun: its window ends later, and the old one is over or was emptied early.

    The reset time of an unused window may move with every look at it; that is none.
    """
    if new.high - old.high <= WOBBLE_SECONDS or new.newest.at < old.newest.at:
        return False
    return new.newest.at >= old.high * 1_000_000 or new.newest.used < old.newest.used
