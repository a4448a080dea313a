"""Live requests: one look at the ledger for all pages that are open, one question for each kind of page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection

from console.store import Ledger
from ledger.errors import LedgerError
from ledger.pricing.prices import PriceBook
from ledger.requests import queries
from ledger.requests.answers import RequestRow
from ledger.requests.filter import RequestFilter

log = logging.getLogger("quotascope.console")

POLL_SECONDS = 0.3
"""A request is stored within half a second of its end; it has to be on the screen within a second."""

RETRY_SECONDS = 2.0
MAX_ROWS = 50
"""Rows that are sent in one go; of more, the number of those left out is said."""


MAX_ARRIVED = 500
AGAIN = '{"again": true}'
"""Sent where so many have come that the page is better asked for again."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What has come since the last one.

    Attributes:
        text: as it is sent.
        last_id: the row that was stored last.
    """

    text: str
    last_id: int


Writer = Callable[[tuple[RequestRow, ...], int], str]
"""Makes the text of rows, newest first, and the number of those left out."""


@dataclass(eq=False, slots=True)
class _Kind:
    """Pages that show the same rows in the same way: they are asked for and written once."""

    where: RequestFilter
    write: Writer
    listeners: set[asyncio.Queue[Batch]] = field(default_factory=set)


class Feed:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kinds: dict[str, _Kind] = {}
        self._task: asyncio.Task[None] | None = None
        self._last_id: int | None = None

    async def follow(
        self, key: str, where: RequestFilter, after_id: int, write: Writer
    ) -> AsyncGenerator[Batch]:
        """Batches for one page, for as long as it listens; first what it has missed.

        Args:
            key: the same for pages that show the same in the same way.
            where: without an end.
            after_id: the row that the page has last.
        """
        queue: asyncio.Queue[Batch] = asyncio.Queue(maxsize=20)
        kind = self._kinds.setdefault(key, _Kind(where, write))
        kind.listeners.add(queue)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            if self._last_id is None:  # before anything is read, so that nothing falls between two looks
                self._last_id = await self._ledger.ask(lambda c, _book: queries.last_id(c))
            missed = await self._arrived(kind, after_id)
            if missed is not None:
                yield missed
            seen = missed.last_id if missed else after_id
            while True:
                batch = await queue.get()
                if batch.last_id > seen:
                    yield batch
        finally:
            kind.listeners.discard(queue)
            if not kind.listeners and self._kinds.get(key) is kind:
                del self._kinds[key]

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look(self) -> None:
        try:
            while self._kinds:
                try:
                    await self._look_once()
                    await asyncio.sleep(POLL_SECONDS)
                except LedgerError as error:
                    log.warning("live requests: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._task = self._last_id = None

    async def _look_once(self) -> None:
        last = await self._ledger.ask(lambda c, _book: queries.last_id(c))
        before, self._last_id = self._last_id, last
        if before is None or last == before:
            return
        for kind in list(self._kinds.values()):
            if last - before >= MAX_ARRIVED and not kind.where.conditions_by_name():
                self._give(kind, Batch(AGAIN, last))
                continue
            # After a restore the ids begin again: then what is newest is new.
            if batch := await self._arrived(kind, min(before, last)):
                self._give(kind, batch)

    @staticmethod
    def _give(kind: _Kind, batch: Batch) -> None:
        for queue in kind.listeners:
            if queue.full():
                queue.get_nowait()  # a page that does not read loses the oldest
            queue.put_nowait(batch)

    async def _arrived(self, kind: _Kind, after_id: int) -> Batch | None:
        def asked(connection: Connection, book: PriceBook) -> tuple[RequestRow, ...]:
            return queries.arrived(connection, kind.where, book, after_id=after_id, most=MAX_ARRIVED)

        rows = await self._ledger.ask(asked)
        if not rows:
            return None
        if len(rows) == MAX_ARRIVED:
            return Batch(AGAIN, rows[-1].id)
        shown = rows[-MAX_ROWS:][::-1]
        return Batch(kind.write(shown, len(rows) - len(shown)), rows[-1].id)
