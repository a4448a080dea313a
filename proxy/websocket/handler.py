"""The Responses API over a WebSocket: many turns on one connection, each metered as a request.

Frames pass as raw bytes. A copy is read beside them; compression is not negotiated, because only the
two ends could read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from proxy.errors import BrokenFrames
from proxy.http.headers import without
from proxy.metering.taps import MAX_KEPT
from proxy.websocket.frames import CLOSE, TEXT, Frames, Piece
from proxy.websocket.tunnel import Side
from proxy.websocket.turns import Turns


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """Whether a request asks for a WebSocket."""
    return headers.get("Upgrade", "").lower() == "websocket"


def upgrade_lines(lines: list[bytes]) -> list[bytes]:
    """A request's header lines as they ask the provider for a WebSocket without compression."""
    kept = without(lines, b"sec-websocket-extensions:")
    return [*kept, b"Connection: Upgrade", b"Upgrade: websocket"]


class Text(NamedTuple):
    """A whole text message; `data` is None for one that is too long to be kept."""

    data: bytes | None


class Texts:
    """Puts the text messages of one side together."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._text = False

    @property
    def too_long(self) -> bool:
        """Whether the message that comes is longer than what is kept of one."""
        return self._size > MAX_KEPT

    def take(self, piece: Piece) -> Text | None:
        """The text message that ends with a piece, if one does. Control frames are no part of any."""
        kind, payload, _, begins, ends, last = piece
        if kind >= CLOSE:
            return None
        if begins and kind:
            self._text = kind == TEXT
            self._parts, self._size = [], 0
        if not self._text:
            return None
        self._size += len(payload)
        self._parts.append(payload)
        if self.too_long:
            self._parts.clear()
        if not (ends and last):
            return None
        parts, self._parts = self._parts, []
        return Text(None if self.too_long else b"".join(parts))


class Messages:
    """Hears what one side sends; what is no WebSocket is not read any further.

    Args:
        hear: takes each text message; None for one that is too long to be kept.
        closing: is told when the side says that it wants to end.
    """

    def __init__(
        self, side: Side, hear: Callable[[bytes | None], None], closing: Callable[[Side], None]
    ) -> None:
        self._frames = Frames(side)
        self._texts = Texts()
        self._side: Side = side
        self._hear = hear
        self._closing = closing
        self.readable = True

    def feed(self, data: bytes) -> None:
        """Raw bytes as they pass."""
        try:
            for piece in self._frames.read(data) if self.readable else ():
                if piece.kind == CLOSE:
                    self._closing(self._side)
                elif text := self._texts.take(piece):
                    self._hear(text.data)
        except BrokenFrames:
            self.readable = False


class Listening:
    """What passes on a connection whose turns nobody may refuse: every byte as it comes."""

    def __init__(self, turns: Turns) -> None:
        self._client = Messages("client", turns.asked, turns.closing)
        self._upstream = Messages("upstream", turns.answered, turns.closing)

    def from_client(self, data: bytes) -> bytes:
        """Bytes of the client; all go on to the provider."""
        self._client.feed(data)
        return data

    def from_upstream(self, data: bytes) -> bytes:
        """Bytes of the provider; all go on to the client."""
        self._upstream.feed(data)
        return data
