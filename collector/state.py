"""What the inbox remembers of each gateway: how its events hang together, gaps, refused logins."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from collector.counting import Key
from collector.gaps import Gap, Thread
from collector.inbox import Inbox
from collector.sums import add, events
from metrics import collector as m


@dataclass(frozen=True, slots=True)
class Refusals:
    """Logins that a gateway refused, one after the other; epoch seconds."""

    count: int = 0
    last_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What a gateway had counted of requests since its start, and how many of its events had come here."""

    requests: int
    events: int

    def missing(self, before: Counted) -> int:
        """How many more it has counted since than have come."""
        return (self.requests - before.requests) - (self.events - before.events)


@dataclass(frozen=True, slots=True)
class StoredGap:
    id: int
    gap: Gap


def load_thread(inbox: Inbox, gateway: str) -> Thread:
    """The thread as it was left, by whatever end."""
    with inbox.transaction() as connection:
        row = connection.execute(
            "SELECT sound_at, stopped_at, draining, blurred FROM gateways WHERE name = ?", (gateway,)
        ).fetchone()
        gap = connection.execute(
            "SELECT reason, began_at FROM gaps WHERE gateway = ? AND ended_at IS NULL ORDER BY id DESC",
            (gateway,),
        ).fetchone()
    sound_at, stopped_at, draining, blurred = row or (None, None, 0, 0)
    open_gap = Gap(gateway, *gap) if gap else None
    return Thread(gateway, sound_at, stopped_at, open_gap, bool(draining), bool(blurred))


def save_thread(connection: sqlite3.Connection, thread: Thread) -> None:
    """Remember where the thread is, in the caller's transaction."""
    connection.execute(
        "INSERT INTO gateways (name, sound_at, stopped_at, draining, blurred) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET sound_at = excluded.sound_at, stopped_at = excluded.stopped_at, "
        "draining = excluded.draining, blurred = excluded.blurred",
        (thread.gateway, thread.sound_at, thread.stopped_at, thread.draining, thread.blurred),
    )


def save_gap(connection: sqlite3.Connection, gap: Gap, *, separate: bool = False) -> None:
    """Remember a gap, in the caller's transaction: one that goes on, or the end of it.

    Args:
        separate: it is one of its own, whether another goes on or not.
    """
    open_one = (
        not separate
        and connection.execute(
            "SELECT id FROM gaps WHERE gateway = ? AND ended_at IS NULL", (gap.gateway,)
        ).fetchone()
    )
    values = (gap.reason, gap.began_at, gap.ended_at)
    if open_one:
        connection.execute(
            "UPDATE gaps SET reason = ?, began_at = ?, ended_at = ?, told = 0 WHERE id = ?",
            (*values, *open_one),
        )
    else:
        connection.execute(
            "INSERT INTO gaps (gateway, reason, began_at, ended_at) VALUES (?, ?, ?, ?)",
            (gap.gateway, *values),
        )
    if gap.ended_at is not None:  # before, neither its end nor its reason is certain, and counters only rise
        labels = (gap.gateway, gap.reason)
        seconds: dict[Key, float] = {
            (m.GAP_SECONDS.name, labels): gap.seconds(gap.ended_at),
            (m.GAPS.name, labels): 1,
        }
        add(connection, seconds)


def untold_gaps(connection: sqlite3.Connection) -> list[StoredGap]:
    """Gaps of which the ledger does not know yet, or not how they ended."""
    rows = connection.execute("SELECT id, gateway, reason, began_at, ended_at FROM gaps WHERE told = 0")
    return [StoredGap(number, Gap(*rest)) for number, *rest in rows]


def told(connection: sqlite3.Connection, gaps: list[StoredGap]) -> None:
    """The ledger knows these; what has changed since is told again."""
    connection.executemany(
        "UPDATE gaps SET told = 1 WHERE id = ? AND ended_at IS ? AND reason = ?",
        [(stored.id, stored.gap.ended_at, stored.gap.reason) for stored in gaps],
    )


def load_refusals(inbox: Inbox, gateway: str) -> Refusals:
    """Logins that were refused before this process began."""
    with inbox.transaction() as connection:
        row = connection.execute(
            "SELECT refusals, refused_at FROM gateways WHERE name = ?", (gateway,)
        ).fetchone()
    return Refusals(row[0], row[1] or 0.0) if row else Refusals()


def save_refusals(connection: sqlite3.Connection, gateway: str, refusals: Refusals) -> None:
    """Remember them, in the caller's transaction: a restart is no reason to try again."""
    connection.execute(
        "INSERT INTO gateways (name, refusals, refused_at) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET refusals = excluded.refusals, refused_at = excluded.refused_at",
        (gateway, refusals.count, refusals.last_at),
    )


def load_counted(inbox: Inbox, gateway: str) -> Counted | None:
    with inbox.transaction() as connection:
        row = connection.execute(
            "SELECT counted, counted_events FROM gateways WHERE name = ?", (gateway,)
        ).fetchone()
    return None if row is None or None in row else Counted(*row)


def save_counted(inbox: Inbox, gateway: str, counted: Counted) -> None:
    with inbox.transaction() as connection:
        connection.execute(
            "INSERT INTO gateways (name, counted, counted_events) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET counted = excluded.counted, counted_events = excluded.counted_events",
            (gateway, counted.requests, counted.events),
        )


def events_of(inbox: Inbox, gateway: str) -> int:
    with inbox.transaction() as connection:
        return events(connection).get(gateway, 0)
