"""How fast a request's body must arrive, and which body gives way where all slots are taken.

A slot belongs to whoever makes progress: a body that drips holds it neither for long nor against others.
"""

from __future__ import annotations

import asyncio
from asyncio import Timeout
from dataclasses import dataclass
from time import monotonic

from aiohttp.streams import StreamReader

from proxy.errors import Refused

YIELDS_AFTER = 5.0
"""Seconds that a body has kept us waiting before it may have to give way."""

YIELDS_BELOW = 10 * 1024
"""Bytes a second; nobody who sends faster has to give way."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a body may keep us waiting: `seconds`, and beside them what its bytes take at `rate` bytes a
    second; never longer than `pause` seconds at a time."""

    seconds: float = 30.0
    rate: int = 1024
    pause: float = 60.0


USUAL_PACE = Pace()


class Upload:
    """One body on its way to us. Time in which we do not read, as the provider takes no more, is not its."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._waiting: Timeout | None = None
        self._since = 0.0
        self._waited = 0.0
        self._received = 0

    async def read(self, content: StreamReader) -> bytes:
        """The next bytes; empty at the body's end. Raises: Refused, what the stream raises."""
        pace = self._uploads.pace
        left = pace.seconds + self._received / pace.rate - self._waited
        self._since = monotonic()
        self._uploads.waiting.add(self)
        try:
            async with asyncio.timeout(min(left, pace.pause)) as self._waiting:
                chunk = await content.readany()
        except TimeoutError as error:
            raise Refused(408, "request_timeout", "the request body arrives too slowly") from error
        finally:
            self._uploads.waiting.discard(self)
            self._waiting = None
            self._waited += monotonic() - self._since
        self._received += len(chunk)
        return chunk

    def rate(self, now: float) -> float | None:
        """Bytes a second by now, `monotonic()`; None where it is too early to tell."""
        waited = self._waited + now - self._since
        return self._received / waited if waited >= YIELDS_AFTER else None

    def cut(self) -> None:
        """Refuse the rest of it."""
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0)
            self._uploads.waiting.discard(self)


class Uploads:
    """The bodies that keep us waiting now."""

    def __init__(self, pace: Pace = USUAL_PACE) -> None:
        self.pace = pace
        self.waiting: set[Upload] = set()

    def make_room(self) -> bool:
        """Cut the slowest body, if one is slow; whether there was one."""
        now = monotonic()
        rates = ((rate, upload) for upload in self.waiting if (rate := upload.rate(now)) is not None)
        rate, slowest = min(rates, key=lambda pair: pair[0], default=(float(YIELDS_BELOW), None))
        if slowest is None or rate >= YIELDS_BELOW:
            return False
        slowest.cut()
        return True
