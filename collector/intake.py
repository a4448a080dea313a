"""From a gateway's bytes to the inbox: one gateway's receipts in their order, and how they hang together."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from collector.decoding.fields import moment, number, parsed
from collector.errors import InboxError
from collector.gaps import MARGIN_SECONDS, Gap, Reason, Thread
from collector.inbox import Channel, Inbox, Receipt, Transport
from collector.state import load_thread, save_gap, save_thread
from collector.status import Status

log = logging.getLogger("quotascope.collector")

RETRY_SECONDS = 1.0

Step = tuple[Thread, Gap | None]
"""The thread as it is then, and a gap to store with it."""


class Intake:
    """One gateway's way into the inbox. Everything it is given is on the disk when a call returns.

    While the inbox cannot be written it waits and tries again: what was received is in memory until then.

    Args:
        arrived: called after each commit.
    """

    def __init__(
        self,
        gateway: str,
        inbox: Inbox,
        status: Status,
        arrived: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.gateway = gateway
        self._arrived = arrived
        self.clock = clock
        self.status = status
        self._inbox = inbox
        self._thread = self._before = load_thread(inbox, gateway)
        self._writing = asyncio.Lock()
        self._hurry = False
        self._settled = False

    @property
    def thread(self) -> Thread:
        """How the gateway's events hang together."""
        return self._thread

    def hurry(self) -> None:
        """The process ends: an inbox that cannot be written is given up after one more try."""
        self._hurry = True

    async def keep(
        self,
        transport: Transport,
        raws: Sequence[bytes],
        *,
        channel: Channel = "usage",
        sound: float | None = None,
    ) -> None:
        """Commit what was received.

        Args:
            sound: everything that was handed out before that moment is among it, or was before.
        Raises: InboxError where it is given up.
        """
        now = self.clock()
        receipts = [Receipt(self.gateway, channel, transport, now, raw) for raw in raws]
        ended = ended_at(raws[-1]) if raws and channel == "usage" else None

        def step(thread: Thread) -> Step:
            if channel == "usage" and self._settled:
                if ended is not None:
                    thread = thread.sound(min(ended, now) - MARGIN_SECONDS)
                if sound is not None:
                    thread = thread.sound(sound)
            return thread, None

        await self._commit(step, receipts)
        if channel == "usage" and raws:
            self.status.received += len(raws)
            self.status.last_event_at = now

    async def begin(self, *, restarted: bool, retention: float) -> None:
        """Collecting begins; before anything is taken."""
        self._settled, self._before = False, self._thread

        def step(thread: Thread) -> Step:
            begun = thread.begun(self.clock(), restarted=restarted, retention=retention)
            return begun, begun.gap

        await self._commit(step)

    async def untouched(self) -> None:
        """Nothing was handed out since `begin`, so nothing can have been lost since: it is as if that had not
        been. A gap that goes on stays."""
        before = self._before
        if self._thread.gap is None:
            await self._commit(lambda thread: (before, None))

    async def resumed(self, since: float, oldest: float | None, retention: float) -> None:
        """Events come without a break.

        Args:
            since: what was handed out before that moment is in the inbox; what came later may be under way.
            oldest: when the first event that the queue still had ended.
        """
        gap = await self._commit(lambda thread: thread.resumed(since, oldest, retention=retention))
        self._settled = True
        if gap is not None:
            seconds = gap.seconds(self.clock())
            log.warning("%s: events of %.1f s may be missing (%s)", self.gateway, seconds, gap.reason)

    async def broken(self, reason: Reason) -> None:
        """Events may have been lost since the last sound moment; a gap that goes on is theirs too."""
        self._settled = False

        def step(thread: Thread) -> Step:
            broken = thread.broken(reason, self.clock())
            return broken, broken.gap

        await self._commit(step)

    async def because(self, reason: Reason) -> None:
        """It is known now why events may have been lost."""

        def step(thread: Thread) -> Step:
            known = thread.because(reason)
            return known, known.gap

        if self._thread.gap is not None and self._thread.gap.reason != reason:
            await self._commit(step)

    async def stopped(self, at: float | None = None) -> None:
        """Collecting ended in order, and nothing was under way.

        Args:
            at: when; None: at the last sound moment.
        """
        if not self._settled or self._thread.sound_at is None:
            return
        self._settled = False
        await self._commit(lambda thread: (thread.stopped(at or thread.sound_at or 0.0), None))

    async def interrupted(self, oldest: float | None, newest: float | None, retention: float) -> None:
        """It is time to stop while the queue still holds something. It gives the oldest first, so what was
        before the newest that was taken is here.

        Args:
            oldest, newest: when the first and the last event that were taken ended.
        """

        def step(thread: Thread) -> Step:
            if oldest is None or newest is None:
                return thread, None
            resumed, gap = thread.resumed(self.clock(), oldest, retention=retention)
            return resumed.stopped(newest - MARGIN_SECONDS), gap

        await self._commit(step)

    async def lost(self, reason: Reason, began_at: float, ended_at: float) -> None:
        """Events of a time that is over may have been lost; what goes on goes on."""
        gap = Gap(self.gateway, reason, began_at, max(began_at, ended_at))
        await self._commit(lambda thread: (thread, gap), separate=True)

    async def _commit(
        self, step: Callable[[Thread], Step], receipts: Sequence[Receipt] = (), *, separate: bool = False
    ) -> Gap | None:
        async with self._writing:
            before = self._thread
            thread, gap = step(before)
            if not receipts and thread == before and gap is None:
                return None

            def also(connection: sqlite3.Connection) -> None:
                if thread != before:
                    save_thread(connection, thread)
                if gap is not None:
                    save_gap(connection, gap, separate=separate)

            await self._until_written(receipts, also)
            self._thread = thread
            if receipts:
                self._arrived()
            return gap

    async def _until_written(
        self, receipts: Sequence[Receipt], also: Callable[[sqlite3.Connection], None]
    ) -> None:
        while True:
            try:
                await asyncio.to_thread(self._inbox.append, receipts, also)
                break
            except InboxError as error:
                if self.status.inbox_problem is None:
                    log.error("%s; what is received waits in memory", error)
                self.status.inbox_problem = str(error)
                if self._hurry:
                    raise
            await asyncio.sleep(RETRY_SECONDS)
        if self.status.inbox_problem is not None:
            log.warning("the inbox can be written again")
            self.status.inbox_problem = None


def ended_at(raw: bytes) -> float | None:
    """When the request of a usage record ended, in epoch seconds; None where it does not say."""
    try:
        record = parsed(raw)
    except (ValueError, RecursionError):
        return None
    began = moment(record.get("timestamp")) if isinstance(record, dict) else None
    if began is None:
        return None
    return (began + timedelta(milliseconds=number(record, "latency_ms") or 0.0)).timestamp()
