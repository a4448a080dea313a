"""How late the event loop is: while it is busy with one thing, no byte of any request moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

LOOK_SECONDS = 0.05


async def measure(observe: Callable[[float], None]) -> None:
    """Sleep again and again and tell how many seconds too long each sleep was, until cancelled. The loop's
    timers have a resolution of a millisecond."""
    while True:
        begun = monotonic()
        await asyncio.sleep(LOOK_SECONDS)
        observe(max(0.0, monotonic() - begun - LOOK_SECONDS))
