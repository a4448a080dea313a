"""Where an account's usage windows lead at the pace so far. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from ledger.quota.windows import Slot, Window, Windows

MIN_ELAPSED = 0.02
"""The part of a window that must have passed before its pace says something."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One window, and where it leads.

    Attributes:
        title: five hours, week, or as long as it is; `short` is the same in few characters.
        minutes: how long it is; None where nobody can say.
        used: percent.
        reset_at: when it begins again.
        empty_at: when it is used up at the pace since it began; None where it lasts, or nobody can say.
        lasts: percent that will be left at the reset; None where nobody can say.
    """

    slot: Slot
    title: str
    short: str
    minutes: int | None
    used: float
    reset_at: datetime | None
    empty_at: datetime | None = None
    lasts: float | None = None


def windows_of(shown: Windows, now: datetime) -> tuple[Pace, ...]:
    """The usage windows of an account, the short one first."""
    usual: tuple[tuple[Slot, tuple[str, str]], ...] = (
        ("primary", ("5 hours", "5h")),
        ("secondary", ("week", "week")),
    )
    found = zip(shown, usual, strict=True)
    return tuple(pace(one, *names, now) for one, names in found if one is not None)


def pace(window: Window, slot: Slot, named: tuple[str, str], now: datetime) -> Pace:
    """Where a window leads, at the pace since it began.

    Args:
        named: title and short title of a window whose length is not known.
    """
    reset = datetime.fromtimestamp(window.reset_at, UTC) if window.reset_at else None
    title, short = _named(window.minutes) or named
    plain = Pace(slot, title, short, window.minutes, window.used_percent, reset)
    if reset is None or not window.minutes or reset <= now:
        return plain
    length = timedelta(minutes=window.minutes)
    elapsed = 1 - (reset - now) / length
    if elapsed < MIN_ELAPSED or window.used_percent >= 100:
        return plain
    expected = window.used_percent / elapsed
    if expected > 100:
        left = (100 - window.used_percent) / (window.used_percent / (elapsed * length.total_seconds()))
        return replace(plain, empty_at=now + timedelta(seconds=left))
    return replace(plain, lasts=100 - expected)


def _named(minutes: int | None) -> tuple[str, str] | None:
    """A window's length in words, and in few characters."""
    if not minutes:
        return None
    for size, word in ((10_080, "week"), (1_440, "day"), (60, "hour")):
        if minutes % size == 0:
            number = minutes // size
            short = "week" if minutes == 10_080 else f"{number}{word[0]}"
            return word if number == 1 else f"{number} {word}s", short
    return f"{minutes} min", f"{minutes}m"
