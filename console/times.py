"""The time that a page is about: words like Grafana's, so that a link from page to page keeps it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from console.errors import ChoiceError
from ledger.requests.sums import periods

DEFAULT_FROM, DEFAULT_TO = "now-24h", "now"

PRESETS: tuple[tuple[str, str, str], ...] = (
    ("5 min", "now-5m", "now"),
    ("15 min", "now-15m", "now"),
    ("1 h", "now-1h", "now"),
    ("6 h", "now-6h", "now"),
    ("24 h", "now-24h", "now"),
    ("today", "now/d", "now"),
    ("yesterday", "now-1d/d", "now-1d/d"),
    ("7 days", "now-7d", "now"),
    ("30 days", "now-30d", "now"),
    ("90 days", "now-90d", "now"),
)
"""What can be chosen by one click: label, from, to."""

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Between these moments every question can be asked: of each the time before it, too, and in every zone."""

ALLOWED = (
    "allowed: now, now-15m, now-24h, now-7d, now/d, 2026-11-28T09:00, or milliseconds since 1970; "
    "in the years 1970 to 2199"
)

_RELATIVE = re.compile(r"now(?:-(\d{1,4})([mhdwM]))?(?:/([hdwM]))?", re.ASCII)
_EPOCH = re.compile(r"\d{1,14}", re.ASCII)
_SPANS = {"m": timedelta(minutes=1), "h": timedelta(hours=1)}

STEPS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
)


@dataclass(frozen=True, slots=True)
class Range:
    """[since, until) in UTC, the words that it was asked for by, and the zone that it is shown in."""

    start: str
    end: str
    since: datetime
    until: datetime
    zone: ZoneInfo

    @property
    def follows(self) -> bool:
        """Whether it ends now: new requests belong to it."""
        return self.end == "now"

    @property
    def span(self) -> timedelta:
        return self.until - self.since


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name. Raises: ChoiceError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:  # a name with .. or of a folder is no KeyError alone
        raise ChoiceError(f"zone = {name[:60]!r}: allowed: a name like Europe/Berlin, or UTC") from error


def range_of(start: str, end: str, now: datetime, zone: ZoneInfo) -> Range:
    """The time between two words. Raises: ChoiceError naming the parameter."""
    since = _moment("from", start, now, zone, up=False)
    until = _moment("to", end, now, zone, up=True)
    for name, text, at in (("from", start, since), ("to", end, until)):
        if not FIRST <= at <= LAST:
            raise ChoiceError(f"{name} = {text[:40]!r}: {ALLOWED}")
    if not since < until:
        raise ChoiceError(f"from = {start[:40]!r} is not before to = {end[:40]!r}")
    return Range(start, end, since, until, zone)


def bounds(since: datetime, until: datetime, most: int) -> list[datetime]:
    """Steps of a series over exactly [since, until): round ones between, the rest at both ends.

    Args:
        most: how many there may be.
    """
    step = next((s for s in STEPS if (until - since) / s <= most - 1), None)
    if step is None:
        step = timedelta(days=-(-(until - since) // timedelta(days=most - 1)))
    inner = [at for at in periods.steps(since, until, step) if since < at < until]
    return [since, *inner, until]


def _moment(name: str, text: str, now: datetime, zone: ZoneInfo, *, up: bool) -> datetime:
    try:
        if found := _RELATIVE.fullmatch(text):
            return _relative(found, now, zone, up=up)
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        given = datetime.fromisoformat(text)
        return (given if given.tzinfo else given.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ChoiceError(f"{name} = {text[:40]!r}: {ALLOWED}") from error


def _relative(found: re.Match[str], now: datetime, zone: ZoneInfo, *, up: bool) -> datetime:
    number, unit, floor = found.groups()
    at = now.astimezone(UTC)
    if number:
        at = _before(at, int(number), unit, zone)
    return _rounded(at, floor, zone, up=up) if floor else at


def _before(at: datetime, number: int, unit: str, zone: ZoneInfo) -> datetime:
    """So much earlier; days and longer by the calendar of the zone, so that a day may have 23 hours."""
    if unit in _SPANS:
        return at - number * _SPANS[unit]
    local = at.astimezone(zone)
    if unit == "M":
        index = local.year * 12 + local.month - 1 - number
        first = local.replace(year=index // 12, month=index % 12 + 1, day=1)
        return first.replace(day=min(local.day, _days_in(first))).astimezone(UTC)
    return (local - timedelta(days=number * (7 if unit == "w" else 1))).astimezone(UTC)


def _rounded(at: datetime, unit: str, zone: ZoneInfo, *, up: bool) -> datetime:
    """The beginning of the hour, day, week or month; `up`: its end."""
    if unit == "h":
        hour = at.astimezone(zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        return hour + timedelta(hours=1) if up else hour
    cut = {"d": periods.days, "w": periods.weeks, "M": periods.months}[unit]
    return cut(at, at + timedelta(microseconds=1), zone)[1 if up else 0]


def _days_in(first: datetime) -> int:
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return (following - timedelta(days=1)).day
