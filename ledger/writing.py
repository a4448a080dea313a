"""The ledger as a running service writes to it: one engine, and an eye on the file behind it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine

from ledger import store
from ledger.errors import StoreUnavailable

log = logging.getLogger("quotascope.ledger")

NO_FILE = (0, 0)
"""The identity of a ledger that is no file."""


def file_identity(url: URL) -> tuple[int, int] | None:
    """Device and inode of the file, None where there is none; always the same where the ledger is no file."""
    if url.get_backend_name() != "sqlite":
        return NO_FILE
    try:
        found = Path(url.database or "").stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


class OpenLedger:
    """One engine for all writers of this process.

    A SQLite file that is removed or replaced stays open in the dark: what is written there is lost. So
    its identity is looked at before every batch.

    Args:
        prepare: makes a store ready that may be new.
        late: one that is away is made ready once it can be, by `ready`.
    Raises: StoreError.
    """

    def __init__(self, url: URL, prepare: Callable[[Engine], None], *, late: bool = False) -> None:
        self.url = url
        self._prepare = prepare
        self._engine = store.writer(url)
        self._identity: tuple[int, int] | None = None
        self._opening = threading.Lock()
        try:
            self._ensure()
        except StoreUnavailable as error:
            if not late:
                raise
            log.warning("the ledger is away, and used from the moment at which it is back: %s", error)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction. Raises: StoreError."""
        self.ready()
        with store.translated(self.url, "cannot write"), self._engine.begin() as connection:
            yield connection

    def ready(self) -> tuple[int, int] | None:
        """The file that is written to, made ready where it is another one than before. Raises: StoreError."""
        with self._opening:
            self._ensure()
            return self._identity

    @property
    def engine(self) -> Engine:
        """For reading, and for writes that may fail while the file is another."""
        return self._engine

    def close(self) -> None:
        self._engine.dispose()

    def _ensure(self) -> None:
        identity = file_identity(self.url)
        if self._identity is None or identity != self._identity:
            self._engine.dispose()
            self._prepare(self._engine)
            self._identity = file_identity(self.url)
