"""Which account a conversation stays with, shared by all processes. Keys are digests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from ledger.schema import sticky_sessions
from ledger.store import insert_into


@dataclass(frozen=True, slots=True)
class Stay:
    """A conversation used an account. `key` is a digest, `at` aware UTC."""

    key: str
    account_id: str
    at: datetime


def find(connection: Connection, key: str, since: datetime) -> str | None:
    """The account of a conversation that was used since a moment."""
    table = sticky_sessions.c
    return connection.execute(
        select(table.account_id).where(table.key == key, table.updated_at >= since)
    ).scalar()


def keep(connection: Connection, stays: Iterable[Stay]) -> None:
    """Remember stays; of one conversation the latest holds. In the order of their keys: processes that keep
    the same ones never wait for each other crosswise."""
    table = sticky_sessions.c
    for stay in sorted(stays, key=lambda stay: (stay.key, stay.at)):
        values = {"account_id": stay.account_id, "updated_at": stay.at}
        statement = insert_into(connection, sticky_sessions).values(key=stay.key, **values)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["key"], set_=values, where=table.updated_at <= statement.excluded.updated_at
            )
        )


def forget(connection: Connection, before: datetime) -> int:
    """Forget conversations that were not used since a moment; returns how many."""
    return connection.execute(delete(sticky_sessions).where(sticky_sessions.c.updated_at < before)).rowcount
