"""How long an account is left alone after a failure. Pure; all times are seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST = 0.2
JITTER = 0.1
LONG_AFTER = 3
"""Failures in a row after which an account is not just unlucky."""

LONG_FIRST = 30.0
LONGEST = 300.0
MOST_WAIT = 7 * 86_400.0
"""A longer wait that a provider asks for is not believed."""

_AGAIN = re.compile(
    r"(?i)\b(?:try again|retry)\s+(?:in|after)\s+((?:\d+(?:\.\d+)?\s*[a-z]+[\s,]*(?:and\s+)?)+)"
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+)")
_UNITS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
}


def backoff(failures: int, draw: float) -> float:
    """The pause after so many rate limits in a row that came without a hint, 10 % more or less.

    Args:
        failures: 1 for the first.
        draw: from 0 to 1; 0.5 gives the middle.
    """
    return min(LONGEST, FIRST * 2.0 ** min(failures - 1, 30)) * (1 + JITTER * (2 * draw - 1))


def error_pause(failures: int, draw: float) -> float:
    """The pause after so many errors in a row: short at first, then half a minute, doubling."""
    if failures < LONG_AFTER:
        return backoff(failures, draw)
    return min(LONGEST, LONG_FIRST * 2.0 ** min(failures - LONG_AFTER, 30))


def retry_after(message: str | None, headers: Mapping[str, str], now: float) -> float | None:
    """How long the provider asks us to wait; None where it does not say.

    Args:
        message: like "Rate limit reached. Please try again in 1m2.5s."
        headers: of the answer, with lower-case or case-insensitive names.
        now: epoch seconds, for a date in Retry-After.
    """
    for seconds in (_from_message(message), _from_headers(headers, now)):
        if seconds is not None and 0 <= seconds <= MOST_WAIT:
            return seconds
    return None


def _from_message(message: str | None) -> float | None:
    found = _AGAIN.search((message or "")[:4_096])
    if found is None:
        return None
    parts = _PART.findall(found[1])
    known = [float(number) * _UNITS[unit.lower()] for number, unit in parts if unit.lower() in _UNITS]
    return sum(known) if known else None


def _from_headers(headers: Mapping[str, str], now: float) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1_000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
