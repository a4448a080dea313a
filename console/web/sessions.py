"""Who is logged in, the tokens against forged actions, and how often one may try. In memory: a restart ends
every login."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

Role = Literal["view", "operate", "key"]
"""May look; may act as well; holds a proxy key and sees what that used."""

MAX_SESSIONS = 10_000
MAX_PEERS = 10_000

ATTEMPTS = 5
"""Failed attempts from one address within WINDOW_SECONDS."""

ATTEMPTS_OF_ALL = 50
WINDOW_SECONDS = 300.0

SLOW_SECONDS = 2.0
"""Between attempts from this machine, once so many have failed: all who work on it have one address, and to
lock that would lock out everybody."""

MAX_SLOW = 8
"""Attempts from this machine that wait for their turn."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `name` stands in the history of accounts; of a key holder it is the key's name."""

    name: str
    role: Role

    @property
    def may_look(self) -> bool:
        return self.role != "key"

    @property
    def may_act(self) -> bool:
        return self.role == "operate"


class Sessions:
    """Logins by the digest of a cookie that only its browser has."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds = seconds
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[Visitor, float]] = OrderedDict()

    def begin(self, visitor: Visitor) -> str:
        """A new cookie for somebody who has logged in; never one that the browser brought."""
        cookie = secrets.token_urlsafe(32)
        while len(self._known) >= MAX_SESSIONS:
            self._known.popitem(last=False)
        self._known[_digest(cookie)] = (visitor, self._clock() + self.seconds)
        return cookie

    def unknown(self) -> str:
        """A cookie for somebody who has not: it is remembered by the browser alone."""
        return secrets.token_urlsafe(32)

    def of(self, cookie: str) -> Visitor | None:
        """Whose cookie it is; None of nobody's."""
        found = self._known.get(_digest(cookie))
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._known[_digest(cookie)]
            return None
        return found[0]

    def end(self, cookie: str) -> None:
        self._known.pop(_digest(cookie), None)

    def token(self, cookie: str) -> str:
        """What an action of this cookie's browser has to bring: another site cannot read it."""
        return hmac.new(self._secret, cookie.encode(errors="replace"), hashlib.sha256).hexdigest()

    def is_token(self, cookie: str, given: str) -> bool:
        return hmac.compare_digest(self.token(cookie).encode(), given.encode(errors="replace"))


class Attempts:
    """Failed logins: so many from one address, so many from all, then one has to wait. From this machine each
    may still try, but one after the other and slowly."""

    def __init__(
        self, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._of: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=ATTEMPTS_OF_ALL)
        self._slow = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, peer: str, *, local: bool) -> AsyncIterator[int]:
        """One attempt. Gives the seconds until this address may try again; 0: now.

        Args:
            local: it comes from this machine.
        """
        if not local:
            yield self._wait(peer)
        elif self._waiting >= MAX_SLOW:
            yield int(MAX_SLOW * SLOW_SECONDS)
        else:
            self._waiting += 1
            try:
                async with self._slow:
                    if self._wait(peer):
                        await self._sleep(SLOW_SECONDS)
                    yield 0
            finally:
                self._waiting -= 1

    def failed(self, peer: str, *, local: bool) -> None:
        now = self._clock()
        self._of.setdefault(peer, deque(maxlen=ATTEMPTS)).append(now)
        self._of.move_to_end(peer)
        if len(self._of) > MAX_PEERS:
            self._of.popitem(last=False)
        if not local:
            self._all.append(now)

    def _wait(self, peer: str) -> int:
        now, mine = self._clock(), self._of.get(peer, deque())
        limits = ((mine, ATTEMPTS), (self._all, ATTEMPTS_OF_ALL))
        ends = [times[-most] + WINDOW_SECONDS for times, most in limits if len(times) >= most]
        return max((int(end - now) + 1 for end in ends if end > now), default=0)


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode(errors="replace")).digest()
