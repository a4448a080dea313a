"""Whether a ledger is whole: the file, the texts that its rows point at, and all sums against the requests
themselves. Sums that differ can be put right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Table,
    exists,
    func,
    not_,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError

from ledger.request_tables import (
    request_callers,
    request_changes,
    request_details,
    request_kinds,
    request_rows,
    request_sessions,
)
from ledger.requests.sums.horizons import HOURLY, REQUESTS, horizon
from ledger.requests.sums.rollups import DAY_HOURS, HOUR, SLOTS, mark_changed
from ledger.schema import daily_stats
from ledger.store import translated
from ledger.upkeep import recount
from ledger.upkeep.transactions import reading, writing

WANTED_SECONDS = 0.1
"""How long one reading is to take; so long, at most, SQLite keeps what was replaced meanwhile."""

LONGEST_HOURS = 30 * DAY_HOURS
REST_SECONDS = 0.005
"""Between two readings: nobody holds on to an old state, and SQLite can restart its WAL."""

KEYS_AT_ONCE = 100
"""Sums put right in one transaction: some milliseconds in which others wait to write."""

TRIES = 3
"""How often sums are counted again because requests came meanwhile, before those have to wait."""

MAX_FILE_BYTES = 256_000_000
"""A larger file takes more than some seconds to look through, in one reading: it is asked for."""

_POINTERS = (
    (request_rows.c.caller_id, request_callers),
    (request_rows.c.kind_id, request_kinds),
    (request_rows.c.detail_id, request_details),
    (request_rows.c.session_number, request_sessions),
)

Progress = Callable[[int, int], None]
"""Is told how many of how many hours are done."""

_Right = Mapping[Table, recount.Changes]
_State = tuple[Any, ...]
_Differ = Callable[[Connection, int, int], _Right]
"""What differs in the hours [first, last), as it should be."""


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        problems: of the file itself; they cannot be mended here.
        lost: requests that point at texts which are not there.
        hours, days: since 1970 and by name: their sums differ from the requests.
        mended: whether these were put right.
        file_checked: whether the file was looked through as a whole.
    """

    problems: list[str] = field(default_factory=list)
    requests: int = 0
    lost: int = 0
    hours: list[int] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    mended: bool = False
    file_checked: bool = True

    @property
    def sound(self) -> bool:
        """Whether there is nothing left to be put right."""
        return not (self.problems or self.lost) and (self.mended or not (self.hours or self.days))


def check(
    engine: Engine,
    *,
    mend: bool,
    file: bool | None = None,
    progress: Progress = lambda done, of: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Report:
    """Check a migrated ledger, in readings so short that nobody waits for them.

    Args:
        file: whether to look through the SQLite file, too, in one reading; None: if it is small.
        stopped: whether to end after the reading under way.
    Raises: StoreError.
    """
    report = Report(mended=mend)
    with translated(engine.url, "cannot check"):
        report.file_checked = _is_small(engine) if file is None else file
        report.problems = _file_problems(engine) if report.file_checked else []
        if report.problems:  # what a damaged file says cannot be put right by what it says
            report.mended = False
            return report
        first, last, summed = _range(engine)
        start, span = first, 1
        while start < last and not stopped():
            end, began = min(last, start + span), monotonic()
            _check_hours(engine, report, start, end)
            took = monotonic() - began
            span = min(LONGEST_HOURS, 2 * span) if took < WANTED_SECONDS / 2 else max(1, span // 2)
            start = end
            progress(start - first, last - first)
            sleep(REST_SECONDS)
        for day in range(summed // DAY_HOURS, -(-last // DAY_HOURS)):
            if stopped():
                break
            _check_day(engine, report, day)
    return report


def _is_small(engine: Engine) -> bool:
    file = Path(engine.url.database or "")
    return engine.dialect.name != "sqlite" or file.stat().st_size <= MAX_FILE_BYTES


def _file_problems(engine: Engine) -> list[str]:
    if engine.dialect.name != "sqlite":
        return []
    with engine.connect() as connection:
        try:
            rows = connection.exec_driver_sql("PRAGMA integrity_check(10)")
            found = [" ".join(row[0].split()) for row in rows]
        except DBAPIError as error:
            return [str(error.orig)]
    return [] if found == ["ok"] else found


def _range(engine: Engine) -> tuple[int, int, int]:
    """[first, last) hours that have rows which can be counted, and the first hour that has sums."""
    with engine.connect() as connection:
        at = type_coerce(request_rows.c.at, BigInteger)
        oldest, newest = connection.execute(select(func.min(at), func.max(at))).one()
        summed = [
            hour
            for table in recount.TABLES
            for hour in connection.execute(select(func.min(table.c.hour), func.max(table.c.hour))).one()
        ]
        pruned, gone = (horizon(connection, name) or 0 for name in (REQUESTS, HOURLY))
    found = [] if oldest is None else [oldest // HOUR, newest // HOUR]
    found += [hour for hour in summed if hour is not None]
    if not found:
        return 0, 0, 0
    return max(pruned, min(found)), max(found) + 1, max(gone, min(found))


def _check_hours(engine: Engine, report: Report, first: int, last: int) -> None:
    with reading(engine) as connection:
        whole = min(last, _whole_from(connection, REQUESTS, first))
        report.requests += _number(connection, whole, last)
        report.lost += _lost(connection, whole, last)
        right = _hours_differ(connection, first, last)
    wrong = sorted({key[0] for changes in right.values() for key in changes})
    if report.mended:
        wrong = [hour for hour in wrong if _put_right(engine, hour, hour + 1, _hours_differ)]
    report.hours += wrong


def _check_day(engine: Engine, report: Report, number: int) -> None:
    """Days are made of the sums of hours, which may reach back further than the requests."""
    first, last = number * DAY_HOURS, (number + 1) * DAY_HOURS
    with reading(engine) as connection:
        right = _day_differs(connection, first, last)
    if right and (not report.mended or _put_right(engine, first, last, _day_differs)):
        report.days.append(recount.day_name(number))


def _whole_from(connection: Connection, name: str, first: int) -> int:
    """The first hour of some that is not forgotten by now: what is left of others says nothing of their sums,
    and retention may have begun since the check did."""
    return max(first, horizon(connection, name) or 0)


def _hours_differ(connection: Connection, first: int, last: int) -> _Right:
    first = min(last, _whole_from(connection, REQUESTS, first))
    found = {}
    for table in recount.TABLES:
        stored = recount.stored(connection, table, first, last)
        if changes := recount.changes(stored, recount.recounted(connection, table, first, last)):
            found[table] = changes
    return found


def _day_differs(connection: Connection, first: int, last: int) -> _Right:
    if _whole_from(connection, HOURLY, first) > first:
        return {}
    day = recount.day_name(first // DAY_HOURS)
    stored = recount.stored_days(connection, day, day)
    changes = recount.changes(stored, recount.days_of_hours(connection, first, last))
    return {daily_stats: changes} if changes else {}


def _put_right(engine: Engine, first: int, last: int, differ: _Differ) -> bool:
    """Replace what differs; whether anything did. It is counted while others write, and stored as long as
    they have not changed these hours meanwhile; where they always have, they have to wait for once."""
    for _ in range(TRIES):
        with reading(engine) as connection:
            state, right = _state(connection, first, last), differ(connection, first, last)
        if _replaced(engine, first, last, state, right):
            return bool(right)
    with writing(engine) as connection:
        right = differ(connection, first, last)
        for table, changes in right.items():
            _replace(connection, table, changes)
    return True


def _replaced(engine: Engine, first: int, last: int, state: _State, right: _Right) -> bool:
    """Whether all was stored, in short transactions."""
    for table, changes in right.items():
        keys = sorted(changes)
        for start in range(0, len(keys), KEYS_AT_ONCE):
            with writing(engine) as connection:
                if _state(connection, first, last) != state:
                    return False
                _replace(connection, table, {key: changes[key] for key in keys[start : start + KEYS_AT_ONCE]})
                state = _state(connection, first, last)
    return True


def _replace(connection: Connection, table: Table, changes: recount.Changes) -> None:
    recount.replace(connection, table, changes)
    if table is not daily_stats:
        mark_changed(connection, {key[0] * SLOTS for key in changes})


def _state(connection: Connection, first: int, last: int) -> _State:
    """It stays the same as long as nobody changes these hours, or forgets some."""
    t = request_changes.c
    stamps = select(t.number, t.changed).where(t.minutes == 60, t.number >= first, t.number < last)
    forgotten = (horizon(connection, REQUESTS), horizon(connection, HOURLY))
    return (*forgotten, *map(tuple, connection.execute(stamps.order_by(t.number))))


def _number(connection: Connection, first: int, last: int) -> int:
    within = recount.within(first, last)
    return connection.execute(select(func.count()).select_from(request_rows).where(*within)).scalar_one()


def _lost(connection: Connection, first: int, last: int) -> int:
    missing = [
        number.is_not(None) & not_(exists(select(table.c.id).where(table.c.id == number)))
        for number, table in _POINTERS
    ]
    query = select(func.count()).select_from(request_rows).where(or_(*missing))
    return connection.execute(query.where(*recount.within(first, last))).scalar_one()
