"""Grafana's relative times: `now`, `now-2d/d`, `now/d`.

Days and longer are calendar units of the viewer's time zone, hours and shorter are fixed lengths. `/unit`
goes to the unit's start, or for the end of a range to its last millisecond.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta

from dashboards.errors import TimeError

_STEP = re.compile(r"([+-])(\d*)([smhdwMy])|/([smhdwMy])")
_FIXED = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_MONTHS = {"M": 1, "y": 12}


def is_relative(text: str) -> bool:
    """Whether the time moves with the clock."""
    return text.startswith("now")


def resolve(text: str, now: datetime, *, end: bool = False) -> datetime:
    """The moment that a text stands for, in the time zone of `now`.

    Args:
        text: relative, or an absolute time in ISO 8601, which without an offset is in the zone of `now`.
        now: aware; its zone is the dashboard's.
        end: whether the text ends a range, so that `/unit` rounds up.
    Raises: TimeError.
    """
    if is_relative(text):
        return shifted(now, text.removeprefix("now"), end=end)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TimeError(f"{text!r}: allowed: now, now-6h, now-1d/d or an ISO time") from error
    return moment.replace(tzinfo=now.tzinfo) if moment.tzinfo is None else moment.astimezone(now.tzinfo)


def shifted(moment: datetime, steps: str, *, end: bool = False) -> datetime:
    """`moment` after steps like `-1d/d`, taken from left to right.

    Raises: TimeError.
    """
    position = 0
    while position < len(steps):
        step = _STEP.match(steps, position)
        if step is None:
            raise TimeError(f"{steps!r}: allowed: steps like -2d, +1h or /d")
        sign, count, unit, rounded = step.groups()
        if rounded:
            moment = _round(moment, rounded, end=end)
        else:
            moment = _add(moment, int(f"{sign}{count or 1}"), unit)
        position = step.end()
    return moment


def _add(moment: datetime, count: int, unit: str) -> datetime:
    if unit in _FIXED:
        return (moment.astimezone(UTC) + count * _FIXED[unit]).astimezone(moment.tzinfo)
    if unit in _MONTHS:
        return _existing(_months_later(moment, count * _MONTHS[unit]))
    return _existing(moment + timedelta(days=count * (7 if unit == "w" else 1)))


def _months_later(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))


def _round(moment: datetime, unit: str, *, end: bool) -> datetime:
    start = _start(moment, unit)
    if not end:
        return start
    return (_add(start, 1, unit).astimezone(UTC) - timedelta(milliseconds=1)).astimezone(moment.tzinfo)


def _start(moment: datetime, unit: str) -> datetime:
    if unit in _FIXED:
        since = timedelta(
            hours=0 if unit in "hms" else moment.hour,
            minutes=moment.minute if unit == "h" else 0,
            seconds=moment.second if unit in "hm" else 0,
            microseconds=moment.microsecond,
        )
        return (moment.astimezone(UTC) - since).astimezone(moment.tzinfo)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if unit == "w":  # weeks begin on Sunday, as in Grafana's default locale
        midnight -= timedelta(days=(midnight.weekday() + 1) % 7)
    if unit in "My":
        midnight = midnight.replace(day=1)
    return _existing(midnight.replace(month=1) if unit == "y" else midnight)


def _existing(moment: datetime) -> datetime:
    """The same moment, where the clocks jump over it the first one after the jump."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo)
