"""What was metered while the ledger is a database server: a local SQLite file that holds it until then."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import StoreUnavailable
from ledger.store import create_private, prepare_to_write

SHIP_EVENTS = 5_000
"""Events of one transaction, about."""

BUSY_SECONDS = 5.0

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS batches (id INTEGER PRIMARY KEY, kind TEXT, items INTEGER, body BLOB)",
    # what waits is counted by it: the batches themselves may be gigabytes
    "CREATE INDEX IF NOT EXISTS idx_batches_items ON batches (items)",
    "CREATE TABLE IF NOT EXISTS refused"
    " (id INTEGER PRIMARY KEY, kind TEXT, items INTEGER, body BLOB, reason TEXT)",
)


@dataclass(frozen=True, slots=True)
class Stored:
    id: int
    kind: str
    items: int
    body: bytes


@dataclass(frozen=True, slots=True)
class SetAside:
    """What the server refuses, by itself; `reason` holds nothing of its content."""

    kind: str
    items: int
    body: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Contents:
    """An outbox in numbers; `refused`: items that are set aside, by reason."""

    waiting: int
    bytes: int
    refused: dict[str, int]


class Outbox:
    """The file.

    Args:
        max_bytes: of the disk that it may take.
    Raises: StoreUnavailable.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        create_private(path)
        with self._named("open"), closing(self.connect()) as connection:
            for statement in _SCHEMA:
                connection.execute(statement)

    def connect(self) -> sqlite3.Connection:
        """A connection for one thread."""
        return connected(self.path)

    def append(self, connection: sqlite3.Connection, kind: str, items: int, body: bytes) -> None:
        """Keep a batch. Raises: StoreUnavailable where there is no room for it."""
        if self.taken() + len(body) > self._max_bytes and self._pages_used(connection) > self._max_bytes:
            raise StoreUnavailable(f"the outbox {self.path} has reached its {self._max_bytes} bytes")
        row = (kind, items, zlib.compress(body, 1))
        with self._named("write"):
            connection.execute("INSERT INTO batches (kind, items, body) VALUES (?, ?, ?)", row)

    def taken(self) -> int:
        """Bytes on the disk."""
        return _bytes(self.path)

    def oldest(self, connection: sqlite3.Connection) -> list[Stored]:
        """The batches that are next, all of one kind."""
        found: list[Stored] = []
        for row in connection.execute("SELECT id, kind, items, body FROM batches ORDER BY id LIMIT 500"):
            one = Stored(*row)
            if found and (one.kind != found[0].kind or sum(f.items for f in found) >= SHIP_EVENTS):
                break
            found.append(one)
        return found

    def remove(
        self, connection: sqlite3.Connection, batches: Sequence[Stored], refused: Sequence[SetAside] = ()
    ) -> None:
        """They are shipped, but for what is set aside; the disk gets its pages back."""
        aside = [(one.kind, one.items, one.body, one.reason) for one in refused]
        with transaction(connection):
            connection.executemany("DELETE FROM batches WHERE id = ?", [(one.id,) for one in batches])
            connection.executemany(
                "INSERT INTO refused (kind, items, body, reason) VALUES (?, ?, ?, ?)", aside
            )
        connection.execute("PRAGMA incremental_vacuum(2000)").fetchall()

    def try_again(self, connection: sqlite3.Connection) -> None:
        """What was set aside waits again, behind all others."""
        with transaction(connection):
            connection.execute(
                "INSERT INTO batches (kind, items, body) SELECT kind, items, body FROM refused"
            )
            connection.execute("DELETE FROM refused")

    def _pages_used(self, connection: sqlite3.Connection) -> int:
        pages = [connection.execute(f"PRAGMA {of}").fetchone()[0] for of in ("page_count", "freelist_count")]
        return int(pages[0] - pages[1]) * int(connection.execute("PRAGMA page_size").fetchone()[0])

    @contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreUnavailable(f"cannot {doing} the outbox {self.path}: {error}") from error


def connected(path: Path) -> sqlite3.Connection:
    """A connection to a file of ours, whose transactions begin where they are said to."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    prepare_to_write(connection, BUSY_SECONDS)
    return connection


def waiting(connection: sqlite3.Connection) -> int:
    """Items that are not shipped."""
    return int(connection.execute("SELECT coalesce(sum(items), 0) FROM batches").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One that holds the write lock from its begin on."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def contents(path: Path) -> Contents | None:
    """What a file holds, read beside whoever writes to it; None where there is none.

    Raises: StoreUnavailable.
    """
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            by_reason = connection.execute("SELECT reason, sum(items) FROM refused GROUP BY reason")
            return Contents(waiting(connection), _bytes(path), dict(by_reason.fetchall()))
    except sqlite3.Error as error:
        raise StoreUnavailable(f"cannot read the outbox {path}: {error}") from error


def _bytes(path: Path) -> int:
    size = 0
    for suffix in ("", "-wal"):
        with suppress(OSError):
            size += Path(f"{path}{suffix}").stat().st_size
    return size
