"""Who may come in: callers with a proxy key, as long as its budget lasts."""

from __future__ import annotations

from datetime import UTC, datetime

from proxy.errors import BudgetSpent, Refused
from proxy.routing import budget
from proxy.routing.counting import Counting
from proxy.routing.keys import Key, KeyRing
from proxy.routing.watch import Watch


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
        spent = budget.spent(key, self._watch.spend, now)
        if spent is None:
            return None
        return BudgetSpent(spent.message, key.name, spent.period, retry_after=spent.retry_after(now))

    def refused(self, error: Refused) -> None:
        """Count what was refused by a budget."""
        if isinstance(error, BudgetSpent):
            self._counting.budget_hit(error.key, error.period)
