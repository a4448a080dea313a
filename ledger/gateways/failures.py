"""Failed attempts that gateways reported on their errors channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from ledger.gateways.values import GatewayFailure
from ledger.schema import collector_failures
from ledger.store import upsert


def store(connection: Connection, failures: Iterable[GatewayFailure]) -> None:
    """Store failures; one that is there already stays one."""
    rows = [asdict(failure) for failure in failures]
    if rows:
        upsert(connection, collector_failures, ("id",), rows)


def newest(
    connection: Connection,
    since: datetime,
    until: datetime,
    *,
    gateway: str | None = None,
    account_id: str | None = None,
    most: int = 100,
) -> tuple[GatewayFailure, ...]:
    """Failures in a time, the newest first."""
    table = collector_failures.c
    query = select(collector_failures).where(table.at >= since, table.at < until)
    if gateway is not None:
        query = query.where(table.gateway == gateway)
    if account_id is not None:
        query = query.where(table.account_id == account_id)
    rows = connection.execute(query.order_by(table.at.desc(), table.id).limit(most))
    return tuple(map(_failure, rows.mappings()))


def prune(connection: Connection, before: datetime) -> int:
    """Forget failures that are older; returns how many."""
    return connection.execute(delete(collector_failures).where(collector_failures.c.at < before)).rowcount


def _failure(row: Any) -> GatewayFailure:
    return GatewayFailure(**row)
