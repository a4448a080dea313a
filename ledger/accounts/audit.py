"""The audit table: who changed an account's status, when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert, select

from ledger.schema import account_audit

Origin = Literal["command", "config", "console", "proxy", "time"]
Action = Literal["add", "change", "remove", "pause", "resume", "reauth", "mark", "restore"]
"""`mark` is a status that the proxy learnt from the provider, `restore` the end of one that came by itself;
the others are what a person asked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. `at` is aware UTC; a status is None where the account was not there; `actor` is who did it,
    where the origin knows."""

    account_id: str
    at: datetime
    action: Action
    origin: Origin
    from_status: str | None = None
    to_status: str | None = None
    reason: str | None = None
    actor: str | None = None


def write(connection: Connection, entry: Entry) -> None:
    """Add an entry, in the transaction of the change itself."""
    connection.execute(
        insert(account_audit).values(
            account_id=entry.account_id,
            at=entry.at,
            action=entry.action,
            origin=entry.origin,
            from_status=entry.from_status,
            to_status=entry.to_status,
            reason=entry.reason,
            actor=entry.actor,
        )
    )


def entries(connection: Connection, account_id: str | None = None, *, most: int = 100) -> tuple[Entry, ...]:
    """The newest entries first, of one account or of all."""
    table = account_audit.c
    query = select(account_audit).order_by(table.id.desc()).limit(most)
    if account_id is not None:
        query = query.where(table.account_id == account_id)
    return tuple(
        Entry(r.account_id, r.at, r.action, r.origin, r.from_status, r.to_status, r.reason, r.actor)
        for r in connection.execute(query)
    )
