"""The attempts at one request: each is metered as an event of its own, all share the client's request id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import msgspec

from proxy.http.caller_secrets import Secrets
from proxy.metering.asked import NOTHING_ASKED, Asked
from proxy.metering.event import Caller
from proxy.metering.meter import Emit, Meter, Tell
from proxy.metering.place import provider_of_url
from proxy.relay.access import Key
from proxy.relay.allowance import Reservation
from proxy.routing.affinity import sticky_key

Reserve = Callable[[bytes | None], Reservation]
"""Reserves money for a turn, given the message that asks for it."""


class Attempts:
    """Holds the meter of the attempt that is running; `routed` tells whether it is made with an account.

    Args:
        start: `perf_counter()` when the request's head had arrived; what the first attempt is timed from.
        secrets: what nothing that is stored may hold.
    """

    def __init__(
        self,
        caller: Caller,
        emit: Emit,
        tell: Tell,
        start: float,
        secrets: Secrets | None = None,
    ) -> None:
        self.caller = caller
        self.asked: Asked = NOTHING_ASKED
        self.routed = False
        self.key: Key | None = None
        self._reservation: Reservation | None = None
        self._emit = emit
        self._tell = tell
        self._provider = caller.provider
        self.secrets = secrets or Secrets()
        self.meter = Meter(caller, emit, start, tell, secrets=self.secrets)

    @property
    def conversation(self) -> str | None:
        """The key of the conversation that the request belongs to, once it is known what it asks for."""
        return sticky_key(self.asked.prompt_cache_key, self.caller.session_id)

    def learn(self, asked: Asked) -> None:
        """What the request asks for, once its body is complete."""
        self.asked = asked
        self.meter.learn(asked)

    def by_key(self, key: Key) -> None:
        """The caller presented this proxy key."""
        self.key = key
        self.caller = msgspec.structs.replace(self.caller, api_key_id=key.name)
        self.meter.move(self.caller)

    def paid_from(self, reservation: Reservation) -> None:
        """What the attempts cost is charged to a budget, where money for them is reserved."""
        self._reservation = reservation
        self._emit = reservation.charging(self._emit)
        self.meter.emit_to(self._emit)

    def left_unsent(self) -> None:
        """The caller left before the attempt that runs was sent: it costs nothing."""
        if self._reservation is not None:
            self._reservation.unsent = True

    def end(self) -> None:
        """The request is over; what was reserved for it is free again."""
        if self._reservation is not None:
            self._reservation.close()

    def on(self, account_id: str, *, again: bool, base_url: str | None = None) -> Meter:
        """The attempt with an account begins.

        Args:
            again: an attempt came before it; that one must be finished.
            base_url: of the account's own provider.
        """
        provider = provider_of_url(base_url) if base_url else self._provider
        if provider != self.caller.provider:
            self.caller = msgspec.structs.replace(self.caller, provider=provider)
            self.meter.move(self.caller)
        if again:
            self.meter = Meter(self.caller, self._emit, perf_counter(), self._tell, secrets=self.secrets)
            self.meter.learn(self.asked)
        self.meter.account_id = account_id
        self.routed = True
        return self.meter

    def turn(self, reserve: Reserve | None = None) -> Callable[[float, bytes | None], Meter]:
        """Makes the meters of the turns of a WebSocket, from when a turn begins and what asks for it.

        Args:
            reserve: reserves money for a turn, where it is paid from a budget.
        """
        route = replace(self.caller.route, billable=True, work="generates")
        caller = msgspec.structs.replace(self.caller, route=route)
        account_id = self.meter.account_id

        def meter(start: float, message: bytes | None) -> Meter:
            emit = reserve(message).charging(self._emit, last=True) if reserve else self._emit
            return Meter(caller, emit, start, self._tell, account_id, secrets=self.secrets)

        return meter
