"""Counting the resets of accounts' weekly windows."""

from __future__ import annotations

from ledger.cycle import Cycle


class Resets:
    """How often each account's weekly window has begun anew, as far as its meters were watched."""

    def __init__(self, wobble_seconds: int) -> None:
        self._wobble = wobble_seconds
        self._counts: dict[str, int] = {}
        self._latest: dict[str, int] = {}

    def of(self, account: str) -> int:
        """How many were seen of an account."""
        return self._counts.get(account, 0)

    def see(self, account: str, old: Cycle | None, new: Cycle | None) -> None:
        """Count, if the new cycle follows the old one and was never seen: of several programs that read a
        meter, one may tell the old cycle for a while yet."""
        if not old or not new:
            return
        latest = self._latest.get(account, old.high)
        if new.high - latest > self._wobble and is_reset(old, new, self._wobble):
            self._counts[account] = self.of(account) + 1
        self._latest[account] = max(latest, new.high)

    def drop(self, account: str) -> None:
        """Forget an account that is gone."""
        self._counts.pop(account, None)
        self._latest.pop(account, None)


def is_reset(old: Cycle, new: Cycle, wobble_seconds: int) -> bool:
    """Whether a new cycle has begun: its window ends later, and the old one is over or was emptied early.

    The reset time of an unused window may move with every look at it; that is none.
    """
    if new.high - old.high <= wobble_seconds or new.newest.at < old.newest.at:
        return False
    return new.newest.at >= old.high * 1_000_000 or new.newest.used < old.newest.used
