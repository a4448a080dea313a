"""An invented history in a real ledger: accounts, requests with their daily sums, usage samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.engine import URL

from ledger.pricing.files import load_seed
from ledger.pricing.table import replace_prices
from ledger.requests.writes import ensure_account, record
from ledger.schema import prices, request_logs, usage_history
from ledger.store import migrate, translated, writer
from simulator.errors import OutputError
from simulator.history.history import History

BATCH = 2_000
"""Rows sent at once."""


def prepared(url: URL) -> Engine:
    """A ledger that is ready to be written: its schema up to date, the seeded prices in it where it has
    none.

    Raises: StoreError.
    """
    engine = writer(url)
    migrate(engine)
    with translated(url, "cannot store prices in"), engine.begin() as connection:
        if connection.execute(select(prices.c.id)).first() is None:
            replace_prices(connection, load_seed())
    return engine


def store(engine: Engine, history: History, credentials: Mapping[str, str] | None = None) -> None:
    """Write a history into a ledger, all of it or nothing.

    Args:
        engine: writes to a ledger whose schema is up to date.
        credentials: references to the accounts' keys, with which requests can be routed to them.
    Raises: OutputError where this history is already there; StoreError where it cannot be written.
    """
    with translated(engine.url, "cannot store history in"), engine.begin() as connection:
        _refuse_twice(connection, history)
        for account in history.plan.accounts:
            ensure_account(
                connection,
                id=account.id,
                email=account.email,
                plan_type=account.plan_type,
                status=account.status,
                credential=(credentials or {}).get(account.id),
                created_at=history.plan.start,
            )
        for start in range(0, len(history.events), BATCH):
            record(connection, history.events[start : start + BATCH])
        for start in range(0, len(history.samples), BATCH):
            rows = [asdict(s) for s in history.samples[start : start + BATCH]]
            connection.execute(insert(usage_history), rows)


def _refuse_twice(connection: Connection, history: History) -> None:
    ids = request_logs.c.event_id
    for event in history.events[:1]:
        if connection.execute(select(ids).where(ids == event.id)).first():
            raise OutputError(
                f"the history that begins {history.plan.start:%Y-%m-%d %H:%M} UTC with seed "
                f"{history.plan.seed} is already in this ledger; give another --seed or another database"
            )
