"""Proxy keys: callers are known by the digest of theirs alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ledger.accounts.budgets import Period


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
    def budgeted(self) -> tuple[Key, ...]:
        """The keys that have a limit."""
        return tuple(key for key in self._keys.values() if key.periods)
