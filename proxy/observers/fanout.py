"""Events on their way to their observers: collected, then handed on in small batches.

An event is complete when it comes here; taking it must cost a request next to nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from ledger.values import RequestEvent

log = logging.getLogger("quotascope.fanout")

Observer = Callable[[Sequence[RequestEvent]], None]

DELIVER_SECONDS = 0.1
"""How long an event waits at most before its observers see it."""

SLICE = 8
"""Events that are handed on at once: less than a tenth of a millisecond, in which no byte is relayed."""


class Fanout:
    """Hands every event to all observers, in the order of arrival.

    Args:
        observers: each takes a batch; must not block or raise.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._events: list[RequestEvent] = []

    def __call__(self, event: RequestEvent) -> None:
        self._events.append(event)
        if len(self._events) >= SLICE:
            self.deliver()

    def deliver(self) -> None:
        """Hand on what has come since the last time."""
        events, self._events = self._events, []
        if events:
            for observe in self._observers:
                try:
                    observe(events)
                except Exception:  # one that fails costs the others nothing
                    log.exception("an observer failed on %d events", len(events))

    async def run(self, also: Callable[[], None]) -> None:
        """Deliver again and again, until cancelled.

        Args:
            also: what else is to be done as often.
        """
        while True:
            await asyncio.sleep(DELIVER_SECONDS)
            self.deliver()
            try:
                also()
            except Exception:  # it is tried again, and events go on
                log.exception("what is done beside the delivery of events failed")
