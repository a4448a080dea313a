"""Accounts in the ledger: added, changed and removed, paused, resumed and given new credentials.

Every change is one transaction with its audit entry, and raises the version that proxies look at. `actor` is
the person who asked for it, where that is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from ledger.accounts import audit, marks, versions
from ledger.accounts.audit import Entry, Origin
from ledger.accounts.configured import Description, placed
from ledger.errors import AccountConflict, AccountExists, UnknownAccount
from ledger.schema import accounts

DEAD = ("reauth_required", "deactivated")
"""Statuses that only a new credential ends."""


def add(
    connection: Connection,
    account: Description,
    at: datetime,
    origin: Origin = "command",
    actor: str | None = None,
) -> None:
    """Add an account; one of this id that was removed comes back, with its history.

    Raises: AccountError, AccountExists.
    """
    account = placed(account)
    versions.hold(connection)
    known = _row(connection, account.id)
    if known is not None and known.delete_requested_at is None:
        raise AccountExists(account.id, f"it already exists; it was added by {_where(known.origin)}")
    if known is None:
        described = _columns(account)
        connection.execute(insert(accounts).values(id=account.id, created_at=at, **described))
    entry = Entry(account.id, at, "add", origin, None, "active", actor=actor)
    _change(connection, entry, **_columns(account), **_renewed(at), origin=origin, delete_requested_at=None)


def remove(
    connection: Connection,
    account_id: str,
    at: datetime,
    origin: Origin = "command",
    actor: str | None = None,
) -> None:
    """Take an account out of use; its requests stay in the books.

    Raises: UnknownAccount; AccountConflict for one that the configuration brings back.
    """
    row = _existing(connection, account_id)
    if row.origin == "config" and origin != "config":
        raise AccountConflict(account_id, "it is defined in the configuration file; remove it there")
    _update(connection, account_id, delete_requested_at=at, credential=None)
    _done(connection, Entry(account_id, at, "remove", origin, row.status, actor=actor))


def synchronise(connection: Connection, described: Iterable[Description], at: datetime) -> None:
    """Make the accounts of the configuration file those of the ledger; status and history stay.

    Raises: AccountError; AccountExists for an id that was added by command.
    """
    wanted = {account.id: placed(account) for account in described}
    versions.hold(connection)
    for account in wanted.values():
        _synchronise_one(connection, account, at)
    rows = connection.execute(
        select(accounts.c.id).where(accounts.c.origin == "config", accounts.c.delete_requested_at.is_(None))
    )
    for gone in sorted(set(rows.scalars()) - set(wanted)):
        remove(connection, gone, at, "config")


def pause(
    connection: Connection,
    account_id: str,
    at: datetime,
    origin: Origin = "command",
    actor: str | None = None,
) -> None:
    """Send the account no more requests. Raises: UnknownAccount."""
    row = _existing(connection, account_id)
    if row.status != "paused":
        _change(connection, Entry(account_id, at, "pause", origin, row.status, "paused", actor=actor))


def resume(
    connection: Connection,
    account_id: str,
    at: datetime,
    origin: Origin = "command",
    actor: str | None = None,
) -> None:
    """Use the account again at once, whatever was noticed of its limits.

    Raises: UnknownAccount; AccountConflict for one that needs a new credential first.
    """
    row = _existing(connection, account_id)
    if row.status in DEAD:
        reason = f" ({row.deactivation_reason})" if row.deactivation_reason else ""
        raise AccountConflict(account_id, f"it is {row.status}{reason}; renew its credential, then reauth")
    entry = Entry(account_id, at, "resume", origin, row.status, "active", actor=actor)
    _change(connection, entry, resumed_at=at)


def reauth(
    connection: Connection,
    account_id: str,
    at: datetime,
    origin: Origin = "command",
    actor: str | None = None,
) -> None:
    """The credential behind the reference was renewed: every proxy reads it again.

    A paused account stays paused. Raises: UnknownAccount.
    """
    row = _existing(connection, account_id)
    status = _with_new_credential(row.status)
    entry = Entry(account_id, at, "reauth", origin, row.status, status, actor=actor)
    _change(connection, entry, **_renewed(at))


def _synchronise_one(connection: Connection, account: Description, at: datetime) -> None:
    known = _row(connection, account.id)
    if known is None or known.delete_requested_at is not None:
        return add(connection, account, at, "config")
    if known.origin != "config":
        raise AccountExists(
            account.id, "it was added by command too; rename one, or `python -m ledger accounts remove` it"
        )
    columns = _columns(account)
    if all(getattr(known, name) == value for name, value in columns.items()):
        return None
    entry = Entry(account.id, at, "change", "config", known.status, known.status)
    if known.credential != account.credential:
        entry = replace(entry, to_status=_with_new_credential(known.status))
        return _change(connection, entry, **columns, **_renewed(at))
    _update(connection, account.id, **columns)
    return _done(connection, entry)


def _with_new_credential(status: str) -> str:
    """An account's status afterwards: nothing that the old credential met with stands against it."""
    return "paused" if status == "paused" else "active"


def _renewed(at: datetime) -> dict[str, datetime]:
    return {"credential_renewed_at": at, "resumed_at": at}


def _change(connection: Connection, entry: Entry, **values: Any) -> None:
    """Give an account a status by a person's word, and forget why it had another."""
    forgotten = {"reset_at": None, "blocked_at": None, "deactivation_reason": None}
    _update(connection, entry.account_id, status=entry.to_status, **forgotten, **values)
    marks.clear(connection, entry.account_id, entry.at)
    _done(connection, entry)


def _columns(account: Description) -> dict[str, Any]:
    return {
        "email": account.email,
        "plan_type": account.plan,
        "credential": account.credential,
        "upstream_base_url": account.upstream_base_url,
        "pool": account.pool,
    }


def _existing(connection: Connection, account_id: str) -> Any:
    versions.hold(connection)
    row = _row(connection, account_id)
    if row is None or row.delete_requested_at is not None:
        raise UnknownAccount(account_id, "no such account; see python -m ledger accounts list")
    return row


def _row(connection: Connection, account_id: str) -> Any:
    return connection.execute(select(accounts).where(accounts.c.id == account_id)).first()


def _update(connection: Connection, account_id: str, **values: Any) -> None:
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(**values))


def _done(connection: Connection, entry: Entry) -> None:
    audit.write(connection, entry)
    versions.advance(connection)


def _where(origin: str) -> str:
    return "the configuration file" if origin == "config" else origin
