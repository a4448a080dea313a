"""Transactions that see the ledger at one moment, or beside which nobody writes requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """All statements see the ledger as it is at one moment."""
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection
    else:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Nobody else writes requests until the block ends."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("LOCK TABLE request_rows IN SHARE ROW EXCLUSIVE MODE"))
        yield connection
