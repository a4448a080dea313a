"""Times in which events of a gateway may have been lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, or_, select

from ledger.gateways.values import GatewayGap
from ledger.schema import collector_gaps
from ledger.store import upsert


def store(connection: Connection, gaps: Iterable[GatewayGap]) -> None:
    """Store gaps, over what is known of them: one that went on may have ended."""
    rows = [asdict(gap) for gap in gaps]
    if rows:
        upsert(connection, collector_gaps, ("id",), rows)


def between(
    connection: Connection, since: datetime, until: datetime, gateway: str | None = None
) -> tuple[GatewayGap, ...]:
    """Gaps that touch a time, the oldest first."""
    table = collector_gaps.c
    query = (
        select(collector_gaps)
        .where(table.began_at < until, or_(table.ended_at.is_(None), table.ended_at >= since))
        .order_by(table.began_at, table.id)
    )
    if gateway is not None:
        query = query.where(table.gateway == gateway)
    return tuple(GatewayGap(**row) for row in connection.execute(query).mappings())
