"""How values are written where there is little room. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from console import formats as f
from console.quota import Pace
from console.snapshot import Name, Period

HALF_A_CENT = Decimal("0.005")
TITLES: dict[Name, str] = {
    "hour": "last hour",
    "today": "today",
    "week": "this week",
    "month": "this month",
    "12 months": "12 months",
}


@dataclass(frozen=True, slots=True)
class Signs:
    """What is drawn with: UTF-8, or ASCII alone."""

    full: str
    empty: str
    dot: str
    nothing: str
    more: str
    times: str

    def plain(self, text: str) -> str:
        """A text of ours as this terminal can show it."""
        if self is UTF8:
            return text
        for sign, instead in ((f.NOTHING, "-"), ("…", "~"), ("×", "x"), ("⟨", "<"), ("⟩", ">"), ("·", "|")):
            text = text.replace(sign, instead)
        return text.encode("ascii", "backslashreplace").decode("ascii")


UTF8 = Signs("█", "░", " · ", f.NOTHING, "…", "×")
ASCII = Signs("#", ".", " | ", "-", "~", "x")


def signs(encoding: str | None, *, ascii_only: bool = False) -> Signs:
    known = (encoding or "").lower().replace("-", "").replace("_", "")
    return UTF8 if known == "utf8" and not ascii_only else ASCII


def left(time: timedelta, *, pad: bool = True) -> str:
    """A length of time in two units: 5d22h, 2h01m, 12m, 40s.

    Args:
        pad: minutes beside hours in two digits, for columns.
    """
    seconds = max(0, int(time.total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes:02}m" if pad else f"{hours}h{minutes}m"
    return f"{minutes}m" if minutes else f"{seconds}s"


def bar(percent: float, width: int, signs: Signs) -> str:
    """How much of a window is used; full only where all of it is."""
    filled = min(width, int(percent / 100 * width))
    return signs.full * filled + signs.empty * (width - filled)


def resets(window: Pace, now: datetime, *, pad: bool = True) -> str:
    """The time until a window begins again; empty where it is not known, or has begun."""
    if window.reset_at is None or window.reset_at <= now:
        return ""
    return left(window.reset_at - now, pad=pad)


def leads(window: Pace, now: datetime) -> str:
    if window.used >= 100:
        return "used up"
    if window.empty_at is not None:
        return f"empty in {left(window.empty_at - now)}"
    if window.lasts is not None:
        return f"lasts, {window.lasts:.0f}% left"
    return ""


def leads_short(window: Pace, now: datetime) -> str:
    """The same in eleven characters."""
    if window.used >= 100:
        return "used up"
    if window.empty_at is not None:
        return f"dry {left(window.empty_at - now)}"
    return "" if window.lasts is None else f"{window.lasts:.0f}% left"


def money(value: Decimal) -> str:
    """US dollars in few characters: cents, and thousands from a million on."""
    if 0 < value < HALF_A_CENT:
        return "<$0.01"
    return f"${f.short(float(value))}" if abs(value) >= 1_000_000 else f"${value:,.2f}"


def amounts(period: Period) -> dict[str, str]:
    now, counts = period.now, period.now.counts
    before = period.before
    return {
        "cost": money(now.usd),
        "change": f.change(float(now.usd), float(before.usd)) if before else "",
        "requests": f.short(now.requests),
        "errors": f.short(now.errors),
        "input": f.short(counts.input),
        "cached": f.short(counts.cached_input),
        "written": f.short(counts.cache_write + counts.cache_write_1h),
        "output": f.short(counts.output),
        "reasoning": f.short(now.reasoning),
        "tokens": f.short(now.tokens),
        "unpriced": f.short(now.unpriced),
    }


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Lines with columns as wide as their widest cell.

    Args:
        right: the columns whose cells stand at the right.
    """
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def cell(text: str, number: int) -> str:
        return text.rjust(widths[number]) if number in right else text.ljust(widths[number])

    return [" ".join(cell(text, n) for n, text in enumerate(line)).rstrip() for line in lines]
