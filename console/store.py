"""The ledger as the console sees it: questions in threads that end in time, and changes one at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from ledger.pricing.files import current_book
from ledger.pricing.prices import PriceBook
from ledger.pricing.table import CurrentPrices
from ledger.requests.days.kept_days import Place
from ledger.requests.limits import Limit, asking
from ledger.requests.totals.remembered import keep_days
from ledger.state import check, is_there
from ledger.store import ledger_url, migrate, reader, translated, writer
from settings.model import Settings

T = TypeVar("T")

THREADS = 4
"""Questions at once: more would only wait for the same disk and the same lock of Python."""

SECONDS = 8.0
"""How long one question may take."""

PRICES_SECONDS = 2.0
"""How often it is looked whether prices have changed."""


class Ledger:
    """One for a process. Every question is read-only; every change is one transaction."""

    def __init__(self, settings: Settings, *, checked: bool = False) -> None:
        """Raises: StoreError, PriceError.

        Args:
            checked: before each question it is looked whether this version can read the ledger; and the file
                beside it that keeps sums is only read.
        """
        self._checked = checked
        storage = settings.storage
        self.url = ledger_url(storage.database_url, storage.database_path)
        self._reader = reader(self.url)
        keep_days(self._reader, lambda: self._day_file(storage.database_path, writes=not checked))
        self._prices = CurrentPrices(current_book(settings.pricing.models))
        self._prices_at = float("-inf")
        self._threads = ThreadPoolExecutor(THREADS, "ledger")
        self._migrated = False

    @property
    def book(self) -> PriceBook:
        return self._prices.book

    @property
    def exists(self) -> bool:
        """Whether there is a ledger at all; of a server only a question can say."""
        return is_there(self.url)

    async def ask(self, question: Callable[[Connection, PriceBook], T], *, seconds: float = SECONDS) -> T:
        """The answer to a question; when nobody waits for it any more, it is given up.

        Raises: TooSlow, StoreError and what the question raises.
        """
        limit: list[Limit] = []
        given_up = False

        def answer() -> T:
            if given_up:
                raise asyncio.CancelledError
            limit.append(Limit(seconds))
            with asking(self._reader, limit[0]) as connection:
                if self._checked:
                    check(connection, self.url)
                self._follow_prices(connection)
                return question(connection, self._prices.book)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, answer)
        except asyncio.CancelledError:
            given_up = True
            for one in limit:
                one.cancel()
            raise

    async def change(self, work: Callable[[Connection], T]) -> T:
        """Do one change in a transaction of its own; a ledger that is not there is made.

        Raises: StoreError and what the work raises; then nothing has changed.
        """

        def done() -> T:
            engine = writer(self.url)
            try:
                if not self._migrated:
                    migrate(engine)
                    self._migrated = True
                with translated(self.url, "cannot change the ledger"), engine.begin() as connection:
                    return work(connection)
            finally:
                engine.dispose()

        # A change that has begun is finished, whether or not the one who asked for it still waits.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, done))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._reader.dispose()

    def _follow_prices(self, connection: Connection) -> None:
        now = time.monotonic()
        if now - self._prices_at >= PRICES_SECONDS:
            self._prices_at = now
            self._prices.follow(connection)

    def _day_file(self, beside: Path, *, writes: bool) -> Place | None:
        from ledger.reader.day_file import file_of  # takes a tenth of a second: a status line does without

        return file_of(self.url, writes, beside=beside, engine=self._reader)
