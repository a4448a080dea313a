"""What else grows with time: conversations that no request is left of, and samples of quotas."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from time import monotonic, sleep

from sqlalchemy import Connection, Engine, delete, exists, func, select

from ledger.request_tables import request_rows, request_sessions
from ledger.requests.dictionaries import SESSIONS
from ledger.schema import usage_history, versions
from ledger.store import insert_into
from ledger.upkeep.transactions import writing

AT_ONCE = 200
"""Rows looked at, and perhaps deleted, in one transaction: some milliseconds."""

SAMPLES_DAYS = 62
"""How long samples are kept at least: the longest windows last a month."""

Stopped = Callable[[], bool]


def forget_sessions(engine: Engine, rest: float, stopped: Stopped) -> int:
    """Delete conversations that no request is left of; how many. The newest stays: SQLite would give its
    number to another one."""
    id = request_sessions.c.id
    of_it = select(request_rows.c.id).where(request_rows.c.session_number == id)
    with engine.connect() as connection:
        newest = connection.execute(select(func.max(id))).scalar() or 0

    def step(after: int) -> tuple[int | None, int]:
        part = select(id).where(id > after, id < newest).order_by(id).limit(AT_ONCE)
        with engine.connect() as connection:
            end = connection.execute(select(func.max(part.subquery().c.id))).scalar()
            if end is None:
                return None, 0
            unused = (id > after, id <= end, ~exists(of_it))
            if connection.execute(select(id).where(*unused).limit(1)).first() is None:
                return int(end), 0
        with writing(engine) as connection:
            number = connection.execute(delete(request_sessions).where(*unused)).rowcount
            _raise(connection, SESSIONS.forgets)
        return int(end), number

    return _in_steps(step, rest, stopped)


def forget_samples(engine: Engine, before: datetime, rest: float, stopped: Stopped) -> int:
    """Delete samples that were recorded earlier, but for the last of each window; how many. They are stored
    nearly in the order of time: the first steps without an early one end it."""
    t, later = usage_history.c, usage_history.alias()
    of_same = (later.c.account_id == t.account_id, later.c.window.is_not_distinct_from(t.window))
    is_last = ~exists(select(later.c.id).where(*of_same, later.c.recorded_at > t.recorded_at))

    def step(after: int) -> tuple[int | None, int]:
        part = select(t.id, t.recorded_at).where(t.id > after).order_by(t.id).limit(AT_ONCE).subquery().c
        with engine.begin() as connection:
            ends = connection.execute(select(func.max(part.id), func.min(part.recorded_at))).one()
            if ends[0] is None or ends[1] >= before:
                return None, 0
            early = (t.id > after, t.id <= ends[0], t.recorded_at < before)
            return ends[0], connection.execute(delete(usage_history).where(*early, ~is_last)).rowcount

    return _in_steps(step, rest, stopped)


def _in_steps(step: Callable[[int], tuple[int | None, int]], rest: float, stopped: Stopped) -> int:
    """Step after step of ids, each of which says where it has ended, None: nowhere, and how many it deleted.

    Args:
        rest: how long to wait after each, in parts of the time that it took.
    """
    total, after = 0, 0
    while not stopped():
        began = monotonic()
        end, number = step(after)
        total += number
        if end is None:
            break
        after = end
        sleep(rest * (monotonic() - began))
    return total


def _raise(connection: Connection, name: str) -> None:
    raised = insert_into(connection, versions).values(name=name, version=1)
    more = {"version": versions.c.version + 1}
    connection.execute(raised.on_conflict_do_update(index_elements=["name"], set_=more))
