"""What many open pages ask for at the same time is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

MAX_KEPT = 100


class Shared:
    """Texts by what they are about, good for some seconds.

    Args:
        seconds: how old a text may be.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._made: dict[str, tuple[float, asyncio.Future[str]]] = {}

    async def get(self, key: str, make: Callable[[], Awaitable[str]]) -> str:
        """The text of a key, made now or a moment ago. Raises: what making it raises."""
        now = asyncio.get_running_loop().time()
        self._made = {
            k: one for k, one in self._made.items() if now - one[0] < self._seconds and _good(one[1])
        }
        if key not in self._made:
            if len(self._made) >= MAX_KEPT:
                return await make()
            made = asyncio.ensure_future(make())
            made.add_done_callback(_good)  # an error that nobody waits for any more is none
            self._made[key] = (now, made)
        return await asyncio.shield(self._made[key][1])


def _good(made: asyncio.Future[str]) -> bool:
    return not made.done() or (not made.cancelled() and made.exception() is None)
