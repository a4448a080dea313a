"""The turns of a WebSocket connection: each is metered as a request, and the router hears how it went.

The provider answers turns in their order. Those that bring a `stream_id` are answered side by side: in
their order within each stream, and every event of an answer has the stream's id.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, time
from typing import Any, NamedTuple

import msgspec

from ledger.values import EndReason
from proxy.errors import Refused
from proxy.metering.asked import read_request
from proxy.metering.meter import Meter
from proxy.metering.taps import MessageTap
from proxy.metering.usage import UNREADABLE
from proxy.routing.failure import Failure, Verdict
from proxy.websocket.error_event import turn_failure
from proxy.websocket.tunnel import Side

TURN_BEGINS = "response.create"
TURN_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})

ASIDE = ("codex.", "responsesapi.")
"""How the types of events begin that tell of quota, models and timing. They may come at any time, and are
no part of an answer."""

Turned = Callable[[float, Failure | None], Verdict | None]
"""Takes when a turn began, in epoch seconds, and how it failed, None where it went well; tells what that
says of its account."""


class Lost(NamedTuple):
    """A turn that failed by its account before anything of an answer had come. `began`: epoch seconds."""

    began: float
    failure: Failure
    verdict: Verdict


@dataclass(slots=True, eq=False)
class Turn:
    """One that runs.

    Attributes:
        began: epoch seconds.
        stream: the `stream_id` that it was asked for with.
        begun: something of its answer has come.
        asked_as: the id of the message that asked for it.
    """

    meter: Meter
    began: float
    stream: str | None
    begun: bool = False
    asked_as: str | None = None


class _Head(msgspec.Struct):
    type: Any = None
    stream_id: Any = None


_heads = msgspec.json.Decoder(_Head)
_NOTHING = _Head()
_NAMED = re.compile(rb'"response\.create"|\\u00[2-7]', re.IGNORECASE)


def begins(message: bytes | None) -> bool:
    """Whether a client's message asks for a turn. One that cannot be read, or says twice what it is, may be
    one to the provider, and is taken for it; so is None, one too long to be read."""
    if message is None:
        return True
    kind = _head(message)[0]
    return kind is None or kind == TURN_BEGINS or _NAMED.search(message) is not None


class Turns:
    """The turns of one connection.

    Args:
        new_meter: makes the meter of a turn, given the moment (`perf_counter`) of its beginning and the
            message that asks for it.
        turned: hears of each turn that is over, where somebody chose the account that took it.
    """

    def __init__(
        self, new_meter: Callable[[float, bytes | None], Meter], turned: Turned | None = None
    ) -> None:
        self._new_meter = new_meter
        self._turned = turned
        self._running: deque[Turn] = deque()  # a client may ask again before it was answered
        self._first: Side | None = None

    @property
    def running(self) -> bool:
        """Whether a turn is not over yet."""
        return bool(self._running)

    @property
    def waiting(self) -> bool:
        """Whether a turn runs of whose answer nothing has come yet."""
        return False in [turn.begun for turn in self._running]

    def asked(self, message: bytes | None) -> None:
        """A message of the client; None for one too long to be read."""
        if begins(message):
            stream = _head(message)[1]
            meter = self._meter(message)
            meter.listen(200, MessageTap("responses"))
            self._running.append(Turn(meter, time(), stream))

    def refused(self, message: bytes | None, error: Refused) -> None:
        """A turn that was asked for and not passed on."""
        self._meter(message).refused(error)

    def answered(self, message: bytes | None) -> None:
        """A message of the provider, which the client gets in any case; as with `heard`."""
        self.heard(message)

    def heard(self, message: bytes | None) -> Lost | None:
        """A message of the provider; None for one too long to be read.

        Returns: the turn that it ends, where the client can do without the message: it asks for that turn
            again, and no other turn waits behind it, whose answer would be taken for this one's.
        """
        kind, stream = _head(message)
        turn = self._answering(stream)
        if turn is None:
            return None
        if message is None:
            for one in self._running:  # it may be any of them that it belongs to
                one.begun = True
            return None
        turn.meter.feed(message)
        if kind not in TURN_ENDS:
            turn.begun |= kind is None or not kind.startswith(ASIDE)
            return None
        self._running.remove(turn)
        lost = self._over(turn, message)
        return None if turn.begun or self._behind(turn, stream) else lost

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

    def _answering(self, stream: str | None) -> Turn | None:
        """The turn that a message belongs to; one of no known stream belongs to the oldest."""
        for turn in self._running:
            if turn.stream == stream:
                return turn
        return self._running[0] if self._running else None

    def _behind(self, turn: Turn, stream: str | None) -> bool:
        """Whether the answer to another turn may look like that to one which is over.

        Args:
            stream: the id that its last message had.
        """
        return any(stream != turn.stream or other.stream == stream for other in self._running)

    def _over(self, turn: Turn, message: bytes) -> Lost | None:
        """A message ends a turn; what its failure says of its account, if it does."""
        meter = turn.meter
        meter.finish("done")
        if self._turned is None:
            return None
        failure = turn_failure(message, meter.error_code, meter.report, time())
        verdict = self._turned(turn.began, failure)
        return Lost(turn.began, failure, verdict) if failure and verdict else None

    def _meter(self, message: bytes | None) -> Meter:
        meter = self._new_meter(perf_counter(), message)
        if message is not None:
            meter.learn(read_request(message))
        return meter


def _head(message: bytes | None) -> tuple[str | None, str | None]:
    """The type and the stream of a message; None for what it has not."""
    try:
        head = _NOTHING if message is None else _heads.decode(message)
    except UNREADABLE:
        head = _NOTHING
    return _text(head.type), _text(head.stream_id)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
