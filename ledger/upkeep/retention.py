"""Forgetting what is old: requests, while all their sums stay, sums by hour, while those by day stay,
conversations that no request is left of, and samples of quotas but for each window's last.

The horizon is moved first, in a transaction of its own: from then on no question reads rows before it, so
none ever sees half of them. Then the rows go in steps of some milliseconds; whatever interrupts them, the
next run goes on.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy import (
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Table,
    delete,
    func,
    select,
    type_coerce,
    update,
)

from ledger.columns import micros
from ledger.errors import StoreError
from ledger.request_tables import request_changes, request_durations, request_hourly, request_rows
from ledger.requests import limits
from ledger.requests.sums.horizons import HOURLY, REQUESTS, horizon
from ledger.requests.sums.rollups import DAY_HOURS, HOUR, SLOTS
from ledger.schema import versions
from ledger.state import is_there
from ledger.store import translated, upsert, writer
from ledger.upkeep.leftovers import SAMPLES_DAYS, Stopped, forget_samples, forget_sessions
from ledger.upkeep.space import give_back

log = logging.getLogger("quotascope.upkeep")

ROWS_AT_ONCE = {"sqlite": 200, "postgresql": 5_000}
"""Requests forgotten in one transaction, in which nobody else can write to a SQLite file."""

REST_SHARE = 1.0
"""How long the next step waits, in parts of the time that the last one took: who writes comes first."""

SETTLE_SECONDS = limits.SECONDS
EVERY_SECONDS = 3_600.0
FIRST_SECONDS = 60.0
LOOK_SECONDS = 0.2

TURN, TURN_MICROS = "upkeep_turn", 3_000_000_000
"""Until when nobody else begins: a little less than EVERY_SECONDS."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How many days are kept; None: for ever.

    Attributes:
        requests: one by one.
        hourly: sums by hour. Those by day are always kept.
    """

    requests: int | None = None
    hourly: int | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    requests: int = 0
    hours: int = 0
    bytes: int = 0
    sessions: int = 0
    samples: int = 0


def prune(engine: Engine, keep: Keep, now: datetime, *, stopped: Stopped = lambda: False) -> Pruned:
    """Forget what is older, up to a UTC midnight. Raises: StoreError."""
    requests = hours = sessions = samples = 0
    with translated(engine.url, "cannot prune"):
        if keep.requests is not None:
            hour = _move(engine, REQUESTS, keep.requests, now, stopped)
            at = type_coerce(request_rows.c.at, BigInteger)
            requests = _in_steps(engine, partial(_delete_rows, at < hour * HOUR), stopped)
            with engine.begin() as connection:  # of five minutes that nobody can ask for any more
                stamps = request_changes.c
                old = (stamps.minutes == 5, stamps.number < hour * SLOTS)
                connection.execute(delete(request_changes).where(*old))
            sessions = forget_sessions(engine, REST_SHARE, stopped) if requests else 0
            before = now - timedelta(days=max(keep.requests, SAMPLES_DAYS))
            samples = forget_samples(engine, before, REST_SHARE, stopped)
        if keep.hourly is not None:
            hour = _move(engine, HOURLY, keep.hourly, now, stopped)
            for table in (request_hourly, request_durations):
                hours += _in_steps(engine, partial(_delete_hour, table, hour), stopped)
    freed = give_back(engine, stopped=stopped) if requests or hours or samples else 0
    return Pruned(requests, hours, freed, sessions, samples)


def _midnight(now: datetime, days: int) -> int:
    """The hour since 1970 before which everything is older."""
    return (micros(now) // HOUR // DAY_HOURS - days) * DAY_HOURS


def _move(engine: Engine, name: str, days: int, now: datetime, stopped: Stopped) -> int:
    """Move a horizon, never back; where it is. Questions that began before are over when this returns.

    Only one that lies ahead, where no request can be by now, comes back to where it would be no further: a
    clock that has been set back since has moved it, and all that comes would be forgotten at once.
    """
    hour = _midnight(now, days)
    with engine.begin() as connection:
        before, ahead = horizon(connection, name), _midnight(now, -1)
        if before is not None and before > ahead:
            hour = ahead
        elif before is not None and before >= hour:
            return before
        upsert(connection, versions, ["name"], [{"name": name, "version": hour}])
    deadline = monotonic() + SETTLE_SECONDS
    while monotonic() < deadline and not stopped():
        sleep(0.05)
    return hour


def _in_steps(engine: Engine, step: Callable[[Connection], int], stopped: Stopped) -> int:
    """Delete in short transactions until nothing is left; how many there were."""
    total = 0
    while not stopped():
        began = monotonic()
        with engine.begin() as connection:
            number = step(connection)
        if not number:
            break
        total += number
        sleep(REST_SHARE * (monotonic() - began))
    return total


def _delete_rows(gone: ColumnElement[bool], connection: Connection) -> int:
    most = ROWS_AT_ONCE[connection.dialect.name]
    some = select(request_rows.c.id).where(gone).order_by(request_rows.c.at).limit(most)
    return connection.execute(delete(request_rows).where(request_rows.c.id.in_(some))).rowcount


def _delete_hour(table: Table, end: int, connection: Connection) -> int:
    first = connection.execute(select(func.min(table.c.hour)).where(table.c.hour < end)).scalar()
    return 0 if first is None else connection.execute(delete(table).where(table.c.hour == first)).rowcount


class Upkeep:
    """Prunes a ledger from time to time, in a thread of its own, and has days that are over read into the
    folder beside a file. Of several processes, one does it.

    Args:
        url: of a ledger that is migrated.
    """

    def __init__(self, url: URL, keep: Keep) -> None:
        self._url, self._keep = url, keep
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin, unless all is kept for ever on a server."""
        if self._keep != Keep() or self._url.get_backend_name() == "sqlite":
            self._thread.start()

    def close(self) -> None:
        """End after the step that is under way."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = FIRST_SECONDS
        while not self._ending.wait(pause):
            pause = EVERY_SECONDS
            try:
                self._take_care()
            except StoreError as error:  # a full disk, a server that is away: the next time
                log.warning("what is old could not be forgotten: %s", error)
            except Exception:  # a fault of ours must not keep everything for ever
                log.exception("what is old could not be forgotten")

    def _take_care(self) -> None:
        if not is_there(self._url):
            return
        engine = writer(self._url)
        try:
            with translated(self._url, "cannot prune"), engine.begin() as connection:
                mine = _take_turn(connection)
            if mine and self._keep != Keep():
                found = prune(engine, self._keep, datetime.now(UTC), stopped=self._ending.is_set)
                if found != Pruned():
                    log.info("%d requests and %d sums by hour were forgotten", found.requests, found.hours)
        finally:
            engine.dispose()
        if mine and self._url.get_backend_name() == "sqlite":
            self._read_days(Path(self._url.database or ""))

    def _read_days(self, file: Path) -> None:
        """In a process of its own, which is the last to get a core, and alone needs arrays."""
        with subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "ledger.upkeep.ahead", str(file.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for whoever started this one
        ) as process:
            while process.poll() is None:
                if self._ending.wait(LOOK_SECONDS):
                    process.terminate()
                    break


def _take_turn(connection: Connection) -> bool:
    """Whether it is this process's turn: nobody else has begun within the hour."""
    now = micros(datetime.now(UTC))
    until = versions.c.version  # further ahead than one of us can say: the clock has been set back since
    over = (until <= now) | (until > now + TURN_MICROS)
    turn = update(versions).where(versions.c.name == TURN, over)
    if connection.execute(turn.values(version=now + TURN_MICROS)).rowcount:
        return True
    if connection.execute(select(versions.c.name).where(versions.c.name == TURN)).first():
        return False
    upsert(connection, versions, ["name"], [{"name": TURN, "version": now + TURN_MICROS}])
    return True
