"""The quota windows of accounts as last told, for those who choose an account by them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from ledger.quota.windows import Slot, slot_of, source_of
from ledger.schema import accounts, usage_history
from ledger.values import UsageSample

NAMES: tuple[str | None, ...] = (
    "primary",
    "secondary",
    "monthly",
    "old-primary",
    "old-secondary",
    None,
)
"""Window names that a store may hold."""


@dataclass(frozen=True, slots=True)
class Told:
    """One quota window as last told.

    Attributes:
        at: when, aware UTC.
        used_percent: 0 to 100, as of `at`.
        reset_at: epoch seconds; None where it was not said.
    """

    at: datetime
    used_percent: float
    reset_at: int | None = None

    def used(self, now: float) -> float:
        """Percent used at an epoch second: nothing once the reset has passed."""
        return 0.0 if self.reset_at is not None and self.reset_at <= now else self.used_percent


def newest(samples: Iterable[UsageSample]) -> dict[tuple[str, Slot], Told]:
    """The latest word on each account and slot."""
    found: dict[tuple[str, Slot], Told] = {}
    for sample in samples:
        key = (sample.account_id, slot_of(source_of(sample.window), sample.window_minutes))
        known = found.get(key)
        if known is None or known.at <= sample.recorded_at:
            percent = min(100.0, max(0.0, sample.used_percent))
            found[key] = Told(sample.recorded_at, percent, sample.reset_at)
    return found


def latest(connection: Connection) -> dict[tuple[str, Slot], Told]:
    """The latest word on each account and slot; an index look-up for each, however long the history."""
    return newest(sample for name in NAMES for sample in _last(connection, name))


def _last(connection: Connection, name: str | None) -> list[UsageSample]:
    """The last sample of each account under one window name."""
    table = usage_history.alias()
    last = (
        select(table.c.id)
        .where(table.c.account_id == accounts.c.id, table.c.window == name)
        .order_by(table.c.recorded_at.desc(), table.c.id.desc())
        .limit(1)
        .correlate(accounts)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(usage_history)
        .select_from(accounts.join(usage_history, usage_history.c.id == last))
        .where(accounts.c.delete_requested_at.is_(None))
    )
    return [
        UsageSample(
            account_id=row.account_id,
            recorded_at=row.recorded_at,
            window=row.window or "primary",
            used_percent=row.used_percent,
            reset_at=row.reset_at,
            window_minutes=row.window_minutes,
        )
        for row in rows
    ]
