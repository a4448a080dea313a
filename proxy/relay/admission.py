"""Who may come in: callers with a proxy key where one is needed, as long as its budget lasts."""

from __future__ import annotations

from proxy.errors import BudgetReserved, BudgetSpent, Refused
from proxy.http.routes import Route, Work
from proxy.relay.access import Key, KeyRing
from proxy.relay.allowance import Reservation
from proxy.relay.budgets import Budgets
from proxy.relay.charge import Ask
from proxy.routing.counters import Counting


class Admission:
    """Knows proxy keys and what they may still spend.

    Args:
        exposed: the proxy can be reached from other hosts: accounts are then for known callers alone.
    """

    def __init__(self, keys: KeyRing, budgets: Budgets, counting: Counting, *, exposed: bool) -> None:
        self.budgets = budgets
        self._keys = keys
        self._counting = counting
        self._exposed = exposed

    def key_of(self, presented: str | None) -> Key | None:
        """The proxy key that a caller presents; None for anything else."""
        return self._keys.find(presented)

    def admit(self, key: Key | None, work: Work, *, routed: bool) -> None:
        """Let a caller in.

        Args:
            routed: an account would take the request.
        Raises: Refused without a key that is needed, with a spent budget, or for work that no budget holds.
        """
        if key is None:
            if self._keys.required or (self._exposed and routed):
                raise Refused(401, "invalid_proxy_key", "this proxy asks for one of its own keys")
            return
        if not key.periods:
            return
        refusal = self.budgets.spent(key)
        if refusal is not None:
            self.refused(refusal)
            raise refusal
        if work == "deferred":
            text = "no response reports the cost of this, so proxy keys with a budget cannot use it"
            raise Refused(403, "not_within_a_budget", text)

    async def reserve(self, key: Key, work: Work, ask: Ask) -> Reservation:
        """Let a request of a key with a budget begin. Raises: Refused."""
        try:
            return await self.budgets.reserve(key, work, ask)
        except Refused as refusal:
            self.refused(refusal)
            raise

    async def connect(self, key: Key, route: Route) -> None:
        """Let a connection begin on which a key with a budget has turns. Raises: Refused."""
        if not route.template.endswith("/responses"):
            text = "turns on this connection cannot be metered, so proxy keys with a budget cannot use it"
            raise Refused(403, "not_within_a_budget", text)
        await self.budgets.ready(key)
        refusal = self.budgets.standing(key)
        if refusal is not None:
            self.refused(refusal)
            raise refusal

    def refused(self, error: Refused) -> None:
        """Count what was refused by a budget."""
        if isinstance(error, BudgetSpent | BudgetReserved):
            self._counting.budget_hit(error.key, error.period)
