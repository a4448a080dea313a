"""Every account's quota meters, kept in step with `usage_history` at a cost that does not grow with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from ledger.cycle import MINUTE, Cycle, Cycles, Reading, current, cycles_of, merged
from ledger.foreign import Stored
from ledger.meter_rows import MeterRows, reading
from ledger.quota import PERIOD, QuotaRules
from ledger.windows import Slot, Window, slot_of, window

OVERLAP = 200
"""Rows before the newest one that are looked at again: a server may show ids out of order."""

BATCH = 2_000
"""Rows fetched in one statement."""

LAST_WORDS = 20
"""Rows among which an account's newest reading of each window is."""

SLOTS: tuple[Slot, Slot] = ("primary", "secondary")
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Shown:
    """An account's windows at one moment, and the current cycle of its weekly one; None: not known."""

    primary: Window | None = None
    secondary: Window | None = None
    cycle: Cycle | None = None


class _Meters:
    """One account's meters: the newest reading and the cycles of each source, and the resets seen."""

    __slots__ = ("_shown", "_until", "cycles", "latest", "resets")

    def __init__(self) -> None:
        self.latest: dict[str, Reading] = {}
        self.cycles: dict[str, Cycles] = {}
        self.resets = 0
        self._shown, self._until = Shown(), 0

    def shown(self, now: int) -> Shown:
        """The windows at `now`: computed anew when a reading has come or a window has ended."""
        if now >= self._until:
            primary, secondary = (window(self.latest, slot, now) for slot in SLOTS)
            cycles = self.cycles.get(secondary.source, ()) if secondary else ()
            self._shown = Shown(primary, secondary, current(cycles))
            ends = [(r.reset_at or 0) * 1_000_000 for r in self.latest.values()]
            self._until = min((end for end in ends if end > now), default=_NEVER)
        return self._shown

    def add(self, readings: Sequence[tuple[str, Reading]], rules: QuotaRules) -> None:
        self._until = 0
        for source in {source for source, _ in readings}:
            mine = [reading for of, reading in readings if of == source]
            self.latest[source] = max([*mine, self.latest.get(source, mine[0])], key=_order)
            weekly = [r for r in mine if slot_of(source, r.minutes) == "secondary"]
            fresh = cycles_of(weekly, wobble_seconds=rules.wobble_seconds, gap=rules.gap)
            known = self.cycles.get(source, ())
            self.cycles[source] = merged(known, fresh, wobble_seconds=rules.wobble_seconds, gap=rules.gap)


class Meters:
    """The meters of the accounts that it was asked for."""

    def __init__(self, rules: QuotaRules) -> None:
        self._rules = rules
        self._accounts: dict[str, _Meters] = {}
        self.forget()

    def forget(self) -> None:
        """Begin again with the next refresh; the resets that were counted stay counted."""
        self._resets = {account: meters.resets for account, meters in self._accounts.items()}
        self._accounts = {}
        self._overlap: frozenset[Stored] = frozenset()
        self._last_id: int | None = None
        self._turn = 0

    def shown(self, account: str, now: int) -> Shown:
        """An account's windows as they stand at `now`, microseconds since 1970."""
        meters = self._accounts.get(account)
        return meters.shown(now) if meters else Shown()

    def resets(self, account: str) -> int:
        """How many resets of the weekly window were seen since the first refresh."""
        meters = self._accounts.get(account)
        return meters.resets if meters else 0

    def refresh(self, connection: Connection, accounts: Iterable[str], now: int) -> None:
        """Read what is new, and all of the accounts that are new.

        Raises: StoreError, and what the database raises; what was read so far is kept.
        """
        wanted, rows = list(accounts), MeterRows(connection)
        if self._last_id is None:
            self._last_id = rows.last_id()
        self._read_new(rows, now)
        for account in wanted:
            if account not in self._accounts:
                self._load(rows, account, now)
        for account in self._accounts.keys() - set(wanted):
            del self._accounts[account]

    def audit(self, connection: Connection, now: int) -> Iterator[None]:
        """Read all accounts again, for rows may have been deleted: one with each step, for one turn.

        Raises: as `refresh` does.
        """
        rows = MeterRows(connection)
        for _ in range(len(self._accounts)):
            accounts = list(self._accounts)
            self._turn = (self._turn + 1) % len(accounts)
            self._load(rows, accounts[self._turn], now)
            yield

    def _read_new(self, rows: MeterRows, now: int) -> None:
        after = max(0, (self._last_id or 0) - OVERLAP)
        overlap: list[Stored] = []
        while found := rows.after(after, BATCH):
            self._add([row for row in found if row not in self._overlap], now)
            overlap = [*overlap, *found][-OVERLAP:]
            after = self._last_id = int(found[-1][0])
            if len(found) < BATCH:
                break
        self._overlap = frozenset(overlap)

    def _add(self, rows: Iterable[Stored], now: int) -> None:
        by_account: dict[str, list[tuple[str, Reading]]] = {}
        for row in rows:
            if row[1] in self._accounts and row[3] is not None:
                by_account.setdefault(row[1], []).append(reading(row))
        for account, readings in by_account.items():
            before = self.shown(account, now).cycle
            self._accounts[account].add(readings, self._rules)
            self._count_reset(account, before, now)

    def _load(self, rows: MeterRows, account: str, now: int) -> None:
        before, resets = self.shown(account, now).cycle, self.resets(account)
        self._accounts[account] = self._loaded(rows, account, now)
        self._accounts[account].resets = resets or self._resets.pop(account, 0)
        self._count_reset(account, before, now)

    def _loaded(self, rows: MeterRows, account: str, now: int) -> _Meters:
        """An account's meters, read anew: of the last seven days, and of all of a cycle that is longer."""
        found = [*rows.last_of(account, LAST_WORDS), *rows.of(account, now - PERIOD - 60 * MINUTE)]
        meters = _Meters()
        meters.add([reading(row) for row in found], self._rules)
        starts = [c.start for cycles in meters.cycles.values() if (c := current(cycles))]
        if starts and min(starts) < now - PERIOD - 60 * MINUTE:
            meters.add([reading(row) for row in rows.of(account, min(starts))], self._rules)
        return meters

    def _count_reset(self, account: str, old: Cycle | None, now: int) -> None:
        new = self.shown(account, now).cycle
        if old and new and is_reset(old, new, self._rules.wobble_seconds):
            self._accounts[account].resets += 1


def is_reset(old: Cycle, new: Cycle, wobble_seconds: int) -> bool:
    """Whether a new cycle has begun: its window ends later, and the old one is over or was emptied early.

    The reset time of an unused window may move with every look at it; that is none.
    """
    if new.high - old.high <= wobble_seconds or new.newest.at < old.newest.at:
        return False
    return new.newest.at >= old.high * 1_000_000 or new.newest.used < old.newest.used


def _order(reading: Reading) -> tuple[int, float, int, int]:
    return reading.at, reading.used, reading.reset_at or 0, reading.minutes or 0
