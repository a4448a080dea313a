"""The files that hold accounts' credentials: as gateways list them, or as our own references name them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select

from ledger.schema import accounts

KINDS = ("file:", "codex:")
"""How references to files begin."""


def of_auth_file(names: Sequence[str | None], account: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether an account's credential is in one of these files, by name or by path; None: in no file."""
    table = accounts.c
    in_file = or_(table.alias.is_not(None), *(table.credential.startswith(kind) for kind in KINDS))
    named = [name for name in names if name]
    found: list[ColumnElement[bool]] = []
    if named:
        paths: list[ColumnElement[bool]] = [
            table.credential.in_([f"{kind}{name}" for kind in KINDS for name in named])
        ]
        paths += [table.credential.endswith(f"/{name}", autoescape=True) for name in named if "/" not in name]
        found.append(account.in_(select(table.id).where(or_(table.alias.in_(named), *paths))))
    if len(named) < len(names):
        found += [account.is_(None), account.not_in(select(table.id).where(in_file))]
    return or_(*found)


def auth_files(connection: Connection) -> Sequence[tuple[str, int]]:
    """Names of files, without their folders, and how many accounts have one of that name."""
    rows = connection.execute(select(accounts.c.alias, accounts.c.credential))
    files = (file_name(row.alias, row.credential) for row in rows)
    return sorted(Counter(name for name in files if name).items())


def file_name(alias: str | None, credential: str | None) -> str | None:
    """The name of an account's file; None where its credential is in none."""
    kind, _, path = (credential or "").partition(":")
    return alias or (path.rpartition("/")[2] or None if f"{kind}:" in KINDS else None)
