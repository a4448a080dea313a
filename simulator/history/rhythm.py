"""When people work: how busy an hour is, by the local clock and the day of the week."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simulator.errors import ScriptError

_HOURS = (2, 1, 1, 1, 1, 2, 4, 8, 14, 20, 22, 20, 14, 18, 22, 22, 20, 16, 10, 8, 7, 6, 5, 3)
"""Relative load of the 24 local hours: quiet nights, a lunch dip, some work in the evening."""

_DAYS = (1.05, 1.15, 1.15, 1.1, 0.95, 0.35, 0.25)
"""Relative load of the days from Monday to Sunday."""

_MEAN = sum(_HOURS) * sum(_DAYS) / (24 * 7)


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises: ScriptError naming it.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScriptError(f"time zone {name!r} is not known; allowed: a name like Europe/Berlin") from error


def busyness(local: datetime) -> float:
    """How busy an hour is: 1 is the mean over a week."""
    return _HOURS[local.hour] * _DAYS[local.weekday()] / _MEAN


def hours(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) cut at every full hour UTC."""
    while start < end:
        after = start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        yield start, min(after, end)
        start = after


def moments(
    start: datetime, end: datetime, per_day: float, where: ZoneInfo, rng: Random
) -> Iterator[datetime]:
    """Random moments in [start, end) in their order, as many in a mean day as `per_day` says.

    Args:
        start, end: aware UTC.
        where: the zone whose clock the rhythm follows, daylight saving time included.
    """
    for begin, until in hours(start, end):
        seconds = (until - begin).total_seconds()
        expected = per_day * seconds / 86_400 * busyness(begin.astimezone(where))
        for offset in sorted(rng.uniform(0, seconds) for _ in range(poisson(expected, rng))):
            yield min(begin + timedelta(seconds=offset), until - timedelta(microseconds=1)).astimezone(UTC)


def poisson(mean: float, rng: Random) -> int:
    """A Poisson-distributed count; from a mean of 100 on its normal approximation."""
    if mean >= 100:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
