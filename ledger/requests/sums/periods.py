"""Calendar periods in the user's time zone, as moments of UTC; half-hour zones and clock changes included."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

PeriodName = Literal["today", "yesterday", "week", "month", "12 months"]
PERIODS: tuple[PeriodName, ...] = ("today", "yesterday", "week", "month", "12 months")


def period(name: PeriodName, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """[since, until) of a calendar period in UTC. A week begins on Monday; `12 months` is this month and the
    eleven before it. The running ones end with the day after `now`: the moments to come are empty.

    Args:
        now: aware.
    """
    today = now.astimezone(zone).date()
    first = {
        "today": today,
        "yesterday": today - timedelta(days=1),
        "week": _monday(today),
        "month": today.replace(day=1),
        "12 months": _months_before(today.replace(day=1), 11),
    }[name]
    end = today if name == "yesterday" else today + timedelta(days=1)
    return midnight(first, zone), midnight(end, zone)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins, in UTC. Where the clocks skip midnight, it begins when they go on; where they show
    it twice, with the first one."""
    local = datetime.combine(day, time(), zone)  # fold=0: the first of two
    utc = local.astimezone(UTC)
    if utc.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return utc
    # Midnight is skipped. Taken with the offset of before the gap, it is as long after the gap's beginning
    # as the clocks had already gone into it.
    before = local.replace(fold=0).utcoffset() or timedelta(0)
    after = local.replace(fold=1).utcoffset() or timedelta(0)
    return _beginning_of_day(day, zone, utc - abs(after - before), utc)


def _beginning_of_day(day: date, zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first moment of a day between one before it and one within it, found by halving."""
    while high - low > timedelta(microseconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).date() < day:
            low = middle
        else:
            high = middle
    return high


def days(since: datetime, until: datetime, zone: ZoneInfo) -> list[datetime]:
    """Bounds of a series by calendar day: the midnights from the one at or before `since` to the one at or
    after `until`."""
    return _bounds(since, until, zone, lambda day: day, lambda day: day + timedelta(days=1))


def weeks(since: datetime, until: datetime, zone: ZoneInfo) -> list[datetime]:
    """Bounds of a series by calendar week, which begins on Monday."""
    return _bounds(since, until, zone, _monday, lambda day: day + timedelta(days=7))


def months(since: datetime, until: datetime, zone: ZoneInfo) -> list[datetime]:
    """Bounds of a series by calendar month."""
    return _bounds(since, until, zone, lambda day: day.replace(day=1), lambda day: _months_before(day, -1))


def years(since: datetime, until: datetime, zone: ZoneInfo) -> list[datetime]:
    """Bounds of a series by calendar year."""
    return _bounds(
        since, until, zone, lambda day: day.replace(month=1, day=1), lambda day: _months_before(day, -12)
    )


def steps(since: datetime, until: datetime, step: timedelta) -> list[datetime]:
    """Bounds of a series by steps of the same length, aligned to multiples of it since 1970: the first is at
    or before `since`, the last at or after `until`."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first, last = (since - epoch) // step, -((epoch - until) // step)
    return [epoch + number * step for number in range(first, max(last, first + 1) + 1)]


def _bounds(
    since: datetime,
    until: datetime,
    zone: ZoneInfo,
    begin: Callable[[date], date],
    following: Callable[[date], date],
) -> list[datetime]:
    day = begin(since.astimezone(zone).date())
    found = [midnight(day, zone)]
    while found[-1] < until or len(found) < 2:
        day = following(day)
        begins = midnight(day, zone)
        if begins > found[-1]:  # a zone that changes sides of the date line skips a day
            found.append(begins)
    return found


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _months_before(first: date, number: int) -> date:
    """The first day of the month so many months before; negative: after."""
    index = first.year * 12 + first.month - 1 - number
    return date(index // 12, index % 12 + 1, 1)
