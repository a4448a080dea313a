"""Reading a store that belongs to somebody else, and leaving no trace.

SQLite's `mode=ro` alone is not enough: on a WAL file that nobody has open it makes a `-wal` and a `-shm`.
So a file is opened by what lies beside it:

    rollback journal            mode=ro
    WAL, -wal and -shm there    mode=ro with a read-only -shm: its owner is at work, or was killed
    WAL, neither there          immutable: nobody writes, the file is complete by itself

What is read from an immutable file is thrown away when the file has changed meanwhile.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from ledger.errors import StoreChanged, StoreError
from ledger.store import reader, translated

BUSY_SECONDS = 1.0
_IMMUTABLE = "mode=ro&immutable=1"
_WAL = b"\x02\x02"
"""Bytes 18 and 19 of a SQLite file in WAL mode."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A file as it lies there: equal looks mean that nothing was written in between."""

    identity: tuple[int, int]
    size: int
    modified_ns: int
    wal_bytes: int | None
    shm: bool


@dataclass(frozen=True, slots=True)
class _Opened:
    """How a connection was opened, and what the file was then."""

    look: _Look
    options: str


class Reader:
    """Opens a store for short reads; never writes, locks nobody out, creates no file."""

    def __init__(self, url: URL, *, busy_timeout_seconds: float = BUSY_SECONDS) -> None:
        self.url = url
        self._timeout = busy_timeout_seconds
        self._opened = threading.local()  # how this thread's connection was opened
        self._file = Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else None
        self._engine = (
            create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
            if self._file
            else reader(url, busy_timeout_seconds=busy_timeout_seconds).execution_options(
                isolation_level="AUTOCOMMIT"
            )
        )

    def identity(self) -> Hashable:
        """Which store this is: another value means that the file was replaced.

        Raises: StoreError where there is none.
        """
        return self._look().identity if self._file else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on which every statement is a transaction by itself.

        Raises: StoreError for what the database raises, in here and in the caller's block; StoreChanged
            where the file was replaced or written to in a way that may have spoilt what was read.
        """
        with translated(self.url, "cannot read the ledger"), self._engine.connect() as connection:
            opened: _Opened | None = self._opened.how if self._file else None
            yield connection
        if opened is not None and _spoilt(opened, self._look()):
            raise StoreChanged(f"{self.url.database} has changed while it was read")

    def close(self) -> None:
        """Let go of the connections to a server."""
        self._engine.dispose()

    def _connect(self) -> sqlite3.Connection:
        look = self._look()
        options = _options(look, self._in_wal_mode())
        self._opened.how = _Opened(look, options)
        location = f"file:{quote(str(self._file))}?{options}"
        connection = sqlite3.connect(
            location, uri=True, timeout=self._timeout, check_same_thread=False, isolation_level=None
        )
        connection.execute("PRAGMA query_only=ON")
        return connection

    def _look(self) -> _Look:
        assert self._file is not None
        wal, shm = (self._file.with_name(self._file.name + suffix) for suffix in ("-wal", "-shm"))
        try:
            found = self._file.stat()
            wal_bytes = wal.stat().st_size if wal.exists() else None
        except OSError as error:
            raise StoreError(f"cannot read the ledger {self.url.database}: {_reason(error)}") from error
        identity = (found.st_dev, found.st_ino)
        return _Look(identity, found.st_size, found.st_mtime_ns, wal_bytes, shm.exists())

    def _in_wal_mode(self) -> bool:
        assert self._file is not None
        try:
            with self._file.open("rb") as file:
                return file.read(20)[18:] == _WAL
        except OSError as error:
            raise StoreError(f"cannot read the ledger {self.url.database}: {_reason(error)}") from error


def _options(look: _Look, in_wal_mode: bool) -> str:
    if not in_wal_mode:
        return "mode=ro"
    if look.wal_bytes is not None and look.shm:
        return "mode=ro&readonly_shm=1"
    if look.wal_bytes:
        raise StoreError(
            "a -wal lies beside the store without its -shm, and reading it would create one; "
            "start the program that the store belongs to once"
        )
    return _IMMUTABLE


def _spoilt(opened: _Opened, after: _Look) -> bool:
    before = opened.look
    return before != after if opened.options == _IMMUTABLE else before.identity != after.identity


def _reason(error: OSError) -> str:
    return f"unable to open database file ({(error.strerror or str(error)).lower()})"
