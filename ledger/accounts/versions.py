"""How other processes notice a change: a number that every change raises, one cheap read to look at."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from ledger.schema import versions

_NAME = "accounts"


def current(connection: Connection) -> int:
    """The number of the accounts as they are now; it only ever grows."""
    found = connection.execute(select(versions.c.version).where(versions.c.name == _NAME))
    return int(found.scalar_one())


def advance(connection: Connection) -> None:
    """Say that accounts, marks or statuses have changed, in the transaction of the change itself."""
    connection.execute(
        update(versions).where(versions.c.name == _NAME).values(version=versions.c.version + 1)
    )


def hold(connection: Connection) -> None:
    """Let no other process change accounts until this transaction ends: what is read next stays true."""
    connection.execute(update(versions).where(versions.c.name == _NAME).values(version=versions.c.version))
