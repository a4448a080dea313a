"""What was metered while the ledger is a database server: kept in a local SQLite file until it is shipped.

All proxies of a machine share the file; one of them at a time ships, whichever holds the lock.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from ledger.errors import LedgerError, StoreUnavailable
from ledger.store import create_private, prepare_to_write
from proxy.observers import messages

log = logging.getLogger("quotascope.outbox")

SHIP_EVENTS = 5_000
"""Events of one transaction, about."""

BUSY_SECONDS = 5.0
IDLE_SECONDS = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
END_SECONDS = 4.0
"""How long it goes on shipping once the proxy has ended."""

_SCHEMA = "CREATE TABLE IF NOT EXISTS batches (id INTEGER PRIMARY KEY, kind TEXT, items INTEGER, body BLOB)"

Body = Callable[[bytes], None]
"""Stores what a message holds, leaving out what is stored. Raises: LedgerError where it cannot now."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One batch."""

    id: int
    kind: str
    items: int
    body: bytes


class Outbox:
    """The file.

    Args:
        max_bytes: of the disk that it may take.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        create_private(path)
        try:
            with closing(self.connect()) as connection:
                connection.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"cannot open the outbox {path}: {error}") from error

    def connect(self) -> sqlite3.Connection:
        """A connection for one thread."""
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        prepare_to_write(connection, BUSY_SECONDS)
        return connection

    def append(self, connection: sqlite3.Connection, kind: str, items: int, body: bytes) -> None:
        """Keep a batch. Raises: StoreUnavailable where there is no room for it."""
        if self.taken() + len(body) > self._max_bytes and self._pages_used(connection) > self._max_bytes:
            raise StoreUnavailable(f"the outbox {self.path} has reached its {self._max_bytes} bytes")
        try:
            row = (kind, items, zlib.compress(body, 1))
            connection.execute("INSERT INTO batches (kind, items, body) VALUES (?, ?, ?)", row)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"cannot write the outbox {self.path}: {error}") from error

    def taken(self) -> int:
        """Bytes on the disk."""
        size = 0
        for suffix in ("", "-wal"):
            with suppress(OSError):
                size += Path(f"{self.path}{suffix}").stat().st_size
        return size

    def waiting(self, connection: sqlite3.Connection) -> int:
        """Items that are not shipped."""
        return int(connection.execute("SELECT coalesce(sum(items), 0) FROM batches").fetchone()[0])

    def oldest(self, connection: sqlite3.Connection) -> list[Stored]:
        """The batches that are next, all of one kind."""
        found: list[Stored] = []
        for row in connection.execute("SELECT id, kind, items, body FROM batches ORDER BY id LIMIT 500"):
            one = Stored(*row)
            if found and (one.kind != found[0].kind or sum(f.items for f in found) >= SHIP_EVENTS):
                break
            found.append(one)
        return found

    def remove(self, connection: sqlite3.Connection, batches: Sequence[Stored]) -> None:
        """They are shipped; the disk gets its pages back."""
        connection.executemany("DELETE FROM batches WHERE id = ?", [(one.id,) for one in batches])
        connection.execute("PRAGMA incremental_vacuum(2000)").fetchall()

    def _pages_used(self, connection: sqlite3.Connection) -> int:
        pages = [connection.execute(f"PRAGMA {of}").fetchone()[0] for of in ("page_count", "freelist_count")]
        return int(pages[0] - pages[1]) * int(connection.execute("PRAGMA page_size").fetchone()[0])


class Shipper(threading.Thread):
    """Ships what an outbox holds, oldest first, until it is told to end.

    Args:
        stores: by kind, what stores an encoded list of items.

    Attributes:
        ships: it is this process that ships, and so knows how many wait.
        waiting: items of the whole outbox.
        lost: items that no store takes.
    """

    def __init__(self, outbox: Outbox, stores: dict[str, Body]) -> None:
        super().__init__(name="shipper", daemon=True)
        self._outbox = outbox
        self._stores = stores
        self._ending = threading.Event()
        self._woken = threading.Event()
        self.ships = False
        self.waiting = 0
        self.lost = 0

    def wake(self) -> None:
        """There is something new."""
        self._woken.set()

    def end(self) -> None:
        """Ship what is left, for a moment, and end."""
        self._ending.set()
        self._woken.set()
        self.join(END_SECONDS + 1)

    def run(self) -> None:
        descriptor = os.open(f"{self._outbox.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if self._locked(descriptor):
                with closing(self._outbox.connect()) as connection:
                    self.ships = True
                    self._ship_all(connection)
        except sqlite3.Error as error:
            log.error("the outbox %s cannot be read: %s", self._outbox.path, error)
        finally:
            os.close(descriptor)

    def _locked(self, descriptor: int) -> bool:
        """Whether this process ships now; where another one does, its turn comes when that one ends."""
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:
                if self._ending.wait(1.0):
                    return False

    def _ship_all(self, connection: sqlite3.Connection) -> None:
        pause, deadline = FIRST_PAUSE, float("inf")
        while True:
            self._woken.clear()
            if self._ending.is_set():
                deadline = min(deadline, monotonic() + END_SECONDS)
            self.waiting = self._outbox.waiting(connection)
            batches = self._outbox.oldest(connection)
            if not batches and self._ending.is_set():
                return
            if not batches:
                self._woken.wait(IDLE_SECONDS)
                continue
            try:
                self._ship(batches)
            except LedgerError as error:
                if pause == FIRST_PAUSE:
                    log.error("requests wait in the outbox: %s", error)
                if self._ending.is_set() or self._ending.wait(pause):
                    return
                pause = min(LONGEST_PAUSE, 2 * pause)
                continue
            if pause > FIRST_PAUSE:
                log.warning("the ledger can be written again; %d requests wait in the outbox", self.waiting)
            pause = FIRST_PAUSE
            self._outbox.remove(connection, batches)
            if monotonic() > deadline:
                return

    def _ship(self, batches: Sequence[Stored]) -> None:
        """Store batches in one transaction. One that no store takes is taken apart."""
        store = self._stores[batches[0].kind]
        try:
            store(messages.together([zlib.decompress(one.body) for one in batches]))
        except LedgerError:
            raise
        except Exception:
            for one in batches:
                for item in messages.apart(zlib.decompress(one.body)):
                    self._ship_one(store, item)

    def _ship_one(self, store: Body, item: bytes) -> None:
        try:
            store(messages.packed([item]))
        except LedgerError:
            raise
        except Exception as error:
            self.lost += 1
            log.error("a request in the outbox was refused: %s", type(error).__name__)
