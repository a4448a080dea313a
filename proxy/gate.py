"""What passes on a WebSocket whose turns may be refused: by its account's state, or a spent budget.

A message that begins while nothing stands against a turn passes as it comes. While something does, a text
message is held until it is complete, since only then is it known what it asks for: a turn is refused, all
else goes on. The first refusal ends the connection, in good order: turns that run come to their end, then
the client is told to try again later, and finds another account when it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.errors import BrokenFrames, Refused
from proxy.frames import CLOSE, PROTOCOL_ERROR, TEXT, TRY_AGAIN_LATER, Frames, Piece, close_frame
from proxy.terms import Terms
from proxy.turns import Turns, begins
from proxy.websocket import Messages, Text, Texts


@dataclass(slots=True)
class Held:
    """A message of the client that began while something stood against a turn; its raw bytes so far."""

    against: Refused
    parts: list[bytes] = field(default_factory=list)


class Gate:
    """Lets one connection's bytes pass, by its terms."""

    def __init__(self, turns: Turns, terms: Terms) -> None:
        self._turns = turns
        self._terms = terms
        self._frames = Frames("client")
        self._texts = Texts()
        self._upstream = Messages("upstream", turns.answered, turns.closing)
        self._begun = b""  # a frame that cannot be told yet
        self._held: Held | None = None
        self._refusal: Refused | None = None
        self._broken = False
        self._over = asyncio.Event()

    def from_client(self, data: bytes) -> bytes:
        """Bytes of the client; those that go on to the provider now."""
        passing: list[bytes] = []
        at = 0
        try:
            for piece in () if self._broken else self._frames.read(data):
                passing += self._let(piece, self._begun + data[at : piece.end])
                self._begun, at = b"", piece.end
            self._begun += data[at:]
        except BrokenFrames:  # what cannot be read may be a turn as well
            self._broken = True
        if self._due and self._upstream.between_frames:
            self._over.set()
        return b"".join(passing)

    def from_upstream(self, data: bytes) -> bytes:
        """Bytes of the provider; those that go on to the client."""
        if self.over:
            return b""
        for piece in self._upstream.pieces(data):
            if piece.ends and self._due:
                self._over.set()
                return data[: piece.end]
        return data

    @property
    def over(self) -> bool:
        """Whether the connection is to end: nothing more of the provider passes."""
        return self._over.is_set()

    async def parting(self) -> bytes:
        """Wait until the connection is to end; the last frame for the client."""
        await self._over.wait()
        if self._refusal is None:
            return close_frame(PROTOCOL_ERROR, "these are no WebSocket frames")
        return close_frame(TRY_AGAIN_LATER, f"{self._refusal.code}: {self._refusal}")

    @property
    def _due(self) -> bool:
        """Whether nothing is left to wait for before the end."""
        ending = self._broken or self._refusal is not None
        return ending and not (self._turns.running and self._upstream.readable)

    def _let(self, piece: Piece, raw: bytes) -> Sequence[bytes]:
        """What of the client's bytes passes now that a piece has come."""
        if piece.kind >= CLOSE:
            if piece.kind == CLOSE:
                self._turns.closing("client")
            return (raw,)
        if piece.kind == TEXT and piece.begins:
            against = self._refusal or self._terms.standing()
            self._held = Held(against) if against else None
        text = self._texts.take(piece)
        if self._held is not None:
            return self._hold(self._held, text, raw)
        if text:
            self._turns.asked(text.data)
        return (raw,)

    def _hold(self, held: Held, text: Text | None, raw: bytes) -> Sequence[bytes]:
        """What passes now of a message that is held: nothing, or all of it; `text` once it is complete."""
        held.parts.append(raw)
        if self._texts.too_long:
            held.parts.clear()  # it is taken for a turn, whatever it is
        if text is None:
            return ()
        self._held = None
        if not begins(text.data):
            return held.parts
        self._refusal = held.against
        self._turns.refused(text.data, held.against)
        self._terms.refused(held.against)
        return ()
