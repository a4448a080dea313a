"""What passes on a WebSocket whose turns may be refused: by its account's state, or a spent budget.

A message that begins while nothing stands against a turn passes as it comes. While something does, a text
message is held until it is complete, since only then is it known what it asks for: a turn is refused, all
else goes on. The first refusal ends the connection, in good order: turns that run come to their end, then
the client is told to try again later, and finds another account when it does.

It ends like that too, when the account fails a turn that another one would take now. The error never reaches
the client then: while a turn waits for the beginning of its answer, the provider's messages are held as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from proxy.errors import BudgetRefused, Refused
from proxy.relay.access import Key
from proxy.relay.allowance import Reservation
from proxy.relay.charge import read_ask
from proxy.relay.dispatch import Dispatch
from proxy.routing.attempts import Attempts, Reserve
from proxy.routing.candidate import Host
from proxy.websocket.frames import BINARY, CLOSE, PROTOCOL_ERROR, TEXT, TRY_AGAIN_LATER, close_frame
from proxy.websocket.handler import Text
from proxy.websocket.reader import Part, Reader
from proxy.websocket.tunnel import Ready
from proxy.websocket.turns import Lost, Turned, Turns, begins


@dataclass(frozen=True, slots=True)
class Leaving:
    """How a connection's turns come to another account when its own fails them.

    Attributes:
        against: what the connection ends with, where a turn is to be asked for again on another one; None
            where the client is told how it failed.
        settle: the connection ends with that, and another is made.
    """

    against: Callable[[Lost], Refused | None]
    settle: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one connection.

    Attributes:
        standing: what stands against a turn that begins now; None where nothing does.
        refused: hears of each turn that is refused.
        turned: hears how each turn went; None where no account was chosen for them.
        leaving: None where no other account can be.
        ready, reserve: what is done before bytes of the client pass, and for each turn, where turns are
            paid from a budget.
    """

    standing: Callable[[], Refused | None]
    refused: Callable[[Refused], None]
    turned: Turned | None = None
    leaving: Leaving | None = None
    ready: Ready | None = None
    reserve: Reserve | None = None


def terms(dispatch: Dispatch | None, host: Host, attempts: Attempts) -> Terms | None:
    """The terms of the connection that an attempt led to; None where there is neither account nor key."""
    account, key = attempts.meter.account_id if attempts.routed else None, attempts.key
    if dispatch is None or (account is None and key is None):
        return None
    standing = partial(dispatch.standing, account, host, key)
    refused = dispatch.admission.refused
    ready, reserve = _paid(dispatch, key, attempts.caller.provider)
    if account is None:
        return Terms(standing, refused, ready=ready, reserve=reserve)
    move = partial(dispatch.moves.move, account, host, attempts)
    settle = partial(dispatch.moves.settle, account, host, attempts)
    leaving = Leaving(partial(_against, standing, move), settle)
    return Terms(standing, refused, partial(dispatch.turned, account), leaving, ready, reserve)


def _paid(dispatch: Dispatch, key: Key | None, provider: str | None) -> tuple[Ready | None, Reserve | None]:
    """How the turns are paid."""
    if key is None or not key.periods:
        return None, None
    budgets = dispatch.admission.budgets

    def reserve(message: bytes | None) -> Reservation:
        return budgets.take(key, read_ask(message, len(message or b""), "responses", provider))

    return partial(budgets.ready, key), reserve


def _against(
    standing: Callable[[], Refused | None], move: Callable[[Lost], bool], lost: Lost
) -> Refused | None:
    """What keeps the account from turns now that it failed one, where others are there for it."""
    against = standing()
    if against is None or isinstance(against, BudgetRefused) or not move(lost):
        return None
    return Refused(against.status, against.code, f"{against}; another one is free, connect again")


def _not_text() -> Refused:
    text = "proxy keys with a budget can request turns only in text messages"
    return Refused(403, "not_within_a_budget", text)


MAX_HELD = 256 * 1024
"""Bytes of a provider's message that are held. Errors are short, and longer messages need not wait."""


@dataclass(slots=True)
class Held:
    """A message that may be kept from the other side; its raw bytes so far.

    Attributes:
        against: what stood against a turn when the client began it; None for a message of the provider.
    """

    against: Refused | None = None
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, raw: bytes) -> None:
        self.parts.append(raw)
        self.size += len(raw)


class Gate:
    """Lets one connection's bytes pass, by its terms."""

    def __init__(self, turns: Turns, terms: Terms) -> None:
        self._turns = turns
        self._terms = terms
        self._client, self._upstream = Reader("client"), Reader("upstream")
        self._asking: Held | None = None
        self._answer: Held | None = None
        self._refusal: Refused | None = None
        self._muted = False
        self._leaving = False
        self._over = asyncio.Event()

    def from_client(self, data: bytes) -> bytes:
        """Bytes of the client; those that go on to the provider now. What cannot be read does not: it may be
        a turn as well."""
        passing = [raw for part in self._client.read(data) for raw in self._let(part)]
        if self._due and self._upstream.between_frames:
            self._over.set()
        return b"".join(passing)

    def from_upstream(self, data: bytes) -> bytes:
        """Bytes of the provider; those that go on to the client."""
        passing: list[bytes] = []
        for part in () if self.over else self._upstream.read(data):
            passing += self._let_back(part)
            if part.piece.ends and self._due:
                self._over.set()
                break
        if not (self.over or self._upstream.readable):
            passing += (*self._released(), self._upstream.rest)
            self._upstream.rest = b""
        return b"".join(passing)

    @property
    def over(self) -> bool:
        """Whether the connection is to end: nothing more of the provider passes."""
        return self._over.is_set()

    async def parting(self) -> bytes:
        """Wait until the connection is to end; the last frame for the client."""
        await self._over.wait()
        if self._leaving and self._terms.leaving:
            await self._terms.leaving.settle()
        if self._refusal is None:
            return close_frame(PROTOCOL_ERROR, "these are no WebSocket frames")
        return close_frame(TRY_AGAIN_LATER, f"{self._refusal.code}: {self._refusal}")

    @property
    def _due(self) -> bool:
        """Whether nothing is left to wait for before the end."""
        ending = self._refusal is not None or not self._client.readable
        return ending and not (self._turns.running and self._upstream.readable)

    def _let(self, part: Part) -> Sequence[bytes]:
        """What of the client's bytes passes now that a part has come."""
        piece, text, raw = part
        if piece.kind >= CLOSE:
            if piece.kind == CLOSE:
                self._turns.closing("client")
            return (raw,)
        if piece.kind == BINARY and self._terms.reserve is not None:
            self._refusal = self._refusal or _not_text()
            self._muted = True
        if self._muted:
            return ()
        if piece.kind == TEXT and piece.begins:
            against = self._refusal or self._terms.standing()
            self._asking = Held(against) if against else None
        if self._asking is not None and self._asking.against is not None:
            return self._ask(self._asking, self._asking.against, text, raw)
        if text:
            self._turns.asked(text.data)
        return (raw,)

    def _ask(self, held: Held, against: Refused, text: Text | None, raw: bytes) -> Sequence[bytes]:
        """What passes now of a message that is held: nothing, or all of it; `text` once it is complete."""
        held.add(raw)
        if self._client.too_long:
            held.parts.clear()  # it is taken for a turn, whatever it is
        if text is None:
            return ()
        self._asking = None
        if not begins(text.data):
            return held.parts
        self._refusal = against
        self._turns.refused(text.data, against)
        self._terms.refused(against)
        return ()

    def _let_back(self, part: Part) -> Sequence[bytes]:
        """What of the provider's bytes passes now that a part has come."""
        piece, text, raw = part
        if piece.kind >= CLOSE:
            if piece.kind == CLOSE:
                self._turns.closing("upstream")
            return (raw,)
        if piece.kind == TEXT and piece.begins:
            self._answer = Held() if self._terms.leaving and self._turns.waiting else None
        lost = self._turns.heard(text.data) if text else None
        if self._answer is None:
            return (raw,)
        self._answer.add(raw)
        if text is None and self._answer.size <= MAX_HELD:
            return ()
        released = self._released()
        return () if lost is not None and self._leave(lost) else released

    def _released(self) -> Sequence[bytes]:
        """What was held of a provider's message."""
        held, self._answer = self._answer, None
        return held.parts if held else ()

    def _leave(self, lost: Lost) -> bool:
        """Whether a turn is to be asked for again, on a connection to another account."""
        against = self._terms.leaving.against(lost) if self._terms.leaving else None
        if against is None:
            return False
        self._refusal = self._refusal or against
        self._leaving = True
        return True
