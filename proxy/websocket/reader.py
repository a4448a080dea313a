"""One side of a WebSocket connection, cut into parts that can be passed on or kept: pieces of frames, each
with the raw bytes that it came in. No byte is lost, and none comes in two parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proxy.errors import BrokenFrames
from proxy.websocket.frames import Frames, Piece
from proxy.websocket.handler import Text, Texts
from proxy.websocket.tunnel import Side


class Part(NamedTuple):
    """A piece of a frame, the text message that it completes, and the bytes that both came in."""

    piece: Piece
    text: Text | None
    raw: bytes


class Reader:
    """Cuts what one side sends into its parts.

    Attributes:
        rest: bytes by which no frame can be told yet, or that are none.
        readable: False once something came that is no frame.
    """

    def __init__(self, side: Side) -> None:
        self._frames = Frames(side)
        self._texts = Texts()
        self.rest = b""
        self.readable = True

    def read(self, data: bytes) -> Iterator[Part]:
        """The parts in further bytes; it ends where they are no frames."""
        if not self.readable:
            self.rest = data
            return
        at = 0
        try:
            for piece in self._frames.read(data):
                raw, self.rest, at = self.rest + data[at : piece.end], b"", piece.end
                yield Part(piece, self._texts.take(piece), raw)
        except BrokenFrames:
            self.readable = False
        self.rest += data[at:]

    @property
    def between_frames(self) -> bool:
        """Whether no frame has begun that is not complete, as far as can be told."""
        return not self.readable or self._frames.idle

    @property
    def too_long(self) -> bool:
        """Whether the message that comes is longer than what is kept of one."""
        return self._texts.too_long
