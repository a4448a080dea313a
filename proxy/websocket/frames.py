"""WebSocket frames (RFC 6455), read beside the bytes that carry them. Pure: bytes in, pieces of frames out.

Libraries hand out messages; here it matters which bytes each frame is made of. And since every byte of every
stream comes by, reading must cost little.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proxy.errors import BrokenFrames
from proxy.websocket.tunnel import Side

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""The kinds of frames. From CLOSE on they are control frames, which may come between those of a message."""

PROTOCOL_ERROR = 1002
TRY_AGAIN_LATER = 1013
"""Codes with which a connection is closed."""

_KINDS = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_FIN, _RESERVED, _KIND = 0x80, 0x70, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_MAX_CONTROL = 125


class Piece(NamedTuple):
    """As much of a frame as has come.

    Attributes:
        kind: of the frame.
        payload: unmasked.
        end: how many of the bytes that were read last belong to it or come before it.
        begins, ends: it is the first, the last of its frame.
        last: no other frame of the message follows.
    """

    kind: int
    payload: bytes
    end: int
    begins: bool
    ends: bool
    last: bool


class Frames:
    """Reads what one side sends."""

    def __init__(self, sender: Side) -> None:
        self._masked = sender == "client"
        self._rest = b""  # of a head that is not complete
        self._kind, self._last = CONTINUATION, True
        self._left = 0  # bytes of the frame's payload that are still to come
        self._mask = b""
        self._in_message = False

    @property
    def idle(self) -> bool:
        """Whether all that was read ended with a frame."""
        return not self._left and not self._rest

    def read(self, data: bytes) -> Iterator[Piece]:
        """The pieces of frames in further bytes. Those at the end by which no frame can be told yet belong
        to the next piece.

        Raises: BrokenFrames.
        """
        rest, at = self._rest + data, 0
        before = len(self._rest)
        while at < len(rest):
            begins = not self._left
            if begins:
                size = self._open(rest, at)
                if not size:
                    break
                at += size
            payload = rest[at : at + self._left]
            at += len(payload)
            self._left -= len(payload)
            if self._masked:
                payload = self._unmasked(payload)
            yield Piece(self._kind, payload, at - before, begins, not self._left, self._last)
        self._rest = rest[at:]

    def _open(self, data: bytes, at: int) -> int:
        """Read a frame's head; its size, 0 for one that is not complete."""
        if len(data) < at + 2:
            return 0
        first, second = data[at], data[at + 1]
        length = second & _LENGTH
        more = 2 if length == 126 else 8 if length == 127 else 0
        mask_at = at + 2 + more
        end = mask_at + 4 if self._masked else mask_at
        if len(data) < end:
            return 0
        if more:
            length = int.from_bytes(data[at + 2 : mask_at], "big")
        self._check(first, length, masked=bool(second & _MASKED))
        self._kind, self._last, self._left = first & _KIND, bool(first & _FIN), length
        self._mask = data[mask_at:end]
        return end - at

    def _check(self, first: int, length: int, *, masked: bool) -> None:
        kind = first & _KIND
        if first & _RESERVED or kind not in _KINDS or masked is not self._masked or length >= 2**63:
            raise BrokenFrames("no frame begins like this")
        if kind >= CLOSE:
            if length > _MAX_CONTROL or not first & _FIN:
                raise BrokenFrames("a control frame is short and whole")
            return
        if (kind == CONTINUATION) is not self._in_message:
            raise BrokenFrames("a message begins within another, or goes on without a beginning")
        self._in_message = not first & _FIN

    def _unmasked(self, payload: bytes) -> bytes:
        size, turned = len(payload), len(payload) % 4
        key = (self._mask * (size // 4 + 1))[:size]
        self._mask = self._mask[turned:] + self._mask[:turned]
        return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def close_frame(code: int, reason: str) -> bytes:
    """The frame by which a server ends a connection; `reason` is cut to the 123 bytes that it may have."""
    text = reason.encode()[: _MAX_CONTROL - 2].decode(errors="ignore").encode()
    return bytes((_FIN | CLOSE, 2 + len(text))) + code.to_bytes(2, "big") + text
