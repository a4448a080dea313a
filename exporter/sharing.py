"""One blocking call at a time, shared by all who ask meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

Afterwards = Callable[[Callable[[], bool]], object]
"""Blocking work for the time between two calls; it gets a function that says whether to make an end."""

LOOK_SECONDS = 0.2
"""How often it is looked whether a call gets on."""


@dataclass(frozen=True, slots=True)
class Watch(Generic[T]):
    """When a call counts as hanging, and what is answered then.

    A call may take long, as long as it gets on: the first reading of a large store does.

    Attributes:
        progressed: when the call last got on, by `time.monotonic`.
        instead: ends the call, which has hung for so many seconds; what is answered in its place.
        seconds: how long it may hang.
    """

    progressed: Callable[[], float]
    instead: Callable[[float], T]
    seconds: float = 8.0


class Shared(Generic[T]):
    """Runs a blocking call in a thread. Who asks while it runs waits for the same answer, so scrapes
    that come faster than the ledger answers never pile up. The work for afterwards runs in a thread too,
    when the answer has been given, and never at the same time as the call."""

    def __init__(
        self, call: Callable[[], T], afterwards: Afterwards | None = None, watch: Watch[T] | None = None
    ) -> None:
        self._call, self._afterwards, self._watch = call, afterwards, watch
        self._running: asyncio.Task[T] | None = None
        self._given_up: asyncio.Task[T] | None = None
        self._late: T  # what is answered in the place of the call that was given up
        self._began = 0.0
        self._between: asyncio.Task[object] | None = None
        self._asked = threading.Event()

    async def result(self) -> T:
        """The answer of the call under way, else of a new one. Raises what the call raises.

        A call that hangs is given up: what it may yet answer reaches nobody, and there is no new one until
        it has ended.
        """
        if self._given_up is not None and not await self._ends(self._given_up):
            return self._instead(self._given_up)
        mine = self._under_way()
        if await self._ends(mine) and mine is not self._given_up:
            return mine.result()
        return self._instead(mine)

    async def end(self) -> None:
        """Let the work for afterwards make an end, and wait for it."""
        if self._between is not None:
            self._asked.set()
            await asyncio.wait({self._between})
            self._asked.clear()

    def _under_way(self) -> asyncio.Task[T]:
        if self._running is None or self._running.done():
            self._began = time.monotonic()
            self._running = asyncio.create_task(self._run())
        return self._running

    async def _run(self) -> T:
        await self.end()
        answer = await asyncio.to_thread(self._call)
        if self._afterwards is not None:
            work = asyncio.to_thread(self._afterwards, self._asked.is_set)
            self._between = asyncio.create_task(work)
        return answer

    async def _ends(self, task: asyncio.Task[T]) -> bool:
        """Wait for a call; whether it has ended, and does not hang."""
        while not task.done():
            if self._hangs():
                return False
            await asyncio.wait({task}, timeout=LOOK_SECONDS)  # who gives up must not cancel the others' call
        return True

    def _hangs(self) -> bool:
        if self._watch is None:
            return False
        last = max(self._began, self._watch.progressed())
        return time.monotonic() - last > self._watch.seconds

    def _instead(self, hanging: asyncio.Task[T]) -> T:
        """Give a call up; everybody who has waited for it gets one answer in its place."""
        assert self._watch is not None
        if hanging is not self._given_up:
            self._given_up, self._late = hanging, self._watch.instead(self._watch.seconds)
        return self._late
