"""Which ledger it is that a connection reads: what is remembered of one that lay there before is not true of
another that was put in its place, even where their stamps are the same."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import struct
from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, text

_HERE = -100
"""Paths are relative to the working directory (AT_FDCWD)."""

_BIRTH = 0x800
"""The part of the answer that is asked for (STATX_BTIME)."""

_ANSWER_BYTES = 256
_TIME_AT = 80
"""Where `struct statx` has the time: seconds, 8 bytes, and nanoseconds, 4 bytes."""

_statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)

_SERVER = text(
    "SELECT (SELECT system_identifier::text FROM pg_control_system()), oid::text,"
    " pg_relation_filenode(to_regclass('request_rows'))::text"
    " FROM pg_database WHERE datname = current_database()"
)

T = TypeVar("T")


def born(path: Path, found: os.stat_result) -> int | float | None:
    """When a file was made; None where the system or the file system does not say.

    Args:
        found: what `stat` says of it; on macOS and BSD it has the time.
    """
    if _statx is None:
        return getattr(found, "st_birthtime", None)
    answer = ctypes.create_string_buffer(_ANSWER_BYTES)
    if _statx(_HERE, os.fsencode(path), 0, _BIRTH, answer) != 0:
        return None
    (known,) = struct.unpack_from("I", answer)
    seconds, nanoseconds = struct.unpack_from("qI", answer, _TIME_AT)
    return int(seconds) * 1_000_000_000 + int(nanoseconds) if known & _BIRTH else None


def of_file(path: Path, found: os.stat_result) -> tuple[int, int, int | float | None]:
    """Another one where the file was replaced, even by one that got its number."""
    return (found.st_dev, found.st_ino, born(path, found))


class OpenFile(sqlite3.Connection):
    """A SQLite file, and which one it is; None: not known."""

    identity: Hashable = None


def opened(path: Path, open_file: Callable[[], OpenFile]) -> OpenFile:
    """Open a file, and see which one it is: one that is replaced meanwhile is opened again."""
    while True:
        before = _seen(path)
        connection = open_file()
        if before is not None and before == _seen(path):
            connection.identity = before
            return connection
        connection.close()


def _seen(path: Path) -> Hashable:
    try:
        return of_file(path, path.stat())
    except OSError:
        return None


class Memory(Generic[T]):
    """Something that is remembered of the ledger of each engine; it begins again with another ledger.

    Args:
        begin: makes what nothing is in yet.
    """

    def __init__(self, begin: Callable[[Engine], T]) -> None:
        self._begin = begin
        self._found: WeakKeyDictionary[Engine, tuple[Hashable, T]] = WeakKeyDictionary()
        self._lock = Lock()

    def of(self, connection: Connection) -> T:
        """What is remembered of the ledger that a connection reads."""
        identity = _identity(connection)
        with self._lock:
            known = self._found.get(connection.engine)
            if known is None or known[0] != identity:
                known = self._found[connection.engine] = (identity, self._begin(connection.engine))
            return known[1]


_identities: WeakKeyDictionary[Connection, Hashable] = WeakKeyDictionary()
"""Of servers: a connection is one caller's, for a short time."""


def _identity(connection: Connection) -> Hashable:
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return getattr(driver, "identity", None)
    known = _identities.get(connection)
    if known is None:
        known = _identities[connection] = tuple(connection.execute(_SERVER).one())
    return known
