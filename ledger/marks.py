"""What proxies have learnt of accounts the hard way: rate limits, spent quotas, dead credentials.

A mark is written by the process that noticed and read by all. It never overrules a person: an account
that is paused stays paused, and what an old credential failed at is no mark against the new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ledger import audit, versions
from ledger.audit import Entry
from ledger.schema import account_marks, accounts

Event = Literal["rate_limit", "quota_exceeded", "permanent_failure", "error", "cleared"]
PASSING = ("rate_limited", "quota_exceeded")
"""Statuses that end by themselves when `reset_at` has come."""

MARKABLE = ("active", *PASSING)
"""Statuses that a mark may change; any other was set by a person or is permanent."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of an account after something was noticed.

    Attributes:
        at: when, aware UTC; of two marks the later one holds.
        began_at: when the request that noticed it was sent.
        status: what the account becomes; None leaves it as it is.
        reset_at: epoch seconds at which a passing status ends.
        code: the provider's error code.
        cooldown_until: epoch seconds before which the account is not asked; 0: none.
        errors: failures since the last success.
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


def record_marks(connection: Connection, marks: Iterable[Mark]) -> None:
    """Store marks; of one account the latest holds. Storing them again changes nothing."""
    latest: dict[str, Mark] = {}
    for mark in sorted(marks, key=lambda m: m.at):
        latest[mark.account_id] = mark if mark.status else _over(latest, mark)
    changed = [_store(connection, mark) for _, mark in sorted(latest.items())]
    if any(changed):
        versions.advance(connection)


def restore(connection: Connection, now: datetime) -> int:
    """Make accounts active whose rate limit or spent quota has ended; returns how many."""
    table = accounts.c
    done = connection.execute(
        update(accounts)
        .where(table.status.in_(PASSING), table.reset_at <= int(now.timestamp()))
        .values(status="active", reset_at=None, blocked_at=None)
    )
    if done.rowcount:
        versions.advance(connection)
    return done.rowcount


def clear(connection: Connection, account_id: str, at: datetime) -> None:
    """Forget what was noticed: a person says that the account is well."""
    _upsert(connection, Mark(account_id, at, at, "cleared"))


def _over(latest: dict[str, Mark], mark: Mark) -> Mark:
    """A mark without a status of its own keeps that of the one before it in the same batch."""
    before = latest.get(mark.account_id)
    if before is None or before.status is None:
        return mark
    return replace(mark, status=before.status, reset_at=before.reset_at)


def _store(connection: Connection, mark: Mark) -> bool:
    table = accounts.c
    row = connection.execute(
        select(table.status, table.credential_renewed_at).where(
            table.id == mark.account_id, table.delete_requested_at.is_(None)
        )
    ).first()
    if row is None or (row.credential_renewed_at and mark.began_at < row.credential_renewed_at):
        return False
    stored = _upsert(connection, mark)
    if stored and mark.status:
        _change_status(connection, mark, row.status)
    return stored


def _change_status(connection: Connection, mark: Mark, before: str) -> None:
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


def _upsert(connection: Connection, mark: Mark) -> bool:
    """Whether the mark is newer than what is stored, and so was stored."""
    values: dict[str, Any] = {
        "marked_at": mark.at.astimezone(UTC),
        "event": mark.event,
        "code": mark.code,
        "cooldown_until": mark.cooldown_until,
        "errors": mark.errors,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(account_marks).values(account_id=mark.account_id, **values)
    statement = statement.on_conflict_do_update(
        index_elements=["account_id"],
        set_=values,
        where=account_marks.c.marked_at < statement.excluded.marked_at,
    )
    # Not every driver counts the rows of such a statement; what it returns is counted by all.
    return connection.execute(statement.returning(account_marks.c.account_id)).first() is not None
