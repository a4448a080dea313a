"""When the newest request of a store ended, and how large the store is."""

from __future__ import annotations

from sqlalchemy import Connection, text

from ledger.reader.foreign import columns, or_null, own_rows, stamp, time, time_or_null

AMONG = 1_000
STEPS = 50
"""It is looked for among the last so many rows, and so many times among those before where all of them are
marked as deleted."""

FAST_CLOCK = 300_000_000
"""How far ahead of ours the clock of the store's owner may be, in microseconds. What is later than that is
no news, or a single wrong time would hide that nothing comes any more."""

_CANDIDATES = 20
"""Times of which the first one that can be understood counts."""


def store_bytes(connection: Connection) -> int:
    """Bytes of the SQLite file, or of the PostgreSQL database."""
    if connection.dialect.name == "sqlite":
        pages, size = (
            connection.execute(text(f"PRAGMA {each}")).scalar() for each in ("page_count", "page_size")
        )
        return int(pages or 0) * int(size or 0)
    return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar() or 0)


def newest_request_at(connection: Connection, now: int) -> int | None:
    """When the newest of the requests stored last ended, at most `now`, microseconds since 1970; None in an
    empty store.

    An old store has no index by time, so it is looked for among those with the highest ids.
    """
    deleted = or_null("deleted_at", columns(connection, "request_logs"))
    last = (
        f"SELECT id, requested_at, {deleted} AS deleted FROM request_logs"  # noqa: S608
        f" WHERE id < :below ORDER BY id DESC LIMIT {AMONG}"
    )
    times = text(
        f"SELECT {time_or_null(connection, 'requested_at')} FROM ({last}) AS newest"  # noqa: S608
        f" WHERE deleted IS NULL AND requested_at <= :latest ORDER BY requested_at DESC LIMIT {_CANDIDATES}"
    )
    first = text(f"SELECT min(id) FROM ({last}) AS newest")  # noqa: S608
    below = connection.execute(text(f"SELECT max(id) + 1 FROM {own_rows(connection)}")).scalar()  # noqa: S608
    for _ in range(STEPS):
        if below is None:
            return None
        given = {"below": below, "latest": stamp(connection, now + FAST_CLOCK)}
        found = map(time, connection.execute(times, given).scalars().all())
        if ended := next((at for at in found if at is not None), None):
            return min(ended, now)
        below = connection.execute(first, {"below": below}).scalar()
    return None
