"""The turns of a WebSocket connection: each is metered as a request, and the router hears how it went."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, time

from ledger.values import EndReason
from proxy.error_event import turn_failure
from proxy.errors import Refused
from proxy.meter import Meter
from proxy.routing.marks import Failure
from proxy.taps import MessageTap
from proxy.tunnel import Side
from proxy.usage import message_type, read_request

TURN_BEGINS = "response.create"
TURN_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})

Turned = Callable[[float, Failure | None], None]
"""Takes when a turn began, in epoch seconds, and how it failed; None where it went well."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One that runs. `began`: epoch seconds."""

    meter: Meter
    began: float


def begins(message: bytes | None) -> bool:
    """Whether a client's message asks for a turn; None, one too long to be read, is taken for one."""
    return message is None or message_type(message) == TURN_BEGINS


class Turns:
    """The turns of one connection.

    Args:
        new_meter: makes the meter of a turn, given the moment (`perf_counter`) of its beginning.
        turned: hears of each turn that is over, where somebody chose the account that took it.
    """

    def __init__(self, new_meter: Callable[[float], Meter], turned: Turned | None = None) -> None:
        self._new_meter = new_meter
        self._turned = turned
        self._running: deque[Turn] = deque()  # a client may ask again before it was answered
        self._first: Side | None = None

    @property
    def running(self) -> bool:
        """Whether a turn is not over yet."""
        return bool(self._running)

    def asked(self, message: bytes | None) -> None:
        """A message of the client; None for one too long to be read."""
        if begins(message):
            meter = self._meter(message)
            meter.listen(200, MessageTap("responses"))
            self._running.append(Turn(meter, time()))

    def refused(self, message: bytes | None, error: Refused) -> None:
        """A turn that was asked for and not passed on."""
        self._meter(message).finish(
            "refused", http_status=error.status, error_code=error.code, error_message=str(error)
        )

    def answered(self, message: bytes | None) -> None:
        """A message of the provider, which answers turns in their order; None for one too long to be read."""
        if message is None or not self._running:
            return
        self._running[0].meter.feed(message)
        if message_type(message) in TURN_ENDS:
            turn = self._running.popleft()
            meter = turn.meter
            meter.finish("done")
            if self._turned:
                self._turned(turn.began, turn_failure(message, meter.error_code, meter.report, time()))

    def closing(self, side: Side) -> None:
        """A side says that it wants to end; the first one to say so ended it."""
        self._first = self._first or side

    def closed(self, side: Side, *, stopping: bool) -> None:
        """The connection is over, and with it the turns that were running.

        Args:
            side: whose connection was gone first, where nobody had said that it wants to end.
        """
        left = (self._first or side) == "client"
        reason: EndReason = "shutdown" if stopping else "client_gone" if left else "upstream_error"
        while self._running:
            turn = self._running.popleft()
            turn.meter.finish(reason)
            if self._turned and reason == "upstream_error":
                self._turned(turn.began, Failure(200, "upstream_broken"))

    def _meter(self, message: bytes | None) -> Meter:
        meter = self._new_meter(perf_counter())
        if message is not None:
            meter.learn(read_request(message))
        return meter
