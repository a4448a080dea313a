"""Days as arrays in a file beside the ledger, `usage.db.sums`: a process that starts need not read again what
an earlier one has. Nothing is only there; it may be removed at any time, and a fault in it costs time alone.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from threading import Lock

import numpy as np
from sqlalchemy import URL, BigInteger, Connection, func, select, type_coerce

from ledger.reader.sqlite_file import born
from ledger.request_tables import request_durations, request_hourly, request_rows
from ledger.requests.days.arrays import Array, Day
from ledger.requests.days.kept_days import What
from ledger.requests.sums.rollups import DAY_HOURS, HOUR
from ledger.store import create_private

log = logging.getLogger("quotascope.ledger")

VERSION = 1
"""Of the form of this file; one of another version is emptied."""

MAX_BYTES = 400_000_000
"""Of all days together; the oldest ones go."""

SUFFIX = ".sums"
_TABLES = (
    "CREATE TABLE days (what TEXT, day INTEGER, stamp INTEGER, found TEXT, crc INTEGER, content BLOB,"
    " PRIMARY KEY (what, day))",
    "CREATE TABLE ledger (identity TEXT)",
)


class DayFile:
    """Of one SQLite ledger. Every method does without the file where it cannot be used.

    Args:
        writes: only the monitoring page does.
    """

    def __init__(self, ledger: Path, *, writes: bool) -> None:
        self._ledger, self._writes = ledger, writes
        self._path = ledger.with_name(ledger.name + SUFFIX)
        self._lock = Lock()
        self._said = False

    def get(self, connection: Connection, what: What, day: int, stamp: int) -> Day | None:
        """A day as it was stored, where the ledger says by its stamp that it is still the same."""
        try:
            with self._lock, closing(self._opened(write=False)) as file:
                query = "SELECT found, crc, content FROM days WHERE what = ? AND day = ? AND stamp = ?"
                row = file.execute(query, (what, day, stamp)).fetchone()
        except (sqlite3.Error, OSError):  # there is none yet, or it is being written
            return None
        is_whole = row is not None and isinstance(row[2], bytes) and zlib.crc32(row[2]) == row[1]
        return unpacked(row[2]) if is_whole and row[0] == _found(connection, what, day, stamp) else None

    def put(self, connection: Connection, what: What, day: int, stamp: int, content: Day) -> None:
        """Store a day that was read after its stamp."""
        if not self._writes:
            return
        found, data = _found(connection, what, day, stamp), packed(content)
        try:
            with self._lock, closing(self._opened(write=True)) as file, file:
                row = (what, day, stamp, found, zlib.crc32(data), data)
                file.execute("INSERT OR REPLACE INTO days VALUES (?, ?, ?, ?, ?, ?)", row)
                if self._path.stat().st_size > MAX_BYTES:
                    file.execute("DELETE FROM days WHERE day < (SELECT min(day) + 8 FROM days)")
        except (sqlite3.Error, OSError) as error:
            self._say(error)

    def _opened(self, *, write: bool) -> sqlite3.Connection:
        if not write:
            file = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=0.2)
            try:
                if _state(file) != (VERSION, self._identity()):
                    raise sqlite3.DatabaseError("it is of another ledger or version")
            except BaseException:
                file.close()
                raise
            return file
        create_private(self._path)
        file = sqlite3.connect(self._path, timeout=0.2)
        try:
            file.execute("PRAGMA synchronous = OFF")  # checksums notice what a crash of the machine leaves
            self._prepare(file)
        except sqlite3.DatabaseError as error:
            file.close()
            if not isinstance(error, sqlite3.OperationalError):  # it is no database, or a broken one
                self._path.unlink(missing_ok=True)
            raise
        return file

    def _prepare(self, file: sqlite3.Connection) -> None:
        identity = self._identity()
        if _state(file) == (VERSION, identity):
            return
        with file:
            file.execute("BEGIN IMMEDIATE")
            for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                file.execute(f'DROP TABLE "{name}"')
            for statement in _TABLES:
                file.execute(statement)
            file.execute("INSERT INTO ledger VALUES (?)", (identity,))
            file.execute(f"PRAGMA user_version = {VERSION}")

    def _identity(self) -> str:
        """Another one where the ledger's file was replaced."""
        found = self._ledger.stat()
        return json.dumps([found.st_dev, found.st_ino, born(self._ledger, found)])

    def _say(self, error: Exception) -> None:
        if not self._said:
            self._said = True
            log.warning("sums are not kept in %s: %s", self._path, error)


def file_of(url: URL, writes: bool) -> DayFile | None:
    """That of a ledger; None for one on a server."""
    if url.get_backend_name() != "sqlite" or url.query or not url.database:
        return None
    return DayFile(Path(url.database), writes=writes)


def packed(day: Day) -> bytes:
    """A day as bytes."""
    arrays = [*day.keys.values(), *(some for some in day.numbers if some is not None)]
    head = {
        "keys": [(name, some.dtype.str) for name, some in day.keys.items()],
        "numbers": [None if some is None else some.dtype.str for some in day.numbers],
        "rows": len(day),
    }
    return json.dumps(head).encode() + b"\n" + zlib.compress(b"".join(some.tobytes() for some in arrays), 1)


def unpacked(data: bytes) -> Day:
    """A day of its bytes."""
    head, _, rest = data.partition(b"\n")
    form, content, place = json.loads(head), zlib.decompress(rest), 0

    def array(kind: str) -> Array:
        nonlocal place
        found = np.frombuffer(content, kind, form["rows"], place)
        place += found.nbytes
        return found

    keys = {name: array(kind) for name, kind in form["keys"]}
    return Day(keys, tuple(None if kind is None else array(kind) for kind in form["numbers"]))


def _state(file: sqlite3.Connection) -> tuple[int, str | None]:
    (version,) = file.execute("PRAGMA user_version").fetchone()
    return version, file.execute("SELECT identity FROM ledger").fetchone()[0] if version == VERSION else None


def _found(connection: Connection, what: What, day: int, stamp: int) -> str:
    """What the ledger has of a day beside its stamp: rows may go without one, and old hours have none."""
    if what == "callers":
        at, length = type_coerce(request_rows.c.at, BigInteger), DAY_HOURS * HOUR
        return str(
            connection.execute(
                select(func.count()).where(at >= day * length, at < (day + 1) * length)
            ).scalar()
        )
    if stamp:
        return ""
    t = (request_hourly if what == "sums" else request_durations).c
    sums = [func.count(), func.sum(t.kind_id), func.sum(t.requests if what == "sums" else t.number)]
    within = (t.hour >= day * DAY_HOURS, t.hour < (day + 1) * DAY_HOURS)
    return str(tuple(connection.execute(select(*sums).where(*within)).one()))
