"""Whether a ledger is whole: the file, the texts that its rows point at, and all sums against the requests
themselves. Sums that differ can be put right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import BigInteger, Connection, Engine, exists, func, not_, or_, select, text, type_coerce
from sqlalchemy.exc import DBAPIError

from ledger.request_tables import (
    request_callers,
    request_details,
    request_kinds,
    request_rows,
    request_sessions,
)
from ledger.requests.sums.horizons import HOURLY, REQUESTS, horizon
from ledger.requests.sums.rollups import DAY_HOURS, HOUR, SLOTS, mark_changed
from ledger.store import translated
from ledger.upkeep import recount

HOURS_AT_ONCE = 24
"""Hours that one reading counts again: about a second at 100,000 requests a day."""

_POINTERS = (
    (request_rows.c.caller_id, request_callers),
    (request_rows.c.kind_id, request_kinds),
    (request_rows.c.detail_id, request_details),
    (request_rows.c.session_number, request_sessions),
)

Progress = Callable[[int, int], None]
"""Is told how many of how many hours are done."""


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        problems: of the file itself; they cannot be mended here.
        lost: requests that point at texts which are not there.
        hours, days: since 1970 and by name: their sums differ from the requests.
        mended: whether these were put right.
    """

    problems: list[str] = field(default_factory=list)
    requests: int = 0
    lost: int = 0
    hours: list[int] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    mended: bool = False

    @property
    def sound(self) -> bool:
        """Whether there is nothing left to be put right."""
        return not (self.problems or self.lost) and (self.mended or not (self.hours or self.days))


def check(engine: Engine, *, mend: bool, progress: Progress = lambda done, of: None) -> Report:
    """Check a migrated ledger. Raises: StoreError."""
    report = Report(mended=mend)
    with translated(engine.url, "cannot check"):
        report.problems = _file_problems(engine)
        if report.problems:  # what a damaged file says cannot be put right by what it says
            report.mended = False
            return report
        first, last, summed = _range(engine)
        for hour in range(first, last, HOURS_AT_ONCE):
            _check_hours(engine, report, hour, min(last, hour + HOURS_AT_ONCE))
            progress(hour - first, last - first)
        for day in range(summed // DAY_HOURS, -(-last // DAY_HOURS)):
            _check_day(engine, report, day)
    return report


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
    with _reading(engine) as connection:
        first = min(last, _whole_from(connection, REQUESTS, first))
        report.requests += _number(connection, first, last)
        report.lost += _lost(connection, first, last)
        wrong = _differing(connection, first, last)
    if report.mended and wrong:
        with _writing(engine) as connection:
            whole = _whole_from(connection, REQUESTS, first)
            wrong = [hour for hour in wrong if hour >= whole]
            for table in recount.TABLES:
                for hour in wrong:
                    sums = recount.recounted(connection, table, hour, hour + 1)
                    recount.replace(connection, table, hour, sums)
            mark_changed(connection, [hour * SLOTS for hour in wrong])
    report.hours += wrong


def _whole_from(connection: Connection, name: str, first: int) -> int:
    """The first hour of some that is not forgotten by now: what is left of others says nothing of their sums,
    and retention may have begun since the check did."""
    return max(first, horizon(connection, name) or 0)


def _differing(connection: Connection, first: int, last: int) -> list[int]:
    wrong: set[int] = set()
    for table in recount.TABLES:
        stored = recount.stored(connection, table, first, last)
        counted = recount.recounted(connection, table, first, last)
        wrong |= {key[0] for key in stored.keys() | counted.keys() if stored.get(key) != counted.get(key)}
    return sorted(wrong)


def _check_day(engine: Engine, report: Report, number: int) -> None:
    """Days are made of the sums of hours, which may reach back further than the requests."""
    day, hours = recount.day_name(number), (number * DAY_HOURS, (number + 1) * DAY_HOURS)
    with _reading(engine) as connection:
        if not _day_differs(connection, day, hours):
            return
    if report.mended:
        with _writing(engine) as connection:
            if not _day_differs(connection, day, hours):
                return
            recount.replace_day(connection, day, recount.days_of_hours(connection, *hours))
    report.days.append(day)


def _day_differs(connection: Connection, day: str, hours: tuple[int, int]) -> bool:
    if _whole_from(connection, HOURLY, hours[0]) > hours[0]:
        return False
    return recount.stored_days(connection, day, day) != recount.days_of_hours(connection, *hours)


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


@contextmanager
def _reading(engine: Engine) -> Iterator[Connection]:
    """All statements see the ledger as it is at one moment."""
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection
    else:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield connection


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    """Nobody else writes requests until the block ends."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("LOCK TABLE request_rows IN SHARE ROW EXCLUSIVE MODE"))
        yield connection
