"""The inbox: what was received, in a SQLite file of its own, committed before anything else is done with it.

It is not part of the ledger because the ledger may be locked, away or on another machine just when a
gateway hands out what it will not hand out again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal
from uuid import uuid4

from collector.errors import InboxError
from collector.inbox_file import open_file, pack, unpack
from collector.redaction import redact
from collector.sums import add
from metrics.collector import EVENTS

Transport = Literal["subscribe", "resp", "http"]
Channel = Literal["usage", "errors"]

PENDING, DECODED, UNDECODABLE, REPEATED = range(4)
"""States of an item. Repeated: it came by two ways at once, and its event is counted by the other one."""

_ITEMS = (
    "SELECT seq, gateway, channel, transport, received_at, fingerprint, twin, body FROM items "
    "WHERE state = {} AND seq > ? ORDER BY seq LIMIT ?"
)
_COUNT = "SELECT gateway, count(*) FROM items WHERE state = {} GROUP BY gateway"
"""With the state in the text: the indexes of pending and of undecodable items are found by it alone."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One item as it came.

    Attributes:
        received_at: epoch seconds.
        raw: the gateway's own bytes; keys leave them on their way into the file.
    """

    gateway: str
    channel: Channel
    transport: Transport
    received_at: float
    raw: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it is kept.

    Attributes:
        seq: its place in the order of receipt; never used twice.
        twin: how many items before it say exactly the same, and are events of their own all the same.
        raw: without clear keys.
    """

    seq: int
    gateway: str
    channel: Channel
    transport: Transport
    received_at: float
    fingerprint: int
    twin: int
    raw: bytes


class Inbox:
    """The file. Every method may be called from any thread; one transaction runs at a time.

    Raises: InboxError, on opening and from every method.
    """

    def __init__(self, path: Path, *, busy_timeout_seconds: float = 10.0) -> None:
        self.path = path
        self._lock = threading.Lock()
        with _translated(f"cannot open the inbox {path}"):
            self._connection = open_file(path, busy_timeout_seconds)
        self.identity = self._identity()

    def _identity(self) -> str:
        """A name that this file keeps; no other has it."""
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO facts VALUES ('identity', ?)", (uuid4().hex,))
            found = connection.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()
        return str(found[0])

    def append(
        self, receipts: Sequence[Receipt], also: Callable[[sqlite3.Connection], None] | None = None
    ) -> int:
        """Keep what was received; when this returns it is on the disk.

        Args:
            also: what else is to be stored in the same transaction.
        Returns: how many were new; the others came by another way already.
        """
        rows = [_row(receipt) for receipt in receipts]
        with self.transaction() as connection:
            new = _insert(connection, rows)
            _count(connection, new)
            if also is not None:
                also(connection)
        return len(new)

    def pending(self, most: int, after: int = 0) -> list[Item]:
        """The oldest items that are not decoded yet."""
        return self.items(PENDING, most, after)

    def items(self, state: int, most: int, after: int = 0) -> list[Item]:
        """Items of a state in the order of receipt.

        Args:
            after: the `seq` of the last one that is known.
        """
        with self.transaction() as connection:
            rows = connection.execute(_ITEMS.format(int(state)), (after, most)).fetchall()
        return [
            Item(seq, gateway, channel, transport, at / 1e6, fingerprint, twin, unpack(body))
            for seq, gateway, channel, transport, at, fingerprint, twin, body in rows
        ]

    def count(self, state: int) -> dict[str, int]:
        """How many items are of a state, by gateway."""
        with self.transaction() as connection:
            return dict(connection.execute(_COUNT.format(int(state))).fetchall())

    def problems(self, most: int) -> list[tuple[int, str, str]]:
        """Undecodable items: number, gateway, what is wrong."""
        with self.transaction() as connection:
            return connection.execute(
                "SELECT i.seq, i.gateway, p.problem FROM items i JOIN problems p ON p.seq = i.seq "
                "WHERE i.state = 2 ORDER BY i.seq LIMIT ?",
                (most,),
            ).fetchall()

    def again(self) -> int:
        """Let everything undecodable be decoded once more; returns how many."""
        with self.transaction() as connection:
            done = connection.execute("UPDATE items SET state = 0 WHERE state = 2")
            connection.execute("DELETE FROM problems")
            return done.rowcount

    def prune(self, before: float, most: int = 5_000) -> int:
        """Forget decoded items that are older; at most some, so that nobody waits long. Returns how many."""
        with self.transaction() as connection:
            done = connection.execute(
                "DELETE FROM items WHERE seq IN (SELECT seq FROM items WHERE state IN (1, 3) "
                "AND received_at < ? ORDER BY seq LIMIT ?)",
                (round(before * 1e6), most),
            )
            return done.rowcount

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction of one's own: all of it or nothing. Raises: InboxError."""
        with self._lock, _translated(f"the inbox {self.path}"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def settle(
    connection: sqlite3.Connection, decoded: Iterable[int], problems: Iterable[tuple[int, str]]
) -> None:
    """What became of pending items, in the caller's transaction.

    Args:
        decoded: numbers of those whose events are in the ledger.
        problems: numbers of those that cannot be decoded, and why.
    """
    connection.execute(
        "UPDATE items SET state = 1 WHERE seq IN (SELECT value FROM json_each(?))",
        (json.dumps(list(decoded)),),
    )
    problems = list(problems)
    connection.executemany("UPDATE items SET state = 2 WHERE seq = ?", [(seq,) for seq, _ in problems])
    connection.executemany("INSERT OR REPLACE INTO problems VALUES (?, ?)", problems)


_Row = tuple[str, str, str, int, int, bytes]


def _row(receipt: Receipt) -> _Row:
    clean = redact(receipt.raw)
    return (
        receipt.gateway,
        receipt.channel,
        receipt.transport,
        round(receipt.received_at * 1e6),
        fingerprint(receipt.gateway, receipt.channel, clean),
        pack(clean),
    )


def fingerprint(gateway: str, channel: str, clean: bytes) -> int:
    """A number of 63 bits by which one item is known again."""
    digest = blake2b(clean, digest_size=8, person=b"inbox", key=f"{channel}:{gateway}".encode()[:64])
    return int.from_bytes(digest.digest(), "big") >> 1


def _count(connection: sqlite3.Connection, new: list[_Row]) -> None:
    """Count the events that are new, and when the last one of each gateway came."""
    counted: dict[tuple[str, str], int] = {}
    newest: dict[str, int] = {}
    for gateway, channel, transport, at, _, _ in new:
        if channel == "usage":
            counted[gateway, transport] = counted.get((gateway, transport), 0) + 1
            newest[gateway] = at
    add(connection, {(EVENTS.name, labels): number for labels, number in counted.items()})
    connection.executemany(
        "INSERT INTO gateways (name, last_event_at) VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET last_event_at = excluded.last_event_at",
        [(gateway, at / 1e6) for gateway, at in newest.items()],
    )


def _insert(connection: sqlite3.Connection, rows: list[_Row]) -> list[_Row]:
    """Store rows. What another transport has brought is kept, but is no event of its own; what the same
    one brings once more is an event that says the same."""
    known = _known(connection, [row[4] for row in rows])
    stored, new = [], []
    for row in rows:
        gateway, channel, transport, at, number, body = row
        before = known.setdefault(number, {})
        own = before.get(transport, 0)
        most = max(before.values(), default=0)
        state = PENDING if own >= most else REPEATED
        if state == PENDING:
            new.append(row)
        stored.append((gateway, channel, transport, at, number, own, state, body))
        before[transport] = own + 1
    connection.executemany(
        "INSERT INTO items (gateway, channel, transport, received_at, fingerprint, twin, state, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        stored,
    )
    return new


def _known(connection: sqlite3.Connection, numbers: list[int]) -> dict[int, dict[str, int]]:
    """How often each fingerprint has come, by transport."""
    known: dict[int, dict[str, int]] = {}
    for start in range(0, len(numbers), 500):
        part = numbers[start : start + 500]
        marks = ",".join("?" * len(part))
        for number, transport, count in connection.execute(
            f"SELECT fingerprint, transport, count(*) FROM items WHERE fingerprint IN ({marks}) "  # noqa: S608
            "GROUP BY fingerprint, transport",
            part,
        ):
            known.setdefault(number, {})[transport] = count
    return known


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InboxError(f"{doing}: {reason}") from error
