"""The ledger as a running service writes to it: one engine, and an eye on the file behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine

from ledger import store


class OpenLedger:
    """One engine for all writers of this process.

    A SQLite file that is removed or replaced stays open in the dark: what is written there is lost. So
    its identity is looked at before every batch.

    Args:
        prepare: makes a store ready that may be new.
    Raises: StoreError.
    """

    def __init__(self, url: URL, prepare: Callable[[Engine], None]) -> None:
        self._url = url
        self._prepare = prepare
        self._engine = store.writer(url)
        self._identity: tuple[int, int] | None = None
        self._opening = threading.Lock()
        self._ensure()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction. Raises: StoreError."""
        with self._opening:
            self._ensure()
        with store.translated(self._url, "cannot write"), self._engine.begin() as connection:
            yield connection

    @property
    def engine(self) -> Engine:
        """For reading, and for writes that may fail while the file is another."""
        return self._engine

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _ensure(self) -> None:
        identity = self._look()
        if self._identity is None or identity != self._identity:
            self._engine.dispose()
            self._prepare(self._engine)
            self._identity = self._look()

    def _look(self) -> tuple[int, int] | None:
        """Device and inode of the file; the same for ever where the ledger is no file."""
        if self._url.get_backend_name() != "sqlite":
            return (0, 0)
        try:
            found = Path(self._url.database or "").stat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino)
