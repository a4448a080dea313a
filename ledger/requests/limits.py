"""Questions that end: each may take so many seconds, and can be cancelled from another thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ledger.errors import TooSlow
from ledger.store import translated

SECONDS = 5.0
"""How long a question may take where nothing else is said."""

_PROGRESS_STEPS = 5_000
"""Steps of SQLite's machine between two looks at the clock: some tens of microseconds."""


_LIMIT = "limit"


class Limit:
    """How long one or more questions may take together. One object for one caller; `cancel` may be called
    from any thread, at any time."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._until = monotonic() + seconds
        self._cancelled = threading.Event()
        self._driver: Any = None

    def cancel(self) -> None:
        """End the statement under way with TooSlow, and those that follow."""
        self._cancelled.set()
        driver = self._driver
        if driver is not None and not isinstance(driver, sqlite3.Connection):
            with suppress(Exception):  # it is closed
                driver.cancel_safe()

    @property
    def over(self) -> bool:
        return self._cancelled.is_set() or monotonic() >= self._until

    @contextmanager
    def applied(self, connection: Connection) -> Iterator[None]:
        """Within the block, statements on this connection end with TooSlow when the limit is reached."""
        driver: Any = connection.connection.driver_connection
        self._driver = driver
        connection.info[_LIMIT] = self
        self._arm(connection, driver)
        try:
            if self._cancelled.is_set():
                raise self._too_slow()
            yield
        except DBAPIError as error:
            if self.over:
                raise self._too_slow() from error
            raise
        finally:
            self._driver = None
            connection.info.pop(_LIMIT, None)
            if isinstance(driver, sqlite3.Connection):
                driver.set_progress_handler(None, 0)

    def _arm(self, connection: Connection, driver: Any) -> None:
        if isinstance(driver, sqlite3.Connection):
            driver.set_progress_handler(lambda: self.over, _PROGRESS_STEPS)
        else:
            left = max(1, round((self._until - monotonic()) * 1_000))
            connection.exec_driver_sql(f"SET statement_timeout = {left}")

    def _too_slow(self) -> TooSlow:
        if self._cancelled.is_set():
            return TooSlow("the question was cancelled")
        return TooSlow(
            f"the question took longer than {self.seconds:g} s: ask for a shorter time, or fewer conditions"
        )


def stop_if_over(connection: Connection) -> None:
    """Between many short statements, none of which notices it. Raises: TooSlow."""
    limit: Limit | None = connection.info.get(_LIMIT)
    if limit is not None and limit.over:
        raise limit._too_slow()


@contextmanager
def asking(engine: Engine, limit: Limit | None = None) -> Iterator[Connection]:
    """A connection for questions about requests, on which each statement is a transaction by itself, so that
    none holds on to an old state of the store.

    Args:
        engine: of `ledger.store.reader`.
    Raises: TooSlow, StoreError.
    """
    limit = limit or Limit()
    options = {} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
    with translated(engine.url, "cannot read the ledger"), engine.connect() as plain:
        connection = plain.execution_options(**options)
        with limit.applied(connection):
            yield connection
