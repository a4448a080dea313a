"""Reading a store that belongs to somebody else, and leaving no trace.

SQLite's `mode=ro` alone is not enough: on a WAL file that nobody has open it makes a `-wal` and a `-shm`.
So a file is opened by what lies beside it:

    rollback journal            mode=ro
    WAL, -wal and -shm there    mode=ro with a read-only -shm: its owner is at work, or was killed
    WAL, neither there          immutable: nobody writes, the file is complete by itself

A `-wal` that is there must not go before SQLite has opened it, for SQLite would then make one. So a WAL file
is held from before the look until the connection is closed (see ledger/holding.py). What is read from an
immutable file is thrown away when the file has changed meanwhile.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ledger.errors import StoreChanged, StoreError
from ledger.holding import Holding
from ledger.store import reader, translated

BUSY_SECONDS = 1.0
_BESIDE_ITS_OWNER = "mode=ro&readonly_shm=1"
_NO_INDEX_YET = (
    sqlite3.SQLITE_READONLY_RECOVERY,
    sqlite3.SQLITE_READONLY_CANTLOCK,
    sqlite3.SQLITE_READONLY_CANTINIT,
)
_IMMUTABLE = "mode=ro&immutable=1"


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


class _Connection(sqlite3.Connection):
    """Lets go of the file after SQLite has: to close a file drops all locks that the process has on it."""

    holding: Holding | None = None

    def close(self) -> None:
        super().close()
        if self.holding:
            self.holding.release()


class Reader:
    """Opens a store for short reads; never writes, locks nobody out, creates no file.

    One reading of a file at a time in a process: the locks of a second one would go with the first.
    """

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
        try:
            with translated(self.url, "cannot read the ledger"), self._engine.connect() as connection:
                opened: _Opened | None = self._opened.how if self._file else None
                yield connection
        except StoreError as error:
            if isinstance(error.__cause__, DBAPIError) and _starting(error.__cause__.orig):
                raise StoreChanged(f"the owner of {self.url.database} has just started") from error
            raise
        if opened is not None and _spoilt(opened, self._look()):
            raise StoreChanged(f"{self.url.database} has changed while it was read")

    def close(self) -> None:
        """Let go of the connections to a server."""
        self._engine.dispose()

    def _connect(self) -> sqlite3.Connection:
        holding = self._held()
        try:
            return self._connected(holding)
        except BaseException:
            holding.release()
            raise

    def _held(self) -> Holding:
        assert self._file is not None
        try:
            return Holding(self._file, self._timeout)
        except OSError as error:
            raise StoreError(f"cannot read the ledger {self.url.database}: {_reason(error)}") from error

    def _connected(self, holding: Holding) -> sqlite3.Connection:
        look = self._look()
        options = _options(look, holding.in_wal_mode)
        self._opened.how = _Opened(look, options)
        connection = sqlite3.connect(
            f"file:{quote(str(self._file))}?{options}",
            uri=True,
            timeout=self._timeout,
            check_same_thread=False,
            isolation_level=None,
            factory=_Connection,
        )
        connection.holding = holding
        connection.execute("PRAGMA query_only=ON")
        if options == _BESIDE_ITS_OWNER:
            _wait_for_its_index(connection, monotonic() + self._timeout)
        return connection

    def _look(self) -> _Look:
        assert self._file is not None
        wal, shm = (self._file.with_name(self._file.name + suffix) for suffix in ("-wal", "-shm"))
        try:
            found = self._file.stat()
            wal_bytes = _size(wal)
        except OSError as error:
            raise StoreError(f"cannot read the ledger {self.url.database}: {_reason(error)}") from error
        identity = (found.st_dev, found.st_ino)
        return _Look(identity, found.st_size, found.st_mtime_ns, wal_bytes, shm.exists())


def _options(look: _Look, in_wal_mode: bool) -> str:
    if not in_wal_mode:
        return "mode=ro"
    if look.wal_bytes is not None and look.shm:
        return _BESIDE_ITS_OWNER
    if look.wal_bytes:
        raise StoreError(
            "a -wal lies beside the store without its -shm, and reading it would create one; "
            "start the program that the store belongs to once"
        )
    return _IMMUTABLE


def _starting(error: BaseException | None) -> bool:
    """Whether an owner has just started, and is about to make the index of its -wal: SQLite takes that to
    be our part, and refuses it as writing."""
    return getattr(error, "sqlite_errorcode", None) in _NO_INDEX_YET


def _wait_for_its_index(connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            connection.execute("PRAGMA schema_version").fetchall()
            return
        except sqlite3.OperationalError as error:
            if not _starting(error) or monotonic() >= deadline:
                raise
            sleep(0.005)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _spoilt(opened: _Opened, after: _Look) -> bool:
    before = opened.look
    return before != after if opened.options == _IMMUTABLE else before.identity != after.identity


def _reason(error: OSError) -> str:
    return f"unable to open database file ({(error.strerror or str(error)).lower()})"
