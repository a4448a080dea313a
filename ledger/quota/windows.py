"""Which quota windows an account has now, whatever names and lengths its provider gave them.

A window's name is no length: an account with nothing but a week has it as `primary`. A window of a day or
more is the secondary one here, a shorter one the primary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ledger.quota.cycle import MINUTE, Reading

Slot = Literal["primary", "secondary"]
DAY_MINUTES = 24 * 60

TOGETHER = 60 * MINUTE
"""Readings of an account's windows that are this close, in microseconds, are of one look at it."""

FORGOTTEN = 7 * 24 * 60 * MINUTE
"""A window that was last told so long before another one of its account is none of it any more."""

_PREFERRED = ("secondary", "primary", "monthly")
_USUAL = {"primary": "5h", "secondary": "7d", "monthly": "30d"}
"""What a source is called whose length is not known."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window as it stands now.

    Attributes:
        source: the name under which it is stored, see `source_of`.
        used_percent: 0 to 100; 0 once the reset time has passed.
        reset_at: epoch seconds.
    """

    source: str
    used_percent: float
    reset_at: int | None
    minutes: int | None


Windows = tuple[Window | None, Window | None]
"""An account's window of each slot, the primary one first; None where it is not known."""


@cache
def source_of(name: str | None) -> str:
    """A stored window name in its plain form: nothing means primary, `old-` is a former spelling."""
    plain = _plain(name)
    return plain if plain in _PREFERRED else "primary"


@cache
def is_known(name: str | None) -> bool:
    """Whether a window of this name is one of the account's own: a provider may have limits beside them,
    of one model or one feature."""
    return _plain(name) in _PREFERRED


def _plain(name: str | None) -> str:
    return (name or "primary").casefold().removeprefix("old-")


def slot_of(source: str, minutes: int | None) -> Slot:
    """The slot that a window belongs to: by its length where that is a day or more, else by its name."""
    if source != "primary" or (minutes is not None and minutes >= DAY_MINUTES):
        return "secondary"
    return "primary"


def same_length(one: Reading, other: Reading) -> bool:
    """Whether two readings are of windows of the same length: with the plan, a week may go from one name to
    another, and what was told under the former one is out of date."""
    return one is other or (one.minutes is not None and one.minutes == other.minutes)


def window(latest: Mapping[str, Reading], slot: Slot, now: int) -> Window | None:
    """An account's window in a slot.

    Args:
        latest: the newest reading of each source.
        now: microseconds since 1970.
    """
    newest = max((reading.at for reading in latest.values()), default=0)
    told = {s: reading for s, reading in latest.items() if newest - reading.at <= FORGOTTEN}
    found = {s: reading for s, reading in told.items() if slot_of(s, reading.minutes) == slot}
    if not found:
        return None
    newest = max(reading.at for reading in found.values())
    source = next(s for s in _PREFERRED if s in found and newest - found[s].at <= TOGETHER)
    source = max((s for s in found if same_length(found[s], found[source])), key=lambda s: found[s].at)
    return _standing(source, found[source], now)


def every_window(
    latest: Mapping[str, Reading], buckets: Mapping[str, Reading], now: int
) -> dict[str, Window]:
    """All windows of an account by what people call them: the account's own by their length, those of one
    model or feature by their name. Of one length, the newest word counts.

    Args:
        latest, buckets: the newest reading of each source, and of each window beside them.
    """
    newest = max((reading.at for reading in (*latest.values(), *buckets.values())), default=0)
    named = [(length_name(r.minutes) or _USUAL[source], source, r) for source, r in latest.items()]
    named += [(name, name, r) for name, r in buckets.items()]
    told = sorted((n for n in named if newest - n[2].at <= FORGOTTEN), key=lambda n: n[2].at)
    return {name: _standing(source, reading, now) for name, source, reading in told}


def length_name(minutes: int | None) -> str | None:
    """A length as people say it: 5h, 7d, 30d."""
    if minutes is None or minutes <= 0:
        return None
    if minutes % DAY_MINUTES == 0:
        return f"{minutes // DAY_MINUTES}d"
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"


def _standing(source: str, reading: Reading, now: int) -> Window:
    expired = reading.reset_at is not None and reading.reset_at * 1_000_000 <= now
    used = 0.0 if expired else min(100.0, max(0.0, reading.used))
    return Window(source, used, reading.reset_at, reading.minutes)
