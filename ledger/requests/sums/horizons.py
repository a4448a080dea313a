"""How far back the ledger reaches: before a horizon, requests or sums by hour were forgotten on purpose."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from ledger.columns import EPOCH
from ledger.schema import versions

REQUESTS, HOURLY = "requests_pruned", "hourly_pruned"
"""What is forgotten: requests, whose sums stay; sums by hour, of which those by day stay."""


def horizon(connection: Connection, name: str) -> int | None:
    """The hour since 1970 before which it is forgotten; None where all is there."""
    return connection.execute(select(versions.c.version).where(versions.c.name == name)).scalar()


def since(connection: Connection, name: str) -> datetime | None:
    """The same as a moment."""
    hour = horizon(connection, name)
    return None if hour is None else EPOCH + timedelta(hours=hour)
