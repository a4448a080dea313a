"""Reading a store that belongs to somebody else, and leaving no trace.

SQLite's `mode=ro` alone is not enough: on a WAL file that nobody has open it makes a `-wal` and a `-shm`.
So a file is opened by what lies beside it:

    rollback journal            mode=ro
    WAL, -wal and -shm there    mode=ro with a read-only -shm: its owner is at work, or was killed
    WAL, neither there          immutable: nobody writes, the file is complete by itself

A `-wal` that is there must not go before SQLite has opened it, for SQLite would then make one. So a WAL file
is held from before the look until the connection is closed (see ledger/reader/locks.py). What is read from an
immutable file is thrown away when the file has changed meanwhile.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ledger.errors import StoreChanged, StoreError
from ledger.reader.interrupting import Interrupting
from ledger.reader.locks import Holding
from ledger.reader.sqlite_file import BESIDE_ITS_OWNER, IMMUTABLE, Look, look, options, spoilt
from ledger.store import reader, translated

BUSY_SECONDS = 1.0

_NO_INDEX_YET = (
    sqlite3.SQLITE_READONLY_RECOVERY,
    sqlite3.SQLITE_READONLY_CANTLOCK,
    sqlite3.SQLITE_READONLY_CANTINIT,
)
_LENIENT = partial(str, encoding="utf-8", errors="replace")

_TABLES_THEMSELVES = text(
    "SELECT (SELECT oid::text FROM pg_database WHERE datname = current_database()),"
    " pg_relation_filenode(to_regclass('accounts'))::text,"
    " pg_relation_filenode(to_regclass('usage_history'))::text,"
    " pg_relation_filenode(coalesce(to_regclass('request_rows'), to_regclass('request_logs')))::text"
)
"""Numbers that change when a database or a table is recreated, emptied or restored."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """How a connection was opened, and what the file was then."""

    look: Look
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

    def __init__(
        self, url: URL, *, name: str = "the ledger", busy_timeout_seconds: float = BUSY_SECONDS
    ) -> None:
        """
        Args:
            name: what errors call the store.
        """
        self.url, self.name = url, name
        self._doing, self._timeout = f"cannot read {name}", busy_timeout_seconds
        self._opened = threading.local()  # how this thread's connection was opened
        self._file = Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else None
        self._decode: type[str] | partial[str] = str
        self._engine = (
            create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
            if self._file
            else reader(url, busy_timeout_seconds=busy_timeout_seconds).execution_options(
                isolation_level="AUTOCOMMIT"
            )
        )
        self._interrupting = Interrupting(self._engine)

    def identity(self) -> Hashable:
        """Which store this is: another value means that it was replaced, or that a server's tables were.

        Raises: StoreError where there is none.
        """
        if self._file:
            return self._look(self._place()).identity
        with self.reading() as connection:
            return tuple(connection.execute(_TABLES_THEMSELVES).one())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on which every statement is a transaction by itself.

        Raises: StoreError for what the database raises, in here and in the caller's block; StoreChanged
            where the file was replaced or written to in a way that may have spoilt what was read.
        """
        self._interrupting.check()
        try:
            with translated(self.url, self._doing), self._engine.connect() as connection:
                opened: _Opened | None = self._opened.how if self._file else None
                yield connection
        except StoreError as error:
            explained = self._explained(error)
            if explained is error:
                raise
            raise explained from error
        if opened is not None and spoilt(opened.options, opened.look, self._look(self._place())):
            raise StoreChanged(f"{self.url.database} has changed while it was read")

    @property
    def progressed(self) -> float:
        """When a statement last ended, by `time.monotonic`."""
        return self._interrupting.progressed

    def interrupt(self) -> None:
        """End the reading under way with a StoreError, and refuse others until `resume`; from any thread."""
        self._interrupting.interrupt()

    def resume(self) -> None:
        """Read again after `interrupt`."""
        self._interrupting.resume()

    def close(self) -> None:
        """Let go of the connections to a server."""
        self._engine.dispose()

    def _explained(self, error: StoreError) -> StoreError:
        """The error as one says it to a person; StoreChanged where reading again will help."""
        cause = _cause(error)
        if _starting(cause):
            return StoreChanged(f"the owner of {self.url.database} has just started")
        if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_ROLLBACK:
            return StoreError(
                f"{self._doing} {self.url.database}: its owner was ended in the middle of a transaction; "
                "start it once, and it will put that right"
            )
        if "Could not decode to UTF-8" in str(cause) and self._decode is str:
            self._decode = _LENIENT  # costs a second in the first reading of a week of a large store
            return StoreChanged(f"a text in {self.url.database} is not UTF-8")
        return error

    def _connect(self) -> sqlite3.Connection:
        place = self._place()
        self._look(place)
        holding = self._held(place)
        try:
            return self._connected(holding, place)
        except BaseException:
            holding.release()
            raise

    def _place(self) -> Path:
        """The file itself: SQLite follows a link, and the -wal lies beside its end."""
        assert self._file is not None
        return self._file.resolve()

    def _held(self, place: Path) -> Holding:
        try:
            return Holding(place, self._timeout)
        except OSError as error:
            raise self._cannot_open(error) from error

    def _connected(self, holding: Holding, place: Path) -> sqlite3.Connection:
        look, options = self._settled(holding, place)
        self._opened.how = _Opened(look, options)
        connection = sqlite3.connect(
            f"file:{quote(str(place))}?{options}",
            uri=True,
            timeout=self._timeout,
            check_same_thread=False,
            isolation_level=None,
            factory=_Connection,
        )
        connection.holding = holding
        connection.text_factory = self._decode
        connection.execute("PRAGMA query_only=ON")
        if options == BESIDE_ITS_OWNER:
            _wait_for_its_index(connection, monotonic() + self._timeout)
        return connection

    def _settled(self, holding: Holding, place: Path) -> tuple[Look, str]:
        """How the file lies there and is opened. One whose owner is at work has a -wal, or is about to:
        where none comes, the owner knows the file by another name, and has it there."""
        deadline = monotonic() + self._timeout
        while True:
            look = self._look(place)
            how = options(look, holding.in_wal_mode)
            if how != IMMUTABLE or not holding.is_open_elsewhere():
                return look, how
            if monotonic() >= deadline:
                raise StoreError(
                    f"{self._doing} {self.url.database}: another program has it open, and its -wal is not "
                    "beside it; mount the folder and not the file, and name the file as its owner does"
                )
            sleep(0.005)

    def _look(self, place: Path) -> Look:
        try:
            return look(place)
        except OSError as error:
            raise self._cannot_open(error) from error

    def _cannot_open(self, error: OSError) -> StoreError:
        reason = (error.strerror or str(error)).lower()
        return StoreError(f"{self._doing} {self.url.database}: unable to open database file ({reason})")


def passes_by_itself(error: StoreError) -> bool:
    """Whether an error says nothing of what is stored: a lock, a server that is away, a reading that was
    ended. What is damaged stays so."""
    cause = _cause(error)
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT)
    return cause is None or _is_operational(cause)


def _is_operational(cause: BaseException) -> bool:
    """Whether it is one of the errors that a server's driver has for what is not the store's fault."""
    return not isinstance(cause, sqlite3.Error) and any(
        kind.__name__ == "OperationalError" for kind in type(cause).__mro__
    )


def _cause(error: BaseException) -> BaseException | None:
    """What the driver raised; None where it raised nothing."""
    while error.__cause__ is not None and not isinstance(error, DBAPIError):
        error = error.__cause__
    return error.orig if isinstance(error, DBAPIError) else None


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
