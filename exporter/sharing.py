"""One blocking call at a time, shared by all who ask meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Runs a blocking call in a thread. Who asks while it runs waits for the same answer, so scrapes
    that come faster than the ledger answers never pile up."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._running: asyncio.Task[T] | None = None

    async def result(self) -> T:
        """The answer of the call under way, else of a new one. Raises what the call raises."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(asyncio.to_thread(self._call))
        return await asyncio.shield(self._running)  # one who gives up must not cancel the others' call
