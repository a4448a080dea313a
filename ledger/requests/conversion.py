"""Taking over the requests of a ledger of before, out of `request_logs_before`, the newest first.

Each step is a transaction: it can be interrupted at any time, and goes on with the next start. Several
processes may do it together.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from ledger.migrations.view_0010 import EVENT_LOG_VIEW, request_logs_view
from ledger.request_tables import request_logs
from ledger.requests.dictionaries import units_of
from ledger.requests.sums import rollups
from ledger.requests.writes import insert_rows
from ledger.values import RequestEvent, Usage

_USAGE = Usage.__struct_fields__
_CHANGED = ("requested_at", "login", "streamed", "provider_cost_usd", "extra_units")
_SAME = tuple(
    name
    for name in RequestEvent.__struct_fields__
    if name in request_logs.c and name not in ("id", *_CHANGED)
)
"""What is stored under its own name, as it is; an event may say more than a row keeps."""


def event_of(row: Mapping[str, Any]) -> RequestEvent:
    """The event of a row of `request_logs`, read as it is stored or through SQLAlchemy's types. The method of
    the HTTP request is not stored."""
    cost = row["provider_cost_usd"]
    plain: dict[str, Any] = {name: row[name] for name in _SAME}
    return RequestEvent(
        **plain,
        id=row["event_id"],
        method="",
        requested_at=moment_of(row["requested_at"]),
        usage=Usage(**{name: row[name] for name in _USAGE}),
        billable=row["request_kind"] != "read",
        login=_bool(row["login"]),
        streamed=_bool(row["streamed"]),
        provider_cost_usd=None if cost is None else Decimal(cost),
        extra_units=units_of(row["extra_units"]),
    )


def moment_of(at: Any) -> datetime:
    """A stored time: text, or naive, or aware."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bool(value: Any) -> bool | None:
    return None if value is None else bool(value)


log = logging.getLogger("quotascope.ledger")

BEFORE = "request_logs_before"
STEP_ROWS = 5_000
REPORT_SECONDS = 5.0

_RAISE_SEQUENCE = text(
    "SELECT setval(pg_get_serial_sequence('request_rows', 'id'), (SELECT max(id) FROM request_rows))"
)

Lock = Callable[[Connection], None]


def convert(engine: Engine, lock: Lock) -> None:
    """Take over what is left to take over.

    Args:
        lock: makes other processes wait until the transaction ends.
    """
    if not inspect(engine).has_table(BEFORE):
        return
    done, all_rows, reported = 0, _number(engine), monotonic()
    while step := _step(engine, lock):
        done += step
        if monotonic() - reported >= REPORT_SECONDS:
            log.warning("the ledger is being converted: %d of %d requests", done, max(all_rows, done))
            reported = monotonic()
    _finish(engine, lock)
    if done >= STEP_ROWS:
        log.warning("the ledger is converted: %d requests", done)
        give_space_back(engine)


def _number(engine: Engine) -> int:
    with engine.connect() as connection:
        try:
            return int(connection.execute(text(f"SELECT count(*) FROM {BEFORE}")).scalar() or 0)  # noqa: S608
        except DBAPIError:  # another process has just finished
            return 0


def _step(engine: Engine, lock: Lock) -> int:
    """Take over the newest rows that are left; how many there were."""
    with engine.begin() as connection:
        lock(connection)
        if not inspect(connection).has_table(BEFORE):
            return 0
        newest = text(f"SELECT * FROM {BEFORE} ORDER BY id DESC LIMIT {STEP_ROWS}")  # noqa: S608
        found = connection.execute(newest).mappings().all()
        if not found:
            return 0
        _take(connection, [dict(row) for row in found])
        last = text(f"DELETE FROM {BEFORE} WHERE id >= :id")  # noqa: S608
        connection.execute(last, {"id": found[-1]["id"]})
        if connection.dialect.name == "postgresql":
            connection.execute(_RAISE_SEQUENCE)
        return len(found)


def _take(connection: Connection, found: Sequence[Mapping[str, Any]]) -> None:
    gone = [None if row["deleted_at"] is None else moment_of(row["deleted_at"]) for row in found]
    events = [event_of(row) for row in found]
    places = [(row["id"], at) for row, at in zip(found, gone, strict=True)]
    entries = insert_rows(connection, events, places)
    rollups.add(connection, (entry for entry, at in zip(entries, gone, strict=True) if at is None))


def _finish(engine: Engine, lock: Lock) -> None:
    with engine.begin() as connection:
        lock(connection)
        if not inspect(connection).has_table(BEFORE):
            return
        connection.execute(text("DROP VIEW event_log"))
        connection.execute(text("DROP VIEW request_logs"))
        view = request_logs_view(connection.dialect.name, with_before=False)
        connection.exec_driver_sql(view.replace("%", "%%") if connection.dialect.name != "sqlite" else view)
        connection.execute(text(EVENT_LOG_VIEW))
        connection.execute(text(f"DROP TABLE {BEFORE}"))


def give_space_back(engine: Engine) -> None:
    """Make a SQLite file as small as what is in it, and let it give space back by itself from then on. Where
    that cannot be now, it is said: the space is used for what comes."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return
    file = Path(engine.url.database)
    size, free = file.stat().st_size, shutil.disk_usage(file.parent).free
    if free < 2 * size:
        log.warning(
            "%s keeps its size: to make it smaller takes %d bytes, and %d are free", file, 2 * size, free
        )
        return
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA auto_vacuum=INCREMENTAL")
            connection.exec_driver_sql("VACUUM")
    except DBAPIError as error:
        log.warning("%s keeps its size for now: %s", file, error.orig)
