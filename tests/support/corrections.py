"""Taking requests out again, and correcting them: rows and all sums together, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from ledger.requests.conversion import event_of
from ledger.requests.sums import rollups
from ledger.requests.sums.rollups import Entry
from ledger.requests.writes import record
from ledger.schema import request_logs, request_rows
from ledger.values import RequestEvent

AT_ONCE = 500
"""Rows in one statement: databases bound the number of parameters."""


def remove(connection: Connection, ids: Sequence[int]) -> int:
    """Delete rows by id as if they had never been; how many there were."""
    entries = _take_out(connection, ids)
    for some in _steps(ids):
        connection.execute(delete(request_rows).where(request_rows.c.id.in_(some)))
    return len(entries)


def hide(connection: Connection, ids: Sequence[int], at: datetime) -> int:
    """Mark rows as deleted: they stay in the store, and are in no answer and no sum."""
    entries = _take_out(connection, ids)
    for some in _steps(ids):
        hidden = update(request_rows).where(request_rows.c.id.in_(some), request_rows.c.deleted_at.is_(None))
        connection.execute(hidden.values(deleted_at=at))
    return len(entries)


def replace_event(connection: Connection, event: RequestEvent) -> None:
    """Make a stored request what this event says; it is known by its id. One that is not stored is added."""
    old = connection.execute(select(request_rows.c.id).where(request_rows.c.event_id == event.id)).scalar()
    if old is not None:
        remove(connection, [old])
    record(connection, [event])


def _take_out(connection: Connection, ids: Sequence[int]) -> list[Entry]:
    """Take those of the rows out of all sums that are in them."""
    log, entries = request_logs.c, []
    for some in _steps(ids):
        shown = select(request_logs).where(log.id.in_(some), log.deleted_at.is_(None))
        # Of two that take the same row out at once, one waits for the other: a write that changes nothing
        rows = update(request_rows).where(request_rows.c.id.in_(some))
        connection.execute(rows.values(deleted_at=request_rows.c.deleted_at))
        for row in connection.execute(shown).mappings():
            entries.append(Entry(event_of(dict(row)), row["caller_id"], row["kind_id"]))
    rollups.add(connection, entries, sign=-1)
    return entries


def _steps(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
