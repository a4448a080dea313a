"""Who may come in: callers with a proxy key, known by its digest alone, as long as its budget lasts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ledger.accounts.budgets import KeySpend, Period, day_start, week_start
from proxy.accounts.ledger_sync import Watch
from proxy.errors import BudgetSpent, Refused
from proxy.routing.counters import Counting


@dataclass(frozen=True, slots=True)
class Key:
    """One proxy key. `daily`, `weekly`: most US dollars from midnight and Monday midnight UTC on."""

    name: str
    sha256: str
    daily: Decimal | None = None
    weekly: Decimal | None = None

    @property
    def periods(self) -> tuple[Period, ...]:
        """Those that it has a limit for."""
        limits: tuple[tuple[Period, Decimal | None], ...] = (("daily", self.daily), ("weekly", self.weekly))
        return tuple(period for period, limit in limits if limit is not None)


class KeyRing:
    """All proxy keys.

    Args:
        required: callers without one of them are refused.
    """

    def __init__(self, keys: Iterable[Key], *, required: bool) -> None:
        self._keys: Mapping[str, Key] = {key.sha256: key for key in keys}
        self.required = required

    def find(self, presented: str | None) -> Key | None:
        """The key that a caller presents; None for anything else."""
        if not presented or not self._keys:
            return None
        return self._keys.get(hashlib.sha256(presented.encode("utf-8", "surrogateescape")).hexdigest())

    @property
    def limits(self) -> tuple[tuple[str, Period], ...]:
        """Name and period of every budget."""
        return tuple((key.name, period) for key in self._keys.values() for period in key.periods)

    @property
    def budgeted(self) -> frozenset[str]:
        """Names of the keys that have a limit."""
        return frozenset(key.name for key in self._keys.values() if key.periods)


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


class Admission:
    """Knows proxy keys and what they have spent.

    Args:
        exposed: the proxy can be reached from other hosts: accounts are then for known callers alone.
    """

    def __init__(self, keys: KeyRing, watch: Watch, counting: Counting, *, exposed: bool) -> None:
        self._keys = keys
        self._watch = watch
        self._counting = counting
        self._exposed = exposed

    def key_of(self, presented: str | None) -> Key | None:
        """The proxy key that a caller presents; None for anything else."""
        return self._keys.find(presented)

    def admit(self, key: Key | None, *, routed: bool) -> None:
        """Let a caller in.

        Args:
            routed: an account would take the request.
        Raises: Refused without a key that is needed, or with a spent budget.
        """
        if key is None:
            if self._keys.required or (self._exposed and routed):
                raise Refused(401, "invalid_proxy_key", "this proxy asks for one of its own keys")
            return
        refusal = self.spent(key)
        if refusal is not None:
            self.refused(refusal)
            raise refusal

    def spent(self, key: Key) -> BudgetSpent | None:
        """What a key is refused with whose budget is spent."""
        now = datetime.now(UTC)
        reached = spent(key, self._watch.spend, now)
        if reached is None:
            return None
        return BudgetSpent(reached.message, key.name, reached.period, retry_after=reached.retry_after(now))

    def refused(self, error: Refused) -> None:
        """Count what was refused by a budget."""
        if isinstance(error, BudgetSpent):
            self._counting.budget_hit(error.key, error.period)
