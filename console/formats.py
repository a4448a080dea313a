"""How values are written on a page: units everywhere, nothing that plays tricks on a reader. Pure."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from ledger.privacy import without_likely

MAX_SHOWN = 200
"""Characters of a name that are shown."""

MAX_FAILURE = 4_096
NOTHING = "–"

_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u200b")


def text(value: Any, most: int = MAX_SHOWN) -> str:
    """A name from outside, harmless: control characters and such that turn the direction are shown as what
    they are, and its length is bounded."""
    if value is None or value == "":
        return NOTHING
    given = str(value)
    shown = "".join(map(_visible, given[:most]))
    return shown + "…" if len(given) > most else shown


def lines(value: str) -> str:
    """A text of several lines, harmless as `text` makes it."""
    return "\n".join(text(line, MAX_FAILURE) if line else "" for line in value.split("\n"))


def failure(value: str | None) -> str:
    """A failure's text, sanitised once more: it may come from another program, or an earlier version."""
    return text(without_likely(value[:MAX_FAILURE]), MAX_FAILURE) if value else NOTHING


def number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def counted(value: int, word: str) -> str:
    """A number of things: 1 request, 1,204 requests."""
    return f"{number(value)} {word}" if value == 1 else f"{number(value)} {word}s"


def short(value: float | None) -> str:
    """A count in four characters or so: 940, 12.3k, 4.56M."""
    if value is None:
        return NOTHING
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit * 0.9995:  # from there on it would be rounded to 1000 of the unit below
            return f"{_three(value / limit)}{unit}"
    return f"{value:,.0f}"


def usd(value: Decimal | None) -> str:
    """US dollars: cents, and of less than a dollar what can be told apart."""
    if value is None:
        return NOTHING
    if value == 0:
        return "$0"
    size = abs(value)
    if size >= 1:
        return f"${value:,.2f}"
    return f"${value:.4f}" if size >= Decimal("0.0001") else f"${value:.2g}"


def exact_usd(value: Decimal | None) -> str:
    """US dollars, unrounded."""
    return NOTHING if value is None else f"${value.normalize():f}"


def share(value: float | None) -> str:
    """A part of one, in percent."""
    if value is None:
        return NOTHING
    percent = value * 100
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%"


def used(percent: float) -> str:
    """Of a window: 100 % only where all of it is used."""
    return f"{min(99, round(percent)) if percent < 100 else 100}%"


def duration(ms: float | None) -> str:
    """Milliseconds, in the unit that fits."""
    if ms is None:
        return NOTHING
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_995:
        return f"{ms / 1000:.2f} s"
    return span(timedelta(milliseconds=ms))


def span(time: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = round(time.total_seconds())
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    return f"{seconds} s"


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, or how far ahead."""
    if at is None:
        return "never"
    passed = now - at
    if abs(passed) < timedelta(seconds=1):
        return "just now"
    one = span(abs(passed)).split(" ")
    rough = " ".join(one[:2])
    return f"{rough} ago" if passed > timedelta(0) else f"in {rough}"


def moment(at: datetime | None, zone: ZoneInfo) -> str:
    """A date and a time to the second, with the zone's offset."""
    if at is None:
        return NOTHING
    local = at.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {offset(local)}"


def clock(at: datetime | None, zone: ZoneInfo, now: datetime) -> str:
    """A time of today, or with its date."""
    if at is None:
        return NOTHING
    local, today = at.astimezone(zone), now.astimezone(zone)
    return f"{local:%H:%M:%S}" if local.date() == today.date() else f"{local:%m-%d %H:%M:%S}"


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def offset(local: datetime) -> str:
    """UTC, +02:00, -03:30."""
    given = local.strftime("%z")
    return "UTC" if given in ("", "+0000") else f"{given[:3]}:{given[3:5]}"


def change(now: float | None, before: float | None) -> str:
    """How much more or less than before, neither below 0; empty where that says nothing."""
    if now is None or not before:
        return ""
    if now / before >= 10:
        return f"×{now / before:.0f}"
    return f"{(now - before) / before * 100:+.0f}%"


def _three(value: float) -> str:
    size = abs(value)
    return (
        f"{value:.2f}" if round(size, 2) < 10 else f"{value:.1f}" if round(size, 1) < 100 else f"{value:.0f}"
    )


def _visible(character: str) -> str:
    if character in _DIRECTION:
        return f"⟨U+{ord(character):04X}⟩"
    kind = unicodedata.category(character)
    if character in "\n\t":
        return " "
    if kind in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return f"⟨U+{ord(character):04X}⟩"
    return character
