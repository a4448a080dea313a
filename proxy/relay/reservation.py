"""What is reserved for one request of a key with a budget, and how its events are charged."""

from __future__ import annotations

from typing import Protocol

from ledger.accounts.allowances import Charge
from ledger.pricing.table import CurrentPrices
from ledger.values import RequestEvent
from proxy.http.routes import Work
from proxy.metering.meter import Emit
from proxy.relay.allowance import KeyAllowance
from proxy.relay.charge import Ask, charge


class Payer(Protocol):
    """Who reserved it."""

    prices: CurrentPrices

    def charged(self, key: str, cost: Charge) -> None:
        """Hears what each request of a key cost."""


class Reservation:
    """Money for one request, or one turn on a WebSocket: charged by each of its events, given back at its
    end.

    Args:
        work: what the request makes the provider do.
        ask: what it asks for.
        nano: what is reserved, in 10^-9 US dollars.
    """

    def __init__(self, payer: Payer, allowance: KeyAllowance, work: Work, ask: Ask, nano: int) -> None:
        self._payer = payer
        self._allowance = allowance
        self._work: Work = work
        self._ask = ask
        self._nano = nano
        self._open = True

    def charging(self, emit: Emit, *, last: bool = False) -> Emit:
        """Charges each event, then passes it on; `last`: one will come, and ends it."""

        def charged(event: RequestEvent) -> None:
            cost = charge(self._payer.prices.book, event, self._work, self._ask, self._nano)
            if cost.requests or cost.nano:
                self._allowance.charge(event.model, cost, event.requested_at)
                self._payer.charged(self._allowance.key.name, cost)
            if last:
                self.close()
            emit(event)

        return charged

    def close(self) -> None:
        """Give back what was reserved; what it cost is charged."""
        if self._open:
            self._open = False
            self._allowance.reserved -= self._nano
