"""Every account's usage windows, kept in step with `usage_history` at a cost that does not grow with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ledger.quota.cycle import MINUTE, Cycle, Cycles, Reading, Resets, current, cycles_of, merged
from ledger.quota.estimate import PERIOD, QuotaRules
from ledger.quota.windows import (
    FORGOTTEN,
    Slot,
    Window,
    Windows,
    every_window,
    same_length,
    slot_of,
    window,
)
from ledger.reader.foreign import Stored, is_of_a_window, reading
from ledger.reader.meter_rows import MeterRows

SLOTS: tuple[Slot, Slot] = ("primary", "secondary")

FAST_CLOCK = 300_000_000
"""How far ahead of ours, in microseconds, the clock may be that a reading was dated by. One that is dated
later counts when its time has come, or it would stand in the way of all that follow."""

MAX_BUCKETS, MAX_NAME = 20, 40
"""Windows of models and features told of an account, and characters of their names: providers choose them."""

_NEVER = 2**62
_Sourced = tuple[str, Reading]


@dataclass(frozen=True, slots=True)
class Shown:
    """An account's windows at one moment, and the current cycle of its weekly one; None: not known.

    Attributes:
        every: all windows by what people call them, those of one model or feature among them.
    """

    primary: Window | None = None
    secondary: Window | None = None
    cycle: Cycle | None = None
    every: Mapping[str, Window] = field(default_factory=dict)


class AccountMeters:
    """The newest reading and the cycles of each source.

    Attributes:
        unreadable: ids of the rows that could not be understood.
    """

    __slots__ = ("_ahead", "_buckets", "_latest", "_rules", "_shown", "_until", "cycles", "unreadable")

    def __init__(self, rules: QuotaRules) -> None:
        self._rules = rules
        self._latest: dict[str, Reading] = {}
        self._buckets: dict[str, Reading] = {}
        self._ahead: set[_Sourced] = set()
        self.cycles: dict[str, Cycles] = {}
        self.unreadable: set[int] = set()
        self._shown, self._until = Shown(), 0

    def shown(self, now: int) -> Shown:
        """The windows at `now`: recomputed when a reading has come or a window has ended."""
        if now >= self._until:
            primary, secondary = (window(self._latest, slot, now) for slot in SLOTS)
            cycle = current(self._cycles_of(secondary.source)) if secondary else None
            every = every_window(self._latest, self._buckets, now)
            self._shown = Shown(primary, secondary, cycle, every)
            told = (*self._latest.values(), *self._buckets.values())
            ends = [(r.reset_at or 0) * 1_000_000 for r in told]
            self._until = min((end for end in ends if end > now), default=_NEVER)
        return self._shown

    def newest(self, default: int) -> int:
        return max((reading.at for reading in self._latest.values()), default=default)

    def take(self, rows: Iterable[Stored], now: int) -> None:
        """Add rows of MeterRows, in any order, also such as were added before."""
        due: list[_Sourced] = []
        for row in rows:
            if not is_of_a_window(row):
                self._take_bucket(row, now)
                continue
            found = reading(row)
            if found is None:
                self.unreadable.add(int(row[0]))
            elif found[1].at <= now + FAST_CLOCK:
                due.append(found)
            else:
                self._ahead.add(found)
        self._add(due)

    def _take_bucket(self, row: Stored, now: int) -> None:
        """A window of one model or feature; what cannot be understood of it is nothing."""
        found, name = reading(row), row[4]
        if found is None or not isinstance(name, str) or found[1].at > now + FAST_CLOCK:
            return
        name = name[:MAX_NAME]
        if name in self._buckets or len(self._buckets) < MAX_BUCKETS:
            self._buckets[name] = max(found[1], self._buckets.get(name, found[1]), key=_order)
            self._until = 0

    def go_on(self, now: int) -> None:
        due = [found for found in self._ahead if found[1].at <= now + FAST_CLOCK]
        self._ahead.difference_update(due)
        self._add(due)

    @property
    def waits(self) -> bool:
        """Whether there are readings whose time has not come."""
        return bool(self._ahead)

    def _cycles_of(self, source: str) -> Cycles:
        """The cycles of a source, and those of windows of the same length that had another name before."""
        found, latest = self.cycles.get(source, ()), self._latest[source]
        for other in self._latest.keys() - {source}:
            if same_length(self._latest[other], latest):
                found = merged(found, self.cycles.get(other, ()), self._rules.gap)
        return found

    def _add(self, readings: Sequence[_Sourced]) -> None:
        self._until = 0
        for source in {source for source, _ in readings}:
            mine = [reading for of, reading in readings if of == source]
            self._latest[source] = max([*mine, self._latest.get(source, mine[0])], key=_order)
            weekly = [r for r in mine if slot_of(source, r.minutes) == "secondary"]
            fresh = cycles_of(weekly, gap=self._rules.gap)
            self.cycles[source] = merged(self.cycles.get(source, ()), fresh, self._rules.gap)


def _order(reading: Reading) -> tuple[int, float, int, int]:
    return reading.at, reading.used, reading.reset_at or 0, reading.minutes or 0


OVERLAP = 200
"""Rows before the newest one that are looked at again: a server may show ids out of order."""

BATCH = 2_000
"""Rows fetched in one statement."""

LAST_WORDS = 20
"""Rows among which there is one that can be understood."""

MAX_AHEAD = 500
"""Rows of the time to come that are remembered of an account when it is read."""

MARGIN = 60 * MINUTE


class Meters:
    def __init__(self, rules: QuotaRules) -> None:
        self._rules = rules
        self._resets = Resets()
        self.forget()

    def forget(self) -> None:
        """Begin again with the next refresh; the resets that were counted stay counted."""
        self._accounts: dict[str, AccountMeters] = {}
        self._overlap: frozenset[str] = frozenset()
        self._last_id: int | None = None
        self._turn = 0

    def shown(self, account: str, now: int) -> Shown:
        """An account's windows as they stand at `now`, microseconds since 1970."""
        meters = self._accounts.get(account)
        return meters.shown(now) if meters else Shown()

    def resets(self, account: str) -> int:
        """How many resets of the weekly window were seen since the first refresh."""
        return self._resets.of(account)

    @property
    def unreadable(self) -> tuple[int, ...]:
        """The ids of the rows that could not be understood, of those that were read."""
        return tuple(sorted(id for meters in self._accounts.values() for id in meters.unreadable))

    def refresh(self, connection: Connection, accounts: Iterable[str], now: int) -> None:
        """Read what is new, and all of the accounts that are new.

        Raises: StoreError, and what the database raises; what was read so far is kept.
        """
        wanted, rows = list(accounts), MeterRows(connection)
        if self._last_id is not None and not self._read_new(rows, now):
            self.forget()
        if self._last_id is None:
            self._last_id = rows.last_id()
            self._read_new(rows, now)
        for account in self._accounts.keys() - set(wanted):
            del self._accounts[account]
            self._resets.drop(account)
        for account in wanted:
            if account not in self._accounts:
                self._load(rows, account, now)
            elif self._accounts[account].waits:
                self._go_on(account, now)

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

    def _read_new(self, rows: MeterRows, now: int) -> bool:
        """Read what follows the last id. False where the store is another one: it ends earlier, or none of
        the rows before is there any more."""
        last_id = self._last_id or 0
        if rows.last_id() < last_id:
            return False
        known, overlap = self._overlap, list[str]()
        after = max(0, last_id - OVERLAP)
        while found := rows.after(after, BATCH):
            told = [(repr(tuple(row)), row) for row in found]
            self._add([row for text, row in told if text not in known], now)
            overlap = [*overlap, *(text for text, _ in told)][-OVERLAP:]
            if after < last_id and known.isdisjoint(text for text, _ in told) and known:
                return False
            after = self._last_id = int(found[-1][0])
            if len(found) < BATCH:
                break
        self._overlap = frozenset(overlap)
        return True

    def _add(self, rows: Iterable[Stored], now: int) -> None:
        by_account: dict[str, list[Stored]] = {}
        for row in rows:
            if row[1] in self._accounts:
                by_account.setdefault(row[1], []).append(row)
        for account, mine in by_account.items():
            before = self.shown(account, now).cycle
            self._accounts[account].take(mine, now)
            self._resets.see(account, before, self.shown(account, now).cycle)

    def _go_on(self, account: str, now: int) -> None:
        before = self.shown(account, now).cycle
        self._accounts[account].go_on(now)
        self._resets.see(account, before, self.shown(account, now).cycle)

    def _load(self, rows: MeterRows, account: str, now: int) -> None:
        before = self.shown(account, now).cycle
        self._accounts[account] = self._loaded(rows, account, now)
        self._resets.see(account, before, self.shown(account, now).cycle)

    def _loaded(self, rows: MeterRows, account: str, now: int) -> AccountMeters:
        """An account's meters, read again: of the last seven days, of those before the newest reading where
        that is older, and of all of a cycle that is longer."""
        until = now + FAST_CLOCK
        meters = AccountMeters(self._rules)
        meters.take(rows.last_of(account, until, LAST_WORDS), now)
        meters.take(rows.others(account, until, MAX_BUCKETS), now)
        since = min(now - PERIOD, meters.newest(now) - FORGOTTEN) - MARGIN
        meters.take([*rows.of(account, since, until), *rows.later(account, until, MAX_AHEAD)], now)
        starts = [c.start for cycles in meters.cycles.values() if (c := current(cycles))]
        if starts and min(starts) < since:
            meters.take(rows.of(account, min(starts), since), now)
        return meters


def newest_windows(connection: Connection, accounts: Iterable[str], now: int) -> dict[str, Windows]:
    """The windows of accounts as `Meters` shows them, for those who need no cycles: an index look-up for
    each, however long the history."""
    rows, found = MeterRows(connection), dict[str, Windows]()
    for account in accounts:
        latest: dict[str, Reading] = {}
        told = map(reading, filter(is_of_a_window, rows.last_of(account, now + FAST_CLOCK, LAST_WORDS)))
        for source, one in filter(None, told):
            latest[source] = max(one, latest.get(source, one), key=_order)
        found[account] = (window(latest, "primary", now), window(latest, "secondary", now))
    return found
