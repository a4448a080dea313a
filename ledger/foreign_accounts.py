"""Reading the accounts of a store whose schema may be older or newer than ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from ledger import parsed
from ledger.foreign import Stored, columns, or_null
from ledger.queries import Account

AT_ONCE = 1_000
"""Accounts read in one statement."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of a store: those to show, by id, the ids of those that are marked for deletion, and how
    many could not be understood."""

    shown: tuple[Account, ...]
    hidden: frozenset[str]
    unreadable: int = 0


def read_accounts(connection: Connection) -> Accounts:
    """All accounts, their status and plan in lower case."""
    rows = list(_rows(connection))
    found = [(parsed.account(row), row[4] is not None) for row in rows]
    return Accounts(
        tuple(account for account, deleted in found if account and not deleted),
        frozenset(account.id for account, deleted in found if account and deleted),
        sum(account is None for account, _ in found),
    )


def _rows(connection: Connection) -> Iterator[Stored]:
    have = columns(connection, "accounts")
    names = ("email", "plan_type", "status", "delete_requested_at")
    select = f"SELECT id, {', '.join(or_null(name, have) for name in names)} FROM accounts"  # noqa: S608
    after: dict[str, Any] = {}
    while True:
        where = "WHERE id > :after" if after else ""
        query = text(f"{select} {where} ORDER BY id LIMIT {AT_ONCE}")
        rows = connection.execute(query, after).fetchall()
        yield from rows
        if len(rows) < AT_ONCE:
            return
        after = {"after": rows[-1][0]}
