"""One blocking call at a time, shared by all who ask meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

Afterwards = Callable[[Callable[[], bool]], object]
"""Blocking work for the time between two calls; it gets a function that says whether to make an end."""


class Shared(Generic[T]):
    """Runs a blocking call in a thread. Who asks while it runs waits for the same answer, so scrapes
    that come faster than the ledger answers never pile up. The work for afterwards runs in a thread too,
    when the answer has been given, and never at the same time as the call."""

    def __init__(self, call: Callable[[], T], afterwards: Afterwards | None = None) -> None:
        self._call, self._afterwards = call, afterwards
        self._running: asyncio.Task[T] | None = None
        self._between: asyncio.Task[object] | None = None
        self._asked = threading.Event()

    async def result(self) -> T:
        """The answer of the call under way, else of a new one. Raises what the call raises."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(self._running)  # one who gives up must not cancel the others' call

    async def end(self) -> None:
        """Let the work for afterwards make an end, and wait for it."""
        if self._between is not None:
            self._asked.set()
            await asyncio.wait({self._between})
            self._asked.clear()

    async def _run(self) -> T:
        await self.end()
        answer = await asyncio.to_thread(self._call)
        if self._afterwards is not None:
            work = asyncio.to_thread(self._afterwards, self._asked.is_set)
            self._between = asyncio.create_task(work)
        return answer
