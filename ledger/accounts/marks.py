"""What proxies have learnt of accounts the hard way: rate limits, spent quotas, dead credentials.

A mark is written by the process that noticed and read by all. It never overrules a person: an account
that is paused stays paused, and what was under way when a person said that it is well is no mark against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, select, update

from ledger.accounts import audit, versions
from ledger.accounts.audit import Entry
from ledger.schema import account_marks, accounts
from ledger.store import insert_into

Event = Literal["rate_limit", "quota_exceeded", "permanent_failure", "error", "cleared"]
PASSING = ("rate_limited", "quota_exceeded")
"""Statuses that end by themselves when `reset_at` has come."""

MARKABLE = ("active", *PASSING)
"""Statuses that a mark may change; any other was set by a person or is permanent."""

AHEAD = timedelta(seconds=60)
"""A time that is further ahead than this comes from a clock that has been set back since."""

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of an account after something was noticed.

    Attributes:
        at: when, aware UTC; of two marks the later one holds.
        began_at: when the request that noticed it was sent.
        status: what the account becomes; None leaves it as it is.
        reset_at: epoch seconds at which a passing status ends.
        code: the provider's error code.
        cooldown_until: epoch seconds before which proxies leave it alone by their own caution; 0: none.
        errors: failures since the last success.
        wait_until: epoch seconds before which the provider said not to ask it; 0: none.
    """

    account_id: str
    at: datetime
    began_at: datetime
    event: Event
    status: str | None = None
    reset_at: int | None = None
    code: str | None = None
    cooldown_until: float = 0.0
    errors: int = 0
    wait_until: float = 0.0


def record_marks(connection: Connection, marks: Iterable[Mark], now: datetime | None = None) -> None:
    """Store marks; of one account the latest holds, and a permanent failure against all others. Storing them
    again changes nothing.

    Args:
        now: when they are stored: times that are ahead of it do not count. None believes every time.
    """
    believed = _NEVER if now is None else now + AHEAD
    ordered = sorted(marks, key=lambda m: (m.account_id, m.at))
    versions.hold(connection)  # before the accounts, as whoever else changes them: else two wait in a circle
    changed = [
        _store(connection, account_id, [m for m in group if m.at <= believed], believed)
        for account_id, group in groupby(ordered, lambda m: m.account_id)
    ]
    if any(changed):
        versions.advance(connection)


def restore(connection: Connection, now: datetime) -> int:
    """Make accounts active whose rate limit or spent quota has ended; returns how many."""
    table = accounts.c
    ended = (table.status.in_(PASSING), table.reset_at <= int(now.timestamp()))
    if connection.execute(select(table.id).where(*ended).limit(1)).first() is None:
        return 0  # a mere look must not wait for those who write
    versions.hold(connection)
    limited, spent = (_end(connection, status, now) for status in PASSING)
    for account_id in spent:
        entry = Entry(account_id, now, "restore", "time", "quota_exceeded", "active")
        audit.write(connection, entry)
    if limited or spent:
        versions.advance(connection)
    return len(limited) + len(spent)


def clear(connection: Connection, account_id: str, at: datetime) -> None:
    """Forget what was noticed, whatever time it bears: a person says that the account is well."""
    _upsert(connection, Mark(account_id, at, at, "cleared"))


def _end(connection: Connection, status: str, now: datetime) -> list[str]:
    """The accounts whose passing status has ended: they are active from now on."""
    table = accounts.c
    ended = connection.execute(
        update(accounts)
        .where(table.status == status, table.reset_at <= int(now.timestamp()))
        .values(status="active", reset_at=None, blocked_at=None)
        .returning(table.id)
    )
    return sorted(ended.scalars())


def _store(connection: Connection, account_id: str, marks: Sequence[Mark], believed: datetime) -> bool:
    """Store the marks of one account, in the order of their times; whether that changed anything."""
    table = accounts.c
    row = connection.execute(
        select(table.status, table.resumed_at).where(
            table.id == account_id, table.delete_requested_at.is_(None)
        )
    ).first()
    if row is None:
        return False
    since = row.resumed_at
    if since is not None and since <= believed:
        marks = [mark for mark in marks if mark.began_at >= since]
    if not marks:
        return False
    mark = reduce(_over, marks)
    newest = account_marks.c.marked_at
    changed = _upsert(connection, mark, (newest < mark.at) | (newest > believed))
    if mark.status and (changed or _is_permanent(mark.status)):
        changed |= _change_status(connection, mark, row.status)
    return changed


def _over(before: Mark, mark: Mark) -> Mark:
    """The later one of two marks, with the status of the one before where it brings none that goes before."""
    if before.status is None or (mark.status is not None and not _is_permanent(before.status)):
        return mark
    return replace(mark, status=before.status, reset_at=before.reset_at, code=before.code)


def _is_permanent(status: str) -> bool:
    return status not in MARKABLE


def _change_status(connection: Connection, mark: Mark, before: str) -> bool:
    table = accounts.c
    passing = mark.status in PASSING
    done = connection.execute(
        update(accounts)
        .where(table.id == mark.account_id, table.status.in_(MARKABLE))
        .values(
            status=mark.status,
            reset_at=mark.reset_at if passing else None,
            blocked_at=None if mark.status == "active" else int(mark.at.timestamp()),
            deactivation_reason=None if passing else mark.code,
        )
    )
    # Rate limits come and go by the minute: they are counted by the metrics, not kept here.
    if done.rowcount and mark.status not in ("rate_limited", before):
        entry = Entry(mark.account_id, mark.at, "mark", "proxy", before, mark.status, mark.code)
        audit.write(connection, entry)
    return done.rowcount > 0


def _upsert(connection: Connection, mark: Mark, where: ColumnElement[bool] | None = None) -> bool:
    """Store a mark, over one that is there only `where` that holds; whether it was stored."""
    values: dict[str, Any] = {
        "marked_at": mark.at.astimezone(UTC),
        "event": mark.event,
        "code": mark.code,
        "wait_until": mark.wait_until,
        "cooldown_until": mark.cooldown_until,
        "errors": mark.errors,
    }
    statement = insert_into(connection, account_marks).values(account_id=mark.account_id, **values)
    statement = statement.on_conflict_do_update(index_elements=["account_id"], set_=values, where=where)
    # Not every driver counts the rows of such a statement; what it returns is counted by all.
    return connection.execute(statement.returning(account_marks.c.account_id)).first() is not None
