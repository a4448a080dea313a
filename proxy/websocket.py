"""The Responses API over a WebSocket: many turns on one connection, each metered as a request.

Frames pass as raw bytes. A copy is read beside them; compression is not negotiated, because only the
two ends could read it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from time import perf_counter

from wsproto.frame_protocol import FrameDecoder, Opcode, ParseFailed

from ledger.values import EndReason
from proxy.headers import without
from proxy.meter import Meter
from proxy.taps import MOST_KEPT, MessageTap
from proxy.tunnel import Side
from proxy.usage import message_type, read_request

TURN_BEGINS = "response.create"
TURN_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """Whether a request asks for a WebSocket."""
    return headers.get("Upgrade", "").lower() == "websocket"


def upgrade_lines(lines: list[bytes]) -> list[bytes]:
    """A request's header lines as they ask the provider for a WebSocket without compression."""
    kept = without(lines, b"sec-websocket-extensions:")
    return [*kept, b"Connection: Upgrade", b"Upgrade: websocket"]


class Messages:
    """Text messages of one side, put together from raw frames; what is no WebSocket is not read."""

    def __init__(self, side: Side, hear: Callable[[bytes], None], closing: Callable[[Side], None]) -> None:
        self._frames = FrameDecoder(client=side == "upstream")  # the role of the side that reads them
        self._side: Side = side
        self._closing = closing
        self._hear = hear
        self._parts: list[bytes] = []
        self._size = 0
        self._text = False
        self._readable = True

    def feed(self, data: bytes) -> None:
        """Raw bytes as they pass."""
        if not self._readable:
            return
        try:
            self._frames.receive_bytes(data)
            while frame := self._frames.process_buffer():
                assert isinstance(frame.payload, bytes)
                self._take(frame.opcode, frame.payload, frame.frame_finished and frame.message_finished)
        except ParseFailed:
            self._readable = False

    def _take(self, opcode: Opcode, payload: bytes, finished: bool) -> None:
        if opcode.iscontrol():
            if opcode is Opcode.CLOSE:
                self._closing(self._side)
            return
        if opcode is not Opcode.CONTINUATION and not self._parts:
            self._text = opcode is Opcode.TEXT
        self._size += len(payload)
        if self._size <= MOST_KEPT:
            self._parts.append(payload)
        if finished:
            whole, small = b"".join(self._parts), self._size <= MOST_KEPT
            self._parts, self._size = [], 0
            if self._text and small:
                self._hear(whole)


class Turns:
    """The turns of one connection.

    Args:
        new_meter: makes the meter of a turn, given the moment (`perf_counter`) of its beginning.
    """

    def __init__(self, new_meter: Callable[[float], Meter]) -> None:
        self._new_meter = new_meter
        self._running: deque[Meter] = deque()  # a client may ask again before it was answered
        self._first: Side | None = None

    def asked(self, message: bytes) -> None:
        """A message of the client."""
        if message_type(message) != TURN_BEGINS:
            return
        meter = self._new_meter(perf_counter())
        meter.learn(read_request(message))
        meter.listen(200, MessageTap("responses"))
        self._running.append(meter)

    def answered(self, message: bytes) -> None:
        """A message of the provider; it answers turns in their order."""
        if self._running:
            self._running[0].feed(message)
            if message_type(message) in TURN_ENDS:
                self._running.popleft().finish("done")

    def closing(self, side: Side) -> None:
        """A side says that it wants to end; the first one to say so ended it."""
        self._first = self._first or side

    def closed(self, side: Side, *, stopping: bool) -> None:
        """The connection is over, and with it the turns that were running.

        Args:
            side: whose connection was gone first, where nobody had said that it wants to end.
        """
        reason: EndReason = "client_gone" if (self._first or side) == "client" else "upstream_error"
        while self._running:
            self._running.popleft().finish("shutdown" if stopping else reason)
