"""The quota meters of one account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger.cycle import Cycle, Cycles, Reading, current, cycles_of, merged
from ledger.foreign import Stored
from ledger.parsed import is_of_a_window, reading
from ledger.quota import QuotaRules
from ledger.windows import Slot, Window, slot_of, window

SLOTS: tuple[Slot, Slot] = ("primary", "secondary")

FAST_CLOCK = 300_000_000
"""How far ahead of ours, in microseconds, the clock may be that a reading was dated by. One that is dated
later counts when its time has come, or it would stand in the way of all that follow."""

_NEVER = 2**62
_Sourced = tuple[str, Reading]


@dataclass(frozen=True, slots=True)
class Shown:
    """An account's windows at one moment, and the current cycle of its weekly one; None: not known."""

    primary: Window | None = None
    secondary: Window | None = None
    cycle: Cycle | None = None


class AccountMeters:
    """The newest reading and the cycles of each source.

    Attributes:
        unreadable: ids of the rows that could not be understood.
    """

    __slots__ = ("_ahead", "_latest", "_rules", "_shown", "_until", "cycles", "unreadable")

    def __init__(self, rules: QuotaRules) -> None:
        self._rules = rules
        self._latest: dict[str, Reading] = {}
        self._ahead: set[_Sourced] = set()
        self.cycles: dict[str, Cycles] = {}
        self.unreadable: set[int] = set()
        self._shown, self._until = Shown(), 0

    def shown(self, now: int) -> Shown:
        """The windows at `now`: computed anew when a reading has come or a window has ended."""
        if now >= self._until:
            primary, secondary = (window(self._latest, slot, now) for slot in SLOTS)
            cycles = self.cycles.get(secondary.source, ()) if secondary else ()
            self._shown = Shown(primary, secondary, current(cycles))
            ends = [(r.reset_at or 0) * 1_000_000 for r in self._latest.values()]
            self._until = min((end for end in ends if end > now), default=_NEVER)
        return self._shown

    def newest(self, default: int) -> int:
        """When the newest reading was made."""
        return max((reading.at for reading in self._latest.values()), default=default)

    def take(self, rows: Iterable[Stored], now: int) -> None:
        """Add rows of MeterRows, in any order, also such as were added before."""
        due: list[_Sourced] = []
        for row in filter(is_of_a_window, rows):
            found = reading(row)
            if found is None:
                self.unreadable.add(int(row[0]))
            elif found[1].at <= now + FAST_CLOCK:
                due.append(found)
            else:
                self._ahead.add(found)
        self._add(due)

    def go_on(self, now: int) -> None:
        """Add the readings whose time has come."""
        due = [found for found in self._ahead if found[1].at <= now + FAST_CLOCK]
        self._ahead.difference_update(due)
        self._add(due)

    @property
    def waits(self) -> bool:
        """Whether there are readings whose time has not come."""
        return bool(self._ahead)

    def _add(self, readings: Sequence[_Sourced]) -> None:
        self._until = 0
        wobble, gap = self._rules.wobble_seconds, self._rules.gap
        for source in {source for source, _ in readings}:
            mine = [reading for of, reading in readings if of == source]
            self._latest[source] = max([*mine, self._latest.get(source, mine[0])], key=_order)
            weekly = [r for r in mine if slot_of(source, r.minutes) == "secondary"]
            fresh = cycles_of(weekly, wobble_seconds=wobble, gap=gap)
            self.cycles[source] = merged(self.cycles.get(source, ()), fresh, wobble_seconds=wobble, gap=gap)


def _order(reading: Reading) -> tuple[int, float, int, int]:
    return reading.at, reading.used, reading.reset_at or 0, reading.minutes or 0
