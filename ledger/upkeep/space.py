"""What a ledger holds and takes, and giving back the space of what is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import sleep
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from ledger.errors import StoreError
from ledger.request_tables import request_hourly, request_rows
from ledger.requests.sums.horizons import HOURLY, REQUESTS, since
from ledger.schema import daily_stats, metadata
from ledger.state import revision
from ledger.store import translated

PAGES_AT_ONCE = 200
"""Pages given back in one transaction: some milliseconds in which others wait to write."""

REST_SECONDS = 0.005
"""Between two steps: who waits to write comes first."""

NO_STEPS = (
    "the ledger was made by a version that never gave space back: `python -m ledger vacuum --full` makes it "
    "smaller, and lets it give space back from then on"
)

Progress = Callable[[int, int], None]
"""Is told how many of how many bytes are given back."""


@dataclass(frozen=True, slots=True)
class Stats:
    """A ledger in numbers.

    Attributes:
        bytes: of the file, or of the tables with their indexes on a server.
        free_bytes: of the file, in which nothing is.
        wal_bytes: what waits beside the file to be written into it.
        requests: rows that there are; `counted`: requests in all sums by day.
        requests_since, hours_since: before it they were forgotten, but for their sums; None: all is there.
    """

    where: str
    schema: str
    bytes: int
    free_bytes: int
    wal_bytes: int
    requests: int
    counted: int
    oldest: datetime | None
    newest: datetime | None
    hours: int
    requests_since: datetime | None
    hours_since: datetime | None

    @property
    def bytes_a_request(self) -> float | None:
        return (self.bytes - self.free_bytes) / self.requests if self.requests else None


def stats(engine: Engine, where: str) -> Stats:
    """A migrated ledger in numbers. Raises: StoreError."""
    with translated(engine.url, "cannot read"), engine.connect() as connection:
        at, rows = request_rows.c.at, select(func.count()).select_from(request_rows)
        oldest, newest = connection.execute(select(func.min(at), func.max(at))).one()
        size, free = _size(connection)
        file = Path(engine.url.database or "")
        wal = file.with_name(file.name + "-wal")
        return Stats(
            where=where,
            schema=str(revision(connection)),
            bytes=size,
            free_bytes=free,
            wal_bytes=wal.stat().st_size if engine.dialect.name == "sqlite" and wal.exists() else 0,
            requests=connection.execute(rows).scalar_one(),
            counted=int(connection.execute(select(func.sum(daily_stats.c.requests))).scalar() or 0),
            oldest=oldest,
            newest=newest,
            hours=connection.execute(select(func.count()).select_from(request_hourly)).scalar_one(),
            requests_since=since(connection, REQUESTS),
            hours_since=since(connection, HOURLY),
        )


def _size(connection: Connection) -> tuple[int, int]:
    if connection.dialect.name != "sqlite":
        tables = ", ".join(f"'{table}'" for table in metadata.tables)
        size = f"SELECT sum(pg_total_relation_size(to_regclass(name))) FROM unnest(ARRAY[{tables}]) name"  # noqa: S608
        return int(connection.execute(text(size)).scalar() or 0), 0
    page, pages, free = (_pragma(connection, name) for name in ("page_size", "page_count", "freelist_count"))
    return page * pages, page * free


def give_back(
    engine: Engine,
    *,
    stopped: Callable[[], bool] = lambda: False,
    progress: Progress = lambda done, of: None,
) -> int:
    """Give free space back to the system, in steps that let others write in between; how many bytes.

    Raises: StoreError, also for a file that cannot give space back step by step.
    """
    with translated(engine.url, "cannot give space back"):
        if engine.dialect.name != "sqlite":
            return _vacuum_tables(engine)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if _pragma(connection, "auto_vacuum") != 2:
                raise StoreError(NO_STEPS)
            page, first = _pragma(connection, "page_size"), _pragma(connection, "freelist_count")
            left = before = first
            while left and not stopped():
                driver: Any = connection.connection.driver_connection
                # The driver itself: each page is a row without columns, which SQLAlchemy does not step over
                driver.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()
                left = _pragma(connection, "freelist_count")
                progress((first - left) * page, first * page)
                if left >= before:
                    break
                before = left
                sleep(REST_SECONDS)
            return max(0, first - left) * page


def rewrite(engine: Engine) -> int:
    """Write the whole store again, as small as it can be: others wait to write until it is done. How many
    bytes it is smaller. Raises: StoreError."""
    with (
        translated(engine.url, "cannot rewrite"),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        before = _size(connection)[0]
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA auto_vacuum=INCREMENTAL")
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        else:
            for table in metadata.tables:
                connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {table}")
        return before - _size(connection)[0]


def _vacuum_tables(engine: Engine) -> int:
    """A server uses the space again by itself; this makes it do so at once."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        before = _size(connection)[0]
        for table in metadata.tables:
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {table}")
        return max(0, before - _size(connection)[0])


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
