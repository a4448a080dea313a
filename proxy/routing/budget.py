"""Whether a proxy key may still spend. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from ledger.budgets import KeySpend, Period, day_start, week_start
from proxy.routing.keys import Key


@dataclass(frozen=True, slots=True)
class Spent:
    """A budget that is spent.

    Attributes:
        limit: US dollars.
        resets_at: aware UTC.
    """

    key: str
    period: Period
    limit: Decimal
    resets_at: datetime

    @property
    def message(self) -> str:
        """For the caller."""
        return (
            f"the {self.period} budget of ${self.limit} of the proxy key {self.key!r} is spent; "
            f"it resets at {self.resets_at:%Y-%m-%dT%H:%M:%SZ}"
        )

    def retry_after(self, now: datetime) -> int:
        """Whole seconds until the reset, for Retry-After."""
        return max(1, -int(-(self.resets_at - now).total_seconds() // 1))


def spent(key: Key, spend: KeySpend | None, now: datetime) -> Spent | None:
    """The budget that keeps a key from spending, the one that lasts longer first; None where there is none.

    Args:
        spend: as last read from the ledger; None before the first reading.
    """
    if spend is None:
        return None
    if key.weekly is not None and spend.this_week(key.name, now).usd >= key.weekly:
        return Spent(key.name, "weekly", key.weekly, week_start(now) + timedelta(days=7))
    if key.daily is not None and spend.today(key.name, now).usd >= key.daily:
        return Spent(key.name, "daily", key.daily, day_start(now) + timedelta(days=1))
    return None
